/*
 * als_bench.c: what one iteration of ALS costs, against a plain loop.
 *
 * It generates ratings with power-law users and items, and then lets N forked
 * processes solve both sides over shared memory, taking blocks of rows from a
 * common counter, as a parallel training does. The plain loop does the same
 * with what OpenBLAS offers: gather a row's vectors, ssyrk, sgemv, sposv. The
 * two alternate in one run, so that other load on the machine meets both, and
 * medians are printed, of the clock's time and of the processes' own (user
 * and system) divided by their number, and of the latter the least too: on a
 * busy machine it is the steadiest of the three.
 *
 *	 als_bench [-p processes] [-u users] [-i items] [-n ratings]
 *			   [-f factors] [-r rounds] [-m explicit|biased|implicit]
 *			   [-k kernel] [-s] [-o]
 *
 * -s forms the sums (training error, penalty) too; -o leaves the plain loop
 * out. The plain loop knows no biases: with -m biased it solves without.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "numerics/als.h"
#include "numerics/blas.h"
#include "numerics/kernel.h"

#define BLOCK_ROWS 256
#define MAX_ROUNDS 100

typedef struct Problem
{
	size_t		n[2];			/* users, items */
	size_t		nratings;
	uint64_t   *offset[2];
	Rating	   *entries[2];
	AlsSide		side[2];
	size_t		stride;
	AlsSpec		spec;
	const Kernel *kernel;
	bool		sums;
	atomic_size_t *next;		/* shared by the processes: the next row */
} Problem;

typedef struct Times
{
	double		clock[MAX_ROUNDS];
	double		work[MAX_ROUNDS];
	double		clock_median;
	double		work_median;
} Times;

typedef void (*Half) (const Problem *problem, int side, const double *gramian);

static void
Die(const char *what)
{
	fprintf(stderr, "als_bench: %s\n", what);
	exit(1);
}

static void *
Shared(size_t size)
{
	void	   *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
							  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		Die("out of memory");
	return memory;
}

/* ---- The problem ---- */

static uint64_t random_state = 20240607;

static double
Random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (double) (random_state >> 11) * 0x1.0p-53;
}

/* Cumulative shares of n rows, the k-th weighing (k + offset)^-power. */
static double *
Shares(size_t n, double offset, double power)
{
	double	   *share = malloc(n * sizeof(double));
	double		sum = 0.0;

	if (share == NULL)
		Die("out of memory");
	for (size_t k = 0; k < n; k++)
		share[k] = sum += pow((double) k + offset, -power);
	for (size_t k = 0; k < n; k++)
		share[k] /= sum;
	return share;
}

static size_t
Draw(const double *share, size_t n)
{
	double		at = Random();
	size_t		low = 0;
	size_t		high = n - 1;

	while (low < high)
	{
		size_t		middle = (low + high) / 2;

		if (share[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A random order of n rows, so that heavy ones are not neighbours. */
static uint32_t *
Shuffled(size_t n)
{
	uint32_t   *order = malloc(n * sizeof(uint32_t));

	if (order == NULL)
		Die("out of memory");
	for (size_t k = 0; k < n; k++)
		order[k] = k;
	for (size_t k = n - 1; k > 0; k--)
	{
		size_t		other = Random() * (k + 1);
		uint32_t	held = order[k];

		order[k] = order[other];
		order[other] = held;
	}
	return order;
}

/*
 * The pairs as the side's rows see them. Taken in the order of the other side's
 * rows, so that each row has its entries in order.
 */
static void
Index(Problem *problem, int side, uint32_t *const pair[2], const float *value)
{
	size_t		n = problem->nratings;
	uint64_t   *offset = Shared((problem->n[side] + 1) * sizeof(uint64_t));
	Rating	   *entries = Shared(n * sizeof(Rating));
	size_t	   *start = calloc(problem->n[1 - side] + 1, sizeof(size_t));
	size_t	   *order = malloc(n * sizeof(size_t));

	if (start == NULL || order == NULL)
		Die("out of memory");
	for (size_t k = 0; k < n; k++)
	{
		start[pair[1 - side][k] + 1]++;
		offset[pair[side][k] + 1]++;
	}
	for (size_t k = 0; k < problem->n[1 - side]; k++)
		start[k + 1] += start[k];
	for (size_t k = 0; k < problem->n[side]; k++)
		offset[k + 1] += offset[k];
	for (size_t k = 0; k < n; k++)
		order[start[pair[1 - side][k]]++] = k;
	for (size_t k = 0; k < n; k++)
	{
		Rating		rating = {pair[1 - side][order[k]], value[order[k]]};

		entries[offset[pair[side][order[k]]]++] = rating;
	}
	/* Each offset now is where its row ends: the next one's start. */
	memmove(offset + 1, offset, problem->n[side] * sizeof(uint64_t));
	offset[0] = 0;
	free(start);
	free(order);
	problem->offset[side] = offset;
	problem->entries[side] = entries;
}

static void
Generate(Problem *problem)
{
	uint32_t   *pair[2];
	float	   *value = malloc(problem->nratings * sizeof(float));
	double	   *share[2] = {Shares(problem->n[0], 300.0, 0.9),
	Shares(problem->n[1], 60.0, 1.2)};
	uint32_t   *shuffled[2] = {Shuffled(problem->n[0]), Shuffled(problem->n[1])};

	for (int side = 0; side < 2; side++)
		if ((pair[side] = malloc(problem->nratings * sizeof(uint32_t))) == NULL)
			Die("out of memory");
	if (value == NULL)
		Die("out of memory");
	for (size_t k = 0; k < problem->nratings; k++)
	{
		for (int side = 0; side < 2; side++)
			pair[side][k] = shuffled[side][Draw(share[side], problem->n[side])];
		value[k] = 0.5f * (1 + (int) (10 * Random()));
	}

	Index(problem, 0, pair, value);
	Index(problem, 1, pair, value);

	for (int side = 0; side < 2; side++)
	{
		problem->side[side].n = problem->n[side];
		problem->side[side].factors =
			Shared(problem->n[side] * problem->stride * sizeof(float));
		problem->side[side].bias = Shared(problem->n[side] * sizeof(float));
		for (size_t k = 0; k < problem->n[side]; k++)
			als_init_row(&problem->spec, 1, k, 1.0,
						 problem->side[side].factors + k * problem->stride);
		free(pair[side]);
		free(share[side]);
		free(shuffled[side]);
	}
	free(value);
}

/* ---- The two solvers, each as one process runs it ---- */

static void *
Aligned(size_t size)
{
	void	   *memory = NULL;

	if (posix_memalign(&memory, 64, (size + 63) / 64 * 64) != 0)
		Die("out of memory");
	return memory;
}

static void
SolveOurs(const Problem *problem, int side, const double *gramian)
{
	AlsSide		self = problem->side[side];
	AlsWorkspace *ws = als_workspace_init_with(Aligned(als_workspace_size(&problem->spec)),
											   &problem->spec, problem->kernel);
	size_t		first;

	while ((first = atomic_fetch_add(problem->next, BLOCK_ROWS)) < self.n)
	{
		const uint64_t *offset = problem->offset[side] + first;
		AlsSums		sums;
		AlsBlock	block = {
			.first = first,
			.nrows = self.n - first < BLOCK_ROWS ? self.n - first : BLOCK_ROWS,
			.offset = offset,
			.entries = problem->entries[side] + offset[0],
		};

		if (als_solve_block(ws, &self, &problem->side[1 - side], gramian,
							&block, problem->sums ? &sums : NULL,
							NULL, NULL) != NUMERICS_OK)
			Die("diverged");
	}
}

typedef void (*Syrk) (int order, int uplo, int trans, int n, int k,
					  float alpha, const float *a, int lda,
					  float beta, float *c, int ldc);
typedef void (*Gemv) (int order, int trans, int m, int n, float alpha,
					  const float *a, int lda, const float *x, int incx,
					  float beta, float *y, int incy);
typedef void (*Posv) (const char *uplo, const int *n, const int *nrhs,
					  float *a, const int *lda, float *b, const int *ldb,
					  int *info, size_t uplo_length);

static Syrk ssyrk;
static Gemv sgemv;
static Posv sposv;

static void
ResolvePlain(void)
{
	void	   *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD);

	if (library == NULL)
		Die("OpenBLAS is not there");
	*(void **) &ssyrk = dlsym(library, "cblas_ssyrk");
	*(void **) &sgemv = dlsym(library, "cblas_sgemv");
	*(void **) &sposv = dlsym(library, "sposv_");
}

static void
SolvePlain(const Problem *problem, int side, const double *gramian)
{
	AlsSide		self = problem->side[side];
	const AlsSide *other = &problem->side[1 - side];
	const AlsSpec *spec = &problem->spec;
	size_t		stride = problem->stride;
	int			d = spec->factors;
	int			one = 1;
	size_t		longest = 0;
	float	   *panel;
	float	   *target;
	float	   *a = Aligned((size_t) d * d * sizeof(float));
	size_t		first;

	for (size_t k = 0; k < self.n; k++)
	{
		size_t		n = problem->offset[side][k + 1] - problem->offset[side][k];

		longest = n > longest ? n : longest;
	}
	panel = Aligned(longest * d * sizeof(float));
	target = Aligned(longest * sizeof(float));

	while ((first = atomic_fetch_add(problem->next, BLOCK_ROWS)) < self.n)
		for (size_t k = first; k < first + BLOCK_ROWS && k < self.n; k++)
		{
			const Rating *entries = problem->entries[side] + problem->offset[side][k];
			int			n = problem->offset[side][k + 1] - problem->offset[side][k];
			float	   *x = self.factors + k * stride;
			double		reg = spec->regularization *
				pow(n + spec->unobserved_weight * other->n, spec->reg_exponent);
			int			info;

			if (n == 0)
				continue;
			for (int e = 0; e < n; e++)
			{
				const float *q = other->factors + entries[e].index * stride;
				float		scale = spec->implicit ? sqrtf(spec->alpha * entries[e].value) : 1.0f;

				for (int j = 0; j < d; j++)
					panel[(size_t) e * d + j] = scale * q[j];
				target[e] = spec->implicit ? scale : entries[e].value - (float) spec->mean;
			}
			for (int i = 0; i < d; i++)
			{
				for (int j = 0; j < d; j++)
					a[i * d + j] = gramian != NULL ? spec->unobserved_weight * gramian[i * d + j] : 0.0f;
				a[i * d + i] += reg;
			}
			ssyrk(101, 121, 112, d, n, 1.0f, panel, d, 1.0f, a, d);
			sgemv(101, 112, n, d, 1.0f, panel, d, target, 1, 0.0f, x, 1);
			sposv("L", &d, &one, a, &d, x, &d, &info, 1);
			if (info != 0)
				Die("the plain loop diverged");
		}
}

/* ---- Timing ---- */

static double
Seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + 1e-9 * now.tv_nsec;
}

/* User and system time of the processes that have ended. */
static double
WorkSeconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
		1e-6 * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void
RunHalf(const Problem *problem, int processes, Half half, int side)
{
	double	   *gramian = NULL;
	size_t		d = problem->spec.factors;
	bool		failed = false;

	if (problem->spec.unobserved_weight > 0.0)
	{
		AlsWorkspace *ws = als_workspace_init(Aligned(als_workspace_size(&problem->spec)),
											  &problem->spec);

		gramian = calloc(d * d, sizeof(double));
		als_gramian(ws, &problem->side[1 - side], 0, problem->n[1 - side],
					gramian, NULL, NULL);
		free(ws);
	}
	atomic_store(problem->next, 0);
	for (int p = 0; p < processes; p++)
	{
		pid_t		child = fork();

		if (child == -1)
			Die("could not fork");
		if (child == 0)
		{
			half(problem, side, gramian);
			_exit(0);
		}
	}
	for (int p = 0; p < processes; p++)
	{
		int			status;

		if (wait(&status) == -1 || status != 0)
			failed = true;
	}
	if (failed)
		Die("a process failed");
	free(gramian);
}

static void
Iterate(const Problem *problem, int processes, Half half, Times *times, int round)
{
	double		start = Seconds();
	double		work = WorkSeconds();

	RunHalf(problem, processes, half, 1);
	RunHalf(problem, processes, half, 0);
	times->clock[round] = Seconds() - start;
	times->work[round] = (WorkSeconds() - work) / processes;
}

static int
CompareDoubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
Median(double *values, int n)
{
	qsort(values, n, sizeof(double), CompareDoubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Sorts the times, takes the medians and prints them. */
static void
Report(const char *name, Times *times, int rounds)
{
	times->clock_median = Median(times->clock, rounds);
	times->work_median = Median(times->work, rounds);
	printf("%s: %.3f s (processes' own time %.3f s, least %.3f s)\n",
		   name, times->clock_median, times->work_median, times->work[0]);
}

/* The objective without penalties, a check that both solve the problem. */
static double
SquaredError(const Problem *problem)
{
	double		sum = 0.0;

	for (size_t u = 0; u < problem->n[0]; u++)
		for (uint64_t e = problem->offset[0][u]; e < problem->offset[0][u + 1]; e++)
		{
			Rating		rating = problem->entries[0][e];
			const float *p = problem->side[0].factors + u * problem->stride;
			const float *q = problem->side[1].factors + rating.index * problem->stride;
			bool		implicit = problem->spec.implicit;
			double		residual = implicit ? 1.0 :
				rating.value - problem->spec.mean -
				problem->side[0].bias[u] - problem->side[1].bias[rating.index];

			for (size_t k = 0; k < problem->stride; k++)
				residual -= (double) p[k] * q[k];
			sum += (implicit ? problem->spec.alpha * rating.value : 1.0) *
				residual * residual;
		}
	return sum / problem->nratings;
}

/* Back to where the first iteration starts. */
static void
Restart(const Problem *problem)
{
	for (int side = 0; side < 2; side++)
	{
		memset(problem->side[side].bias, 0, problem->n[side] * sizeof(float));
		for (size_t k = 0; k < problem->n[side]; k++)
			als_init_row(&problem->spec, 1, k, 1.0,
						 problem->side[side].factors + k * problem->stride);
	}
}

/* The kernel of that name; NULL: the one that training would use. */
static const Kernel *
FindKernel(const char *name, size_t d)
{
	if (name == NULL)
		return kernel_choose(d);
	for (const Kernel *const *kernel = kernel_list(); *kernel != NULL; kernel++)
		if (strcmp((*kernel)->name, name) == 0)
			return *kernel;
	if (strcmp(kernel_blas.name, name) != 0)
		Die("no such kernel here");
	return &kernel_blas;
}

int
main(int argc, char **argv)
{
	static Times ours;
	static Times plain;
	Problem		problem = {
		.n = {138000, 27000},
		.nratings = 17800000,
		.spec = {.factors = 64,.mean = 2.75,.alpha = 1.0,
			.regularization = 0.1,.reg_exponent = 1.0,
		.bias_regularization = 2.0},
	};
	int			processes = 2;
	int			rounds = 5;
	bool		only_ours = false;
	const char *kernel = NULL;
	const char *why = NULL;
	int			option;

	while ((option = getopt(argc, argv, "p:u:i:n:f:r:m:k:so")) != -1)
		switch (option)
		{
			case 'p': processes = atoi(optarg); break;
			case 'u': problem.n[0] = atol(optarg); break;
			case 'i': problem.n[1] = atol(optarg); break;
			case 'n': problem.nratings = atol(optarg); break;
			case 'f': problem.spec.factors = atoi(optarg); break;
			case 'r': rounds = atoi(optarg); break;
			case 'm':
				problem.spec.biased = strcmp(optarg, "biased") == 0;
				problem.spec.implicit = strcmp(optarg, "implicit") == 0;
				problem.spec.unobserved_weight = problem.spec.implicit ? 0.1 : 0.0;
				break;
			case 'k': kernel = optarg; break;
			case 's': problem.sums = true; break;
			case 'o': only_ours = true; break;
			default: Die("usage is in the head of als_bench.c");
		}
	if (processes < 1 || rounds < 1 || rounds > MAX_ROUNDS ||
		problem.n[0] < 1 || problem.n[1] < 1 || problem.nratings < 1 ||
		problem.spec.factors < 1 || problem.spec.factors > ALS_MAX_FACTORS)
		Die("option out of range");

	if (!blas_load(&why))
		Die(why);
	ResolvePlain();
	problem.stride = als_stride(problem.spec.factors);
	problem.kernel = FindKernel(kernel, problem.stride);
	problem.next = Shared(sizeof(atomic_size_t));
	Generate(&problem);

	printf("%zu ratings, %zu users, %zu items, %d factors, %d processes, kernel %s\n",
		   problem.nratings, problem.n[0], problem.n[1], problem.spec.factors,
		   processes, problem.kernel->name);
	for (int round = 0; round < rounds; round++)
	{
		Restart(&problem);
		Iterate(&problem, processes, SolveOurs, &ours, round);
		if (round == 0)
			printf("squared error after one iteration: ours %.6f", SquaredError(&problem));
		if (!only_ours)
		{
			Restart(&problem);
			Iterate(&problem, processes, SolvePlain, &plain, round);
			if (round == 0)
				printf(", plain %.6f", SquaredError(&problem));
		}
		if (round == 0)
			printf("\n");
		fflush(stdout);
	}

	Report("ours", &ours, rounds);
	if (!only_ours)
	{
		Report("plain", &plain, rounds);
		printf("plain / ours: %.2f (own time %.2f, least %.2f)\n",
			   plain.clock_median / ours.clock_median,
			   plain.work_median / ours.work_median,
			   plain.work[0] / ours.work[0]);
	}
	return 0;
}

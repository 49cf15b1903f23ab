/*
 * test_als_limits.c: ALS at its limits: rows without entries, rows of millions
 * of them, systems that single precision cannot solve or nothing can.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

static AlsWorkspace *
Workspace(const AlsSpec *spec)
{
	return als_workspace_init(allocate(als_workspace_size(spec)), spec);
}

/* Rows without entries, first, between and last, get zeros. */
static void
TestEmptyRows(void)
{
	AlsSpec		spec = {.factors = 5,.biased = true,.mean = 3.0,.regularization = 0.1,
	.reg_exponent = 1.0,.bias_regularization = 1.0};
	Problem    *p = problem_make(&spec, 20, 20, 0.0);
	AlsWorkspace *ws = Workspace(&spec);
	Rating		one[2] = {{3, 4.0f}, {5, 2.0f}};
	uint64_t	offset[5] = {1000, 1000, 1002, 1002, 1002};
	AlsBlock	block = {.first = 10,.nrows = 4,.offset = offset,.entries = one};
	AlsSums		sums;
	bool		zero = true;
	bool		solved = false;
	float		before = p->side[0].factors[9 * p->stride];

	check(als_solve_block(ws, &p->side[0], &p->side[1], NULL, &block, &sums,
						  NULL, NULL) == NUMERICS_OK, "rows without entries are solved");
	for (size_t row = 10; row < 14; row++)
		for (size_t k = 0; k < p->stride; k++)
		{
			float		x = p->side[0].factors[row * p->stride + k];

			if (row == 11)
				solved = solved || x != 0.0f;
			else
				zero = zero && x == 0.0f && p->side[0].bias[row] == 0.0f;
		}
	check(zero, "rows without entries become zero");
	check(solved, "their neighbour is solved");
	check(sums.weight == 2.0, "and is alone in the sums");
	check(before == p->side[0].factors[9 * p->stride] && before != 0.0f &&
		  p->side[0].factors[14 * p->stride] != 0.0f, "rows outside the block stay");
	block.nrows = 0;
	check(als_solve_block(ws, &p->side[0], &p->side[1], NULL, &block, &sums,
						  NULL, NULL) == NUMERICS_OK && sums.weight == 0.0, "an empty block is solved");
	free(ws);
	problem_free(p);
}

/* A zero-weight pair counts in n and nowhere else. */
static void
TestZeroWeights(void)
{
	AlsSpec		spec = {.factors = 4,.implicit = true,.alpha = 2.0,.unobserved_weight = 0.5,
	.regularization = 0.3,.reg_exponent = 1.0};
	Problem    *p = problem_make(&spec, 2, 6, 0.0);
	AlsWorkspace *ws = Workspace(&spec);
	Rating		entries[4] = {{1, 0.0f}, {3, 0.0f}, {2, 0.0f}, {4, 2.0f}};
	uint64_t	offset[3] = {0, 2, 4};
	AlsBlock	block = {0, 2, offset, entries};
	AlsSums		sums;
	double		expected;
	double		found = 0.0;

	problem_gramian(p, ws, 1);
	check(als_solve_block(ws, &p->side[0], &p->side[1], p->gramian[1], &block,
						  &sums, NULL, NULL) == NUMERICS_OK, "zero weights are solved");
	check(p->side[0].factors[0] == 0.0f && p->side[0].factors[3] == 0.0f,
		  "a row of zero weights becomes zero");
	check(sums.weight == 4.0, "zero weights weigh nothing");
	for (int k = 0; k < 4; k++)
		found += pow(p->side[0].factors[p->stride + k], 2.0);
	expected = 0.3 * (2.0 + 0.5 * 6.0) * found;
	check(fabs(sums.penalty - expected) < 1e-12, "but count in the row's regularization");
	free(ws);
	problem_free(p);
}

/* ---- Huge rows ---- */

typedef struct PollLog
{
	long		calls;
	double		last;
	double		longest;
} PollLog;

static double
CpuSeconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + 1e-9 * now.tv_nsec;
}

static void
Poll(void *arg)
{
	PollLog    *log = arg;
	double		now = CpuSeconds();

	if (log->calls++ > 0 && now - log->last > log->longest)
		log->longest = now - log->last;
	log->last = now;
}

/*
 * One row with `n` entries over few items: its counts by item and value give
 * the exact system cheaply, whatever n is.
 */
static void
TestHugeRow(size_t n, bool implicit)
{
	enum
	{
		ITEMS = 300, D = 32
	};
	AlsSpec		spec = {.factors = D,.implicit = implicit,.biased = !implicit,
		.mean = 3.0,.alpha = 0.01,.unobserved_weight = implicit ? 0.1 : 0.0,
	.regularization = 0.001,.reg_exponent = 1.0,.bias_regularization = 1.0};
	Problem    *p = problem_make(&spec, 1, ITEMS, 0.0);
	AlsWorkspace *ws = Workspace(&spec);
	Rating	   *entries = allocate(n * sizeof(Rating));
	uint64_t	offset[2] = {0, n};
	AlsBlock	block = {0, 1, offset, entries};
	double		count[ITEMS] = {0};
	double		total[ITEMS] = {0};
	double		worst = 0.0;
	AlsSums		sums;
	PollLog		log = {0};
	const float *x = p->side[0].factors;
	double		reg = 0.001 * (n + spec.unobserved_weight * ITEMS);

	for (size_t k = 0; k < n; k++)
	{
		entries[k].index = ITEMS * random_uniform();
		entries[k].value = 1 + (int) (5 * random_uniform());
		count[entries[k].index]++;
		total[entries[k].index] += entries[k].value;
	}
	problem_gramian(p, ws, 1);
	check(als_solve_block(ws, &p->side[0], &p->side[1], implicit ? p->gramian[1] : NULL,
						  &block, &sums, Poll, &log) == NUMERICS_OK,
		  "a row of %zu entries is solved", n);
	for (int j = 0; j <= D - (implicit ? 1 : 0); j++)
	{
		double		sum = j == D ? p->side[0].bias[0] : reg * x[j];
		double		magnitude = fabs(sum);

		for (int i = 0; i < ITEMS; i++)
		{
			const float *q = p->side[1].factors + i * p->stride;
			double		qj = j == D ? 1.0 : q[j];
			double		fit = p->side[0].bias[0] + p->side[1].bias[i];
			double		w = implicit ? spec.alpha * total[i] : count[i];
			double		t = implicit ? w : total[i] - 3.0 * count[i];

			for (int k = 0; k < D; k++)
				fit += (double) x[k] * q[k];
			sum += ((w + spec.unobserved_weight) * fit - t) * qj;
			magnitude += ((w + spec.unobserved_weight) * fabs(fit) + fabs(t)) * fabs(qj);
		}
		worst = fmax(worst, fabs(sum) / magnitude);
	}
	check(worst < 3e-6, "its normal equations hold (%.1e)", worst);
	check(sums.weight == n || implicit, "all of it weighs");
	/* Every poll is at most some ten million multiply-adds after the last. */
	check(log.calls >= (long) ((double) n * D * D / 2 / 2e7),
		  "it polled %ld times", log.calls);
	printf("# longest time between polls %.1f ms\n", 1e3 * log.longest);
	free(entries);
	free(ws);
	problem_free(p);
}

/* So many factors that OpenBLAS is chosen, and one call of it would be long. */
static void
TestManyFactors(int factors)
{
	AlsSpec		spec = {.factors = factors,.biased = true,.mean = 2.75,
	.regularization = 0.1,.reg_exponent = 1.0,.bias_regularization = 1.0};
	Problem    *p = problem_make(&spec, 2, 700, 0.5);
	AlsWorkspace *ws = Workspace(&spec);
	AlsBlock	block = {0, 2, p->offset[0], p->entries[0]};
	PollLog		log = {0};

	check(als_solve_block(ws, &p->side[0], &p->side[1], NULL, &block, NULL,
						  Poll, &log) == NUMERICS_OK &&
		  naive_residual(p, 0, 1) < 1e-5, "%d factors are solved", factors);
	check(log.calls >= 2 * factors / 256, "polling %ld times", log.calls);
	free(ws);
	problem_free(p);
}

/* ---- Failure ---- */

/* One user with the entries given, all items' vectors in `q`. */
static NumericsStatus
SolveOne(AlsSpec *spec, const float *q, size_t items, const Rating *entries,
		 size_t n, float *x)
{
	Problem    *p = problem_make(spec, 1, items, 0.0);
	AlsWorkspace *ws = Workspace(spec);
	uint64_t	offset[2] = {0, n};
	AlsBlock	block = {0, 1, offset, entries};
	NumericsStatus status;

	for (size_t i = 0; i < items; i++)
		memcpy(p->side[1].factors + i * p->stride, q + i * spec->factors,
			   spec->factors * sizeof(float));
	status = als_solve_block(ws, &p->side[0], &p->side[1], NULL, &block, NULL,
							 NULL, NULL);
	memcpy(x, p->side[0].factors, spec->factors * sizeof(float));
	free(ws);
	problem_free(p);
	return status;
}

static void
TestFailures(void)
{
	AlsSpec		spec = {.factors = 2,.mean = 0.0,.regularization = 0.0,.reg_exponent = 1.0};
	AlsSpec		implicit = {.factors = 2,.implicit = true,.alpha = 1.0,.regularization = 0.1};
	float		plain[4] = {1.0f, 0.5f, 0.25f, 1.0f};
	float		near[4] = {1.0f, 1.0f, 1.0f, 1.0001f};
	float		parallel[4] = {1.0f, 2.0f, 2.0f, 4.0f};
	float		huge[4] = {1e25f, 0.0f, 0.0f, 1e25f};
	float		bad[4] = {1.0f, NAN, 0.0f, 1.0f};
	Rating		entries[2] = {{0, 3.0f}, {1, 4.0f}};
	Rating		nan_entry[2] = {{0, 3.0f}, {1, NAN}};
	Rating		negative[2] = {{0, 3.0f}, {1, -1.0f}};
	Rating		extreme[2] = {{0, 3e38f}, {1, -3e38f}};
	float		x[2];

	check(SolveOne(&spec, plain, 2, entries, 2, x) == NUMERICS_OK, "two equations, two unknowns");
	check(SolveOne(&spec, near, 2, entries, 2, x) == NUMERICS_OK &&
		  fabs(x[0] + x[1] - 3.0) < 1e-2 && fabs(x[0] + 1.0001 * x[1] - 4.0) < 1e-2,
		  "nearly parallel ones are solved in double precision");
	check(SolveOne(&spec, huge, 2, entries, 2, x) == NUMERICS_OK &&
		  fabs(x[0] / 3e-25 - 1.0) < 1e-5 && fabs(x[1] / 4e-25 - 1.0) < 1e-5,
		  "so are those whose squares exceed single precision");
	check(SolveOne(&spec, parallel, 2, entries, 2, x) == NUMERICS_DIVERGED, "parallel ones are not solvable");
	check(SolveOne(&spec, plain, 2, entries, 1, x) == NUMERICS_DIVERGED, "nor is one equation");
	check(SolveOne(&spec, bad, 2, entries, 2, x) == NUMERICS_DIVERGED, "NaN factors: diverged");
	check(SolveOne(&spec, plain, 2, nan_entry, 2, x) == NUMERICS_DIVERGED, "NaN rating: diverged");
	check(SolveOne(&spec, near, 2, extreme, 2, x) == NUMERICS_DIVERGED, "solution out of range: diverged");
	check(SolveOne(&implicit, plain, 2, negative, 1, x) == NUMERICS_OK, "implicit, one entry");
	check(SolveOne(&implicit, plain, 2, negative, 2, x) == NUMERICS_DIVERGED, "negative weight: diverged");
}

void
test_als_limits(void)
{
	random_seed("limits", 23);
	TestEmptyRows();
	TestZeroWeights();
	TestHugeRow(4096, false);
	TestHugeRow(4097, false);
	TestHugeRow(4097, true);
	TestHugeRow(3000000, false);
	TestHugeRow(3000000, true);
	TestManyFactors(1000);
	TestManyFactors(ALS_MAX_FACTORS);
	TestFailures();
}

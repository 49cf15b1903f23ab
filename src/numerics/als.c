/*
 * als.c: alternating least squares, one row after another.
 *
 * With the other side fixed, the best vector x of a row (and its bias b) is
 * the solution of
 *
 *	 | A + alpha0 G + reg I    s              | | x |   | rhs   |
 *	 | s^T                     n + lambda_b   | | b | = | rhs_b |
 *
 *	 A = sum w q q^T,  s = sum q,  rhs = sum w t q,  rhs_b = sum t,
 *	 reg = lambda (n + alpha0 n_other)^nu
 *
 * over the row's n entries with the vectors q of the other side, the weights w
 * and what is to be explained, t: explicit w = 1, t = r - mu - b_other;
 * implicit w = alpha r, t = 1. Only a biased explicit model has the border.
 *
 * How. Vectors q sqrt(w) are gathered into a panel that fits the first cache,
 * the panel's sum of outer products is added to A, and so on to the row's end;
 * then Cholesky. All of that is the kernel's work (kernel.h); here are the
 * weights, the order of things, and what makes it sound:
 *
 * - Sums. A is summed in single precision over CHUNK entries at most, and the
 *	 chunks in double precision: a row with millions of entries would otherwise
 *	 lose its small ones.
 * - Failure. A pivot that drowns in rounding error, or a solution that is not
 *	 finite, sends the row to SolveInDouble(), which forms the whole system
 *	 anew in double precision: slow and hardly ever needed. Only if that fails
 *	 has the training diverged.
 * - Interrupts. Work is counted in multiply-adds, and the caller's poll is
 *	 called each time a few milliseconds of it have been done.
 *
 * What it costs, by test/bench/als_bench: 17.8M ratings, 138,000 users, 27,000
 * items, d = 64, two processes of a processor with AVX-512. A loop of gather,
 * ssyrk, sgemv, sposv with OpenBLAS takes 3.5 s an iteration, this 1.36 s
 * (processes' own time on a busy machine; ratio 2.6). Per entry 41 ns for the
 * sum of outer products, at 116 GFLOP/s no more than the multiply-adds take,
 * and 7 to 20 for gathering; per row 2.4 us for Cholesky, where sposv needs 8.
 *
 * Rejected: conjugate gradients, which are cheaper for d in the hundreds but
 * leave each row short of its optimum; the n x n form of the system for rows
 * with n < d (they hold few of the entries, and the all-pairs term forbids it);
 * summing from the vectors where they lie, without a panel (each is used once
 * per tile, so every tile would pay the way to the outer caches).
 *
 * Each row starts its sums afresh, so nothing of a row's result depends on the
 * rows before it.
 */
#include <math.h>
#include <string.h>

#include "numerics/als.h"
#include "numerics/cholesky.h"
#include "numerics/kernel.h"

/* Entries, and rows of a Gramian, summed in single precision. */
#define CHUNK 4096
#define GRAMIAN_CHUNK 1024

/*
 * Rows of a panel: what fills three quarters of the usual first-level cache,
 * but enough that loading and storing A is not what takes the time. Between
 * 16 and 48 kB the size hardly matters at d = 64.
 */
#define PANEL_BYTES (24 * 1024)
#define PANEL_MIN 64
#define PANEL_MAX 256

/* Multiply-adds between two polls: 10 ms of a slow processor. */
#define POLL_WORK 1.0e7

struct AlsWorkspace
{
	AlsSpec		spec;
	const Kernel *kernel;
	size_t		d;				/* factors, padded: als_stride() */
	size_t		panel_rows;
	double		work;			/* since the last poll */
	float	   *panel;			/* panel_rows x d */
	float	   *scale;			/* panel_rows: sqrt(w) */
	float	   *target;			/* panel_rows: sqrt(w) t */
	float	   *product;		/* panel_rows */
	float	   *a;				/* d x d */
	float	   *base;			/* d x d: alpha0 G; zero but for the pad's
								 * diagonal where there is none */
	float	   *rhs;			/* d */
	float	   *border;			/* d */
	float	   *scratch;		/* 2 d */
	double	   *sum;			/* chunks: d x d, rhs, border; or the system in
								 * double precision with its right-hand side */
};

/* What als_solve_block() was called with. */
typedef struct Job
{
	AlsWorkspace *ws;
	const AlsSide *other;
	const double *gramian;
	NumericsPoll poll;
	void	   *arg;
} Job;

/* One row's entries. */
typedef struct RowEntries
{
	const Rating *entries;
	size_t		n;
	size_t		ahead;			/* n and those of the rows that follow */
} RowEntries;

/* ---- Workspace ---- */

size_t
als_stride(int factors)
{
	size_t		d = factors;

	return (d + KERNEL_ALIGN - 1) / KERNEL_ALIGN * KERNEL_ALIGN;
}

static size_t
PanelRows(size_t d)
{
	size_t		rows = PANEL_BYTES / (d * sizeof(float));

	if (d >= KERNEL_BLAS_FROM)
		return PANEL_MAX;		/* what OpenBLAS likes */
	if (rows < PANEL_MIN)
		rows = PANEL_MIN;
	if (rows > PANEL_MAX)
		rows = PANEL_MAX;
	return rows;
}

/*
 * Hands out `size` bytes of *memory, in steps of 64. With memory NULL it only
 * counts, which is how the size and the layout cannot differ.
 */
static void *
Carve(char *memory, size_t *used, size_t size)
{
	char	   *part = memory != NULL ? memory + *used : NULL;

	*used += (size + 63) / 64 * 64;
	return part;
}

/* Lays the workspace out in `memory` and returns its size. */
static size_t
LayOut(AlsWorkspace *ws, char *memory, const AlsSpec *spec)
{
	size_t		d = als_stride(spec->factors);
	size_t		rows = PanelRows(d);
	size_t		used = 0;

	Carve(memory, &used, sizeof(AlsWorkspace));
	ws->spec = *spec;
	ws->d = d;
	ws->panel_rows = rows;
	ws->work = 0.0;
	ws->panel = Carve(memory, &used, rows * d * sizeof(float));
	ws->scale = Carve(memory, &used, rows * sizeof(float));
	ws->target = Carve(memory, &used, rows * sizeof(float));
	ws->product = Carve(memory, &used, rows * sizeof(float));
	ws->a = Carve(memory, &used, d * d * sizeof(float));
	ws->base = Carve(memory, &used, d * d * sizeof(float));
	ws->rhs = Carve(memory, &used, d * sizeof(float));
	ws->border = Carve(memory, &used, d * sizeof(float));
	ws->scratch = Carve(memory, &used, 2 * d * sizeof(float));
	ws->sum = Carve(memory, &used, (d + 1) * (d + 3) * sizeof(double));
	return used;
}

size_t
als_workspace_size(const AlsSpec *spec)
{
	AlsWorkspace measured;

	return LayOut(&measured, NULL, spec);
}

AlsWorkspace *
als_workspace_init_with(void *memory, const AlsSpec *spec, const Kernel *kernel)
{
	AlsWorkspace *ws = memory;

	(void) LayOut(ws, memory, spec);
	ws->kernel = kernel;
	return ws;
}

AlsWorkspace *
als_workspace_init(void *memory, const AlsSpec *spec)
{
	return als_workspace_init_with(memory, spec,
								   kernel_choose(als_stride(spec->factors)));
}

/* Counts work done and polls when enough of it has come together. */
static void
CountWork(AlsWorkspace *ws, double work, NumericsPoll poll, void *arg)
{
	ws->work += work;
	if (ws->work >= POLL_WORK)
	{
		ws->work = 0.0;
		if (poll != NULL)
			poll(arg);
	}
}

/* ---- Gramian ---- */

void
als_gramian(AlsWorkspace *ws, const AlsSide *side, size_t from, size_t to,
			double *gramian, NumericsPoll poll, void *arg)
{
	size_t		d = ws->d;
	size_t		factors = ws->spec.factors;

	while (from < to)
	{
		size_t		end = to - from > GRAMIAN_CHUNK ? from + GRAMIAN_CHUNK : to;

		memset(ws->a, 0, d * d * sizeof(float));
		while (from < end)
		{
			size_t		n = end - from < ws->panel_rows ? end - from : ws->panel_rows;

			ws->kernel->syrk(ws->a, d, d, side->factors + from * d, n, NULL);
			from += n;
			CountWork(ws, (double) n * d * d / 2, poll, arg);
		}
		for (size_t i = 0; i < factors; i++)
			for (size_t j = i; j < factors; j++)
				gramian[i * factors + j] += ws->a[i * d + j];
	}
	for (size_t i = 0; i < factors; i++)
		for (size_t j = 0; j < i; j++)
			gramian[i * factors + j] = gramian[j * factors + i];
}

double
als_allpairs(const double *gramian_users, const double *gramian_items,
			 int factors)
{
	double		sum = 0.0;

	for (size_t k = 0; k < (size_t) factors * factors; k++)
		sum += gramian_users[k] * gramian_items[k];
	return sum;
}

/* ---- Penalties ---- */

/* What multiplies |x|^2 for a row with n entries. */
static double
RowRegularization(const AlsSpec *spec, size_t n, size_t n_other)
{
	return spec->regularization *
		pow((double) n + spec->alpha0 * (double) n_other, spec->reg_exponent);
}

static double
RowPenalty(const AlsSpec *spec, const AlsSide *self, size_t row, size_t n,
		   size_t n_other)
{
	size_t		stride = als_stride(spec->factors);
	const float *x = self->factors + row * stride;
	double		bias = spec->biased ? self->bias[row] : 0.0;
	double		squares = 0.0;

	for (size_t k = 0; k < (size_t) spec->factors; k++)
		squares += (double) x[k] * x[k];
	return RowRegularization(spec, n, n_other) * squares +
		spec->bias_regularization * bias * bias;
}

double
als_penalty(const AlsSpec *spec, const AlsSide *self, size_t n_other,
			const AlsBlock *block)
{
	double		sum = 0.0;

	for (size_t k = 0; k < block->nrows; k++)
		sum += RowPenalty(spec, self, block->first + k,
						  block->offset[k + 1] - block->offset[k], n_other);
	return sum;
}

/* ---- One row ---- */

/* The entry's weight w and what it leaves to explain, t. */
static inline void
Interpret(const AlsSpec *spec, const AlsSide *other, Rating entry,
		  double *weight, double *target)
{
	if (spec->implicit)
	{
		*weight = spec->alpha * entry.value;
		*target = 1.0;
	}
	else
	{
		*weight = 1.0;
		*target = entry.value - spec->mean;
		if (spec->biased)
			*target -= other->bias[entry.index];
	}
}

/*
 * Fills the panel with the n entries from `start` on, adds to the row's
 * right-hand side and border, and returns the sum of the targets.
 */
static double
FillPanel(const Job *job, const RowEntries *row, size_t start, size_t n)
{
	AlsWorkspace *ws = job->ws;
	const AlsSpec *spec = &ws->spec;
	const Rating *entries = row->entries + start;
	double		sum = 0.0;
	KernelGather gather = {
		.rows = job->other->factors,
		.stride = ws->d,
		.d = ws->d,
		.entries = entries,
		.n = n,
		.scale = spec->implicit ? ws->scale : NULL,
		.target = ws->target,
		.panel = ws->panel,
		.rhs = ws->rhs,
		.border = spec->biased ? ws->border : NULL,
	};

	for (size_t k = 0; k < n; k++)
	{
		double		weight;
		double		target;

		Interpret(spec, job->other, entries[k], &weight, &target);
		if (spec->implicit)
		{
			ws->scale[k] = sqrtf((float) weight);
			target *= ws->scale[k];
		}
		ws->target[k] = (float) target;
		sum += target;
	}
	ws->kernel->gather(&gather);
	return sum;
}

static void
ClearSums(AlsWorkspace *ws)
{
	memset(ws->rhs, 0, ws->d * sizeof(float));
	memset(ws->border, 0, ws->d * sizeof(float));
}

/* Adds entries [from, to) to A, rhs and border; returns the targets' sum. */
static double
AddEntries(const Job *job, const RowEntries *row, size_t from, size_t to)
{
	AlsWorkspace *ws = job->ws;
	double		sum = 0.0;
	KernelAhead ahead = {.rows = job->other->factors,.stride = ws->d};

	while (from < to)
	{
		size_t		n = to - from < ws->panel_rows ? to - from : ws->panel_rows;

		sum += FillPanel(job, row, from, n);
		from += n;
		ahead.entries = row->entries + from;
		ahead.n = row->ahead - from < n ? row->ahead - from : n;
		ws->kernel->syrk(ws->a, ws->d, ws->d, ws->panel, n, &ahead);
		CountWork(ws, (double) n * ws->d * (ws->d / 2 + 8), job->poll, job->arg);
	}
	return sum;
}

/* Forms the system of a row of at most CHUNK entries. */
static double
FormShort(const Job *job, const RowEntries *row)
{
	AlsWorkspace *ws = job->ws;

	memcpy(ws->a, ws->base, ws->d * ws->d * sizeof(float));
	ClearSums(ws);
	return AddEntries(job, row, 0, row->n);
}

/* Forms the system of a longer row, the chunks' sums in double precision. */
static double
FormLong(const Job *job, const RowEntries *row)
{
	AlsWorkspace *ws = job->ws;
	size_t		d = ws->d;
	double	   *rhs = ws->sum + d * d;
	double	   *border = rhs + d;
	double		targets = 0.0;

	memset(ws->sum, 0, (d * d + 2 * d) * sizeof(double));
	for (size_t from = 0; from < row->n; from += CHUNK)
	{
		size_t		to = row->n - from > CHUNK ? from + CHUNK : row->n;

		memset(ws->a, 0, d * d * sizeof(float));
		ClearSums(ws);
		targets += AddEntries(job, row, from, to);
		for (size_t i = 0; i < d; i++)
			for (size_t j = i; j < d; j++)
				ws->sum[i * d + j] += ws->a[i * d + j];
		for (size_t j = 0; j < d; j++)
		{
			rhs[j] += ws->rhs[j];
			border[j] += ws->border[j];
		}
	}
	for (size_t i = 0; i < d; i++)
		for (size_t j = i; j < d; j++)
			ws->a[i * d + j] = (float) (ws->base[i * d + j] + ws->sum[i * d + j]);
	for (size_t j = 0; j < d; j++)
	{
		ws->rhs[j] = (float) rhs[j];
		ws->border[j] = (float) border[j];
	}
	return targets;
}

static bool
AllFinite(const float *x, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (!isfinite(x[k]))
			return false;
	return true;
}

/* Solves a row in single precision; the solution is in ws->rhs and *bias. */
static bool
SolveInSingle(const Job *job, const RowEntries *row, double reg, float *bias)
{
	AlsWorkspace *ws = job->ws;
	size_t		d = ws->d;
	double		targets;
	KernelSystem system = {
		.a = ws->a,
		.stride = d,
		.d = d,
		.rhs = ws->rhs,
		.border = ws->spec.biased ? ws->border : NULL,
		.corner = (double) row->n + ws->spec.bias_regularization,
		.scratch = ws->scratch,
		.poll = job->poll,
		.arg = job->arg,
	};

	targets = row->n > CHUNK ? FormLong(job, row) : FormShort(job, row);
	system.corner_rhs = targets;
	for (size_t k = 0; k < (size_t) ws->spec.factors; k++)
		ws->a[k * d + k] += (float) reg;

	if (!ws->kernel->solve(&system))
		return false;
	CountWork(ws, (double) d * d * (d / 6 + 8), job->poll, job->arg);
	*bias = (float) system.corner_solution;
	return AllFinite(ws->rhs, d) && isfinite(*bias);
}

/*
 * The same in double precision from the start, without the kernel. The bias is
 * the last unknown.
 */
static NumericsStatus
SolveInDouble(const Job *job, const RowEntries *row, double reg, float *bias)
{
	AlsWorkspace *ws = job->ws;
	const AlsSpec *spec = &ws->spec;
	size_t		factors = spec->factors;
	size_t		n = factors + (spec->biased ? 1 : 0);
	double	   *a = ws->sum;
	double	   *rhs = a + n * n;
	double	   *x = rhs + n;
	NumericsStatus status;

	memset(a, 0, (n * n + n) * sizeof(double));
	for (size_t i = 0; i < factors; i++)
	{
		if (job->gramian != NULL)
			for (size_t j = 0; j <= i; j++)
				a[i * n + j] = spec->alpha0 * job->gramian[i * factors + j];
		a[i * n + i] += reg;
	}
	if (spec->biased)
		a[n * n - 1] = spec->bias_regularization;

	for (size_t k = 0; k < row->n; k++)
	{
		const float *q = job->other->factors + row->entries[k].index * ws->d;
		double		weight;
		double		target;

		Interpret(spec, job->other, row->entries[k], &weight, &target);
		for (size_t i = 0; i < factors; i++)
			x[i] = q[i];
		if (spec->biased)
			x[factors] = 1.0;
		for (size_t i = 0; i < n; i++)
		{
			double		wx = weight * x[i];

			for (size_t j = 0; j <= i; j++)
				a[i * n + j] += wx * x[j];
			rhs[i] += wx * target;
		}
		/* Counted double: it is so much slower than the kernels. */
		CountWork(ws, (double) n * (n + 8), job->poll, job->arg);
	}

	status = cholesky_factor(a, n, job->poll, job->arg);
	if (status != NUMERICS_OK)
		return status;
	cholesky_solve(a, n, rhs);

	memset(ws->rhs, 0, ws->d * sizeof(float));
	for (size_t i = 0; i < factors; i++)
		ws->rhs[i] = (float) rhs[i];
	*bias = spec->biased ? (float) rhs[factors] : 0.0f;
	return AllFinite(ws->rhs, factors) && isfinite(*bias) ?
		NUMERICS_OK : NUMERICS_DIVERGED;
}

/*
 * Adds the squares that the row's new vector leaves. The last panel may still
 * be at hand, and for most rows it is the only one.
 */
static void
AddResiduals(const Job *job, const RowEntries *row, const float *x, float bias,
			 AlsSums *sums)
{
	AlsWorkspace *ws = job->ws;
	const AlsSpec *spec = &ws->spec;

	for (size_t from = 0; from < row->n; from += ws->panel_rows)
	{
		size_t		n = row->n - from < ws->panel_rows ? row->n - from : ws->panel_rows;

		if (row->n > ws->panel_rows)
			(void) FillPanel(job, row, from, n);
		ws->kernel->multiply(ws->panel, ws->d, ws->d, n, x, ws->product);
		for (size_t k = 0; k < n; k++)
		{
			double		residual = (double) ws->target[k] - ws->product[k] - bias;

			sums->weighted_squares += residual * residual;
		}
		CountWork(ws, (double) n * (ws->d * 4), job->poll, job->arg);
	}
	if (!spec->implicit)
		sums->weight += row->n;
	else
		for (size_t k = 0; k < row->n; k++)
			sums->weight += spec->alpha * row->entries[k].value;
}

static NumericsStatus
SolveRow(const Job *job, AlsSide *self, size_t number, const RowEntries *row,
		 AlsSums *sums)
{
	AlsWorkspace *ws = job->ws;
	float	   *x = self->factors + number * ws->d;
	float		bias = 0.0f;
	double		reg;

	if (row->n == 0)
	{
		memset(x, 0, ws->d * sizeof(float));
		self->bias[number] = 0.0f;
		return NUMERICS_OK;
	}

	reg = RowRegularization(&ws->spec, row->n, job->other->n);
	if (!SolveInSingle(job, row, reg, &bias) &&
		SolveInDouble(job, row, reg, &bias) != NUMERICS_OK)
		return NUMERICS_DIVERGED;
	memcpy(x, ws->rhs, ws->d * sizeof(float));
	self->bias[number] = bias;

	if (sums != NULL)
	{
		AddResiduals(job, row, x, bias, sums);
		sums->penalty += RowPenalty(&ws->spec, self, number, row->n,
									job->other->n);
	}
	return NUMERICS_OK;
}

/* ---- Blocks ---- */

/* alpha0 G in single precision, the pad's diagonal made one. */
static void
PrepareBase(AlsWorkspace *ws, const double *gramian)
{
	size_t		d = ws->d;
	size_t		factors = ws->spec.factors;

	memset(ws->base, 0, d * d * sizeof(float));
	if (gramian != NULL)
		for (size_t i = 0; i < factors; i++)
			for (size_t j = 0; j < factors; j++)
				ws->base[i * d + j] =
					(float) (ws->spec.alpha0 * gramian[i * factors + j]);
	for (size_t i = factors; i < d; i++)
		ws->base[i * d + i] = 1.0f;
}

NumericsStatus
als_solve_block(AlsWorkspace *ws, AlsSide *self, const AlsSide *other,
				const double *gramian, const AlsBlock *block, AlsSums *sums,
				NumericsPoll poll, void *arg)
{
	Job			job = {ws, other, gramian, poll, arg};
	uint64_t	end = block->offset[block->nrows];

	if (sums != NULL)
		memset(sums, 0, sizeof(*sums));
	PrepareBase(ws, gramian);
	for (size_t k = 0; k < block->nrows; k++)
	{
		RowEntries	row = {
			.entries = block->entries + (block->offset[k] - block->offset[0]),
			.n = block->offset[k + 1] - block->offset[k],
			.ahead = end - block->offset[k],
		};
		NumericsStatus status = SolveRow(&job, self, block->first + k, &row, sums);

		if (status != NUMERICS_OK)
			return status;
	}
	return NUMERICS_OK;
}

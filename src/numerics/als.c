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
 * then Cholesky. All of that is the kernel's work (kernel.h); the weights, the
 * order of things and what makes it sound are those of als_row.c:
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
#include <string.h>

#include "numerics/als_internal.h"

/* Rows of a Gramian summed in single precision. */
#define GRAMIAN_CHUNK 1024

/*
 * Rows of a panel: what fills three quarters of the usual first-level cache,
 * but enough that loading and storing A is not what takes the time. Between
 * 16 and 48 kB the size hardly matters at d = 64.
 */
#define PANEL_BYTES (24 * 1024)
#define PANEL_MIN 64
#define PANEL_MAX 256

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

bool
als_needs_blas(const AlsSpec *spec)
{
	return kernel_choose(als_stride(spec->factors)) == &kernel_blas;
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
			als_count_work(ws, (double) n * d * d / 2, poll, arg);
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

double
als_row_penalty(const AlsSpec *spec, const AlsSide *self, size_t row, size_t n,
		   size_t n_other)
{
	size_t		stride = als_stride(spec->factors);
	const float *x = self->factors + row * stride;
	double		bias = spec->biased ? self->bias[row] : 0.0;
	double		squares = 0.0;

	for (size_t k = 0; k < (size_t) spec->factors; k++)
		squares += (double) x[k] * x[k];
	return als_row_regularization(spec, n, n_other) * squares +
		spec->bias_regularization * bias * bias;
}

double
als_penalty(const AlsSpec *spec, const AlsSide *self, size_t n_other,
			const AlsBlock *block)
{
	double		sum = 0.0;

	for (size_t k = 0; k < block->nrows; k++)
		sum += als_row_penalty(spec, self, block->first + k,
						  block->offset[k + 1] - block->offset[k], n_other);
	return sum;
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
					(float) (ws->spec.unobserved_weight * gramian[i * factors + j]);
	for (size_t i = factors; i < d; i++)
		ws->base[i * d + i] = 1.0f;
}

NumericsStatus
als_solve_block(AlsWorkspace *ws, AlsSide *self, const AlsSide *other,
				const double *gramian, const AlsBlock *block, AlsSums *sums,
				NumericsPoll poll, void *arg)
{
	AlsJob			job = {ws, other, gramian, poll, arg};
	uint64_t	end = block->offset[block->nrows];

	if (sums != NULL)
		memset(sums, 0, sizeof(*sums));
	PrepareBase(ws, gramian);
	for (size_t k = 0; k < block->nrows; k++)
	{
		AlsRowEntries	row = {
			.entries = block->entries + (block->offset[k] - block->offset[0]),
			.n = block->offset[k + 1] - block->offset[k],
			.ahead = end - block->offset[k],
		};
		NumericsStatus status = als_solve_row(&job, self, block->first + k, &row, sums);

		if (status != NUMERICS_OK)
			return status;
	}
	return NUMERICS_OK;
}

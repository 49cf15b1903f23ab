/*
 * als_row.c: one row of alternating least squares, from its entries to its vector.
 *
 * The system and the way to its solution are those of als.c's essay: panels of
 * gathered vectors, sums in single precision over CHUNK entries and in double
 * beyond, Cholesky, and everything in double precision where that has failed.
 */
#include <math.h>
#include <string.h>

#include "numerics/als_internal.h"
#include "numerics/cholesky.h"

/* Entries summed in single precision. */
#define CHUNK 4096

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
FillPanel(const AlsJob *job, const AlsRowEntries *row, size_t start, size_t n)
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
AddEntries(const AlsJob *job, const AlsRowEntries *row, size_t from, size_t to)
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
		als_count_work(ws, (double) n * ws->d * (ws->d / 2 + 8), job->poll, job->arg);
	}
	return sum;
}

/* Forms the system of a row of at most CHUNK entries. */
static double
FormShort(const AlsJob *job, const AlsRowEntries *row)
{
	AlsWorkspace *ws = job->ws;

	memcpy(ws->a, ws->base, ws->d * ws->d * sizeof(float));
	ClearSums(ws);
	return AddEntries(job, row, 0, row->n);
}

/* Forms the system of a longer row, the chunks' sums in double precision. */
static double
FormLong(const AlsJob *job, const AlsRowEntries *row)
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
SolveInSingle(const AlsJob *job, const AlsRowEntries *row, double reg, float *bias)
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
	als_count_work(ws, (double) d * d * (d / 6 + 8), job->poll, job->arg);
	*bias = (float) system.corner_solution;
	return AllFinite(ws->rhs, d) && isfinite(*bias);
}

/*
 * The same in double precision from the start, without the kernel. The bias is
 * the last unknown.
 */
static NumericsStatus
SolveInDouble(const AlsJob *job, const AlsRowEntries *row, double reg, float *bias)
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
				a[i * n + j] = spec->unobserved_weight * job->gramian[i * factors + j];
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
		als_count_work(ws, (double) n * (n + 8), job->poll, job->arg);
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
AddResiduals(const AlsJob *job, const AlsRowEntries *row, const float *x, float bias,
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
		als_count_work(ws, (double) n * (ws->d * 4), job->poll, job->arg);
	}
	if (!spec->implicit)
		sums->weight += row->n;
	else
		for (size_t k = 0; k < row->n; k++)
			sums->weight += spec->alpha * row->entries[k].value;
}

NumericsStatus
als_solve_row(const AlsJob *job, AlsSide *self, size_t number, const AlsRowEntries *row,
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

	reg = als_row_regularization(&ws->spec, row->n, job->other->n);
	if (!SolveInSingle(job, row, reg, &bias) &&
		SolveInDouble(job, row, reg, &bias) != NUMERICS_OK)
		return NUMERICS_DIVERGED;
	memcpy(x, ws->rhs, ws->d * sizeof(float));
	self->bias[number] = bias;

	if (sums != NULL)
	{
		AddResiduals(job, row, x, bias, sums);
		sums->penalty += als_row_penalty(&ws->spec, self, number, row->n,
									job->other->n);
	}
	return NUMERICS_OK;
}

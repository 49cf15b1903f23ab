/*
 * foldin.c: one row's normal equations, formed and solved in double precision.
 *
 * With z = (q, 1) where rows have a bias and z = q where not, a row's x solves
 *
 *	 (sum w z z' + alpha0 G + Lambda) x = sum w t z
 *
 * in the notation of als.c, whose double-precision way this is, with two
 * differences: entries come one at a time, so that their number is nobody's
 * concern, and the factored matrix stays, to explain scores with.
 *
 * Entries are held back until there are four and then added in one pass over
 * the matrix: its elements are loaded and stored once for four multiply-adds,
 * which is what costs. The loop is plain and the compiler vectorises it; for a
 * hundred entries of 64 factors it takes some fifty microseconds. Single
 * precision and the kernels of training would take ten, of a call that takes
 * several hundred.
 */
#include <math.h>
#include <string.h>

#include "numerics/cholesky.h"
#include "numerics/foldin.h"

#define HELD 4

/* Multiply-adds between two polls: a few milliseconds. */
#define POLL_WORK 4.0e6

struct Foldin
{
	AlsSpec		spec;
	size_t		n;				/* unknowns: factors, and one for a bias */
	size_t		entries;
	size_t		held;
	double		work;			/* since the last poll */
	double	   *a;				/* n x n, lower triangle; then its factor */
	double	   *rhs;			/* n; then the solution */
	double	   *influence;		/* n: A^-1 z of what is being explained */
	double	   *z;				/* HELD x n */
	double		weight[HELD];
	double		target[HELD];
};

static size_t
Unknowns(const AlsSpec *spec)
{
	return (size_t) spec->factors + (spec->biased ? 1 : 0);
}

size_t
foldin_size(const AlsSpec *spec)
{
	size_t		n = Unknowns(spec);

	return sizeof(Foldin) + (n * n + (2 + HELD) * n) * sizeof(double);
}

Foldin *
foldin_init(void *memory, const AlsSpec *spec, const float *gramian)
{
	Foldin	   *f = memory;
	size_t		d = spec->factors;
	size_t		n = Unknowns(spec);

	memset(f, 0, foldin_size(spec));
	f->spec = *spec;
	f->n = n;
	f->a = (double *) (f + 1);
	f->rhs = f->a + n * n;
	f->influence = f->rhs + n;
	f->z = f->influence + n;
	if (spec->alpha0 > 0)
		for (size_t i = 0; i < d; i++)
			for (size_t j = 0; j <= i; j++)
				f->a[i * n + j] = spec->alpha0 * gramian[i * d + j];
	return f;
}

/* ---- Forming the system ---- */

/* The entry's weight w and what it leaves to explain, t. */
static void
Interpret(const AlsSpec *spec, float bias, float value, double *weight, double *target)
{
	if (spec->implicit)
	{
		*weight = spec->alpha * value;
		*target = 1.0;
	}
	else
	{
		*weight = 1.0;
		*target = value - spec->mean;
		if (spec->biased)
			*target -= bias;
	}
}

/* Adds the entries held to the system; places not taken hold zeros. */
static void
AddHeld(Foldin *f)
{
	size_t		n = f->n;
	const double *z0 = f->z;
	const double *z1 = z0 + n;
	const double *z2 = z1 + n;
	const double *z3 = z2 + n;

	for (size_t i = 0; i < n; i++)
	{
		double		c0 = f->weight[0] * z0[i];
		double		c1 = f->weight[1] * z1[i];
		double		c2 = f->weight[2] * z2[i];
		double		c3 = f->weight[3] * z3[i];
		double	   *row = f->a + i * n;

		for (size_t j = 0; j <= i; j++)
			row[j] += (c0 * z0[j] + c1 * z1[j]) + (c2 * z2[j] + c3 * z3[j]);
		f->rhs[i] += (c0 * f->target[0] + c1 * f->target[1]) +
			(c2 * f->target[2] + c3 * f->target[3]);
	}
	memset(f->z, 0, HELD * n * sizeof(double));
	memset(f->weight, 0, sizeof(f->weight));
	memset(f->target, 0, sizeof(f->target));
	f->held = 0;
}

void
foldin_add(Foldin *f, const float *factors, float bias, float value,
		   NumericsPoll poll, void *arg)
{
	double	   *z = f->z + f->held * f->n;
	size_t		d = f->spec.factors;

	for (size_t k = 0; k < d; k++)
		z[k] = factors[k];
	if (f->spec.biased)
		z[d] = 1.0;
	Interpret(&f->spec, bias, value, &f->weight[f->held], &f->target[f->held]);
	f->entries++;
	if (++f->held < HELD)
		return;

	AddHeld(f);
	f->work += (double) HELD * f->n * (f->n / 2 + 8);
	if (f->work >= POLL_WORK)
	{
		f->work = 0.0;
		if (poll != NULL)
			poll(arg);
	}
}

/* ---- Solving it ---- */

NumericsStatus
foldin_factor(Foldin *f, double n_other, NumericsPoll poll, void *arg)
{
	const AlsSpec *spec = &f->spec;
	double		reg = spec->regularization *
		pow((double) f->entries + spec->alpha0 * n_other, spec->reg_exponent);
	NumericsStatus status;

	if (f->held > 0)
		AddHeld(f);
	for (size_t k = 0; k < (size_t) spec->factors; k++)
		f->a[k * f->n + k] += reg;
	if (spec->biased)
		f->a[f->n * f->n - 1] += spec->bias_regularization;

	status = cholesky_factor(f->a, f->n, poll, arg);
	if (status == NUMERICS_OK)
		cholesky_solve(f->a, f->n, f->rhs);
	return status;
}

NumericsStatus
foldin_solution(const Foldin *f, float *x, float *bias)
{
	size_t		d = f->spec.factors;

	*bias = f->spec.biased ? (float) f->rhs[d] : 0.0f;
	if (!isfinite(*bias))
		return NUMERICS_DIVERGED;
	for (size_t k = 0; k < d; k++)
	{
		x[k] = (float) f->rhs[k];
		if (!isfinite(x[k]))
			return NUMERICS_DIVERGED;
	}
	return NUMERICS_OK;
}

/* ---- Explaining a score ---- */

void
foldin_explain(Foldin *f, const float *factors)
{
	size_t		d = f->spec.factors;

	for (size_t k = 0; k < d; k++)
		f->influence[k] = factors[k];
	if (f->spec.biased)
		f->influence[d] = 1.0;
	cholesky_solve(f->a, f->n, f->influence);
}

double
foldin_contribution(const Foldin *f, const float *factors, float bias, float value)
{
	size_t		d = f->spec.factors;
	double		sum = f->spec.biased ? f->influence[d] : 0.0;
	double		weight;
	double		target;

	for (size_t k = 0; k < d; k++)
		sum += f->influence[k] * factors[k];
	Interpret(&f->spec, bias, value, &weight, &target);
	return weight * target * sum;
}

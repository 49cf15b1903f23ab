/*
 * foldin.c: one row's vector, and what each entry contributes to a score of it.
 *
 * With z = (q, 1) where rows have a bias and z = q where not, a row's x solves
 *
 *	 (sum w z z' + alpha0 G + Lambda) x = sum w t z
 *
 * in the notation of als.c, whose double-precision way this is, with two
 * differences: entries come one at a time, so that their number is nobody's
 * concern, and the factored matrix stays, to explain scores with. Summing and
 * solving are normal.c's; here is what the model makes of an entry. The sums
 * begin at alpha0 G rather than at zero, which saves a second triangle.
 *
 * For a hundred entries of 64 factors it takes some seventy microseconds. Single
 * precision and the kernels of training would take ten, of a call that takes
 * several hundred.
 */
#include <math.h>
#include <string.h>

#include "numerics/cholesky.h"
#include "numerics/foldin.h"
#include "numerics/normal.h"

/* Multiply-adds between two polls: a few milliseconds. */
#define POLL_WORK 4.0e6

struct Foldin
{
	AlsSpec		spec;
	size_t		n;				/* unknowns: factors, and one for a bias */
	double		work;			/* since the last poll */
	double	   *factor;			/* n x n, lower triangle: of the matrix solved */
	double	   *x;				/* n: the solution */
	double	   *influence;		/* n: A^-1 z of what is being explained */
	NormalEquations *eq;
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

	return sizeof(Foldin) + (n * n + 2 * n) * sizeof(double) +
		normal_size(spec->factors, spec->biased);
}

Foldin *
foldin_init(void *memory, const AlsSpec *spec, const float *gramian)
{
	Foldin	   *f = memory;
	size_t		d = spec->factors;
	size_t		n = Unknowns(spec);
	double	   *triangle;

	f->spec = *spec;
	f->n = n;
	f->work = 0.0;
	f->factor = (double *) (f + 1);
	f->x = f->factor + n * n;
	f->influence = f->x + n;
	f->eq = (NormalEquations *) (f->influence + n);
	normal_init(f->eq, spec->factors, spec->biased);
	triangle = f->eq->numbers;
	if (spec->unobserved_weight > 0)
		for (size_t i = 0; i < d; i++)
			for (size_t j = 0; j <= i; j++)
				*triangle++ = spec->unobserved_weight * gramian[i * d + j];
	return f;
}

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

void
foldin_add(Foldin *f, const float *factors, float bias, float value,
		   NumericsPoll poll, void *arg)
{
	double		weight;
	double		target;

	Interpret(&f->spec, bias, value, &weight, &target);
	normal_add(f->eq, factors, weight, target);
	numerics_count_work(&f->work, (double) f->n * (f->n / 2 + 8), POLL_WORK, poll, arg);
}

NumericsStatus
foldin_factor(Foldin *f, double n_other, NumericsPoll poll, void *arg)
{
	const AlsSpec *spec = &f->spec;
	NormalPenalty penalty = {0};	/* but for the Gramian, which the sums have */
	double		squares;

	penalty.regularization = spec->regularization *
		pow((double) f->eq->count + spec->unobserved_weight * n_other, spec->reg_exponent);
	penalty.bias_regularization = spec->bias_regularization;
	return normal_solve(f->eq, &penalty, f->factor, f->x, &squares, poll, arg);
}

void
foldin_solution(const Foldin *f, float *x, float *bias)
{
	size_t		d = f->spec.factors;

	*bias = f->spec.biased ? (float) f->x[d] : 0.0f;
	for (size_t k = 0; k < d; k++)
		x[k] = (float) f->x[k];
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
	cholesky_solve(f->factor, f->n, f->influence);
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

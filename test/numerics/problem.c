/*
 * problem.c: a small ALS problem and what ALS should make of it, computed from
 * the definitions in double precision.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

Problem *
problem_make(const AlsSpec *spec, size_t users, size_t items, double density)
{
	Problem    *p = allocate(sizeof(Problem));
	size_t		n[2] = {users, items};
	float	   *value = allocate(users * items * sizeof(float));

	p->spec = *spec;
	p->stride = als_stride(spec->factors);
	for (size_t k = 0; k < users * items; k++)
	{
		value[k] = NAN;
		if (random_uniform() < density)
		{
			value[k] = spec->implicit ? (int) (4 * random_uniform())
				: 0.5 * (1 + (int) (10 * random_uniform()));
			p->npairs++;
		}
	}
	for (int side = 0; side < 2; side++)
	{
		size_t		at = 0;

		p->offset[side] = allocate((n[side] + 1) * sizeof(uint64_t));
		p->entries[side] = allocate(p->npairs * sizeof(Rating));
		for (size_t k = 0; k < n[side]; k++)
		{
			for (size_t other = 0; other < n[1 - side]; other++)
			{
				float		v = side == 0 ? value[k * items + other] : value[other * items + k];
				Rating		rating = {other, v};

				if (!isnan(v))
					p->entries[side][at++] = rating;
			}
			p->offset[side][k + 1] = at;
		}
		p->side[side].n = n[side];
		p->side[side].factors = allocate(n[side] * p->stride * sizeof(float));
		p->side[side].bias = allocate(n[side] * sizeof(float));
		p->gramian[side] = allocate(spec->factors * spec->factors * sizeof(double));
		for (size_t k = 0; k < n[side]; k++)
		{
			als_init_row(spec, 7, side * 1000003 + k, 1.0,
						 p->side[side].factors + k * p->stride);
			if (spec->biased)
				p->side[side].bias[k] = 0.1f * random_normal();
		}
	}
	free(value);
	return p;
}

void
problem_free(Problem *p)
{
	for (int side = 0; side < 2; side++)
	{
		free(p->offset[side]);
		free(p->entries[side]);
		free(p->side[side].factors);
		free(p->side[side].bias);
		free(p->gramian[side]);
	}
	free(p);
}

void
problem_gramian(Problem *p, AlsWorkspace *ws, int side)
{
	memset(p->gramian[side], 0,
		   p->spec.factors * p->spec.factors * sizeof(double));
	als_gramian(ws, &p->side[side], 0, p->side[side].n, p->gramian[side],
				NULL, NULL);
}

NumericsStatus
problem_solve(Problem *p, AlsWorkspace *ws, int side, size_t block_rows,
			  AlsSums *sums)
{
	size_t		n = p->side[side].n;

	if (p->spec.unobserved_weight > 0.0)
		problem_gramian(p, ws, 1 - side);
	if (sums != NULL)
		memset(sums, 0, sizeof(*sums));
	for (size_t first = 0; first < n; first += block_rows)
	{
		AlsSums		part;
		NumericsStatus status;
		AlsBlock	block = {
			.first = first,
			.nrows = n - first < block_rows ? n - first : block_rows,
			.offset = p->offset[side] + first,
			.entries = p->entries[side] + p->offset[side][first],
		};

		status = als_solve_block(ws, &p->side[side], &p->side[1 - side],
								 p->spec.unobserved_weight > 0.0 ? p->gramian[1 - side] : NULL,
								 &block, sums != NULL ? &part : NULL, NULL, NULL);
		if (status != NUMERICS_OK)
			return status;
		if (sums != NULL)
		{
			sums->weighted_squares += part.weighted_squares;
			sums->weight += part.weight;
			sums->penalty += part.penalty;
		}
	}
	return NUMERICS_OK;
}

static double
NaiveDot(const Problem *p, size_t user, size_t item)
{
	double		sum = 0.0;

	for (int k = 0; k < p->spec.factors; k++)
		sum += (double) p->side[0].factors[user * p->stride + k] *
			p->side[1].factors[item * p->stride + k];
	return sum;
}

double
naive_squares(const Problem *p, double *weight)
{
	double		squares = 0.0;

	*weight = 0.0;
	for (size_t u = 0; u < p->side[0].n; u++)
		for (uint64_t e = p->offset[0][u]; e < p->offset[0][u + 1]; e++)
		{
			Rating		r = p->entries[0][e];
			double		dot = NaiveDot(p, u, r.index);
			double		w = p->spec.implicit ? p->spec.alpha * r.value : 1.0;
			double		residual = p->spec.implicit ? 1.0 - dot :
				r.value - p->spec.mean - p->side[0].bias[u] -
				p->side[1].bias[r.index] - dot;

			squares += w * residual * residual;
			*weight += w;
		}
	return squares;
}

double
naive_objective(const Problem *p)
{
	const AlsSpec *spec = &p->spec;
	double		weight;
	double		objective = naive_squares(p, &weight);

	if (spec->unobserved_weight > 0.0)
		for (size_t u = 0; u < p->side[0].n; u++)
			for (size_t i = 0; i < p->side[1].n; i++)
				objective += spec->unobserved_weight * pow(NaiveDot(p, u, i), 2.0);
	for (int side = 0; side < 2; side++)
		for (size_t k = 0; k < p->side[side].n; k++)
		{
			double		n = p->offset[side][k + 1] - p->offset[side][k];
			double		norm = 0.0;

			for (int j = 0; j < spec->factors; j++)
				norm += pow(p->side[side].factors[k * p->stride + j], 2.0);
			objective += spec->regularization * norm *
				pow(n + spec->unobserved_weight * p->side[1 - side].n, spec->reg_exponent);
			objective += spec->bias_regularization * pow(p->side[side].bias[k], 2.0);
		}
	return objective;
}

/*
 * Each equation is the objective's derivative along one unknown: with e the
 * residuals of the row, sum w e q = unobserved_weight sum_all (x.q) q + reg x.
 */
double
naive_residual(const Problem *p, int side, size_t row)
{
	const AlsSpec *spec = &p->spec;
	const AlsSide *other = &p->side[1 - side];
	const float *x = p->side[side].factors + row * p->stride;
	uint64_t	from = p->offset[side][row];
	uint64_t	to = p->offset[side][row + 1];
	double		reg = spec->regularization *
		pow((double) (to - from) + spec->unobserved_weight * other->n, spec->reg_exponent);
	int			unknowns = spec->factors + (spec->biased ? 1 : 0);
	double		worst = 0.0;

	for (int j = 0; j < unknowns; j++)
	{
		bool		is_bias = j == spec->factors;
		double		sum = is_bias ? spec->bias_regularization * p->side[side].bias[row]
			: reg * x[j];
		double		magnitude = fabs(sum);

		for (uint64_t e = from; e < to; e++)
		{
			Rating		r = p->entries[side][e];
			const float *q = other->factors + r.index * p->stride;
			double		w = spec->implicit ? spec->alpha * r.value : 1.0;
			double		qj = is_bias ? 1.0 : q[j];
			double		t = spec->implicit ? 1.0 :
				r.value - spec->mean - other->bias[r.index];
			double		fit = p->side[side].bias[row];
			double		fit_magnitude = fabs(fit);

			for (int k = 0; k < spec->factors; k++)
			{
				fit += (double) x[k] * q[k];
				fit_magnitude += fabs((double) x[k] * q[k]);
			}
			sum += w * (fit - t) * qj;
			magnitude += w * (fit_magnitude + fabs(t)) * fabs(qj);
		}
		if (spec->unobserved_weight > 0.0 && !is_bias)
			for (size_t i = 0; i < other->n; i++)
			{
				const float *q = other->factors + i * p->stride;
				double		fit = 0.0;

				for (int k = 0; k < spec->factors; k++)
					fit += (double) x[k] * q[k];
				sum += spec->unobserved_weight * fit * q[j];
				magnitude += spec->unobserved_weight * fabs(fit * q[j]);
			}
		if (magnitude > 0.0 && !(fabs(sum) / magnitude <= worst))
			worst = fabs(sum) / magnitude;
	}
	return worst;
}

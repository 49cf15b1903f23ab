/*
 * test_als.c: ALS against its definition, on small problems of every kind.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* The models of each kind that the checks run through. */
static const struct
{
	const char *name;
	AlsSpec		spec;
}			models[] =
{
	{"explicit", {.mean = 2.75,.regularization = 0.1,.reg_exponent = 1.0}},
	{"biased", {.biased = true,.mean = 2.75,.regularization = 0.3,.reg_exponent = 0.5,.bias_regularization = 2.0}},
	{"implicit", {.implicit = true,.alpha = 3.0,.unobserved_weight = 0.2,.regularization = 0.05,.reg_exponent = 1.0}},
	{"implicit, no all-pairs term", {.implicit = true,.alpha = 1.0,.regularization = 0.1,.reg_exponent = 0.0}},
	{"biased with an all-pairs term", {.biased = true,.mean = 2.75,.unobserved_weight = 0.01,.regularization = 0.1,.reg_exponent = 1.0,.bias_regularization = 1.0}},
};

#define NMODELS ((int) (sizeof(models) / sizeof(models[0])))

static AlsWorkspace *
Workspace(const AlsSpec *spec, const Kernel *kernel)
{
	void	   *memory = allocate(als_workspace_size(spec));

	/* Nothing may depend on what the memory held. */
	memset(memory, 0xff, als_workspace_size(spec));
	return kernel != NULL ? als_workspace_init_with(memory, spec, kernel)
		: als_workspace_init(memory, spec);
}

/* Solved rows solve their normal equations, and the pads stay zero. */
static void
TestEquations(int m, const Kernel *kernel, const char *kernel_name)
{
	static const int sizes[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 130, 257};
	double		worst = 0.0;
	double		nudged = 1.0;
	bool		pads = true;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
	{
		AlsSpec		spec = models[m].spec;
		Problem    *p;
		AlsWorkspace *ws;

		spec.factors = sizes[s];
		p = problem_make(&spec, sizes[s] > 100 ? 12 : 30, 140, 0.5);
		ws = Workspace(&spec, kernel);
		for (int side = 1; side >= 0; side--)
		{
			if (problem_solve(p, ws, side, 7, NULL) != NUMERICS_OK)
				worst = INFINITY;
			for (size_t row = 0; row < p->side[side].n; row += 3)
			{
				double		residual = naive_residual(p, side, row);

				if (!(residual <= worst))
					worst = residual;
				for (size_t k = sizes[s]; k < p->stride; k++)
					pads = pads && p->side[side].factors[row * p->stride + k] == 0.0f;
			}
		}
		p->side[0].factors[0] += 0.01f + 0.01f * fabsf(p->side[0].factors[0]);
		nudged = fmin(nudged, naive_residual(p, 0, 0));
		free(ws);
		problem_free(p);
	}
	check(worst < 3e-6, "%s, %s: rows solve their normal equations (%.1e)",
		  models[m].name, kernel_name, worst);
	check(nudged > 3e-5, "%s, %s: nudged rows do not (%.1e)",
		  models[m].name, kernel_name, nudged);
	check(pads, "%s, %s: pads are zero", models[m].name, kernel_name);
}

/* The objective falls, half-iteration by half-iteration, and is what it says. */
static void
TestObjective(int m)
{
	AlsSpec		spec = models[m].spec;
	Problem    *p;
	AlsWorkspace *ws;
	double		before = INFINITY;
	double		deviation = 0.0;
	bool		falls = true;

	spec.factors = 12;
	p = problem_make(&spec, 200, 150, 0.1);
	ws = Workspace(&spec, NULL);
	for (int half = 0; half < 20; half++)
	{
		int			side = half % 2 == 0 ? 1 : 0;
		AlsSums		sums;
		AlsBlock	others = {0, p->side[1 - side].n, p->offset[1 - side], p->entries[1 - side]};
		double		penalty = als_penalty(&spec, &p->side[1 - side], p->side[side].n, &others);
		double		naive;
		double		weight;
		double		objective;

		if (problem_solve(p, ws, side, 64, &sums) != NUMERICS_OK)
			falls = false;
		naive = naive_objective(p);
		objective = sums.weighted_squares + sums.penalty + penalty;
		if (spec.unobserved_weight > 0.0)
		{
			problem_gramian(p, ws, 0);
			problem_gramian(p, ws, 1);
			objective += spec.unobserved_weight *
				als_allpairs(p->gramian[0], p->gramian[1], spec.factors);
		}
		deviation = fmax(deviation, fabs(objective - naive) / naive);
		deviation = fmax(deviation, fabs(naive_squares(p, &weight) - sums.weighted_squares) / naive);
		deviation = fmax(deviation, fabs(weight - sums.weight) / weight);
		if (!(naive <= before * (1.0 + 1e-6)))
			falls = false;
		before = naive;
	}
	check(falls, "%s: the objective never rises", models[m].name);
	check(deviation < 1e-6, "%s: the objective is the naive one (%.1e)",
		  models[m].name, deviation);
	free(ws);
	problem_free(p);
}

/* trace(G_u G_i) is the sum over all pairs; Gramians add up over ranges. */
static void
TestAllPairs(void)
{
	AlsSpec		spec = {.factors = 21,.implicit = true,.alpha = 1.0,.unobserved_weight = 1.0};
	Problem    *p = problem_make(&spec, 5000, 60, 0.01);
	AlsWorkspace *ws = Workspace(&spec, NULL);
	double	   *parts = allocate(21 * 21 * sizeof(double));
	double		brute = 0.0;
	double		found;
	double		worst = 0.0;
	bool		symmetric = true;

	problem_gramian(p, ws, 0);
	problem_gramian(p, ws, 1);
	found = als_allpairs(p->gramian[0], p->gramian[1], 21);
	for (size_t u = 0; u < 5000; u++)
		for (size_t i = 0; i < 60; i++)
		{
			double		dot = 0.0;

			for (int k = 0; k < 21; k++)
				dot += (double) p->side[0].factors[u * p->stride + k] *
					p->side[1].factors[i * p->stride + k];
			brute += dot * dot;
		}
	check(fabs(found - brute) < 1e-6 * brute, "the all-pairs term is the sum over all pairs (%.1e)",
		  fabs(found - brute) / brute);

	als_gramian(ws, &p->side[0], 0, 1234, parts, NULL, NULL);
	als_gramian(ws, &p->side[0], 1234, 5000, parts, NULL, NULL);
	for (int i = 0; i < 21; i++)
		for (int j = 0; j < 21; j++)
		{
			worst = fmax(worst, fabs(parts[i * 21 + j] - p->gramian[0][i * 21 + j]));
			symmetric = symmetric && parts[i * 21 + j] == parts[j * 21 + i];
		}
	check(worst < 3e-6 * p->gramian[0][0], "a Gramian adds up over ranges (%.1e)",
		  worst / p->gramian[0][0]);
	check(symmetric, "a Gramian is symmetric");
	free(parts);
	free(ws);
	problem_free(p);
}

/* However rows are cut into blocks, the result is the same to the bit. */
static void
TestBlocks(int m)
{
	static const size_t cuts[] = {1, 2, 17, 1000};
	static const int sizes[] = {20, 64, 210};
	bool		same = true;

	for (int s = 0; s < 3; s++)
	{
		AlsSpec		spec = models[m].spec;
		Problem    *p;
		size_t		size;
		float	   *first;
		float	   *bias;

		spec.factors = sizes[s];
		p = problem_make(&spec, 70, 250, 0.6);
		size = 70 * p->stride * sizeof(float);
		first = allocate(size);
		bias = allocate(70 * sizeof(float));
		for (int c = 0; c < 4; c++)
		{
			AlsWorkspace *ws = Workspace(&spec, NULL);
			AlsSums		sums;

			same = same && problem_solve(p, ws, 0, cuts[c], c % 2 ? &sums : NULL) == NUMERICS_OK;
			if (c == 0)
			{
				memcpy(first, p->side[0].factors, size);
				memcpy(bias, p->side[0].bias, 70 * sizeof(float));
			}
			same = same && same_bytes(first, p->side[0].factors, size) &&
				same_bytes(bias, p->side[0].bias, 70 * sizeof(float));
			free(ws);
		}
		free(first);
		free(bias);
		problem_free(p);
	}
	check(same, "%s: the same bits from blocks of 1, 2, 17 and all rows", models[m].name);
}

/* The same vector first for the same seed and id; near normal; pads zero. */
static void
TestInit(void)
{
	AlsSpec		spec = {.factors = 33};
	float		row[48];
	float		again[48];
	float		other[48];
	double		sum = 0.0;
	double		square = 0.0;
	double		fourth = 0.0;
	double		pair = 0.0;
	double		n = 0.0;
	bool		pads = true;

	als_init_row(&spec, 1, 2, 1.0, row);
	als_init_row(&spec, 1, 2, 1.0, again);
	check(same_bytes(row, again, sizeof(row)), "initial rows are deterministic");
	als_init_row(&spec, 2, 2, 1.0, again);
	als_init_row(&spec, 1, 3, 1.0, other);
	check(!same_bytes(row, again, 33 * sizeof(float)) &&
		  !same_bytes(row, other, 33 * sizeof(float)) && row[0] != other[1],
		  "initial rows differ by seed and by id");
	for (uint64_t id = 0; id < 20000; id++)
	{
		als_init_row(&spec, 42, id, 0.5, row);
		for (int k = 0; k < 33; k++)
		{
			double		x = row[k] * sqrt(33.0) / 0.5;

			n++;
			sum += x;
			square += x * x;
			fourth += x * x * x * x;
			pair += k > 0 ? x * row[k - 1] * sqrt(33.0) / 0.5 : 0.0;
		}
		for (int k = 33; k < 48; k++)
			pads = pads && row[k] == 0.0f;
	}
	/* Six standard errors of each moment of n normals. */
	check(fabs(sum / n) < 6.0 / sqrt(n), "initial rows: mean %.4f", sum / n);
	check(fabs(square / n - 1.0) < 6.0 * sqrt(2.0 / n), "initial rows: variance %.4f", square / n);
	check(fabs(fourth / n - 3.0) < 6.0 * sqrt(96.0 / n), "initial rows: fourth moment %.4f", fourth / n);
	check(fabs(pair / n) < 6.0 / sqrt(n), "initial rows: neighbours' covariance %.4f", pair / n);
	check(pads, "initial rows: pads are zero");
}

void
test_als(void)
{
	random_seed("als", 5);
	for (int m = 0; m < NMODELS; m++)
	{
		TestEquations(m, NULL, "chosen kernel");
		for (const Kernel *const *kernel = kernel_list(); *kernel != NULL; kernel++)
			TestEquations(m, *kernel, (*kernel)->name);
		TestEquations(m, &kernel_blas, kernel_blas.name);
		TestObjective(m);
		TestBlocks(m);
	}
	TestAllPairs();
	TestInit();
}

/*
 * test_foldin.c: folding in a row against solving it among others.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "numerics/foldin.h"

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

/* The system of one row of users, from its entries. */
static Foldin *
FoldRow(const Problem *p, size_t row, const float *gramian)
{
	void	   *memory = allocate(foldin_size(&p->spec));
	Foldin	   *f;

	memset(memory, 0xff, foldin_size(&p->spec));
	f = foldin_init(memory, &p->spec, gramian);
	for (uint64_t k = p->offset[0][row]; k < p->offset[0][row + 1]; k++)
	{
		Rating		entry = p->entries[0][k];

		foldin_add(f, p->side[1].factors + entry.index * p->stride,
				   p->side[1].bias[entry.index], entry.value, NULL, NULL);
	}
	return f;
}

/* How far the entries' contributions are from adding up to the score. */
static double
Unexplained(const Problem *p, Foldin *f, size_t row, size_t item, const float *x, float bias)
{
	const float *q = p->side[1].factors + item * p->stride;
	double		score = bias;
	double		size = fabs(bias);
	double		sum = 0.0;

	for (int k = 0; k < p->spec.factors; k++)
	{
		score += (double) q[k] * x[k];
		size += fabs((double) q[k] * x[k]);
	}
	foldin_explain(f, q);
	for (uint64_t k = p->offset[0][row]; k < p->offset[0][row + 1]; k++)
	{
		Rating		entry = p->entries[0][k];

		sum += foldin_contribution(f, p->side[1].factors + entry.index * p->stride,
								   p->side[1].bias[entry.index], entry.value);
	}
	return fabs(sum - score) / size;
}

static void
TestModel(int m)
{
	static const int sizes[] = {1, 2, 3, 5, 8, 17, 33, 64, 130};
	double		worst = 0.0;
	double		unexplained = 0.0;
	double		apart = 1.0;
	int			rows = 0;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
	{
		AlsSpec		spec = models[m].spec;
		Problem    *p;
		AlsWorkspace *ws;
		float	   *gramian;
		float	   *x = allocate(sizes[s] * sizeof(float));

		spec.factors = sizes[s];
		p = problem_make(&spec, 25, 90, 0.3);
		ws = allocate(als_workspace_size(&spec));
		ws = als_workspace_init(ws, &spec);
		gramian = allocate(sizes[s] * sizes[s] * sizeof(float));
		if (problem_solve(p, ws, 1, 90, NULL) != NUMERICS_OK ||
			problem_solve(p, ws, 0, 25, NULL) != NUMERICS_OK)
			worst = INFINITY;
		for (int k = 0; k < sizes[s] * sizes[s]; k++)
			gramian[k] = (float) p->gramian[1][k];

		for (size_t row = 0; row < 25; row++)
		{
			const float *trained = p->side[0].factors + row * p->stride;
			Foldin	   *f;
			float		bias;
			double		square = 0.0;
			double		difference;

			if (p->offset[0][row] == p->offset[0][row + 1])
				continue;
			f = FoldRow(p, row, gramian);
			if (foldin_factor(f, p->side[1].n, NULL, NULL) != NUMERICS_OK)
				worst = INFINITY;
			foldin_solution(f, x, &bias);
			difference = pow(bias - p->side[0].bias[row], 2);
			for (int k = 0; k < sizes[s]; k++)
			{
				square += (double) trained[k] * trained[k];
				difference += pow((double) x[k] - trained[k], 2);
			}
			square += pow(p->side[0].bias[row], 2);
			worst = fmax(worst, sqrt(difference / square));
			unexplained = fmax(unexplained, Unexplained(p, f, row, row, x, bias));
			free(f);

			/* What other entries give is something else. */
			if (row > 0 && p->offset[0][row] != p->offset[0][row - 1])
			{
				f = FoldRow(p, row - 1, gramian);
				if (foldin_factor(f, p->side[1].n, NULL, NULL) != NUMERICS_OK)
					worst = INFINITY;
				foldin_solution(f, x, &bias);
				difference = pow(bias - p->side[0].bias[row], 2);
				for (int k = 0; k < sizes[s]; k++)
					difference += pow((double) x[k] - trained[k], 2);
				apart = fmin(apart, sqrt(difference / square));
				free(f);
			}
			rows++;
		}
		free(x);
		free(gramian);
		free(ws);
		problem_free(p);
	}
	check(rows > 200 && worst < 5e-4, "%s: a row folded in is the row trained (%.1e)",
		  models[m].name, worst);
	check(apart > 1e-3, "%s: and no other (%.1e)", models[m].name, apart);
	check(unexplained < 1e-5, "%s: contributions add up to the score (%.1e)",
		  models[m].name, unexplained);
}

static void
CountPoll(void *arg)
{
	++*(int *) arg;
}

/* No row is solved that cannot be, and long work is interruptible. */
static void
TestLimits(void)
{
	AlsSpec		spec = {.factors = 3};
	float		q[2][3] = {{1, 2, 3}, {INFINITY, 0, 0}};
	float		x[3];
	float		bias;
	Foldin	   *f;
	int			polls = 0;
	bool		solved;

	f = foldin_init(allocate(foldin_size(&spec)), &spec, NULL);
	foldin_add(f, q[0], 0, 1, NULL, NULL);
	check(foldin_factor(f, 1, NULL, NULL) == NUMERICS_DIVERGED,
		  "one entry for three unknowns is singular without regularization");
	free(f);

	spec.regularization = 0.5;
	f = foldin_init(allocate(foldin_size(&spec)), &spec, NULL);
	foldin_add(f, q[0], 0, 1, NULL, NULL);
	solved = foldin_factor(f, 1, NULL, NULL) == NUMERICS_OK;
	foldin_solution(f, x, &bias);
	check(solved &&
		  fabs(x[0] - 1 / 14.5) < 1e-7 && fabs(x[2] - 3 / 14.5) < 1e-7 && bias == 0,
		  "one entry with it is a scaled copy");
	free(f);

	f = foldin_init(allocate(foldin_size(&spec)), &spec, NULL);
	foldin_add(f, q[1], 0, 1, NULL, NULL);
	check(foldin_factor(f, 1, NULL, NULL) == NUMERICS_DIVERGED, "infinite factors diverge");
	free(f);

	spec.factors = 500;
	f = foldin_init(allocate(foldin_size(&spec)), &spec, NULL);
	for (int k = 0; k < 400; k++)
	{
		float		row[500];

		for (int j = 0; j < 500; j++)
			row[j] = random_normal();
		foldin_add(f, row, 0, 1, CountPoll, &polls);
	}
	check(polls >= 10, "adding entries polls (%d)", polls);
	polls = 0;
	solved = foldin_factor(f, 1, CountPoll, &polls) == NUMERICS_OK;
	check(solved && polls > 20, "solving polls (%d)", polls);
	free(f);
}

void
test_foldin(void)
{
	random_seed("fold-in", 11);
	for (int m = 0; m < NMODELS; m++)
		TestModel(m);
	TestLimits();
}

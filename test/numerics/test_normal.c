/*
 * test_normal.c: normal equations summed in parts, against the same in full.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "numerics/normal.h"

#define D 7
#define ROWS 60

static double
Value(int k)
{
	return sin(k * 12.9898) * 2 - cos(k * 4.1414);
}

/* Rows [from, to) of a made-up problem. */
static NormalEquations *
Sums(bool biased, int from, int to)
{
	NormalEquations *eq = malloc(normal_size(D, biased));

	normal_init(eq, D, biased);
	for (int r = from; r < to; r++)
	{
		float		q[D];

		for (int k = 0; k < D; k++)
			q[k] = (float) Value(r * D + k);
		normal_add(eq, q, 1 + (r % 3) * 0.5, Value(-r));
	}
	return eq;
}

static void
CheckParts(bool biased)
{
	NormalEquations *whole = Sums(biased, 0, ROWS);
	NormalEquations *part = Sums(biased, 0, 17);
	NormalEquations *rest = Sums(biased, 17, ROWS);
	double		worst = 0;

	normal_flush(whole);
	normal_merge(part, rest);
	normal_flush(part);
	for (size_t k = 0; k < normal_numbers(whole); k++)
		worst = fmax(worst, fabs(whole->numbers[k] - part->numbers[k]));
	check(worst < 1e-11, "normal: parts add up (biased %d: %g)", biased, worst);
	check(part->count == ROWS, "normal: counts add up (biased %d)", biased);
	check(fabs(part->squares - whole->squares) < 1e-11,
		  "normal: squares add up (biased %d)", biased);
	free(whole);
	free(part);
	free(rest);
}

/* The gradient of the objective at the solution, and its squares, from the rows. */
static void
CheckSolution(bool biased, double unobserved_weight)
{
	NormalEquations *eq = Sums(biased, 0, ROWS);
	double		gramian[D * (D + 1) / 2];
	NormalPenalty penalty = {
		.regularization = 0.7, .bias_regularization = 0.3,
		.unobserved_weight = unobserved_weight, .gramian = unobserved_weight > 0 ? gramian : NULL
	};
	double		work[(D + 1) * (D + 1)];
	double		x[D + 1] = {0};
	double		gradient[D + 1] = {0};
	double		direct = 0;
	double		squares;
	double		worst = 0;

	for (int i = 0, k = 0; i < D; i++)
		for (int j = 0; j <= i; j++)
			gramian[k++] = i == j ? 3 : 0.25;

	check(normal_solve(eq, &penalty, work, x, &squares, NULL, NULL) == NUMERICS_OK,
		  "normal: solved (biased %d)", biased);
	for (int r = 0; r < ROWS; r++)
	{
		double		weight = 1 + (r % 3) * 0.5;
		double		e = Value(-r) - (biased ? x[D] : 0);

		for (int k = 0; k < D; k++)
			e -= (float) Value(r * D + k) * x[k];
		for (int k = 0; k < D; k++)
			gradient[k] += weight * e * (float) Value(r * D + k);
		gradient[D] += weight * e;
		direct += weight * e * e;
	}
	for (int i = 0; i < D; i++)
	{
		gradient[i] -= penalty.regularization * x[i];
		for (int j = 0; j < D && unobserved_weight > 0; j++)
			gradient[i] -= unobserved_weight * (i == j ? 3 : 0.25) * x[j];
		worst = fmax(worst, fabs(gradient[i]));
	}
	if (biased)
		worst = fmax(worst, fabs(gradient[D] - penalty.bias_regularization * x[D]));
	check(worst < 1e-10, "normal: no gradient is left (biased %d, unobserved_weight %g: %g)",
		  biased, unobserved_weight, worst);
	check(fabs(squares / direct - 1) < 1e-11,
		  "normal: the squares left follow from the sums (biased %d, unobserved_weight %g: %g)",
		  biased, unobserved_weight, squares / direct - 1);
	free(eq);
}

static void
CheckSquare(void)
{
	NormalEquations *eq = Sums(false, 0, ROWS);
	double		square[D * D];
	double		worst = 0;

	normal_square(eq, square);
	for (int i = 0; i < D; i++)
		for (int j = 0; j < D; j++)
		{
			double		sum = 0;

			for (int r = 0; r < ROWS; r++)
				sum += (1 + (r % 3) * 0.5) * (float) Value(r * D + i) * (float) Value(r * D + j);
			worst = fmax(worst, fabs(sum - square[i * D + j]));
		}
	check(worst < 1e-10, "normal: the square is the sum of outer products (%g)", worst);
	free(eq);
}

/* Fewer rows than unknowns, and nothing that regularizes. */
static void
CheckSingular(void)
{
	NormalEquations *eq = Sums(true, 0, 3);
	NormalPenalty none = {0};
	double		work[(D + 1) * (D + 1)];
	double		x[D + 1];
	double		squares;

	check(normal_solve(eq, &none, work, x, &squares, NULL, NULL) == NUMERICS_DIVERGED,
		  "normal: a singular system is refused");
	free(eq);
}

void
test_normal(void)
{
	CheckParts(false);
	CheckParts(true);
	CheckSolution(false, 0);
	CheckSolution(true, 0);
	CheckSolution(false, 0.4);
	CheckSquare();
	CheckSingular();
}

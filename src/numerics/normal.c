/*
 * normal.c: the normal equations of one row, entry by entry.
 *
 * als.c solves rows of which all entries are at hand, by panels and in single
 * precision. Here they come one at a time, in any order, in parts that are
 * summed by different processes or machines and added up later. So the sums
 * themselves are the state: half a symmetric matrix and a vector, whatever the
 * number of entries, in double precision since nothing bounds that number.
 *
 * What is left of the squares follows from the sums too. With M = sum w z z^T
 * and r = sum w t z,
 *
 *	 sum w (t - z.x)^2 = sum w t^2 - 2 x.r + x.Mx
 *
 * which cancels, but in double precision: of the entries' squares a part in
 * 10^13 or so is lost, where the error that is reported needs six digits.
 *
 * An aggregate over many groups goes from one system to another with each entry,
 * and each is larger than the first cache. So an entry is first put aside, in a
 * panel of NORMAL_PANEL vectors, and the triangle is gone through once a panel.
 * The panel is of doubles too, or each would be converted once a row.
 *
 * The triangle is packed: half the memory of a matrix, for as many rows as an
 * aggregate has groups, and half the bytes when parts are sent.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "numerics/cholesky.h"
#include "numerics/normal.h"

static size_t
PackedSize(size_t n)
{
	return n * (n + 1) / 2;
}

size_t
normal_size(int factors, bool biased)
{
	size_t		n = (size_t) factors + (biased ? 1 : 0);

	return offsetof(NormalEquations, numbers) +
		(PackedSize(n) + n) * sizeof(double) +
		(size_t) NORMAL_PANEL * factors * sizeof(double);
}

void
normal_init(NormalEquations *eq, int factors, bool biased)
{
	memset(eq, 0, normal_size(factors, biased));
	eq->factors = factors;
	eq->biased = biased;
}

static double *
Panel(NormalEquations *eq)
{
	return eq->numbers + normal_numbers(eq);
}

/*
 * row_j += sum_p c_p q_pj for j < n, over a whole panel: a loop that the compiler
 * vectorises, the rows not overlapping.
 */
static void
AddPanelRow(double *restrict row, size_t n, const double *c,
			const double *restrict panel, size_t d)
{
	for (size_t j = 0; j < n; j++)
		row[j] += ((c[0] * panel[j] + c[1] * panel[d + j]) +
				   (c[2] * panel[2 * d + j] + c[3] * panel[3 * d + j])) +
			((c[4] * panel[4 * d + j] + c[5] * panel[5 * d + j]) +
			 (c[6] * panel[6 * d + j] + c[7] * panel[7 * d + j]));
}

void
normal_flush(NormalEquations *eq)
{
	size_t		d = eq->factors;
	size_t		n = normal_unknowns(eq);
	double	   *panel = Panel(eq);
	double	   *row = eq->numbers;
	double	   *rhs = row + PackedSize(n);

	if (eq->waiting == 0)
		return;
	/* What is not there weighs nothing; what lies there might be infinite. */
	for (int p = eq->waiting; p < NORMAL_PANEL; p++)
	{
		eq->weight[p] = eq->target[p] = 0.0;
		memset(panel + p * d, 0, d * sizeof(double));
	}
	for (size_t i = 0; i < n; i++)
	{
		double		c[NORMAL_PANEL];

		for (int p = 0; p < NORMAL_PANEL; p++)
		{
			c[p] = eq->weight[p] * (i < d ? panel[p * d + i] : 1.0);
			rhs[i] += c[p] * eq->target[p];
		}
		AddPanelRow(row, i < d ? i + 1 : d, c, panel, d);
		if (i == d)
			for (int p = 0; p < NORMAL_PANEL; p++)
				row[d] += c[p];
		row += i + 1;
	}
	eq->waiting = 0;
}

void
normal_add(NormalEquations *eq, const float *q, double weight, double target)
{
	double	   *entry = Panel(eq) + (size_t) eq->waiting * eq->factors;

	for (int k = 0; k < eq->factors; k++)
		entry[k] = q[k];
	eq->weight[eq->waiting] = weight;
	eq->target[eq->waiting] = target;
	eq->squares += weight * target * target;
	eq->count++;
	if (++eq->waiting == NORMAL_PANEL)
		normal_flush(eq);
}

void
normal_merge(NormalEquations *eq, NormalEquations *other)
{
	size_t		numbers = normal_numbers(eq);

	normal_flush(eq);
	normal_flush(other);
	for (size_t k = 0; k < numbers; k++)
		eq->numbers[k] += other->numbers[k];
	eq->squares += other->squares;
	eq->count += other->count;
}

void
normal_square(NormalEquations *eq, double *square)
{
	size_t		n = normal_unknowns(eq);
	const double *row = eq->numbers;

	normal_flush(eq);
	for (size_t i = 0; i < n; i++)
	{
		for (size_t j = 0; j <= i; j++)
			square[i * n + j] = square[j * n + i] = row[j];
		row += i + 1;
	}
}

/* sum w (t - z.x)^2, from the sums; never below zero by rounding. */
static double
SquaresLeft(const NormalEquations *eq, const double *x)
{
	size_t		n = normal_unknowns(eq);
	const double *row = eq->numbers;
	const double *rhs = row + PackedSize(n);
	double		left = eq->squares;

	for (size_t i = 0; i < n; i++)
	{
		double		sum = 0.0;

		for (size_t j = 0; j < i; j++)
			sum += row[j] * x[j];
		left += x[i] * (2 * sum + row[i] * x[i] - 2 * rhs[i]);
		row += i + 1;
	}
	return left < 0.0 ? 0.0 : left;
}

NumericsStatus
normal_solve(NormalEquations *eq, const NormalPenalty *penalty,
			 double *work, double *x, double *squares,
			 NumericsPoll poll, void *arg)
{
	size_t		factors = eq->factors;
	size_t		n = normal_unknowns(eq);
	const double *row = eq->numbers;
	const double *gramian = penalty->gramian;
	NumericsStatus status;

	normal_flush(eq);
	for (size_t i = 0; i < n; i++)
	{
		for (size_t j = 0; j <= i; j++)
			work[i * n + j] = row[j];
		if (i < factors)
		{
			if (gramian != NULL)
			{
				for (size_t j = 0; j <= i; j++)
					work[i * n + j] += penalty->unobserved_weight * gramian[j];
				gramian += i + 1;
			}
			work[i * n + i] += penalty->regularization;
		}
		else
			work[i * n + i] += penalty->bias_regularization;
		row += i + 1;
	}
	memcpy(x, row, n * sizeof(double));

	status = cholesky_factor(work, n, poll, arg);
	if (status != NUMERICS_OK)
		return status;
	cholesky_solve(work, n, x);
	for (size_t k = 0; k < n; k++)
		if (!isfinite((float) x[k]))
			return NUMERICS_DIVERGED;
	*squares = SquaresLeft(eq, x);
	return NUMERICS_OK;
}

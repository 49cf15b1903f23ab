/*
 * cholesky.c: Cholesky's factorisation in double precision, row by row.
 *
 * Row i of L follows from the rows above it by inner products of rows,
 *
 *	 L_ij = (A_ij - sum_k<j L_ik L_jk) / L_jj,   L_ii = sqrt(A_ii - sum L_ik^2)
 *
 * which walk memory in order. They are formed in eight partial sums, which the
 * compiler vectorises without leave to reorder, always in the same order.
 *
 * A pivot must exceed n units of rounding of the diagonal element it came
 * from. What is smaller is noise, whatever its sign, and dividing by it would
 * give a large, meaningless solution where an error is due.
 */
#include <float.h>
#include <math.h>

#include "numerics/cholesky.h"

#define PARTS 8

static double
Dot(const double *x, const double *y, size_t n)
{
	double		part[PARTS] = {0};
	size_t		k = 0;

	for (; k + PARTS <= n; k += PARTS)
		for (int l = 0; l < PARTS; l++)
			part[l] += x[k + l] * y[k + l];
	for (int l = 0; k + l < n; l++)
		part[l] += x[k + l] * y[k + l];
	for (int half = PARTS / 2; half > 0; half /= 2)
		for (int l = 0; l < half; l++)
			part[l] += part[l + half];
	return part[0];
}

NumericsStatus
cholesky_factor(double *a, size_t n, NumericsPoll poll, void *arg)
{
	for (size_t i = 0; i < n; i++)
	{
		double	   *row = a + i * n;
		double		pivot;

		/* A row of two thousand is two million products: a millisecond. */
		if (poll != NULL && i % 16 == 15)
			poll(arg);

		for (size_t j = 0; j < i; j++)
			row[j] = (row[j] - Dot(row, a + j * n, j)) / a[j * n + j];

		pivot = row[i] - Dot(row, row, i);
		if (!(pivot > n * DBL_EPSILON * row[i]) || !isfinite(pivot))
			return NUMERICS_DIVERGED;
		row[i] = sqrt(pivot);
	}
	return NUMERICS_OK;
}

void
cholesky_solve(const double *l, size_t n, double *b)
{
	for (size_t i = 0; i < n; i++)
		b[i] = (b[i] - Dot(l + i * n, b, i)) / l[i * n + i];

	/* The transpose by rows of L: x_i is known, take it out of the others. */
	for (size_t i = n; i-- > 0;)
	{
		const double *row = l + i * n;

		b[i] /= row[i];
		for (size_t j = 0; j < i; j++)
			b[j] -= row[j] * b[i];
	}
}

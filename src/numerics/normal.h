/*
 * normal.h: the normal equations of one row, summed entry by entry in double
 * precision, in parts that can be added, and solved without BLAS.
 */
#ifndef FACTOR_NORMAL_H
#define FACTOR_NORMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numerics/status.h"

/*
 * Sums over a row's entries, each with a vector q of the other side, a weight w
 * and a target t; z is q, with a one added at its end where there is a bias:
 *
 *	 triangle	sum w z z^T: the lower half, row after row, packed
 *	 rhs		sum w t z
 *	 squares	sum w t^2
 *
 * The numbers follow the struct, and after them the panel: entries that were
 * added last and are not in the sums yet. The functions here take care of it;
 * who reads the numbers calls normal_flush() first.
 */
#define NORMAL_PANEL 8

typedef struct NormalEquations
{
	int			factors;
	bool		biased;
	int			waiting;		/* entries in the panel */
	uint64_t	count;			/* entries */
	double		squares;
	double		weight[NORMAL_PANEL];
	double		target[NORMAL_PANEL];
	double		numbers[];
} NormalEquations;

/* What the objective adds to a row's sums. */
typedef struct NormalPenalty
{
	double		regularization; /* of the row: lambda (n + ...)^nu */
	double		bias_regularization;
	double		unobserved_weight;	/* times the Gramian */
	const double *gramian;		/* its lower half, packed; NULL: none */
} NormalPenalty;

/* Unknowns: the factors, and the bias after them. */
static inline size_t
normal_unknowns(const NormalEquations *eq)
{
	return (size_t) eq->factors + (eq->biased ? 1 : 0);
}

/* Numbers of the packed triangle and of the right-hand side that follows it. */
static inline size_t
normal_numbers(const NormalEquations *eq)
{
	size_t		n = normal_unknowns(eq);

	return n * (n + 1) / 2 + n;
}

/* Bytes for a system, and its making in memory of that size: all sums zero. */
extern size_t normal_size(int factors, bool biased);
extern void normal_init(NormalEquations *eq, int factors, bool biased);

/* Adds an entry. */
extern void normal_add(NormalEquations *eq, const float *q,
					   double weight, double target);

/* Brings the numbers up to date with the entries added. */
extern void normal_flush(NormalEquations *eq);

/* Adds another part's sums; both have the same shape. */
extern void normal_merge(NormalEquations *eq, NormalEquations *other);

/*
 * Writes sum w z z^T in full, symmetric, row after row: n x n for n unknowns.
 */
extern void normal_square(NormalEquations *eq, double *square);

/*
 * Solves with the penalty added. `x` takes the n unknowns, `squares` the sum of
 * w (t - z.x)^2 that is left; `work`, room for n x n numbers, takes the Cholesky
 * factor of the matrix solved, for cholesky_solve(). More entries may be added
 * after.
 *
 * NUMERICS_DIVERGED: singular in double precision, or not finite.
 */
extern NumericsStatus normal_solve(NormalEquations *eq,
								   const NormalPenalty *penalty,
								   double *work, double *x, double *squares,
								   NumericsPoll poll, void *arg);

#endif							/* FACTOR_NORMAL_H */

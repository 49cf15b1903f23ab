/*
 * cholesky.h: symmetric positive definite systems in double precision, without
 * BLAS: for single systems, and where single precision does not do.
 */
#ifndef FACTOR_CHOLESKY_H
#define FACTOR_CHOLESKY_H

#include <stddef.h>

#include "numerics/status.h"

/*
 * Overwrites the lower triangle of A (n x n, row after row) by L where
 * L L^T = A; what is above the diagonal is neither read nor written.
 *
 * NUMERICS_DIVERGED where a pivot is not positive beyond its rounding error
 * (or is NaN or infinite): A is then, for what doubles can tell, singular.
 */
extern NumericsStatus cholesky_factor(double *a, size_t n,
									  NumericsPoll poll, void *arg);

/* Overwrites b by the solution x of L L^T x = b. */
extern void cholesky_solve(const double *l, size_t n, double *b);

#endif							/* FACTOR_CHOLESKY_H */

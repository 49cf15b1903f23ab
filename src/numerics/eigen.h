/*
 * eigen.h: the two largest eigenvalues of a symmetric matrix, and their vectors.
 */
#ifndef FACTOR_EIGEN_H
#define FACTOR_EIGEN_H

#include <stddef.h>

#include "numerics/status.h"

/* Doubles of work space for a matrix d by d. */
extern size_t eigen_work(size_t d);

/*
 * The largest eigenvalues of A, d by d, d >= 2, both of its triangles filled,
 * positive semidefinite and finite: the largest first, with vectors of length
 * one at right angles. `poll` is called every few milliseconds.
 *
 * The residuals |A x - value x| are at most EIGEN_TOLERANCE times the largest
 * value, but where so many eigenvalues lie so close together that this was not
 * reached within EIGEN_STEPS steps: then the vectors are of that cluster.
 */
#define EIGEN_TOLERANCE 1e-10
#define EIGEN_STEPS 1000

extern void eigen_largest(const double *a, size_t d, double value[2], double *vector[2],
						  double *work, NumericsPoll poll, void *arg);

#endif							/* FACTOR_EIGEN_H */

/*
 * distance.h: inner products, norms and distances of float vectors.
 *
 * Every function returns a double formed in one fixed order of operations
 * (sixteen partial sums, added pairwise), so that it is the same to the bit on
 * every processor, vectorised or not. The product of two floats is exact in a
 * double; only the sums round.
 */
#ifndef FACTOR_DISTANCE_H
#define FACTOR_DISTANCE_H

#include <stddef.h>

/* sum a_k b_k */
extern double vector_dot(const float *a, const float *b, size_t n);

/* sqrt(sum (a_k - b_k)^2) */
extern double vector_l2_distance(const float *a, const float *b, size_t n);

/* 1 - a.b / (|a| |b|), kept within [0, 2]; NaN where a norm is zero */
extern double vector_cosine_distance(const float *a, const float *b, size_t n);

#endif							/* FACTOR_DISTANCE_H */

/*
 * foldin.h: the vector of one row from its entries, given the other side: what
 * als_solve_block() does, for a single row, by normal.c: in double precision and
 * without BLAS, so that serving needs no library and no workspace of panels.
 *
 *	 Foldin *f = foldin_init(memory, &spec, gramian);
 *	 for each entry: foldin_add(f, q, b_other, value, poll, arg);
 *	 if (foldin_factor(f, n_other, poll, arg) == NUMERICS_OK)
 *		 foldin_solution(f, x, &bias);
 */
#ifndef FACTOR_FOLDIN_H
#define FACTOR_FOLDIN_H

#include <stddef.h>

#include "numerics/als.h"
#include "numerics/status.h"

typedef struct Foldin Foldin;

/* Bytes that one takes, a little more than 12 d^2. */
extern size_t foldin_size(const AlsSpec *spec);

/*
 * Begins in memory that the caller provides, aligned as for a double. `gramian`
 * is the other side's, d x d, where unobserved_weight > 0; not looked at otherwise.
 */
extern Foldin *foldin_init(void *memory, const AlsSpec *spec, const float *gramian);

/* Adds an entry: the other side's vector and bias, and the value. */
extern void foldin_add(Foldin *f, const float *factors, float bias, float value,
					   NumericsPoll poll, void *arg);

/*
 * Factors the system of the entries added, of which there must be one at
 * least; none may be added after. n_other counts the rows of the other side.
 * NUMERICS_DIVERGED: it is not positive definite, or the solution not finite.
 */
extern NumericsStatus foldin_factor(Foldin *f, double n_other,
									NumericsPoll poll, void *arg);

/* The row's vector, d floats, and its bias (0 where the model has none). */
extern void foldin_solution(const Foldin *f, float *x, float *bias);

/*
 * What each entry contributes to the row's score of one vector of the other
 * side. The solution is linear in the entries' targets, x = A^-1 sum w t z, so
 * the score z'x is the sum over entries of w t z' A^-1 z_entry (Hu, Koren and
 * Volinsky 2008, section 5). foldin_explain() says which vector is scored;
 * foldin_contribution() gives one entry's term.
 */
extern void foldin_explain(Foldin *f, const float *factors);
extern double foldin_contribution(const Foldin *f, const float *factors, float bias,
								  float value);

#endif							/* FACTOR_FOLDIN_H */

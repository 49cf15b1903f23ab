/*
 * check.h: counting checks, reproducible random numbers, and a small ALS
 * problem with its naive solution, for the tests of the numerics.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numerics/als.h"
#include "numerics/kernel.h"

/* Prints one line, "ok" or "not ok" and the words, and counts it. */
extern void check(bool passed, const char *words,...)
			__attribute__((format(printf, 2, 3)));

/* ---- Random numbers; the seed is printed when set ---- */
extern void random_seed(const char *what, uint64_t seed);
extern double random_uniform(void); /* [0, 1) */
extern size_t random_below(size_t n);	/* 0 .. n - 1 */
extern float random_normal(void);

/* 64-byte aligned and zeroed; never fails. */
extern void *allocate(size_t size);

/* Is the memory the same, byte for byte? */
extern bool same_bytes(const void *a, const void *b, size_t size);

/* ---- A small problem, the same pairs seen from both sides ---- */
typedef struct Problem
{
	AlsSpec		spec;
	size_t		stride;
	size_t		npairs;
	uint64_t   *offset[2];
	Rating	   *entries[2];
	AlsSide		side[2];
	double	   *gramian[2];		/* d x d, of the sides' present vectors */
} Problem;

extern Problem *problem_make(const AlsSpec *spec, size_t users, size_t items,
							 double density);
extern void problem_free(Problem *problem);

/* The side's Gramian anew, by als_gramian. */
extern void problem_gramian(Problem *problem, AlsWorkspace *ws, int side);

/* Solves all rows of a side, `block_rows` at a time; sums may be NULL. */
extern NumericsStatus problem_solve(Problem *problem, AlsWorkspace *ws, int side,
									size_t block_rows, AlsSums *sums);

/* The objective of als.h, from its definition, in double precision. */
extern double naive_objective(const Problem *problem);

/* The weighted squares and weights alone. */
extern double naive_squares(const Problem *problem, double *weight);

/*
 * How far the row is from solving its normal equations: the largest residual
 * of an equation over the sum of the magnitudes of its terms.
 */
extern double naive_residual(const Problem *problem, int side, size_t row);

extern void test_blas(void);
extern void test_kernels(void);
extern void test_als(void);
extern void test_als_limits(void);
extern void test_rest(void);
extern void test_eigen(void);
extern void test_codes(void);
extern void test_judge(void);
extern void test_foldin(void);
extern void test_screen(void);
extern void test_topall(void);
extern void test_normal(void);
extern void test_losses(void);
extern void test_sgd(void);

#endif							/* CHECK_H */

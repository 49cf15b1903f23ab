/*
 * als.h: weighted alternating least squares, explicit (biased) and implicit.
 *
 * The objective, over users u and items i, with the observed pairs' weights c:
 *
 *	 sum_observed c_ui (r_ui - rhat_ui)^2  +  alpha0 sum_all_pairs (p_u . q_i)^2
 *	   + lambda sum_u (n_u + alpha0 |I|)^nu |p_u|^2
 *	   + lambda sum_i (n_i + alpha0 |U|)^nu |q_i|^2
 *	   + lambda_b (sum_u b_u^2 + sum_i b_i^2)
 *
 * with lambda, nu, lambda_b, mu and alpha0 the regularization, reg_exponent,
 * bias_regularization, mean and unobserved_weight of an AlsSpec.
 *
 * explicit: c = 1, rhat = mu + b_u + b_i + p_u . q_i, alpha0 = 0 as a rule.
 * implicit: r = 1, c = alpha * value, rhat = p_u . q_i, no biases.
 * (Hu, Koren, Volinsky 2008; Rendle et al. 2022 for nu and alpha0.)
 *
 * Fixing one side, each row of the other is a least-squares problem of its
 * own, solved exactly: als_solve_block() does so for a range of rows.
 *
 * Plain arrays and a workspace in, a status out; nothing here allocates, and
 * nothing knows PostgreSQL.
 */
#ifndef FACTOR_ALS_H
#define FACTOR_ALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numerics/status.h"

/* One observed pair as a row sees it: the other side's row, and the value. */
typedef struct Rating
{
	uint32_t	index;
	float		value;
} Rating;

typedef struct AlsSpec
{
	int			factors;		/* d, 1 .. ALS_MAX_FACTORS */
	bool		implicit;
	bool		biased;			/* solve b_u, b_i jointly; explicit only */
	double		mean;			/* mu; 0 for implicit */
	double		alpha;			/* implicit: c = alpha * value */
	double		unobserved_weight;	/* alpha0, of all pairs */
	double		regularization; /* lambda */
	double		reg_exponent;	/* nu */
	double		bias_regularization;	/* lambda_b */
} AlsSpec;

#define ALS_MAX_FACTORS 2000

/*
 * The vectors of one side: n rows of `stride` floats (als_stride(d), the pad
 * always zero), 64-byte aligned, and n biases (all zero when not biased).
 */
typedef struct AlsSide
{
	float	   *factors;
	float	   *bias;
	size_t		n;
} AlsSide;

/*
 * A range of rows with their observed pairs: row first + k has the entries
 * entries[offset[k] - offset[0]] up to entries[offset[k + 1] - offset[0]].
 */
typedef struct AlsBlock
{
	size_t		first;
	size_t		nrows;
	const uint64_t *offset;		/* nrows + 1 of them */
	const Rating *entries;
} AlsBlock;

/* What a block adds to the training error and to the objective. */
typedef struct AlsSums
{
	double		weighted_squares;	/* sum of c (r - rhat)^2 */
	double		weight;			/* sum of c */
	double		penalty;		/* lambda and lambda_b terms of its rows */
} AlsSums;

/* Floats from one row to the next. */
extern size_t als_stride(int factors);

/*
 * A workspace for als_solve_block: its size in bytes, and its making in memory
 * that the caller provides (64-byte aligned). Where als_needs_blas() says so, all
 * that computes with it needs OpenBLAS loaded.
 *
 * als_workspace_init takes the best kernel for this processor;
 * als_workspace_init_with the one given (see kernel.h), for comparing them.
 */
typedef struct AlsWorkspace AlsWorkspace;
struct Kernel;
extern bool als_needs_blas(const AlsSpec *spec);
extern size_t als_workspace_size(const AlsSpec *spec);
extern AlsWorkspace *als_workspace_init(void *memory, const AlsSpec *spec);
extern AlsWorkspace *als_workspace_init_with(void *memory, const AlsSpec *spec,
											 const struct Kernel *kernel);

/*
 * Adds rows [from, to) of a side to its Gramian, sum x x^T: d x d doubles, row
 * after row, symmetric, both halves written. The caller zeroes it first.
 */
extern void als_gramian(AlsWorkspace *ws, const AlsSide *side,
						size_t from, size_t to, double *gramian,
						NumericsPoll poll, void *arg);

/*
 * Solves the block's rows of `self` given all of `other`. `gramian` is other's
 * (d x d), used where unobserved_weight > 0 and NULL otherwise. A row without entries
 * gets zeros. With `sums`, computes the block's sums from the new rows.
 *
 * Each row depends on nothing but its own entries, `other` and `gramian`, and
 * is the same to the bit on the same kind of processor, however rows are cut
 * into blocks and whoever solves them.
 *
 * NUMERICS_DIVERGED: a system was not positive definite in double precision
 * either, or a solution is not finite.
 */
extern NumericsStatus als_solve_block(AlsWorkspace *ws,
									  AlsSide *self, const AlsSide *other,
									  const double *gramian,
									  const AlsBlock *block, AlsSums *sums,
									  NumericsPoll poll, void *arg);

/*
 * The lambda and lambda_b terms of the block's rows as they are now. `n_other`
 * is the number of rows of the other side; entries are not looked at.
 */
extern double als_penalty(const AlsSpec *spec, const AlsSide *self,
						  size_t n_other, const AlsBlock *block);

/*
 * sum over all pairs of (p_u . q_i)^2 = trace(G_users G_items), from the two
 * sides' Gramians: what unobserved_weight multiplies in the objective.
 */
extern double als_allpairs(const double *gramian_users,
						   const double *gramian_items, int factors);

/*
 * The row's first vector, from the seed and a hash of its id alone: d normals
 * of standard deviation 1/sqrt(d) scaled by `scale`; the pad zeroed.
 */
extern void als_init_row(const AlsSpec *spec, uint64_t seed, uint64_t id_hash,
						 double scale, float *row);

#endif							/* FACTOR_ALS_H */

/*
 * sgd.h: stochastic gradient descent on samples of observed pairs.
 *
 * The objective, with the losses of losses.h and the notation of als.h:
 *
 *	 sum over observed pairs of the sample's loss
 *	   + alpha0 sum_all_pairs (p_u . q_i)^2
 *	   + lambda sum_u (n_u + alpha0 |I|)^nu |p_u|^2 + lambda sum_i (...) |q_i|^2
 *	   + lambda_b (sum_u b_u^2 + sum_i b_i^2)
 *
 * A training is so many epochs. In each, the users lie in B ranges and the
 * items are dealt out to B groups anew. Range b and group (b + s) mod B make
 * block b of stratum s: the B blocks of a stratum have no row in common, so they
 * run side by side, and what comes out does not depend on who runs which (Gemulla
 * et al. 2011).
 *
 * Plain arrays and a workspace in, a status out, as in als.h.
 */
#ifndef FACTOR_SGD_H
#define FACTOR_SGD_H

#include "numerics/als.h"
#include "numerics/losses.h"
#include "numerics/optimizer.h"
#include "numerics/sampling.h"

typedef enum NegativeKind
{
	NEGATIVES_UNIFORM,			/* each item of the group alike */
	NEGATIVES_POPULARITY,		/* in proportion to an item's pairs */
	NEGATIVES_IN_BATCH			/* the items of the batch's other samples */
} NegativeKind;

/* B is at most so many. */
#define SGD_MAX_BLOCKS 8

#define SGD_MAX_NEGATIVES 1000
#define SGD_MAX_BATCH 10000000

typedef struct SgdSpec
{
	LossSpec	loss;
	OptimizerKind optimizer;
	ScheduleKind schedule;
	double		learning_rate;
	double		weight_decay;
	double		init_std;		/* of the first vectors' elements */
	uint32_t	batch_size;		/* samples; 0: all of an epoch */
	bool		weighted;		/* implicit: c = alpha * value, rather than 1 */
	int			negatives;		/* a sample */
	NegativeKind negative_kind;
	bool		observed_negatives; /* they may be observed pairs */
	uint64_t	seed;
} SgdSpec;

/*
 * One side's rows, each array of n or of n * als_stride(d) elements, zero at
 * first unless said otherwise. Arrays that the options do not need are NULL.
 */
typedef struct SgdSide
{
	size_t		n;
	float	   *factors;		/* first vectors */
	float	   *bias;
	float	   *penalty;		/* what a pair of the row adds of lambda:
								 * lambda (n + alpha0 n_other)^nu / n */
	float	   *bias_penalty;	/* lambda_b / n */
	float	   *share;			/* 1 / n, with alpha0 > 0 */
	float	   *power;			/* 2 a row, ones: optimizer_step() */
	float	   *state[2];		/* the optimizer's */
	float	   *bias_state[2];
	float	   *gradient;		/* of the batch so far, unless batch_size is 1 */
	float	   *bias_gradient;
	uint32_t   *touched;		/* by the batch so far */
} SgdSide;

/* One sample of a block. */
typedef struct SgdSample
{
	uint32_t	row;			/* of the block */
	uint32_t	entry;
} SgdSample;

typedef struct SgdBlock
{
	size_t		first;			/* user of row 0 */
	uint32_t	nrows;
	const uint32_t *offset;		/* nrows + 1: a row's entries, by item */
	const Rating *entries;
	const uint32_t *members;	/* the items of the group */
	uint32_t	nmembers;
	uint64_t	key;			/* of the block's random numbers */
	double		progress;		/* of the training, at the block's start ... */
	double		progress_end;	/* ... and at its end */
	bool		still;			/* only the optimizer's state changes */
	SgdSample  *samples;		/* room for as many as there are entries */
	uint64_t   *filter;			/* and for sgd_filter_words() of as many */
} SgdBlock;

typedef struct SgdSums
{
	double		loss;			/* of the samples, as they were drawn */
	double		weight;			/* of their observed pairs */
} SgdSums;

extern size_t sgd_filter_words(uint32_t samples);

/* Memory that the caller provides, 64-byte aligned, as for ALS. */
typedef struct SgdWorkspace SgdWorkspace;
struct SgdKernel;
extern size_t sgd_workspace_size(const AlsSpec *spec, const SgdSpec *sgd);
extern SgdWorkspace *sgd_workspace_init(void *memory, const AlsSpec *spec,
										const SgdSpec *sgd);
extern SgdWorkspace *sgd_workspace_init_with(void *memory, const AlsSpec *spec,
											 const SgdSpec *sgd,
											 const struct SgdKernel *kernel);

/*
 * The Gramians of users and items (d x d) that the all-pairs term is taken
 * from; not needed where unobserved_weight is 0.
 */
extern void sgd_set_gramians(SgdWorkspace *ws, const double *users,
							 const double *items);

/* Fills penalty, bias_penalty, share and power of rows [from, to). */
extern void sgd_init_rows(const AlsSpec *spec, SgdSide *side, size_t n_other,
						  const uint64_t *offset, size_t from, size_t to);

/*
 * Runs all samples of a block, in an order of their own. With batch_size 0 it
 * only adds to the gradients: sgd_step_rows() moves the rows when all blocks
 * are done. NUMERICS_DIVERGED: the loss is no longer finite.
 */
extern NumericsStatus sgd_run_block(SgdWorkspace *ws, SgdSide side[2],
									const SgdBlock *block, SgdSums *sums,
									NumericsPoll poll, void *arg);

/*
 * Moves rows [from, to) of a side (0: users, 1: items) by the gradients of a
 * batch of `samples` samples.
 */
extern void sgd_step_rows(SgdWorkspace *ws, SgdSide side[2], int which,
						  size_t from, size_t to, double samples, double progress,
						  bool still, NumericsPoll poll, void *arg);

/* The lambda and lambda_b terms of rows [from, to) with these offsets. */
extern double sgd_penalty(const AlsSpec *spec, const SgdSide *side,
						  const uint64_t *offset, size_t from, size_t to);

#endif							/* FACTOR_SGD_H */

/*
 * sgd_internal.h: what sgd.c and sgd_draw.c share: a block at work, and samples
 * drawn from it.
 */
#ifndef FACTOR_SGD_INTERNAL_H
#define FACTOR_SGD_INTERNAL_H

#include "numerics/sgd.h"
#include "numerics/sgd_kernel.h"

/* Samples drawn ahead. */
#define SGD_CHUNK 16

struct SgdWorkspace
{
	AlsSpec		spec;
	SgdSpec		sgd;
	const SgdKernel *kernel;
	size_t		d;				/* padded */
	double		work;
	float	   *pull;			/* d: the gradient of p, but for its penalty */
	float	   *push;			/* d: that of q, with alpha0 > 0 */
	float	   *score;			/* 1 + negatives */
	float	   *slope;			/* 1 + negatives: the derivatives g */
	uint32_t   *item;			/* SGD_CHUNK * (1 + negatives) */
	float	   *gramian[2];		/* d x d, with alpha0 > 0 */
};

/* How far rows move, from the schedule. */
typedef struct SgdPace
{
	OptimizerRates rates;
	OptimizerStep step;			/* every row's; with adam each has its own */
} SgdPace;

/* What sgd_run_block() was called with, and where it is. */
typedef struct SgdRun
{
	SgdWorkspace *ws;
	SgdSide    *side;			/* users, items */
	const SgdBlock *block;
	uint32_t	nsamples;
	uint32_t	batch;			/* the batch's first sample ... */
	uint32_t	batch_end;
	SgdPace		pace;
	uint64_t	filter_mask;	/* bits of the filter, less one */
	SgdSums    *sums;
	NumericsPoll poll;
	void	   *arg;
} SgdRun;

/* One sample, its items drawn. */
typedef struct SgdDrawn
{
	uint32_t	user;
	const Rating *entry;
	int			n;				/* negatives */
	uint32_t   *item;			/* the observed one, then the negatives */
} SgdDrawn;

static inline float *
sgd_row(const SgdWorkspace *ws, float *rows, size_t row)
{
	return rows + row * ws->d;
}

/* The block's samples in random order, and the filter of their pairs. */
extern void sgd_shuffle(SgdRun *run);

/*
 * Draws the negatives of n samples (SGD_CHUNK at most) from `start` on, and
 * prefetches the rows of all of their users and items. The same samples and key
 * draw the same.
 */
extern void sgd_draw(const SgdRun *run, uint64_t key, uint32_t start, uint32_t n,
					 SgdDrawn *drawn);

#endif							/* FACTOR_SGD_INTERNAL_H */

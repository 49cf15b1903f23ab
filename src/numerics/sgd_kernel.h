/*
 * sgd_kernel.h: the inner loops of the stochastic solver, once per kind of
 * processor. Rows are 64-byte aligned; d is a multiple of SGD_ALIGN floats, the
 * factors padded with zeros. Every kernel adds in the same order and rounds
 * each product, so all give the same bits.
 */
#ifndef FACTOR_SGD_KERNEL_H
#define FACTOR_SGD_KERNEL_H

#include <stddef.h>

#include "numerics/optimizer.h"

#define SGD_ALIGN 16

typedef struct SgdKernel
{
	const char *name;

	/* a . b */
	float		(*dot) (const float *a, const float *b, size_t d);

	/* y += a x, or y = a x */
	void		(*add) (float a, const float *x, float *y, size_t d);
	void		(*set) (float a, const float *x, float *y, size_t d);

	/*
	 * Moves x by the gradient g y + r x, as optimizer_move() does each element:
	 * one function an OptimizerKind. y is not x.
	 */
	void		(*move[3]) (const OptimizerStep *step, float g, const float *y,
							float r, float *x, float *state0, float *state1, size_t d);
} SgdKernel;

extern const SgdKernel sgd_kernel_base;
#if defined(__x86_64__)
extern const SgdKernel sgd_kernel_avx2;
#endif

/* The best one for this processor. */
extern const SgdKernel *sgd_kernel_choose(void);

#endif							/* FACTOR_SGD_KERNEL_H */

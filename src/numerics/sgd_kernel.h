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

/* A row that moves, with its optimizer's state. */
typedef struct SgdRow
{
	float	   *x;
	float	   *state[2];
	const OptimizerStep *step;
	float		penalty;		/* r */
} SgdRow;

/*
 * The rows of a sample with one negative, all different, which move by
 *	 p: g q + h n + r_p p,	q: g p + r_q q,	n: h p + r_n n
 */
typedef struct SgdTriple
{
	SgdRow		p;
	SgdRow		q;
	SgdRow		n;
	float		g;
	float		h;
} SgdTriple;

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

	/* What dot and move do for three rows at once: result is { p . q, p . n }. */
	void		(*dots) (const float *p, const float *q, const float *n, size_t d,
						 float result[2]);
	void		(*triple[3]) (const SgdTriple *triple, size_t d);
} SgdKernel;

extern const SgdKernel sgd_kernel_base;
#if defined(__x86_64__)
extern const SgdKernel sgd_kernel_avx2;
extern const SgdKernel sgd_kernel_avx512;
#endif

/* Those that this processor can run, the best one last, and then NULL. */
extern const SgdKernel *const *sgd_kernel_list(void);

/* The best one for this processor. */
extern const SgdKernel *sgd_kernel_choose(void);

#endif							/* FACTOR_SGD_KERNEL_H */

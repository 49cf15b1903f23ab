/*
 * kernel.h: the inner loops of ALS, once per kind of processor.
 *
 * A kernel is a table of four functions. All of them work on rows of `stride`
 * floats, 64-byte aligned, of which the first `d` count; here d is a multiple
 * of KERNEL_ALIGN, the factors padded with zeros. Symmetric matrices are held
 * in their upper triangles, row after row; what is below is not read and may
 * be overwritten.
 *
 * kernel_plain is the reference: scalar loops that say what the others do.
 */
#ifndef FACTOR_KERNEL_H
#define FACTOR_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numerics/als.h"

/*
 * From this many factors on OpenBLAS is used. Sums of outer products, GFLOP/s
 * of the triangle on a processor with AVX-512 (peak 116), one thread, panels
 * of the better size for each:
 *
 *	 d			   64	 128   256	 512  1008	1504  2000
 *	 ours		  101	 108   112	 113   111	 110	90
 *	 OpenBLAS	   59	  75	91	  99   102	 103   101
 */
#define KERNEL_BLAS_FROM 1536

/* d and strides are multiples of this many floats: 64 bytes. */
#define KERNEL_ALIGN 16

/* Which rows to collect, and what to form of them on the way. */
typedef struct KernelGather
{
	const float *rows;			/* the other side's factors */
	size_t		stride;
	size_t		d;
	const Rating *entries;
	size_t		n;				/* entries to gather */
	const float *scale;			/* n of them; NULL: all are one */
	const float *target;		/* n of them */
	float	   *panel;			/* out: n rows */
	float	   *rhs;			/* out, d: += sum target_k panel_k */
	float	   *border;			/* out, d: += sum panel_k; NULL: not wanted */
} KernelGather;

/* Rows that will be gathered soon, for the cache to fetch meanwhile. */
typedef struct KernelAhead
{
	const float *rows;
	size_t		stride;
	const Rating *entries;
	size_t		n;
} KernelAhead;

/*
 * A symmetric positive definite system, optionally bordered by one more
 * unknown z with the row (border, corner) and the right-hand side corner_rhs.
 */
typedef struct KernelSystem
{
	float	   *a;				/* d x d; overwritten by the factor */
	size_t		stride;
	size_t		d;
	float	   *rhs;			/* in: right-hand side, out: solution */
	float	   *border;			/* NULL: none; overwritten */
	double		corner;
	double		corner_rhs;
	double		corner_solution;	/* out */
	float	   *scratch;		/* 2 d floats, 64-byte aligned */
	NumericsPoll poll;			/* called where d is large; may be NULL */
	void	   *arg;
} KernelSystem;

typedef struct Kernel
{
	const char *name;

	/* Gathers scaled rows into a panel, with right-hand side and border. */
	void		(*gather) (const KernelGather *gather);

	/*
	 * a += sum of x x^T over the n rows x of the panel. `ahead` may be NULL,
	 * and has no effect on the result.
	 */
	void		(*syrk) (float *a, size_t stride, size_t d,
						 const float *panel, size_t n, const KernelAhead *ahead);

	/* Solves the system; false where a pivot drowns in its rounding error. */
	bool		(*solve) (KernelSystem *system);

	/* product_k = panel_k . x, for the n rows of the panel. */
	void		(*multiply) (const float *panel, size_t stride, size_t d,
							 size_t n, const float *x, float *product);
} Kernel;

extern const Kernel kernel_plain;
extern const Kernel kernel_base;
#if defined(__x86_64__)
extern const Kernel kernel_avx2;
extern const Kernel kernel_avx512;
#endif
extern const Kernel kernel_blas;

/*
 * The kernels that this processor can run, the reference first and the best
 * last, NULL at the end; OpenBLAS's, for large d, is not among them.
 */
extern const Kernel *const *kernel_list(void);

/* The one to use for d factors here. */
extern const Kernel *kernel_choose(size_t d);

#if defined(__x86_64__)
/* kernel_avx2's solve, which the kernel for AVX-512 uses too. */
extern bool kernel_solve_avx2(KernelSystem *system);
#endif

/* The part of a solution that all kernels share: see kernel.c. */
extern bool kernel_solve_corner(KernelSystem *system);

#endif							/* FACTOR_KERNEL_H */

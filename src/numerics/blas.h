/*
 * blas.h: the one door to OpenBLAS, which is loaded on first use and runs one
 * thread.
 *
 * Matrices are row-major, symmetric ones are held in their upper triangles.
 * Only what is used is here, and may be called only after blas_load() has
 * returned BLAS_READY.
 */
#ifndef FACTOR_BLAS_H
#define FACTOR_BLAS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum BlasStatus
{
	BLAS_READY = 0,
	BLAS_MISSING,				/* there is no such library */
	BLAS_NO_MEMORY,				/* for it, or for what it computes in */
	BLAS_UNUSABLE				/* it is there, but cannot be loaded */
} BlasStatus;

/*
 * Loads OpenBLAS with one thread, once per process, and has it take the memory it
 * computes in. Where that fails, an explanation (a string that stays until the
 * next call), and the next call tries again.
 */
extern BlasStatus blas_load(const char **why);

/* Bytes that it maps in each process, or twice as many (newer versions). */
extern size_t blas_buffer_size(void);

/* C += sign X^T X for the rows of X: n by d; C: d by d, its upper triangle. */
extern void blas_syrk(float sign, const float *x, int ldx, int n, int d,
					  float *c, int ldc);

/* C -= A^T B for A: k by m, B: k by n, C: m by n. */
extern void blas_gemm_subtract(const float *a, int lda, const float *b, int ldb,
							   int k, int m, int n, float *c, int ldc);

/* C := A B^T for A: m by k, B: n by k, C: m by n. */
extern void blas_gemm_transposed(const float *a, int lda, int m,
								 const float *b, int ldb, int n, int k,
								 float *c, int ldc);

/* Overwrites the upper triangle of A, n by n, by U where U^T U = A; false
 * where A is not positive definite. */
extern bool blas_potrf(float *a, int lda, int n);

/* B := U^-T B for the upper triangle U, m by m, and B: m by n. */
extern void blas_trsm(const float *u, int ldu, int m, float *b, int ldb, int n);

/* x := U^-1 x, or U^-T x, for the upper triangle U, n by n. */
extern void blas_trsv(bool transposed, const float *u, int ldu, int n, float *x);

#endif							/* FACTOR_BLAS_H */

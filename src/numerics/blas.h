/*
 * blas.h: the one door to OpenBLAS, which is loaded on first use and runs one
 * thread.
 *
 * Matrices are row-major. Only what is used is here.
 */
#ifndef FACTOR_BLAS_H
#define FACTOR_BLAS_H

#include <stdbool.h>

/*
 * Loads OpenBLAS with one thread, once per process. Returns false and an
 * explanation (a static string) where it cannot be loaded.
 */
extern bool blas_load(const char **why);

#endif							/* FACTOR_BLAS_H */

/*
 * blas.c: loads OpenBLAS when it is first needed, and wraps the routines used.
 *
 * Why not link against it: the usual build of OpenBLAS starts a thread per
 * core as it is loaded. A server that loads this module at start would give
 * every backend those threads, and a PostgreSQL backend should have one.
 * Setting the number of threads afterwards leaves the threads in existence;
 * only OPENBLAS_NUM_THREADS in the environment, read while the library loads,
 * keeps them from being made. So the library is opened at the first training,
 * with that variable set for the moment of loading and then put back, since
 * programs that the server starts would inherit it.
 *
 * RTLD_LOCAL keeps OpenBLAS's symbols from mixing with those of another BLAS
 * that some other module may be linked to.
 *
 * If OpenBLAS is there already it is used as it is, told to use one thread
 * for what follows; its threads, if any, are not ours to end.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "numerics/blas.h"

/* The library's name; a packager may give another. */
#ifndef FACTOR_OPENBLAS
#define FACTOR_OPENBLAS "libopenblas.so.0"
#endif

#define THREADS_VARIABLE "OPENBLAS_NUM_THREADS"

/* The standard's numbers for the arguments of the C interface. */
enum
{
	ROW_MAJOR = 101,
	NO_TRANS = 111,
	TRANS = 112,
	UPPER = 121,
	NON_UNIT = 131,
	LEFT = 141
};

typedef void (*SetThreads) (int threads);
typedef void (*Syrk) (int order, int uplo, int trans, int n, int k,
					  float alpha, const float *a, int lda,
					  float beta, float *c, int ldc);
typedef void (*Gemm) (int order, int transa, int transb, int m, int n, int k,
					  float alpha, const float *a, int lda,
					  const float *b, int ldb,
					  float beta, float *c, int ldc);
typedef void (*Trsm) (int order, int side, int uplo, int trans, int diag,
					  int m, int n, float alpha, const float *a, int lda,
					  float *b, int ldb);
typedef void (*Trsv) (int order, int uplo, int trans, int diag, int n,
					  const float *a, int lda, float *x, int incx);

/* LAPACK's own, column-major; uplo is followed by its hidden length. */
typedef void (*Potrf) (const char *uplo, const int *n, float *a,
					   const int *lda, int *info, size_t uplo_length);

static struct
{
	bool		tried;
	const char *problem;		/* NULL once loaded */
	Syrk		ssyrk;
	Gemm		sgemm;
	Trsm		strsm;
	Trsv		strsv;
	Potrf		spotrf;
}			blas;

/*
 * Opens the library with one thread. The environment is restored whatever
 * happens; a failure to set it is a failure to load.
 */
static void *
OpenWithOneThread(void)
{
	const char *value = getenv(THREADS_VARIABLE);
	char	   *saved = NULL;
	void	   *library = NULL;

	if (value != NULL && (saved = strdup(value)) == NULL)
		return NULL;
	if (setenv(THREADS_VARIABLE, "1", 1) == 0)
	{
		library = dlopen(FACTOR_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
		if (saved != NULL)
			(void) setenv(THREADS_VARIABLE, saved, 1);
		else
			(void) unsetenv(THREADS_VARIABLE);
	}
	free(saved);
	return library;
}

/*
 * A function of the library. The copy through memory is POSIX's way to turn
 * dlsym()'s pointer to an object into one to a function.
 */
static bool
Resolve(void *library, const char *name, void *function)
{
	void	   *symbol = dlsym(library, name);

	memcpy(function, &symbol, sizeof(symbol));
	return symbol != NULL;
}

static const char *
Load(void)
{
	void	   *library;
	SetThreads	set_threads;

	/* Of the copies in the process one would get its own threads anyway. */
	library = dlopen(FACTOR_OPENBLAS, RTLD_NOW | RTLD_NOLOAD);
	if (library == NULL)
		library = OpenWithOneThread();
	if (library == NULL)
		return "the library " FACTOR_OPENBLAS " could not be loaded";

	if (!Resolve(library, "cblas_ssyrk", &blas.ssyrk) ||
		!Resolve(library, "cblas_sgemm", &blas.sgemm) ||
		!Resolve(library, "cblas_strsm", &blas.strsm) ||
		!Resolve(library, "cblas_strsv", &blas.strsv) ||
		!Resolve(library, "spotrf_", &blas.spotrf))
		return "the library " FACTOR_OPENBLAS " lacks a BLAS or LAPACK function";

	if (Resolve(library, "openblas_set_num_threads", &set_threads))
		set_threads(1);
	return NULL;
}

bool
blas_load(const char **why)
{
	if (!blas.tried)
	{
		blas.problem = Load();
		blas.tried = true;
	}
	if (blas.problem != NULL)
		*why = blas.problem;
	return blas.problem == NULL;
}

void
blas_syrk(float sign, const float *x, int ldx, int n, int d, float *c, int ldc)
{
	blas.ssyrk(ROW_MAJOR, UPPER, TRANS, d, n, sign, x, ldx, 1.0f, c, ldc);
}

void
blas_gemm_subtract(const float *a, int lda, const float *b, int ldb,
				   int k, int m, int n, float *c, int ldc)
{
	blas.sgemm(ROW_MAJOR, TRANS, NO_TRANS, m, n, k, -1.0f, a, lda, b, ldb,
			   1.0f, c, ldc);
}

void
blas_gemm_transposed(const float *a, int lda, int m, const float *b, int ldb, int n,
					 int k, float *c, int ldc)
{
	blas.sgemm(ROW_MAJOR, NO_TRANS, TRANS, m, n, k, 1.0f, a, lda, b, ldb, 0.0f, c, ldc);
}

bool
blas_potrf(float *a, int lda, int n)
{
	int			info = 0;

	/* Column-major lower is row-major upper. */
	blas.spotrf("L", &n, a, &lda, &info, 1);
	return info == 0;
}

void
blas_trsm(const float *u, int ldu, int m, float *b, int ldb, int n)
{
	blas.strsm(ROW_MAJOR, LEFT, UPPER, TRANS, NON_UNIT, m, n, 1.0f, u, ldu,
			   b, ldb);
}

void
blas_trsv(bool transposed, const float *u, int ldu, int n, float *x)
{
	blas.strsv(ROW_MAJOR, UPPER, transposed ? TRANS : NO_TRANS, NON_UNIT, n,
			   u, ldu, x, 1);
}

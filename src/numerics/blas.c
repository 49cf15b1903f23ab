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
 *
 * Memory.  OpenBLAS maps a buffer of 128 MB for a thread's products at the first
 * of them (0.3.21), newer versions one more as the library loads (0.3.29), keeps
 * them for the rest of the process's life, and takes nothing after.  Where a
 * buffer is not to be had it tries again for ever, and no signal handler that
 * only takes note gets it out of there.  So each step is first tried in its
 * stead: as much is mapped and unmapped, and the step follows at once; the first
 * product is a tiny one, made here.  Limits of the process (RLIMIT_AS) cannot
 * change in between.  Where the whole machine commits no more than it has
 * (vm.overcommit_memory = 2) another process might take the memory in these
 * microseconds; there is no way to ask OpenBLAS for an error instead.
 *
 * A failure is no reason to fail the next time: memory comes back, a package gets
 * installed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "numerics/blas.h"

/* The library's name; a packager may give another. */
#ifndef FACTOR_OPENBLAS
#define FACTOR_OPENBLAS "libopenblas.so.0"
#endif

/* A buffer of OpenBLAS: its BUFFER_SIZE, which a packager may have built otherwise. */
#ifndef FACTOR_OPENBLAS_BUFFER
#define FACTOR_OPENBLAS_BUFFER ((size_t) 128 * 1024 * 1024)
#endif

/* What the library and those that it depends on are mapped to, with room. */
#define LIBRARY_SIZE ((size_t) 64 * 1024 * 1024)

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
	bool		ready;
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

	(void) dlerror();			/* of the attempt that did not load it */
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

/* What dlerror() says, kept: the next call of dlopen() and its like frees it. */
static BlasStatus
LoadProblem(const char **why)
{
	static char text[512];
	const char *problem = dlerror();

	snprintf(text, sizeof(text), "%s", problem != NULL ? problem : strerror(ENOMEM));
	*why = text;

	/* It has no code for the reason, but the words of the system's. */
	if (strstr(text, strerror(ENOMEM)) != NULL)
		return BLAS_NO_MEMORY;
	if (strstr(text, strerror(ENOENT)) != NULL)
		return BLAS_MISSING;
	return BLAS_UNUSABLE;
}

/* Can two areas be mapped at once, as OpenBLAS is about to do? The second may be 0. */
static bool
CanMap(size_t first, size_t second)
{
	size_t		size[2] = {first, second};
	void	   *area[2] = {MAP_FAILED, MAP_FAILED};
	bool		mapped = true;

	for (int k = 0; k < 2 && size[k] > 0; k++)
	{
		area[k] = mmap(NULL, size[k], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (area[k] == MAP_FAILED)
			mapped = false;
	}
	for (int k = 0; k < 2; k++)
		if (area[k] != MAP_FAILED)
			munmap(area[k], size[k]);
	return mapped;
}

static BlasStatus
Load(void **library, const char **why)
{
	/* Of the copies in the process one would get its own threads anyway. */
	*library = dlopen(FACTOR_OPENBLAS, RTLD_NOW | RTLD_NOLOAD);
	if (*library != NULL)
		return BLAS_READY;
	if (!CanMap(LIBRARY_SIZE, FACTOR_OPENBLAS_BUFFER))
	{
		*why = "its library and a buffer could not be mapped";
		return BLAS_NO_MEMORY;
	}
	*library = OpenWithOneThread();
	return *library != NULL ? BLAS_READY : LoadProblem(why);
}

/* The first product, of one number: whichever it is, it takes the buffer. */
static BlasStatus
TakeBuffer(const char **why)
{
	float		one = 1;
	float		product = 0;

	if (!CanMap(FACTOR_OPENBLAS_BUFFER, 0))
	{
		*why = "its buffer could not be mapped";
		return BLAS_NO_MEMORY;
	}
	blas.sgemm(ROW_MAJOR, NO_TRANS, NO_TRANS, 1, 1, 1, 1.0f, &one, 1, &one, 1,
			   0.0f, &product, 1);
	blas.ssyrk(ROW_MAJOR, UPPER, TRANS, 1, 1, 1.0f, &one, 1, 0.0f, &product, 1);
	return BLAS_READY;
}

BlasStatus
blas_load(const char **why)
{
	void	   *library;
	SetThreads	set_threads;
	BlasStatus	status;

	if (blas.ready)
		return BLAS_READY;
	status = Load(&library, why);
	if (status != BLAS_READY)
		return status;
	if (!Resolve(library, "cblas_ssyrk", &blas.ssyrk) ||
		!Resolve(library, "cblas_sgemm", &blas.sgemm) ||
		!Resolve(library, "cblas_strsm", &blas.strsm) ||
		!Resolve(library, "cblas_strsv", &blas.strsv) ||
		!Resolve(library, "spotrf_", &blas.spotrf))
	{
		*why = "the library " FACTOR_OPENBLAS " lacks a BLAS or LAPACK function";
		return BLAS_UNUSABLE;
	}
	if (Resolve(library, "openblas_set_num_threads", &set_threads))
		set_threads(1);
	status = TakeBuffer(why);
	blas.ready = status == BLAS_READY;
	return status;
}

size_t
blas_buffer_size(void)
{
	return FACTOR_OPENBLAS_BUFFER;
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

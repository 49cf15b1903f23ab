/*
 * kernel.c: which kernel to use, and OpenBLAS as one of them.
 */
#include <float.h>

#include "numerics/blas.h"
#include "numerics/kernel.h"

static const Kernel *
Best(void)
{
	const Kernel *const *kernel = kernel_list();

	while (kernel[1] != NULL)
		kernel++;
	return *kernel;
}

const Kernel *const *
kernel_list(void)
{
	static const Kernel *list[5];
	int			n = 0;

	list[n++] = &kernel_plain;
	list[n++] = &kernel_base;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
	{
		list[n++] = &kernel_avx2;
		if (__builtin_cpu_supports("avx512f") &&
			__builtin_cpu_supports("avx512vl") &&
			__builtin_cpu_supports("avx512dq"))
			list[n++] = &kernel_avx512;
	}
#endif
	list[n] = NULL;
	return list;
}

const Kernel *
kernel_choose(size_t d)
{
	return d >= KERNEL_BLAS_FROM ? &kernel_blas : Best();
}

/*
 * The bordered unknown, by elimination. With y = U^-T rhs and v = U^-T border
 * its own equation has become
 *
 *	 (corner - v.v) z = corner_rhs - v.y
 *
 * and what it takes out of the others' right-hand side is z v.
 */
bool
kernel_solve_corner(KernelSystem *s)
{
	double		pivot = s->corner;
	double		right = s->corner_rhs;

	for (size_t k = 0; k < s->d; k++)
	{
		pivot -= (double) s->border[k] * s->border[k];
		right -= (double) s->border[k] * s->rhs[k];
	}
	if (!(pivot > s->corner * FLT_EPSILON * s->d))
		return false;

	s->corner_solution = right / pivot;
	for (size_t k = 0; k < s->d; k++)
		s->rhs[k] -= (float) s->corner_solution * s->border[k];
	return true;
}

/* ---- OpenBLAS ---- */

/*
 * Rows of the factor taken together. One call into OpenBLAS must not last,
 * since it cannot be interrupted: with d = 2000 a whole factorisation takes
 * 30 ms and more, a step of it a few.
 */
#define BLAS_STEP 256

static void
GatherBlas(const KernelGather *g)
{
	Best()->gather(g);
}

static void
SyrkBlas(float *a, size_t stride, size_t d, const float *panel, size_t n,
		 const KernelAhead *ahead)
{
	(void) ahead;
	blas_syrk(1.0f, panel, stride, n, d, a, stride);
}

static bool
SolveBlas(KernelSystem *s)
{
	int			stride = s->stride;

	for (size_t k = 0; k < s->d; k++)
		s->scratch[k] = s->a[k * stride + k] * (FLT_EPSILON * s->d);

	for (size_t i = 0; i < s->d; i += BLAS_STEP)
	{
		size_t		step = s->d - i < BLAS_STEP ? s->d - i : BLAS_STEP;
		size_t		rest = s->d - i - step;
		float	   *square = s->a + i * stride + i;

		if (s->poll != NULL)
			s->poll(s->arg);
		if (i > 0)
		{
			blas_syrk(-1.0f, s->a + i, stride, i, step, square, stride);
			if (rest > 0)
				blas_gemm_subtract(s->a + i, stride, s->a + i + step, stride,
								   i, step, rest, square + step, stride);
		}
		if (!blas_potrf(square, stride, step))
			return false;
		if (rest > 0)
			blas_trsm(square, stride, step, square + step, stride, rest);
	}
	for (size_t k = 0; k < s->d; k++)
	{
		float		root = s->a[k * stride + k];

		if (!(root * root > s->scratch[k]))
			return false;
	}

	blas_trsv(true, s->a, stride, s->d, s->rhs);
	if (s->border != NULL)
	{
		blas_trsv(true, s->a, stride, s->d, s->border);
		if (!kernel_solve_corner(s))
			return false;
	}
	blas_trsv(false, s->a, stride, s->d, s->rhs);
	return true;
}

static void
MultiplyBlas(const float *panel, size_t stride, size_t d, size_t n,
			 const float *x, float *product)
{
	Best()->multiply(panel, stride, d, n, x, product);
}

const Kernel kernel_blas = {
	.name = "openblas",
	.gather = GatherBlas,
	.syrk = SyrkBlas,
	.solve = SolveBlas,
	.multiply = MultiplyBlas,
};

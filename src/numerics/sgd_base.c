/*
 * sgd_base.c: the stochastic solver's kernel for what every processor of the
 * kind has, and the choice between kernels.
 */
#include <math.h>

#define LANES 4
#define TARGET
#define KERNEL sgd_kernel_base
#define NAME "base"

#if defined(__x86_64__)
#include <emmintrin.h>

#define SQRT(a) ((Vec) _mm_sqrt_ps((__m128) (a)))
#else
#define SQRT(a) __extension__ ({ Vec v_ = (a); \
	(Vec) {sqrtf(v_[0]), sqrtf(v_[1]), sqrtf(v_[2]), sqrtf(v_[3])}; })
#endif

#include "numerics/sgd_simd.h"

const SgdKernel *const *
sgd_kernel_list(void)
{
	static const SgdKernel *list[4];
	int			n = 0;

	list[n++] = &sgd_kernel_base;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		list[n++] = &sgd_kernel_avx2;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl"))
		list[n++] = &sgd_kernel_avx512;
#endif
	list[n] = NULL;
	return list;
}

const SgdKernel *
sgd_kernel_choose(void)
{
	const SgdKernel *const *kernel = sgd_kernel_list();

	while (kernel[1] != NULL)
		kernel++;
	return *kernel;
}

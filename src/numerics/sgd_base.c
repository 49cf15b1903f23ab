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

const SgdKernel *
sgd_kernel_choose(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl"))
		return &sgd_kernel_avx512;
	if (__builtin_cpu_supports("avx2"))
		return &sgd_kernel_avx2;
#endif
	return &sgd_kernel_base;
}

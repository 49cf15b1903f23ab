/*
 * sgd_avx2.c: the stochastic solver's kernel for x86 with AVX2.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 8
#define TARGET __attribute__((target("avx2")))
#define KERNEL sgd_kernel_avx2
#define NAME "avx2"
#define SQRT(a) ((Vec) _mm256_sqrt_ps((__m256) (a)))

#include "numerics/sgd_simd.h"
#endif

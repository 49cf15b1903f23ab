/*
 * sgd_avx512.c: the stochastic solver's kernel for x86 with AVX-512.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512dq,avx512vl")))
#define KERNEL sgd_kernel_avx512
#define NAME "avx512"
#define SQRT(a) ((Vec) _mm512_sqrt_ps((__m512) (a)))

#include "numerics/sgd_simd.h"
#endif

/*
 * kernel_avx512.c: the kernel for x86 with AVX-512: sixteen floats a vector,
 * thirty-two registers, of which a tile takes twenty-four.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 16
#define TILE_ROWS 8
#define TILE_COLS 3
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma")))
#define KERNEL kernel_avx512
#define NAME "avx512"
#define BROADCAST(x) ((Vec) _mm512_set1_ps(x))
#define FMA(a, b, c) ((Vec) _mm512_fmadd_ps((__m512) (a), (__m512) (b), (__m512) (c)))
#define FNMA(a, b, c) ((Vec) _mm512_fnmadd_ps((__m512) (a), (__m512) (b), (__m512) (c)))
#define SQRT(a) ((Vec) _mm512_sqrt_ps((__m512) (a)))

#include "numerics/kernel_simd.h"
#endif

/*
 * kernel_avx512.c: the kernel for x86 with AVX-512: sixteen floats a vector,
 * thirty-two registers, of which a tile takes twenty-four.
 *
 * Wide vectors waste more below the diagonal and have a longer way to go from
 * pivot to pivot, so two things are done by half: the lower half of the
 * squares on the diagonal (46 down to 41 ns a row of 64), and small systems
 * (64 unknowns: 3.1 us in sixteens, 2.4 us in eights; even at 256).
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

/* Below this size its blocks of sixteen rows lose to AVX2's of eight. */
#define SOLVE_SMALL 256
#define SOLVE_SMALL_BY kernel_solve_avx2

/* Skip the half of a diagonal square that lies below the diagonal. */
#define HALVES
#define BROADCAST_HALF(x) ((HalfVec) _mm256_set1_ps(x))
#define FMA_HALF(a, b, c) ((HalfVec) _mm256_fmadd_ps((__m256) (a), (__m256) (b), (__m256) (c)))
#define SQRT(a) ((Vec) _mm512_sqrt_ps((__m512) (a)))

#include "numerics/kernel_simd.h"
#endif

/*
 * kernel_avx2.c: the kernel for x86 with AVX2 and FMA: eight floats a vector,
 * sixteen registers, of which a tile takes twelve.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 8
#define TILE_ROWS 4
#define TILE_COLS 3
#define TARGET __attribute__((target("avx2,fma")))
#define KERNEL kernel_avx2
#define NAME "avx2"
#define BROADCAST(x) ((Vec) _mm256_set1_ps(x))
#define FMA(a, b, c) ((Vec) _mm256_fmadd_ps((__m256) (a), (__m256) (b), (__m256) (c)))
#define FNMA(a, b, c) ((Vec) _mm256_fnmadd_ps((__m256) (a), (__m256) (b), (__m256) (c)))
#define SQRT(a) ((Vec) _mm256_sqrt_ps((__m256) (a)))

#include "numerics/kernel_simd.h"

bool
kernel_solve_avx2(KernelSystem *system)
{
	return SolveSimd(system);
}
#endif

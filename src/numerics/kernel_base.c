/*
 * kernel_base.c: the kernel for what every processor of the kind has: SSE2 on
 * x86-64, NEON on AArch64, four floats a vector.
 */
#include <math.h>

#define LANES 4
#define TILE_ROWS 4
#define TARGET
#define KERNEL kernel_base

#define BROADCAST(x) __extension__ ({ float b_ = (x); (Vec) {b_, b_, b_, b_}; })

#if defined(__aarch64__)
#include <arm_neon.h>

#define NAME "neon"
#define TILE_COLS 3
#define FMA(a, b, c) ((Vec) vfmaq_f32((float32x4_t) (c), (float32x4_t) (a), (float32x4_t) (b)))
#define FNMA(a, b, c) ((Vec) vfmsq_f32((float32x4_t) (c), (float32x4_t) (a), (float32x4_t) (b)))
#define SQRT(a) ((Vec) vsqrtq_f32((float32x4_t) (a)))
#else
#define NAME "base"
#define TILE_COLS 2
#define FMA(a, b, c) ((a) * (b) + (c))
#define FNMA(a, b, c) ((c) - (a) * (b))
#define SQRT(a) __extension__ ({ Vec v_ = (a); \
	(Vec) {sqrtf(v_[0]), sqrtf(v_[1]), sqrtf(v_[2]), sqrtf(v_[3])}; })
#endif

#include "numerics/kernel_simd.h"

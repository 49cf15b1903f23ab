/*
 * codes_neon.c: the integer products of codes.c with NEON, which every 64-bit
 * Arm processor has.
 *
 * Bytes are widened to 16 bits and multiplied by the query's digits into 32-bit
 * lanes, four of them for each vector, added up at the end; all modulo 2^32, as
 * the plain loop does.  (The dot product instructions of later processors would
 * do twice as much at once, but need a choice at run time that differs from one
 * operating system to the next.)
 */
#include "numerics/codes_internal.h"

#ifdef CODES_NEON

#include <arm_neon.h>
#include <string.h>

/* Adds the products of four vectors' next four elements to their sums. */
static inline void
MultiplyFour(uint8x16_t bytes, int16x4_t digits, int32x4_t sum[4])
{
	int16x8_t	low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
	int16x8_t	high = vreinterpretq_s16_u16(vmovl_high_u8(bytes));

	sum[0] = vmlal_s16(sum[0], vget_low_s16(low), digits);
	sum[1] = vmlal_s16(sum[1], vget_high_s16(low), digits);
	sum[2] = vmlal_s16(sum[2], vget_low_s16(high), digits);
	sum[3] = vmlal_s16(sum[3], vget_high_s16(high), digits);
}

static inline void
StoreFour(const int32x4_t sum[4], uint32_t offset, int32_t *products)
{
	for (int i = 0; i < 4; i++)
		products[i] = (int32_t) ((uint32_t) vaddvq_s32(sum[i]) - offset);
}

static inline void
ProductsNeon(const CodeQuery *query, const uint8_t *group, size_t size,
			 ptrdiff_t ahead, int32_t *products)
{
	size_t		padded = code_bytes(query->length);

	/* sixteen vectors at once, or four, or the last few in a copy of four */
	if (size == CODE_GROUP)
	{
		int32x4_t	sum[CODE_GROUP];

		for (int i = 0; i < CODE_GROUP; i++)
			sum[i] = vdupq_n_s32(0);
		for (size_t k = 0; k < padded; k += 4)
		{
			int16x4_t	digits = vld1_s16(query->digits + k);

			FETCH_AHEAD(group + k * CODE_GROUP, ahead);
			for (int j = 0; j < 4; j++)
				MultiplyFour(vld1q_u8(group + k * CODE_GROUP + j * 16), digits, sum + 4 * j);
		}
		for (int j = 0; j < 4; j++)
			StoreFour(sum + 4 * j, query->offset, products + 4 * j);
		return;
	}
	for (size_t i = 0; i < size; i += 4)
	{
		int32x4_t	sum[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
		size_t		m = size - i < 4 ? size - i : 4;
		int32_t		last[4];

		for (size_t k = 0; k < padded; k += 4)
		{
			uint8_t		four[16] = {0};

			FETCH_AHEAD(group + k * size + i * 4, ahead);
			memcpy(four, group + k * size + i * 4, m * 4);
			MultiplyFour(vld1q_u8(four), vld1_s16(query->digits + k), sum);
		}
		StoreFour(sum, query->offset, last);
		memcpy(products + i, last, m * sizeof(int32_t));
	}
}

void
code_bounds_neon(const CodeQuery *query, CodeDistance distance,
				 const CodeBlock *block, double *bounds)
{
	BoundsBody(query, distance, block, bounds, ProductsNeon);
}

#endif							/* CODES_NEON */

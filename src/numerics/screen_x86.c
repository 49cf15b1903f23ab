/*
 * screen_x86.c: the screens of screen.c with AVX2 and with AVX-512 VNNI, chosen
 * at run time.
 *
 * Four queries go through a block at once, so that a load of rows serves all
 * four, and the sums of four queries with 64 rows fill half of the registers,
 * more than enough to hide the latency of adding to them.
 *
 * AVX-512 VNNI multiplies unsigned bytes by signed ones and adds four products
 * to a lane, in one instruction. AVX2 has the same only with a saturation that
 * could lose bits, so there both are widened to 16 bits.
 */
#include "numerics/screen_internal.h"

#ifdef SCREEN_X86

#include <immintrin.h>
#include <string.h>

#define TARGET_AVX2 __attribute__((target("avx2")))
#ifdef __clang__
#define TARGET_AVX512 \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#else
#define TARGET_AVX512 \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512")))
#endif

#define GROUPS 4				/* of 16 rows each */

TARGET_AVX512 SCREEN_INLINE void
FourAvx512(const int8_t *digits, size_t padded, const uint8_t *bytes,
		   const int32_t *limit, uint64_t *mask)
{
	__m512i		sum[SCREEN_FOUR][GROUPS];

	for (int q = 0; q < SCREEN_FOUR; q++)
		for (int g = 0; g < GROUPS; g++)
			sum[q][g] = _mm512_setzero_si512();

	for (size_t k = 0; k < padded; k += 4)
	{
		__m512i		rows[GROUPS];

		for (int g = 0; g < GROUPS; g++)
			rows[g] = _mm512_load_si512(bytes + k * SCREEN_ROWS + 64 * g);
		for (int q = 0; q < SCREEN_FOUR; q++)
		{
			int32_t		four;
			__m512i		digit;

			memcpy(&four, digits + q * padded + k, sizeof(four));
			digit = _mm512_set1_epi32(four);
			for (int g = 0; g < GROUPS; g++)
				sum[q][g] = _mm512_dpbusd_epi32(sum[q][g], rows[g], digit);
		}
	}
	for (int q = 0; q < SCREEN_FOUR; q++)
	{
		__m512i		least = _mm512_set1_epi32(limit[q]);

		mask[q] = 0;
		for (int g = 0; g < GROUPS; g++)
			mask[q] |= (uint64_t) _mm512_cmpge_epi32_mask(sum[q][g], least) << (16 * g);
	}
}

TARGET_AVX512 void
screen_rows_avx512_vnni(const ScreenQueries *queries, size_t n, const ScreenBlock *block,
						const uint8_t *bytes, uint64_t *mask)
{
	ScreenBody(queries, n, block, bytes, mask, FourAvx512);
}

/* Four digits, broadcast. */
TARGET_AVX2 static inline __m256i
Digits(const int16_t *digits)
{
	int64_t		four;

	memcpy(&four, digits, sizeof(four));
	return _mm256_set1_epi64x(four);
}

/* Four rows' bytes of four elements, widened. */
TARGET_AVX2 static inline __m256i
Widen(const uint8_t *bytes)
{
	return _mm256_cvtepu8_epi16(_mm_load_si128((const __m128i *) bytes));
}

/*
 * Eight rows, four in each of two registers, the sums of each row in two
 * neighbouring lanes until the end.
 */
TARGET_AVX2 SCREEN_INLINE void
EightRows(int16_t digits[][SCREEN_MAX_LENGTH], size_t padded, const uint8_t *bytes,
		  const int32_t *limit, int shift, uint64_t *mask)
{
	__m256i		sum[SCREEN_FOUR][2];

	for (int q = 0; q < SCREEN_FOUR; q++)
		sum[q][0] = sum[q][1] = _mm256_setzero_si256();

	for (size_t k = 0; k < padded; k += 4)
	{
		__m256i		low = Widen(bytes + k * SCREEN_ROWS);
		__m256i		high = Widen(bytes + k * SCREEN_ROWS + 16);

		for (int q = 0; q < SCREEN_FOUR; q++)
		{
			__m256i		digit = Digits(digits[q] + k);

			sum[q][0] = _mm256_add_epi32(sum[q][0], _mm256_madd_epi16(low, digit));
			sum[q][1] = _mm256_add_epi32(sum[q][1], _mm256_madd_epi16(high, digit));
		}
	}
	for (int q = 0; q < SCREEN_FOUR; q++)
	{
		/* rows 0 1 4 5 2 3 6 7, then in order */
		__m256i		rows = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum[q][0], sum[q][1]),
													_MM_SHUFFLE(3, 1, 2, 0));
		__m256i		below = _mm256_cmpgt_epi32(_mm256_set1_epi32(limit[q]), rows);

		mask[q] |= (uint64_t) (~_mm256_movemask_ps(_mm256_castsi256_ps(below)) & 0xff) << shift;
	}
}

TARGET_AVX2 SCREEN_INLINE void
FourAvx2(const int8_t *digits, size_t padded, const uint8_t *bytes,
		 const int32_t *limit, uint64_t *mask)
{
	int16_t		wide[SCREEN_FOUR][SCREEN_MAX_LENGTH];

	for (int q = 0; q < SCREEN_FOUR; q++)
	{
		mask[q] = 0;
		for (size_t k = 0; k < padded; k++) /* vectorised */
			wide[q][k] = digits[q * padded + k];
	}
	for (int row = 0; row < SCREEN_ROWS; row += 8)
		EightRows(wide, padded, bytes + 4 * row, limit, row, mask);
}

TARGET_AVX2 void
screen_rows_avx2(const ScreenQueries *queries, size_t n, const ScreenBlock *block,
				 const uint8_t *bytes, uint64_t *mask)
{
	ScreenBody(queries, n, block, bytes, mask, FourAvx2);
}

#endif							/* SCREEN_X86 */

/*
 * codes_x86.c: the integer products of codes.c with AVX2 and with AVX-512
 * VNNI, chosen at run time.
 *
 * Both compute modulo 2^32 what the plain loop does, so no intermediate sum
 * needs care; only the end result must fit 32 bits, and it does.
 *
 * AVX-512 VNNI multiplies unsigned bytes by signed ones and adds four products
 * to a lane, in one instruction; a query's 15-bit digits are two bytes, so it
 * takes two.  AVX2 has the same for bytes only with a saturation that could
 * lose bits, so there the bytes are widened to 16 bits and multiplied by the
 * digits themselves.
 */
#include "numerics/codes_internal.h"

#ifdef CODES_X86

#include <immintrin.h>
#include <string.h>

#define TARGET_AVX2 __attribute__((target("avx2")))
#define TARGET_AVX512 \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

/*
 * Four vectors' bytes of one step by its four digits, the sums of each vector
 * in two neighbouring lanes.
 */
TARGET_AVX2 static inline __m256i
MultiplyFour(__m128i bytes, const int16_t *digits)
{
	int64_t		four;

	memcpy(&four, digits, sizeof(four));
	return _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes),
							 _mm256_set1_epi64x(four));
}

/* Adds each two neighbouring lanes and takes the offset off. */
TARGET_AVX2 static inline void
StoreFour(__m256i sums, uint32_t offset, int32_t *products)
{
	int32_t		lanes[8];

	_mm256_storeu_si256((__m256i *) lanes, sums);
	for (int i = 0; i < 4; i++)
		products[i] = (int32_t) ((uint32_t) lanes[2 * i] +
								 (uint32_t) lanes[2 * i + 1] - offset);
}

TARGET_AVX2 static inline void
ProductsAvx2(const CodeQuery *query, const uint8_t *group, size_t size,
			 ptrdiff_t ahead, int32_t *products)
{
	size_t		padded = code_bytes(query->length);
	size_t		i = 0;

	/* sixteen vectors at once, or four, or the last few in a copy of four */
	if (size == CODE_GROUP)
	{
		__m256i		sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(),
		_mm256_setzero_si256(), _mm256_setzero_si256()};

		for (size_t k = 0; k < padded; k += 4)
		{
			FETCH_AHEAD(group + k * CODE_GROUP, ahead);
			for (int j = 0; j < 4; j++)
			{
				const void *four = group + k * CODE_GROUP + j * 16;

				sum[j] = _mm256_add_epi32(sum[j],
										  MultiplyFour(_mm_loadu_si128(four),
													   query->digits + k));
			}
		}
		for (int j = 0; j < 4; j++)
			StoreFour(sum[j], query->offset, products + 4 * j);
		return;
	}
	for (; i < size; i += 4)
	{
		__m256i		sum = _mm256_setzero_si256();
		size_t		m = size - i < 4 ? size - i : 4;
		int32_t		last[4];

		for (size_t k = 0; k < padded; k += 4)
		{
			uint8_t		four[16] = {0};

			FETCH_AHEAD(group + k * size + i * 4, ahead);
			memcpy(four, group + k * size + i * 4, m * 4);
			sum = _mm256_add_epi32(sum,
								   MultiplyFour(_mm_loadu_si128((const void *) four),
												query->digits + k));
		}
		StoreFour(sum, query->offset, last);
		memcpy(products + i, last, m * sizeof(int32_t));
	}
}

TARGET_AVX2 void
code_bounds_avx2(const CodeQuery *query, CodeDistance distance,
				 const CodeBlock *block, double *bounds)
{
	BoundsBody(query, distance, block, bounds, ProductsAvx2);
}

TARGET_AVX512 static inline void
ProductsAvx512(const CodeQuery *query, const uint8_t *group, size_t size,
			   ptrdiff_t ahead, int32_t *products)
{
	size_t		padded = code_bytes(query->length);
	__mmask16	present = (__mmask16) ((1u << size) - 1);
	__m512i		high = _mm512_setzero_si512();
	__m512i		low = _mm512_setzero_si512();

	for (size_t k = 0; k < padded; k += 4)
	{
		__m512i		bytes = _mm512_maskz_loadu_epi32(present, group + k * size);
		int32_t		h;
		int32_t		l;

		FETCH_AHEAD(group + k * size, ahead);
		memcpy(&h, query->high + k, sizeof(h));
		memcpy(&l, query->low + k, sizeof(l));
		high = _mm512_dpbusd_epi32(high, bytes, _mm512_set1_epi32(h));
		low = _mm512_dpbusd_epi32(low, bytes, _mm512_set1_epi32(l));
	}
	high = _mm512_sub_epi32(high, _mm512_set1_epi32((int) query->offset_high));
	low = _mm512_sub_epi32(low, _mm512_set1_epi32((int) query->offset_low));
	_mm512_storeu_si512(products,
						_mm512_add_epi32(_mm512_slli_epi32(high, 7), low));
}

TARGET_AVX512 void
code_bounds_avx512_vnni(const CodeQuery *query, CodeDistance distance,
						const CodeBlock *block, double *bounds)
{
	BoundsBody(query, distance, block, bounds, ProductsAvx512);
}

#endif							/* CODES_X86 */

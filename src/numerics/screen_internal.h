/*
 * screen_internal.h: what screen.c and its instruction sets share: the loop
 * over queries, inlined into each, around the products of four queries with a
 * block, which are each one's own.
 */
#ifndef FACTOR_SCREEN_INTERNAL_H
#define FACTOR_SCREEN_INTERNAL_H

#include "numerics/screen.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define SCREEN_X86 1
#endif

#define SCREEN_INLINE static inline __attribute__((always_inline))

/* Queries whose sums are formed together. */
#define SCREEN_FOUR 4

/*
 * The masks of four queries, whose digits lie `padded` bytes apart: the rows
 * whose sum of (c_k + 128) d_k is at least the query's limit.
 */
typedef void (*FourFunction) (const int8_t *digits, size_t padded, const uint8_t *bytes,
							  const int32_t *limit, uint64_t *mask);

#ifdef SCREEN_X86
extern void screen_rows_avx2(const ScreenQueries *queries, size_t n, const ScreenBlock *block,
							 const uint8_t *bytes, uint64_t *mask);
extern void screen_rows_avx512_vnni(const ScreenQueries *queries, size_t n,
									const ScreenBlock *block, const uint8_t *bytes,
									uint64_t *mask);
#endif

/*
 * The limits of the sums, lowered by 2: 1 for the roundings of this formula, 1
 * because conversion rounds towards zero. Plain loops, which vectorise.
 */
SCREEN_INLINE void
ScreenLimits(const ScreenQueries *queries, size_t n, const ScreenBlock *block, int32_t *limit)
{
	double		reach = block->norm + block->error;
	double		error = block->error;
	double		inverse = block->inverse;

	for (size_t q = 0; q < n; q++)
	{
		double		slack = queries->error[q] * reach + queries->norm[q] * error;
		double		sum = (queries->least[q] - slack) * queries->inverse[q] * inverse +
			queries->offset[q] - 2.0;

		sum = sum > -2147483648.0 ? sum : -2147483648.0;
		sum = sum < 2147483647.0 ? sum : 2147483647.0;
		limit[q] = (int32_t) sum;
	}
}

SCREEN_INLINE void
ScreenBody(const ScreenQueries *queries, size_t n, const ScreenBlock *block,
		   const uint8_t *bytes, uint64_t *mask, FourFunction four)
{
	size_t		padded = screen_bytes(queries->length);
	int32_t		limit[SCREEN_MAX_QUERIES];

	ScreenLimits(queries, n, block, limit);

	/* Places behind the last query hold anything, and no sum reaches this. */
	for (size_t q = n; q % SCREEN_FOUR != 0; q++)
		limit[q] = INT32_MAX;
	for (size_t q = 0; q < n; q += SCREEN_FOUR)
		four(queries->digits + q * padded, padded, bytes, limit + q, mask + q);
}

#endif							/* FACTOR_SCREEN_INTERNAL_H */

/*
 * codes_internal.h: what codes.c and its instruction sets share: the loops
 * that turn integer products into bounds, inlined into each so that each
 * vectorises them its own way.  They do the same IEEE operations on each
 * element, so all give the same bits.
 */
#ifndef FACTOR_CODES_INTERNAL_H
#define FACTOR_CODES_INTERNAL_H

#include <math.h>

#include "numerics/codes.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CODES_X86 1
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
#define CODES_NEON 1
#endif

#define CODES_INLINE static inline __attribute__((always_inline))

typedef void (*BoundsFunction) (const CodeQuery *query, CodeDistance distance,
								const CodeBlock *block, double *bounds);
typedef void (*ProductsFunction) (const CodeQuery *query, const uint8_t *group,
								  size_t size, ptrdiff_t ahead,
								  int32_t *products);

/* A hint: the memory that far from an address will be read soon. */
#if defined(__GNUC__)
#define FETCH_AHEAD(address, distance) \
	__builtin_prefetch((const void *) ((uintptr_t) (address) + (uintptr_t) (distance)), 0, 2)
#else
#define FETCH_AHEAD(address, distance) ((void) (distance))
#endif

#ifdef CODES_X86
extern void code_bounds_avx2(const CodeQuery *query, CodeDistance distance,
							 const CodeBlock *block, double *bounds);
extern void code_bounds_avx512_vnni(const CodeQuery *query,
									CodeDistance distance,
									const CodeBlock *block, double *bounds);
#endif
#ifdef CODES_NEON
extern void code_bounds_neon(const CodeQuery *query, CodeDistance distance,
							 const CodeBlock *block, double *bounds);
#endif

/* The upper bound of the cosine (codes.h), at most a little above 1. */
CODES_INLINE double
CosineAbove(double scale, double error, int32_t product, float u, float w)
{
	double		above = scale * u * product + (error * (1.0 + w) + w);

	return above < 1.0 + 0x1p-30 ? above : 1.0 + 0x1p-30;
}

CODES_INLINE double
EuclideanBound(double norm, double slack, double x, double above)
{
	double		difference = fabs(x - norm) - (x * 0x1p-23 + norm * slack);
	double		angle = 2.0 * (1.0 - 0x1p-23) * x * norm * (1.0 - above);

	difference = difference > 0.0 ? difference : 0.0;
	angle = angle > 0.0 ? angle : 0.0;
	return sqrt(difference * difference + angle) * (1.0 - slack);
}

/*
 * Bounds of a block, group by group; the formulas are codes.h's, the constants
 * codes.c's.  Plain loops, which vectorise.
 *
 * A search of many blocks waits for memory, and blocks lie anywhere.  Fetching
 * the next one step by step, with every load of this one, keeps memory busy
 * while the processor computes: twice as fast, measured, as to fetch it at once
 * before, and as to leave it to the hardware.
 */
CODES_INLINE void
BoundsBody(const CodeQuery *query, CodeDistance distance,
		   const CodeBlock *block, double *bounds, ProductsFunction products)
{
	double		scale = query->scale;
	double		error = query->error;
	double		norm = query->norm;
	double		slack = query->slack;
	size_t		padded = code_bytes(query->length);

	for (size_t first = 0; first < block->count; first += CODE_GROUP)
	{
		size_t		size = block->capacity - first;
		size_t		n = block->count - first;
		const float *u = block->scale + first;
		const float *w = block->error + first;
		const float *x = block->norm + first;
		double	   *bound = bounds + first;
		int32_t		product[CODE_GROUP];

		size = size < CODE_GROUP ? size : CODE_GROUP;
		n = n < CODE_GROUP ? n : CODE_GROUP;
		products(query, block->bytes + first * padded, size, block->ahead, product);
		FETCH_AHEAD(u, block->ahead);
		FETCH_AHEAD(w, block->ahead);
		if (distance != CODE_COSINE)
			FETCH_AHEAD(x, block->ahead);

		if (distance == CODE_COSINE)
			for (size_t i = 0; i < n; i++)
			{
				double		b = 1.0 - CosineAbove(scale, error, product[i], u[i], w[i]);

				bound[i] = b > 0.0 ? b : 0.0;
			}
		else if (distance == CODE_INNER_PRODUCT)
			for (size_t i = 0; i < n; i++)
				bound[i] = -(norm * x[i]) *
					(CosineAbove(scale, error, product[i], u[i], w[i]) + 0x1p-22);
		else
			for (size_t i = 0; i < n; i++)
				bound[i] = EuclideanBound(norm, slack, x[i],
										  CosineAbove(scale, error, product[i], u[i], w[i]));
	}
}

#endif							/* FACTOR_CODES_INTERNAL_H */

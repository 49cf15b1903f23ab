/*
 * codes.h: 8-bit codes of float vectors, and lower bounds of distances
 * computed from them.
 *
 * A vector x of norm |x| and direction x^ = x / |x| is kept as the bytes
 * c_k in -127 .. 127, a scale u and an error w, such that
 *
 *	 |x^ - u c| <= w								(the residual is measured, not estimated)
 *
 * and its norm rounded to float.  A query q is kept as 15-bit integers d_k
 * with a scale t and an error v: |q^ - t d| <= v.  Then, by Cauchy and Schwarz,
 *
 *	 q^ . x^  <=  t u (d . c) + v (1 + w) + w  =  cosine_above
 *
 * where d . c is an integer, computed exactly.  From this upper bound of the
 * cosine follow lower bounds of the three distances (codes.c derives them, with
 * the roundings of these formulas and of distance.c in the account):
 *
 *	 cosine			   1 - cosine_above
 *	 inner product	   - |q| |x| cosine_above
 *	 Euclidean		   sqrt((|x| - |q|)^2 + 2 |x| |q| (1 - cosine_above))
 *
 * Codes lie in blocks: those of a page of the index.  A block of capacity m
 * holds its vectors in groups of 16, the last of m mod 16; a group of g vectors
 * holds, for each four elements, the four bytes of each of its vectors:
 *
 *	 byte of vector i, element k, in its group:	 (k / 4 * g + i) * 4 + k % 4
 *
 * so that one load brings four elements of 16 vectors, and the sums of 16
 * vectors end up side by side in one register, with no sum across it.  A byte
 * holds c + 128, as the processor's dot product wants one side unsigned; bytes
 * of elements beyond the length are 128.
 */
#ifndef FACTOR_CODES_H
#define FACTOR_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODE_GROUP 16
#define CODE_MAX_LENGTH 8000

typedef enum CodeDistance
{
	CODE_COSINE,
	CODE_INNER_PRODUCT,
	CODE_EUCLIDEAN
} CodeDistance;

/* What a vector is to the codes. */
typedef enum CodeKind
{
	CODE_REGULAR,				/* it has a code */
	CODE_ZERO,					/* all elements are zero; no code is needed */
	CODE_IRREGULAR				/* NaN, infinity, a norm or length beyond range */
} CodeKind;

/* The numbers beside the bytes. */
typedef struct CodeScalars
{
	float		norm;			/* |x|, to nearest */
	float		scale;			/* u */
	float		error;			/* w, never below the true residual */
} CodeScalars;

/* Where the parts of a block are; each array has `capacity` places. */
typedef struct CodeBlock
{
	size_t		capacity;
	size_t		count;			/* vectors present, the first ones */
	size_t		length;			/* elements of a vector */
	const uint8_t *bytes;
	const float *norm;
	const float *scale;
	const float *error;

	/*
	 * Where the next block to be searched lies, as a distance from this one in
	 * bytes, or 0: its memory is fetched meanwhile.
	 */
	ptrdiff_t	ahead;
} CodeBlock;

/* A query made ready for blocks of vectors of its own length. */
typedef struct CodeQuery
{
	size_t		length;
	double		norm;			/* |q| */
	double		scale;			/* t */
	double		error;			/* v, and room for all roundings */
	double		slack;			/* relative room for the roundings of sums */
	uint32_t	offset;			/* 128 sum d_k, modulo 2^32 */
	uint32_t	offset_high;	/* 128 sum high_k */
	uint32_t	offset_low;		/* 128 sum low_k */
	int16_t    *digits;			/* d_k, padded with zeros to a multiple of 4 */
	int8_t	   *high;			/* d_k = 128 high_k + low_k */
	int8_t	   *low;
} CodeQuery;

/* Instruction sets that the bounds are computed with. */
typedef enum CodeIsa
{
	CODE_PLAIN,					/* the reference: plain loops */
	CODE_AVX2,
	CODE_AVX512_VNNI,
	CODE_NEON
} CodeIsa;

#define CODE_ISAS 4

/* Bytes that one vector's code takes: its length, to a multiple of 4. */
static inline size_t
code_bytes(size_t length)
{
	return (length + 3) / 4 * 4;
}

/*
 * Codes a vector: bytes (code_bytes(length) of them, in element order) and
 * scalars, both untouched unless the result is CODE_REGULAR.  The same input
 * gives the same code on every processor.
 */
extern CodeKind code_vector(const float *x, size_t length,
							uint8_t *bytes, CodeScalars *scalars);

/* Puts a vector's bytes in their place in a block, and reads them back. */
extern void code_put(uint8_t *block, size_t capacity, size_t length,
					 size_t index, const uint8_t *bytes);
extern void code_get(const uint8_t *block, size_t capacity, size_t length,
					 size_t index, uint8_t *bytes);

/*
 * Makes a query ready in memory of code_query_size(length) bytes, aligned as
 * malloc does.  Of a zero query only length, norm and slack are set.
 */
extern size_t code_query_size(size_t length);
extern CodeKind code_query(const float *q, size_t length, CodeQuery *query);

/*
 * Lower bounds of the distances between the query and the block's vectors, in
 * vector order: bounds must have room for `count`.  No bound exceeds what
 * distance.c returns for the same pair.
 */
extern void code_bounds(const CodeQuery *query, CodeDistance distance,
						const CodeBlock *block, double *bounds);

/* The same of a vector of which the norm alone is known, to lie in a range. */
extern double code_norm_bound(const CodeQuery *query, CodeDistance distance,
							  float norm_low, float norm_high);

/* The same of a zero vector; NaN for the cosine distance. */
extern double code_zero_bound(const CodeQuery *query, CodeDistance distance);

/*
 * For tests: is the instruction set there, and the bounds by that one. All give
 * the same bits.
 */
extern bool code_isa_supported(CodeIsa isa);
extern void code_bounds_isa(CodeIsa isa, const CodeQuery *query,
							CodeDistance distance, const CodeBlock *block,
							double *bounds);

#endif							/* FACTOR_CODES_H */

/*
 * screen.c: which rows of a block may reach a score, from 8-bit codes.
 *
 * To find the best of many rows for many queries, nearly all products are
 * formed only to be thrown away. In 8 bits they cost a quarter of what they
 * cost in single precision, by the processors' instructions for it, and the
 * result is a certain bound (screen.h), so that nothing is lost: the few rows
 * that pass are computed again in double precision.
 *
 * The codes of the index topk (codes.h) serve one query, which has 15 bits,
 * and give each row a bound of its own. Here both sides have 8 bits, since the
 * work is in the products, and a block of 64 rows has one scale and one error
 * bound, so that one comparison of integers is all that a row costs beside its
 * product. For normal random vectors of 64 elements the two residuals are
 * together 1.4 % of |q| |x|, and of 27,000 rows some 40 more than with exact
 * products pass for the best ten.
 *
 * Roundings. Residuals and norms are computed in double precision; what that
 * and vector_dot() may be off, less than (length + 64) 2^-49 of |q| |x|, is covered
 * by widening either residual by 1e-10 of the vector's norm. ScreenLimits()
 * accounts for its own. Since the norms are those of floats up to 1e15, nothing
 * overflows or underflows in double precision.
 *
 * Rejected: a scale for each row (a multiplication and an addition more for
 * each product, which cost more than the rows that then would not pass);
 * 7-bit codes, with which AVX2 has an instruction that does not saturate (twice
 * the residual).
 */
#include "numerics/screen.h"

#include <math.h>
#include <string.h>

#include "numerics/cpu.h"
#include "numerics/distance.h"
#include "numerics/screen_internal.h"

#define MAX_DIGIT 127

/* Of a vector's norm: more than everything that is rounded. */
#define ROOM 1e-10

static double
MaxAbs(const float *x, size_t length, double max)
{
	for (size_t k = 0; k < length; k++)
		max = fabs(x[k]) > max ? fabs(x[k]) : max;
	return max;
}

/* Halves away from zero; vectorises everywhere. */
static inline int
Round(double x)
{
	return (int) (x + (x < 0 ? -0.5 : 0.5));
}

/* The digits of a vector; returns the norm of what they leave out. */
static double
Quantise(const float *x, size_t length, double scale, int8_t *digits)
{
	double		inverse = 1.0 / scale;
	double		sum = 0.0;

	for (size_t k = 0; k < length; k++)
	{
		int			digit = Round(x[k] * inverse);
		double		left;

		/* Rounding of the scale may take the largest a little beyond. */
		digit = digit > MAX_DIGIT ? MAX_DIGIT : digit;
		digit = digit < -MAX_DIGIT ? -MAX_DIGIT : digit;
		left = x[k] - scale * digit;
		sum += left * left;
		digits[k] = (int8_t) digit;
	}
	return sqrt(sum);
}

/* A scale with which `max` becomes the largest digit; any, if all are zero. */
static double
Scale(double max)
{
	return max > 0 ? max / MAX_DIGIT : 1.0;
}

void
screen_code_block(const float *rows, size_t stride, size_t n, size_t length,
				  uint8_t *bytes, ScreenBlock *block)
{
	int8_t		digits[SCREEN_MAX_LENGTH];
	double		max = 0.0;
	double		norm = 0.0;
	double		error = 0.0;
	double		scale;

	memset(bytes, 128, SCREEN_ROWS * screen_bytes(length));
	for (size_t i = 0; i < n; i++)
		max = MaxAbs(rows + i * stride, length, max);
	scale = Scale(max);
	for (size_t i = 0; i < n; i++)
	{
		const float *x = rows + i * stride;

		norm = fmax(norm, sqrt(vector_dot(x, x, length)));
		error = fmax(error, Quantise(x, length, scale, digits));
		for (size_t k = 0; k < length; k++)
			bytes[(k / 4 * SCREEN_ROWS + i) * 4 + k % 4] = (uint8_t) (digits[k] + 128);
	}
	block->inverse = 1.0 / scale;
	block->norm = norm * (1.0 + ROOM);
	block->error = error * (1.0 + 1e-6) + norm * ROOM;
}

void
screen_code_query(const float *query, const ScreenQueries *queries, size_t place)
{
	size_t		length = queries->length;
	size_t		padded = screen_bytes(length);
	int8_t	   *digits = queries->digits + place * padded;
	double		norm = sqrt(vector_dot(query, query, length));
	double		scale = Scale(MaxAbs(query, length, 0.0));
	double		error = Quantise(query, length, scale, digits);
	int			sum = 0;

	memset(digits + length, 0, padded - length);
	for (size_t k = 0; k < length; k++)
		sum += digits[k];
	queries->inverse[place] = 1.0 / scale;
	queries->norm[place] = norm * (1.0 + ROOM);
	queries->error[place] = error * (1.0 + 1e-6) + norm * ROOM;
	queries->offset[place] = 128.0 * sum;
}

/* ---- The reference ---- */

/* Four elements of all rows at a time, in loops that vectorise. */
static void
FourPlain(const int8_t *digits, size_t padded, const uint8_t *bytes,
		  const int32_t *limit, uint64_t *mask)
{
	int32_t		sum[SCREEN_FOUR][SCREEN_ROWS] = {{0}};

	for (size_t k = 0; k < padded; k += 4)
	{
		int16_t		row[4][SCREEN_ROWS];

		for (size_t i = 0; i < SCREEN_ROWS; i++)
			for (size_t j = 0; j < 4; j++)
				row[j][i] = bytes[k * SCREEN_ROWS + 4 * i + j];
		for (size_t q = 0; q < SCREEN_FOUR; q++)
		{
			const int8_t *four = digits + q * padded + k;
			int16_t		d0 = four[0];
			int16_t		d1 = four[1];
			int16_t		d2 = four[2];
			int16_t		d3 = four[3];

			for (size_t i = 0; i < SCREEN_ROWS; i++)
				sum[q][i] += d0 * row[0][i] + d1 * row[1][i] + d2 * row[2][i] + d3 * row[3][i];
		}
	}
	for (size_t q = 0; q < SCREEN_FOUR; q++)
	{
		mask[q] = 0;
		for (size_t i = 0; i < SCREEN_ROWS; i++)
			mask[q] |= (uint64_t) (sum[q][i] >= limit[q]) << i;
	}
}

static void
RowsPlain(const ScreenQueries *queries, size_t n, const ScreenBlock *block,
		  const uint8_t *bytes, uint64_t *mask)
{
	ScreenBody(queries, n, block, bytes, mask, FourPlain);
}

/* ---- The choice ---- */

typedef void (*RowsFunction) (const ScreenQueries *queries, size_t n, const ScreenBlock *block,
							  const uint8_t *bytes, uint64_t *mask);

bool
screen_isa_supported(ScreenIsa isa)
{
	switch (isa)
	{
		case SCREEN_PLAIN:
			return true;
#ifdef SCREEN_X86
		case SCREEN_AVX2:
			return cpu_has_avx2();
		case SCREEN_AVX512_VNNI:
			return cpu_has_avx512_vnni();
#endif
		default:
			return false;
	}
}

static RowsFunction
RowsOfIsa(ScreenIsa isa)
{
	switch (isa)
	{
#ifdef SCREEN_X86
		case SCREEN_AVX2:
			return screen_rows_avx2;
		case SCREEN_AVX512_VNNI:
			return screen_rows_avx512_vnni;
#endif
		default:
			return RowsPlain;
	}
}

void
screen_rows_isa(ScreenIsa isa, const ScreenQueries *queries, size_t n,
				const ScreenBlock *block, const uint8_t *bytes, uint64_t *mask)
{
	RowsOfIsa(isa) (queries, n, block, bytes, mask);
}

void
screen_rows(const ScreenQueries *queries, size_t n, const ScreenBlock *block,
			const uint8_t *bytes, uint64_t *mask)
{
	static RowsFunction chosen = NULL;

	if (chosen == NULL)
	{
		int			isa = SCREEN_ISAS - 1;

		while (!screen_isa_supported(isa))
			isa--;
		chosen = RowsOfIsa(isa);
	}
	chosen(queries, n, block, bytes, mask);
}

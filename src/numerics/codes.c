/*
 * codes.c: 8-bit codes of float vectors and the bounds they give.
 *
 * The idea is scalar quantisation with a measured error: code each element in
 * a byte, and keep the norm of what the bytes leave out.  That norm, at 64
 * elements about 0.6 % of the vector's own, turns the approximate inner product
 * into a certain bound, so that a search which looks at the codes alone can
 * tell which vectors cannot be among the nearest.  Product quantisation gives
 * shorter codes but an error ten times larger: too loose for an exact answer.
 * Codes of the elements rather than of the direction would need one more
 * factor per vector and would overflow for huge norms.
 *
 * Why no bound exceeds the operator's own result
 *
 * Let E = 2^-53, and let S = (length + 64) 2^-49, the query's `slack`; S is at
 * least 16 (length + 64) E.  distance.c forms each of its sums from products
 * that are exact, or rounded once, in at most length / 16 + 5 additions, so a
 * sum of squares is within a relative (length / 16 + 8) E, an inner product
 * within that times |q| |x|, and norms and the cosine within S / 16 in all.
 * The same holds for the norms computed here.
 *
 * 1. cosine_above.  code_vector measures w for the direction x / |x| with
 *	  |x| as computed, in double, and widens it by 1e-6 of itself and by 1e-12,
 *	  more than its roundings.  code_query does so with v.  Both directions
 *	  have norm 1 within S / 16.  Hence the exact cosine is at most
 *	  t u (d . c) + v (1 + w) + w (1 + S / 16) + S / 8, and the four roundings of
 *	  the evaluation are within 8 E (|t u d.c| + w + v), the first factor being
 *	  at most (1 + v)(1 + w) < 4.  The query's `error` is v + S, which covers
 *	  these, and S / 2 to spare for the distances:
 * 2. cosine: the operator's cosine is within S / 16 of the exact one, and the
 *	  subtraction rounds by at most 2 E.  The operator clamps its result to be
 *	  no less than 0, so 0 is a bound as well.
 * 3. inner product: the stored norm n is |x| (1 + h), |h| <= 2^-24.  So the
 *	  exact product is at most |q| n (cosine_above + 2^-23), whatever its sign;
 *	  2^-22 is used, and covers the operator's S / 16 as well, the length being
 *	  at most 8000.
 * 4. Euclidean: (|x| - |q|)^2 + 2 |x| |q| (1 - cosine), where the first difference
 *	  is known within n 2^-23 + |q| S, and |x| |q| to 2^-23: both are reduced by
 *	  that much, and at the end the root by a relative S.
 *
 * cosine_above is also kept from exceeding 1 + 2^-30, so that no vector's bound
 * lies below that of its norm alone (code_norm_bound, which allows twice the
 * room everywhere): a search that takes blocks in the order of the latter then
 * returns bounds in order.
 *
 * Norms are kept within CODE_MIN_NORM .. CODE_MAX_NORM, where a float has its
 * full precision; vectors beyond are for the caller to compare themselves.
 */
#include "numerics/codes.h"

#include <math.h>
#include <string.h>

#include "numerics/codes_internal.h"
#include "numerics/cpu.h"
#include "numerics/distance.h"

#define CODE_MIN_NORM 1e-30
#define CODE_MAX_NORM 1e30
#define CODE_MAX_BYTE 127

/* 128 high + low with high <= 127 and low within -64 .. 63 */
#define CODE_MAX_DIGIT 16319

#define LANES 16

static double
Slack(size_t length)
{
	return (double) (length + 64) * 0x1p-49;
}

/* The least float that is no less than a positive double. */
static float
RoundUp(double x)
{
	float		f = (float) x;

	return (double) f < x ? nextafterf(f, INFINITY) : f;
}

static float
MaxAbs(const float *x, size_t length)
{
	float		max = 0.0f;

	for (size_t k = 0; k < length; k++)
	{
		float		a = fabsf(x[k]);

		max = a > max ? a : max;
	}
	return max;
}

/* To the nearest integer, halves away from zero; vectorises everywhere. */
static inline int
Round(double x)
{
	return (int) (x + (x < 0 ? -0.5 : 0.5));
}

/*
 * Digits d with |d_k| <= max such that x / norm is near scale * d; returns the
 * norm of the difference, widened by more than its own roundings.
 */
static double
Quantise(const float *x, size_t length, double norm, double scale, int max,
		 int16_t *digits)
{
	double		inverse_norm = 1.0 / norm;
	double		inverse_scale = 1.0 / scale;
	double		sum[LANES] = {0};
	double		total = 0.0;

	for (size_t i = 0; i < length; i += LANES)
	{
		size_t		m = length - i < LANES ? length - i : LANES;

		for (size_t k = 0; k < m; k++)
		{
			double		direction = x[i + k] * inverse_norm;
			int			digit = Round(direction * inverse_scale);
			double		left;

			digit = digit > max ? max : digit;
			digit = digit < -max ? -max : digit;
			left = direction - scale * digit;
			sum[k] += left * left;
			digits[i + k] = (int16_t) digit;
		}
	}
	for (int k = 0; k < LANES; k++)
		total += sum[k];
	return sqrt(total) * (1.0 + 1e-6) + 1e-12;
}

CodeKind
code_vector(const float *x, size_t length, uint8_t *bytes, CodeScalars *scalars)
{
	int16_t		digits[CODE_MAX_LENGTH];
	double		norm;
	float		scale;
	double		error;

	if (length > CODE_MAX_LENGTH)
		return CODE_IRREGULAR;
	norm = sqrt(vector_dot(x, x, length));
	if (norm == 0.0)
		return CODE_ZERO;
	if (!(norm >= CODE_MIN_NORM && norm <= CODE_MAX_NORM))
		return CODE_IRREGULAR;

	scale = (float) (MaxAbs(x, length) / norm / CODE_MAX_BYTE);
	error = Quantise(x, length, norm, scale, CODE_MAX_BYTE, digits);

	for (size_t k = 0; k < length; k++)
		bytes[k] = (uint8_t) (digits[k] + 128);
	for (size_t k = length; k < code_bytes(length); k++)
		bytes[k] = 128;
	scalars->norm = (float) norm;
	scalars->scale = scale;
	scalars->error = RoundUp(error);
	return CODE_REGULAR;
}

/* The group that vector `index` is in, and its size. */
static size_t
GroupStart(size_t capacity, size_t length, size_t index, size_t *size)
{
	size_t		first = index / CODE_GROUP * CODE_GROUP;

	*size = capacity - first < CODE_GROUP ? capacity - first : CODE_GROUP;
	return first * code_bytes(length);
}

void
code_put(uint8_t *block, size_t capacity, size_t length, size_t index,
		 const uint8_t *bytes)
{
	size_t		size;
	uint8_t    *place = block + GroupStart(capacity, length, index, &size);

	place += index % CODE_GROUP * 4;
	for (size_t k = 0; k < code_bytes(length); k += 4)
		memcpy(place + k * size, bytes + k, 4);
}

void
code_get(const uint8_t *block, size_t capacity, size_t length, size_t index,
		 uint8_t *bytes)
{
	size_t		size;
	const uint8_t *place = block + GroupStart(capacity, length, index, &size);

	place += index % CODE_GROUP * 4;
	for (size_t k = 0; k < code_bytes(length); k += 4)
		memcpy(bytes + k, place + k * size, 4);
}

size_t
code_query_size(size_t length)
{
	return sizeof(CodeQuery) + code_bytes(length) * (sizeof(int16_t) + 2);
}

/* The largest digit with which d . c cannot leave 32 bits. */
static int
MaxDigit(size_t length)
{
	size_t		max = INT32_MAX / CODE_MAX_BYTE / length;

	return max < CODE_MAX_DIGIT ? (int) max : CODE_MAX_DIGIT;
}

CodeKind
code_query(const float *q, size_t length, CodeQuery *query)
{
	size_t		padded = code_bytes(length);
	double		norm;
	int			max;

	if (length > CODE_MAX_LENGTH)
		return CODE_IRREGULAR;
	norm = sqrt(vector_dot(q, q, length));
	if (!isfinite(norm))
		return CODE_IRREGULAR;
	memset(query, 0, sizeof(CodeQuery));
	query->length = length;
	query->norm = norm;
	query->slack = Slack(length);
	if (norm == 0.0)
		return CODE_ZERO;

	query->digits = (int16_t *) (query + 1);
	query->high = (int8_t *) (query->digits + padded);
	query->low = query->high + padded;
	memset(query->digits, 0, padded * sizeof(int16_t));

	max = MaxDigit(length);
	query->scale = MaxAbs(q, length) / norm / max;
	query->error = Quantise(q, length, norm, query->scale, max, query->digits) +
		query->slack;

	for (size_t k = 0; k < padded; k++)
	{
		/* floor division, for negative digits too */
		int			high = (query->digits[k] + 64 + 16384) / 128 - 128;
		int			low = query->digits[k] - 128 * high;

		query->high[k] = (int8_t) high;
		query->low[k] = (int8_t) low;
		query->offset += 128u * (uint32_t) query->digits[k];
		query->offset_high += 128u * (uint32_t) high;
		query->offset_low += 128u * (uint32_t) low;
	}
	return CODE_REGULAR;
}

double
code_norm_bound(const CodeQuery *query, CodeDistance distance,
				float norm_low, float norm_high)
{
	double		near;

	switch (distance)
	{
		case CODE_COSINE:
			return 0.0;
		case CODE_INNER_PRODUCT:
			return -(query->norm * norm_high) * (1.0 + 0x1p-21);
		case CODE_EUCLIDEAN:
			if (query->norm < norm_low)
				near = norm_low - query->norm;
			else if (query->norm > norm_high)
				near = query->norm - norm_high;
			else
				return 0.0;
			near -= norm_high * 0x1p-22 + query->norm * 2.0 * query->slack;
			return near > 0.0 ? near * (1.0 - 2.0 * query->slack) : 0.0;
	}
	return -INFINITY;
}

double
code_zero_bound(const CodeQuery *query, CodeDistance distance)
{
	switch (distance)
	{
		case CODE_COSINE:
			return NAN;
		case CODE_INNER_PRODUCT:
			return 0.0;
		case CODE_EUCLIDEAN:
			return query->norm * (1.0 - query->slack);
	}
	return -INFINITY;
}

/*
 * The reference: the integer products of one group's vectors and the query's
 * digits, modulo 2^32; the true ones fit 32 bits.
 */
static void
ProductsPlain(const CodeQuery *query, const uint8_t *group, size_t size,
			  ptrdiff_t ahead, int32_t *products)
{
	uint32_t	sum[CODE_GROUP] = {0};

	for (size_t k = 0; k < code_bytes(query->length); k += 4)
	{
		const uint8_t *four = group + k * size;

		FETCH_AHEAD(four, ahead);
		for (size_t i = 0; i < size; i++)
			for (size_t j = 0; j < 4; j++)
				sum[i] += (uint32_t) (query->digits[k + j] * four[4 * i + j]);
	}
	for (size_t i = 0; i < size; i++)
		products[i] = (int32_t) (sum[i] - query->offset);
}

static void
BoundsPlain(const CodeQuery *query, CodeDistance distance,
			const CodeBlock *block, double *bounds)
{
	BoundsBody(query, distance, block, bounds, ProductsPlain);
}

bool
code_isa_supported(CodeIsa isa)
{
	switch (isa)
	{
		case CODE_PLAIN:
			return true;
#ifdef CODES_X86
		case CODE_AVX2:
			return cpu_has_avx2();
		case CODE_AVX512_VNNI:
			return cpu_has_avx512_vnni();
#endif
#ifdef CODES_NEON
		case CODE_NEON:
			return true;
#endif
		default:
			return false;
	}
}

static BoundsFunction
BoundsOfIsa(CodeIsa isa)
{
	switch (isa)
	{
#ifdef CODES_X86
		case CODE_AVX2:
			return code_bounds_avx2;
		case CODE_AVX512_VNNI:
			return code_bounds_avx512_vnni;
#endif
#ifdef CODES_NEON
		case CODE_NEON:
			return code_bounds_neon;
#endif
		default:
			return BoundsPlain;
	}
}

void
code_bounds_isa(CodeIsa isa, const CodeQuery *query, CodeDistance distance,
				const CodeBlock *block, double *bounds)
{
	BoundsOfIsa(isa) (query, distance, block, bounds);
}

void
code_bounds(const CodeQuery *query, CodeDistance distance,
			const CodeBlock *block, double *bounds)
{
	static BoundsFunction chosen = NULL;

	if (chosen == NULL)
	{
		int			isa = CODE_ISAS - 1;

		while (!code_isa_supported(isa))
			isa--;
		chosen = BoundsOfIsa(isa);
	}
	chosen(query, distance, block, bounds);
}

/*
 * test_codes.c: the codes of numerics/codes.c against the exact distances.
 *
 * For random vectors of many lengths, norms and shapes: every instruction set
 * gives the reference's bits, no bound exceeds the distance that distance.c
 * returns nor undercuts the bound of the norm alone, the products lose nothing
 * at the extremes of the digits, and the bounds are close enough to be of use.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "numerics/codes.h"
#include "numerics/distance.h"

static long failures = 0;

/* Tells what failed; each test then counts as one check. */
#define CHECK(condition, ...) \
	do { \
		if (!(condition)) \
		{ \
			failures++; \
			printf("# codes: " __VA_ARGS__); \
			printf(" (line %d)\n", __LINE__); \
		} \
	} while (0)

/* Shapes: normal, sparse, one large element, all of one size, near a query. */
static void
FillVector(float *x, size_t length, const float *near)
{
	int			shape = (int) random_below(6);
	double		size = exp(random_normal() * (random_below(4) == 0 ? 12.0 : 0.6));

	for (size_t k = 0; k < length; k++)
	{
		double		v = random_normal();

		if (shape == 1 && random_uniform() < 0.8)
			v = 0.0;
		else if (shape == 2)
			v *= k == 0 ? 1000.0 : 1e-3;
		else if (shape == 3)
			v = v < 0 ? -1.0 : 1.0;
		else if (shape == 4 && near != NULL)
			v = near[k] / size;
		else if (shape == 5 && near != NULL)
			v = (near[k] + 1e-4 * random_normal()) / size;
		x[k] = (float) (v * size);
	}
}

static double
Distance(CodeDistance distance, const float *a, const float *b, size_t n)
{
	switch (distance)
	{
		case CODE_COSINE:
			return vector_cosine_distance(a, b, n);
		case CODE_INNER_PRODUCT:
			return 0.0 - vector_dot(a, b, n);
		case CODE_EUCLIDEAN:
			return vector_l2_distance(a, b, n);
	}
	return NAN;
}

typedef struct TestBlock
{
	CodeBlock	block;
	float	   *vectors;
	uint8_t    *bytes;
	float	   *norm;
	float	   *scale;
	float	   *error;
} TestBlock;

/* A block of regular vectors, and a check that codes read back as put. */
static void
FillBlock(TestBlock *t, size_t capacity, size_t count, size_t length,
		  const float *near)
{
	uint8_t    *one = malloc(2 * code_bytes(length));
	uint8_t    *back = one + code_bytes(length);

	t->vectors = malloc(capacity * length * sizeof(float));
	t->bytes = malloc(capacity * code_bytes(length));
	t->norm = malloc(capacity * sizeof(float));
	t->scale = malloc(capacity * sizeof(float));
	t->error = malloc(capacity * sizeof(float));
	for (size_t i = 0; i < capacity * code_bytes(length); i++)
		t->bytes[i] = (uint8_t) random_below(256);
	for (size_t i = 0; i < count; i++)
	{
		float	   *x = t->vectors + i * length;
		CodeScalars scalars;

		do
			FillVector(x, length, near);
		while (code_vector(x, length, one, &scalars) != CODE_REGULAR);
		code_put(t->bytes, capacity, length, i, one);
		t->norm[i] = scalars.norm;
		t->scale[i] = scalars.scale;
		t->error[i] = scalars.error;
	}
	for (size_t i = 0; i < count; i++)
	{
		CodeScalars scalars;

		code_vector(t->vectors + i * length, length, one, &scalars);
		code_get(t->bytes, capacity, length, i, back);
		CHECK(memcmp(one, back, code_bytes(length)) == 0,
			  "code %zu of %zu does not read back", i, capacity);
	}
	t->block = (CodeBlock) {
		capacity, count, length, t->bytes, t->norm, t->scale, t->error,
		(ptrdiff_t) random_below(2) * 8192
	};
	free(one);
}

static void
FreeBlock(TestBlock *t)
{
	free(t->vectors);
	free(t->bytes);
	free(t->norm);
	free(t->scale);
	free(t->error);
}

/* The reference of the reference: the product of one pair, in 64 bits. */
static void
CheckProducts(const CodeQuery *query, const TestBlock *t)
{
	uint8_t    *one = malloc(code_bytes(query->length));

	for (size_t i = 0; i < t->block.count; i++)
	{
		int64_t		sum = 0;
		double		cosine;
		double		bound;

		code_get(t->bytes, t->block.capacity, query->length, i, one);
		for (size_t k = 0; k < query->length; k++)
		{
			CHECK(query->digits[k] == 128 * query->high[k] + query->low[k],
				  "digit %d is not its parts", query->digits[k]);
			sum += (int64_t) query->digits[k] * (one[k] - 128);
		}
		CHECK(sum >= INT32_MIN && sum <= INT32_MAX, "product leaves 32 bits");
		cosine = query->scale * t->scale[i] * (double) sum +
			(query->error * (1.0 + t->error[i]) + t->error[i]);
		code_bounds(query, CODE_COSINE,
					&(CodeBlock) {
						1, 1, query->length, one, t->norm + i, t->scale + i, t->error + i, 0
					}, &bound);
		CHECK(fabs(bound - fmax(0.0, 1.0 - cosine)) < 1e-9,
			  "product: bound %g for %g", bound, 1.0 - cosine);
	}
	free(one);
}

static void
CheckBounds(const float *q, const CodeQuery *query, const TestBlock *t,
			double *gap)
{
	const CodeBlock *block = &t->block;
	double	   *bounds = malloc(2 * (block->count + 1) * sizeof(double));
	double	   *other = bounds + block->count + 1;

	for (int distance = CODE_COSINE; distance <= CODE_EUCLIDEAN; distance++)
	{
		code_bounds_isa(CODE_PLAIN, query, distance, block, bounds);
		for (int isa = CODE_PLAIN + 1; isa < CODE_ISAS; isa++)
		{
			if (!code_isa_supported(isa))
				continue;
			other[block->count] = 42.0;
			code_bounds_isa(isa, query, distance, block, other);
			CHECK(memcmp(bounds, other, block->count * sizeof(double)) == 0,
				  "instruction set %d differs, length %zu, capacity %zu, count %zu",
				  isa, block->length, block->capacity, block->count);
			CHECK(other[block->count] == 42.0, "wrote beyond the count");
		}
		for (size_t i = 0; i < block->count; i++)
		{
			double		d = Distance(distance, q, t->vectors + i * block->length,
									 block->length);
			double		by_norm = code_norm_bound(query, distance,
												  t->norm[i], t->norm[i]);

			CHECK(bounds[i] <= d, "bound %.17g above distance %.17g (%d)",
				  bounds[i], d, distance);
			CHECK(by_norm <= bounds[i], "norm's bound %.17g above bound %.17g (%d)",
				  by_norm, bounds[i], distance);
			CHECK(code_norm_bound(query, distance, t->norm[i] * 0.9f,
								  t->norm[i] * 1.1f) <= by_norm,
				  "wider range, higher bound");
			if (distance == CODE_COSINE)
				*gap = fmax(*gap, d - bounds[i]);
		}
	}
	free(bounds);
}

static void
TestRandom(void)
{
	static const size_t lengths[] = {
		1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 63, 64, 65, 100, 128, 300, 999,
		2000, 5000, CODE_MAX_LENGTH
	};

	for (int round = 0; round < 400; round++)
	{
		size_t		length = lengths[random_below(sizeof(lengths) / sizeof(*lengths))];
		size_t		capacity = 1 + random_below(length > 300 ? 20 : 100);
		size_t		count = random_below(capacity + 1);
		float	   *q = malloc(length * sizeof(float));
		CodeQuery  *query = malloc(code_query_size(length));
		TestBlock	t;
		double		gap = 0.0;

		do
			FillVector(q, length, NULL);
		while (code_query(q, length, query) != CODE_REGULAR);
		FillBlock(&t, capacity, count, length, q);
		CheckProducts(query, &t);
		CheckBounds(q, query, &t, &gap);
		FreeBlock(&t);
		free(query);
		free(q);
	}
}

/* Of normal vectors of 64 elements the bounds are within one per cent. */
static void
TestTightness(void)
{
	float		x[64];
	uint8_t		bytes[64];
	CodeScalars scalars;
	double		worst = 0.0;

	for (int i = 0; i < 1000; i++)
	{
		for (int k = 0; k < 64; k++)
			x[k] = (float) random_normal();
		CHECK(code_vector(x, 64, bytes, &scalars) == CODE_REGULAR, "irregular");
		worst = fmax(worst, scalars.error);
	}
	CHECK(worst > 0.0 && worst < 0.012, "code error %g", worst);
}

static void
TestKinds(void)
{
	float		x[3] = {0.0f, -0.0f, 0.0f};
	float		long_vector[CODE_MAX_LENGTH + 1] = {1.0f};
	uint8_t		bytes[CODE_MAX_LENGTH + 4];
	CodeScalars scalars;
	CodeQuery  *query = malloc(code_query_size(CODE_MAX_LENGTH));

	CHECK(code_vector(x, 3, bytes, &scalars) == CODE_ZERO, "zero");
	CHECK(code_vector(x, 0, bytes, &scalars) == CODE_ZERO, "empty");
	CHECK(code_query(x, 3, query) == CODE_ZERO, "zero query");
	CHECK(code_zero_bound(query, CODE_EUCLIDEAN) == 0.0, "zero to zero");
	x[1] = NAN;
	CHECK(code_vector(x, 3, bytes, &scalars) == CODE_IRREGULAR, "NaN");
	CHECK(code_query(x, 3, query) == CODE_IRREGULAR, "NaN query");
	x[1] = -INFINITY;
	CHECK(code_vector(x, 3, bytes, &scalars) == CODE_IRREGULAR, "infinity");
	CHECK(code_query(x, 3, query) == CODE_IRREGULAR, "infinite query");
	x[1] = 1e-31f;
	CHECK(code_vector(x, 3, bytes, &scalars) == CODE_IRREGULAR, "tiny");
	CHECK(code_query(x, 3, query) == CODE_REGULAR, "tiny query");
	x[1] = 3e38f;
	CHECK(code_vector(x, 3, bytes, &scalars) == CODE_IRREGULAR, "huge");
	CHECK(code_query(x, 3, query) == CODE_REGULAR, "huge query");
	CHECK(isnan(code_zero_bound(query, CODE_COSINE)), "cosine of zero");
	CHECK(code_zero_bound(query, CODE_EUCLIDEAN) <= (double) 3e38f, "norm");
	CHECK(code_vector(long_vector, CODE_MAX_LENGTH, bytes, &scalars) == CODE_REGULAR,
		  "longest");
	CHECK(code_vector(long_vector, CODE_MAX_LENGTH + 1, bytes, &scalars) == CODE_IRREGULAR,
		  "too long");
	free(query);
}

/* All digits and bytes at their extremes, where a narrow sum would overflow. */
static void
TestExtremes(void)
{
	for (int sign = -1; sign <= 1; sign += 2)
		for (size_t length = 1; length <= CODE_MAX_LENGTH; length = length * 3 + 1)
		{
			float	   *q = malloc(length * sizeof(float));
			CodeQuery  *query = malloc(code_query_size(length));
			TestBlock	t;
			double		gap = 0.0;

			for (size_t k = 0; k < length; k++)
				q[k] = 1.0f;
			code_query(q, length, query);
			FillBlock(&t, 40, 40, length, NULL);
			for (size_t i = 0; i < 40; i++)
			{
				uint8_t    *one = malloc(code_bytes(length));
				CodeScalars scalars;

				for (size_t k = 0; k < length; k++)
					t.vectors[i * length + k] = (float) sign;
				code_vector(t.vectors + i * length, length, one, &scalars);
				code_put(t.bytes, 40, length, i, one);
				t.norm[i] = scalars.norm;
				t.scale[i] = scalars.scale;
				t.error[i] = scalars.error;
				free(one);
			}
			CheckProducts(query, &t);
			CheckBounds(q, query, &t, &gap);
			CHECK(gap < 1e-2, "gap %g at the extremes", gap);
			FreeBlock(&t);
			free(query);
			free(q);
		}
}

/* Runs a test and counts it as one check. */
static void
Run(void (*test) (void), const char *words)
{
	long		before = failures;

	test();
	check(failures == before, "codes: %s", words);
}

void
test_codes(void)
{
	printf("# codes: instruction sets");
	for (int isa = 0; isa < CODE_ISAS; isa++)
		printf(" %d %s", isa, code_isa_supported(isa) ? "yes" : "no");
	printf("\n");
	random_seed("codes", 1);
	Run(TestKinds, "what has a code");
	Run(TestTightness, "the error is small");
	Run(TestExtremes, "digits at their extremes");
	for (uint64_t seed = 2; seed < 5; seed++)
	{
		random_seed("codes", seed);
		Run(TestRandom, "no bound exceeds the distance, all instruction sets agree");
	}
}

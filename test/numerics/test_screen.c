/*
 * test_screen.c: the screen of numerics/screen.c against exact products.
 *
 * For blocks and queries of many lengths, norms and shapes: every instruction
 * set leaves the reference's masks, no row that reaches the score is lost, the
 * products lose nothing at the extremes of the digits, and of normal vectors few
 * rows pass that do not reach the score.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "numerics/distance.h"
#include "numerics/screen.h"

typedef struct Screened
{
	size_t		length;
	size_t		nrows;
	size_t		nqueries;
	float	   *rows;
	float	   *queries;
	uint8_t    *bytes;
	ScreenBlock block;
	ScreenQueries coded;
} Screened;

/* Shapes: normal, sparse, one large element, all of one size, zero. */
static void
FillVector(float *x, size_t length, double size)
{
	size_t		shape = random_below(12);

	for (size_t k = 0; k < length; k++)
	{
		double		v = random_normal();

		if (shape == 1 && random_uniform() < 0.8)
			v = 0.0;
		else if (shape == 2)
			v *= k == 0 ? 1000.0 : 1e-3;
		else if (shape == 3)
			v = v < 0 ? -1.0 : 1.0;
		else if (shape == 4)
			v = 0.0;
		x[k] = (float) (v * size);
	}
}

static Screened *
MakeScreened(size_t length, size_t nrows, size_t nqueries)
{
	Screened   *s = allocate(sizeof(Screened));

	s->length = length;
	s->nrows = nrows;
	s->nqueries = nqueries;
	s->rows = allocate(nrows * length * sizeof(float));
	s->queries = allocate(nqueries * length * sizeof(float));
	s->bytes = allocate(SCREEN_ROWS * screen_bytes(length));
	s->coded.length = length;
	s->coded.digits = allocate(SCREEN_MAX_QUERIES * screen_bytes(length));
	s->coded.inverse = allocate(SCREEN_MAX_QUERIES * sizeof(double));
	s->coded.norm = allocate(SCREEN_MAX_QUERIES * sizeof(double));
	s->coded.error = allocate(SCREEN_MAX_QUERIES * sizeof(double));
	s->coded.offset = allocate(SCREEN_MAX_QUERIES * sizeof(double));
	s->coded.least = allocate(SCREEN_MAX_QUERIES * sizeof(double));
	return s;
}

static void
FreeScreened(Screened *s)
{
	free(s->rows);
	free(s->queries);
	free(s->bytes);
	free(s->coded.digits);
	free(s->coded.inverse);
	free(s->coded.norm);
	free(s->coded.error);
	free(s->coded.offset);
	free(s->coded.least);
	free(s);
}

static void
Code(Screened *s)
{
	screen_code_block(s->rows, s->length, s->nrows, s->length, s->bytes, &s->block);
	for (size_t q = 0; q < s->nqueries; q++)
		screen_code_query(s->queries + q * s->length, &s->coded, q);
}

static double
Product(const Screened *s, size_t q, size_t row)
{
	return vector_dot(s->queries + q * s->length, s->rows + row * s->length, s->length);
}

typedef struct Found
{
	size_t		differ;			/* masks that are not the reference's */
	size_t		lost;			/* rows that reach the score and do not pass */
	size_t		pass;
	size_t		reach;
} Found;

static void
Screen(const Screened *s, Found *found)
{
	uint64_t	mask[SCREEN_ISAS][SCREEN_MAX_QUERIES];
	uint64_t	chosen[SCREEN_MAX_QUERIES];

	for (int isa = 0; isa < SCREEN_ISAS; isa++)
	{
		if (!screen_isa_supported(isa))
			continue;
		screen_rows_isa(isa, &s->coded, s->nqueries, &s->block, s->bytes, mask[isa]);
		found->differ += !same_bytes(mask[isa], mask[SCREEN_PLAIN], s->nqueries * sizeof(uint64_t));
	}
	screen_rows(&s->coded, s->nqueries, &s->block, s->bytes, chosen);
	found->differ += !same_bytes(chosen, mask[SCREEN_PLAIN], s->nqueries * sizeof(uint64_t));
	for (size_t q = 0; q < s->nqueries; q++)
		for (size_t row = 0; row < s->nrows; row++)
		{
			bool		passes = chosen[q] >> row & 1;
			bool		reaches = Product(s, q, row) >= s->coded.least[q];

			found->lost += reaches && !passes;
			found->pass += passes;
			found->reach += reaches;
		}
}

/* The scores to reach are products of the block's own rows, mostly. */
static void
TestRandom(void)
{
	static const size_t lengths[] = {1, 2, 3, 4, 5, 20, 63, 64, 65, 100, 1000, 2001};
	Found		found = {0, 0, 0, 0};

	random_seed("screen", 21);
	for (int trial = 0; trial < 240; trial++)
	{
		size_t		length = lengths[(size_t) trial % (sizeof(lengths) / sizeof(lengths[0]))];
		Screened   *s = MakeScreened(length, 1 + random_below(SCREEN_ROWS),
									 1 + random_below(length > 500 ? 9 : SCREEN_MAX_QUERIES));
		double		size = exp(random_normal() * (trial % 4 == 0 ? 8.0 : 0.6));
		double		spread = trial % 3 == 0 ? 4.0 : 0.3;

		for (size_t i = 0; i < s->nrows; i++)
			FillVector(s->rows + i * length, length, size * exp(random_normal() * spread));
		for (size_t q = 0; q < s->nqueries; q++)
			FillVector(s->queries + q * length, length, exp(random_normal() * (trial % 5 == 0 ? 8.0 : 1.0)));
		Code(s);
		for (size_t q = 0; q < s->nqueries; q++)
		{
			s->coded.least[q] = Product(s, q, random_below(s->nrows));
			if (q % 7 == 5)
				s->coded.least[q] = -INFINITY;
			if (q % 7 == 6)
				s->coded.least[q] *= 1.5;
		}
		Screen(s, &found);
		FreeScreened(s);
	}
	check(found.differ == 0, "screen: all instruction sets leave the same rows");
	check(found.lost == 0, "screen: of %zu rows that reach the score none is lost", found.reach);
}

/* Of normal vectors, what passes beside each query's best row. */
static void
TestClose(void)
{
	Found		found = {0, 0, 0, 0};

	random_seed("screen, close", 23);
	for (int trial = 0; trial < 10; trial++)
	{
		Screened   *s = MakeScreened(64, SCREEN_ROWS, SCREEN_MAX_QUERIES);

		for (size_t k = 0; k < s->nrows * 64; k++)
			s->rows[k] = random_normal();
		for (size_t k = 0; k < s->nqueries * 64; k++)
			s->queries[k] = random_normal();
		Code(s);
		for (size_t q = 0; q < s->nqueries; q++)
		{
			s->coded.least[q] = -INFINITY;
			for (size_t row = 0; row < s->nrows; row++)
				s->coded.least[q] = fmax(s->coded.least[q], Product(s, q, row));
		}
		Screen(s, &found);
		FreeScreened(s);
	}
	check(found.lost == 0 && found.reach >= 10 * SCREEN_MAX_QUERIES && found.pass < 2 * found.reach,
		  "screen: beside %zu rows that reach it %zu pass", found.reach, found.pass - found.reach);
}

/* Norms at the ends of the range, where the sums reach farthest. */
static void
TestExtremes(void)
{
	static const double sizes[] = {1e-45, 1e-38, 1e-30, 1.0, 1e10, 1e13};
	Found		found = {0, 0, 0, 0};

	random_seed("screen, extremes", 22);
	for (size_t a = 0; a < sizeof(sizes) / sizeof(sizes[0]); a++)
		for (size_t b = 0; b < sizeof(sizes) / sizeof(sizes[0]); b++)
		{
			Screened   *s = MakeScreened(2000, 5, 5);

			for (size_t i = 0; i < 5; i++)
				for (size_t k = 0; k < 2000; k++)
				{
					s->rows[i * 2000 + k] = (float) ((i % 2 ? -1 : 1) * sizes[a]);
					s->queries[i * 2000 + k] = (float) ((i < 3 ? 1 : random_normal()) * sizes[b]);
				}
			Code(s);
			for (size_t q = 0; q < 5; q++)
				s->coded.least[q] = q == 4 ? 0 : Product(s, q, q);
			Screen(s, &found);
			FreeScreened(s);
		}
	check(found.differ == 0, "screen: the same at the extremes");
	check(found.lost == 0, "screen: none of %zu is lost at the extremes", found.reach);
}

void
test_screen(void)
{
	TestRandom();
	TestClose();
	TestExtremes();
}

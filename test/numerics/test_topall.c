/*
 * test_topall.c: the k best for many, against sorting all products; principal
 * components against their definition.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "numerics/blas.h"
#include "numerics/components.h"
#include "numerics/distance.h"
#include "numerics/topall.h"

typedef struct Ranked
{
	double		score;
	uint32_t	place;
	double		norm;
	bool		regular;
	size_t		from;			/* its row before they were sorted */
} Ranked;

static int
CompareNorms(const void *a, const void *b)
{
	const Ranked *left = a;
	const Ranked *right = b;

	if (left->regular != right->regular)
		return left->regular ? -1 : 1;
	return left->norm > right->norm ? -1 : left->norm < right->norm;
}

static int
CompareScores(const void *a, const void *b)
{
	const Ranked *left = a;
	const Ranked *right = b;

	if (left->score != right->score)
		return left->score > right->score ? -1 : 1;
	return left->place < right->place ? -1 : 1;
}

/* Vectors of all sizes, a third of them copies; with `odd`, some absurd ones. */
static void
MakeVectors(float *vectors, size_t n, size_t d, size_t stride, double spread, bool odd)
{
	for (size_t i = 0; i < n; i++)
	{
		double		scale = exp(spread * random_normal());

		for (size_t k = 0; k < d; k++)
			vectors[i * stride + k] = (float) (random_normal() * scale);
		if (i % 3 == 2)
			memcpy(vectors + i * stride, vectors + i / 2 * stride, d * sizeof(float));
		if (odd && i % 50 == 7)
			vectors[i * stride + i % d] = 1e30f;
		if (odd && i % 50 == 8)
			vectors[i * stride + i % d] = NAN;
		if (odd && i % 50 == 9)
			for (size_t k = 0; k < d; k++)
				vectors[i * stride + k] = i % 100 == 9 ? 0 : 1e-30f;
	}
}

/* Ranks for all queries both ways; returns how many come out differently. */
static size_t
CountWrong(size_t n, size_t nqueries, size_t d, size_t k, double spread, bool odd, size_t skip)
{
	size_t		stride = topall_stride(d);
	float	   *given = allocate(n * stride * sizeof(float));
	float	   *vectors = allocate(n * stride * sizeof(float));
	float	   *queries = allocate(nqueries * stride * sizeof(float));
	uint32_t   *place = allocate(n * sizeof(uint32_t));
	uint32_t   *skipped = allocate((n + 1) * sizeof(uint32_t));
	Ranked	   *order = allocate(n * sizeof(Ranked));
	TopEntry   *best = allocate(nqueries * k * sizeof(TopEntry));
	TopAllQuery *query = allocate(nqueries * sizeof(TopAllQuery));
	TopAllWork *work = topall_work_init(allocate(topall_work_size(d)), d);
	TopAllRows	rows = {.vectors = vectors, .place = place, .n = n, .length = d, .stride = stride};
	size_t		nskipped = 0;
	size_t		wrong = 0;

	MakeVectors(given, n, d, stride, spread, odd);
	MakeVectors(queries, nqueries, d, stride, spread, odd);
	for (size_t i = 0; i < n; i++)
	{
		order[i].from = i;
		order[i].regular = topall_norm(given + i * stride, d, &order[i].norm);
		rows.regular += order[i].regular;
	}
	qsort(order, n, sizeof(Ranked), CompareNorms);
	for (size_t i = 0; i < n; i++)
	{
		memcpy(vectors + i * stride, given + order[i].from * stride, stride * sizeof(float));
		place[i] = (uint32_t) order[i].from;
		if (skip > 0 && i % skip == 0)
			skipped[nskipped++] = (uint32_t) i;
	}

	rows.codes = allocate(topall_codes_size(rows.regular, d));
	rows.blocks = allocate(topall_blocks(rows.regular) * sizeof(ScreenBlock));
	for (size_t b = 0; b < topall_blocks(rows.regular); b++)
		topall_code(&rows, b);

	for (size_t q = 0; q < nqueries; q++)
	{
		query[q].vector = queries + q * stride;
		query[q].skip = skipped;
		query[q].nskip = nskipped;
		topheap_init(&query[q].best, best + q * k, k);
	}
	for (size_t q = 0; q < nqueries; q += TOPALL_TILE)
		topall_rank(work, &rows, query + q, nqueries - q < TOPALL_TILE ? nqueries - q : TOPALL_TILE,
					NULL, NULL);

	for (size_t q = 0; q < nqueries; q++)
	{
		size_t		m = 0;
		bool		same;

		for (size_t i = 0; i < n; i++)
		{
			order[m].score = vector_dot(query[q].vector, vectors + i * stride, d);
			order[m].place = place[i];
			if (!isnan(order[m].score) && !(skip > 0 && i % skip == 0))
				m++;
		}
		qsort(order, m, sizeof(Ranked), CompareScores);
		m = m < k ? m : k;
		same = query[q].best.n == m;
		for (size_t r = 0; same && r < m; r++)
			same = best[q * k + r].index == order[r].place && best[q * k + r].score == order[r].score;
		wrong += !same;
	}
	free(given);
	free(vectors);
	free(queries);
	free(rows.codes);
	free(rows.blocks);
	free(place);
	free(skipped);
	free(order);
	free(best);
	free(query);
	free(work);
	return wrong;
}

static void
TestTopall(void)
{
	random_seed("topall", 11);
	check(CountWrong(3000, 256, 64, 10, 0, false, 0) == 0, "topall: norms alike");
	check(CountWrong(3000, 200, 33, 10, 1, false, 3) == 0, "topall: norms of all sizes, some left out");
	check(CountWrong(2000, 7, 1, 25, 1, false, 1) == 0, "topall: all left out");
	check(CountWrong(1000, 100, 5, 1000, 0.5, false, 7) == 0, "topall: all of them");
	check(CountWrong(1500, 256, 20, 9, 2, true, 11) == 0, "topall: beyond single precision, zeros, NaN");
	check(CountWrong(1, 1, 3, 5, 0, false, 0) == 0, "topall: one row");
	check(CountWrong(0, 3, 3, 5, 0, false, 0) == 0, "topall: no rows");
	check(CountWrong(64, 4, 8, 0, 0, false, 0) == 0, "topall: none wanted");
	check(CountWrong(700, 50, 1, 12, 3, true, 5) == 0, "topall: one element");
	check(CountWrong(2000, 60, 3, 10, 0.3, false, 0) == 0, "topall: three elements");
	check(CountWrong(2000, 60, 100, 10, 0.6, false, 2) == 0, "topall: half left out");
	check(CountWrong(5000, 40, 20, 10, 0.6, true, 2) == 0, "topall: a long list left out");
	check(CountWrong(400, 30, 1001, 10, 0.6, true, 9) == 0, "topall: a thousand elements");
	check(CountWrong(300, 30, 64, 10, 8, false, 9) == 0, "topall: norms from tiny to huge");
}

/* A cloud that is longest along one direction, and then along another. */
static void
TestComponents(void)
{
	enum
	{
		N = 4000, D = 20
	};
	float	   *vectors = allocate(N * D * sizeof(float));
	double	   *work = allocate((components_work(D) + 3 * D) * sizeof(double));
	Components	components = {work, {work + D, work + 2 * D}, {0, 0}};
	double		products[3] = {0, 0, 0};

	random_seed("components", 12);
	for (size_t i = 0; i < N; i++)
	{
		for (size_t k = 0; k < D; k++)
			vectors[i * D + k] = 100 + 0.1f * random_normal();
		vectors[i * D + 3] += 5 * random_normal();
		vectors[i * D + 7] += 2 * random_normal();
	}
	check(components_find(vectors, N, D, &components, work + 3 * D, NULL, NULL) == NUMERICS_OK,
		  "components are found");
	check(components.axis[0][3] > 0.999 && components.axis[1][7] > 0.999, "axes point along the cloud");
	for (size_t i = 0; i < N; i++)
	{
		double		x = components_place(&components, 0, vectors + i * D, D);
		double		y = components_place(&components, 1, vectors + i * D, D);

		products[0] += x * x / N;
		products[1] += y * y / N;
		products[2] += x * y / N;
	}
	check(fabs(products[0] / components.variance[0] - 1) < 1e-4 &&
		  fabs(products[1] / components.variance[1] - 1) < 1e-4 &&
		  fabs(products[2]) < 1e-4 * components.variance[0], "variances, and no covariance");
	vectors[5] = NAN;
	check(components_find(vectors, N, D, &components, work + 3 * D, NULL, NULL) == NUMERICS_DIVERGED,
		  "vectors that are not finite have none");
	free(vectors);
	free(work);
}

void
test_topall(void)
{
	const char *why;

	if (blas_load(&why) != BLAS_READY)
	{
		check(false, "OpenBLAS loads: %s", why);
		return;
	}
	TestTopall();
	TestComponents();
}

/*
 * topall.c: the k best rows for each of many vectors, exactly.
 *
 * A tile of queries is multiplied with a block of rows by one matrix product
 * in single precision, whose result stays in the second-level cache; then each
 * query looks through its products for those that may be among its best:
 *
 *	 s	the product as vector_dot() gives it, in double precision
 *	 f	the same in single precision: |f - s| <= e |query| |row|
 *	 b	the least s among the k best so far
 *
 * What has f < b - e |query| |row| cannot be. Everything else is computed again
 * by vector_dot() and offered to the heap: some k (1 + log(n / k)) rows, if they
 * come in no particular order, which is little beside the products.
 *
 * Rows come in the order of decreasing norms. Since s <= |query| |row|, a query
 * is done once that falls below b, and leaves the tile. Norms of items that
 * were trained from real ratings vary so much that most rows are never looked
 * at.
 *
 * The bound on the error is that of n products summed in any order, with or
 * without fused multiply-add (Higham 2002, 3.1), twice for safety, plus what may
 * underflow. Norms beyond NORM_MAX might overflow: such rows, and all rows for
 * such queries, are computed in double precision alone.
 *
 * Rejected: a partial sort of the products in single precision (implicit's
 * way), which is not exact where two differ by less than their rounding error,
 * and slower, since it looks at every row's product more than once.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "numerics/blas.h"
#include "numerics/distance.h"
#include "numerics/topall.h"

#define BLOCK 256				/* rows of a product: with a tile of 256 queries 256 kB */
#define STRIDE_ALIGN 16
#define NORM_MAX 1e15
#define ROWS_PER_POLL 4096		/* of those that are computed one by one */

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86_TARGETS
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f")))
#endif

/* The first place from `from` on that is at least `least`; n if there is none. */
typedef size_t (*FindFunction) (const float *products, size_t from, size_t n, float least);

struct TopAllWork
{
	float	   *tile;			/* the vectors of the queries still at work */
	float	   *products;		/* of the tile with a block */
	FindFunction find;
	size_t		who[TOPALL_TILE];	/* of a vector in the tile: its query */
	double		norm[TOPALL_TILE];	/* of a query */
	size_t		skipped[TOPALL_TILE];	/* of a query: how much of `skip` is
										 * behind */
};

size_t
topall_stride(size_t length)
{
	return (length + STRIDE_ALIGN - 1) / STRIDE_ALIGN * STRIDE_ALIGN;
}

bool
topall_norm(const float *vector, size_t length, float *norm)
{
	double		exact = sqrt(vector_dot(vector, vector, length));

	if (!(exact <= NORM_MAX))
		return false;
	*norm = nextafterf((float) exact, INFINITY);
	return true;
}

/* ---- Looking through products ---- */

#define FIND_BODY \
	for (; from + 32 <= n; from += 32) \
	{ \
		int			any = 0; \
 \
		for (size_t k = 0; k < 32; k++) /* vectorised */ \
			any |= products[from + k] >= least; \
		if (any) \
			break; \
	} \
	while (from < n && !(products[from] >= least)) \
		from++; \
	return from

static size_t
FindPlain(const float *products, size_t from, size_t n, float least)
{
	FIND_BODY;
}

#ifdef HAVE_X86_TARGETS
AVX2 static size_t
FindAvx2(const float *products, size_t from, size_t n, float least)
{
	FIND_BODY;
}

AVX512 static size_t
FindAvx512(const float *products, size_t from, size_t n, float least)
{
	FIND_BODY;
}
#endif

static FindFunction
ChooseFind(void)
{
#ifdef HAVE_X86_TARGETS
	if (__builtin_cpu_supports("avx512f"))
		return FindAvx512;
	if (__builtin_cpu_supports("avx2"))
		return FindAvx2;
#endif
	return FindPlain;
}

/* ---- Memory ---- */

size_t
topall_work_size(size_t length)
{
	return sizeof(TopAllWork) + 64 +
		sizeof(float) * TOPALL_TILE * (topall_stride(length) + BLOCK);
}

TopAllWork *
topall_work_init(void *memory, size_t length)
{
	TopAllWork *work = memory;
	uintptr_t	after = ((uintptr_t) (work + 1) + 63) / 64 * 64;

	work->tile = (float *) after;
	work->products = work->tile + TOPALL_TILE * topall_stride(length);
	work->find = ChooseFind();
	return work;
}

/* ---- One row for one query ---- */

static void
Offer(const TopAllRows *rows, TopAllQuery *query, size_t row)
{
	double		product = vector_dot(query->vector, rows->vectors + row * rows->stride,
									 rows->length);

	if (!isnan(product))
		topheap_offer(&query->best, product, rows->place[row]);
}

/* Rows from `from` on, in double precision alone. */
static void
RankPlainly(const TopAllRows *rows, TopAllQuery *query, size_t from, size_t skipped,
			NumericsPoll poll, void *arg)
{
	for (size_t row = from; row < rows->n; row++)
	{
		if (poll != NULL && row % ROWS_PER_POLL == 0)
			poll(arg);
		while (skipped < query->nskip && query->skip[skipped] < row)
			skipped++;
		if (skipped == query->nskip || query->skip[skipped] != row)
			Offer(rows, query, row);
	}
}

/* ---- A tile ---- */

/* The least product, in single precision, that may be among the best. */
static float
Threshold(const TopHeap *best, double margin)
{
	double		least;

	if (best->n < best->k)
		return -FLT_MAX;		/* but not the -infinity of what is skipped */
	least = best->entries[0].score - margin;
	if (least > FLT_MAX)
		return INFINITY;
	if (least <= -FLT_MAX)
		return -FLT_MAX;
	return nextafterf((float) least, -INFINITY);
}

/* Takes the rows [from, to), whose products with the query are given. */
static void
TakeBlock(TopAllWork *work, const TopAllRows *rows, TopAllQuery *query, size_t number,
		  size_t from, size_t to, float *products)
{
	double		margin = (rows->length + 4) * 0x1p-23 * work->norm[number] * rows->norm[from] +
		rows->length * 0x1p-120;
	size_t		at = 0;
	size_t	   *skipped = &work->skipped[number];
	float		least;

	for (; *skipped < query->nskip && query->skip[*skipped] < to; (*skipped)++)
		products[query->skip[*skipped] - from] = -INFINITY;

	least = Threshold(&query->best, margin);
	while ((at = work->find(products, at, to - from, least)) < to - from)
	{
		Offer(rows, query, from + at);
		least = Threshold(&query->best, margin);
		at++;
	}
}

/* Can none of the rows of at most this norm be among the query's best? */
static bool
IsDone(const TopHeap *best, double query_norm, double norm)
{
	return best->n == best->k && best->entries[0].score > query_norm * norm * (1 + 1e-12) + DBL_MIN;
}

/* Removes the queries that are done from the tile; how many stay. */
static size_t
DropDone(TopAllWork *work, const TopAllRows *rows, const TopAllQuery *queries,
		 size_t active, float norm)
{
	size_t		a = 0;

	while (a < active)
	{
		if (!IsDone(&queries[work->who[a]].best, work->norm[work->who[a]], norm))
		{
			a++;
			continue;
		}
		active--;
		work->who[a] = work->who[active];
		memmove(work->tile + a * rows->stride, work->tile + active * rows->stride,
				sizeof(float) * rows->stride);
	}
	return active;
}

/* Fills the tile; queries that are not regular stay out. */
static size_t
FillTile(TopAllWork *work, const TopAllRows *rows, const TopAllQuery *queries, size_t n)
{
	size_t		active = 0;

	for (size_t q = 0; q < n; q++)
	{
		float		norm;

		work->skipped[q] = 0;
		work->norm[q] = -1;
		if (queries[q].best.k == 0 || !topall_norm(queries[q].vector, rows->length, &norm))
			continue;
		work->norm[q] = norm;
		work->who[active] = q;
		memcpy(work->tile + active * rows->stride, queries[q].vector,
			   sizeof(float) * rows->stride);
		active++;
	}
	return active;
}

void
topall_rank(TopAllWork *work, const TopAllRows *rows, TopAllQuery *queries, size_t n,
			NumericsPoll poll, void *arg)
{
	size_t		active = FillTile(work, rows, queries, n);

	for (size_t from = 0; from < rows->regular; from += BLOCK)
	{
		size_t		to = from + BLOCK < rows->regular ? from + BLOCK : rows->regular;

		if (poll != NULL)
			poll(arg);
		active = DropDone(work, rows, queries, active, rows->norm[from]);
		if (active == 0)
			break;
		blas_gemm_transposed(work->tile, rows->stride, active,
							 rows->vectors + from * rows->stride, rows->stride, to - from,
							 rows->length, work->products, BLOCK);
		for (size_t a = 0; a < active; a++)
			TakeBlock(work, rows, &queries[work->who[a]], work->who[a], from, to,
					  work->products + a * BLOCK);
	}

	for (size_t q = 0; q < n; q++)
	{
		if (queries[q].best.k > 0)
			RankPlainly(rows, &queries[q], work->norm[q] < 0 ? 0 : rows->regular, 0, poll, arg);
		topheap_sort(&queries[q].best);
	}
}

/*
 * topall.c: the k best rows for each of many vectors, exactly.
 *
 * A tile of queries goes through the rows a block at a time. The screen
 * (screen.h) tells from 8-bit codes which rows of the block may have a product
 * that is at least the least of a query's k best so far; their products are
 * computed by vector_dot() and offered to the query's heap. Those are some
 * k (1 + log(n / k)) rows if they come in no particular order, and half as many
 * again for what 8 bits leave open: little beside the codes' products.
 *
 * Rows come in the order of decreasing norms. Since a product is at most
 * |query| |row|, a query is done once that falls below the least of its k best,
 * and leaves the tile. Norms of items that were trained from real ratings vary
 * so much that most rows are never looked at.
 *
 * Rows that a query leaves out are looked for only when their product would
 * enter the heap. A hundred of them are looked through sooner than sorted; long
 * lists are in order, and are halved.
 *
 * Rows with norms beyond SCREEN_MAX_NORM, or NaN, have no code: such rows, and
 * all rows for such queries, are computed in double precision alone.
 *
 * Rejected: a matrix product in single precision with a bound on its error,
 * which forms the same products at half the rate (it was here before); a
 * partial sort of such products (implicit's way), which is not exact where two
 * differ by less than their rounding error.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "numerics/cpu.h"
#include "numerics/distance.h"
#include "numerics/topall.h"

#define STRIDE_ALIGN 16
#define ROWS_PER_POLL 4096		/* of those that are computed one by one */

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86_TARGETS
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#endif

/* Is the number among these? */
typedef bool (*AmongFunction) (const uint32_t *numbers, size_t n, uint32_t number);

struct TopAllWork
{
	AmongFunction among;
	ScreenQueries coded;		/* the queries still at work */
	size_t		who[TOPALL_TILE];	/* of a place there: its query */
	uint64_t	mask[TOPALL_TILE];	/* what the screen leaves of a block */
	bool		plain[TOPALL_TILE]; /* a query that has no code */
};

size_t
topall_stride(size_t length)
{
	return (length + STRIDE_ALIGN - 1) / STRIDE_ALIGN * STRIDE_ALIGN;
}

bool
topall_norm(const float *vector, size_t length, double *norm)
{
	*norm = length > SCREEN_MAX_LENGTH ? NAN : sqrt(vector_dot(vector, vector, length));
	return *norm <= SCREEN_MAX_NORM;
}

/* ---- Codes ---- */

size_t
topall_blocks(size_t regular)
{
	return (regular + SCREEN_ROWS - 1) / SCREEN_ROWS;
}

size_t
topall_codes_size(size_t regular, size_t length)
{
	return topall_blocks(regular) * SCREEN_ROWS * screen_bytes(length);
}

/* The regular rows of a block. */
static size_t
BlockRows(const TopAllRows *rows, size_t number)
{
	size_t		left = rows->regular - number * SCREEN_ROWS;

	return left < SCREEN_ROWS ? left : SCREEN_ROWS;
}

static uint8_t *
BlockCodes(const TopAllRows *rows, size_t number)
{
	return rows->codes + number * SCREEN_ROWS * screen_bytes(rows->length);
}

void
topall_code(const TopAllRows *rows, size_t number)
{
	screen_code_block(rows->vectors + number * SCREEN_ROWS * rows->stride, rows->stride,
					  BlockRows(rows, number), rows->length,
					  BlockCodes(rows, number), &rows->blocks[number]);
}

/* ---- What a query leaves out ---- */

#define AMONG_BODY \
	int			any = 0; \
 \
	for (size_t k = 0; k < n; k++)	/* vectorised */ \
		any |= numbers[k] == number; \
	return any != 0

static bool
AmongPlain(const uint32_t *numbers, size_t n, uint32_t number)
{
	AMONG_BODY;
}

#ifdef HAVE_X86_TARGETS
AVX2 static bool
AmongAvx2(const uint32_t *numbers, size_t n, uint32_t number)
{
	AMONG_BODY;
}

AVX512 static bool
AmongAvx512(const uint32_t *numbers, size_t n, uint32_t number)
{
	AMONG_BODY;
}
#endif

static AmongFunction
ChooseAmong(void)
{
#ifdef HAVE_X86_TARGETS
	if (cpu_has_avx512_integers())
		return AmongAvx512;
	if (cpu_has_avx2())
		return AmongAvx2;
#endif
	return AmongPlain;
}

static bool
IsSkipped(const TopAllWork *work, const TopAllQuery *query, size_t row)
{
	size_t		low = 0;
	size_t		high = query->nskip;

	if (high <= TOPALL_UNSORTED)
		return work->among(query->skip, high, (uint32_t) row);
	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (query->skip[middle] < row)
			low = middle + 1;
		else
			high = middle;
	}
	return low < query->nskip && query->skip[low] == row;
}

/* ---- Memory ---- */

static void *
Take(char **memory, size_t size)
{
	void	   *taken = *memory;

	*memory += (size + 63) / 64 * 64;
	return taken;
}

size_t
topall_work_size(size_t length)
{
	return sizeof(TopAllWork) + 64 * 8 +
		TOPALL_TILE * (screen_bytes(length) + 5 * sizeof(double));
}

TopAllWork *
topall_work_init(void *memory, size_t length)
{
	char	   *next = memory;
	TopAllWork *work = Take(&next, sizeof(TopAllWork));
	ScreenQueries *coded = &work->coded;

	work->among = ChooseAmong();
	coded->length = length;
	coded->digits = memset(Take(&next, TOPALL_TILE * screen_bytes(length)), 0,
						   TOPALL_TILE * screen_bytes(length));
	coded->inverse = Take(&next, TOPALL_TILE * sizeof(double));
	coded->norm = Take(&next, TOPALL_TILE * sizeof(double));
	coded->error = Take(&next, TOPALL_TILE * sizeof(double));
	coded->offset = Take(&next, TOPALL_TILE * sizeof(double));
	coded->least = Take(&next, TOPALL_TILE * sizeof(double));
	return work;
}

/* ---- One row for one query ---- */

static inline double
Product(const TopAllRows *rows, const TopAllQuery *query, size_t row)
{
	return vector_dot(query->vector, rows->vectors + row * rows->stride, rows->length);
}

static inline void
Offer(const TopAllWork *work, const TopAllRows *rows, TopAllQuery *query, size_t row,
	  double product)
{
	if (!isnan(product) && topheap_wants(&query->best, product, rows->place[row]) &&
		!IsSkipped(work, query, row))
		topheap_offer(&query->best, product, rows->place[row]);
}

/* Rows from `from` on, in double precision alone. */
static void
RankPlainly(const TopAllWork *work, const TopAllRows *rows, TopAllQuery *query, size_t from,
			NumericsPoll poll, void *arg)
{
	for (size_t row = from; row < rows->n; row++)
	{
		if (poll != NULL && row % ROWS_PER_POLL == 0)
			poll(arg);
		Offer(work, rows, query, row, Product(rows, query, row));
	}
}

/* ---- A tile ---- */

/* Codes the queries; those that are not regular stay out. */
static size_t
FillTile(TopAllWork *work, const TopAllRows *rows, const TopAllQuery *queries, size_t n)
{
	size_t		active = 0;

	for (size_t q = 0; q < n; q++)
	{
		double		norm;

		work->plain[q] = !topall_norm(queries[q].vector, rows->length, &norm);
		if (work->plain[q] || queries[q].best.k == 0)
			continue;
		screen_code_query(queries[q].vector, &work->coded, active);
		work->coded.least[active] = -INFINITY;
		work->who[active++] = q;
	}
	return active;
}

/* Gives the place of a query that is done to another. */
static void
MoveQuery(TopAllWork *work, size_t from, size_t to)
{
	ScreenQueries *coded = &work->coded;
	size_t		bytes = screen_bytes(coded->length);

	memmove(coded->digits + to * bytes, coded->digits + from * bytes, bytes);
	coded->inverse[to] = coded->inverse[from];
	coded->norm[to] = coded->norm[from];
	coded->error[to] = coded->error[from];
	coded->offset[to] = coded->offset[from];
	coded->least[to] = coded->least[from];
	work->who[to] = work->who[from];
}

/* Removes those whose k best no row of at most this norm joins; how many stay. */
static size_t
DropDone(TopAllWork *work, size_t active, double norm)
{
	size_t		a = 0;

	while (a < active)
	{
		if (work->coded.least[a] > work->coded.norm[a] * norm + DBL_MIN)
			MoveQuery(work, --active, a);
		else
			a++;
	}
	return active;
}

/* Offers what the screen has left of a block to the query. */
static void
TakeRows(TopAllWork *work, const TopAllRows *rows, TopAllQuery *queries, size_t active,
		 size_t number)
{
	size_t		from = number * SCREEN_ROWS;
	uint64_t	there = ~UINT64_C(0) >> (SCREEN_ROWS - BlockRows(rows, number));

	for (size_t a = 0; a < active; a++)
	{
		TopAllQuery *query = &queries[work->who[a]];
		uint64_t	mask = work->mask[a] & there;
		double		product[SCREEN_ROWS];
		size_t		n = 0;

		if (mask == 0)
			continue;
		for (uint64_t m = mask; m != 0; m &= m - 1)
			product[n++] = Product(rows, query, from + (size_t) __builtin_ctzll(m));
		n = 0;
		for (; mask != 0; mask &= mask - 1)
			Offer(work, rows, query, from + (size_t) __builtin_ctzll(mask), product[n++]);
		if (query->best.n == query->best.k)
			work->coded.least[a] = query->best.entries[0].score;
	}
}

void
topall_rank(TopAllWork *work, const TopAllRows *rows, TopAllQuery *queries, size_t n,
			NumericsPoll poll, void *arg)
{
	size_t		active = FillTile(work, rows, queries, n);

	for (size_t number = 0; number < topall_blocks(rows->regular); number++)
	{
		if (poll != NULL)
			poll(arg);
		active = DropDone(work, active, rows->blocks[number].norm);
		if (active == 0)
			break;
		screen_rows(&work->coded, active, &rows->blocks[number], BlockCodes(rows, number),
					work->mask);
		TakeRows(work, rows, queries, active, number);
	}

	for (size_t q = 0; q < n; q++)
	{
		if (queries[q].best.k > 0)
			RankPlainly(work, rows, &queries[q], work->plain[q] ? 0 : rows->regular, poll, arg);
		topheap_sort(&queries[q].best);
	}
}

/*
 * judge.c: where a user's relevant items come among all items, and the k best.
 *
 * A tile of users is multiplied with a block of items by one matrix product in
 * single precision, whose result stays in the second-level cache. Each user's
 * products are then looked through, once for the k best and once for each
 * relevant item, to count what comes before it. Both are decided in double
 * precision, where single precision leaves them open:
 *
 *	 s	a product as vector_dot() gives it, in double precision
 *	 f	the same in single precision: |f - s| <= m = e |user| |item|
 *
 *	 f < b - m		cannot be among the k best, whose least is b
 *	 f > t + m		comes before a relevant item of the score t
 *	 f < t - m		comes after it
 *
 * and only what lies between is computed again: some k (1 + log(n / k)) items
 * for the list, a few in ten thousand for each relevant item. So the ranks are
 * exact, ties included, which a metric of the whole ranking such as AUC needs,
 * at the price of a matrix product and of comparisons that the compiler
 * vectorises.
 *
 * The bound on the error is that of n products summed in any order, with or
 * without fused multiply-add (Higham 2002, 3.1), twice for safety, plus what
 * may underflow. Where norms are so large that single precision might overflow,
 * every product is computed in double precision.
 *
 * Rejected: sorting each user's products, n log n where some n are enough;
 * sampled metrics, which rank a relevant item among a hundred others, since they
 * may order models otherwise than the whole catalogue does (Krichene and
 * Rendle 2020, https://doi.org/10.1145/3394486.3403226).
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "numerics/blas.h"
#include "numerics/cpu.h"
#include "numerics/distance.h"
#include "numerics/judge.h"

#define BLOCK 256				/* items of a product: with a tile of users 256 kB */
#define STRIDE_ALIGN 16
#define SAFE_PRODUCT 1e30		/* of two norms: no overflow in single precision */
#define USERS_PER_POLL 16

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86_TARGETS
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#endif

/* Counts of products beyond two thresholds; what is NaN counts nowhere. */
typedef struct Counts
{
	uint32_t	at_least;		/* >= low */
	uint32_t	above;			/* > high */
} Counts;

typedef Counts (*CountFunction) (const float *products, size_t n, float low, float high);

/* The first place from `from` on within [low, high]; n if there is none. */
typedef size_t (*FindFunction) (const float *products, size_t from, size_t n,
								float low, float high);

struct JudgeWork
{
	float	   *tile;			/* the users' vectors */
	float	   *products;		/* of the tile with a block */
	float		column[BLOCK];	/* items' vectors of length one */
	CountFunction count;
	FindFunction find;
	double		norm[JUDGE_TILE];	/* of a user */
	size_t		skipped[JUDGE_TILE];	/* how much of a user's `skip` is behind */
};

size_t
judge_stride(size_t length)
{
	return (length + STRIDE_ALIGN - 1) / STRIDE_ALIGN * STRIDE_ALIGN;
}

float
judge_norm(const float *vector, size_t length)
{
	return nextafterf((float) sqrt(vector_dot(vector, vector, length)), INFINITY);
}

/* ---- Looking through products ---- */

#define COUNT_BODY \
	Counts		counts = {0, 0}; \
 \
	for (size_t k = 0; k < n; k++) /* vectorised */ \
	{ \
		counts.at_least += products[k] >= low; \
		counts.above += products[k] > high; \
	} \
	return counts

#define FIND_BODY \
	for (; from + 32 <= n; from += 32) \
	{ \
		int			any = 0; \
 \
		for (size_t k = 0; k < 32; k++) /* vectorised */ \
			any |= (products[from + k] >= low) & (products[from + k] <= high); \
		if (any) \
			break; \
	} \
	while (from < n && !(products[from] >= low && products[from] <= high)) \
		from++; \
	return from

static Counts
CountPlain(const float *products, size_t n, float low, float high)
{
	COUNT_BODY;
}

static size_t
FindPlain(const float *products, size_t from, size_t n, float low, float high)
{
	FIND_BODY;
}

#ifdef HAVE_X86_TARGETS
AVX2 static Counts
CountAvx2(const float *products, size_t n, float low, float high)
{
	COUNT_BODY;
}

AVX2 static size_t
FindAvx2(const float *products, size_t from, size_t n, float low, float high)
{
	FIND_BODY;
}

AVX512 static Counts
CountAvx512(const float *products, size_t n, float low, float high)
{
	COUNT_BODY;
}

AVX512 static size_t
FindAvx512(const float *products, size_t from, size_t n, float low, float high)
{
	FIND_BODY;
}
#endif

static void
ChooseFunctions(JudgeWork *work)
{
	work->count = CountPlain;
	work->find = FindPlain;
#ifdef HAVE_X86_TARGETS
	if (cpu_has_avx512_integers())
	{
		work->count = CountAvx512;
		work->find = FindAvx512;
	}
	else if (cpu_has_avx2())
	{
		work->count = CountAvx2;
		work->find = FindAvx2;
	}
#endif
}

/* ---- Memory ---- */

size_t
judge_work_size(size_t length)
{
	return sizeof(JudgeWork) + 64 + sizeof(float) * JUDGE_TILE * (judge_stride(length) + BLOCK);
}

JudgeWork *
judge_work_init(void *memory, size_t length)
{
	JudgeWork  *work = memory;
	uintptr_t	after = ((uintptr_t) (work + 1) + 63) / 64 * 64;

	work->tile = (float *) after;
	work->products = work->tile + JUDGE_TILE * judge_stride(length);
	ChooseFunctions(work);
	return work;
}

/* ---- One user and one block ---- */

/* A block of items as one user sees it. */
typedef struct Block
{
	size_t		from;			/* its first item */
	size_t		n;
	double		margin;			/* of its products' rounding errors */
	float	   *products;		/* NaN: no candidate */
} Block;

static double
Product(const JudgeItems *items, const JudgeUser *user, size_t item)
{
	return vector_dot(user->vector, items->vectors + item * items->stride, items->length);
}

/* A threshold in single precision, to the safe side of the exact one. */
static float
RoundDown(double value)
{
	if (value > FLT_MAX)
		return FLT_MAX;
	return value < -FLT_MAX ? -INFINITY : nextafterf((float) value, -INFINITY);
}

static float
RoundUp(double value)
{
	return -RoundDown(-value);
}

static void
SkipItems(const JudgeUser *user, size_t *skipped, Block *block)
{
	size_t		to = block->from + block->n;

	for (; *skipped < user->nskip && user->skip[*skipped] < to; (*skipped)++)
		block->products[user->skip[*skipped] - block->from] = NAN;
}

static float
ListThreshold(const TopHeap *best, double margin)
{
	return best->n < best->k ? -INFINITY : RoundDown(best->entries[0].score - margin);
}

/* Offers the block's items to the list of the best. */
static void
OfferBlock(const JudgeWork *work, const JudgeItems *items, JudgeUser *user, const Block *block)
{
	float		least = ListThreshold(&user->best, block->margin);
	size_t		at = 0;

	while ((at = work->find(block->products, at, block->n, least, INFINITY)) < block->n)
	{
		topheap_offer(&user->best, Product(items, user, block->from + at), block->from + at);
		least = ListThreshold(&user->best, block->margin);
		at++;
	}
}

/* Counts the block's items that come before each of the relevant ones. */
static void
CountBlock(const JudgeWork *work, const JudgeItems *items, const JudgeUser *user,
		   const Block *block)
{
	for (size_t t = 0; t < user->ntargets; t++)
	{
		JudgeTarget *target = &user->targets[t];
		float		low = RoundDown(target->score - block->margin);
		float		high = RoundUp(target->score + block->margin);
		Counts		counts = work->count(block->products, block->n, low, high);
		uint32_t	open = counts.at_least - counts.above;

		target->above += counts.above;
		for (size_t at = 0; open > 0; at++)
		{
			double		score;

			at = work->find(block->products, at, block->n, low, high);
			open--;
			score = Product(items, user, block->from + at);
			target->above += score > target->score;
			target->tied += score == target->score;
		}
	}
}

/* ---- A tile ---- */

static void
StartUsers(JudgeWork *work, const JudgeItems *items, JudgeUser *users, size_t n)
{
	for (size_t u = 0; u < n; u++)
	{
		JudgeUser  *user = &users[u];

		memcpy(work->tile + u * items->stride, user->vector, sizeof(float) * items->stride);
		work->norm[u] = judge_norm(user->vector, items->length);
		work->skipped[u] = 0;
		for (size_t t = 0; t < user->ntargets; t++)
		{
			user->targets[t].score = Product(items, user, user->targets[t].item);
			user->targets[t].above = 0;
			user->targets[t].tied = 0;
		}
	}
}

/* The products of the tile with a block of items. */
static void
Multiply(JudgeWork *work, const JudgeItems *items, size_t n, const Block *block)
{
	const float *vectors = items->vectors + block->from * items->stride;

	if (items->length > 1)
	{
		blas_gemm_transposed(work->tile, items->stride, n, vectors, items->stride, block->n,
							 items->length, work->products, BLOCK);
		return;
	}

	/* The baselines' products are not worth a call of BLAS. */
	for (size_t k = 0; k < block->n; k++)
		work->column[k] = vectors[k * items->stride];
	for (size_t u = 0; u < n; u++)
		for (size_t k = 0; k < block->n; k++)	/* vectorised */
			work->products[u * BLOCK + k] = work->tile[u * items->stride] * work->column[k];
}

/* A block's products for one user, and the margin of their errors. */
static void
PrepareBlock(JudgeWork *work, const JudgeItems *items, const JudgeUser *user, size_t number,
			 double norm, Block *block)
{
	double		product = norm * work->norm[number];

	block->margin = (items->length + 4) * 0x1p-23 * product + items->length * 0x1p-120;
	if (!(product < SAFE_PRODUCT))
	{
		/* Everything is left open, whatever single precision may say. */
		block->margin = INFINITY;
		memset(block->products, 0, sizeof(float) * block->n);
	}
	SkipItems(user, &work->skipped[number], block);
}

void
judge_users(JudgeWork *work, const JudgeItems *items, JudgeUser *users, size_t n,
			NumericsPoll poll, void *arg)
{
	StartUsers(work, items, users, n);
	for (size_t from = 0; from < items->n; from += BLOCK)
	{
		Block		block = {.from = from};
		float		norm = 0;

		block.n = items->n - from < BLOCK ? items->n - from : BLOCK;
		for (size_t k = 0; k < block.n; k++)
			norm = items->norm[from + k] > norm ? items->norm[from + k] : norm;
		Multiply(work, items, n, &block);
		for (size_t u = 0; u < n; u++)
		{
			if (poll != NULL && u % USERS_PER_POLL == 0)
				poll(arg);
			block.products = work->products + u * BLOCK;
			PrepareBlock(work, items, &users[u], u, norm, &block);
			if (users[u].best.k > 0)
				OfferBlock(work, items, &users[u], &block);
			CountBlock(work, items, &users[u], &block);
		}
	}
	for (size_t u = 0; u < n; u++)
		topheap_sort(&users[u].best);
}

/*
 * everyone.c: the processes that rank for all users of a chunk together.
 *
 * Users are taken a tile at a time from a shared counter, by this process and
 * by parallel workers, which write their results to where the user's are to
 * be; so there is nothing to collect, and the result does not depend on who did
 * what. Workers live for one chunk: between chunks this process reads tables,
 * which it should not do in parallel mode, and a chunk is seconds of work.
 *
 * The counter tells how far all of them are, so this process can say so in
 * pg_stat_activity whenever it takes a tile itself.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/shm_toc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "serve/everyone.h"
#include "train/progress.h"
#include "train/team.h"

#define EVERYONE_KEY_SHARED UINT64CONST(0xFAC7000000000002)

/* A chunk of fewer operations than this is not worth the start of workers. */
#define PARALLEL_MIN_FLOPS 5e9

typedef struct EveryoneShared
{
	EveryoneShape shape;
	dsm_handle	items;
	Size		items_size;
	dsm_handle	users;
	Size		users_size;
	pg_atomic_uint64 next;		/* the next user that nobody has taken */
} EveryoneShared;

PGDLLEXPORT void factor_everyone_worker(dsm_segment *seg, shm_toc *toc);

/* ---- Layout ---- */

Size
everyone_items_layout(EveryoneItems *items, const EveryoneShape *shape, char *base)
{
	Size		used = 0;

	items->vectors = bigarray_take(base, &used,
								   mul_size(shape->nitems, topall_stride(shape->length)),
								   sizeof(float));
	items->place = bigarray_take(base, &used, shape->nitems, sizeof(uint32));
	items->codes = bigarray_take(base, &used, topall_codes_size(shape->regular, shape->length), 1);
	items->blocks = bigarray_take(base, &used, topall_blocks(shape->regular), sizeof(ScreenBlock));
	return used;
}

Size
everyone_users_layout(EveryoneUsers *users, const EveryoneShape *shape, char *base)
{
	Size		used = 0;

	users->vectors = bigarray_take(base, &used,
								   mul_size(shape->nusers, topall_stride(shape->length)),
								   sizeof(float));
	users->offset = bigarray_take(base, &used, shape->nusers + 1, sizeof(uint64));
	users->seen = bigarray_take(base, &used, shape->nseen, sizeof(uint32));
	users->found = bigarray_take(base, &used, shape->nusers, sizeof(uint64));
	users->best = bigarray_take(base, &used, mul_size(shape->nusers, shape->k), sizeof(TopEntry));
	return used;
}

void
everyone_rows(const EveryoneItems *items, const EveryoneShape *shape, TopAllRows *rows)
{
	rows->vectors = items->vectors;
	rows->place = items->place;
	rows->n = shape->nitems;
	rows->regular = shape->regular;
	rows->length = shape->length;
	rows->stride = topall_stride(shape->length);
	rows->codes = items->codes;
	rows->blocks = items->blocks;
}

/* ---- Work ---- */

static void
Poll(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

static int
CompareRows(const void *a, const void *b)
{
	uint32		left = *(const uint32 *) a;
	uint32		right = *(const uint32 *) b;

	return left < right ? -1 : left > right;
}

static void
RankTile(TopAllWork *work, const EveryoneShape *shape, const TopAllRows *rows,
		 const EveryoneUsers *users, uint64 first, uint64 n, TopAllQuery *queries)
{
	for (uint64 q = 0; q < n; q++)
	{
		uint64		user = first + q;
		uint32	   *seen = users->seen + users->offset[user];

		queries[q].vector = users->vectors + user * rows->stride;
		queries[q].skip = seen;
		queries[q].nskip = users->offset[user + 1] - users->offset[user];
		if (queries[q].nskip > TOPALL_UNSORTED)
			qsort(seen, queries[q].nskip, sizeof(uint32), CompareRows);
		topheap_init(&queries[q].best, users->best + user * shape->k, shape->k);
	}
	topall_rank(work, rows, queries, n, Poll, NULL);
	for (uint64 q = 0; q < n; q++)
		users->found[first + q] = queries[q].best.n;
}

/* Ranks for tiles until there are none; `place`, if given, is what to report. */
static void
WorkChunk(EveryoneShared *shared, char *items_base, char *users_base,
		  const EveryonePlace *place)
{
	const EveryoneShape *shape = &shared->shape;
	EveryoneItems items;
	EveryoneUsers users;
	TopAllRows	rows;
	TopAllQuery *queries = palloc(TOPALL_TILE * sizeof(TopAllQuery));
	char	   *memory = MemoryContextAllocHuge(CurrentMemoryContext,
												add_size(topall_work_size(shape->length), 64));
	TopAllWork *work = topall_work_init((void *) TYPEALIGN(64, memory), shape->length);
	uint64		first;

	everyone_items_layout(&items, shape, items_base);
	everyone_users_layout(&users, shape, users_base);
	everyone_rows(&items, shape, &rows);

	while ((first = pg_atomic_fetch_add_u64(&shared->next, TOPALL_TILE)) < shape->nusers)
	{
		CHECK_FOR_INTERRUPTS();
		if (place != NULL)
			progress_report("ranking, " UINT64_FORMAT " of " UINT64_FORMAT " users",
							place->before + first, place->all);
		RankTile(work, shape, &rows, &users, first,
				 Min(TOPALL_TILE, shape->nusers - first), queries);
	}
	pfree(memory);
	pfree(queries);
}

void
factor_everyone_worker(dsm_segment *seg, shm_toc *toc)
{
	EveryoneShared *shared = shm_toc_lookup(toc, EVERYONE_KEY_SHARED, false);
	BigArray	items;
	BigArray	users;

	bigarray_attach(&items, shared->items, shared->items_size);
	bigarray_attach(&users, shared->users, shared->users_size);
	WorkChunk(shared, items.data, users.data, NULL);

	/* A worker's end is a commit, which complains of what is still attached. */
	bigarray_free(&users);
	bigarray_free(&items);
}

/* ---- The leader ---- */

static void
InitShared(EveryoneShared *shared, const EveryoneShape *shape)
{
	memset(shared, 0, sizeof(*shared));
	shared->shape = *shape;
	pg_atomic_init_u64(&shared->next, 0);
}

/* False where there is no room for workers: nothing is done then. */
static bool
RankInParallel(const EveryoneShape *shape, BigArray *items, BigArray *users, int workers,
			   const EveryonePlace *place, TeamNotes *notes)
{
	Size		size = sizeof(EveryoneShared);
	ParallelContext *parallel = team_gather(notes, "factor_everyone_worker", workers, &size, 1);
	EveryoneShared *shared;

	if (parallel == NULL)
		return false;
	shared = shm_toc_allocate(parallel->toc, size);
	InitShared(shared, shape);
	shared->items = dsm_segment_handle(items->segment);
	shared->items_size = items->size;
	shared->users = dsm_segment_handle(users->segment);
	shared->users_size = users->size;
	shm_toc_insert(parallel->toc, EVERYONE_KEY_SHARED, shared);

	team_launch(notes, parallel);
	WorkChunk(shared, items->data, users->data, place);
	team_dismiss(parallel);
	return true;
}

void
everyone_rank(const EveryoneShape *shape, BigArray *items, BigArray *users, int workers,
			  const EveryonePlace *place, TeamNotes *notes)
{
	double		flops = 2.0 * shape->nusers * shape->nitems * shape->length;
	EveryoneShared alone;

	workers = Min(workers, (int) Min(shape->nusers / TOPALL_TILE, 1024));
	if (workers > 0 && flops >= PARALLEL_MIN_FLOPS)
	{
		if (items->segment == NULL || users->segment == NULL)
			team_no_room(notes, items->segment == NULL ? "the items" : "the users");
		else if (RankInParallel(shape, items, users, workers, place, notes))
			return;
	}
	InitShared(&alone, shape);
	WorkChunk(&alone, items->data, users->data, place);
}

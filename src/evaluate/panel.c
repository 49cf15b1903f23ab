/*
 * panel.c: the processes that judge a chunk of users together.
 *
 * Users are taken a tile at a time from a shared counter, by this process and
 * by parallel workers, which write each user's metrics to the user's place. The
 * leader adds them up in the order of the users; so the result is the same to
 * the bit whatever the number of workers. Workers live for one chunk: between
 * chunks this process prepares the next.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/shm_toc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "evaluate/panel.h"
#include "train/crew.h"
#include "train/team.h"

#define PANEL_KEY_SHARED UINT64CONST(0xFAC7000000000005)

/* A chunk of fewer operations than this is not worth the start of workers. */
#define PARALLEL_MIN_FLOPS 5e9

typedef struct PanelShared
{
	PanelShape	shape;
	dsm_handle	catalogue;
	Size		catalogue_size;
	dsm_handle	ranker;
	Size		ranker_size;
	dsm_handle	chunk;
	Size		chunk_size;
	pg_atomic_uint64 next;		/* the next user that nobody has taken */
} PanelShared;

/* One process's view of the work. */
typedef struct PanelMember
{
	const PanelShape *shape;
	PanelCatalogue catalogue;
	PanelRanker ranker;
	PanelChunk	chunk;
	JudgeItems	items;
	MetricsItems measured;
	JudgeWork  *work;
	JudgeUser  *users;			/* JUDGE_TILE */
	TopEntry   *entries;		/* a list for each */
	double	   *sum;			/* d */
} PanelMember;

PGDLLEXPORT void factor_panel_worker(dsm_segment *seg, shm_toc *toc);

/* ---- Layout ---- */

Size
panel_catalogue_layout(PanelCatalogue *catalogue, const PanelShape *shape, char *base)
{
	Size		used = 0;

	catalogue->directions = bigarray_take(base, &used, mul_size(shape->nitems, shape->d), sizeof(float));
	catalogue->share = bigarray_take(base, &used, shape->nitems, sizeof(double));
	return used;
}

Size
panel_ranker_layout(PanelRanker *ranker, const PanelShape *shape, char *base)
{
	Size		used = 0;

	ranker->vectors = bigarray_take(base, &used,
									mul_size(shape->nitems, judge_stride(shape->length)),
									sizeof(float));
	ranker->norm = bigarray_take(base, &used, shape->nitems, sizeof(float));
	ranker->listed = bigarray_take(base, &used, shape->nitems, sizeof(uint8));
	return used;
}

Size
panel_chunk_layout(PanelChunk *chunk, const PanelShape *shape, char *base)
{
	Size		used = 0;

	chunk->vectors = bigarray_take(base, &used,
								   mul_size(shape->nusers, judge_stride(shape->length)),
								   sizeof(float));
	chunk->skip_start = bigarray_take(base, &used, shape->nusers + 1, sizeof(uint64));
	chunk->target_start = bigarray_take(base, &used, shape->nusers + 1, sizeof(uint64));
	chunk->skip = bigarray_take(base, &used, shape->nskip, sizeof(uint32));
	chunk->targets = bigarray_take(base, &used, shape->ntargets, sizeof(JudgeTarget));
	chunk->metrics = bigarray_take(base, &used, shape->nusers, sizeof(UserMetrics));
	return used;
}

/* ---- Work ---- */

static void
Poll(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

static void
JoinPanel(PanelMember *member, const PanelShape *shape, char *catalogue, char *ranker, char *chunk)
{
	char	   *memory = MemoryContextAllocHuge(CurrentMemoryContext,
												add_size(judge_work_size(shape->length), 64));

	member->shape = shape;
	panel_catalogue_layout(&member->catalogue, shape, catalogue);
	panel_ranker_layout(&member->ranker, shape, ranker);
	panel_chunk_layout(&member->chunk, shape, chunk);

	member->items.vectors = member->ranker.vectors;
	member->items.norm = member->ranker.norm;
	member->items.n = shape->nitems;
	member->items.length = shape->length;
	member->items.stride = judge_stride(shape->length);
	member->measured.directions = member->catalogue.directions;
	member->measured.d = shape->d;
	member->measured.share = member->catalogue.share;

	member->work = judge_work_init((void *) TYPEALIGN(64, memory), shape->length);
	member->users = palloc(JUDGE_TILE * sizeof(JudgeUser));
	member->entries = MemoryContextAllocHuge(CurrentMemoryContext,
											 mul_size(mul_size(JUDGE_TILE, shape->list), sizeof(TopEntry)));
	member->sum = palloc(mul_size(shape->d, sizeof(double)));
}

static void
JudgeTile(PanelMember *member, uint64 first, uint64 n)
{
	const PanelShape *shape = member->shape;
	const PanelChunk *chunk = &member->chunk;

	for (uint64 u = 0; u < n; u++)
	{
		JudgeUser  *user = &member->users[u];
		uint64		at = first + u;

		user->vector = chunk->vectors + at * member->items.stride;
		user->skip = chunk->skip + chunk->skip_start[at];
		user->nskip = chunk->skip_start[at + 1] - chunk->skip_start[at];
		user->targets = chunk->targets + chunk->target_start[at];
		user->ntargets = chunk->target_start[at + 1] - chunk->target_start[at];
		topheap_init(&user->best, member->entries + u * shape->list, shape->list);
	}
	judge_users(member->work, &member->items, member->users, n, Poll, NULL);
	for (uint64 u = 0; u < n; u++)
	{
		const JudgeUser *user = &member->users[u];

		CHECK_FOR_INTERRUPTS();
		metrics_user(user, shape->k, shape->nitems - user->nskip, &member->measured, member->sum,
					 &chunk->metrics[first + u]);
		/* Whoever writes here writes the same. */
		for (size_t j = 0; j < user->best.n; j++)
			member->ranker.listed[user->best.entries[j].index] = 1;
	}
}

static void
WorkChunk(PanelShared *shared, char *catalogue, char *ranker, char *chunk)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "factor panel",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PanelMember member;
	uint64		first;

	JoinPanel(&member, &shared->shape, catalogue, ranker, chunk);
	while ((first = pg_atomic_fetch_add_u64(&shared->next, JUDGE_TILE)) < shared->shape.nusers)
	{
		CHECK_FOR_INTERRUPTS();
		JudgeTile(&member, first, Min(JUDGE_TILE, shared->shape.nusers - first));
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
factor_panel_worker(dsm_segment *seg, shm_toc *toc)
{
	PanelShared *shared = shm_toc_lookup(toc, PANEL_KEY_SHARED, false);
	BigArray	catalogue;
	BigArray	ranker;
	BigArray	chunk;

	crew_load_blas();
	bigarray_attach(&catalogue, shared->catalogue, shared->catalogue_size);
	bigarray_attach(&ranker, shared->ranker, shared->ranker_size);
	bigarray_attach(&chunk, shared->chunk, shared->chunk_size);
	WorkChunk(shared, catalogue.data, ranker.data, chunk.data);

	/* A worker's end is a commit, which complains of what is still attached. */
	bigarray_free(&chunk);
	bigarray_free(&ranker);
	bigarray_free(&catalogue);
}

/* ---- The leader ---- */

static void
InitShared(PanelShared *shared, const PanelShape *shape)
{
	memset(shared, 0, sizeof(*shared));
	shared->shape = *shape;
	pg_atomic_init_u64(&shared->next, 0);
}

/* False where there is no room for workers: nothing is done then. */
static bool
JudgeInParallel(const PanelShape *shape, BigArray *catalogue, BigArray *ranker, BigArray *chunk,
				int workers, TeamNotes *notes)
{
	Size		size = sizeof(PanelShared);
	ParallelContext *parallel = team_gather(notes, "factor_panel_worker", workers, &size, 1);
	PanelShared *shared;

	if (parallel == NULL)
		return false;
	shared = shm_toc_allocate(parallel->toc, size);
	InitShared(shared, shape);
	shared->catalogue = dsm_segment_handle(catalogue->segment);
	shared->catalogue_size = catalogue->size;
	shared->ranker = dsm_segment_handle(ranker->segment);
	shared->ranker_size = ranker->size;
	shared->chunk = dsm_segment_handle(chunk->segment);
	shared->chunk_size = chunk->size;
	shm_toc_insert(parallel->toc, PANEL_KEY_SHARED, shared);

	team_launch(notes, parallel);
	WorkChunk(shared, catalogue->data, ranker->data, chunk->data);
	team_dismiss(parallel);
	return true;
}

void
panel_judge(const PanelShape *shape, BigArray *catalogue, BigArray *ranker, BigArray *chunk,
			int workers, TeamNotes *notes)
{
	double		flops = 2.0 * shape->nusers * shape->nitems * shape->length;
	PanelShared alone;

	crew_load_blas();
	workers = Min(workers, (int) Min(shape->nusers / JUDGE_TILE, 1024));
	if (workers > 0 && flops >= PARALLEL_MIN_FLOPS)
	{
		if (catalogue->segment == NULL || ranker->segment == NULL || chunk->segment == NULL)
			team_no_room(notes, chunk->segment == NULL ? "the users" : "the items");
		else if (JudgeInParallel(shape, catalogue, ranker, chunk, workers, notes))
			return;
	}
	InitShared(&alone, shape);
	WorkChunk(&alone, catalogue->data, ranker->data, chunk->data);
}

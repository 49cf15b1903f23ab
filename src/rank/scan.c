/*
 * scan.c: ORDER BY vector <operator> query, from the topk index.
 *
 * A scan returns every entry of the index, in order of a lower bound of its
 * distance.  The executor computes the true distance from the row and holds it
 * back until the bounds have passed it (xs_recheckorderby), so that the result
 * is exact if only no bound exceeds its distance; numerics/codes.c sees to
 * that.  And as every entry is returned if the executor goes on asking, no
 * condition in WHERE can leave it short of rows.
 *
 * Stages.  The directory sorts pages by what their entries' bounds can be:
 *
 *	 unknown	 -infinity: entries without a code, or of another length than the
 *				 query, which the operator has to judge or to refuse
 *	 ranked		 bounds computed from the codes
 *	 no number	 NaN: the cosine distance to a zero vector, which sorts after
 *				 all numbers
 *	 null		 after everything
 *
 * All but the ranked stage return page after page as they come.  The ranked one
 * is a best-first search: pages by the bound of their range of norms, entries
 * by the bounds of their codes, and an entry is returned when it is below all
 * pages not yet read.  An inner product so reads the pages of the largest
 * norms only; the Euclidean distance those with a norm near the query's; the
 * cosine distance does not know norms, and reads all pages, once.
 *
 * The method is never told the LIMIT.  Keeping all bounds, a heap of a million
 * entries, would cost several times the scan itself, so a set of the best m is
 * kept (candidates.h); when the executor wants more, the scan starts over with
 * four times as many.  Four, because the pages' second reading costs more than
 * the memory does; m stays within work_mem.
 *
 * Rejected: to return exact distances, by fetching rows here.  The executor
 * does just that already, and with the caller's snapshot, and only this way
 * does it apply WHERE before it pays for it.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "rank/candidates.h"
#include "rank/topk.h"
#include "rank/vector.h"

/* A cache line, or less */
#define PREFETCH_LINE		64

#define FIRST_CANDIDATES	512
#define GROWTH				4

typedef enum Stage
{
	STAGE_UNKNOWN,
	STAGE_RANKED,
	STAGE_NO_NUMBER,
	STAGE_NULL,
	STAGES
} Stage;

/* Pages of a stage: of each the block, and the bound in the ranked stage */
typedef struct PageList
{
	Candidate  *pages;
	Size		n;
	Size		allocated;
} PageList;

typedef struct TopkScan
{
	MemoryContext context;		/* all of one scan; reset by rescan */
	Oid		   *types;			/* of the ORDER BY values, and these */
	IndexOrderByDistance *values;

	/* from here on, zeroed by rescan */
	bool		started;
	CodeDistance distance;		/* of the first ORDER BY operator */
	bool		query_is_null;	/* or there is none: all values are NULL */
	CodeKind	query_kind;
	int			query_length;	/* -1: no vector */
	CodeQuery  *query;

	PageList	lists[STAGES];
	Stage		stage;
	Size		next_page;		/* of the stage's list */

	Candidate  *stream;			/* entries of the page being streamed */
	int			stream_n;
	int			stream_next;

	bool		sorted;			/* ranked pages are in order of their bounds */
	Candidate  *page_heap;		/* if not: those yet to read, least first */
	Size		page_heap_n;
	Buffer		ahead;			/* pinned: the page to be read next */
	CandidateSet candidates;

	Candidate	last;			/* returned last, to be killed perhaps */
	bool		has_last;
	IndexTuple	no_values;		/* for index-only scans */
} TopkScan;

static void ReleaseAhead(TopkScan *state);

IndexScanDesc
topk_begin_scan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	TopkScan   *state = palloc0(sizeof(TopkScan));

	state->context = AllocSetContextCreate(CurrentMemoryContext, "topk scan",
										   ALLOCSET_DEFAULT_SIZES);
	scan->opaque = state;
	if (norderbys > 0)
	{
		scan->xs_orderbyvals = palloc0(sizeof(Datum) * norderbys);
		scan->xs_orderbynulls = palloc(sizeof(bool) * norderbys);
		memset(scan->xs_orderbynulls, true, sizeof(bool) * norderbys);
		state->types = palloc(sizeof(Oid) * norderbys);
		state->values = palloc(sizeof(IndexOrderByDistance) * norderbys);
		for (int i = 0; i < norderbys; i++)
			state->types[i] = FLOAT8OID;
	}
	return scan;
}

void
topk_rescan(IndexScanDesc scan, ScanKey keys, int nkeys,
			ScanKey orderbys, int norderbys)
{
	TopkScan   *state = (TopkScan *) scan->opaque;

	ReleaseAhead(state);
	MemoryContextReset(state->context);
	memset(&state->started, 0, sizeof(TopkScan) - offsetof(TopkScan, started));
	if (orderbys && scan->numberOfOrderBys > 0)
		memcpy(scan->orderByData, orderbys,
			   scan->numberOfOrderBys * sizeof(ScanKeyData));
}

void
topk_end_scan(IndexScanDesc scan)
{
	TopkScan   *state = (TopkScan *) scan->opaque;

	ReleaseAhead(state);
	MemoryContextDelete(state->context);
	pfree(state);
}

/*
 * Makes the query ready.  What is wrong with it is for the operator to say, if
 * it comes to be called: of an empty table, every query finds nothing.
 */
static void
PrepareQuery(IndexScanDesc scan, TopkScan *state)
{
	ScanKey		key = scan->orderByData;
	Vector		vector;

	state->query_length = -1;
	state->query_kind = CODE_IRREGULAR;
	if (scan->numberOfOrderBys == 0 || (key->sk_flags & SK_ISNULL))
	{
		state->query_is_null = true;
		return;
	}

	switch (key->sk_strategy)
	{
		case TOPK_COSINE_STRATEGY:
			state->distance = CODE_COSINE;
			break;
		case TOPK_INNER_PRODUCT_STRATEGY:
			state->distance = CODE_INNER_PRODUCT;
			break;
		case TOPK_EUCLIDEAN_STRATEGY:
			state->distance = CODE_EUCLIDEAN;
			break;
		default:
			elog(ERROR, "unrecognized strategy number: %d", key->sk_strategy);
	}
	if (vector_from_array(DatumGetArrayTypeP(key->sk_argument), &vector) != VECTOR_OK)
		return;
	state->query_length = vector.length;
	state->query = MemoryContextAllocHuge(CurrentMemoryContext,
										  code_query_size(vector.length));
	state->query_kind = code_query(vector.elements, vector.length, state->query);
}

/* The stage in which the entries of a directory entry's page are returned. */
static Stage
StageOf(const TopkScan *state, const TopkDirEntry *entry)
{
	TopkKind	kind = TOPK_GROUP_KIND(entry->group);

	if (kind == TOPK_NULL || state->query_is_null)
		return STAGE_NULL;
	if (kind == TOPK_IRREGULAR || state->query_kind == CODE_IRREGULAR ||
		TOPK_GROUP_LENGTH(entry->group) != state->query_length)
		return STAGE_UNKNOWN;
	if (state->distance == CODE_COSINE &&
		(kind == TOPK_ZERO || state->query_kind == CODE_ZERO))
		return STAGE_NO_NUMBER;
	return STAGE_RANKED;
}

static double
PageBound(const TopkScan *state, const TopkDirEntry *entry)
{
	if (TOPK_GROUP_KIND(entry->group) == TOPK_ZERO)
		return code_zero_bound(state->query, state->distance);
	return code_norm_bound(state->query, state->distance,
						   entry->norm_low, entry->norm_high);
}

static void
AddPage(PageList *list, BlockNumber block, double bound)
{
	if (list->n == list->allocated)
	{
		list->allocated = list->allocated == 0 ? 256 : list->allocated * 2;
		if (list->pages == NULL)
			list->pages = palloc(list->allocated * sizeof(Candidate));
		else
			list->pages = repalloc_huge(list->pages,
										mul_size(list->allocated, sizeof(Candidate)));
	}
	memset(&list->pages[list->n], 0, sizeof(Candidate));
	list->pages[list->n].block = block;
	list->pages[list->n].bound = bound;
	list->n++;
}

/* Sorts the directory's pages by stage. */
static void
ReadDirectory(IndexScanDesc scan, TopkScan *state)
{
	TopkDirEntry *entries = palloc(TOPK_DIRECTORY_CAPACITY * sizeof(TopkDirEntry));
	BlockNumber block = InvalidBlockNumber;
	double		previous = -INFINITY;

	state->sorted = true;
	do
	{
		int			count;

		CHECK_FOR_INTERRUPTS();
		block = topk_next_entries(scan->indexRelation, block, entries, &count);
		for (int i = 0; i < count; i++)
		{
			Stage		stage;
			double		bound = 0.0;

			if (entries[i].group == TOPK_FREE)
				continue;
			stage = StageOf(state, &entries[i]);
			if (stage == STAGE_RANKED)
			{
				bound = PageBound(state, &entries[i]);
				if (bound < previous)
					state->sorted = false;
				previous = bound;
			}
			AddPage(&state->lists[stage], entries[i].block, bound);
		}
	} while (block != InvalidBlockNumber);
	pfree(entries);
}

/* Begins to read the ranked pages, from the best. */
static void
BeginRanked(TopkScan *state, Size m)
{
	PageList   *ranked = &state->lists[STAGE_RANKED];

	candidates_begin(&state->candidates, m);
	state->next_page = 0;
	if (state->sorted)
		return;
	if (state->page_heap == NULL)
		state->page_heap = MemoryContextAllocHuge(CurrentMemoryContext,
												  ranked->n * sizeof(Candidate));
	memcpy(state->page_heap, ranked->pages, ranked->n * sizeof(Candidate));
	state->page_heap_n = ranked->n;
	candidates_heapify(state->page_heap, state->page_heap_n);
}

/* Takes the best page not yet read, if its bound is not above the limit. */
static bool
NextRankedPage(TopkScan *state, double limit, BlockNumber *block)
{
	PageList   *ranked = &state->lists[STAGE_RANKED];

	if (state->sorted)
	{
		if (state->next_page == ranked->n ||
			ranked->pages[state->next_page].bound > limit)
			return false;
		*block = ranked->pages[state->next_page++].block;
		return true;
	}
	if (state->page_heap_n == 0 || state->page_heap[0].bound > limit)
		return false;
	*block = state->page_heap[0].block;
	candidates_pop(state->page_heap, state->page_heap_n--);
	return true;
}

/*
 * Pins the page that will be read next, and asks the processor to bring it
 * nearer meanwhile: its pages lie anywhere in shared buffers, so the hardware
 * does not foresee them.
 */
static void
PinAhead(IndexScanDesc scan, TopkScan *state)
{
	BlockNumber block;
	const char *page;
	int			end;

	if (state->sorted)
	{
		PageList   *ranked = &state->lists[STAGE_RANKED];

		if (state->next_page == ranked->n)
			return;
		block = ranked->pages[state->next_page].block;
	}
	else
	{
		if (state->page_heap_n == 0)
			return;
		block = state->page_heap[0].block;
	}
	state->ahead = topk_pin(scan->indexRelation, block);
	page = BufferGetPage(state->ahead);
	prefetch_memory(page);
	prefetch_memory(page + BLCKSZ - sizeof(TopkOpaque));
	end = TOPK_CONTENTS + topk_capacity(TOPK_GROUP(TOPK_CODED, state->query_length, 0)) *
		(code_bytes(state->query_length) + sizeof(CodeScalars));
	for (int i = TOPK_CONTENTS; i < end; i += PREFETCH_LINE)
		prefetch_memory(page + i);
}

static void
ReleaseAhead(TopkScan *state)
{
	if (BufferIsValid(state->ahead))
		ReleaseBuffer(state->ahead);
	state->ahead = InvalidBuffer;
}

/* The ranked page, locked; and begins to fetch the one after it. */
static Buffer
TakePage(IndexScanDesc scan, TopkScan *state, BlockNumber block)
{
	Buffer		buffer = state->ahead;

	if (BufferIsValid(buffer) && BufferGetBlockNumber(buffer) == block)
		state->ahead = InvalidBuffer;
	else
	{
		ReleaseAhead(state);
		buffer = topk_pin(scan->indexRelation, block);
	}
	PinAhead(scan, state);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	topk_check_page(scan->indexRelation, buffer);
	return buffer;
}

/* The bounds of all entries of a ranked page. */
static void
ComputeBounds(const TopkScan *state, const TopkOpaque *opaque,
			  const TopkParts *parts, double *bounds)
{
	CodeBlock	codes;

	if (TOPK_GROUP_KIND(opaque->group) == TOPK_ZERO)
	{
		for (int i = 0; i < opaque->count; i++)
			bounds[i] = code_zero_bound(state->query, state->distance);
		return;
	}
	if (state->query_kind == CODE_ZERO)
	{
		for (int i = 0; i < opaque->count; i++)
			bounds[i] = code_norm_bound(state->query, state->distance,
										parts->norm[i], parts->norm[i]);
		return;
	}
	codes.capacity = opaque->capacity;
	codes.count = opaque->count;
	codes.length = TOPK_GROUP_LENGTH(opaque->group);
	codes.bytes = parts->codes;
	codes.norm = parts->norm;
	codes.scale = parts->scale;
	codes.error = parts->error;
	code_bounds(state->query, state->distance, &codes, bounds);
}

/* Offers the entries of a page to the candidates. */
static void
RankPage(IndexScanDesc scan, TopkScan *state, BlockNumber block)
{
	Buffer		buffer = TakePage(scan, state, block);
	Page		page = BufferGetPage(buffer);
	TopkOpaque *opaque = TopkPageOpaque(page);
	TopkParts	parts = topk_parts(page);
	double		lowest = candidates_lowest(&state->candidates);
	double		highest = candidates_highest(&state->candidates);
	double		bounds[TOPK_MAX_ENTRIES];

	/*
	 * A page that vacuum freed after the directory was read may hold anything
	 * now, but nothing that this scan's snapshot sees.
	 */
	if (TOPK_GROUP_LENGTH(opaque->group) != state->query_length ||
		(TOPK_GROUP_KIND(opaque->group) != TOPK_CODED &&
		 TOPK_GROUP_KIND(opaque->group) != TOPK_ZERO))
	{
		UnlockReleaseBuffer(buffer);
		return;
	}

	ComputeBounds(state, opaque, &parts, bounds);
	for (int i = 0; i < opaque->count; i++)
	{
		Candidate	candidate;

		if (bounds[i] > highest || bounds[i] < lowest ||
			(scan->ignore_killed_tuples && parts.killed[i]))
			continue;
		candidate.bound = bounds[i];
		candidate.block = block;
		candidate.removals = opaque->removals;
		candidate.place = i;
		candidate.tid = parts.tids[i];
		candidates_offer(&state->candidates, &candidate);
		highest = candidates_highest(&state->candidates);
	}
	UnlockReleaseBuffer(buffer);
}

/* m, kept within work_mem. */
static Size
LimitCandidates(Size m)
{
	Size		most = (Size) work_mem * 1024 / (2 * sizeof(Candidate));

	return Max(Min(m, most), FIRST_CANDIDATES);
}

/*
 * The next entry by bound.  One is certain to be the least when its bound is
 * below those of all pages yet to read; equal ones have to meet first, to be
 * taken in the order of their TIDs.
 */
static bool
NextRanked(IndexScanDesc scan, TopkScan *state, Candidate *next)
{
	CandidateSet *set = &state->candidates;

	for (;;)
	{
		double		limit = set->n > 0 ? set->heap[0].bound : candidates_highest(set);
		BlockNumber block;

		CHECK_FOR_INTERRUPTS();
		if (NextRankedPage(state, limit, &block))
			RankPage(scan, state, block);
		else if (set->n > 0)
		{
			*next = candidates_take(set);
			return true;
		}
		else if (set->has_ceiling)
			BeginRanked(state, LimitCandidates(set->m * GROWTH));
		else
			return false;
	}
}

/* Takes the entries of the next page of a stage whose order does not matter. */
static bool
StreamPage(IndexScanDesc scan, TopkScan *state)
{
	PageList   *list = &state->lists[state->stage];
	double		bound = state->stage == STAGE_UNKNOWN ? -INFINITY : NAN;
	BlockNumber block;
	Buffer		buffer;
	TopkOpaque *opaque;
	TopkParts	parts;

	if (state->next_page == list->n)
		return false;
	block = list->pages[state->next_page++].block;
	if (state->stream == NULL)
		state->stream = palloc(TOPK_MAX_ENTRIES * sizeof(Candidate));
	state->stream_n = 0;
	state->stream_next = 0;

	buffer = topk_read(scan->indexRelation, block, BUFFER_LOCK_SHARE);
	opaque = TopkPageOpaque(BufferGetPage(buffer));
	parts = topk_parts(BufferGetPage(buffer));
	if (TOPK_GROUP_KIND(opaque->group) != TOPK_DIRECTORY)
		for (int i = 0; i < opaque->count; i++)
		{
			Candidate  *entry = &state->stream[state->stream_n];

			if (scan->ignore_killed_tuples && parts.killed[i])
				continue;
			entry->bound = bound;
			entry->block = block;
			entry->removals = opaque->removals;
			entry->place = i;
			entry->tid = parts.tids[i];
			state->stream_n++;
		}
	UnlockReleaseBuffer(buffer);
	return true;
}

static bool
NextStreamed(IndexScanDesc scan, TopkScan *state, Candidate *next)
{
	while (state->stream_next == state->stream_n)
	{
		CHECK_FOR_INTERRUPTS();
		if (!StreamPage(scan, state))
			return false;
	}
	*next = state->stream[state->stream_next++];
	return true;
}

/* The next entry of all, stage after stage. */
static bool
NextEntry(IndexScanDesc scan, TopkScan *state, Candidate *next)
{
	while (state->stage < STAGES)
	{
		if (state->stage == STAGE_RANKED ?
			NextRanked(scan, state, next) : NextStreamed(scan, state, next))
			return true;
		ReleaseAhead(state);
		state->stage++;
		state->next_page = 0;
		state->stream_next = state->stream_n = 0;
		if (state->stage == STAGE_RANKED)
			BeginRanked(state, FIRST_CANDIDATES);
	}
	return false;
}

/*
 * Marks the entry returned last as dead to everyone, for later scans to pass
 * over.  It must still be that entry: vacuum counts up the page's removals
 * whenever it moves or removes any.
 */
static void
KillLast(IndexScanDesc scan, TopkScan *state)
{
	Buffer		buffer = topk_read(scan->indexRelation, state->last.block, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	TopkOpaque *opaque = TopkPageOpaque(page);

	if (opaque->removals == state->last.removals &&
		state->last.place < opaque->count &&
		TOPK_GROUP_KIND(opaque->group) < TOPK_DIRECTORY)
	{
		TopkParts	parts = topk_parts(page);

		if (ItemPointerEquals(&parts.tids[state->last.place], &state->last.tid))
		{
			parts.killed[state->last.place] = 1;
			MarkBufferDirtyHint(buffer, true);
		}
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * The ORDER BY values, as far as the index knows them.  Of several, the first
 * orders the scan; the others' bounds are as low as can be, which leaves ties
 * to the executor.
 */
static void
StoreValues(IndexScanDesc scan, TopkScan *state, const Candidate *entry)
{
	for (int i = 0; i < scan->numberOfOrderBys; i++)
	{
		state->values[i].isnull = state->stage == STAGE_NULL && i == 0;
		state->values[i].value = i == 0 ? entry->bound : -INFINITY;
	}
	index_store_float8_orderby_distances(scan, state->types, state->values,
										 scan->numberOfOrderBys > 0);
}

/*
 * A query that needs no column at all, count(*) say, may be planned as an
 * index-only scan, which wants a tuple nonetheless: one of NULL will do.
 */
static void
StoreTuple(IndexScanDesc scan, TopkScan *state)
{
	if (state->no_values == NULL)
	{
		Datum		value = (Datum) 0;
		bool		isnull = true;

		MemoryContext old = MemoryContextSwitchTo(state->context);

		state->no_values = index_form_tuple(RelationGetDescr(scan->indexRelation),
											&value, &isnull);
		MemoryContextSwitchTo(old);
	}
	scan->xs_itup = state->no_values;
	scan->xs_itupdesc = RelationGetDescr(scan->indexRelation);
}

bool
topk_get_tuple(IndexScanDesc scan, ScanDirection direction)
{
	TopkScan   *state = (TopkScan *) scan->opaque;
	MemoryContext old = MemoryContextSwitchTo(state->context);
	bool		found;

	Assert(ScanDirectionIsForward(direction));

	if (!state->started)
	{
		pgstat_count_index_scan(scan->indexRelation);
		count_index_search(scan);
		if (!IsMVCCSnapshot(scan->xs_snapshot))
			elog(ERROR, "cannot scan a topk index with a snapshot that is not MVCC");
		PrepareQuery(scan, state);
		ReadDirectory(scan, state);
		state->started = true;
	}
	else if (scan->kill_prior_tuple && state->has_last)
		KillLast(scan, state);

	found = NextEntry(scan, state, &state->last);
	state->has_last = found;
	MemoryContextSwitchTo(old);
	if (found)
	{
		scan->xs_heaptid = state->last.tid;
		scan->xs_recheck = false;
		StoreValues(scan, state, &state->last);
		if (scan->xs_want_itup)
			StoreTuple(scan, state);
	}
	return found;
}

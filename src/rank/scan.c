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
 * All but the ranked stage return page after page as they come, from here; the
 * ranked one is search.c's.
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
#include "rank/scan.h"
#include "rank/vector.h"

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

	topk_release_ahead(state);
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

	topk_release_ahead(state);
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
AddPage(PageList *list, PageKey key)
{
	if (list->n == list->allocated)
	{
		list->allocated = list->allocated == 0 ? 256 : list->allocated * 2;
		if (list->pages == NULL)
			list->pages = palloc(list->allocated * sizeof(PageKey));
		else
			list->pages = repalloc_huge(list->pages,
										mul_size(list->allocated, sizeof(PageKey)));
	}
	list->pages[list->n] = key;
	list->n++;
}

/* Sorts the directory's pages by stage. */
static void
ReadDirectory(IndexScanDesc scan, TopkScan *state)
{
	TopkDirEntry *entries = palloc(TOPK_DIRECTORY_CAPACITY * sizeof(TopkDirEntry));
	BlockNumber block = InvalidBlockNumber;
	uint32		previous = 0;

	state->sorted = true;
	do
	{
		int			count;

		CHECK_FOR_INTERRUPTS();
		block = topk_next_entries(scan->indexRelation, block, entries, &count);
		for (int i = 0; i < count; i++)
		{
			Stage		stage;
			PageKey		key = entries[i].block;

			if (entries[i].group == TOPK_FREE)
				continue;
			stage = StageOf(state, &entries[i]);
			if (stage == STAGE_RANKED)
			{
				key = topk_page_key(entries[i].block, PageBound(state, &entries[i]));
				if (PAGE_KEY_BOUND(key) < previous)
					state->sorted = false;
				previous = PAGE_KEY_BOUND(key);
			}
			AddPage(&state->lists[stage], key);
		}
	} while (block != InvalidBlockNumber);
	pfree(entries);
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
	block = PAGE_KEY_BLOCK(list->pages[state->next_page++]);
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
			topk_next_ranked(scan, state, next) : NextStreamed(scan, state, next))
			return true;
		topk_release_ahead(state);
		state->stage++;
		state->next_page = 0;
		state->stream_next = state->stream_n = 0;
		if (state->stage == STAGE_RANKED)
			topk_begin_ranked(state);
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

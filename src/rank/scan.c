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
 *	 refused	 -infinity: entries that the operator refuses to compare with the
 *				 query: vectors of another length, and what is no vector
 *	 unknown	 -infinity: entries without a code, which the operator has to judge
 *	 ranked		 bounds computed from the codes
 *	 no number	 NaN: the cosine distance to a zero vector, which sorts after
 *				 all numbers
 *	 null		 after everything
 *
 * In each, search.c returns the entries in order of (bound, TID); where the bound
 * is the same for all, by the TID alone.
 *
 * Refused entries come first, and as if that were exact, so that the executor does
 * not compute their distance to compare it: that would raise an error for a row
 * that WHERE or a policy may leave out, and tell its length.  The row is returned,
 * WHERE leaves it out or not; if not, the distance is computed as part of the
 * target list, of which ORDER BY's expressions are members always, and the
 * operator raises its error, as without the index.  The same if one of several
 * operators refuses: its query is of another length than the first one's.
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

/*
 * A scan serves ORDER BY and nothing else: it remembers TIDs of which the heap
 * has to say whether they are visible, to a snapshot that is an MVCC one.  So it
 * must not be an index-only scan, which asks the visibility map, and has nothing
 * to compare search conditions with.  The planner makes no others
 * (topk_cost_estimate).
 */
static void
CheckIsOrdered(Relation index, int nkeys, int norderbys, bool index_only)
{
	if (nkeys > 0 || norderbys == 0 || index_only)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" can be scanned only in the order of a distance",
						RelationGetRelationName(index)),
				 errdetail("Access method \"%s\" serves ORDER BY, and neither conditions nor index-only scans.",
						   "topk")));
}

IndexScanDesc
topk_begin_scan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	TopkScan   *state = palloc0(sizeof(TopkScan));

	CheckIsOrdered(index, nkeys, norderbys, false);
	state->context = AllocSetContextCreate(CurrentMemoryContext, "topk scan",
										   ALLOCSET_DEFAULT_SIZES);
	scan->opaque = state;
	scan->xs_orderbyvals = palloc0(sizeof(Datum) * norderbys);
	scan->xs_orderbynulls = palloc(sizeof(bool) * norderbys);
	memset(scan->xs_orderbynulls, true, sizeof(bool) * norderbys);
	state->types = palloc(sizeof(Oid) * norderbys);
	state->values = palloc(sizeof(IndexOrderByDistance) * norderbys);
	for (int i = 0; i < norderbys; i++)
		state->types[i] = FLOAT8OID;
	return scan;
}

void
topk_rescan(IndexScanDesc scan, ScanKey keys, int nkeys,
			ScanKey orderbys, int norderbys)
{
	TopkScan   *state = (TopkScan *) scan->opaque;

	CheckIsOrdered(scan->indexRelation, nkeys, norderbys, scan->xs_want_itup);
	topk_release_ahead(state);
	MemoryContextReset(state->context);
	memset(&state->started, 0, sizeof(TopkScan) - offsetof(TopkScan, started));
	if (orderbys != NULL)
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

static CodeDistance
DistanceOf(const ScanKeyData *key)
{
	switch (key->sk_strategy)
	{
		case TOPK_COSINE_STRATEGY:
			return CODE_COSINE;
		case TOPK_INNER_PRODUCT_STRATEGY:
			return CODE_INNER_PRODUCT;
		case TOPK_EUCLIDEAN_STRATEGY:
			return CODE_EUCLIDEAN;
		default:
			/* unless a superuser's operator class says otherwise */
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("access method \"%s\" knows no strategy %d",
							"topk", key->sk_strategy)));
	}
}

/*
 * Makes the queries ready.  What is wrong with one is for the operator to say, if
 * it comes to be called: of an empty table, every query finds nothing.
 */
static void
PrepareQueries(IndexScanDesc scan, TopkScan *state)
{
	Vector		first = {0};
	Vector		vector = {0};
	bool		agree = true;

	state->all_null = true;
	state->query_kind = CODE_IRREGULAR;
	state->distance = DistanceOf(&scan->orderByData[0]);
	for (int i = 0; i < scan->numberOfOrderBys; i++)
	{
		ScanKey		key = &scan->orderByData[i];

		if (key->sk_flags & SK_ISNULL)
			continue;
		if (vector_from_array(DatumGetArrayTypeP(key->sk_argument), &vector) != VECTOR_OK)
			vector.length = -1;
		if (state->all_null)
			state->query_length = vector.length;
		agree = agree && vector.length == state->query_length;
		state->all_null = false;
		if (i == 0)
			first = vector;
	}
	if (!agree)
		state->query_length = -1;
	if (state->all_null || state->query_length < 0 || first.array == NULL)
		return;
	state->query = MemoryContextAllocHuge(CurrentMemoryContext,
										  code_query_size(first.length));
	state->query_kind = code_query(first.elements, first.length, state->query);
}

/* The length of a group's vectors; -1 if it is of none. */
static int
LengthOf(TopkGroup group)
{
	if (TOPK_GROUP_KIND(group) != TOPK_IRREGULAR)
		return TOPK_GROUP_LENGTH(group);
	return TOPK_IRREGULAR_LENGTH(group) == TOPK_NO_LENGTH ? -1 : TOPK_IRREGULAR_LENGTH(group);
}

/* The stage in which the entries of a group are returned; STAGES if it has none. */
Stage
topk_stage_of(const TopkScan *state, TopkGroup group)
{
	TopkKind	kind = TOPK_GROUP_KIND(group);

	if (kind == TOPK_FREE || kind >= TOPK_DIRECTORY)
		return STAGES;
	if (kind == TOPK_NULL || state->all_null)
		return STAGE_NULL;
	if (state->query_length < 0 || LengthOf(group) != state->query_length)
		return STAGE_REFUSED;
	if (kind == TOPK_IRREGULAR || state->query_kind == CODE_IRREGULAR)
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

/* Makes room in a list for so many pages more. */
static void
ReservePages(PageList *list, Size more)
{
	Size		allocated = list->allocated;

	if (list->n + more <= allocated)
		return;
	allocated = Max(list->n + more, Max(allocated * 2, 256));
	if (list->pages == NULL)
		list->pages = MemoryContextAllocHuge(CurrentMemoryContext,
											 mul_size(allocated, sizeof(PageKey)));
	else
		list->pages = repalloc_huge(list->pages, mul_size(allocated, sizeof(PageKey)));
	list->allocated = allocated;
}

static void
AddPage(PageList *list, PageKey key)
{
	if (list->n > 0 && key >> 32 < list->pages[list->n - 1] >> 32)
		list->sorted = false;
	ReservePages(list, 1);
	list->pages[list->n] = key;
	list->n++;
}

/* Enters a page into the list of its stage. */
static void
ListPage(TopkScan *state, const TopkDirEntry *entry)
{
	Stage		stage = topk_stage_of(state, entry->group);
	PageList   *list = &state->lists[stage];
	PageKey		key;

	if (stage != STAGE_RANKED)
		key = topk_page_key(entry->block, 0.0);
	else if (list->by_norm)
		key = topk_norm_key(entry->block, entry->norm_high);
	else
		key = topk_page_key(entry->block, PageBound(state, entry));
	AddPage(list, key);
}

/*
 * Sorts the directory's pages by stage.  An inner product wants pages of the
 * query's length in the order of their norms, as the table has them already.
 */
void
topk_list_pages(IndexScanDesc scan, TopkScan *state)
{
	const TopkPageTable *table = topk_page_table(scan->indexRelation, scan->xs_snapshot,
												 state->query_length);
	const TopkDirEntry *entries = topk_table_entries(table);
	PageList   *ranked = &state->lists[STAGE_RANKED];

	state->epoch = table->epoch;
	state->changes = table->changes;
	for (int stage = 0; stage < STAGES; stage++)
	{
		state->lists[stage].n = 0;
		state->lists[stage].sorted = true;
	}
	ranked->by_norm = state->distance == CODE_INNER_PRODUCT &&
		state->query_kind == CODE_REGULAR;
	if (ranked->by_norm)
	{
		ReservePages(ranked, table->nkeys);
		if (table->nkeys > 0)
			memcpy(ranked->pages, topk_table_keys(table), table->nkeys * sizeof(PageKey));
		ranked->n = table->nkeys;
		if (table->nkeys == table->n)
			return;
	}
	for (Size i = 0; i < table->n; i++)
		if (!(ranked->by_norm && TOPK_GROUP_KIND(entries[i].group) == TOPK_CODED &&
			  TOPK_GROUP_LENGTH(entries[i].group) == table->length))
			ListPage(state, &entries[i]);
}

/* The next entry of all, stage after stage. */
static bool
NextEntry(IndexScanDesc scan, TopkScan *state, Candidate *next)
{
	while (state->stage < STAGES)
	{
		if (topk_next_of_stage(scan, state, next))
			return true;
		topk_release_ahead(state);
		state->stage++;
		if (state->stage < STAGES)
			topk_begin_stage(state);
	}
	return false;
}

/*
 * Marks the entry returned last as dead to everyone, for later scans to pass
 * over.  It must still be that entry: vacuum counts up the page's removals
 * whenever it moves or removes any, or gives a page another use.
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
 * to the executor.  NULLs are exact, and refused entries pass for it.
 */
static void
StoreValues(IndexScanDesc scan, TopkScan *state, const Candidate *entry)
{
	for (int i = 0; i < scan->numberOfOrderBys; i++)
	{
		state->values[i].isnull = state->stage == STAGE_NULL ||
			(scan->orderByData[i].sk_flags & SK_ISNULL) != 0;
		state->values[i].value = -INFINITY;
		if (i == 0 && state->stage == STAGE_RANKED)
			state->values[i].value = entry->bound;
		else if (i == 0 && state->stage == STAGE_NO_NUMBER)
			state->values[i].value = NAN;
	}
	index_store_float8_orderby_distances(scan, state->types, state->values,
										 state->stage != STAGE_REFUSED &&
										 state->stage != STAGE_NULL);
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
		/* no command orders rows by another: the executor's are MVCC ones */
		if (!IsMVCCSnapshot(scan->xs_snapshot))
			elog(ERROR, "cannot scan a topk index with a snapshot that is not MVCC");
		PrepareQueries(scan, state);
		topk_list_pages(scan, state);
		topk_begin_stage(state);
		state->started = true;
	}
	else if (scan->kill_prior_tuple && state->has_last)
		KillLast(scan, state);

	found = NextEntry(scan, state, &state->last);
	state->has_last = found;
	MemoryContextSwitchTo(old);
	if (found)
	{
		topk_check_row(scan->indexRelation, state->last.block,
					   scan->heapRelation, &state->last.tid);
		scan->xs_heaptid = state->last.tid;
		scan->xs_recheck = false;
		StoreValues(scan, state, &state->last);
	}
	return found;
}

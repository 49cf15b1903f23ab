/*
 * check.c: mf_index_check(regclass), which checks a topk index against its
 * table, as amcheck does for B-trees.
 *
 * First the index itself: the meta page, the chain of the directory, each
 * entry's page being what the entry says, each code's norm within its page's
 * range and bucket.  Every entry is entered into a Bloom filter with its TID and
 * its whole code, except for those that scans pass over as dead.  Then the
 * table: every row that was visible before must be in the filter, coded anew; so
 * the filter's rare false positives can hide a fault, but nothing sound is ever
 * reported.  Memory stays within maintenance_work_mem.
 *
 * It locks out nobody and runs on a standby: the directory changes only under
 * the meta page's exclusive lock, so each entry is compared with its page under
 * the shared one, and if vacuum replaces all of it, the check begins again.  Only the owner may call it, because the faults it reports
 * speak of the table's contents.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "lib/bloomfilter.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "rank/topk.h"

PG_FUNCTION_INFO_V1(mf_index_check);

typedef struct CheckState
{
	Relation	heap;
	Relation	index;
	BlockNumber blocks;			/* of the index, when the check began */
	uint32		bucket_shift;
	uint32		epoch;			/* of the directory being checked */
	BlockNumber heap_blocks;
	bool		is_heap;		/* so that rows' places are of these */
	uint8	   *seen;			/* a bit for each of them, if found by now */
	bool		heed_killed;	/* marks count, as in the transaction's scans */
	bloom_filter *entries;
	TopkItem	item;
	MemoryContext row_context;
	int64		rows;
} CheckState;

#define CORRUPTED(state, ...) \
	ereport(ERROR, \
			(errcode(ERRCODE_INDEX_CORRUPTED), \
			 errmsg("index \"%s\" is corrupted", \
					RelationGetRelationName((state)->index)), \
			 errdetail(__VA_ARGS__), \
			 errhint("Please REINDEX it.")))

/* Notes that a block has its one place among the blocks there are now. */
static void
MarkSeen(CheckState *state, BlockNumber block, BlockNumber blocks)
{
	if (block == TOPK_META_BLOCK || block >= blocks)
		CORRUPTED(state, "The directory leads to block %u, which is not there.", block);
	if (block >= state->blocks)
		return;
	if (state->seen[block / 8] & (1 << block % 8))
		CORRUPTED(state, "The directory leads to block %u twice.", block);
	state->seen[block / 8] |= 1 << block % 8;
}

static void
CheckMeta(CheckState *state, TopkMeta *meta)
{
	if (meta->blocks > RelationGetNumberOfBlocks(state->index))
		CORRUPTED(state, "The meta page speaks of %u blocks, the file has %u.",
				  meta->blocks, RelationGetNumberOfBlocks(state->index));
	state->bucket_shift = meta->bucket_shift;
	state->epoch = meta->epoch;
}

/* One entry of a coded page. */
static void
CheckCode(CheckState *state, const TopkDirEntry *entry, const CodeScalars *scalars)
{
	float4		low;
	float4		high;

	if (!(scalars->norm >= entry->norm_low && scalars->norm <= entry->norm_high))
		CORRUPTED(state, "Block %u holds norm %g, outside of its range %g to %g.",
				  entry->block, scalars->norm, entry->norm_low, entry->norm_high);
	topk_bucket_range(entry->group, state->bucket_shift, &low, &high);
	if (!(scalars->norm >= low && scalars->norm <= high))
		CORRUPTED(state, "Block %u holds norm %g, outside of its bucket %g to %g.",
				  entry->block, scalars->norm, low, high);
	if (!(scalars->scale > 0 && isfinite(scalars->scale)) ||
		!(scalars->error > 0 && isfinite(scalars->error)))
		CORRUPTED(state, "Block %u holds scale %g with error %g.",
				  entry->block, scalars->scale, scalars->error);
}

/* Checks the entries of a data page and puts them into the filter. */
static void
CheckEntries(CheckState *state, Page page, const TopkDirEntry *entry)
{
	TopkOpaque *opaque = TopkPageOpaque(page);
	TopkParts	parts = topk_parts(page);
	TopkItem   *item = &state->item;

	for (int i = 0; i < opaque->count; i++)
	{
		/* marked as dead to everyone, so nobody may see the row */
		if (state->heed_killed && parts.killed[i])
			continue;
		memset(item, 0, offsetof(TopkItem, bytes));
		item->group = opaque->group;
		item->tid = parts.tids[i];
		if (!ItemPointerIsValid(&item->tid) ||
			(state->is_heap &&
			 ItemPointerGetBlockNumber(&item->tid) >= state->heap_blocks))
			CORRUPTED(state, "Block %u points to row (%u,%u), beyond the table's end.",
					  entry->block, ItemPointerGetBlockNumberNoCheck(&item->tid),
					  ItemPointerGetOffsetNumberNoCheck(&item->tid));
		if (parts.codes != NULL)
		{
			item->scalars.norm = parts.norm[i];
			item->scalars.scale = parts.scale[i];
			item->scalars.error = parts.error[i];
			CheckCode(state, entry, &item->scalars);
			code_get(parts.codes, opaque->capacity,
					 TOPK_GROUP_LENGTH(opaque->group), i, item->bytes);
		}
		bloom_add_element(state->entries, (unsigned char *) item, TopkItemSize(item));
	}
}

/* A directory entry, and the page it stands for. */
static void
CheckDirEntry(CheckState *state, TopkDirEntry *entry, BlockNumber blocks)
{
	TopkGroup	group = entry->group & ~TOPK_ROOM;
	Buffer		buffer;
	TopkOpaque *opaque;

	MarkSeen(state, entry->block, blocks);
	entry->group = group;

	/* what is there may be left from before, or vacuum's work so far */
	if (TOPK_GROUP_KIND(group) == TOPK_FREE || TOPK_GROUP_KIND(group) == TOPK_RESERVED)
		return;
	buffer = topk_read(state->index, entry->block, BUFFER_LOCK_SHARE);
	opaque = TopkPageOpaque(BufferGetPage(buffer));
	if (opaque->epoch > state->epoch)
		CORRUPTED(state, "Block %u is of epoch %u, which has not begun.",
				  entry->block, opaque->epoch);
	if (opaque->group != group ||
		TOPK_GROUP_KIND(group) >= TOPK_DIRECTORY)
		CORRUPTED(state, "Block %u is of group %X, the directory says %X.",
				  entry->block, opaque->group, group);

	/*
	 * The table may grow as the check goes on, but not after an entry for the
	 * new row came into a page that is locked.
	 */
	state->heap_blocks = RelationGetNumberOfBlocks(state->heap);
	CheckEntries(state, BufferGetPage(buffer), entry);
	UnlockReleaseBuffer(buffer);
}

typedef enum CheckResult
{
	CHECK_ENTRY,				/* the entry is sound */
	CHECK_NO_ENTRY,				/* there is none */
	CHECK_REPLACED				/* there is a new directory */
} CheckResult;

/* Checks entry i of a directory page; gives the next page of the chain. */
static CheckResult
CheckNextEntry(CheckState *state, BlockNumber block, int i, BlockNumber *next)
{
	Buffer		meta_buffer = topk_read(state->index, TOPK_META_BLOCK, BUFFER_LOCK_SHARE);
	Buffer		buffer;
	Page		page;
	BlockNumber blocks = TopkPageMeta(BufferGetPage(meta_buffer))->blocks;
	bool		found;

	if (TopkPageMeta(BufferGetPage(meta_buffer))->epoch != state->epoch)
	{
		UnlockReleaseBuffer(meta_buffer);
		return CHECK_REPLACED;
	}
	if (i == 0)
		MarkSeen(state, block, blocks);
	buffer = topk_read_directory(state->index, block, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	if (i == 0)
	{
		BlockNumber pages = 0;

		/* MarkSeen finds a circle */
		topk_check_directory(state->index, buffer, &pages);
		if (TopkPageOpaque(page)->epoch > state->epoch)
			CORRUPTED(state, "Block %u is of epoch %u, which has not begun.",
					  block, TopkPageOpaque(page)->epoch);
	}
	found = i < TopkPageOpaque(page)->count;
	*next = TopkPageOpaque(page)->next;
	if (found)
	{
		TopkDirEntry entry = TopkPageEntries(page)[i];

		CheckDirEntry(state, &entry, blocks);
	}
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(meta_buffer);
	return found ? CHECK_ENTRY : CHECK_NO_ENTRY;
}

/* Checks the whole index; false if vacuum gave it a new directory meanwhile. */
static bool
CheckIndex(CheckState *state)
{
	Buffer		buffer = topk_read(state->index, TOPK_META_BLOCK, BUFFER_LOCK_SHARE);
	TopkMeta   *meta = TopkPageMeta(BufferGetPage(buffer));
	BlockNumber blocks;
	BlockNumber block;

	CheckMeta(state, meta);
	block = meta->first_directory;
	blocks = Min(meta->blocks, state->blocks);
	UnlockReleaseBuffer(buffer);

	memset(state->seen, 0, state->blocks / 8 + 1);
	while (block != InvalidBlockNumber)
	{
		BlockNumber next;
		CheckResult result = CHECK_ENTRY;

		for (int i = 0; result == CHECK_ENTRY; i++)
		{
			CHECK_FOR_INTERRUPTS();
			result = CheckNextEntry(state, block, i, &next);
		}
		if (result == CHECK_REPLACED)
			return false;
		block = next;
	}
	for (block = TOPK_META_BLOCK + 1; block < blocks; block++)
		if (!(state->seen[block / 8] & (1 << block % 8)))
			CORRUPTED(state, "The directory does not lead to block %u.", block);
	return true;
}

/* Called for every row visible to the snapshot. */
static void
CheckRow(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		 bool alive, void *arg)
{
	CheckState *state = (CheckState *) arg;
	MemoryContext old = MemoryContextSwitchTo(state->row_context);

	topk_form_item(&state->item, values[0], isnull[0], tid);
	state->item.group = topk_coarsen(state->item.group, state->bucket_shift);
	if (bloom_lacks_element(state->entries, (unsigned char *) &state->item,
							TopkItemSize(&state->item)))
		CORRUPTED(state, "It lacks the entry of row (%u,%u) of table \"%s\".",
				  ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid),
				  RelationGetRelationName(state->heap));
	state->rows++;
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->row_context);
}

static void
CheckTable(CheckState *state, Snapshot snapshot)
{
	IndexInfo  *info = BuildIndexInfo(state->index);
	TableScanDesc scan = table_beginscan_strat(state->heap, snapshot, 0, NULL,
											   true, true);

	/* as a concurrent build: rows as the snapshot sees them */
	info->ii_Concurrent = true;
	table_index_build_scan(state->heap, state->index, info, true, false,
						   CheckRow, state, scan);
}

static void
CheckIsTopk(Relation index)
{
	if (index->rd_indam->ambuild != topk_build)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("index \"%s\" is not a topk index",
						RelationGetRelationName(index))));
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid",
						RelationGetRelationName(index))));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary tables of other sessions")));
}

/*
 * Rows that the index is too young for: it may lack versions that an old
 * transaction's snapshot still sees.
 */
static void
CheckIsUsable(Relation index, Snapshot snapshot)
{
	if (IsolationUsesXactSnapshot() && index->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data),
							   snapshot->xmin))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("index \"%s\" cannot be checked with the snapshot of this transaction",
						RelationGetRelationName(index))));
}

pg_noreturn static void
ReportGone(Oid relation)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation with OID %u does not exist", relation)));
}

/*
 * Opens an index and its table, which its caller must own; of a partitioned index
 * and table that is all.  The table is locked first, as by all who lock both, so
 * that the index is not known to be there, and to be this table's, before it is
 * open: it may be dropped until then.
 */
static void
OpenIndex(CheckState *state, Oid index)
{
	Oid			heap = IndexGetRelation(index, true);

	if (!OidIsValid(heap))
	{
		const char *name = get_rel_name(index);

		if (name == NULL)
			ReportGone(index);
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an index", name)));
	}
	state->heap = try_relation_open(heap, AccessShareLock);
	if (state->heap == NULL)
		ReportGone(index);
	if (!object_ownercheck(RelationRelationId, heap, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE,
					   RelationGetRelationName(state->heap));
	state->index = try_relation_open(index, AccessShareLock);
	if (state->index == NULL || IndexGetRelation(index, true) != heap)
		ReportGone(index);
	CheckIsTopk(state->index);
}

static void
CloseIndex(CheckState *state)
{
	relation_close(state->index, AccessShareLock);
	relation_close(state->heap, AccessShareLock);
}

/* An index with pages, and its table. */
static void
CheckOne(CheckState *state)
{
	Snapshot	snapshot;
	Oid			user;
	int			security;
	int			nest_level;
	int64		expected;

	/* an expression index's functions run as the table's owner */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(state->heap->rd_rel->relowner,
						   security | SECURITY_RESTRICTED_OPERATION);
	nest_level = NewGUCNestLevel();
	RestrictSearchPath();

	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	CheckIsUsable(state->index, snapshot);
	state->is_heap = state->heap->rd_tableam == GetHeapamTableAmRoutine();
	state->blocks = RelationGetNumberOfBlocks(state->index);
	state->heed_killed = !TransactionStartedDuringRecovery();
	state->seen = MemoryContextAllocHuge(CurrentMemoryContext, state->blocks / 8 + 1);
	state->row_context = AllocSetContextCreate(CurrentMemoryContext, "topk check row",
											   ALLOCSET_DEFAULT_SIZES);
	expected = Max((int64) state->index->rd_rel->reltuples, (int64) state->blocks * 100);
	state->entries = bloom_create(expected, maintenance_work_mem,
								  (uint64) GetCurrentTimestamp());
	while (!CheckIndex(state))
		;
	CheckTable(state, snapshot);
	bloom_free(state->entries);
	MemoryContextDelete(state->row_context);
	pfree(state->seen);
	UnregisterSnapshot(snapshot);

	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(user, security);
}

/*
 * Checks an index.  A partitioned one has no pages: those of its partitions are
 * checked, one after the other, each as if it were asked for by itself.
 */
static int64
CheckByOid(Oid index)
{
	CheckState	state = {0};
	List	   *partitions = NIL;
	ListCell   *cell;
	int64		rows = 0;

	OpenIndex(&state, index);
	if (state.index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
		partitions = find_inheritance_children(index, NoLock);
	else
	{
		CheckOne(&state);
		rows = state.rows;
	}
	foreach(cell, partitions)
	{
		CHECK_FOR_INTERRUPTS();
		rows += CheckByOid(lfirst_oid(cell));
	}
	CloseIndex(&state);
	return rows;
}

/*
 * mf_index_check(index regclass) returns the number of rows found in the index,
 * or raises an error that says what is wrong with it.
 */
Datum
mf_index_check(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(CheckByOid(PG_GETARG_OID(0)));
}

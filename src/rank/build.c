/*
 * build.c: CREATE INDEX ... USING topk.
 *
 * Every row's entry goes through an external sort by kind, length and
 * decreasing norm, and then page after page into the file, the directory last.
 * The sort works in maintenance_work_mem, whatever the table's size; what else
 * is kept in memory is the directory, sixteen bytes per page.
 *
 * Sorting by norm rather than by bucket gives each page its own narrow range,
 * so that scans stop as early as the data allow.  A page holds one bucket, so
 * that the last page of each takes inserts later; how fine the buckets are
 * follows the number of pages.
 *
 * Nobody sees the file before the build ends, so its pages are logged all at
 * once then, as complete images.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/shmem.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

#include "compat.h"
#include "rank/topk.h"

typedef struct BuildState
{
	Relation	index;
	MemoryContext row_context;	/* reset for every row */
	Tuplesortstate *sort;
	TupleTableSlot *slot;		/* (sort key, TopkItem) to and from the sort */
	TopkItem	item;
	double		entries;
	double		pages;			/* that they will fill, about */

	/* while writing */
	uint32		bucket_shift;
	PGAlignedBlock page;		/* the one being filled */
	bool		filling;
	BlockNumber blocks;			/* written so far */
	TopkDirEntry *directory;
	Size		npages;			/* entries of the directory */
	Size		allocated;
} BuildState;

/*
 * Ascending keys are the order of the file: kind, length, decreasing norm. The
 * bits of a positive float are in the order of its value.
 */
static int64
SortKey(const TopkItem *item)
{
	uint32		norm;

	memcpy(&norm, &item->scalars.norm, sizeof(norm));
	return (int64) TOPK_GROUP_KIND(item->group) << 48 |
		(int64) TOPK_GROUP_LENGTH(item->group) << 32 |
		(int64) (0x7FFFFFFF - norm);
}

/* Called for every row of the table. */
static void
PutRow(Relation index, ItemPointer tid, Datum *values, bool *isnull,
	   bool alive, void *arg)
{
	BuildState *state = (BuildState *) arg;
	MemoryContext old = MemoryContextSwitchTo(state->row_context);
	Size		size;
	bytea	   *item;

	topk_form_item(&state->item, values[0], isnull[0], tid);

	size = VARHDRSZ + TopkItemSize(&state->item);
	item = palloc(size);
	SET_VARSIZE(item, size);
	memcpy(VARDATA(item), &state->item, size - VARHDRSZ);

	ExecClearTuple(state->slot);
	state->slot->tts_values[0] = Int64GetDatum(SortKey(&state->item));
	state->slot->tts_values[1] = PointerGetDatum(item);
	state->slot->tts_isnull[0] = false;
	state->slot->tts_isnull[1] = false;
	ExecStoreVirtualTuple(state->slot);
	tuplesort_puttupleslot(state->sort, state->slot);
	state->entries++;
	state->pages += 1.0 / topk_capacity(state->item.group);

	ExecClearTuple(state->slot);
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->row_context);
}

static TupleDesc
SortDescriptor(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);

	TupleDescInitEntry(desc, 1, "key", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "item", BYTEAOID, -1, 0);
	return desc;
}

static double
ScanAndSort(BuildState *state, Relation heap, struct IndexInfo *info)
{
	AttrNumber	column = 1;
	Oid			less = Int8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;
	TupleDesc	desc = SortDescriptor();
	double		rows;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, TOPK_PHASE_SCAN);
	state->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	state->sort = tuplesort_begin_heap(desc, 1, &column, &less, &collation,
									   &nulls_first, maintenance_work_mem,
									   NULL, TUPLESORT_NONE);
	rows = table_index_build_scan(heap, state->index, info, true, true,
								  PutRow, state, NULL);
	ExecDropSingleTupleTableSlot(state->slot);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, TOPK_PHASE_SORT);
	tuplesort_performsort(state->sort);
	state->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	return rows;
}

/* Writes a page to the end of the file, and returns its block number. */
static BlockNumber
AppendPage(BuildState *state, Page page)
{
	Buffer		buffer;

	CHECK_FOR_INTERRUPTS();
	buffer = ReadBuffer(state->index, P_NEW);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (BufferGetBlockNumber(buffer) != state->blocks)
		elog(ERROR, "new page of index \"%s\" is block %u, expected %u",
			 RelationGetRelationName(state->index),
			 BufferGetBlockNumber(buffer), state->blocks);
	memcpy(BufferGetPage(buffer), page, BLCKSZ);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
	return state->blocks++;
}

/* Writes the page being filled, if there is one, and enters its block. */
static void
FinishPage(BuildState *state)
{
	Page		page = (Page) state->page.data;
	TopkDirEntry *entry;

	if (!state->filling)
		return;
	entry = &state->directory[state->npages - 1];
	if (TopkPageOpaque(page)->count < TopkPageOpaque(page)->capacity)
		entry->group |= TOPK_ROOM;
	entry->block = AppendPage(state, page);
	state->filling = false;
}

/* Begins a page for the item's group, and its directory entry. */
static void
BeginPage(BuildState *state, const TopkItem *item)
{
	FinishPage(state);
	if (state->npages == state->allocated)
	{
		state->allocated *= 2;
		state->directory = repalloc_huge(state->directory,
										 mul_size(state->allocated, sizeof(TopkDirEntry)));
	}
	topk_init_page((Page) state->page.data, item->group);
	state->directory[state->npages++] = (TopkDirEntry)
	{
		InvalidBlockNumber, item->group, item->scalars.norm, item->scalars.norm
	};
	state->filling = true;
}

/* Items come in order, so a page's range is from its first to its last. */
static void
WriteItem(BuildState *state, const TopkItem *item)
{
	Page		page = (Page) state->page.data;

	if (!state->filling || TopkPageOpaque(page)->group != item->group ||
		TopkPageOpaque(page)->count == TopkPageOpaque(page)->capacity)
		BeginPage(state, item);
	topk_add_item(page, item);
	state->directory[state->npages - 1].norm_low = item->scalars.norm;
}

/*
 * How fine the buckets are to be: so that the pages that are not full, two a
 * bucket at the most, one of the build and one of later inserts, are few next to
 * all pages.
 */
static uint32
BucketShift(double pages)
{
	uint32		shift = TOPK_COARSEST_SHIFT;

	for (double many = 1000; pages > many && shift > TOPK_FINEST_SHIFT; many *= 4)
		shift--;
	return shift;
}

static void
WriteItems(BuildState *state)
{
	double		done = 0;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, TOPK_PHASE_WRITE);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) state->entries);

	state->bucket_shift = BucketShift(state->pages);
	state->allocated = 1024;
	state->directory = palloc(state->allocated * sizeof(TopkDirEntry));
	while (tuplesort_gettupleslot(state->sort, true, false, state->slot, NULL))
	{
		bool		isnull;
		bytea	   *item = DatumGetByteaPP(slot_getattr(state->slot, 2, &isnull));

		memcpy(&state->item, VARDATA_ANY(item), VARSIZE_ANY_EXHDR(item));
		state->item.group = topk_coarsen(state->item.group, state->bucket_shift);
		WriteItem(state, &state->item);
		done++;
		if (((int64) done & 0xFFF) == 0)
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) done);
	}
	FinishPage(state);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) done);
}

/* Writes the chain of directory pages, and the meta page that leads there. */
static void
WriteDirectory(BuildState *state)
{
	BlockNumber first = state->npages > 0 ? state->blocks : InvalidBlockNumber;
	BlockNumber last = InvalidBlockNumber;
	Page		page = (Page) state->page.data;
	Buffer		buffer;
	TopkMeta   *meta;

	for (Size done = 0; done < state->npages;)
	{
		Size		n = Min(state->npages - done, TOPK_DIRECTORY_CAPACITY);

		topk_init_page(page, TOPK_GROUP(TOPK_DIRECTORY, 0, 0));
		memcpy(TopkPageEntries(page), state->directory + done,
			   n * sizeof(TopkDirEntry));
		TopkPageOpaque(page)->count = n;
		done += n;
		if (done < state->npages)
			TopkPageOpaque(page)->next = state->blocks + 1;
		last = AppendPage(state, page);
	}

	buffer = ReadBuffer(state->index, TOPK_META_BLOCK);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	meta = TopkPageMeta(BufferGetPage(buffer));
	meta->blocks = state->blocks;
	meta->bucket_shift = state->bucket_shift;
	meta->first_directory = first;
	meta->last_directory = last;
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

IndexBuildResult *
topk_build(Relation heap, Relation index, struct IndexInfo *info)
{
	MemoryContext context;
	MemoryContext old;
	BuildState *state;
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data",
			 RelationGetRelationName(index));
	topk_check_opclass(index);

	context = AllocSetContextCreate(CurrentMemoryContext, "topk build",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	state = palloc0(sizeof(BuildState));
	state->index = index;
	state->row_context = AllocSetContextCreate(context, "topk build row",
											   ALLOCSET_DEFAULT_SIZES);

	topk_init_meta((Page) state->page.data);
	AppendPage(state, (Page) state->page.data);

	result->heap_tuples = ScanAndSort(state, heap, info);
	result->index_tuples = state->entries;
	WriteItems(state);
	WriteDirectory(state);
	ExecDropSingleTupleTableSlot(state->slot);
	tuplesort_end(state->sort);

	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, 0, state->blocks, true);

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return result;
}

/* The init fork of an unlogged index: an empty index, logged in any case. */
void
topk_build_empty(Relation index)
{
	Buffer		buffer;

	topk_check_opclass(index);
	buffer = ReadBufferExtended(index, INIT_FORKNUM, P_NEW, RBM_NORMAL, NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	START_CRIT_SECTION();
	topk_init_meta(BufferGetPage(buffer));
	MarkBufferDirty(buffer);
	log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buffer);
}

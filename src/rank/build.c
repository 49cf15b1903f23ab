/*
 * build.c: CREATE INDEX ... USING topk.
 *
 * Every row's entry goes through the sort of writer.c and then page after page
 * into the file, the directory last.  How fine the buckets are follows the
 * number of pages.
 *
 * Nobody sees the file before the build ends, so its pages are logged all at
 * once then, as complete images.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "rank/writer.h"

typedef struct BuildState
{
	TopkWriter	writer;
	BlockNumber blocks;			/* written so far */
} BuildState;

/* Called for every row of the table. */
static void
PutRow(Relation index, ItemPointer tid, Datum *values, bool *isnull,
	   bool alive, void *arg)
{
	TopkWriter *writer = &((BuildState *) arg)->writer;
	MemoryContext old = MemoryContextSwitchTo(writer->row_context);

	topk_form_item(&writer->item, values[0], isnull[0], tid);
	topk_writer_put(writer);
	MemoryContextSwitchTo(old);
}

/* Writes a page to the end of the file, and returns its block number. */
static BlockNumber
AppendPage(TopkWriter *writer, Page page)
{
	BuildState *state = (BuildState *) writer;
	Buffer		buffer;

	CHECK_FOR_INTERRUPTS();
	buffer = ReadBuffer(writer->index, P_NEW);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	/* Cannot happen: nobody else sees the new file. */
	if (BufferGetBlockNumber(buffer) != state->blocks)
		elog(ERROR, "new page of index \"%s\" is block %u, expected %u",
			 RelationGetRelationName(writer->index),
			 BufferGetBlockNumber(buffer), state->blocks);
	memcpy(BufferGetPage(buffer), page, BLCKSZ);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
	return state->blocks++;
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
WriteItems(TopkWriter *writer)
{
	int64		done = 0;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, TOPK_PHASE_WRITE);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) writer->entries);

	writer->bucket_shift = BucketShift(writer->pages);
	while (topk_writer_step(writer))
		if ((++done & 0xFFF) == 0)
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, done);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, done);
}

/* Writes the chain of directory pages, and the meta page that leads there. */
static void
WriteDirectory(BuildState *state)
{
	TopkWriter *writer = &state->writer;
	BlockNumber first = writer->npages > 0 ? state->blocks : InvalidBlockNumber;
	BlockNumber last = InvalidBlockNumber;
	Page		page = (Page) writer->page.data;
	Buffer		buffer;
	TopkMeta   *meta;

	for (Size done = 0; done < writer->npages;)
	{
		Size		n = Min(writer->npages - done, TOPK_DIRECTORY_CAPACITY);
		BlockNumber next = done + n < writer->npages ? state->blocks + 1 : InvalidBlockNumber;

		topk_init_directory(page, writer->directory + done, n, next);
		last = AppendPage(writer, page);
		done += n;
	}

	buffer = ReadBuffer(writer->index, TOPK_META_BLOCK);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	meta = TopkPageMeta(BufferGetPage(buffer));
	meta->blocks = state->blocks;
	meta->bucket_shift = writer->bucket_shift;
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
	TopkWriter *writer;
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));

	/* Cannot happen: an index is built into a new file. */
	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data",
			 RelationGetRelationName(index));
	topk_check_opclass(index);

	context = AllocSetContextCreate(CurrentMemoryContext, "topk build",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	state = palloc0(sizeof(BuildState));
	writer = &state->writer;
	topk_writer_begin(writer, index, AppendPage);
	topk_init_meta((Page) writer->page.data);
	AppendPage(writer, (Page) writer->page.data);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, TOPK_PHASE_SCAN);
	result->heap_tuples = table_index_build_scan(heap, index, info, true, true,
												 PutRow, state, NULL);
	result->index_tuples = writer->entries;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, TOPK_PHASE_SORT);
	topk_writer_sort(writer);
	WriteItems(writer);
	WriteDirectory(state);
	topk_writer_end(writer);

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

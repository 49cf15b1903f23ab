/*
 * damage.c: what is read from the file of a topk index is looked at before it is
 * used.
 *
 * A page may be damaged by hardware, or by hand.  PostgreSQL's checksums find that,
 * where they are on; here is seen to it that nothing worse comes of it than an
 * error: each number that the code relies on, as a count, a place, a block, a kind
 * or a length, is of the range that it relies on, so that no memory is touched
 * beyond a page or an array, no page is locked twice, no chain followed for ever, and
 * no block read that is not there.
 *
 * A number that is wrong and yet may be right, of a norm or a code, cannot be told
 * from others by looking at it.  mf_index_check compares them with the table.
 *
 * What is checked when:
 *
 *	 a page			 whenever it is locked (topk_check_page): its header, which
 *					 generic WAL relies on too, its group and counts; if it is the
 *					 meta page, the meta page
 *	 the directory	 whenever a page of it is read whole (topk_check_directory), or
 *					 an entry of it is used: the entry, and the next block
 *	 an entry		 when a scan returns it, and when vacuum or packing takes it
 *					 from its page (topk_check_row, topk_check_tid, topk_check_code)
 */
#include "postgres.h"

#include <math.h>

#include "access/tableam.h"
#include "storage/smgr.h"
#include "utils/rel.h"

#include "compat.h"
#include "rank/topk.h"

void
topk_report_damage(Relation index, BlockNumber block, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" contains a corrupted page at block %u",
					RelationGetRelationName(index), block),
			 errdetail_internal("%s", detail),
			 errhint("Please REINDEX it.")));
}

/*
 * Has the table or index such a block?  The size that the storage manager saw last
 * will do, which asks the system nothing: while we hold its lock, it only grows.
 */
static bool
HasBlock(Relation relation, BlockNumber block)
{
	SMgrRelation smgr = relation->rd_smgr;

	if (smgr != NULL && smgr->smgr_cached_nblocks[MAIN_FORKNUM] != InvalidBlockNumber &&
		block < smgr->smgr_cached_nblocks[MAIN_FORKNUM])
		return true;
	return block < RelationGetNumberOfBlocks(relation);
}

/* Is it one that a page may be of, or an entry of the directory? */
static bool
GroupIsSound(TopkGroup group)
{
	int			length = TOPK_GROUP_LENGTH(group);

	if (group >> 30 != 0)
		return false;
	switch (TOPK_GROUP_KIND(group))
	{
		case TOPK_IRREGULAR:
			return true;
		case TOPK_CODED:
			return length > 0 && length <= CODE_MAX_LENGTH;
		case TOPK_ZERO:
			return length <= CODE_MAX_LENGTH && TOPK_GROUP_BUCKET(group) == 0;
		default:
			return length == 0 && TOPK_GROUP_BUCKET(group) == 0;
	}
}

/* Where a page of the group has the hole that generic WAL leaves out. */
static int
HoleOf(TopkGroup group, int capacity)
{
	int			entry = sizeof(ItemPointerData);

	if (TOPK_GROUP_KIND(group) >= TOPK_DIRECTORY)
		return BLCKSZ;
	if (TOPK_GROUP_KIND(group) == TOPK_CODED)
		entry += code_bytes(TOPK_GROUP_LENGTH(group)) + sizeof(CodeScalars);
	return TOPK_CONTENTS + capacity * entry;
}

static void
CheckMeta(Relation index, const TopkMeta *meta)
{
	BlockNumber first = meta->first_directory;
	BlockNumber last = meta->last_directory;
	bool		empty = first == InvalidBlockNumber && last == InvalidBlockNumber;

	if (meta->magic != TOPK_MAGIC)
		topk_report_damage(index, TOPK_META_BLOCK, "The meta page has another magic number.");
	if (meta->version != TOPK_VERSION)
		topk_report_damage(index, TOPK_META_BLOCK,
						   "The index was made by another version of factor.");
	if (meta->bucket_shift < TOPK_FINEST_SHIFT || meta->bucket_shift > TOPK_COARSEST_SHIFT)
		topk_report_damage(index, TOPK_META_BLOCK, "The meta page has buckets of another size.");
	if (meta->opens > TOPK_MAX_OPENS || meta->next_eviction >= TOPK_MAX_OPENS)
		topk_report_damage(index, TOPK_META_BLOCK, "The meta page lists too many open pages.");
	if (meta->blocks <= TOPK_META_BLOCK || meta->blocks > MaxBlockNumber ||
		!(empty || (first > TOPK_META_BLOCK && first < meta->blocks &&
					last > TOPK_META_BLOCK && last < meta->blocks)))
		topk_report_damage(index, TOPK_META_BLOCK,
						   "The meta page leads to a directory that is not there.");
}

/*
 * A page that was never written, or not by this access method, must not be taken
 * for one.  The meta page is at its place, and nowhere else.
 */
void
topk_check_page(Relation index, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	PageHeader	header = (PageHeader) page;
	BlockNumber block = BufferGetBlockNumber(buffer);
	TopkOpaque *opaque = TopkPageOpaque(page);

	if (PageIsNew(page) || PageGetPageSize(page) != BLCKSZ ||
		header->pd_special != BLCKSZ || header->pd_upper != BLCKSZ ||
		opaque->page_id != TOPK_PAGE_ID)
		topk_report_damage(index, block, "It is no page of an index of this kind.");
	if (!GroupIsSound(opaque->group) ||
		TOPK_GROUP_KIND(opaque->group) == TOPK_RESERVED ||
		opaque->capacity != topk_capacity(opaque->group) ||
		opaque->count > opaque->capacity ||
		(opaque->group == TOPK_FREE ? header->pd_lower < TOPK_CONTENTS :
		 header->pd_lower != HoleOf(opaque->group, opaque->capacity)))
		topk_report_damage(index, block, "Its header contradicts itself.");
	if ((TOPK_GROUP_KIND(opaque->group) == TOPK_META) != (block == TOPK_META_BLOCK))
		topk_report_damage(index, block, "It is of the wrong kind.");
	if (block == TOPK_META_BLOCK)
		CheckMeta(index, TopkPageMeta(page));
}

/* Reads and locks a page, and sees to it that it is one of ours. */
Buffer
topk_read(Relation index, BlockNumber block, int lock)
{
	Buffer		buffer;

	if (!HasBlock(index, block))
		topk_report_damage(index, block, "It lies beyond the end of the index.");
	buffer = ReadBuffer(index, block);
	LockBuffer(buffer, lock);
	topk_check_page(index, buffer);
	return buffer;
}

/* The same of a page of the directory. */
Buffer
topk_read_directory(Relation index, BlockNumber block, int lock)
{
	Buffer		buffer = topk_read(index, block, lock);

	if (TOPK_GROUP_KIND(TopkPageOpaque(BufferGetPage(buffer))->group) != TOPK_DIRECTORY)
		topk_report_damage(index, block, "It is not a page of the directory.");
	return buffer;
}

/*
 * Checks where the chain of the directory goes on from a locked page.  No page but
 * the last has room, so a chain cannot be long; who follows one gives the count of
 * its pages, from 0, that a circle be found.
 */
void
topk_check_chain(Relation index, Buffer buffer, BlockNumber *pages)
{
	BlockNumber block = BufferGetBlockNumber(buffer);
	TopkOpaque *opaque = TopkPageOpaque(BufferGetPage(buffer));

	if (TOPK_GROUP_KIND(opaque->group) != TOPK_DIRECTORY)
		topk_report_damage(index, block, "It is not a page of the directory.");
	if (opaque->next == InvalidBlockNumber)
		return;
	if (opaque->next == TOPK_META_BLOCK || !HasBlock(index, opaque->next))
		topk_report_damage(index, block, "It leads to a page that is not there.");
	if (++*pages > RelationGetNumberOfBlocks(index) / TOPK_DIRECTORY_CAPACITY + 1)
		topk_report_damage(index, block, "The chain of the directory has no end.");
}

/*
 * Checks an entry of a locked page of the directory.  It does not lead to that page,
 * as who holds this one's lock may take that one's.
 */
void
topk_check_entry(Relation index, Buffer buffer, int i)
{
	const TopkDirEntry *entry = TopkPageEntries(BufferGetPage(buffer)) + i;
	BlockNumber block = BufferGetBlockNumber(buffer);
	TopkGroup	group = entry->group & ~TOPK_ROOM;
	TopkKind	kind = TOPK_GROUP_KIND(group);
	bool		sound;
	float4		low;
	float4		high;

	sound = entry->block != TOPK_META_BLOCK && entry->block != block &&
		GroupIsSound(group) && kind != TOPK_DIRECTORY && kind != TOPK_META &&
		!((entry->group & TOPK_ROOM) && (kind == TOPK_FREE || kind == TOPK_RESERVED)) &&
		HasBlock(index, entry->block);
	if (sound && kind == TOPK_CODED)
	{
		topk_bucket_range(group, TOPK_COARSEST_SHIFT, &low, &high);
		sound = entry->norm_low >= low && entry->norm_low <= entry->norm_high &&
			entry->norm_high <= high;
	}
	if (!sound)
		topk_report_damage(index, block, "An entry of the directory cannot be right.");
}

/* Both, of all entries. */
void
topk_check_directory(Relation index, Buffer buffer, BlockNumber *pages)
{
	topk_check_chain(index, buffer, pages);
	for (int i = 0; i < TopkPageOpaque(BufferGetPage(buffer))->count; i++)
		topk_check_entry(index, buffer, i);
}

/* A row's place, as a page has it. */
void
topk_check_tid(Relation index, BlockNumber block, const ItemPointerData *tid)
{
	if (!ItemPointerIsValid(tid) ||
		!BlockNumberIsValid(ItemPointerGetBlockNumberNoCheck(tid)))
		topk_report_damage(index, block, "An entry points to no row.");
}

/*
 * A row's place must be in the table, of which no rows can be cut off while its lock
 * is held.  Of other kinds of tables than heaps, the place says nothing of blocks.
 */
void
topk_check_row(Relation index, BlockNumber block, Relation heap,
			   const ItemPointerData *tid)
{
	topk_check_tid(index, block, tid);
	if (!HasBlock(heap, ItemPointerGetBlockNumberNoCheck(tid)) &&
		heap->rd_tableam == GetHeapamTableAmRoutine())
		topk_report_damage(index, block, "An entry points to a row beyond the table's end.");
}

/* The numbers beside a code, on a page of its group. */
void
topk_check_code(Relation index, BlockNumber block, TopkGroup group,
				float4 norm, float4 scale, float4 error)
{
	float4		low;
	float4		high;

	topk_bucket_range(group, TOPK_COARSEST_SHIFT, &low, &high);
	if (!(norm >= low && norm <= high) || !(scale > 0 && isfinite(scale)) ||
		!(error > 0 && isfinite(error)))
		topk_report_damage(index, block, "An entry has a norm, a scale or an error that cannot be.");
}

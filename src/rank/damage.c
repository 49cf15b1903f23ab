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
 *	 the directory	 whenever a page of it is read whole (topk_check_directory):
 *					 each entry, and the next block
 *	 an entry		 when a scan, vacuum or packing takes it from its page
 *					 (topk_check_tid, topk_check_code)
 */
#include "postgres.h"

#include <math.h>

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
 * Sees to it that a block is there.  The size that the storage manager saw last
 * will do, which asks the system nothing: an index only grows.
 */
static void
CheckBlock(Relation index, BlockNumber block)
{
	SMgrRelation smgr = index->rd_smgr;

	if (smgr != NULL && smgr->smgr_cached_nblocks[MAIN_FORKNUM] != InvalidBlockNumber &&
		block < smgr->smgr_cached_nblocks[MAIN_FORKNUM])
		return;
	if (block >= RelationGetNumberOfBlocks(index))
		topk_report_damage(index, block, "It lies beyond the end of the index.");
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
HoleOf(TopkGroup group)
{
	int			entry = sizeof(ItemPointerData);

	if (TOPK_GROUP_KIND(group) >= TOPK_DIRECTORY)
		return BLCKSZ;
	if (TOPK_GROUP_KIND(group) == TOPK_CODED)
		entry += code_bytes(TOPK_GROUP_LENGTH(group)) + sizeof(CodeScalars);
	return TOPK_CONTENTS + topk_capacity(group) * entry;
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
		 header->pd_lower != HoleOf(opaque->group)))
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

	CheckBlock(index, block);
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

/* An entry of the directory page at a block, in an index of so many blocks. */
static bool
EntryIsSound(const TopkDirEntry *entry, BlockNumber block, BlockNumber blocks)
{
	TopkGroup	group = entry->group & ~TOPK_ROOM;
	TopkKind	kind = TOPK_GROUP_KIND(group);
	float4		low;
	float4		high;

	if (entry->block == TOPK_META_BLOCK || entry->block >= blocks ||
		entry->block == block || !GroupIsSound(group) ||
		kind == TOPK_DIRECTORY || kind == TOPK_META)
		return false;
	if (entry->group & TOPK_ROOM)
	{
		if (kind == TOPK_FREE || kind == TOPK_RESERVED)
			return false;
	}
	if (kind != TOPK_CODED)
		return true;
	topk_bucket_range(group, TOPK_COARSEST_SHIFT, &low, &high);
	return entry->norm_low >= low && entry->norm_low <= entry->norm_high &&
		entry->norm_high <= high;
}

/*
 * Checks a locked page of the directory: every entry, and where the chain goes on.
 * No page of a chain but the last has room, so it cannot be long; who follows one
 * gives the count of its pages, from 0, that a circle be found.
 */
void
topk_check_directory(Relation index, Buffer buffer, BlockNumber *pages)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber block = BufferGetBlockNumber(buffer);
	BlockNumber blocks = RelationGetNumberOfBlocks(index);
	TopkOpaque *opaque = TopkPageOpaque(page);

	if (TOPK_GROUP_KIND(opaque->group) != TOPK_DIRECTORY)
		topk_report_damage(index, block, "It is not a page of the directory.");
	if (opaque->next != InvalidBlockNumber &&
		(opaque->next == TOPK_META_BLOCK || opaque->next >= blocks))
		topk_report_damage(index, block, "It leads to a page that is not there.");
	if (++*pages > blocks / TOPK_DIRECTORY_CAPACITY + 2)
		topk_report_damage(index, block, "The chain of the directory has no end.");
	for (int i = 0; i < opaque->count; i++)
		if (!EntryIsSound(&TopkPageEntries(page)[i], block, blocks))
			topk_report_damage(index, block, "An entry of the directory cannot be right.");
}

/* A row's place, in a page's array; the heap's end is for others to look at. */
void
topk_check_tid(Relation index, BlockNumber block, ItemPointer tid)
{
	if (!ItemPointerIsValid(tid) ||
		!BlockNumberIsValid(ItemPointerGetBlockNumberNoCheck(tid)))
		topk_report_damage(index, block, "An entry points to no row.");
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

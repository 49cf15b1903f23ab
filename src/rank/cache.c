/*
 * cache.c: what a backend remembers of a topk index, to find pages fast.
 *
 * Two things, in the one piece of memory that relcache keeps for an index and
 * frees when the index changes hands:
 *
 *	 the page table	 the directory, and its pages of codes of one length in
 *					 decreasing order of norm, as scans by inner product read them
 *	 the buffers	 where each block was the last time
 *
 * A scan by inner product reads a few hundred pages of ten thousand.  To read
 * the whole directory for that, and to sort it once inserts have left it in no
 * order, took a third of the scan's time (right after all rows were rewritten).
 * So the meta page counts the directory's changes, under the lock that these
 * need anyway, and who finds the count that he knows has nothing to read.  He
 * who does not, builds the table anew, which costs what every scan would
 * without it.
 *
 * The table may be newer than its count says, as it is read after that, and
 * never older.  It goes away with any invalidation of the index, so a scan takes
 * what it needs from it at once and keeps no pointer.
 *
 * Only one length, because nearly all indexes have one; a query of another
 * builds the table anew too.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "rank/cache.h"

typedef struct IndexCache
{
	BlockNumber blocks;			/* of which there are buffers */
	Size		table_size;		/* 0: there is none */
	Buffer		buffers[FLEXIBLE_ARRAY_MEMBER];
} IndexCache;

/* Digits of the radix sort; three make the upper half of a key */
#define DIGIT_BITS	11
#define DIGITS		(1 << DIGIT_BITS)

static Size
TableOffset(BlockNumber blocks)
{
	return MAXALIGN(add_size(offsetof(IndexCache, buffers),
							 mul_size(blocks, sizeof(Buffer))));
}

static TopkPageTable *
CachedTable(IndexCache *cache)
{
	if (cache == NULL || cache->table_size == 0)
		return NULL;
	return (TopkPageTable *) ((char *) cache + TableOffset(cache->blocks));
}

/* Replaces the cache by one for so many blocks and with this table. */
static IndexCache *
Replace(Relation index, BlockNumber blocks, const void *table, Size table_size)
{
	IndexCache *old = (IndexCache *) index->rd_amcache;
	Size		offset = TableOffset(blocks);
	IndexCache *cache = MemoryContextAllocHuge(index->rd_indexcxt,
											   add_size(offset, table_size));

	memset(cache, 0, offset);
	cache->blocks = blocks;
	cache->table_size = table_size;
	if (old != NULL)
		memcpy(cache->buffers, old->buffers, Min(blocks, old->blocks) * sizeof(Buffer));
	if (table_size > 0)
		memcpy((char *) cache + offset, table, table_size);
	index->rd_amcache = cache;
	if (old != NULL)
		pfree(old);
	return cache;
}

/* The place for a block's buffer, or NULL where none is to be had. */
static Buffer *
RecentBuffer(Relation index, BlockNumber block)
{
	IndexCache *cache = (IndexCache *) index->rd_amcache;

	if (cache == NULL || block >= cache->blocks)
	{
		BlockNumber blocks = RelationGetNumberOfBlocks(index);

		if (block >= blocks)
			return NULL;
		cache = Replace(index, blocks, CachedTable(cache),
						cache == NULL ? 0 : cache->table_size);
	}
	return &cache->buffers[block];
}

/*
 * Pins a page, by the buffer that it was in the last time if it still is. That
 * saves the look into the shared hash table of buffers, which costs a scan of
 * many pages as much as reading them.
 */
Buffer
topk_pin(Relation index, BlockNumber block)
{
	Buffer	   *recent = RecentBuffer(index, block);
	Buffer		buffer;

	if (recent != NULL && BufferIsValid(*recent) &&
		ReadRecentBuffer(index->rd_locator, MAIN_FORKNUM, block, *recent))
	{
		pgstat_count_buffer_read(index);
		pgstat_count_buffer_hit(index);
		return *recent;
	}
	buffer = ReadBuffer(index, block);
	if (recent != NULL)
		*recent = buffer;
	return buffer;
}

/*
 * Fetches into the processor's cache what pinning a page will touch, the page's
 * head, and its middle, because each of its two halves has an address to be
 * translated: pages in the order of norms lie anywhere once inserts have added
 * some.  The buffer may hold another page by now; no harm done.
 */
void
topk_prefetch(Relation index, BlockNumber block)
{
	IndexCache *cache = (IndexCache *) index->rd_amcache;
	Buffer		buffer;

	if (cache == NULL || block >= cache->blocks)
		return;
	buffer = cache->buffers[block];
	if (BufferIsInvalid(buffer) || BufferIsLocal(buffer))
		return;
	prefetch_memory(GetBufferDescriptor(buffer - 1));
	prefetch_memory(BufferGetPage(buffer));
	prefetch_memory((char *) BufferGetPage(buffer) + BLCKSZ / 2);
}

/*
 * Sorts keys by their upper halves, equal ones as they were: digit by digit from
 * the last to the first, passing over those that all have in common.
 */
void
topk_sort_keys(PageKey *keys, Size n)
{
	PageKey    *from = keys;
	PageKey    *spare = MemoryContextAllocHuge(CurrentMemoryContext,
											   mul_size(n, sizeof(PageKey)));
	PageKey    *to = spare;

	for (int shift = 32; shift < 64; shift += DIGIT_BITS)
	{
		Size		places[DIGITS] = {0};
		Size		before = 0;
		PageKey    *swap = from;

		for (Size i = 0; i < n; i++)
			places[from[i] >> shift & (DIGITS - 1)]++;
		if (places[from[0] >> shift & (DIGITS - 1)] == n)
			continue;
		for (int digit = 0; digit < DIGITS; digit++)
		{
			Size		count = places[digit];

			places[digit] = before;
			before += count;
		}
		for (Size i = 0; i < n; i++)
			to[places[from[i] >> shift & (DIGITS - 1)]++] = from[i];
		from = to;
		to = swap;
	}
	if (from != keys)
		memcpy(keys, from, n * sizeof(PageKey));
	pfree(spare);
}

/* The directory's entries but the free ones, read until one epoch has all. */
static TopkDirEntry *
ReadDirectory(Relation index, Snapshot snapshot, uint32 *epoch, uint32 *changes, Size *n)
{
	Size		allocated = TOPK_DIRECTORY_CAPACITY;
	TopkDirEntry *entries = palloc(allocated * sizeof(TopkDirEntry));
	BlockNumber next;
	bool		valid = true;

	*epoch = 0;
	do
	{
		BlockNumber pages = 0;
		uint32		before = *epoch;

		*epoch = topk_first_entries(index, snapshot, &next, changes);
		if (!valid && *epoch == before)
			topk_report_damage(index, next, "The directory is of an epoch that has not begun.");
		*n = 0;
		valid = true;
		while (valid && next != InvalidBlockNumber)
		{
			TopkDirEntry *part;
			int			count;

			CHECK_FOR_INTERRUPTS();
			if (allocated - *n < TOPK_DIRECTORY_CAPACITY)
			{
				allocated *= 2;
				entries = repalloc_huge(entries, mul_size(allocated, sizeof(TopkDirEntry)));
			}
			part = entries + *n;
			valid = topk_next_entries(index, *epoch, &next, &pages, part, &count);
			for (int i = 0; valid && i < count; i++)
				if (TOPK_GROUP_KIND(part[i].group) != TOPK_FREE &&
					TOPK_GROUP_KIND(part[i].group) < TOPK_DIRECTORY)
				{
					entries[*n] = part[i];
					entries[*n].group &= ~TOPK_ROOM;
					(*n)++;
				}
		}
	} while (!valid);
	return entries;
}

/* Builds the table for a length and puts it into the cache. */
static const TopkPageTable *
BuildTable(Relation index, Snapshot snapshot, int length)
{
	uint32		epoch;
	uint32		changes;
	Size		n;
	TopkDirEntry *entries = ReadDirectory(index, snapshot, &epoch, &changes, &n);
	Size		size = add_size(sizeof(TopkPageTable),
								mul_size(n, sizeof(TopkDirEntry) + sizeof(PageKey)));
	TopkPageTable *table = MemoryContextAllocHuge(CurrentMemoryContext, size);
	PageKey    *keys = topk_table_keys(table);
	IndexCache *cache;
	bool		sorted = true;

	table->epoch = epoch;
	table->changes = changes;
	table->length = length;
	table->n = n;
	table->nkeys = 0;
	for (Size i = 0; i < n; i++)
		if (TOPK_GROUP_KIND(entries[i].group) == TOPK_CODED &&
			TOPK_GROUP_LENGTH(entries[i].group) == length)
		{
			keys[table->nkeys] = topk_norm_key(entries[i].block, entries[i].norm_high);
			if (table->nkeys > 0 && keys[table->nkeys] >> 32 < keys[table->nkeys - 1] >> 32)
				sorted = false;
			table->nkeys++;
		}
	if (!sorted)
		topk_sort_keys(keys, table->nkeys);
	memcpy(topk_table_entries(table), entries, n * sizeof(TopkDirEntry));
	pfree(entries);

	cache = (IndexCache *) index->rd_amcache;
	cache = Replace(index, cache == NULL ? 0 : cache->blocks, table, size);
	pfree(table);
	return CachedTable(cache);
}

/*
 * The pages there are, those of codes of a length in order.  The pointer is good
 * until the next call of any function that might let in an invalidation, or of
 * one of this file.
 */
const TopkPageTable *
topk_page_table(Relation index, Snapshot snapshot, int length)
{
	const TopkPageTable *table = CachedTable((IndexCache *) index->rd_amcache);
	BlockNumber next;
	uint32		changes;
	uint32		epoch;

	if (table == NULL || table->length != length)
		return BuildTable(index, snapshot, length);
	epoch = topk_first_entries(index, snapshot, &next, &changes);
	table = CachedTable((IndexCache *) index->rd_amcache);
	if (table == NULL || table->epoch != epoch || table->changes != changes)
		return BuildTable(index, snapshot, length);
	return table;
}

/*
 * pack.c: putting the entries of later rows in order of their norms.
 *
 * Inserts fill pages that have a whole bucket's range of norms, taken from
 * wherever there was room.  Once all rows were rewritten, as they are when a
 * model is trained again, a scan finds all entries on such pages: somewhat more
 * of them than it had to read before, and no two neighbours in its order are
 * neighbours in the file, hence in memory.  The latter is what costs (measured:
 * half as much time again): the way to 8 kB somewhere in the buffer pool misses
 * the processor's page tables, where the way to the next 8 kB does not.
 *
 * So vacuum, when it finds many loose pages (late ones, and those with room),
 * sorts their entries anew onto full pages with narrow ranges, in blocks that
 * follow each other.  It locks out nobody:
 *
 *	 1. Of each loose page, the directory's promise of room goes, and the page is
 *		sealed, so that no insert adds to it after it has been read.  Nothing
 *		else could change it: only vacuum removes entries, and there is but one
 *		vacuum of a table at a time.
 *	 2. As many free pages, or new ones, are reserved in the directory.
 *	 3. The entries of the sealed pages go through the sort (writer.c) onto
 *		reserved pages, which nobody reads.
 *	 4. Under the exclusive lock of the meta page a new directory is written,
 *		to reserved pages too: of all pages, inserts' new ones included, in the
 *		order of norms, with the sealed ones as free.  Then one record of the
 *		meta page makes it the directory and counts up the epoch.
 *	 5. The sealed pages and the old directory's are cleared.
 *
 * A crash or an error before step 4 ends leaves the index as it was, with some
 * pages sealed and some reserved; after it, with free pages that are not empty.
 * The next vacuum mends either.  At any time an entry is found once by who goes
 * by one directory.
 *
 * A scan goes by the directory that it read.  The pages that it knows stay as
 * they were until they are cleared or used again, and then say so by an epoch
 * later than the scan's.  The scan begins again with the new directory, and goes
 * on after what it has returned, because its order, (bound, TID), depends on the
 * entry and not on where it lies (search.c).  So nothing waits for scans to end,
 * and on a standby, where the records arrive in the same order, the same holds.
 *
 * Rejected: to merge pages in place, bucket by bucket.  Entries would move
 * between pages that scans read one after the other, so that each scan had to
 * lock the whole bucket or check every page twice; and the pages would be in
 * order, but not next to each other.
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "rank/writer.h"

/* Loose pages are left alone up to this share of all, and two for a bucket. */
#define LOOSE_FRACTION	8
#define LOOSE_PER_BUCKET	2

/* Pages reserved beyond those known to be needed, for the directory to grow */
#define SPARE_PAGES		8

/* What becomes of a block when the new directory takes over */
typedef enum Role
{
	ROLE_KEPT,
	ROLE_SOURCE,				/* its entries have been moved: free */
	ROLE_TARGET					/* was reserved, and holds something now */
} Role;

typedef struct PackState
{
	TopkWriter	writer;			/* first, so that PutPage finds the rest */
	IndexVacuumInfo *info;
	uint32		bucket_shift;
	uint32		epoch;			/* of the directory that will take over */

	BlockNumber *sources;		/* loose pages */
	Size		nsources;
	Size		wanted;			/* of them */
	BlockNumber *reserved;
	Size		nreserved;
	Size		needed;			/* of them */
	Size		used;			/* of them */

	uint8	   *roles;			/* a Role for each of so many blocks */
	BlockNumber blocks;
} PackState;

/* The directory in memory */
typedef struct Directory
{
	TopkDirEntry *entries;
	Size		n;
	Size		allocated;
	BlockNumber *blocks;		/* that it lies on */
	Size		nblocks;
} Directory;

static void
AppendEntry(Directory *directory, TopkDirEntry entry)
{
	if (directory->n == directory->allocated)
	{
		directory->allocated = Max(directory->allocated * 2, 1024);
		if (directory->entries == NULL)
			directory->entries = palloc(directory->allocated * sizeof(TopkDirEntry));
		else
			directory->entries = repalloc_huge(directory->entries,
											   mul_size(directory->allocated, sizeof(TopkDirEntry)));
	}
	directory->entries[directory->n++] = entry;
}

/* Reads the chain that begins at a block; none but vacuum can replace it. */
static void
ReadDirectory(Relation index, BlockNumber next, uint32 epoch, Directory *directory)
{
	TopkDirEntry *entries = palloc(TOPK_DIRECTORY_CAPACITY * sizeof(TopkDirEntry));
	Size		allocated = 64;
	BlockNumber pages = 0;

	memset(directory, 0, sizeof(Directory));
	directory->blocks = palloc(allocated * sizeof(BlockNumber));
	while (next != InvalidBlockNumber)
	{
		int			count;

		if (directory->nblocks == allocated)
		{
			allocated *= 2;
			directory->blocks = repalloc(directory->blocks, allocated * sizeof(BlockNumber));
		}
		directory->blocks[directory->nblocks++] = next;
		if (!topk_next_entries(index, epoch, &next, &pages, entries, &count))
			topk_report_damage(index, next, "It is of an epoch that has not begun.");
		for (int i = 0; i < count; i++)
			AppendEntry(directory, entries[i]);
	}
	pfree(entries);
}

/* A page of entries in no order, or with room. */
static bool
IsLoose(const PackState *state, const TopkDirEntry *entry)
{
	float4		low;
	float4		high;

	if (TOPK_GROUP_KIND(entry->group) != TOPK_CODED)
		return false;
	if (entry->group & TOPK_ROOM)
		return true;
	topk_bucket_range(entry->group, state->bucket_shift, &low, &high);
	return entry->norm_low == low && entry->norm_high == high;
}

static int
CompareNumbers(const void *a, const void *b)
{
	uint32		x = *(const uint32 *) a;
	uint32		y = *(const uint32 *) b;

	return (x > y) - (x < y);
}

/*
 * Counts the loose pages: are there many more than inserts keep open, and than
 * a build leaves?
 */
static bool
IsWorthwhile(PackState *state, const Directory *directory)
{
	uint32	   *groups = MemoryContextAllocHuge(CurrentMemoryContext,
												mul_size(directory->n + 1, sizeof(uint32)));
	Size		coded = 0;
	Size		buckets = 0;

	for (Size i = 0; i < directory->n; i++)
	{
		const TopkDirEntry *entry = &directory->entries[i];

		if (TOPK_GROUP_KIND(entry->group) != TOPK_CODED)
			continue;
		groups[coded++] = entry->group & ~TOPK_ROOM;
		state->wanted += IsLoose(state, entry);
	}
	qsort(groups, coded, sizeof(uint32), CompareNumbers);
	for (Size i = 0; i < coded; i++)
		buckets += i == 0 || groups[i] != groups[i - 1];
	pfree(groups);
	return state->wanted > LOOSE_PER_BUCKET * buckets + coded / LOOSE_FRACTION;
}

/*
 * Takes loose and free pages from a page of the directory, as many as are
 * wanted yet; returns the next one.  Loose pages cease to be offered to inserts.
 */
static BlockNumber
TakePages(PackState *state, BlockNumber block, BlockNumber *pages)
{
	Relation	index = state->info->index;
	Buffer		meta_buffer = topk_read(index, TOPK_META_BLOCK, BUFFER_LOCK_EXCLUSIVE);
	Buffer		buffer = topk_read(index, block, BUFFER_LOCK_EXCLUSIVE);
	GenericXLogState *xlog;
	TopkMeta   *meta;
	Page		page;
	BlockNumber next;

	topk_check_directory(index, buffer, pages);
	xlog = GenericXLogStart(index);
	meta = TopkPageMeta(GenericXLogRegisterBuffer(xlog, meta_buffer, 0));
	page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	next = TopkPageOpaque(page)->next;
	for (int i = 0; i < TopkPageOpaque(page)->count; i++)
	{
		TopkDirEntry *entry = TopkPageEntries(page) + i;
		TopkKind	kind = TOPK_GROUP_KIND(entry->group);

		if (kind == TOPK_FREE || kind == TOPK_RESERVED)
		{
			if (state->nreserved == state->needed)
				continue;
			meta->free -= kind == TOPK_FREE;
			entry->group = TOPK_GROUP(TOPK_RESERVED, 0, 0);
			state->reserved[state->nreserved++] = entry->block;
		}
		else if (IsLoose(state, entry) && state->nsources < state->wanted)
		{
			topk_forget_open(meta, entry->block);
			entry->group &= ~TOPK_ROOM;
			state->sources[state->nsources++] = entry->block;
		}
	}
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(meta_buffer);
	return next;
}

/* Steps 1 and 2, all but the pages' own seals. */
static void
Reserve(PackState *state, const Directory *directory)
{
	Relation	index = state->info->index;
	BlockNumber block = directory->blocks[0];
	BlockNumber pages = 0;

	state->needed = state->wanted + SPARE_PAGES +
		(directory->n + directory->nblocks + state->wanted) / TOPK_DIRECTORY_CAPACITY;
	state->sources = MemoryContextAllocHuge(CurrentMemoryContext,
											mul_size(state->wanted, sizeof(BlockNumber)));
	state->reserved = MemoryContextAllocHuge(CurrentMemoryContext,
											 mul_size(state->needed, sizeof(BlockNumber)));
	while (block != InvalidBlockNumber)
	{
		vacuum_delay_point(false);
		block = TakePages(state, block, &pages);
	}
	while (state->nreserved < state->needed)
	{
		vacuum_delay_point(false);
		state->reserved[state->nreserved++] = topk_reserve_page(index);
	}
	qsort(state->reserved, state->nreserved, sizeof(BlockNumber), CompareNumbers);
	qsort(state->sources, state->nsources, sizeof(BlockNumber), CompareNumbers);

	state->blocks = RelationGetNumberOfBlocks(index);
	state->roles = MemoryContextAllocExtended(CurrentMemoryContext, state->blocks,
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (Size i = 0; i < state->nsources; i++)
		state->roles[state->sources[i]] = ROLE_SOURCE;
}

/* Seals a loose page and copies it. */
static void
SealPage(PackState *state, BlockNumber block, Page copy)
{
	Relation	index = state->info->index;
	Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block,
											RBM_NORMAL, state->info->strategy);
	TopkOpaque *opaque = TopkPageOpaque(BufferGetPage(buffer));

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	topk_check_page(index, buffer);
	if (opaque->count < opaque->capacity && !opaque->sealed)
	{
		GenericXLogState *xlog = GenericXLogStart(index);

		TopkPageOpaque(GenericXLogRegisterBuffer(xlog, buffer, 0))->sealed = true;
		GenericXLogFinish(xlog);
	}
	memcpy(copy, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
}

/* Gives the entries of the loose pages to the sort. */
static void
ReadSources(PackState *state)
{
	TopkWriter *writer = &state->writer;
	TopkItem   *item = &writer->item;
	PGAlignedBlock copy;

	for (Size i = 0; i < state->nsources; i++)
	{
		TopkOpaque *opaque = TopkPageOpaque(copy.data);
		TopkParts	parts;

		vacuum_delay_point(false);
		SealPage(state, state->sources[i], (Page) copy.data);
		if (TOPK_GROUP_KIND(opaque->group) != TOPK_CODED)
			topk_report_damage(writer->index, state->sources[i],
							   "The directory has it in another group.");
		parts = topk_parts((Page) copy.data);
		for (int j = 0; j < opaque->count; j++)
		{
			topk_check_tid(writer->index, state->sources[i], &parts.tids[j]);
			topk_check_code(writer->index, state->sources[i], opaque->group,
							parts.norm[j], parts.scale[j], parts.error[j]);
			item->group = opaque->group;
			item->tid = parts.tids[j];
			item->scalars.norm = parts.norm[j];
			item->scalars.scale = parts.scale[j];
			item->scalars.error = parts.error[j];
			code_get(parts.codes, opaque->capacity,
					 TOPK_GROUP_LENGTH(opaque->group), j, item->bytes);
			topk_writer_put(writer);
		}
	}
}

/* Writes a page to the next reserved block. */
static BlockNumber
PutPage(TopkWriter *writer, Page page)
{
	PackState  *state = (PackState *) writer;
	Relation	index = writer->index;
	BlockNumber block;
	Buffer		buffer;
	GenericXLogState *xlog;
	Page		target;

	/* as many were reserved as the entries can fill */
	if (state->used == state->nreserved)
		topk_report_damage(index, TOPK_META_BLOCK,
						   "The directory has fewer entries than its pages.");
	block = state->reserved[state->used++];
	state->roles[block] = ROLE_TARGET;

	buffer = topk_read(index, block, BUFFER_LOCK_EXCLUSIVE);
	xlog = GenericXLogStart(index);
	target = GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE);
	TopkPageOpaque(page)->removals = TopkPageOpaque(target)->removals + 1;
	TopkPageOpaque(page)->epoch = state->epoch;
	memcpy(target, page, BLCKSZ);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
	return block;
}

/*
 * The order of the directory: by kind, length and decreasing norm, so that the
 * inner product finds the pages in the order of its bounds; free ones last, in
 * that of the file, so that they are taken in that order.
 */
static int
CompareEntries(const void *a, const void *b)
{
	const TopkDirEntry *x = (const TopkDirEntry *) a;
	const TopkDirEntry *y = (const TopkDirEntry *) b;
	TopkKind	x_kind = TOPK_GROUP_KIND(x->group);
	TopkKind	y_kind = TOPK_GROUP_KIND(y->group);

	if (x_kind != y_kind)
		return x_kind == TOPK_FREE ? 1 : y_kind == TOPK_FREE ? -1 : (int) x_kind - (int) y_kind;
	if (x_kind == TOPK_CODED)
	{
		if (TOPK_GROUP_LENGTH(x->group) != TOPK_GROUP_LENGTH(y->group))
			return TOPK_GROUP_LENGTH(x->group) - TOPK_GROUP_LENGTH(y->group);
		if (x->norm_high != y->norm_high)
			return x->norm_high > y->norm_high ? -1 : 1;
		if (x->norm_low != y->norm_low)
			return x->norm_low > y->norm_low ? -1 : 1;
	}
	return (x->block > y->block) - (x->block < y->block);
}

/* What the new directory is to say, by what the present one does. */
static void
FormDirectory(PackState *state, const Directory *present, Directory *formed)
{
	memset(formed, 0, sizeof(Directory));
	for (Size i = 0; i < present->n; i++)
	{
		TopkDirEntry entry = present->entries[i];
		Role		role = entry.block < state->blocks ? state->roles[entry.block] : ROLE_KEPT;

		if (role == ROLE_TARGET)
			continue;
		if (role == ROLE_SOURCE || TOPK_GROUP_KIND(entry.group) == TOPK_RESERVED)
			entry = (TopkDirEntry)
		{
			entry.block, TOPK_FREE, 0, 0
		};
		AppendEntry(formed, entry);
	}
	for (Size i = 0; i < present->nblocks; i++)
		AppendEntry(formed, (TopkDirEntry)
					{
						present->blocks[i], TOPK_FREE, 0, 0
					});
	for (Size i = 0; i < state->writer.npages; i++)
		AppendEntry(formed, state->writer.directory[i]);
	qsort(formed->entries, formed->n, sizeof(TopkDirEntry), CompareEntries);
}

/* Writes the new directory to reserved pages; false if there are too few. */
static bool
WriteDirectory(PackState *state, const Directory *present, Directory *formed)
{
	Size		first = state->used;
	Size		all = present->n + present->nblocks;
	Size		pages = (all + TOPK_DIRECTORY_CAPACITY) / (TOPK_DIRECTORY_CAPACITY + 1);
	PGAlignedBlock page;

	/* it has all these blocks, but not its own */

	if (state->nreserved - state->used < pages)
		return false;
	for (Size i = 0; i < pages; i++)
		state->roles[state->reserved[first + i]] = ROLE_TARGET;
	FormDirectory(state, present, formed);
	for (Size i = 0; i < pages; i++)
	{
		Size		done = i * TOPK_DIRECTORY_CAPACITY;

		topk_init_directory((Page) page.data, formed->entries + done,
							Min(formed->n - done, TOPK_DIRECTORY_CAPACITY),
							i + 1 < pages ? state->reserved[first + i + 1] : InvalidBlockNumber);
		PutPage(&state->writer, (Page) page.data);
	}
	formed->blocks = state->reserved + first;
	formed->nblocks = pages;
	return true;
}

/*
 * Step 4.  Inserts wait for it if they want to know the open page of a group,
 * and scans if they begin: some milliseconds for an index of a gigabyte.
 */
static bool
Switch(PackState *state, Directory *present)
{
	Relation	index = state->info->index;
	Buffer		meta_buffer = topk_read(index, TOPK_META_BLOCK, BUFFER_LOCK_EXCLUSIVE);
	TopkMeta   *meta = TopkPageMeta(BufferGetPage(meta_buffer));
	Directory	formed;
	bool		done;

	ReadDirectory(index, meta->first_directory, meta->epoch, present);
	done = WriteDirectory(state, present, &formed);
	if (done)
	{
		GenericXLogState *xlog = GenericXLogStart(index);

		meta = TopkPageMeta(GenericXLogRegisterBuffer(xlog, meta_buffer, 0));
		meta->first_directory = formed.blocks[0];
		meta->last_directory = formed.blocks[formed.nblocks - 1];
		meta->free = 0;
		for (Size i = 0; i < formed.n; i++)
			meta->free += formed.entries[i].group == TOPK_FREE;
		meta->epoch = state->epoch;
		meta->changes++;
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(meta_buffer);
	return done;
}

/*
 * Clears a page that the directory has as free.  With an epoch, only if it has
 * had no use since that began.
 */
void
topk_clear_page(Relation index, BlockNumber block, uint32 epoch, bool if_older)
{
	Buffer		buffer = topk_read(index, block, BUFFER_LOCK_EXCLUSIVE);
	TopkOpaque *opaque = TopkPageOpaque(BufferGetPage(buffer));

	if (!if_older || opaque->epoch < epoch)
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		uint32		removals = opaque->removals;
		uint32		since = Max(opaque->epoch, epoch);
		Page		page = GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE);

		topk_init_page(page, TOPK_FREE);
		TopkPageOpaque(page)->removals = removals + 1;
		TopkPageOpaque(page)->epoch = since;
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(buffer);
}

/* Step 5. */
static void
ClearPages(PackState *state, const BlockNumber *blocks, Size n)
{
	for (Size i = 0; i < n; i++)
	{
		vacuum_delay_point(false);
		topk_clear_page(state->info->index, blocks[i], state->epoch, true);
	}
}

static void
Pack(PackState *state, const Directory *directory)
{
	TopkWriter *writer = &state->writer;
	Directory	old;
	bool		switched;

	topk_writer_begin(writer, state->info->index, PutPage);
	writer->bucket_shift = state->bucket_shift;
	Reserve(state, directory);
	ReadSources(state);
	topk_writer_sort(writer);
	while (topk_writer_step(writer))
		vacuum_delay_point(false);
	switched = Switch(state, &old);
	topk_writer_end(writer);
	if (switched)
	{
		ClearPages(state, state->sources, state->nsources);
		ClearPages(state, old.blocks, old.nblocks);
	}
}

/* At the end of a vacuum: packs the index if it is worth while. */
void
topk_pack(IndexVacuumInfo *info)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "topk pack",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PackState  *state = palloc0(sizeof(PackState));
	Directory	directory;
	Buffer		buffer = topk_read(info->index, TOPK_META_BLOCK, BUFFER_LOCK_SHARE);
	TopkMeta	meta = *TopkPageMeta(BufferGetPage(buffer));

	UnlockReleaseBuffer(buffer);
	state->info = info;
	state->bucket_shift = meta.bucket_shift;
	state->epoch = meta.epoch + 1;
	ReadDirectory(info->index, meta.first_directory, meta.epoch, &directory);
	if (IsWorthwhile(state, &directory))
		Pack(state, &directory);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

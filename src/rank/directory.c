/*
 * directory.c: the directory of the topk index and the pages for inserts.
 *
 * An insert asks the meta page for the open page of its group.  When there is
 * none, or it is full, topk_make_room looks through the directory, all under
 * the exclusive lock of the meta page: a page of the group with the flag ROOM,
 * else a free page, else a new one at the end of the file.  The pass over the
 * directory is a few hundred entries a page and happens once or twice for every
 * page that inserts fill, so a search tree over it would not pay.
 *
 * A group gets several pages at once, in proportion to those it has, so that
 * pages which a scan reads one after the other follow each other in memory too:
 * pack.c says what that is worth.
 *
 * A page that a build wrote has the range of the norms it was written with; on
 * being opened its range becomes the bucket's, so that inserts need not touch
 * the directory.
 *
 * Entries of the directory change in place, and are never removed; only pack.c
 * replaces all of it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/rel.h"

#include "compat.h"
#include "rank/topk.h"

/* Where topk_make_room puts a group. */
typedef struct Place
{
	BlockNumber directory;		/* invalid: a new entry is needed */
	int			entry;
	BlockNumber block;
	bool		reopen;			/* a page of the group, not a free one */
	uint32		pages;			/* that the group has, if none of them has room */
} Place;

/* Pages that a group gets at once: one, and one for so many it has, up to ... */
#define PAGES_PER_EXTRA		16
#define MOST_EXTRAS			7

/*
 * The group's open page and the epoch it is that in, or an invalid block number;
 * the group becomes that of the index's own buckets.
 */
BlockNumber
topk_open_page(Relation index, TopkGroup *group, uint32 *epoch)
{
	Buffer		buffer = topk_read(index, TOPK_META_BLOCK, BUFFER_LOCK_SHARE);
	TopkMeta   *meta = TopkPageMeta(BufferGetPage(buffer));
	BlockNumber block = InvalidBlockNumber;

	*group = topk_coarsen(*group, meta->bucket_shift);
	*epoch = meta->epoch;
	for (uint32 i = 0; i < meta->opens; i++)
		if (meta->open[i].group == *group)
		{
			block = meta->open[i].block;
			if (block == TOPK_META_BLOCK || block >= meta->blocks)
				topk_report_damage(index, TOPK_META_BLOCK,
								   "The meta page lists an open page that is not there.");
			break;
		}
	UnlockReleaseBuffer(buffer);
	return block;
}

/*
 * The epoch of the directory that there is, where it begins, and how often it
 * has changed in a way that scans have to know.  A snapshot that is too old for
 * what vacuum has done since is an error; there may be none (NULL).
 */
uint32
topk_first_entries(Relation index, Snapshot snapshot, BlockNumber *next,
				   uint32 *changes)
{
	Buffer		buffer = topk_read(index, TOPK_META_BLOCK, BUFFER_LOCK_SHARE);
	TopkMeta   *meta = TopkPageMeta(BufferGetPage(buffer));
	uint32		epoch = meta->epoch;

	TestForOldSnapshot(snapshot, index, BufferGetPage(buffer));
	*next = meta->first_directory;
	*changes = meta->changes;
	UnlockReleaseBuffer(buffer);
	return epoch;
}

/*
 * Copies the entries of a directory page and goes on to the next of the chain.
 * Entries must have room for TOPK_DIRECTORY_CAPACITY; pages is the count of those
 * read so far.  False: the directory of this epoch has been given up, and the
 * page taken for something else.
 */
bool
topk_next_entries(Relation index, uint32 epoch, BlockNumber *next,
				  BlockNumber *pages, TopkDirEntry *entries, int *count)
{
	Buffer		buffer = topk_read(index, *next, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	TopkOpaque *opaque = TopkPageOpaque(page);
	bool		valid = opaque->epoch <= epoch;

	if (valid)
	{
		topk_check_directory(index, buffer, pages);
		*count = opaque->count;
		memcpy(entries, TopkPageEntries(page), *count * sizeof(TopkDirEntry));
		*next = opaque->next;
	}
	UnlockReleaseBuffer(buffer);
	return valid;
}

/* Enters a group's open page, in its own place or another's. */
static void
RememberOpen(TopkMeta *meta, TopkGroup group, BlockNumber block)
{
	uint32		i;

	for (i = 0; i < meta->opens; i++)
		if (meta->open[i].group == group)
			break;
	if (i == meta->opens)
	{
		if (meta->opens < TOPK_MAX_OPENS)
			meta->opens++;
		else
		{
			i = meta->next_eviction;
			meta->next_eviction = (i + 1) % TOPK_MAX_OPENS;
		}
	}
	meta->open[i].group = group;
	meta->open[i].block = block;
}

/* Takes a page out of the list of open ones, if it is there. */
void
topk_forget_open(TopkMeta *meta, BlockNumber block)
{
	for (uint32 i = 0; i < meta->opens; i++)
		if (meta->open[i].block == block)
		{
			meta->opens--;
			meta->open[i] = meta->open[meta->opens];
			memset(&meta->open[meta->opens], 0, sizeof(TopkOpen));
			return;
		}
}

/* The first entry with room for the group, or else the first free one. */
static Place
FindPlace(Relation index, TopkMeta *meta, TopkGroup group)
{
	Place		place = {InvalidBlockNumber, 0, InvalidBlockNumber, false, 0};
	BlockNumber block = meta->first_directory;
	BlockNumber pages = 0;

	while (block != InvalidBlockNumber)
	{
		Buffer		buffer = topk_read(index, block, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		TopkDirEntry *entries = TopkPageEntries(page);
		int			count = TopkPageOpaque(page)->count;

		topk_check_chain(index, buffer, &pages);
		for (int i = 0; i < count; i++)
		{
			bool		reopen = entries[i].group == (group | TOPK_ROOM);

			place.pages += entries[i].group == group;
			if (reopen || (entries[i].group == TOPK_FREE &&
						   place.directory == InvalidBlockNumber))
			{
				topk_check_entry(index, buffer, i);
				place = (Place)
				{
					block, i, entries[i].block, reopen, place.pages
				};
			}
			if (reopen)
				break;
		}
		block = place.reopen ? InvalidBlockNumber : TopkPageOpaque(page)->next;
		UnlockReleaseBuffer(buffer);
	}
	return place;
}

/*
 * Opens a page of the group that has room, or clears its flag and returns
 * false if it turns out to be full.
 */
static bool
Reopen(Relation index, Buffer meta_buffer, const Place *place, TopkGroup group)
{
	Buffer		buffer = topk_read(index, place->block, BUFFER_LOCK_SHARE);
	TopkOpaque *opaque = TopkPageOpaque(BufferGetPage(buffer));
	bool		room = opaque->group == group && !opaque->sealed &&
		opaque->count < opaque->capacity;
	uint32		bucket_shift = TopkPageMeta(BufferGetPage(meta_buffer))->bucket_shift;
	GenericXLogState *state;
	TopkDirEntry *entry;

	/* no insert would take it, and each ask for another */
	if (opaque->epoch > TopkPageMeta(BufferGetPage(meta_buffer))->epoch)
		topk_report_damage(index, place->block, "It is of an epoch that has not begun.");
	UnlockReleaseBuffer(buffer);

	state = GenericXLogStart(index);
	if (room)
	{
		TopkMeta   *meta = TopkPageMeta(GenericXLogRegisterBuffer(state, meta_buffer, 0));

		RememberOpen(meta, group, place->block);
		meta->changes++;
	}
	buffer = topk_read_directory(index, place->directory, BUFFER_LOCK_EXCLUSIVE);
	entry = TopkPageEntries(GenericXLogRegisterBuffer(state, buffer, 0)) + place->entry;
	if (room && TOPK_GROUP_KIND(group) == TOPK_CODED)
		topk_bucket_range(group, bucket_shift, &entry->norm_low, &entry->norm_high);
	else if (!room)
		entry->group = group;
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
	return room;
}

/*
 * A page at the end of what is in use.  A crash may have left the file longer
 * than that, by pages that were never written; the meta page's lock keeps others
 * from extending it.
 */
static Buffer
NewBuffer(Relation index, TopkMeta *meta)
{
	BlockNumber block = meta->blocks;
	BlockNumber blocks = RelationGetNumberOfBlocks(index);
	Buffer		buffer;

	if (block > blocks)
		topk_report_damage(index, TOPK_META_BLOCK,
						   "The meta page speaks of more blocks than there are.");
	buffer = ReadBuffer(index, block < blocks ? block : P_NEW);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (BufferGetBlockNumber(buffer) != block || !PageIsNew(BufferGetPage(buffer)))
		topk_report_damage(index, block,
						   "It is in use, and the meta page says that it is not.");
	return buffer;
}

/* Makes a free page one of the group, its open one if so said. */
static void
ReuseFree(Relation index, Buffer meta_buffer, const Place *place,
		  TopkGroup group, bool open)
{
	Buffer		directory = topk_read_directory(index, place->directory, BUFFER_LOCK_EXCLUSIVE);
	Buffer		data = topk_read(index, place->block, BUFFER_LOCK_EXCLUSIVE);
	GenericXLogState *state = GenericXLogStart(index);
	TopkMeta   *meta = TopkPageMeta(GenericXLogRegisterBuffer(state, meta_buffer, 0));
	TopkDirEntry *entry = TopkPageEntries(GenericXLogRegisterBuffer(state, directory, 0)) + place->entry;
	Page		page = GenericXLogRegisterBuffer(state, data, GENERIC_XLOG_FULL_IMAGE);
	uint32		removals = TopkPageOpaque(page)->removals;

	entry->group = group | TOPK_ROOM;
	topk_bucket_range(group, meta->bucket_shift, &entry->norm_low, &entry->norm_high);
	topk_init_page(page, group);
	TopkPageOpaque(page)->removals = removals + 1;
	TopkPageOpaque(page)->epoch = meta->epoch;
	meta->free--;
	meta->changes++;
	if (open)
		RememberOpen(meta, group, place->block);
	GenericXLogFinish(state);
	UnlockReleaseBuffer(data);
	UnlockReleaseBuffer(directory);
}

/* Starts another page of the directory, in a record of its own. */
static void
ExtendDirectory(Relation index, Buffer meta_buffer)
{
	Buffer		last = InvalidBuffer;
	Buffer		buffer;
	GenericXLogState *state;
	Page		page;
	TopkMeta   *meta = TopkPageMeta(BufferGetPage(meta_buffer));

	if (meta->last_directory != InvalidBlockNumber)
		last = topk_read_directory(index, meta->last_directory, BUFFER_LOCK_EXCLUSIVE);
	buffer = NewBuffer(index, meta);

	state = GenericXLogStart(index);
	meta = TopkPageMeta(GenericXLogRegisterBuffer(state, meta_buffer, 0));
	page = GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE);
	topk_init_page(page, TOPK_GROUP(TOPK_DIRECTORY, 0, 0));
	TopkPageOpaque(page)->epoch = meta->epoch;
	if (BufferIsValid(last))
		TopkPageOpaque(GenericXLogRegisterBuffer(state, last, 0))->next =
			BufferGetBlockNumber(buffer);
	else
		meta->first_directory = BufferGetBlockNumber(buffer);
	meta->last_directory = BufferGetBlockNumber(buffer);
	meta->blocks++;
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
	if (BufferIsValid(last))
		UnlockReleaseBuffer(last);
}

/* Is there no directory page with a place for a new entry? */
static bool
DirectoryIsFull(Relation index, TopkMeta *meta)
{
	Buffer		buffer;
	TopkOpaque *opaque;
	bool		full;

	if (meta->last_directory == InvalidBlockNumber)
		return true;
	buffer = topk_read_directory(index, meta->last_directory, BUFFER_LOCK_SHARE);
	opaque = TopkPageOpaque(BufferGetPage(buffer));
	full = opaque->count == opaque->capacity;
	UnlockReleaseBuffer(buffer);
	return full;
}

/*
 * Enters a new, empty page into the directory: of a group, its open one if so
 * said, or reserved.
 */
static BlockNumber
AddPage(Relation index, Buffer meta_buffer, TopkGroup group, bool open)
{
	TopkMeta   *meta = TopkPageMeta(BufferGetPage(meta_buffer));
	BlockNumber block;
	bool		reserved = TOPK_GROUP_KIND(group) == TOPK_RESERVED;
	Buffer		directory;
	Buffer		data;
	GenericXLogState *state;
	Page		page;
	TopkDirEntry *entry;

	if (DirectoryIsFull(index, meta))
		ExtendDirectory(index, meta_buffer);

	directory = topk_read_directory(index, meta->last_directory, BUFFER_LOCK_EXCLUSIVE);
	data = NewBuffer(index, meta);
	block = BufferGetBlockNumber(data);

	state = GenericXLogStart(index);
	meta = TopkPageMeta(GenericXLogRegisterBuffer(state, meta_buffer, 0));
	page = GenericXLogRegisterBuffer(state, directory, 0);
	entry = TopkPageEntries(page) + TopkPageOpaque(page)->count++;
	entry->block = block;
	entry->group = reserved ? group : group | TOPK_ROOM;
	topk_bucket_range(group, meta->bucket_shift, &entry->norm_low, &entry->norm_high);
	page = GenericXLogRegisterBuffer(state, data, GENERIC_XLOG_FULL_IMAGE);
	topk_init_page(page, reserved ? TOPK_FREE : group);
	TopkPageOpaque(page)->epoch = meta->epoch;
	meta->blocks++;
	meta->changes++;
	if (open)
		RememberOpen(meta, group, block);
	GenericXLogFinish(state);
	UnlockReleaseBuffer(data);
	UnlockReleaseBuffer(directory);
	return block;
}

/* Adds an empty page to the index that no insert takes. */
BlockNumber
topk_reserve_page(Relation index)
{
	Buffer		meta_buffer = topk_read(index, TOPK_META_BLOCK, BUFFER_LOCK_EXCLUSIVE);
	BlockNumber block = AddPage(index, meta_buffer, TOPK_GROUP(TOPK_RESERVED, 0, 0), false);

	UnlockReleaseBuffer(meta_buffer);
	return block;
}

/* Gives a group that has no room some pages, and opens the first. */
static void
AddPages(Relation index, Buffer meta_buffer, const Place *place, TopkGroup group)
{
	TopkMeta   *meta = TopkPageMeta(BufferGetPage(meta_buffer));
	Place		next = *place;
	uint32		pages = 1 + Min(place->pages / PAGES_PER_EXTRA, MOST_EXTRAS);

	for (uint32 i = 0; i < pages; i++)
	{
		if (i > 0)
			next = FindPlace(index, meta, TOPK_FREE);
		if (next.directory != InvalidBlockNumber)
			ReuseFree(index, meta_buffer, &next, group, i == 0);
		else
			AddPage(index, meta_buffer, group, i == 0);
	}
}

/*
 * Opens another page for the group in place of one that is full (or of none).
 * Returns without having done so if somebody else already has.
 */
void
topk_make_room(Relation index, TopkGroup group, BlockNumber full)
{
	Buffer		meta_buffer = topk_read(index, TOPK_META_BLOCK, BUFFER_LOCK_EXCLUSIVE);
	TopkMeta   *meta = TopkPageMeta(BufferGetPage(meta_buffer));

	for (uint32 i = 0; i < meta->opens; i++)
		if (meta->open[i].group == group && meta->open[i].block != full)
		{
			UnlockReleaseBuffer(meta_buffer);
			return;
		}

	for (;;)
	{
		Place		place = FindPlace(index, meta, group);

		if (place.reopen)
		{
			if (!Reopen(index, meta_buffer, &place, group))
				continue;
		}
		else
			AddPages(index, meta_buffer, &place, group);
		break;
	}
	UnlockReleaseBuffer(meta_buffer);
}

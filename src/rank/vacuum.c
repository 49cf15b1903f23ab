/*
 * vacuum.c: removing the entries of dead rows from the topk index.
 *
 * Two passes.  The first goes over the file, block by block, and removes from
 * each page the entries that vacuum asks for; those that remain close ranks,
 * and the page's count of removals goes up, so that a scan that wants to mark
 * an entry as dead knows that places have changed.  The page's lock is all that
 * it needs, as entries move from page to page by vacuum alone.
 *
 * The second goes over the directory: pages found empty become free, for any
 * group, and those found with room become worth opening again.
 *
 * When all that is done, vacuum puts the pages in order if it is worth while
 * (pack.c).
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "rank/topk.h"

/* Inserts may have a page back when so much of it is free. */
#define ROOM_FRACTION 8

typedef struct VacuumState
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *callback_state;

	BlockNumber blocks;			/* of the file, when vacuum began */
	uint32		epoch;
	uint16	   *counts;			/* entries left, of each data page */
} VacuumState;

/* Moves an entry to an earlier place of its page. */
static void
MoveEntry(Page page, int from, int to)
{
	TopkOpaque *opaque = TopkPageOpaque(page);
	TopkParts	parts = topk_parts(page);

	if (TOPK_GROUP_KIND(opaque->group) == TOPK_CODED)
	{
		int			length = TOPK_GROUP_LENGTH(opaque->group);
		uint8		bytes[CODE_MAX_LENGTH];

		code_get(parts.codes, opaque->capacity, length, from, bytes);
		code_put(parts.codes, opaque->capacity, length, to, bytes);
		parts.norm[to] = parts.norm[from];
		parts.scale[to] = parts.scale[from];
		parts.error[to] = parts.error[from];
	}
	parts.tids[to] = parts.tids[from];
}

/* Removes from a locked page the entries that `dead` says. */
static void
RemoveEntries(Relation index, Buffer buffer, const bool *dead)
{
	GenericXLogState *state = GenericXLogStart(index);
	Page		page = GenericXLogRegisterBuffer(state, buffer, 0);
	TopkOpaque *opaque = TopkPageOpaque(page);
	int			kept = 0;

	for (int i = 0; i < opaque->count; i++)
	{
		if (dead[i])
			continue;
		if (kept < i)
			MoveEntry(page, i, kept);
		kept++;
	}
	memset(topk_parts(page).killed, 0, opaque->capacity);
	opaque->count = kept;
	opaque->removals++;
	GenericXLogFinish(state);
}

/* Asks vacuum about every entry of a data page; removes those it names. */
static void
VacuumPage(VacuumState *state, BlockNumber block)
{
	Relation	index = state->info->index;
	Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block,
											RBM_NORMAL, state->info->strategy);
	Page		page = BufferGetPage(buffer);
	TopkOpaque *opaque;
	bool		dead[TOPK_MAX_ENTRIES];
	int			removed = 0;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (PageIsNew(page))
	{
		/* left by a crash while the file was being extended */
		UnlockReleaseBuffer(buffer);
		return;
	}
	topk_check_page(index, buffer);
	opaque = TopkPageOpaque(page);
	if (TOPK_GROUP_KIND(opaque->group) >= TOPK_DIRECTORY)
	{
		UnlockReleaseBuffer(buffer);
		return;
	}

	for (int i = 0; i < opaque->count; i++)
	{
		topk_check_tid(index, block, &topk_parts(page).tids[i]);
		dead[i] = state->callback(&topk_parts(page).tids[i], state->callback_state);
		removed += dead[i];
	}
	if (removed > 0)
		RemoveEntries(index, buffer, dead);
	state->stats->tuples_removed += removed;
	state->stats->num_index_tuples += opaque->count;
	state->counts[block] = opaque->count;
	UnlockReleaseBuffer(buffer);
}

/* Frees the page of a directory entry, if it is still empty. */
static void
FreePage(Relation index, Buffer meta_buffer, Buffer directory, int i)
{
	TopkDirEntry *entry = TopkPageEntries(BufferGetPage(directory)) + i;
	Buffer		data = topk_read(index, entry->block, BUFFER_LOCK_EXCLUSIVE);

	if (TopkPageOpaque(BufferGetPage(data))->group != (entry->group & ~TOPK_ROOM))
		topk_report_damage(index, entry->block, "The directory has it in another group.");
	if (TopkPageOpaque(BufferGetPage(data))->count == 0)
	{
		GenericXLogState *state = GenericXLogStart(index);
		TopkMeta   *meta = TopkPageMeta(GenericXLogRegisterBuffer(state, meta_buffer, 0));
		Page		page;
		TopkOpaque *opaque;

		page = GenericXLogRegisterBuffer(state, directory, 0);
		entry = TopkPageEntries(page) + i;
		opaque = TopkPageOpaque(GenericXLogRegisterBuffer(state, data, 0));

		topk_forget_open(meta, entry->block);
		meta->free++;
		meta->changes++;
		entry->group = TOPK_FREE;
		opaque->group = TOPK_FREE;
		opaque->capacity = topk_capacity(TOPK_FREE);
		GenericXLogFinish(state);
	}
	UnlockReleaseBuffer(data);
}

/*
 * A free page that is not empty was left by a packing that did not come to its
 * end, and so were pages reserved; there is no other vacuum now.  Its entries
 * do not count.
 */
static void
ClearLeftover(VacuumState *state, BlockNumber block)
{
	if (state->counts[block] == 0)
		return;
	topk_clear_page(state->info->index, block, state->epoch, false);
	state->stats->num_index_tuples -= state->counts[block];
}

/* Enters what the first pass found into one page of the directory. */
static BlockNumber
UpdateDirectoryPage(VacuumState *state, BlockNumber block, BlockNumber *pages)
{
	Relation	index = state->info->index;
	Buffer		meta_buffer = topk_read(index, TOPK_META_BLOCK, BUFFER_LOCK_EXCLUSIVE);
	Buffer		buffer = topk_read(index, block, BUFFER_LOCK_EXCLUSIVE);
	Page		page = BufferGetPage(buffer);
	int			count = TopkPageOpaque(page)->count;
	bool		room[TOPK_DIRECTORY_CAPACITY] = {0};
	bool		reserved[TOPK_DIRECTORY_CAPACITY] = {0};
	bool		any_changes = false;
	BlockNumber next;

	topk_check_directory(index, buffer, pages);
	for (int i = 0; i < count; i++)
	{
		TopkDirEntry *entry = TopkPageEntries(page) + i;
		int			capacity = topk_capacity(entry->group & ~TOPK_ROOM);
		int			free;

		if (TOPK_GROUP_KIND(entry->group) == TOPK_RESERVED)
			reserved[i] = any_changes = true;
		if (entry->block >= state->blocks)
			continue;
		if (entry->group == TOPK_FREE || reserved[i])
		{
			ClearLeftover(state, entry->block);
			continue;
		}
		free = capacity - state->counts[entry->block];
		if (free == capacity)
			FreePage(index, meta_buffer, buffer, i);
		else if (free > 0 && free >= capacity / ROOM_FRACTION &&
				 !(entry->group & TOPK_ROOM))
			room[i] = any_changes = true;
	}

	if (any_changes)
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		TopkMeta   *meta = TopkPageMeta(GenericXLogRegisterBuffer(xlog, meta_buffer, 0));
		TopkDirEntry *entries = TopkPageEntries(GenericXLogRegisterBuffer(xlog, buffer, 0));

		for (int i = 0; i < count; i++)
		{
			if (room[i])
				entries[i].group |= TOPK_ROOM;
			if (reserved[i])
			{
				entries[i].group = TOPK_FREE;
				meta->free++;
			}
		}
		GenericXLogFinish(xlog);
	}
	next = TopkPageOpaque(page)->next;
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(meta_buffer);
	return next;
}

static void
UpdateDirectory(VacuumState *state)
{
	BlockNumber block;
	BlockNumber pages = 0;
	uint32		changes;

	state->epoch = topk_first_entries(state->info->index, NULL, &block, &changes);
	while (block != InvalidBlockNumber)
	{
		vacuum_delay_point(false);
		block = UpdateDirectoryPage(state, block, &pages);
	}
}

/* Fills in what the statistics say of pages. */
static void
CountPages(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	Buffer		buffer = topk_read(info->index, TOPK_META_BLOCK, BUFFER_LOCK_SHARE);

	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	stats->pages_free = TopkPageMeta(BufferGetPage(buffer))->free;
	stats->pages_deleted = stats->pages_free;
	UnlockReleaseBuffer(buffer);
}

IndexBulkDeleteResult *
topk_bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
				 IndexBulkDeleteCallback callback, void *callback_state)
{
	VacuumState state;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	stats->num_index_tuples = 0;
	stats->estimated_count = false;

	state.info = info;
	state.stats = stats;
	state.callback = callback;
	state.callback_state = callback_state;
	state.blocks = RelationGetNumberOfBlocks(info->index);
	state.counts = MemoryContextAllocHuge(CurrentMemoryContext,
										  mul_size(state.blocks, sizeof(uint16)));
	memset(state.counts, 0, state.blocks * sizeof(uint16));

	/*
	 * Pages that are added from now on hold entries of rows inserted since, so
	 * they need no visit.
	 */
	for (BlockNumber block = TOPK_META_BLOCK + 1; block < state.blocks; block++)
	{
		vacuum_delay_point(false);
		VacuumPage(&state, block);
	}
	UpdateDirectory(&state);
	pfree(state.counts);
	return stats;
}

/*
 * Rows that came later are to be packed, whether there were any to remove or
 * not.
 */
IndexBulkDeleteResult *
topk_vacuum_cleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	topk_pack(info);
	if (stats != NULL)
		CountPages(info, stats);
	return stats;
}

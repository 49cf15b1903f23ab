/*
 * insert.c: an entry more in the topk index.
 *
 * The entry goes to the end of its group's open page, in one WAL record of
 * that page alone.  Many inserters of one group queue at one page, for the time
 * of a copy; groups are many.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/rel.h"

#include "compat.h"
#include "rank/topk.h"

/*
 * Adds the entry to the page unless that is full, sealed, or no longer what it
 * was in the epoch in which it was the group's open page.  Until the page is
 * locked, vacuum may have emptied it and packed sorted entries onto it, of the
 * same group, but with a range of norms that need not hold this one (pack.c).
 * Within an epoch a page gets no other use than another group's, or that of an
 * open page of its own group again.
 */
static bool
AddToPage(Relation index, BlockNumber block, uint32 epoch, const TopkItem *item)
{
	Buffer		buffer = topk_read(index, block, BUFFER_LOCK_EXCLUSIVE);
	TopkOpaque *opaque = TopkPageOpaque(BufferGetPage(buffer));
	bool		fits = opaque->group == item->group && opaque->epoch <= epoch &&
		!opaque->sealed && opaque->count < opaque->capacity;

	if (fits)
	{
		GenericXLogState *state = GenericXLogStart(index);

		topk_add_item(GenericXLogRegisterBuffer(state, buffer, 0), item);
		GenericXLogFinish(state);
	}
	UnlockReleaseBuffer(buffer);
	return fits;
}

bool
topk_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid,
			Relation heap, IndexUniqueCheck check_unique, bool index_unchanged,
			struct IndexInfo *info)
{
	TopkItem	item;

	topk_check_opclass(index);
	topk_form_item(&item, values[0], isnull[0], tid);
	for (;;)
	{
		uint32		epoch;
		BlockNumber block = topk_open_page(index, &item.group, &epoch);

		CHECK_FOR_INTERRUPTS();
		if (block != InvalidBlockNumber && AddToPage(index, block, epoch, &item))
			return false;
		topk_make_room(index, item.group, block);
	}
}

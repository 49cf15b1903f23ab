/*
 * writer.c: entries sorted by norm and laid out on pages.
 *
 * Entries go through an external sort by kind, length and decreasing norm, and
 * then page after page to where the caller puts them.  The sort works in
 * maintenance_work_mem, whatever the index's size; what else is kept in memory
 * is the directory, sixteen bytes per page.
 *
 * Sorting by norm rather than by bucket gives each page its own narrow range,
 * so that scans stop as early as the data allow.  A page holds one bucket, so
 * that the last page of each takes inserts later.
 */
#include "postgres.h"

#include "catalog/pg_operator_d.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "rank/writer.h"

/*
 * Ascending keys are the order of the file: kind, length, decreasing norm. The
 * bits of a positive float are in the order of its value.  Of irregular vectors
 * the length takes the norm's place, which they do not have.
 */
static int64
SortKey(const TopkItem *item)
{
	uint32		norm;

	if (TOPK_GROUP_KIND(item->group) == TOPK_IRREGULAR)
		return (int64) TOPK_IRREGULAR << 48 | TOPK_IRREGULAR_LENGTH(item->group);
	memcpy(&norm, &item->scalars.norm, sizeof(norm));
	return (int64) TOPK_GROUP_KIND(item->group) << 48 |
		(int64) TOPK_GROUP_LENGTH(item->group) << 32 |
		(int64) (0x7FFFFFFF - norm);
}

static TupleDesc
SortDescriptor(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);

	TupleDescInitEntry(desc, 1, "key", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "item", BYTEAOID, -1, 0);
	return desc;
}

/* All that the writer allocates is in the current memory context. */
void
topk_writer_begin(TopkWriter *writer, Relation index, TopkPutPage put_page)
{
	AttrNumber	column = 1;
	Oid			less = Int8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;
	TupleDesc	desc = SortDescriptor();

	writer->index = index;
	writer->put_page = put_page;
	writer->row_context = AllocSetContextCreate(CurrentMemoryContext, "topk row",
												ALLOCSET_DEFAULT_SIZES);
	writer->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	writer->sort = tuplesort_begin_heap(desc, 1, &column, &less, &collation,
										&nulls_first, maintenance_work_mem,
										NULL, TUPLESORT_NONE);
	writer->allocated = 1024;
	writer->directory = palloc(writer->allocated * sizeof(TopkDirEntry));
}

/* Takes writer->item. */
void
topk_writer_put(TopkWriter *writer)
{
	MemoryContext old = MemoryContextSwitchTo(writer->row_context);
	TupleTableSlot *slot = writer->slot;
	Size		size = VARHDRSZ + TopkItemSize(&writer->item);
	bytea	   *item = palloc(size);

	SET_VARSIZE(item, size);
	memcpy(VARDATA(item), &writer->item, size - VARHDRSZ);

	ExecClearTuple(slot);
	slot->tts_values[0] = Int64GetDatum(SortKey(&writer->item));
	slot->tts_values[1] = PointerGetDatum(item);
	slot->tts_isnull[0] = false;
	slot->tts_isnull[1] = false;
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(writer->sort, slot);
	writer->entries++;
	writer->pages += 1.0 / topk_capacity(writer->item.group);

	ExecClearTuple(slot);
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->row_context);
}

void
topk_writer_sort(TopkWriter *writer)
{
	TupleDesc	desc = writer->slot->tts_tupleDescriptor;

	tuplesort_performsort(writer->sort);
	ExecDropSingleTupleTableSlot(writer->slot);
	writer->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

/* Puts the page being filled, if there is one, and enters its block. */
static void
FinishPage(TopkWriter *writer)
{
	Page		page = (Page) writer->page.data;
	TopkDirEntry *entry;

	if (!writer->filling)
		return;
	entry = &writer->directory[writer->npages - 1];
	if (TopkPageOpaque(page)->count < TopkPageOpaque(page)->capacity)
		entry->group |= TOPK_ROOM;
	entry->block = writer->put_page(writer, page);
	writer->filling = false;
}

/* Begins a page for the item's group, and its directory entry. */
static void
BeginPage(TopkWriter *writer, const TopkItem *item)
{
	FinishPage(writer);
	if (writer->npages == writer->allocated)
	{
		writer->allocated *= 2;
		writer->directory = repalloc_huge(writer->directory,
										  mul_size(writer->allocated, sizeof(TopkDirEntry)));
	}
	topk_init_page((Page) writer->page.data, item->group);
	writer->directory[writer->npages++] = (TopkDirEntry)
	{
		InvalidBlockNumber, item->group, item->scalars.norm, item->scalars.norm
	};
	writer->filling = true;
}

/*
 * Writes the next entry in order; after the last one, the last page, and
 * returns false.  A page's range is from its first entry to its last.
 */
bool
topk_writer_step(TopkWriter *writer)
{
	Page		page = (Page) writer->page.data;
	TopkItem   *item = &writer->item;
	bytea	   *bytes;
	bool		isnull;

	if (!tuplesort_gettupleslot(writer->sort, true, false, writer->slot, NULL))
	{
		FinishPage(writer);
		return false;
	}
	bytes = DatumGetByteaPP(slot_getattr(writer->slot, 2, &isnull));
	memcpy(item, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	item->group = topk_coarsen(item->group, writer->bucket_shift);
	if (!writer->filling || TopkPageOpaque(page)->group != item->group ||
		TopkPageOpaque(page)->count == TopkPageOpaque(page)->capacity)
		BeginPage(writer, item);
	topk_add_item(page, item);
	writer->directory[writer->npages - 1].norm_low = item->scalars.norm;
	return true;
}

void
topk_writer_end(TopkWriter *writer)
{
	ExecDropSingleTupleTableSlot(writer->slot);
	tuplesort_end(writer->sort);
}

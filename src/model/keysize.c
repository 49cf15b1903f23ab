/*
 * keysize.c: ids that are too long to be the key of a table.
 *
 * A model's tables have their ids as primary keys, and an entry of a btree index
 * has to fit a third of a page: some 2,700 bytes, once compressed. That training
 * ends with an error where one does not is a pity when it has taken an hour, so
 * ids are looked at as soon as they are read. Only what surely does not fit is
 * refused: an id is compressed by every method there is, since which one the
 * table will take is its owner's choice.
 */
#include "postgres.h"

#include "access/itup.h"
#include "access/nbtree.h"
#include "access/toast_compression.h"
#include "access/toast_internals.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/bufpage.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "model/idtext.h"
#include "model/keysize.h"

/* Bytes of an id that a message shows. */
#define TEXT_SHOWN 40

/* The largest entry, as btree reckons it. */
static Size
LargestEntry(void)
{
	PGAlignedBlock page;

	PageInit(page.data, BLCKSZ, sizeof(BTPageOpaqueData));
	return btree_max_item_size(page.data);
}

static Size
EntrySize(Datum value)
{
	return MAXALIGN(MAXALIGN(sizeof(IndexTupleData)) + VARSIZE_ANY(DatumGetPointer(value)));
}

/* The least that an entry of the id may take. */
static Size
LeastSize(Oid type, Datum id)
{
	static const char methods[] = {
		TOAST_PGLZ_COMPRESSION,
#ifdef USE_LZ4
		TOAST_LZ4_COMPRESSION,
#endif
	};
	Size		least = EntrySize(id);

	if (get_typstorage(type) == TYPSTORAGE_PLAIN)
		return least;
	for (int k = 0; k < lengthof(methods); k++)
	{
		Datum		packed = toast_compress_datum(id, methods[k]);

		if (DatumGetPointer(packed) == NULL)
			continue;
		least = Min(least, EntrySize(packed));
		pfree(DatumGetPointer(packed));
	}
	return least;
}

static void
TooLong(const ModelKey *key, Datum id, Size size, Size largest)
{
	char	   *text = idtext_once(key->type, id);

	text[pg_mbcliplen(text, (int) strlen(text), TEXT_SHOWN)] = '\0';
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("an id in column \"%s\" is too long for the key of a table", key->column),
			 errdetail("\"%s...\" takes %zu bytes in an index, where there is room for %zu.",
					   text, size, largest),
			 errhint("Train from a view that has a shorter id in its place, md5(%s::text) for instance.",
					 quote_identifier(key->column))));
}

void
key_check_sizes(const ModelKey *key, uint32 n, const Datum *ids)
{
	Size		largest;

	if (get_typlen(key->type) != -1)
		return;
	largest = LargestEntry();
	for (uint32 k = 0; k < n; k++)
	{
		Size		size;

		if (k % 4096 == 0)
			CHECK_FOR_INTERRUPTS();
		if (EntrySize(ids[k]) <= largest)
			continue;
		CHECK_FOR_INTERRUPTS();
		size = LeastSize(key->type, ids[k]);
		if (size > largest)
			TooLong(key, ids[k], size, largest);
	}
}

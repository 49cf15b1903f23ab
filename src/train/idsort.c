/*
 * idsort.c: the order of a side's ids, their texts, and hashes of these.
 *
 * The ids are sorted by the comparison function that btree would use, sort
 * support included, and by the column's collation, so that their order is that
 * of ORDER BY on the column. Whoever has an id looks for it in that order, by
 * halving. What is read elsewhere in what ought to be the same order is never
 * merged with it: the collation of a column can change, and an index can have
 * been built under another version of it.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/sortsupport.h"
#include "utils/typcache.h"

#include "compat.h"
#include "model/idtext.h"
#include "train/ids.h"

/* Bytes of an id that messages show. */
#define TEXT_SHOWN		100

typedef struct SortItem
{
	Datum		id;
	uint32		code;
} SortItem;

typedef struct SortState
{
	SortSupportData support;
	MemoryContext scratch;
	uint32		calls;
} SortState;

static inline int
CompareItems(const SortItem *a, const SortItem *b, SortState *state)
{
	if ((++state->calls & 1023) == 0)
	{
		MemoryContextReset(state->scratch);
		CHECK_FOR_INTERRUPTS();
	}
	return ApplySortComparator(a->id, false, b->id, false, &state->support);
}

#define ST_SORT SortItems
#define ST_ELEMENT_TYPE SortItem
#define ST_COMPARE_ARG_TYPE SortState
#define ST_COMPARE(a, b, arg) CompareItems(a, b, arg)
#define ST_SCOPE static
#define ST_DECLARE
#define ST_DEFINE
#include "lib/sort_template.h"

/* Puts the items in order; `context` is for what only the sort needs. */
static void
SortByKey(const ModelKey *key, SortItem *items, uint32 n, MemoryContext context)
{
	SortState	state;
	MemoryContext oldcontext;

	memset(&state, 0, sizeof(state));
	state.scratch = AllocSetContextCreate(context, "factor id comparison",
										  ALLOCSET_DEFAULT_SIZES);
	state.support.ssup_cxt = context;
	state.support.ssup_collation = key->collation;
	PrepareSortSupportFromOrderingOp(lookup_type_cache(key->type,
													   TYPECACHE_LT_OPR)->lt_opr,
									 &state.support);

	oldcontext = MemoryContextSwitchTo(state.scratch);
	SortItems(items, n, &state);
	for (uint32 k = 1; k < n; k++)
		if (CompareItems(&items[k - 1], &items[k], &state) >= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator classes of type %s disagree about equality",
							format_type_be(key->type)),
					 errdetail("Its btree class takes two ids for equal that its hash class tells apart.")));
	MemoryContextSwitchTo(oldcontext);
}

int
ids_fix_settings(void)
{
	static const char *const fixed[][2] = {
		{"DateStyle", "ISO, YMD"}, {"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"}, {"extra_float_digits", "3"},
		{"bytea_output", "hex"}, {"search_path", "pg_catalog"}
	};
	int			nestlevel = NewGUCNestLevel();

	for (int i = 0; i < lengthof(fixed); i++)
		(void) set_config_option(fixed[i][0], fixed[i][1],
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

uint64
id_hash(const char *text)
{
	return hash_bytes_extended((const unsigned char *) text, (int) strlen(text), 0);
}

/*
 * Hashes of the ids' texts, so that an id has one hash whatever the width of
 * its type or the processor. Settings that texts depend on are fixed for it.
 */
void
ids_hash(IdSet *set, MemoryContext context)
{
	int			nestlevel = ids_fix_settings();
	MemoryContext scratch = AllocSetContextCreate(context, "factor id texts",
												  ALLOCSET_DEFAULT_SIZES);
	IdText		idtext;
	MemoryContext oldcontext;

	idtext_prepare(&idtext, set->key.type, context);

	oldcontext = MemoryContextSwitchTo(scratch);
	for (uint32 k = 0; k < set->n; k++)
	{
		set->hash[k] = id_hash(idtext_cstring(&idtext, set->ids[k]));
		if ((k & 255) == 0)
		{
			MemoryContextReset(scratch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	MemoryContextSwitchTo(oldcontext);

	AtEOXact_GUC(true, nestlevel);
}

void
ids_sort(const ModelKey *key, uint32 n, const Datum *ids, const uint64 *rows,
		 IdSet *set, IdRanks *ranks)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(context, "factor id sort",
											   ALLOCSET_DEFAULT_SIZES);
	SortItem   *items = MemoryContextAllocHuge(work, mul_size(n, sizeof(SortItem)));

	for (uint32 code = 0; code < n; code++)
	{
		items[code].id = ids[code];
		items[code].code = code;
	}
	SortByKey(key, items, n, work);

	set->key = *key;
	set->n = n;
	set->ids = MemoryContextAllocHuge(context, mul_size(n, sizeof(Datum)));
	set->hash = MemoryContextAllocHuge(context, mul_size(n, sizeof(uint64)));
	ranks->rank = MemoryContextAllocHuge(context, mul_size(n, sizeof(uint32)));
	ranks->rows = MemoryContextAllocHuge(context, mul_size(n, sizeof(uint64)));
	for (uint32 k = 0; k < n; k++)
	{
		set->ids[k] = items[k].id;
		ranks->rank[items[k].code] = k;
		ranks->rows[k] = rows[items[k].code];
	}
	ids_hash(set, work);
	MemoryContextDelete(work);
}

void
id_search_init(IdSearch *search, const IdSet *set)
{
	search->set = set;
	search->type = lookup_type_cache(set->key.type, TYPECACHE_CMP_PROC_FINFO);
	search->next = 0;
}

uint32
id_search_find(IdSearch *search, Datum id)
{
	const IdSet *set = search->set;
	uint32		low = 0;
	uint32		high = set->n;
	uint32		middle = search->next;

	while (low < high)
	{
		int			order;

		if (middle < low || middle >= high)
			middle = low + (high - low) / 2;
		order = DatumGetInt32(FunctionCall2Coll(&search->type->cmp_proc_finfo,
												set->key.collation, set->ids[middle], id));
		if (order == 0)
		{
			search->next = middle + 1;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
		middle = low + (high - low) / 2;
	}
	search->next = low;
	return set->n;
}

char *
id_text(const ModelKey *key, Datum id)
{
	char	   *text = idtext_once(key->type, id);
	int			len = (int) strlen(text);

	if (len > TEXT_SHOWN)
	{
		text[pg_mbcliplen(text, len, TEXT_SHOWN)] = '\0';
		text = psprintf("%s...", text);
	}
	return text;
}

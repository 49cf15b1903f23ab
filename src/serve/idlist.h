/*
 * idlist.h: a set of ids of one side, of its key's type.
 */
#ifndef FACTOR_IDLIST_H
#define FACTOR_IDLIST_H

#include "utils/array.h"
#include "utils/typcache.h"

#include "model/model.h"
#include "serve/ids.h"
#include "serve/rank.h"

typedef struct IdList
{
	TypeCacheEntry *type;
	Oid			collation;
	MemoryContext context;		/* holds the ids */
	Datum	   *ids;
	int64		n;
	int64		capacity;
} IdList;

/* Begins an empty set in the current memory context. */
extern void idlist_init(IdList *set, const Model *model, MfSide side);

/* Adds a copy of an id; the set is to be sorted before it is asked. */
extern void idlist_add(IdList *set, Datum id);

/*
 * Adds the elements of an array, converted by what `conversion` remembers
 * (kept in `context`); nulls and values that cannot be keys are passed over.
 */
extern void idlist_add_array(IdList *set, ArrayType *array, IdConversion *conversion,
							const Model *model, MfSide side, MemoryContext context);

/* Sorts, and keeps one of equal ids. */
extern void idlist_sort(IdList *set);

extern bool idlist_contains(const IdList *set, Datum id);

#endif							/* FACTOR_IDLIST_H */

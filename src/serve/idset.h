/*
 * idset.h: a set of ids of one side, of its key's type.
 */
#ifndef FACTOR_IDSET_H
#define FACTOR_IDSET_H

#include "utils/array.h"
#include "utils/typcache.h"

#include "model/model.h"
#include "serve/ids.h"
#include "serve/rank.h"

typedef struct IdSet
{
	TypeCacheEntry *type;
	Oid			collation;
	MemoryContext context;		/* holds the ids */
	Datum	   *ids;
	int64		n;
	int64		capacity;
} IdSet;

/* Begins an empty set in the current memory context. */
extern void idset_init(IdSet *set, const Model *model, MfSide side);

/* Adds a copy of an id; the set is to be sorted before it is asked. */
extern void idset_add(IdSet *set, Datum id);

/*
 * Adds the elements of an array, converted by what `conversion` remembers
 * (kept in `context`); nulls and values that cannot be keys are passed over.
 */
extern void idset_add_array(IdSet *set, ArrayType *array, IdConversion *conversion,
							const Model *model, MfSide side, MemoryContext context);

/* Sorts, and keeps one of equal ids. */
extern void idset_sort(IdSet *set);

extern bool idset_contains(const IdSet *set, Datum id);

#endif							/* FACTOR_IDSET_H */

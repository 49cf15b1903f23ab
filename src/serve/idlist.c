/*
 * idlist.c: a set of ids: a sorted array, searched by halving.
 *
 * Sets come from a user's rows and from arrays in calls, are built once and
 * asked at most a few thousand times, so that hashing, which not every type
 * with an ordering has, would gain nothing.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "compat.h"
#include "serve/idlist.h"

#define FIRST_CAPACITY 64

void
idlist_init(IdList *set, const Model *model, MfSide side)
{
	memset(set, 0, sizeof(*set));
	set->type = rank_id_type(&model->side[side].key);
	set->collation = model->side[side].key.collation;
	set->context = CurrentMemoryContext;
	set->capacity = FIRST_CAPACITY;
	set->ids = palloc(set->capacity * sizeof(Datum));
}

void
idlist_add(IdList *set, Datum id)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	if (set->n == set->capacity)
	{
		set->capacity *= 2;
		set->ids = repalloc_huge(set->ids, mul_size(set->capacity, sizeof(Datum)));
	}
	set->ids[set->n++] = datumCopy(id, set->type->typbyval, set->type->typlen);
	MemoryContextSwitchTo(old);
}

void
idlist_add_array(IdList *set, ArrayType *array, IdConversion *conversion,
				const Model *model, MfSide side, MemoryContext context)
{
	ArrayIterator iterator;
	Datum		element;
	Datum		id;
	bool		isnull;

	id_prepare_argument(conversion, ARR_ELEMTYPE(array), model, side, context);
	iterator = array_create_iterator(array, 0, NULL);
	while (array_iterate(iterator, &element, &isnull))
	{
		CHECK_FOR_INTERRUPTS();
		if (!isnull && id_convert(conversion, element, &id))
			idlist_add(set, id);
	}
	array_free_iterator(iterator);
}

static int
CompareIds(const void *a, const void *b, void *arg)
{
	const IdList *set = arg;

	return rank_compare_ids(set->type, set->collation,
							*(const Datum *) a, *(const Datum *) b);
}

void
idlist_sort(IdList *set)
{
	int64		n = 0;
	int64		i;

	if (set->n < 2)
		return;
	qsort_arg(set->ids, set->n, sizeof(Datum), CompareIds, set);
	for (i = 1; i < set->n; i++)
		if (rank_compare_ids(set->type, set->collation, set->ids[n], set->ids[i]) != 0)
			set->ids[++n] = set->ids[i];
	set->n = n + 1;
}

bool
idlist_contains(const IdList *set, Datum id)
{
	int64		low = 0;
	int64		high = set->n;

	while (low < high)
	{
		int64		middle = low + (high - low) / 2;
		int			order = rank_compare_ids(set->type, set->collation, set->ids[middle], id);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

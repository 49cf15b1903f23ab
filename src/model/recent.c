/*
 * recent.c: rows of a side that were read lately, kept with an open model.
 *
 * A query that predicts for many pairs asks for the same users and items again
 * and again; one for a user's pairs asks for one user only. An open model
 * stands for one snapshot, so what it read once it may keep. Each id has one
 * place, by its hash, and takes it from whatever was there: no lists, nothing
 * to age. There is room for a share of work_mem, made only once a model has
 * been asked often enough for it to be worth while.
 *
 * Ids are compared by their bytes. Ids that are equal but written differently
 * (2.0 and 2.00) are merely read twice.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/recent.h"

#define FETCHES_BEFORE 16
#define MAX_PLACES (1 << 18)

/* Longer ids are read anew each time, so that a place has a largest size. */
#define MAX_KEY 64

typedef struct RecentEntry
{
	RecentRow	row;			/* first: what callers see */
	Size		key_size;
	char	   *key;
	float		factors[FLEXIBLE_ARRAY_MEMBER];	/* and then the key */
} RecentEntry;

/* The hash is here, since most places that are asked have another id's row. */
typedef struct RecentPlace
{
	RecentEntry *entry;			/* NULL: free */
	uint32		hash;
} RecentPlace;

struct RecentRows
{
	uint32		mask;			/* places - 1 */
	RecentPlace *places;
};

/* Where an id's bytes are, if it is of a kind that has them at hand. */
static bool
GetBytes(const ModelSide *side, const Datum *id, IdBytes *bytes)
{
	if (side->key_byval)
	{
		bytes->bytes = (const char *) id;
		bytes->size = sizeof(Datum);
		return true;
	}
	if (side->key_length > 0)
	{
		bytes->bytes = DatumGetPointer(*id);
		bytes->size = side->key_length;
		return true;
	}
	if (side->key_length == -1)
	{
		struct varlena *value = (struct varlena *) DatumGetPointer(*id);

		if (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value))
			return false;
		bytes->bytes = VARDATA_ANY(value);
		bytes->size = VARSIZE_ANY_EXHDR(value);
		return true;
	}
	return false;
}

bool
id_bytes(const ModelSide *side, const Datum *id, IdBytes *bytes)
{
	if (!GetBytes(side, id, bytes))
		return false;
	bytes->hash = hash_bytes((const unsigned char *) bytes->bytes, (int) bytes->size);
	return true;
}

bool
id_bytes_equal(const IdBytes *a, const IdBytes *b)
{
	return a->hash == b->hash && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

const RecentRow *
recent_find(const ModelSide *side, const IdBytes *id)
{
	const RecentPlace *place;

	if (side->recent == NULL)
		return NULL;
	place = &side->recent->places[id->hash & side->recent->mask];
	if (place->hash != id->hash || place->entry == NULL ||
		place->entry->key_size != id->size ||
		memcmp(place->entry->key, id->bytes, id->size) != 0)
		return NULL;
	return &place->entry->row;
}

/*
 * As many places as fit a quarter of work_mem when each has a row with its
 * factors, so both sides take half.
 */
static struct RecentRows *
MakePlaces(MemoryContext context, int factors)
{
	struct RecentRows *recent = MemoryContextAlloc(context, sizeof(struct RecentRows));
	Size		limit = (Size) work_mem * 1024 / 4;
	Size		entry_size = offsetof(RecentEntry, factors) +
		(Size) factors * sizeof(float) + MAX_KEY;
	uint32		n = 1;

	while (n < MAX_PLACES && (Size) n * 2 * (entry_size + sizeof(RecentPlace)) <= limit)
		n *= 2;
	recent->mask = n - 1;
	recent->places = MemoryContextAllocZero(context, n * sizeof(RecentPlace));
	return recent;
}

/* What is at the place, if it is as large; else another in its stead. */
static RecentEntry *
TakePlace(MemoryContext context, RecentPlace *place, Size factors_size, Size key_size)
{
	RecentEntry *entry = place->entry;

	if (entry != NULL && entry->key_size == key_size &&
		entry->key == (char *) entry->factors + factors_size)
		return entry;
	if (entry != NULL)
		pfree(entry);
	place->entry = NULL;
	entry = MemoryContextAlloc(context,
							   offsetof(RecentEntry, factors) + factors_size + key_size);
	entry->key_size = key_size;
	entry->key = (char *) entry->factors + factors_size;
	place->entry = entry;
	return entry;
}

bool
recent_keep(ModelSide *side, const IdBytes *id, bool found, ModelEntity *entity, int factors)
{
	MemoryContext context = GetMemoryChunkContext(side->table);
	Size		factors_size = found ? (Size) factors * sizeof(float) : 0;
	RecentPlace *place;
	RecentEntry *entry;

	if (side->fetches < FETCHES_BEFORE || id->size > MAX_KEY)
		return false;
	if (side->recent == NULL)
		side->recent = MakePlaces(context, factors);
	place = &side->recent->places[id->hash & side->recent->mask];
	entry = TakePlace(context, place, factors_size, id->size);
	place->hash = id->hash;
	entry->row.found = found;
	memcpy(entry->key, id->bytes, id->size);
	if (found)
	{
		memcpy(entry->factors, entity->factors, factors_size);
		entity->factors = entry->factors;
		entry->row.entity = *entity;
	}
	return true;
}

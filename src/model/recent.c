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
	uint32		hash;
	Size		key_size;
	char	   *key;
	float		factors[FLEXIBLE_ARRAY_MEMBER];	/* and then the key */
} RecentEntry;

struct RecentRows
{
	uint32		mask;			/* places - 1 */
	RecentEntry **places;
};

/* An id's bytes, if it is of a kind that has them at hand. */
static bool
GetBytes(const ModelSide *side, const Datum *id, const char **bytes, Size *size)
{
	if (side->key_byval)
	{
		*bytes = (const char *) id;
		*size = sizeof(Datum);
		return true;
	}
	if (side->key_length > 0)
	{
		*bytes = DatumGetPointer(*id);
		*size = side->key_length;
		return true;
	}
	if (side->key_length == -1)
	{
		struct varlena *value = (struct varlena *) DatumGetPointer(*id);

		if (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value))
			return false;
		*bytes = VARDATA_ANY(value);
		*size = VARSIZE_ANY_EXHDR(value);
		return true;
	}
	return false;
}

/* The same; false where rows of such an id are not kept. */
static bool
IdBytes(const ModelSide *side, const Datum *id, const char **bytes, Size *size)
{
	return GetBytes(side, id, bytes, size) && *size <= MAX_KEY;
}

const RecentRow *
recent_find(ModelSide *side, Datum id)
{
	const char *bytes;
	Size		size;
	uint32		hash;
	RecentEntry *entry;

	if (side->recent == NULL || !IdBytes(side, &id, &bytes, &size))
		return NULL;
	hash = hash_bytes((const unsigned char *) bytes, size);
	entry = side->recent->places[hash & side->recent->mask];
	if (entry == NULL || entry->hash != hash || entry->key_size != size ||
		memcmp(entry->key, bytes, size) != 0)
		return NULL;
	return &entry->row;
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

	while (n < MAX_PLACES && (Size) n * 2 * (entry_size + sizeof(RecentEntry *)) <= limit)
		n *= 2;
	recent->mask = n - 1;
	recent->places = MemoryContextAllocZero(context, n * sizeof(RecentEntry *));
	return recent;
}

void
recent_keep(ModelSide *side, Datum id, bool found, ModelEntity *entity, int factors)
{
	MemoryContext context = GetMemoryChunkContext(side->table);
	Size		factors_size = found ? (Size) factors * sizeof(float) : 0;
	Size		entry_size;
	const char *bytes;
	Size		size;
	RecentEntry *entry;
	RecentEntry **place;

	if (side->fetches < FETCHES_BEFORE)
	{
		side->fetches++;
		return;
	}
	if (!IdBytes(side, &id, &bytes, &size))
		return;

	entry_size = offsetof(RecentEntry, factors) + factors_size + size;
	if (side->recent == NULL)
		side->recent = MakePlaces(context, factors);
	entry = MemoryContextAlloc(context, entry_size);
	entry->row.found = found;
	entry->hash = hash_bytes((const unsigned char *) bytes, size);
	entry->key_size = size;
	entry->key = (char *) entry->factors + factors_size;
	memcpy(entry->key, bytes, size);
	if (found)
	{
		memcpy(entry->factors, entity->factors, factors_size);
		entity->factors = entry->factors;
		entry->row.entity = *entity;
	}

	place = &side->recent->places[entry->hash & side->recent->mask];
	if (*place != NULL)
		pfree(*place);
	*place = entry;
}

/*
 * recent.h: rows of a side that were read lately, kept with an open model.
 */
#ifndef FACTOR_RECENT_H
#define FACTOR_RECENT_H

#include "model/model.h"

/* What an id was found to be. */
typedef struct RecentRow
{
	bool		found;
	ModelEntity entity;
} RecentRow;

/* An id by its bytes: equal ones may differ in them, unlike ones always do. */
typedef struct IdBytes
{
	const char *bytes;
	Size		size;
	uint32		hash;
} IdBytes;

/* The bytes of an id, which stays where it is; false where they are not at hand. */
extern bool id_bytes(const ModelSide *side, const Datum *id, IdBytes *bytes);
extern bool id_bytes_equal(const IdBytes *a, const IdBytes *b);

/* The row of an id, if it is kept; else NULL. */
extern const RecentRow *recent_find(const ModelSide *side, const IdBytes *id);

/*
 * Keeps a copy of what was read, in place of another, and makes the entity point
 * to the copy. False, and nothing is kept, of ids that are too long and before
 * there have been many fetches.
 */
extern bool recent_keep(ModelSide *side, const IdBytes *id, bool found, ModelEntity *entity,
						int factors);

#endif							/* FACTOR_RECENT_H */

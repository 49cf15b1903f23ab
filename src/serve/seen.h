/*
 * seen.h: the items that a user has rated, read live.
 */
#ifndef FACTOR_SEEN_H
#define FACTOR_SEEN_H

#include "utils/typcache.h"

#include "model/model.h"

typedef struct SeenItems
{
	TypeCacheEntry *type;
	Oid			collation;
	Datum	   *ids;			/* sorted; none where the source is gone */
	int64		n;
} SeenItems;

/*
 * Reads them from the table that the model was trained from, as the caller and
 * in the active snapshot. Where the table or a column of it is gone there are
 * none, with a NOTICE unless *noticed, which it sets: one is enough for a
 * query. Everything is allocated in the current memory context.
 */
extern void seen_read(const Model *model, Datum user, SeenItems *seen, bool *noticed);

/*
 * Can the source be read? A NOTICE as above where it is gone, an error where
 * only the right is missing.
 */
extern bool seen_can_read(const Model *model, bool *noticed);

/* Is the item among them? A RankSkip; `arg` is the SeenItems. */
extern bool seen_skip(void *arg, Datum id);

#endif							/* FACTOR_SEEN_H */

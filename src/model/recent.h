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

/* The row of an id, if it is kept; else NULL. */
extern const RecentRow *recent_find(ModelSide *side, Datum id);

/*
 * Keeps a copy of what was read, in place of another. The entity then points
 * to the copy.
 */
extern void recent_keep(ModelSide *side, Datum id, bool found, ModelEntity *entity,
						int factors);

#endif							/* FACTOR_RECENT_H */

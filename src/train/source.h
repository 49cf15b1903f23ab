/*
 * source.h: what reading knows of the rating table beyond the ids' keys.
 */
#ifndef FACTOR_SOURCE_H
#define FACTOR_SOURCE_H

#include "train/ratings.h"

/* The checks of an open source; and the base type of the rating column, or InvalidOid. */
extern void source_check(const RatingSource *source, ModelKey key[2],
						 Oid *rating_type);

/*
 * The query that reads the ratings; of a restricted source, those of the side's
 * ids, but not again those of wanted users. The ids are in relations that have
 * the names that source_only_name() gives.
 */
extern char *source_query(const RatingSource *source, const ModelKey key[2], MfSide side);
extern const char *source_only_name(MfSide side);

/* The relation's name as messages show it. */
extern const char *source_name(const RatingSource *source);

#endif							/* FACTOR_SOURCE_H */

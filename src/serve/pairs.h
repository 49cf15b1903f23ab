/*
 * pairs.h: what all users have rated, read once and kept by chunks of users.
 */
#ifndef FACTOR_PAIRS_H
#define FACTOR_PAIRS_H

#include "model/model.h"
#include "train/team.h"

typedef struct SeenPairs SeenPairs;

/* Whose pairs are wanted, and what an item's row is. */
typedef struct SeenPairsSpec
{
	const Model *model;
	struct SeenRequest *source;	/* the table, held open */
	const Datum *users;			/* of the users' key type, in their order */
	uint32		nusers;
	bool		only_some;		/* these are not all of the model's */
	const Datum *items;
	uint32		nitems;
	const uint32 *item_row;		/* of an item: the row to note */
	uint32		chunk_users;	/* users to a chunk */
	int			workers;		/* that may help */
	TeamNotes  *reading;		/* what is said of them */
} SeenPairsSpec;

/*
 * Reads them from the table that the model was trained from, as the caller and
 * in the active snapshot, into temporary files; pairs of unknown ids are left
 * out. In the context that is to hold them.
 */
extern SeenPairs *seen_pairs_read(const SeenPairsSpec *spec);

/* How many pairs a chunk has. */
extern uint64 seen_pairs_count(const SeenPairs *pairs, uint32 chunk);

/*
 * The rows of a chunk, user after user, in no order: those of its user k are
 * rows[offset[k] .. offset[k + 1] - 1]. `offset` has room for its n users and
 * one, and is zero.
 */
extern void seen_pairs_get(SeenPairs *pairs, uint32 chunk, uint32 n,
						   uint64 *offset, uint32 *rows);

extern void seen_pairs_free(SeenPairs *pairs);

#endif							/* FACTOR_PAIRS_H */

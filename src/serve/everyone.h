/*
 * everyone.h: the processes that rank for all users of a chunk together.
 */
#ifndef FACTOR_EVERYONE_H
#define FACTOR_EVERYONE_H

#include "postgres.h"
#include "storage/dsm.h"

#include "numerics/topall.h"
#include "train/ratings.h"
#include "train/team.h"

/* What the arrays' sizes follow from; the items' are the same for all chunks. */
typedef struct EveryoneShape
{
	uint64		nitems;
	uint64		regular;		/* items: see topall.h */
	uint64		length;			/* of the vectors */
	uint64		nusers;			/* of the chunk */
	uint64		nseen;			/* pairs of the chunk */
	uint64		k;
} EveryoneShape;

/* The items, by decreasing norm. */
typedef struct EveryoneItems
{
	float	   *vectors;
	uint32	   *place;
	uint8	   *codes;			/* of the regular ones */
	ScreenBlock *blocks;
} EveryoneItems;

/* A chunk of users: what they are, what they have seen, and their best. */
typedef struct EveryoneUsers
{
	float	   *vectors;
	uint64	   *offset;			/* nusers + 1, into seen */
	uint32	   *seen;
	uint64	   *found;			/* how many each got */
	TopEntry   *best;			/* k for each */
} EveryoneUsers;

/* Where a chunk is among all users, for pg_stat_activity. */
typedef struct EveryonePlace
{
	uint64		before;			/* users of earlier chunks */
	uint64		all;
} EveryonePlace;

/* Lays the arrays out from `base`; returns their bytes, all that NULL is for. */
extern Size everyone_items_layout(EveryoneItems *items, const EveryoneShape *shape, char *base);
extern Size everyone_users_layout(EveryoneUsers *users, const EveryoneShape *shape, char *base);

/* The items as numerics/topall.h takes them. */
extern void everyone_rows(const EveryoneItems *items, const EveryoneShape *shape,
						  TopAllRows *rows);

/*
 * Ranks for the chunk, with parallel workers if there is enough to do for them
 * and both arrays are shared; no worker is left when it returns.
 */
extern void everyone_rank(const EveryoneShape *shape, BigArray *items, BigArray *users,
						  int workers, const EveryonePlace *place, TeamNotes *notes);

#endif							/* FACTOR_EVERYONE_H */

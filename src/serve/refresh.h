/*
 * refresh.h: what the files of mf_refresh share.
 *
 * In reading order: refresh.c has the idea and the order of everything,
 * refresh_sides.c what is to be solved, refresh_solve.c how.
 */
#ifndef FACTOR_REFRESH_H
#define FACTOR_REFRESH_H

#include "postgres.h"
#include "utils/typcache.h"

#include "numerics/als.h"
#include "serve/idlist.h"
#include "train/ratings.h"

/*
 * One side. Its rows are the ids in the ratings, numbered as they are there,
 * and after them those that only the model has.
 */
typedef struct RefreshSide
{
	const IdSet *ids;			/* in the ratings */
	TypeCacheEntry *type;
	AlsSide		vectors;
	uint32		n;				/* rows so far */
	uint32		space;			/* rows that there is room for */
	bool	   *known;			/* has a vector */
	bool	   *was_known;		/* had one before */
	bool	   *touched;		/* to be solved, or deleted if without ratings */
	int32	   *recorded;		/* ratings that the table has for it */
	uint64	   *recorded_digest;
	Datum	   *extra;			/* ids of the rows beyond the ratings' */
	double	   *gramian;		/* NULL: not needed */
	double	   *unread_gramian; /* of the rows that were not read; NULL: none */
	uint32		nunread;		/* how many they are */
	IdList		named;
} RefreshSide;

typedef struct Refresh
{
	Model	   *model;
	AlsSpec		spec;
	RatingSet  *ratings;
	RefreshSide side[2];
	AlsWorkspace *workspace;
	bool		named;			/* solve what is named, not what has changed */
	bool		partial;		/* read no other rows of the model's tables than
								 * the ratings speak of */
} Refresh;

/* ---- What is to be solved (refresh_sides.c) ---- */

/*
 * Reads the ratings, as far as they are needed, and the model's rows, and marks
 * the rows that are to be solved.
 */
extern void refresh_read(Refresh *refresh, RatingSource *source);

/* What has no ratings any more loses its vector; returns how many do. */
extern uint32 refresh_forget(Refresh *refresh, MfSide which);

/* Rows that have a vector. */
extern uint32 refresh_count(const RefreshSide *side);

/* ---- Solving (refresh_solve.c) ---- */

extern void refresh_solve(Refresh *refresh);

#endif							/* FACTOR_REFRESH_H */

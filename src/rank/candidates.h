/*
 * candidates.h: the least bounds of a stream, in order, in bounded memory.
 *
 * A scan offers entries with their bounds and takes them back least first.  The
 * set keeps the best m of what it was offered, at the least; once it has had to
 * drop some, it knows the least that may have been dropped (the ceiling), and
 * when it runs empty the scan has to look again, with a larger m, for entries
 * beyond the last one taken (the floor).
 *
 * Candidates are ordered by bound, ties by TID, so that a second look knows
 * exactly which ones were taken.
 */
#ifndef FACTOR_CANDIDATES_H
#define FACTOR_CANDIDATES_H

#include "postgres.h"

#include "storage/block.h"
#include "storage/itemptr.h"

typedef struct Candidate
{
	double		bound;
	BlockNumber block;			/* where the entry was, for killing it: */
	uint32		removals;		/* the page's count of removals then */
	uint16		place;			/* and the entry's place */
	ItemPointerData tid;
} Candidate;

typedef struct CandidateSet
{
	Candidate  *heap;			/* room for 2 m and a page's */
	Size		n;
	Size		m;
	bool		is_heap;		/* least first; otherwise in no order */
	double		least;			/* the least bound, while it is no heap */
	bool		has_floor;
	bool		has_ceiling;
	Candidate	floor;
	Candidate	ceiling;
} CandidateSet;

static inline bool
candidate_less(const Candidate *a, const Candidate *b)
{
	if (a->bound != b->bound)
		return a->bound < b->bound;
	return ItemPointerCompare((ItemPointer) &a->tid, (ItemPointer) &b->tid) < 0;
}

extern void candidates_begin(CandidateSet *set, Size m);
extern void candidates_offer(CandidateSet *set, const Candidate *candidate);
extern void candidates_make_room(CandidateSet *set);
extern Candidate candidates_take(CandidateSet *set);

/* The least bound of a set that is not empty. */
static inline double
candidates_least(const CandidateSet *set)
{
	return set->is_heap ? set->heap[0].bound : set->least;
}

/* Bounds outside of these need not be offered. */
static inline double
candidates_lowest(const CandidateSet *set)
{
	return set->has_floor ? set->floor.bound : -INFINITY;
}

static inline double
candidates_highest(const CandidateSet *set)
{
	return set->has_ceiling ? set->ceiling.bound : INFINITY;
}

#endif							/* FACTOR_CANDIDATES_H */

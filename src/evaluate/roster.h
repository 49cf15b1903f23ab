/*
 * roster.h: a model's users and items, and which of them the pairs of training
 * and of the test speak of.
 */
#ifndef FACTOR_ROSTER_H
#define FACTOR_ROSTER_H

#include "model/model.h"
#include "train/ratings.h"

#define ROSTER_NONE PG_UINT32_MAX

/*
 * A side's ids have one numbering: 0 .. nmodel - 1 are the model's, in the
 * order of their ids, and what only training or the test has follows.
 */
typedef struct RosterSide
{
	uint32		nmodel;
	float	   *bias;			/* nmodel */
	float	   *factors;		/* nmodel x d */
	uint32	   *train;			/* of a place in training: its number */
	uint32	   *test;			/* of a place in the test: its number; ROSTER_NONE
								 * if it cannot be an id of the model */
	uint32		nplaces;
	uint32	   *train_place;	/* of a number below nplaces: its place in
								 * training, or ROSTER_NONE */
} RosterSide;

/*
 * Reads the model's tables as the caller, and matches ids. Errors where an id's
 * type cannot be matched with the model's, or a vector is not finite.
 */
extern void roster_read(Model *model, MfSide side, const IdSet *train, const IdSet *test,
						RosterSide *roster);

/* Is the number one of the model's? */
static inline bool
roster_known(const RosterSide *roster, uint32 number)
{
	return number < roster->nmodel;
}

/* Where the number is in training, or ROSTER_NONE. */
static inline uint32
roster_train_place(const RosterSide *roster, uint32 number)
{
	return number < roster->nplaces ? roster->train_place[number] : ROSTER_NONE;
}

#endif							/* FACTOR_ROSTER_H */

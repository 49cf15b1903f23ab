/*
 * seen.h: what a user has rated, read live.
 */
#ifndef FACTOR_SEEN_H
#define FACTOR_SEEN_H

#include "model/model.h"
#include "serve/basket.h"
#include "serve/idlist.h"

typedef struct SeenRequest
{
	IdList	   *ids;			/* filled with the items; NULL: not wanted */
	Basket	   *ratings;		/* filled with items and ratings; NULL: likewise */
	bool		required;		/* not to be able to is an error */
	bool	   *noticed;		/* that there was a NOTICE: one does for a query */

	/* Of seen_open() */
	Held		source;			/* the table */
	AttrNumber	attno[2];		/* its columns of users and items */
	Oid			type[2];		/* their base types */
	IdConversion convert[2];	/* from those to the model's */
} SeenRequest;

/*
 * Reads the user's rows from the table that the model was trained from, as the
 * caller and in the active snapshot. Where the table or a column of it is gone
 * there are none, with a NOTICE, and it returns false. So it does where ratings
 * are wanted but not required, and may not be read; else to lack the right is
 * an error. The ids come sorted.
 */
extern bool seen_read(const Model *model, Datum user, SeenRequest *request);

/*
 * Finds the source and holds it open: the relation that was checked is the one to
 * be read. Where it cannot be read it says what seen_read() would say.
 */
extern bool seen_open(const Model *model, SeenRequest *request);

/* Is the item among the ids? A RankSkip; `arg` is an IdList. */
extern bool seen_skip(void *arg, Datum id);

#endif							/* FACTOR_SEEN_H */

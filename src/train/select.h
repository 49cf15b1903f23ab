/*
 * select.h: which of the pairs that were read a training gets.
 */
#ifndef FACTOR_SELECT_H
#define FACTOR_SELECT_H

#include "train/matrix.h"

/* Does the source leave out pairs, or hold some out, once all are read? */
extern bool selection_wanted(const RatingSource *source);

/*
 * A new set of the pairs of `all` that the source's rules leave, and with the
 * pairs held out; consumes `all`. `order` has, for HOLDOUT_TIME, the same pairs
 * with their places in time as values, by user; otherwise it is NULL. `spec` says
 * how the new set's matrices are to be made; its ranks are filled in here.
 */
extern RatingSet *ratings_select(MatrixSpec *spec, RatingSet *all, RatingMatrix *order);

#endif							/* FACTOR_SELECT_H */

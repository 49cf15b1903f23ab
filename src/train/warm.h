/*
 * warm.h: a training that starts where an earlier one ended.
 */
#ifndef FACTOR_WARM_H
#define FACTOR_WARM_H

#include "train/ratings.h"

/*
 * Gives the ids of a side that the model knows its vectors and biases, and leaves
 * the others as they are. Reads the active snapshot.
 */
extern void warm_side(const Model *model, MfSide which, const IdSet *ids, AlsSide *side);

#endif							/* FACTOR_WARM_H */

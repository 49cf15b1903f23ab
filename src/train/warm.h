/*
 * warm.h: a training that starts where an earlier one ended.
 */
#ifndef FACTOR_WARM_H
#define FACTOR_WARM_H

#include "train/ratings.h"

/*
 * Gives the users that the model knows its vectors and biases, and leaves the
 * others as they are. Reads the active snapshot.
 */
extern void warm_users(const Model *model, const IdSet *users, AlsSide *side);

#endif							/* FACTOR_WARM_H */

/*
 * holdout.h: which pairs are held out of training, by a hash of the pair.
 */
#ifndef FACTOR_HOLDOUT_H
#define FACTOR_HOLDOUT_H

#include "postgres.h"

#include "train/ratings.h"

/*
 * Is the pair held out? The hashes are those of the ids' texts (IdSet.hash), so
 * this and the SQL function mf_holdout() always agree.
 */
extern bool holdout_pair(uint64 user_hash, uint64 item_hash, double fraction, int64 seed);

/* Refuses a fraction that is not from 0 to 1. */
extern void holdout_check_fraction(double fraction);

#endif							/* FACTOR_HOLDOUT_H */

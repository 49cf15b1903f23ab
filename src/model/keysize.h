/*
 * keysize.h: ids that are too long to be the key of a table.
 */
#ifndef FACTOR_KEYSIZE_H
#define FACTOR_KEYSIZE_H

#include "model/model.h"

/* An error if one of the n ids, not toasted, can be in no btree index. */
extern void key_check_sizes(const ModelKey *key, uint32 n, const Datum *ids);

#endif							/* FACTOR_KEYSIZE_H */

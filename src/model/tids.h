/*
 * tids.h: where a side's rows lie, by their ids.
 */
#ifndef FACTOR_TIDS_H
#define FACTOR_TIDS_H

#include "storage/itemptr.h"

#include "model/recent.h"

/* Where the row of an id may lie; false where nothing is known of it. */
extern bool tids_find(const ModelSide *side, const IdBytes *id, ItemPointer tid);

/*
 * Notes where the row of an id lies. `rows` is how many there are about, which
 * decides how much memory is taken.
 */
extern void tids_keep(ModelSide *side, const IdBytes *id, const ItemPointerData *tid,
					  int64 rows);

#endif							/* FACTOR_TIDS_H */

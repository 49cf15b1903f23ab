/*
 * scan.h: all rows of a side, one after the other in the order of their ids.
 */
#ifndef FACTOR_SCAN_H
#define FACTOR_SCAN_H

#include "model/idrelation.h"
#include "model/model.h"

typedef struct SideScan SideScan;

typedef struct SideRow
{
	Datum		id;
	float		bias;			/* these two not by SIDE_SCAN_IDS */
	const float *factors;
	int32		ratings;		/* nor these by SIDE_SCAN_VECTORS */
	uint64		digest;
} SideRow;

typedef enum SideScanKind
{
	SIDE_SCAN_IDS,				/* in the active snapshot: ids alone */
	SIDE_SCAN_VECTORS,			/* the same, with biases and factors */
	SIDE_SCAN_COUNTS,			/* the same, with ratings and digest */
	SIDE_SCAN_LATEST			/* all of it, with a new snapshot that sees what this
								 * transaction has written */
} SideScanKind;

/*
 * Starts to read, as the caller. With `ids`, n of the key's type, only those rows. The model is held.
 */
extern SideScan *side_scan_begin(const Model *model, MfSide side, SideScanKind kind,
								 const IdArray *only);

/* The next row, valid until the next call; false at the end. */
extern bool side_scan_next(SideScan *scan, SideRow *row);

/* An error where the row's vector is not finite, for those who compute with it. */
extern void side_scan_check_finite(const SideScan *scan, const SideRow *row);

extern void side_scan_end(SideScan *scan);

#endif							/* FACTOR_SCAN_H */

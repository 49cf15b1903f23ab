/*
 * scan.h: all rows of a side, one after the other in the order of their ids.
 */
#ifndef FACTOR_SCAN_H
#define FACTOR_SCAN_H

#include "model/model.h"

typedef struct SideScan SideScan;

typedef struct SideRow
{
	Datum		id;
	float		bias;
	const float *factors;
	int32		ratings;		/* unless serving */
	double		rating_sum;
} SideRow;

/*
 * Starts to read, as the caller: in the active snapshot if `serving`, and the
 * columns that serving needs; else with a new snapshot that sees what this
 * transaction has written. With `ids`, an array of the key's type, only those
 * rows. Within an SPI connection that
 * stays open until side_scan_end().
 */
extern SideScan *side_scan_begin(const Model *model, MfSide side, bool serving,
								 bool with_ids, Datum ids);

/* The next row, valid until the next call; false at the end. */
extern bool side_scan_next(SideScan *scan, SideRow *row);
extern void side_scan_end(SideScan *scan);

#endif							/* FACTOR_SCAN_H */

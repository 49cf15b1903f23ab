/*
 * pairscan.h: what all users have rated, read by parallel workers.
 */
#ifndef FACTOR_PAIRSCAN_H
#define FACTOR_PAIRSCAN_H

#include "serve/pairfiles.h"
#include "serve/pairs.h"
#include "train/ratings.h"

/* What the workers leave: writers' files that live as long as `shared`. */
typedef struct PairScan
{
	BigArray	shared;
	int			nwriters;
	PairWriter *writer;
} PairScan;

/*
 * Reads the pairs of a table that workers can read as the executor would, with
 * ids that need no functions of their type; false where that is not so, or not
 * worth the start of workers. pair_scan_free() ends it.
 */
extern bool pair_scan_read(const SeenPairsSpec *spec, uint32 nchunks, PairScan *scan);
extern void pair_scan_free(PairScan *scan);

#endif							/* FACTOR_PAIRSCAN_H */

/*
 * scan.h: the state of a scan of the topk index, for scan.c and search.c.
 */
#ifndef FACTOR_SCAN_H
#define FACTOR_SCAN_H

#include "postgres.h"

#include "access/itup.h"
#include "access/relscan.h"

#include "numerics/codes.h"
#include "rank/candidates.h"
#include "rank/topk.h"

typedef enum Stage
{
	STAGE_UNKNOWN,
	STAGE_RANKED,
	STAGE_NO_NUMBER,
	STAGE_NULL,
	STAGES
} Stage;

/*
 * A page and the bound of its range of norms in one number: the bound rounded
 * down to a float of 13 bits of mantissa, its bits made sortable; and the block.
 */
typedef uint64 PageKey;

#define PAGE_KEY_BITS		22	/* of the bound, from the top */
#define PAGE_KEY_BOUND(key) ((uint32) ((key) >> 32))

#define PAGE_KEY_BLOCK(key) ((BlockNumber) (key))

/* Pages of a stage; the bound matters in the ranked stage only. */
typedef struct PageList
{
	PageKey    *pages;
	Size		n;
	Size		allocated;
} PageList;

typedef struct TopkScan
{
	MemoryContext context;		/* all of one scan; reset by rescan */
	Oid		   *types;			/* of the ORDER BY values, and these */
	IndexOrderByDistance *values;

	/* from here on, zeroed by rescan */
	bool		started;
	CodeDistance distance;		/* of the first ORDER BY operator */
	bool		query_is_null;	/* or there is none: all values are NULL */
	CodeKind	query_kind;
	int			query_length;	/* -1: no vector */
	CodeQuery  *query;

	PageList	lists[STAGES];
	Stage		stage;
	Size		next_page;		/* of the stage's list */

	Candidate  *stream;			/* entries of the page being streamed */
	int			stream_n;
	int			stream_next;

	bool		sorted;			/* the directory has ranked pages by their bounds */
	Buffer		ahead;			/* pinned: the page to be read next */
	CandidateSet candidates;

	Candidate	last;			/* returned last, to be killed perhaps */
	bool		has_last;
	IndexTuple	no_values;		/* for index-only scans */
} TopkScan;

/* search.c */
extern PageKey topk_page_key(BlockNumber block, double bound);
extern void topk_begin_ranked(TopkScan *state);
extern bool topk_next_ranked(IndexScanDesc scan, TopkScan *state,
							 Candidate *next);
extern void topk_release_ahead(TopkScan *state);

#endif							/* FACTOR_SCAN_H */

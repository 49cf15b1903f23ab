/*
 * scan.h: the state of a scan of the topk index, for scan.c and search.c.
 */
#ifndef FACTOR_SCAN_H
#define FACTOR_SCAN_H

#include "postgres.h"

#include "access/relscan.h"

#include "numerics/codes.h"
#include "rank/cache.h"
#include "rank/candidates.h"
#include "rank/topk.h"

typedef enum Stage
{
	STAGE_REFUSED,
	STAGE_UNKNOWN,
	STAGE_RANKED,
	STAGE_NO_NUMBER,
	STAGE_NULL,
	STAGES
} Stage;

/* Pages of a stage */
typedef struct PageList
{
	PageKey    *pages;
	Size		n;
	Size		allocated;
	bool		sorted;			/* in order of their bounds */
	bool		by_norm;		/* the keys have norms, not bounds */
} PageList;

typedef struct TopkScan
{
	MemoryContext context;		/* all of one scan; reset by rescan */
	Oid		   *types;			/* of the ORDER BY values, and these */
	IndexOrderByDistance *values;

	/* from here on, zeroed by rescan */
	bool		started;
	CodeDistance distance;		/* of the first ORDER BY operator */
	bool		all_null;		/* so are all queries */
	int			query_length;	/* of all that are not; -1: not of one length */
	CodeKind	query_kind;		/* of the first; irregular also if it is NULL */
	CodeQuery  *query;

	uint32		epoch;			/* of the directory that the lists are from */
	uint32		changes;		/* and how often that had changed */
	PageList	lists[STAGES];
	Stage		stage;
	Size		next_page;		/* of the stage's list */
	Buffer		ahead;			/* pinned: the page to be read next */
	CandidateSet candidates;	/* of the stage */

	Candidate	last;			/* returned last, to be killed perhaps */
	bool		has_last;
} TopkScan;

/* scan.c */
extern Stage topk_stage_of(const TopkScan *state, TopkGroup group);
extern void topk_list_pages(IndexScanDesc scan, TopkScan *state);

/* search.c */
extern PageKey topk_page_key(BlockNumber block, double bound);
extern void topk_begin_stage(TopkScan *state);
extern bool topk_next_of_stage(IndexScanDesc scan, TopkScan *state,
							   Candidate *next);
extern void topk_release_ahead(TopkScan *state);

#endif							/* FACTOR_SCAN_H */

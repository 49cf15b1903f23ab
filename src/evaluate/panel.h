/*
 * panel.h: the processes that judge a chunk of users together.
 */
#ifndef FACTOR_PANEL_H
#define FACTOR_PANEL_H

#include "postgres.h"

#include "numerics/judge.h"
#include "numerics/metrics.h"
#include "train/ratings.h"
#include "train/team.h"

/* What the arrays' sizes follow from. */
typedef struct PanelShape
{
	uint64		nitems;
	uint64		d;				/* factors of the model */
	uint64		length;			/* of the vectors that rank */
	uint64		k;				/* as asked for */
	uint64		list;			/* the length of a list: no more than nitems */
	uint64		nusers;			/* of the chunk */
	uint64		nskip;			/* of the chunk */
	uint64		ntargets;		/* of the chunk */
} PanelShape;

/* What lists are measured by, the same for all that is judged. */
typedef struct PanelCatalogue
{
	float	   *directions;		/* nitems x d */
	double	   *share;			/* nitems */
} PanelCatalogue;

/* What ranks the items: a model or a baseline. */
typedef struct PanelRanker
{
	float	   *vectors;		/* nitems x judge_stride(length) */
	float	   *norm;			/* nitems */
	uint8	   *listed;			/* nitems; out: in the list of any user */
} PanelRanker;

/* A chunk of users. */
typedef struct PanelChunk
{
	float	   *vectors;		/* nusers x judge_stride(length) */
	uint64	   *skip_start;		/* nusers + 1, into skip */
	uint64	   *target_start;	/* nusers + 1, into targets */
	uint32	   *skip;
	JudgeTarget *targets;
	UserMetrics *metrics;		/* nusers; out */
} PanelChunk;

/* Lay arrays out from `base`; return their bytes, all that NULL is for. */
extern Size panel_catalogue_layout(PanelCatalogue *catalogue, const PanelShape *shape, char *base);
extern Size panel_ranker_layout(PanelRanker *ranker, const PanelShape *shape, char *base);
extern Size panel_chunk_layout(PanelChunk *chunk, const PanelShape *shape, char *base);

/*
 * Judges the chunk, with parallel workers if there is enough to do for them and
 * all three arrays are shared; no worker is left when it returns.
 */
extern void panel_judge(const PanelShape *shape, BigArray *catalogue, BigArray *ranker,
						BigArray *chunk, int workers, TeamNotes *notes);

#endif							/* FACTOR_PANEL_H */

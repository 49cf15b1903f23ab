/*
 * judging.h: a walk over the test pairs, user by user, and what comes of it.
 */
#ifndef FACTOR_JUDGING_H
#define FACTOR_JUDGING_H

#include "evaluate/ranker.h"

typedef struct JudgingOptions
{
	int			k;
	bool		has_relevant;
	float		relevant;		/* a test pair's least value to be relevant */
	bool		exclude_train;	/* training's items are no candidates */
} JudgingOptions;

/* Counts that are the same for all that is judged. */
typedef struct JudgingCounts
{
	uint64		users;			/* with relevant pairs that could be ranked */
	uint64		pairs;			/* whose ratings were predicted, or could be */
	uint64		relevant;		/* pairs that were ranked */
	uint64		in_training;	/* test pairs that training has too */
	uint64		unknown_users;
	uint64		unknown_items;
	uint64		unknown_pairs;	/* of either */
} JudgingCounts;

/* What a ranker is found to be; a mean is sum / count. */
typedef struct Judgement
{
	Ranker	   *ranker;
	double		squares;
	double		absolutes;
	double		sum[METRICS_COUNT]; /* in UserMetrics' order */
	uint64		count[METRICS_COUNT];
} Judgement;

extern void judging_run(const Evidence *evidence, const JudgingOptions *options, int workers,
						Judgement *judgements, int n, JudgingCounts *counts);

#endif							/* FACTOR_JUDGING_H */

/*
 * tune.h: a search for good options: what it is asked, a trial, and the table of
 * trials.
 */
#ifndef FACTOR_TUNE_H
#define FACTOR_TUNE_H

#include "postgres.h"

#include "model/query.h"
#include "options/option.h"
#include "train/ratings.h"

/* What a trial's row keeps of mf_evaluate's, and which way is better. */
typedef struct TuneMetric
{
	const char *name;
	bool		less_is_better;
} TuneMetric;

#define TUNE_METRICS 13

extern const TuneMetric tune_metrics[TUNE_METRICS];

/* The options of mf_tune itself (tune.c). */
extern const OptionTable tune_options;

typedef struct Search
{
	Oid			ratings;
	const char *user_col;
	const char *item_col;
	const char *rating_col;		/* NULL: every row counts 1 */
	const char *model;			/* trained and dropped, trial by trial */
	MemoryContext context;		/* lives as long as the call */
	bool		commits;
	bool		verbose;
	const char *extension;		/* its schema, quoted */
	char	   *source;			/* the ratings' quoted, qualified name */
	RatingSource pairs;			/* the ratings, held open in each transaction */
	RatingSource judged;		/* and the test, if it was given */
	char	   *results;		/* the table's, too */
	char	   *protocol;		/* JSON text */
	int			metric;
	double		holdout;
	int			folds;
	int			trials;			/* drawn at random; 0: all combinations */
	int64		seed;			/* fold n, from 1, is split by seed + n */
	Oid			test;			/* InvalidOid: held out */
	int			k;
	char	   *relevant;		/* SQL */
} Search;

typedef struct Trial
{
	double		sum[TUNE_METRICS];
	int			count[TUNE_METRICS];
	int64		users;
	int64		pairs;
	char	   *error;			/* NULL: none */
} Trial;

/* ---- Names in SQL ---- */

/* The metrics' names with commas between them. */
extern char *tune_metric_list(bool quoted);

/* A relation's quoted, qualified name; an error if it is gone (tune.c). */
extern char *tune_relation_name(Oid relid);

/* ---- A trial (trial.c) ---- */

/*
 * Trains and judges one set of options, a JSON object's text, on all folds. An
 * error that the options or the data are to blame for is the trial's result.
 */
extern char *trial_part(const Search *search, int fold, int part);
extern void trial_run(const Search *search, const char *set, Trial *trial);

/* ---- The table of trials (trial_table.c) ---- */

/* Makes it where it is not there. */
extern void trials_make(const Search *search);

/* Is there a trial of the set? Its error goes to *error, NULL if it has none. */
extern bool trials_find(const Search *search, const char *set, char **error);

/* Adds a trial; false where there is one of the set meanwhile, another search's. */
extern bool trials_keep(const Search *search, const char *set, const Trial *trial,
						double seconds);

/* The best options of the same source and protocol, and their score: NULLs if none. */
extern void trials_best(const Search *search, Datum *values, bool *nulls,
						MemoryContext context);

#endif							/* FACTOR_TUNE_H */

/*
 * options.h: the options of a training, checked.
 */
#ifndef FACTOR_OPTIONS_H
#define FACTOR_OPTIONS_H

#include "postgres.h"
#include "fmgr.h"

#include "numerics/als.h"
#include "train/ratings.h"

#define TRAIN_MAX_ITERATIONS 100000

/* What mf_train was given, with defaults where they do not need the data. */
typedef struct TrainOptions
{
	const char *model;			/* as the user wrote it */
	int			iterations;
	int64		seed;
	bool		verbose;
	bool		index_new;		/* index the items of a new model */
	bool		index_old;		/* and of one that is trained again */
	AlsSpec		spec;
	const Model *warm;			/* NULL, or the model whose users' vectors are
								 * the first ones */
	double		tolerance;		/* stop when the objective falls by less than
								 * this share in an iteration; below 0: never */
	bool		scale_regularization;	/* by the ratings' deviation */
	bool		scale_alpha;	/* by the ratings' mean */
	bool		scale_unobserved;	/* by the ratings' density */
} TrainOptions;

/*
 * Reads and checks the arguments of mf_train, apart from what needs the
 * rating table. Errors name the option, its value and its range.
 */
extern void options_read(FunctionCallInfo fcinfo, RatingSource *source,
						 TrainOptions *options);

/* The options that a model was trained with, for another training. */
extern void options_repeat(const Model *model, TrainOptions *options);

/* Fills in what depends on the data: the mean, and the scaled defaults. */
extern void options_resolve(TrainOptions *options, const RatingSet *ratings);

#endif							/* FACTOR_OPTIONS_H */

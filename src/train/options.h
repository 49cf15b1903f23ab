/*
 * options.h: the options of a training, checked.
 */
#ifndef FACTOR_OPTIONS_H
#define FACTOR_OPTIONS_H

#include "postgres.h"
#include "fmgr.h"

#include "numerics/als.h"
#include "numerics/sgd.h"
#include "train/ratings.h"

#define TRAIN_MAX_ITERATIONS 100000

/*
 * Defaults of explicit feedback that are not mf_train's alone, the first for ratings
 * of standard deviation 1: see doc/defaults.md for how they were chosen.
 */
#define EXPLICIT_REGULARIZATION 1.25
#define EXPLICIT_REG_EXPONENT 0.5
#define EXPLICIT_BIAS_REGULARIZATION 4.0

typedef enum SolverKind
{
	SOLVER_ALS,
	SOLVER_SGD
} SolverKind;

/* What mf_train was given, with defaults where they do not need the data. */
typedef struct TrainOptions
{
	bool		named;			/* by the caller; else as the table is */
	const char *model;			/* as the user wrote it */
	SolverKind	solver;
	int			iterations;
	int			patience;		/* iterations without a better one; 0: any */
	int64		seed;
	bool		verbose;
	bool		index_new;		/* index the items of a new model */
	bool		index_old;		/* and of one that is trained again */
	AlsSpec		spec;			/* the objective */
	Model	   *warm;			/* NULL, or the model whose vectors are the
								 * first ones */
	double		tolerance;		/* stop when the objective falls by less than
								 * this share in an iteration; below 0: never */
	SgdSpec		sgd;			/* the loss and, of a stochastic training, how */
	bool		center;			/* start from the mean of the ratings */
	bool		scale_regularization;	/* by the ratings' deviation */
	bool		scale_bias_regularization;
	bool		scale_rate;
	bool		scale_alpha;	/* by the ratings' mean */
	bool		scale_unobserved;	/* by the ratings' density: alpha0 is that
									 * times unobserved_share */
	double		unobserved_share;
	double		unobserved_max;
	const char *given;			/* arg_options_json() */
} TrainOptions;

/*
 * Reads and checks the arguments of mf_train, apart from what needs the
 * rating table. Errors name the option, its value and its range.
 */
extern void options_read(FunctionCallInfo fcinfo, RatingSource *source,
						 TrainOptions *options);

/*
 * For another training of the model, whose options were read from `train`: it
 * starts from the model's vectors, and defaults that follow the data are what the
 * first training made of them.
 */
extern void options_keep(FunctionCallInfo train, Model *model, TrainOptions *options);

/* Which loss, solver and feedback; the rest of options_read() follows them. */
extern void options_read_kind(FunctionCallInfo fcinfo, RatingSource *source,
							  TrainOptions *options);

/* The options of the stochastic solver; with ALS, that none is given. */
extern void options_read_sgd(FunctionCallInfo fcinfo, const RatingSource *source,
							 TrainOptions *options);

/* Which ratings count, and which are held out. */
extern void options_read_selection(FunctionCallInfo fcinfo, RatingSource *source,
								   TrainOptions *options);

/* Fills in what depends on the data: the mean, and the scaled defaults. */
extern void options_resolve(TrainOptions *options, const RatingSet *ratings);

/* Names as the arguments spell them. */
extern const char *options_loss_name(const TrainOptions *options);
extern const char *options_solver_name(const TrainOptions *options);

/* What a stochastic training was made with, as the text of a JSON object. */
extern char *options_settings_json(const TrainOptions *options,
								   const RatingSource *source);

#endif							/* FACTOR_OPTIONS_H */

/*
 * options.h: the options of a training: as they were given, and as they are used.
 */
#ifndef FACTOR_OPTIONS_H
#define FACTOR_OPTIONS_H

#include "postgres.h"
#include "fmgr.h"

#include "numerics/als.h"
#include "numerics/sgd.h"
#include "options/option.h"
#include "train/ratings.h"

#define TRAIN_MAX_ITERATIONS 100000

/*
 * Defaults that are not mf_train's alone, the first for ratings of standard
 * deviation 1: see doc/defaults.md for how they were chosen.
 */
#define EXPLICIT_REGULARIZATION 1.25
#define EXPLICIT_REG_EXPONENT 0.5
#define EXPLICIT_BIAS_REGULARIZATION 4.0
#define IMPLICIT_REGULARIZATION 0.3
#define IMPLICIT_REG_EXPONENT 0.5

typedef enum SolverKind
{
	SOLVER_ALS,
	SOLVER_SGD
} SolverKind;

/* ---- What was given (option_table.c) ---- */

/* What a training is asked for: the ratings, the model, and the options by name. */
typedef struct TrainCall
{
	Oid			ratings;
	const char *user_col;
	const char *item_col;
	const char *rating_col;		/* NULL: every row counts 1 */
	const char *model;			/* NULL: the table's name */

	ChoiceOption feedback;
	ChoiceOption loss;
	ChoiceOption solver;
	IntOption	factors;
	IntOption	iterations;
	RealOption	regularization;
	RealOption	reg_exponent;
	RealOption	bias_regularization;
	RealOption	alpha;
	RealOption	unobserved_weight;
	BoolOption	bias;
	BoolOption	center;
	RangeOption rating_range;
	RealOption	init_std;
	BigintOption seed;

	ChoiceOption optimizer;
	RealOption	learning_rate;
	IntOption	batch_size;
	RealOption	weight_decay;
	ChoiceOption schedule;
	IntOption	negatives;
	ChoiceOption negative_sampling;
	BoolOption	observed_negatives;

	AnyOption	holdout;
	NameOption	time_col;
	IntOption	patience;
	IntOption	min_ratings[2];
	RealOption	min_rating;
	AnyOption	since;

	BoolOption	verbose;
	BoolOption	index;
} TrainCall;

extern const OptionTable train_options;

/* Choices by their place, ending with a NULL. */
extern const char *const train_feedbacks[];
extern const char *const train_losses[];
extern const char *const train_solvers[];
extern const char *const train_optimizers[];
extern const char *const train_schedules[];
extern const char *const train_samplings[];

/*
 * Where a function has what: the ratings first, from `columns` on the columns of
 * the users, the items and the ratings, the model's name, the options that are
 * arguments, and the others as jsonb.
 */
typedef struct TrainSignature
{
	const char *ratings;		/* the argument's name */
	int			columns;
	const char *const *named;	/* ends with a NULL */
} TrainSignature;

extern void train_call_read(FunctionCallInfo fcinfo, const TrainSignature *signature,
							TrainCall *call);

/* ---- What is used (options.c) ---- */

/* The options of a call, with defaults where they do not need the data. */
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
	bool		scale_unobserved;	/* by the ratings' density */
	const char *given;			/* options_json() */
} TrainOptions;

/*
 * Checks how the options of a call go together, and fills in what follows from
 * them alone, apart from what needs the rating table.
 */
extern void options_from_call(const TrainCall *call, RatingSource *source,
							  TrainOptions *options);

/*
 * For another training of the model: it starts from the model's vectors, and
 * defaults that follow the data are what the first training made of them.
 */
extern void options_keep(const TrainCall *call, Model *model, TrainOptions *options);

/* Fills in what depends on the data: the mean, and the scaled defaults. */
extern void options_resolve(TrainOptions *options, const RatingSet *ratings);

/* Names as the options spell them. */
extern const char *options_loss_name(const TrainOptions *options);
extern const char *options_solver_name(const TrainOptions *options);

/* What a training was made with, as the text of a JSON object. */
extern char *options_settings_json(const TrainOptions *options,
								   const RatingSource *source);

#endif							/* FACTOR_OPTIONS_H */

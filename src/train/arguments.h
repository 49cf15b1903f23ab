/*
 * arguments.h: the arguments of mf_train by name, read and checked one by one.
 */
#ifndef FACTOR_ARGUMENTS_H
#define FACTOR_ARGUMENTS_H

#include "postgres.h"
#include "fmgr.h"

/* The places of mf_train's arguments. */
typedef enum TrainArg
{
	ARG_RATINGS, ARG_USER_COL, ARG_ITEM_COL, ARG_RATING_COL, ARG_MODEL,
	ARG_FEEDBACK, ARG_FACTORS, ARG_ITERATIONS, ARG_REGULARIZATION,
	ARG_REG_EXPONENT, ARG_BIAS_REGULARIZATION, ARG_ALPHA,
	ARG_UNOBSERVED_WEIGHT, ARG_SEED, ARG_VERBOSE, ARG_INDEX,
	ARG_LOSS, ARG_SOLVER, ARG_OPTIMIZER, ARG_LEARNING_RATE, ARG_BATCH_SIZE,
	ARG_WEIGHT_DECAY, ARG_SCHEDULE, ARG_NEGATIVES, ARG_NEGATIVE_SAMPLING,
	ARG_OBSERVED_NEGATIVES, ARG_INIT_STD, ARG_RATING_RANGE, ARG_BIAS,
	ARG_CENTER, ARG_GRAVITY, ARG_HOLDOUT, ARG_TIME_COL, ARG_PATIENCE,
	ARG_MIN_USER_RATINGS, ARG_MIN_ITEM_RATINGS, ARG_MIN_RATING, ARG_SINCE
} TrainArg;

#define TRAIN_ARGS (ARG_SINCE + 1)

/*
 * Each reads one argument, gives `fallback` for a NULL, and raises an error
 * that names the argument, its value and its range where it is out of that.
 */
extern bool arg_given(FunctionCallInfo fcinfo, TrainArg arg);
extern const char *arg_name(FunctionCallInfo fcinfo, TrainArg arg);
extern int	arg_int(FunctionCallInfo fcinfo, TrainArg arg, int fallback, int min, int max);
extern double arg_real(FunctionCallInfo fcinfo, TrainArg arg,
					   double fallback, double min, double max);
extern bool arg_bool(FunctionCallInfo fcinfo, TrainArg arg, bool fallback);

/* The place of a text among `choices`, a list that ends with a NULL. */
extern int	arg_choice(FunctionCallInfo fcinfo, TrainArg arg, int fallback,
					   const char *const *choices);

/* The text of an argument that takes values of any type; NULL for a NULL. */
extern char *arg_text(FunctionCallInfo fcinfo, TrainArg arg);

/* The two ends of a range of numbers. */
extern void arg_range(FunctionCallInfo fcinfo, TrainArg arg, double *low, double *high);

/*
 * "<name> does not apply to <what>", if the argument is given; with a hint to use
 * the remedy, NULL for none.
 */
extern void arg_refuse(FunctionCallInfo fcinfo, TrainArg arg, const char *what,
					   const char *remedy);

/*
 * The options that were given, as the text of a JSON object whose keys are
 * names of arguments: all but the ratings, the columns and the model, which
 * have columns of their own in mf_models.
 */
extern char *arg_options_json(FunctionCallInfo fcinfo);

/*
 * The text of an option that came as JSON, for its type's input function: there a
 * whole number may have been written as 2.0.
 */
extern const char *option_input_text(Oid type, const char *text);

/*
 * A call of mf_train that nobody wrote: begun with all arguments null, which are
 * then set from their texts; `train` has room for TRAIN_ARGS, and lives as long as
 * the current memory context. By name only options are set, and an unknown one
 * gives false.
 */
extern void arg_call_begin(FunctionCallInfo train, FmgrInfo *flinfo);
extern void arg_call_set(FunctionCallInfo train, TrainArg arg, const char *text);
extern bool arg_call_set_named(FunctionCallInfo train, const char *name, const char *text);

#endif							/* FACTOR_ARGUMENTS_H */

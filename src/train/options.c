/*
 * options.c: the arguments of mf_train, checked and given their defaults.
 *
 * An option that means nothing for the chosen feedback is an error rather than
 * ignored. Defaults were chosen by measurement (doc/defaults.md). Two of them
 * follow the data, so that they are as good on another scale of ratings:
 *
 * - explicit: multiplying all ratings by s multiplies the squared error by s^2
 *	 and the best |p|^2 and |q|^2 by s, so lambda has to grow by s to keep the
 *	 solution's shape. The default lambda is a constant times the standard
 *	 deviation of the ratings. (lambda_b needs nothing: biases grow by s, their
 *	 squares by s^2.)
 * - implicit: only the weights' proportion to alpha0 and lambda matters, so the
 *	 default alpha makes the mean weight one.
 *
 * and one follows their density, ratings / (users * items): the default alpha0
 * gives all pairs together a constant times the weight of the observed pairs
 * together. A constant alpha0 would let the pairs that did not happen outweigh
 * the others without bound as catalogues grow, until zero vectors were best.
 */
#include "postgres.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "train/options.h"

/* The places of mf_train's arguments. */
enum
{
	ARG_RATINGS, ARG_USER_COL, ARG_ITEM_COL, ARG_RATING_COL, ARG_MODEL,
	ARG_FEEDBACK, ARG_FACTORS, ARG_ITERATIONS, ARG_REGULARIZATION,
	ARG_REG_EXPONENT, ARG_BIAS_REGULARIZATION, ARG_ALPHA,
	ARG_UNOBSERVED_WEIGHT, ARG_SEED, ARG_VERBOSE, ARG_INDEX
};

#define MAX_WEIGHT 1e9

/* Defaults: see doc/defaults.md for how they were chosen. */
#define EXPLICIT_FACTORS 32
#define EXPLICIT_ITERATIONS 15
#define EXPLICIT_REGULARIZATION 1.25
#define EXPLICIT_REG_EXPONENT 0.5
#define EXPLICIT_BIAS_REGULARIZATION 4.0
#define IMPLICIT_FACTORS 64
#define IMPLICIT_ITERATIONS 15
#define IMPLICIT_REGULARIZATION 0.3
#define IMPLICIT_REG_EXPONENT 0.5
#define IMPLICIT_UNOBSERVED_SHARE 5.0	/* alpha0 is this times the density ... */
#define IMPLICIT_UNOBSERVED_MAX 1.0 /* ... but no more than an observed pair */

static const char *
NameArgument(FunctionCallInfo fcinfo, int arg, const char *option)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", option)));
	return pstrdup(NameStr(*PG_GETARG_NAME(arg)));
}

static int
IntArgument(FunctionCallInfo fcinfo, int arg, const char *option,
			int fallback, int max)
{
	int			value;

	if (PG_ARGISNULL(arg))
		return fallback;
	value = PG_GETARG_INT32(arg);
	if (value < 1 || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %d, outside its range of 1 to %d",
						option, value, max)));
	return value;
}

static double
RealArgument(FunctionCallInfo fcinfo, int arg, const char *option,
			 double fallback, double min, double max)
{
	double		value;

	if (PG_ARGISNULL(arg))
		return fallback;
	value = PG_GETARG_FLOAT8(arg);
	if (!(value >= min && value <= max))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %g, outside its range of %g to %g",
						option, value, min, max)));
	return value;
}

static void
RefuseArgument(FunctionCallInfo fcinfo, int arg, const char *option,
			   const char *feedback)
{
	if (!PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s does not apply to %s feedback", option, feedback)));
}

/* feedback => 'explicit' or 'implicit': returns whether it is implicit. */
static bool
ReadFeedback(FunctionCallInfo fcinfo)
{
	char	   *feedback;

	if (PG_ARGISNULL(ARG_FEEDBACK))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("feedback must not be null")));
	feedback = text_to_cstring(PG_GETARG_TEXT_PP(ARG_FEEDBACK));
	if (strcmp(feedback, "implicit") == 0)
		return true;
	if (strcmp(feedback, "explicit") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized feedback \"%s\"", feedback),
				 errhint("Feedback is 'explicit' (ratings that people gave) or "
						 "'implicit' (what they did).")));
	return false;
}

static void
ReadSource(FunctionCallInfo fcinfo, RatingSource *source)
{
	if (PG_ARGISNULL(ARG_RATINGS))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("ratings must not be null")));
	source->relid = PG_GETARG_OID(ARG_RATINGS);
	source->user_col = NameArgument(fcinfo, ARG_USER_COL, "user_col");
	source->item_col = NameArgument(fcinfo, ARG_ITEM_COL, "item_col");
	source->rating_col = PG_ARGISNULL(ARG_RATING_COL) ? NULL :
		pstrdup(NameStr(*PG_GETARG_NAME(ARG_RATING_COL)));
	source->implicit = ReadFeedback(fcinfo);
}

static void
ReadExplicit(FunctionCallInfo fcinfo, TrainOptions *options)
{
	AlsSpec    *spec = &options->spec;

	RefuseArgument(fcinfo, ARG_ALPHA, "alpha", "explicit");
	RefuseArgument(fcinfo, ARG_UNOBSERVED_WEIGHT, "unobserved_weight", "explicit");
	spec->biased = true;
	spec->alpha = 1;
	spec->factors = IntArgument(fcinfo, ARG_FACTORS, "factors",
								EXPLICIT_FACTORS, ALS_MAX_FACTORS);
	options->iterations = IntArgument(fcinfo, ARG_ITERATIONS, "iterations",
									  EXPLICIT_ITERATIONS, TRAIN_MAX_ITERATIONS);
	spec->regularization = RealArgument(fcinfo, ARG_REGULARIZATION, "regularization",
										EXPLICIT_REGULARIZATION, 0, MAX_WEIGHT);
	options->scale_regularization = PG_ARGISNULL(ARG_REGULARIZATION);
	spec->reg_exponent = RealArgument(fcinfo, ARG_REG_EXPONENT, "reg_exponent",
									  EXPLICIT_REG_EXPONENT, 0, 1);
	spec->bias_regularization =
		RealArgument(fcinfo, ARG_BIAS_REGULARIZATION, "bias_regularization",
					 EXPLICIT_BIAS_REGULARIZATION, 0, MAX_WEIGHT);
}

static void
ReadImplicit(FunctionCallInfo fcinfo, TrainOptions *options)
{
	AlsSpec    *spec = &options->spec;

	RefuseArgument(fcinfo, ARG_BIAS_REGULARIZATION, "bias_regularization", "implicit");
	spec->implicit = true;
	spec->factors = IntArgument(fcinfo, ARG_FACTORS, "factors",
								IMPLICIT_FACTORS, ALS_MAX_FACTORS);
	options->iterations = IntArgument(fcinfo, ARG_ITERATIONS, "iterations",
									  IMPLICIT_ITERATIONS, TRAIN_MAX_ITERATIONS);
	spec->regularization = RealArgument(fcinfo, ARG_REGULARIZATION, "regularization",
										IMPLICIT_REGULARIZATION, 0, MAX_WEIGHT);
	spec->reg_exponent = RealArgument(fcinfo, ARG_REG_EXPONENT, "reg_exponent",
									  IMPLICIT_REG_EXPONENT, 0, 1);
	spec->alpha = RealArgument(fcinfo, ARG_ALPHA, "alpha", 1, 0, MAX_WEIGHT);
	options->scale_alpha = PG_ARGISNULL(ARG_ALPHA);
	spec->alpha0 = RealArgument(fcinfo, ARG_UNOBSERVED_WEIGHT, "unobserved_weight",
								0, 0, MAX_WEIGHT);
	options->scale_unobserved = PG_ARGISNULL(ARG_UNOBSERVED_WEIGHT);
}

void
options_read(FunctionCallInfo fcinfo, RatingSource *source, TrainOptions *options)
{
	memset(options, 0, sizeof(*options));
	options->tolerance = -1;
	ReadSource(fcinfo, source);

	if (source->implicit)
		ReadImplicit(fcinfo, options);
	else
		ReadExplicit(fcinfo, options);

	options->seed = PG_ARGISNULL(ARG_SEED) ? 0 : PG_GETARG_INT64(ARG_SEED);
	options->verbose = PG_ARGISNULL(ARG_VERBOSE) || PG_GETARG_BOOL(ARG_VERBOSE);

	/* Whoever dropped an index gets it back only on request. */
	options->index_new = PG_ARGISNULL(ARG_INDEX) || PG_GETARG_BOOL(ARG_INDEX);
	options->index_old = !PG_ARGISNULL(ARG_INDEX) && PG_GETARG_BOOL(ARG_INDEX);

	if (!PG_ARGISNULL(ARG_MODEL))
		options->model = text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODEL));
	else
	{
		char	   *table = get_rel_name(source->relid);

		/* A dropped table gets its error when it is opened. */
		options->model = table ? quote_identifier(table) : "";
	}
}

void
options_repeat(const Model *model, TrainOptions *options)
{
	const ModelRecord *record = &model->record;
	AlsSpec    *spec = &options->spec;

	memset(options, 0, sizeof(*options));
	options->model = quote_qualified_identifier(model->schema_name, model->name);
	options->seed = record->seed;
	options->warm = model;
	spec->factors = record->factors;
	spec->implicit = record->implicit;
	spec->biased = record->biased;
	spec->mean = record->mean;
	spec->alpha = record->alpha;
	spec->alpha0 = record->unobserved_weight;
	spec->regularization = record->regularization;
	spec->reg_exponent = record->reg_exponent;
	spec->bias_regularization = record->bias_regularization;
}

void
options_resolve(TrainOptions *options, const RatingSet *ratings)
{
	AlsSpec    *spec = &options->spec;

	if (!spec->implicit)
		spec->mean = ratings->mean;
	if (options->scale_regularization)
	{
		double		variance = ratings->mean_square - ratings->mean * ratings->mean;

		/* Ratings that are all the same leave nothing to regularize. */
		if (variance > 1e-12 * ratings->mean_square)
			spec->regularization *= sqrt(variance);
	}
	if (options->scale_alpha && ratings->mean > 0)
		spec->alpha = 1 / ratings->mean;
	if (options->scale_unobserved)
	{
		double		all = (double) ratings->ids[MF_USERS].n * ratings->ids[MF_ITEMS].n;

		spec->alpha0 = Min(IMPLICIT_UNOBSERVED_SHARE * ratings->pairs / all,
						   IMPLICIT_UNOBSERVED_MAX);
	}
}

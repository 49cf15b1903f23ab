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
 *	 Behind a sigmoid scaled to a range vectors and biases have no scale, so
 *	 lambda and lambda_b have to grow by s^2.
 *	 Adam and AdaGrad move a number by the learning rate, whatever the gradient's
 *	 scale, so their default rate is a constant times the standard deviation too.
 *	 Plain descent's steps grow by s^2 for the vectors, which only grow by the
 *	 root of s: its rate is divided by the deviation. Behind a sigmoid neither.
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

#include "train/arguments.h"
#include "train/options.h"

#define MAX_WEIGHT 1e9

/* Defaults: see doc/defaults.md for how they were chosen. */
/*
 * The mean length of the first vectors of alternating least squares. Small
 * ones would start beside the saddle at zero, where regularization holds
 * explicit feedback for several iterations.
 */
#define INITIAL_LENGTH 1.0
#define MAX_INIT_STD 1000

#define EXPLICIT_FACTORS 32
#define EXPLICIT_ITERATIONS 15
#define IMPLICIT_FACTORS 64
#define IMPLICIT_ITERATIONS 15
#define IMPLICIT_REGULARIZATION 0.3
#define IMPLICIT_REG_EXPONENT 0.5
#define IMPLICIT_UNOBSERVED_SHARE 5.0	/* alpha0 is this times the density ... */
#define IMPLICIT_UNOBSERVED_MAX 1.0 /* ... but no more than an observed pair */

/* Of ratings, for plain descent's rate: the biases bear no more than ten times it. */
#define SGD_DEVIATION_MIN 0.1

static void
ReadSource(FunctionCallInfo fcinfo, RatingSource *source)
{
	if (!arg_given(fcinfo, ARG_RATINGS))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("ratings must not be null")));
	source->relid = PG_GETARG_OID(ARG_RATINGS);
	source->user_col = arg_name(fcinfo, ARG_USER_COL);
	source->item_col = arg_name(fcinfo, ARG_ITEM_COL);
	source->rating_col = arg_given(fcinfo, ARG_RATING_COL) ?
		arg_name(fcinfo, ARG_RATING_COL) : NULL;
}

/* gravity, or unobserved_weight: two scales of the same term. */
static void
ReadAllPairs(FunctionCallInfo fcinfo, TrainOptions *options)
{
	AlsSpec    *spec = &options->spec;

	if (arg_given(fcinfo, ARG_GRAVITY) && arg_given(fcinfo, ARG_UNOBSERVED_WEIGHT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("gravity and unobserved_weight exclude each other"),
				 errdetail("Both weigh the squares of all pairs' products: "
						   "unobserved_weight is gravity times ratings over (users times items).")));
	spec->unobserved_weight = arg_real(fcinfo, ARG_UNOBSERVED_WEIGHT, 0, 0, MAX_WEIGHT);
	options->scale_unobserved = arg_given(fcinfo, ARG_GRAVITY);
	options->unobserved_share = arg_real(fcinfo, ARG_GRAVITY, 0, 0, MAX_WEIGHT);
	options->unobserved_max = MAX_WEIGHT;
}

static void
ReadExplicit(FunctionCallInfo fcinfo, TrainOptions *options)
{
	AlsSpec    *spec = &options->spec;

	arg_refuse(fcinfo, ARG_ALPHA, "explicit feedback", NULL);
	arg_refuse(fcinfo, ARG_UNOBSERVED_WEIGHT, "explicit feedback", "gravity");
	spec->biased = arg_bool(fcinfo, ARG_BIAS, true);
	spec->alpha = 1;
	options->center = arg_bool(fcinfo, ARG_CENTER, true);
	spec->factors = arg_int(fcinfo, ARG_FACTORS, EXPLICIT_FACTORS, 1, ALS_MAX_FACTORS);
}

static void
ReadImplicit(FunctionCallInfo fcinfo, TrainOptions *options)
{
	AlsSpec    *spec = &options->spec;

	arg_refuse(fcinfo, ARG_CENTER, "implicit feedback", NULL);
	spec->implicit = true;
	spec->biased = arg_bool(fcinfo, ARG_BIAS, false);
	if (spec->biased && options->sgd.loss.kind == LOSS_SQUARED)
		arg_refuse(fcinfo, ARG_BIAS, "implicit feedback with loss \"squared\"", NULL);
	spec->factors = arg_int(fcinfo, ARG_FACTORS, IMPLICIT_FACTORS, 1, ALS_MAX_FACTORS);
	spec->alpha = arg_real(fcinfo, ARG_ALPHA, 1, 0, MAX_WEIGHT);
}

/* What is particular to alternating least squares: mostly defaults. */
static void
ReadAls(FunctionCallInfo fcinfo, TrainOptions *options)
{
	AlsSpec    *spec = &options->spec;
	bool		implicit = spec->implicit;

	options->iterations = arg_int(fcinfo, ARG_ITERATIONS,
								  implicit ? IMPLICIT_ITERATIONS : EXPLICIT_ITERATIONS,
								  1, TRAIN_MAX_ITERATIONS);
	spec->regularization = arg_real(fcinfo, ARG_REGULARIZATION,
									implicit ? IMPLICIT_REGULARIZATION :
									EXPLICIT_REGULARIZATION, 0, MAX_WEIGHT);
	spec->reg_exponent = arg_real(fcinfo, ARG_REG_EXPONENT,
								  implicit ? IMPLICIT_REG_EXPONENT :
								  EXPLICIT_REG_EXPONENT, 0, 1);
	options->scale_regularization = !implicit && !arg_given(fcinfo, ARG_REGULARIZATION);
	options->scale_alpha = implicit && !arg_given(fcinfo, ARG_ALPHA);
	if (spec->biased)
		spec->bias_regularization = arg_real(fcinfo, ARG_BIAS_REGULARIZATION,
											 EXPLICIT_BIAS_REGULARIZATION, 0, MAX_WEIGHT);
	if (implicit && !arg_given(fcinfo, ARG_UNOBSERVED_WEIGHT) &&
		!arg_given(fcinfo, ARG_GRAVITY))
	{
		options->scale_unobserved = true;
		options->unobserved_share = IMPLICIT_UNOBSERVED_SHARE;
		options->unobserved_max = IMPLICIT_UNOBSERVED_MAX;
	}
	options->sgd.init_std = arg_real(fcinfo, ARG_INIT_STD,
									 INITIAL_LENGTH / sqrt(spec->factors), 0, MAX_INIT_STD);
}

void
options_read(FunctionCallInfo fcinfo, RatingSource *source, TrainOptions *options)
{
	memset(options, 0, sizeof(*options));
	options->tolerance = -1;
	memset(source, 0, sizeof(*source));
	ReadSource(fcinfo, source);
	options_read_kind(fcinfo, source, options);

	if (source->implicit)
		ReadImplicit(fcinfo, options);
	else
		ReadExplicit(fcinfo, options);
	if (source->implicit && options->sgd.loss.kind == LOSS_SQUARED)
		arg_refuse(fcinfo, ARG_BIAS_REGULARIZATION, "implicit feedback", NULL);
	else if (!options->spec.biased)
		arg_refuse(fcinfo, ARG_BIAS_REGULARIZATION, "a model without biases", "bias => true");
	ReadAllPairs(fcinfo, options);
	if (options->solver == SOLVER_ALS)
		ReadAls(fcinfo, options);
	options_read_sgd(fcinfo, source, options);
	options_read_selection(fcinfo, source, options);
	options->given = arg_options_json(fcinfo);

	options->seed = PG_ARGISNULL(ARG_SEED) ? 0 : PG_GETARG_INT64(ARG_SEED);
	options->verbose = PG_ARGISNULL(ARG_VERBOSE) || PG_GETARG_BOOL(ARG_VERBOSE);

	/* Whoever dropped an index gets it back only on request. */
	options->index_new = PG_ARGISNULL(ARG_INDEX) || PG_GETARG_BOOL(ARG_INDEX);
	options->index_old = !PG_ARGISNULL(ARG_INDEX) && PG_GETARG_BOOL(ARG_INDEX);

	options->named = !PG_ARGISNULL(ARG_MODEL);
	if (options->named)
		options->model = text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODEL));
	else
	{
		char	   *table = get_rel_name(source->relid);

		/* A dropped table gets its error when it is opened. */
		options->model = table ? quote_identifier(table) : "";
	}
}

void
options_keep(FunctionCallInfo train, Model *model, TrainOptions *options)
{
	const ModelRecord *record = &model->record;
	AlsSpec    *spec = &options->spec;

	options->warm = model;
	spec->reg_exponent = record->reg_exponent;
	spec->bias_regularization = record->bias_regularization;
	if (!arg_given(train, ARG_REGULARIZATION))
	{
		spec->regularization = record->regularization;
		options->scale_regularization = false;
	}
	if (!arg_given(train, ARG_ALPHA))
	{
		spec->alpha = record->alpha;
		options->scale_alpha = false;
	}
	if (!arg_given(train, ARG_UNOBSERVED_WEIGHT) && !arg_given(train, ARG_GRAVITY))
	{
		spec->unobserved_weight = record->unobserved_weight;
		options->scale_unobserved = false;
	}
}

void
options_resolve(TrainOptions *options, const RatingSet *ratings)
{
	AlsSpec    *spec = &options->spec;
	double		variance = ratings->mean_square - ratings->mean * ratings->mean;

	/* Ratings that are all the same leave nothing to scale by. */
	if (!(variance > 1e-12 * ratings->mean_square))
		variance = 1;
	if (options->center)
		spec->mean = options->sgd.loss.linked || options->sgd.loss.kind == LOSS_LOGISTIC ?
			loss_score(ratings->mean, options->sgd.loss.low, options->sgd.loss.high) :
			ratings->mean;
	if (options->scale_regularization)
		spec->regularization *= options->sgd.loss.linked ? variance : sqrt(variance);
	if (options->scale_bias_regularization)
		spec->bias_regularization *= variance;
	if (options->scale_rate)
		options->sgd.learning_rate *= options->sgd.optimizer == OPTIMIZER_SGD ?
			1 / Max(sqrt(variance), SGD_DEVIATION_MIN) : sqrt(variance);
	if (options->scale_alpha && ratings->mean > 0)
		spec->alpha = 1 / ratings->mean;
	if (options->scale_unobserved)
	{
		double		all = (double) ratings->ids[MF_USERS].n * ratings->ids[MF_ITEMS].n;

		spec->unobserved_weight = Min(options->unobserved_share * ratings->pairs / all,
						   options->unobserved_max);
	}
}

/*
 * options.c: how the options of a training go together, and their defaults.
 *
 * What a value may be, and to which trainings its option applies, is in the
 * table (option_table.c). Defaults were chosen by measurement (doc/defaults.md).
 * Two of them follow the data, so that they are as good on another scale of
 * ratings:
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
 * - implicit: only the proportion of the weights to lambda and the weight of
 *	 unobserved pairs matters, so the default alpha makes the mean weight one.
 *
 * and one follows their density, ratings / (users * items): by default all
 * pairs together weigh a constant times what the observed pairs together do. A
 * constant weight would let the pairs that did not happen outweigh the others
 * without bound as catalogues grow, until zero vectors were best.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "model/number.h"
#include "train/options.h"

/* ---- Defaults: see doc/defaults.md for how they were chosen ---- */

/*
 * The mean length of the first vectors of alternating least squares. Small
 * ones would start beside the saddle at zero, where regularization holds
 * explicit feedback for several iterations.
 */
#define INITIAL_LENGTH 1.0

#define EXPLICIT_FACTORS 32
#define IMPLICIT_FACTORS 64
#define ALS_ITERATIONS 15
#define IMPLICIT_UNOBSERVED_SHARE 5.0	/* the weight is this times the density ... */
#define IMPLICIT_UNOBSERVED_MAX 1.0 /* ... but no more than an observed pair's */

/* Of the stochastic solver: of rated pairs, and of all else. */
#define SGD_EPOCHS 30
#define RATED_REG_EXPONENT 0.5
#define RATED_INIT_STD 0.02
#define RATED_REGULARIZATION 1.25
#define RATED_BIAS_REGULARIZATION 4.0
#define RANKING_REG_EXPONENT 1.0
#define RANKING_INIT_STD 0.1
#define RANKING_REGULARIZATION 0.02
#define BPR_REGULARIZATION 0.01	/* a negative: the loss is a sum over them */
#define RANKING_NEGATIVES 4
#define HOLDOUT_TIME_FRACTION 0.1

/* By OptimizerKind. */
typedef struct Pace
{
	double		rate;
	int			batch;
} Pace;

static const Pace rated_pace[] = {{0.01, 1}, {0.1, 1}, {0.005, 64}};
static const Pace ranking_pace[] = {{0.05, 1}, {0.1, 1}, {0.005, 64}};

/* Of ratings, for plain descent's rate: the biases bear no more than ten times it. */
#define SGD_DEVIATION_MIN 0.1

const char *
options_loss_name(const TrainOptions *options)
{
	return train_losses[options->sgd.loss.kind];
}

const char *
options_solver_name(const TrainOptions *options)
{
	return train_solvers[options->solver];
}

/* ---- Kind ---- */

/* Which training it is, one of FOR_... */
static unsigned
Kind(const TrainOptions *options, bool implicit)
{
	if (options->solver == SOLVER_ALS)
		return implicit ? FOR_ALS_IMPLICIT : FOR_ALS_EXPLICIT;
	if (options->sgd.loss.kind == LOSS_BPR)
		return FOR_BPR;
	if (options->sgd.loss.kind == LOSS_LOGISTIC)
		return implicit ? FOR_LOGISTIC_IMPLICIT : FOR_LOGISTIC_EXPLICIT;
	return implicit ? FOR_SGD_IMPLICIT : FOR_SGD_EXPLICIT;
}

/* Feedback, loss and solver, each by default what suits the others. */
static void
SettleKind(const TrainCall *call, RatingSource *source, TrainOptions *options)
{
	LossSpec   *loss = &options->sgd.loss;
	bool		ranged = option_given(call->rating_range);

	loss->kind = option_or(call->loss, LOSS_SQUARED);
	loss->low = 0;
	loss->high = 1;
	source->implicit = option_or(call->feedback, loss->kind == LOSS_SQUARED ? 0 : 1) == 1;
	if (loss->kind == LOSS_BPR && !source->implicit)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("loss \"bpr\" does not apply to explicit feedback"),
				 errdetail("It compares items that a user chose with items that the user did not choose.")));
	options->solver = option_or(call->solver,
								loss->kind != LOSS_SQUARED || ranged ? SOLVER_SGD : SOLVER_ALS);
	if (options->solver == SOLVER_ALS && (loss->kind != LOSS_SQUARED || ranged))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 ranged ? errmsg("rating_range does not apply to solver \"als\"") :
				 errmsg("loss \"%s\" does not apply to solver \"als\"", train_losses[loss->kind]),
				 errdetail("Alternating least squares minimises squares of what is linear in the factors."),
				 errhint("Use \"solver\": \"sgd\".")));
	options_refuse(&train_options, call, Kind(options, source->implicit));
	if (ranged)
	{
		loss->linked = true;
		loss->low = call->rating_range.low;
		loss->high = call->rating_range.high;
	}
}

/* ---- What both solvers have ---- */

static void
SettleModel(const TrainCall *call, TrainOptions *options)
{
	AlsSpec    *spec = &options->spec;

	spec->factors = option_or(call->factors, spec->implicit ? IMPLICIT_FACTORS : EXPLICIT_FACTORS);
	spec->biased = option_or(call->bias, !spec->implicit);
	if (!spec->biased)
		option_refuse("bias_regularization", call->bias_regularization.text,
					  "a model without biases", "\"bias\": true");
	spec->alpha = option_or(call->alpha, 1);
	spec->unobserved_weight = option_or(call->unobserved_weight, 0);
	options->center = !spec->implicit && option_or(call->center, true);
}

/* ---- Alternating least squares ---- */

static void
SettleAls(const TrainCall *call, TrainOptions *options)
{
	AlsSpec    *spec = &options->spec;
	bool		implicit = spec->implicit;

	options->iterations = option_or(call->iterations, ALS_ITERATIONS);
	spec->regularization = option_or(call->regularization, implicit ? IMPLICIT_REGULARIZATION :
									 EXPLICIT_REGULARIZATION);
	spec->reg_exponent = option_or(call->reg_exponent, implicit ? IMPLICIT_REG_EXPONENT :
								   EXPLICIT_REG_EXPONENT);
	if (spec->biased)
		spec->bias_regularization = option_or(call->bias_regularization,
											  EXPLICIT_BIAS_REGULARIZATION);
	options->scale_regularization = !implicit && !option_given(call->regularization);
	options->scale_alpha = implicit && !option_given(call->alpha);
	options->scale_unobserved = implicit && !option_given(call->unobserved_weight);
	options->sgd.init_std = option_or(call->init_std, INITIAL_LENGTH / sqrt(spec->factors));
}

/* ---- The stochastic solver ---- */

static void
SettleNegatives(const TrainCall *call, TrainOptions *options)
{
	SgdSpec    *sgd = &options->sgd;
	int			fallback = 0;

	sgd->negative_kind = option_or(call->negative_sampling, NEGATIVES_UNIFORM);
	sgd->observed_negatives = option_or(call->observed_negatives, false);
	if (sgd->loss.kind != LOSS_SQUARED && options->spec.implicit)
		fallback = RANKING_NEGATIVES;
	if (sgd->negative_kind == NEGATIVES_IN_BATCH)
	{
		if (sgd->batch_size == 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("negative_sampling \"in_batch\" needs a batch_size above 1"),
					 errdetail("The negatives of a sample are the other items of its batch.")));
		if (sgd->batch_size > 1)
			fallback = Min(sgd->batch_size - 1, SGD_MAX_NEGATIVES);
	}
	sgd->negatives = option_or(call->negatives, fallback);
	if (sgd->loss.kind == LOSS_BPR && sgd->negatives < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("negatives is %d, outside its range of %d to %d", sgd->negatives,
						1, SGD_MAX_NEGATIVES),
				 errdetail("Loss \"bpr\" compares each pair with at least one item that was not chosen.")));
	if (sgd->negatives == 0)
	{
		option_refuse("negative_sampling", call->negative_sampling.text,
					  "a training without negatives", "\"negatives\": 4");
		if (sgd->observed_negatives)
			option_refuse("observed_negatives", call->observed_negatives.text,
						  "a training without negatives", "\"negatives\": 4");
	}
}

static void
SettleSgd(const TrainCall *call, TrainOptions *options)
{
	SgdSpec    *sgd = &options->sgd;
	AlsSpec    *spec = &options->spec;
	bool		squared = sgd->loss.kind == LOSS_SQUARED;
	bool		rated = squared && !spec->implicit;
	const Pace *pace;

	options->iterations = option_or(call->iterations, SGD_EPOCHS);
	spec->regularization = option_or(call->regularization, rated ? RATED_REGULARIZATION :
									 RANKING_REGULARIZATION);
	options->scale_regularization = rated && !option_given(call->regularization);
	spec->reg_exponent = option_or(call->reg_exponent, rated ? RATED_REG_EXPONENT :
								   RANKING_REG_EXPONENT);
	if (spec->biased)
		spec->bias_regularization = option_or(call->bias_regularization,
											  rated ? RATED_BIAS_REGULARIZATION : 0);
	options->scale_bias_regularization = sgd->loss.linked &&
		!option_given(call->bias_regularization);

	sgd->optimizer = option_or(call->optimizer, rated ? OPTIMIZER_ADAM : OPTIMIZER_ADAGRAD);
	sgd->schedule = option_or(call->schedule, SCHEDULE_CONSTANT);
	pace = &(rated ? rated_pace : ranking_pace)[sgd->optimizer];
	sgd->learning_rate = option_or(call->learning_rate, pace->rate);
	options->scale_rate = rated && !sgd->loss.linked && !option_given(call->learning_rate);
	sgd->weight_decay = option_or(call->weight_decay, 0);
	sgd->batch_size = option_or(call->batch_size, pace->batch);
	sgd->init_std = option_or(call->init_std, rated ? RATED_INIT_STD : RANKING_INIT_STD);
	if (!rated)
		SettleNegatives(call, options);
	if (sgd->loss.kind == LOSS_BPR && !option_given(call->regularization))
		spec->regularization = BPR_REGULARIZATION * sgd->negatives;

	/* The mean weight is one, as with ALS, where weights are the model's sense. */
	sgd->weighted = spec->implicit && (squared || option_given(call->alpha));
	options->scale_alpha = sgd->weighted && !option_given(call->alpha);
	if (squared && spec->implicit && sgd->negatives == 0 &&
		!option_given(call->unobserved_weight))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("loss \"squared\" of implicit feedback needs negatives or unobserved_weight"),
				 errdetail("Without either, a model that predicts 1 for every pair is the best.")));
}

/* ---- Which ratings ---- */

static void
SettleHoldout(const char *text, RatingSource *source)
{
	const char *number = text;
	char	   *end;

	if (text == NULL)
		return;
	source->holdout = HOLDOUT_RANDOM;
	if (strncmp(text, "time", 4) == 0)
	{
		source->holdout = HOLDOUT_TIME;
		source->holdout_fraction = HOLDOUT_TIME_FRACTION;
		number += 4;
		if (*number == '\0')
			return;
	}
	source->holdout_fraction = strtod(number, &end);
	if (end == number || *end != '\0' ||
		!(source->holdout_fraction > 0 && source->holdout_fraction < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("holdout is \"%s\", not a fraction between 0 and 1 or 'time'", text),
				 errhint("A number holds out that part of the pairs, 'time' the last tenth of each user's, "
						 "'time 0.2' the last fifth.")));
}

static void
SettleRatings(const TrainCall *call, RatingSource *source, TrainOptions *options)
{
	SettleHoldout(call->holdout.text, source);
	source->time_col = call->time_col.text;
	source->since = call->since.text;
	if (source->time_col == NULL && (source->since != NULL || source->holdout == HOLDOUT_TIME))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s needs time_col", source->since != NULL ? "since" :
						"holdout \"time\""),
				 errhint("Name the column that says when a rating was given.")));
	if (source->time_col != NULL && source->since == NULL && source->holdout != HOLDOUT_TIME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time_col does nothing without since or holdout => 'time'")));

	options->patience = option_or(call->patience, 0);
	if (source->holdout == HOLDOUT_NONE)
		option_refuse("patience", call->patience.text, "a training without holdout",
					  "holdout => 0.1");

	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		source->min_ratings[side] = option_or(call->min_ratings[side], 0);
	if (source->rating_col == NULL)
		option_refuse("min_rating", call->min_rating.text, "ratings without a rating_col", NULL);
	source->min_rating = call->min_rating.text;
}

/* ---- The whole ---- */

void
options_from_call(const TrainCall *call, RatingSource *source, TrainOptions *options)
{
	memset(source, 0, sizeof(*source));
	source->relid = call->ratings;
	source->user_col = call->user_col;
	source->item_col = call->item_col;
	source->rating_col = call->rating_col;

	memset(options, 0, sizeof(*options));
	options->tolerance = -1;
	options->seed = option_or(call->seed, 0);
	options->sgd.seed = (uint64) options->seed;
	options->verbose = option_or(call->verbose, true);

	/* Whoever dropped an index gets it back only on request. */
	options->index_new = option_or(call->index, true);
	options->index_old = option_or(call->index, false);
	options->given = options_json(&train_options, call);

	SettleKind(call, source, options);
	options->spec.implicit = source->implicit;
	SettleModel(call, options);
	if (options->solver == SOLVER_ALS)
		SettleAls(call, options);
	else
		SettleSgd(call, options);
	SettleRatings(call, source, options);

	options->named = call->model != NULL;
	options->model = call->model;
	if (!options->named)
	{
		char	   *table = get_rel_name(source->relid);

		/* A dropped table gets its error when it is opened. */
		options->model = table ? quote_identifier(table) : "";
	}
}

void
options_keep(const TrainCall *call, Model *model, TrainOptions *options)
{
	const ModelRecord *record = &model->record;
	AlsSpec    *spec = &options->spec;

	options->warm = model;
	spec->reg_exponent = record->reg_exponent;
	spec->bias_regularization = record->bias_regularization;
	if (!option_given(call->regularization))
	{
		spec->regularization = record->regularization;
		options->scale_regularization = false;
	}
	if (!option_given(call->alpha))
	{
		spec->alpha = record->alpha;
		options->scale_alpha = false;
	}
	if (!option_given(call->unobserved_weight))
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

		spec->unobserved_weight = Min(IMPLICIT_UNOBSERVED_SHARE * ratings->pairs / all,
									  IMPLICIT_UNOBSERVED_MAX);
	}
}

/* ---- For mf_models ---- */

char *
options_settings_json(const TrainOptions *options, const RatingSource *source)
{
	const SgdSpec *sgd = &options->sgd;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"init_std\": %s", number_text(sgd->init_std));
	if (!options->spec.implicit)
		appendStringInfo(&json, ", \"center\": %s", options->center ? "true" : "false");
	if (options->solver == SOLVER_SGD)
	{
		appendStringInfo(&json, ", \"optimizer\": \"%s\", \"learning_rate\": %s, "
						 "\"batch_size\": %u, \"weight_decay\": %s, \"schedule\": \"%s\"",
						 train_optimizers[sgd->optimizer], number_text(sgd->learning_rate),
						 sgd->batch_size, number_text(sgd->weight_decay),
						 train_schedules[sgd->schedule]);
		if (sgd->negatives > 0)
			appendStringInfo(&json, ", \"negatives\": %d, \"negative_sampling\": \"%s\", "
							 "\"observed_negatives\": %s", sgd->negatives,
							 train_samplings[sgd->negative_kind],
							 sgd->observed_negatives ? "true" : "false");
	}
	if (source->holdout != HOLDOUT_NONE)
		appendStringInfo(&json, ", \"holdout\": \"%s%s\"",
						 source->holdout == HOLDOUT_TIME ? "time " : "",
						 number_text(source->holdout_fraction));
	appendStringInfoChar(&json, '}');
	return json.data;
}

/*
 * options_sgd.c: which loss and solver, and the options of the stochastic one;
 * which ratings count, and which are held out.
 *
 * What does not apply to the chosen loss, solver or feedback is an error that
 * says so: an option that was silently ignored would be believed in.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "model/number.h"
#include "train/arguments.h"
#include "train/options.h"

#define MAX_RATE 1e6
#define MAX_EPOCHS 100000
#define MAX_REGULARIZATION 1e9
#define MAX_INIT_STD 1000

/* Defaults: see doc/defaults.md for how they were chosen. */
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

/* By OptimizerKind: of rated pairs, and of all else. */
typedef struct Pace
{
	double		rate;
	int			batch;
} Pace;

static const Pace rated_pace[] = {{0.01, 1}, {0.1, 1}, {0.005, 64}};
static const Pace ranking_pace[] = {{0.05, 1}, {0.1, 1}, {0.005, 64}};

static const char *const feedbacks[] = {"explicit", "implicit", NULL};
static const char *const losses[] = {"squared", "logistic", "bpr", NULL};
static const char *const solvers[] = {"als", "sgd", NULL};
static const char *const optimizers[] = {"sgd", "adagrad", "adam", NULL};
static const char *const schedules[] = {"constant", "one_cycle", NULL};
static const char *const samplings[] = {"uniform", "popularity", "in_batch", NULL};

const char *
options_loss_name(const TrainOptions *options)
{
	return losses[options->sgd.loss.kind];
}

const char *
options_solver_name(const TrainOptions *options)
{
	return solvers[options->solver];
}

/* ---- Kind ---- */

void
options_read_kind(FunctionCallInfo fcinfo, RatingSource *source, TrainOptions *options)
{
	LossSpec   *loss = &options->sgd.loss;
	bool		range = arg_given(fcinfo, ARG_RATING_RANGE);

	loss->kind = arg_choice(fcinfo, ARG_LOSS, LOSS_SQUARED, losses);
	loss->low = 0;
	loss->high = 1;
	source->implicit = arg_choice(fcinfo, ARG_FEEDBACK,
								  loss->kind == LOSS_SQUARED ? 0 : 1, feedbacks) == 1;
	if (loss->kind == LOSS_BPR && !source->implicit)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("loss \"bpr\" does not apply to explicit feedback"),
				 errdetail("It compares items that a user chose with items that the user did not choose.")));
	if (loss->kind != LOSS_SQUARED)
		arg_refuse(fcinfo, ARG_RATING_RANGE,
				   loss->kind == LOSS_BPR ? "loss \"bpr\"" : "loss \"logistic\"", NULL);
	if (source->implicit)
		arg_refuse(fcinfo, ARG_RATING_RANGE, "implicit feedback", NULL);
	if (range)
	{
		loss->linked = true;
		arg_range(fcinfo, ARG_RATING_RANGE, &loss->low, &loss->high);
	}

	options->solver = arg_choice(fcinfo, ARG_SOLVER,
								 loss->kind != LOSS_SQUARED || range ?
								 SOLVER_SGD : SOLVER_ALS, solvers);
	if (options->solver == SOLVER_ALS && (loss->kind != LOSS_SQUARED || range))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 range ? errmsg("rating_range does not apply to solver \"als\"") :
				 errmsg("loss \"%s\" does not apply to solver \"als\"", losses[loss->kind]),
				 errdetail("Alternating least squares minimises squares of what is linear in the factors."),
				 errhint("Use solver => 'sgd'.")));
}

/* ---- The stochastic solver ---- */

/* An option's value where it means nothing. */
static void
RefuseNegatives(FunctionCallInfo fcinfo, const char *what, const char *remedy)
{
	arg_refuse(fcinfo, ARG_NEGATIVES, what, remedy);
	arg_refuse(fcinfo, ARG_NEGATIVE_SAMPLING, what, remedy);
	arg_refuse(fcinfo, ARG_OBSERVED_NEGATIVES, what, remedy);
}

static void
RefuseSgd(FunctionCallInfo fcinfo)
{
	const char *what = "solver \"als\"";
	const char *remedy = "solver => 'sgd'";

	arg_refuse(fcinfo, ARG_OPTIMIZER, what, remedy);
	arg_refuse(fcinfo, ARG_LEARNING_RATE, what, remedy);
	arg_refuse(fcinfo, ARG_BATCH_SIZE, what, remedy);
	arg_refuse(fcinfo, ARG_WEIGHT_DECAY, what, remedy);
	arg_refuse(fcinfo, ARG_SCHEDULE, what, remedy);
	RefuseNegatives(fcinfo, what, remedy);
}

static void
ReadNegatives(FunctionCallInfo fcinfo, TrainOptions *options)
{
	SgdSpec    *sgd = &options->sgd;
	int			fallback = 0;

	if (sgd->loss.kind == LOSS_SQUARED && !options->spec.implicit)
	{
		RefuseNegatives(fcinfo, "explicit feedback with loss \"squared\"", NULL);
		return;
	}
	sgd->negative_kind = arg_choice(fcinfo, ARG_NEGATIVE_SAMPLING, NEGATIVES_UNIFORM, samplings);
	sgd->observed_negatives = arg_bool(fcinfo, ARG_OBSERVED_NEGATIVES, false);
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
	sgd->negatives = arg_int(fcinfo, ARG_NEGATIVES, fallback,
							 sgd->loss.kind == LOSS_BPR ? 1 : 0, SGD_MAX_NEGATIVES);
	if (sgd->negatives == 0)
	{
		arg_refuse(fcinfo, ARG_NEGATIVE_SAMPLING, "a training without negatives", NULL);
		arg_refuse(fcinfo, ARG_OBSERVED_NEGATIVES, "a training without negatives", NULL);
	}
}

void
options_read_sgd(FunctionCallInfo fcinfo, const RatingSource *source,
				 TrainOptions *options)
{
	SgdSpec    *sgd = &options->sgd;
	AlsSpec    *spec = &options->spec;
	bool		squared = sgd->loss.kind == LOSS_SQUARED;
	bool		rated = squared && !spec->implicit;
	const Pace *pace;

	sgd->seed = (uint64) (arg_given(fcinfo, ARG_SEED) ? PG_GETARG_INT64(ARG_SEED) : 0);
	if (options->solver == SOLVER_ALS)
	{
		RefuseSgd(fcinfo);
		return;
	}
	options->iterations = arg_int(fcinfo, ARG_ITERATIONS, SGD_EPOCHS, 1, MAX_EPOCHS);
	spec->regularization = arg_real(fcinfo, ARG_REGULARIZATION,
									rated ? RATED_REGULARIZATION : RANKING_REGULARIZATION,
									0, MAX_REGULARIZATION);
	options->scale_regularization = rated && !arg_given(fcinfo, ARG_REGULARIZATION);
	spec->reg_exponent = arg_real(fcinfo, ARG_REG_EXPONENT,
								  rated ? RATED_REG_EXPONENT : RANKING_REG_EXPONENT, 0, 1);
	if (spec->biased)
		spec->bias_regularization = arg_real(fcinfo, ARG_BIAS_REGULARIZATION,
											 rated ? RATED_BIAS_REGULARIZATION : 0,
											 0, MAX_REGULARIZATION);
	options->scale_bias_regularization = sgd->loss.linked &&
		!arg_given(fcinfo, ARG_BIAS_REGULARIZATION);

	sgd->optimizer = arg_choice(fcinfo, ARG_OPTIMIZER,
								rated ? OPTIMIZER_ADAM : OPTIMIZER_ADAGRAD, optimizers);
	sgd->schedule = arg_choice(fcinfo, ARG_SCHEDULE, SCHEDULE_CONSTANT, schedules);
	pace = &(rated ? rated_pace : ranking_pace)[sgd->optimizer];
	sgd->learning_rate = arg_real(fcinfo, ARG_LEARNING_RATE, pace->rate, 0, MAX_RATE);
	options->scale_rate = rated && !sgd->loss.linked && !arg_given(fcinfo, ARG_LEARNING_RATE);
	sgd->weight_decay = arg_real(fcinfo, ARG_WEIGHT_DECAY, 0, 0, MAX_RATE);
	sgd->batch_size = arg_int(fcinfo, ARG_BATCH_SIZE, pace->batch, 0, SGD_MAX_BATCH);
	sgd->init_std = arg_real(fcinfo, ARG_INIT_STD,
							 rated ? RATED_INIT_STD : RANKING_INIT_STD, 0, MAX_INIT_STD);
	ReadNegatives(fcinfo, options);
	if (sgd->loss.kind == LOSS_BPR && !arg_given(fcinfo, ARG_REGULARIZATION))
		spec->regularization = BPR_REGULARIZATION * sgd->negatives;

	/* The mean weight is one, as with ALS, where weights are the model's sense. */
	sgd->weighted = spec->implicit && (squared || arg_given(fcinfo, ARG_ALPHA));
	options->scale_alpha = sgd->weighted && !arg_given(fcinfo, ARG_ALPHA);
	if (squared && spec->implicit && sgd->negatives == 0 &&
		!arg_given(fcinfo, ARG_UNOBSERVED_WEIGHT) && !arg_given(fcinfo, ARG_GRAVITY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("loss \"squared\" of implicit feedback needs negatives, gravity or unobserved_weight"),
				 errdetail("Without any of them a model that predicts 1 for every pair is the best.")));
}

/* ---- Selection ---- */

static void
ReadHoldout(FunctionCallInfo fcinfo, RatingSource *source)
{
	char	   *text = arg_text(fcinfo, ARG_HOLDOUT);
	char	   *number = text;
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

void
options_read_selection(FunctionCallInfo fcinfo, RatingSource *source,
					   TrainOptions *options)
{
	ReadHoldout(fcinfo, source);
	if (arg_given(fcinfo, ARG_TIME_COL))
		source->time_col = arg_name(fcinfo, ARG_TIME_COL);
	source->since = arg_text(fcinfo, ARG_SINCE);
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

	options->patience = arg_int(fcinfo, ARG_PATIENCE, 0, 1, MAX_EPOCHS);
	if (source->holdout == HOLDOUT_NONE)
		arg_refuse(fcinfo, ARG_PATIENCE, "a training without holdout", "holdout => 0.1");

	source->min_ratings[MF_USERS] = arg_int(fcinfo, ARG_MIN_USER_RATINGS, 0, 1, PG_INT32_MAX);
	source->min_ratings[MF_ITEMS] = arg_int(fcinfo, ARG_MIN_ITEM_RATINGS, 0, 1, PG_INT32_MAX);
	if (source->rating_col == NULL)
		arg_refuse(fcinfo, ARG_MIN_RATING, "ratings without a rating_col", NULL);
	if (arg_given(fcinfo, ARG_MIN_RATING))
		source->min_rating = number_text(arg_real(fcinfo, ARG_MIN_RATING, 0, -MAX_REGULARIZATION,
												  MAX_REGULARIZATION));
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
						 optimizers[sgd->optimizer], number_text(sgd->learning_rate), sgd->batch_size,
						 number_text(sgd->weight_decay), schedules[sgd->schedule]);
		if (sgd->negatives > 0)
			appendStringInfo(&json, ", \"negatives\": %d, \"negative_sampling\": \"%s\", "
							 "\"observed_negatives\": %s", sgd->negatives,
							 samplings[sgd->negative_kind],
							 sgd->observed_negatives ? "true" : "false");
	}
	if (source->holdout != HOLDOUT_NONE)
		appendStringInfo(&json, ", \"holdout\": \"%s%s\"",
						 source->holdout == HOLDOUT_TIME ? "time " : "",
						 number_text(source->holdout_fraction));
	appendStringInfoChar(&json, '}');
	return json.data;
}

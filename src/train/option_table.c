/*
 * option_table.c: the options of a training, and reading a call of one.
 *
 * The table is what there is to know of each option alone; the defaults are
 * words here, since most of them follow other options or the data: options.c has
 * them in code. Named arguments come first, then those that `options` alone has.
 */
#include "postgres.h"

#include <float.h>

#include "utils/builtins.h"

#include "compat.h"
#include "numerics/sgd.h"
#include "train/options.h"

#define MAX_WEIGHT 1e9
#define MAX_RATE 1e6

const char *const train_feedbacks[] = {"explicit", "implicit", NULL};
const char *const train_losses[] = {"squared", "logistic", "bpr", NULL};
const char *const train_solvers[] = {"als", "sgd", NULL};
const char *const train_optimizers[] = {"sgd", "adagrad", "adam", NULL};
const char *const train_schedules[] = {"constant", "one_cycle", NULL};
const char *const train_samplings[] = {"uniform", "popularity", "in_batch", NULL};

#define FIELD(name) offsetof(TrainCall, name)

static const Option options[] = {
	{"feedback", OPTION_CHOICE, "`explicit`; with `logistic` or `bpr` `implicit`",
		{0, 0, train_feedbacks}, FOR_ALL, OPTION_SHARDED, FIELD(feedback),
	"ratings that people gave, or what they did"},
	{"loss", OPTION_CHOICE, "`squared`",
		{0, 0, train_losses}, FOR_ALL, 0, FIELD(loss),
	"what is minimised"},
	{"factors", OPTION_INT, "32 explicit, 64 implicit",
		{1, ALS_MAX_FACTORS}, FOR_ALL, OPTION_SHARDED, FIELD(factors),
	"length of the vectors"},
	{"iterations", OPTION_INT, "`als` 15, `sgd` 30",
		{1, TRAIN_MAX_ITERATIONS}, FOR_ALL, OPTION_SHARDED, FIELD(iterations),
	"rounds of alternating least squares, or epochs"},
	{"regularization", OPTION_REAL,
		"explicit: 1.25 × the standard deviation of the ratings; implicit: `als` 0.3, `sgd` 0.02, with `bpr` 0.01 × `negatives`",
		{0, MAX_WEIGHT}, FOR_ALL, OPTION_SHARDED, FIELD(regularization),
	"λ: weight of the vectors' squared lengths"},
	{"alpha", OPTION_REAL, "1 / the mean value; with `logistic` or `bpr` every pair counts alike",
		{0, MAX_WEIGHT}, FOR_IMPLICIT, OPTION_SHARDED, FIELD(alpha),
	"weight of a pair for each unit of its value"},
	{"holdout", OPTION_ANY, NULL,
		{0}, FOR_ALL, 0, FIELD(holdout),
	"a fraction: that part of the pairs is kept from training, by a hash of the ids (those of `mf_holdout` with seed −1); `'time'`, `'time 0.2'`: the last tenth, fifth of each user's"},
	{"time_col", OPTION_NAME, NULL,
		{0}, FOR_ALL, 0, FIELD(time_col),
	"the column that says when, for `since` and `holdout => 'time'`"},
	{"seed", OPTION_BIGINT, "0",
		{0}, FOR_ALL, OPTION_SHARDED, FIELD(seed),
	"of the first vectors and whatever else is drawn"},
	{"verbose", OPTION_BOOL, "true",
		{0}, FOR_ALL, OPTION_SHARDED | OPTION_OF_CALL, FIELD(verbose),
	"a NOTICE after each iteration"},

	{"solver", OPTION_CHOICE, "`als` where it applies",
		{0, 0, train_solvers}, FOR_ALL, 0, FIELD(solver),
	"`als`: squared loss without `rating_range`"},
	{"reg_exponent", OPTION_REAL, "0.5; `sgd` but for rated pairs 1",
		{0, 1}, FOR_ALL, OPTION_SHARDED, FIELD(reg_exponent),
	"ν: how λ grows with the number of a row's pairs"},
	{"unobserved_weight", OPTION_REAL,
		"`als` with implicit feedback 5 × ratings / (users × items), at most 1; else 0",
		{0, MAX_WEIGHT}, FOR_ALL, OPTION_SHARDED, FIELD(unobserved_weight),
	"α₀: weight of every pair, observed or not"},
	{"bias", OPTION_BOOL, "true explicit, false implicit",
		{0}, FOR_BIASES, 0, FIELD(bias),
	"whether users and items have a bias"},
	{"bias_regularization", OPTION_REAL,
		"4, with `rating_range` 4 × the ratings' variance; 0 with `logistic` and `bpr`",
		{0, MAX_WEIGHT}, FOR_BIASES, OPTION_SHARDED, FIELD(bias_regularization),
	"λ_b: weight of the squared biases"},
	{"center", OPTION_BOOL, "true",
		{0}, FOR_EXPLICIT, 0, FIELD(center),
	"start from the mean of the ratings"},
	{"init_std", OPTION_REAL, "`als` 1/√factors, `sgd` 0.02 for rated pairs, else 0.1",
		{0, 1000}, FOR_ALL, 0, FIELD(init_std),
	"standard deviation of the first vectors"},
	{"index", OPTION_BOOL, "a new model: true; an existing one: false",
		{0}, FOR_ALL, OPTION_SHARDED | OPTION_OF_CALL, FIELD(index),
	"make the indexes by which the items are ranked, on `(factors)` and, with biases, on `(bias \\|\\| factors)`, where they are missing"},

	{"rating_range", OPTION_RANGE, NULL,
		{0}, FOR_SGD_EXPLICIT, 0, FIELD(rating_range),
	"two ends, as in `\"[0.5,5.5]\"`: predictions go through a sigmoid scaled to it"},
	{"optimizer", OPTION_CHOICE, "`adam` for rated pairs, else `adagrad`",
		{0, 0, train_optimizers}, FOR_SGD, 0, FIELD(optimizer),
	"how a gradient moves a vector"},
	{"learning_rate", OPTION_REAL,
		"rated pairs: `adam` 0.005 and `adagrad` 0.1 × the ratings' standard deviation, `sgd` 0.01 / that (with `rating_range` as they are); else 0.005, 0.1 and 0.05",
		{0, MAX_RATE}, FOR_SGD, 0, FIELD(learning_rate),
	"how far"},
	{"batch_size", OPTION_INT, "`adam` 64, else 1",
		{0, SGD_MAX_BATCH}, FOR_SGD, 0, FIELD(batch_size),
	"samples a step; 0: all of an epoch"},
	{"weight_decay", OPTION_REAL, "0",
		{0, MAX_RATE}, FOR_SGD, 0, FIELD(weight_decay),
	"decoupled, as in AdamW"},
	{"schedule", OPTION_CHOICE, "`constant`",
		{0, 0, train_schedules}, FOR_SGD, 0, FIELD(schedule),
	"of the learning rate"},
	{"negatives", OPTION_INT, "implicit `logistic` and `bpr` 4, else 0; with `in_batch` `batch_size` − 1",
		{0, SGD_MAX_NEGATIVES}, FOR_NEGATIVES, 0, FIELD(negatives),
	"items that were not chosen, drawn beside each pair; `bpr` needs one"},
	{"negative_sampling", OPTION_CHOICE, "`uniform`",
		{0, 0, train_samplings}, FOR_NEGATIVES, 0, FIELD(negative_sampling),
	"how they are drawn"},
	{"observed_negatives", OPTION_BOOL, "false",
		{0}, FOR_NEGATIVES, 0, FIELD(observed_negatives),
	"whether a negative may be an observed pair"},

	{"patience", OPTION_INT, NULL,
		{1, TRAIN_MAX_ITERATIONS}, FOR_ALL, 0, FIELD(patience),
	"stop after so many iterations without a lower loss on the pairs held out"},
	{"min_user_ratings", OPTION_INT, NULL,
		{1, PG_INT32_MAX}, FOR_ALL, 0, FIELD(min_ratings[MF_USERS]),
	"leave out users with fewer pairs, and items with fewer than `min_item_ratings`, to a fixed point"},
	{"min_item_ratings", OPTION_INT, NULL,
		{1, PG_INT32_MAX}, FOR_ALL, 0, FIELD(min_ratings[MF_ITEMS]),
	"likewise"},
	{"min_rating", OPTION_REAL, NULL,
		{-MAX_WEIGHT, MAX_WEIGHT}, FOR_ALL, 0, FIELD(min_rating),
	"leave out rows below"},
	{"since", OPTION_ANY, NULL,
		{0}, FOR_ALL, 0, FIELD(since),
	"leave out rows before: a value of `time_col`'s type"},
};

const OptionTable train_options = {options, lengthof(options)};

/* ---- A call ---- */

static char *
ReadName(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return pstrdup(NameStr(*PG_GETARG_NAME(arg)));
}

void
train_call_read(FunctionCallInfo fcinfo, const TrainSignature *signature, TrainCall *call)
{
	int			arg = signature->columns;

	memset(call, 0, sizeof(*call));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", signature->ratings)));
	call->ratings = PG_GETARG_OID(0);
	call->user_col = ReadName(fcinfo, arg++, "user_col");
	call->item_col = ReadName(fcinfo, arg++, "item_col");
	call->rating_col = PG_ARGISNULL(arg) ? NULL : ReadName(fcinfo, arg, "rating_col");
	arg++;
	call->model = PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));
	arg++;
	for (int k = 0; signature->named[k] != NULL; k++)
		option_read_argument(&train_options, call, signature->named[k], fcinfo, arg++);
	if (!PG_ARGISNULL(arg))
		options_read(&train_options, call, PG_GETARG_JSONB_P(arg), "options");
}

/*
 * evaluate.c: mf_evaluate(), from its arguments to its rows.
 *
 *	 model_open			the model
 *	 ratings_open		the two tables of pairs and their columns
 *	 ratings_read		both, as training reads its ratings
 *	 roster_read		the model's vectors; whose pairs are whose
 *	 ranker_begin		the model and, if asked for, the baselines
 *	 judging_run		all of them over the same pairs
 *
 * Definitions are in doc/evaluation.md, formulas in numerics/metrics.c.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/namespace.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "evaluate/judging.h"
#include "model/number.h"
#include "serve/call.h"
#include "train/progress.h"
#include "train/team.h"

PG_FUNCTION_INFO_V1(mf_evaluate);

/* The places of mf_evaluate's arguments. */
enum
{
	ARG_MODEL, ARG_TEST, ARG_USER_COL, ARG_ITEM_COL, ARG_RATING_COL, ARG_K,
	ARG_RELEVANT, ARG_TRAIN, ARG_EXCLUDE_TRAIN, ARG_BASELINES
};

#define MAX_K 100000
#define RESULT_COLUMNS 21

typedef struct EvaluateArgs
{
	JudgingOptions options;
	bool		baselines;
	RatingSource test;
	RatingSource train;
} EvaluateArgs;

/* ---- Arguments ---- */

static bool
FlagArgument(FunctionCallInfo fcinfo, int arg, const char *option)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", option)));
	return PG_GETARG_BOOL(arg);
}

static int
ListLength(FunctionCallInfo fcinfo)
{
	int			k;

	if (PG_ARGISNULL(ARG_K))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("k must not be null")));
	k = PG_GETARG_INT32(ARG_K);
	if (k < 1 || k > MAX_K)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k is %d, outside its range of 1 to %d", k, MAX_K)));
	return k;
}

/* A column as named in the call, or else as the model has it. */
static const char *
ColumnArgument(FunctionCallInfo fcinfo, int arg, const char *column)
{
	return PG_ARGISNULL(arg) ? column : pstrdup(NameStr(*PG_GETARG_NAME(arg)));
}

static void
ReadTest(FunctionCallInfo fcinfo, const ModelRecord *record, RatingSource *test)
{
	if (PG_ARGISNULL(ARG_TEST))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("test must not be null"),
				 errhint("Name the table of pairs that the model is to be judged by.")));
	test->relid = PG_GETARG_OID(ARG_TEST);
	test->user_col = ColumnArgument(fcinfo, ARG_USER_COL, record->user_col);
	test->item_col = ColumnArgument(fcinfo, ARG_ITEM_COL, record->item_col);
	test->rating_col = ColumnArgument(fcinfo, ARG_RATING_COL, record->rating_col);
	test->implicit = record->implicit;
}

/* A table of training pairs that is given has the columns of the test's. */
static void
ReadTrain(FunctionCallInfo fcinfo, const ModelRecord *record, const RatingSource *test,
		  RatingSource *train)
{
	Oid			schema;

	*train = *test;
	if (!PG_ARGISNULL(ARG_TRAIN))
	{
		train->relid = PG_GETARG_OID(ARG_TRAIN);
		return;
	}
	schema = get_namespace_oid(record->source_schema, true);
	train->relid = OidIsValid(schema) ? get_relname_relid(record->source_table, schema) : InvalidOid;
	if (!OidIsValid(train->relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation %s, which the model was trained from, does not exist",
						quote_qualified_identifier(record->source_schema, record->source_table)),
				 errhint("Name a table of the pairs that it was trained on as train.")));
	train->user_col = record->user_col;
	train->item_col = record->item_col;
	train->rating_col = record->rating_col;
}

static void
ReadArguments(FunctionCallInfo fcinfo, const ModelRecord *record, EvaluateArgs *args)
{
	JudgingOptions *options = &args->options;

	memset(args, 0, sizeof(*args));
	options->k = ListLength(fcinfo);
	options->has_relevant = !PG_ARGISNULL(ARG_RELEVANT);
	/* Pairs have their values in single precision, whatever the column's type. */
	if (options->has_relevant)
		options->relevant = number_as_real(PG_GETARG_FLOAT8(ARG_RELEVANT));
	if (isnan(options->relevant))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("relevant must be a number")));
	options->exclude_train = FlagArgument(fcinfo, ARG_EXCLUDE_TRAIN, "exclude_train");
	args->baselines = FlagArgument(fcinfo, ARG_BASELINES, "baselines");
	ReadTest(fcinfo, record, &args->test);
	if (options->has_relevant && args->test.rating_col == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("relevant needs a rating column"),
				 errdetail("The model was trained without one, so every pair counts 1."),
				 errhint("Name the column of the test that relevant is the least value of: rating_col => 'rating'.")));
	ReadTrain(fcinfo, record, &args->test, &args->train);
}

/* ---- The result ---- */

static void
ReportInTraining(const EvaluateArgs *args, const JudgingCounts *counts)
{
	if (counts->in_training == 0)
		return;
	ereport(NOTICE,
			(errmsg_plural("%llu pair of \"%s\" is in training too",
						   "%llu pairs of \"%s\" are in training too",
						   counts->in_training,
						   (unsigned long long) counts->in_training,
						   get_rel_name(args->test.relid)),
			 args->options.exclude_train ?
			 errdetail("What a model has been shown says nothing of what it predicts: they are left out.") :
			 errdetail("They are judged all the same, since exclude_train is false.")));
}

static void
PutMean(Datum *value, bool *isnull, double sum, double n)
{
	*isnull = !(n > 0);
	if (!*isnull)
		*value = Float8GetDatum(sum / n);
}

/* The columns follow the struct: see UserMetrics and the SQL script. */
static void
AddRow(ServeRows *rows, const Judgement *judgement, const JudgingCounts *counts)
{
	const Ranker *ranker = judgement->ranker;
	const int	before_coverage = 7;
	Datum		values[RESULT_COLUMNS] = {0};
	bool		nulls[RESULT_COLUMNS] = {false};
	int			c = 0;

	values[c++] = CStringGetTextDatum(ranker_name(ranker->kind));
	PutMean(&values[c], &nulls[c], judgement->squares, ranker->predicts ? counts->pairs : 0);
	values[c] = Float8GetDatum(sqrt(DatumGetFloat8(values[c])));
	c++;
	PutMean(&values[c], &nulls[c], judgement->absolutes, ranker->predicts ? counts->pairs : 0);
	c++;
	for (int m = 0; m < METRICS_COUNT; m++)
	{
		if (m == before_coverage)
			PutMean(&values[c], &nulls[c], ranker_coverage(ranker), counts->users > 0), c++;
		PutMean(&values[c], &nulls[c], judgement->sum[m], judgement->count[m]);
		c++;
	}
	values[c++] = Int64GetDatum(counts->users);
	values[c++] = Int64GetDatum(counts->pairs);
	values[c++] = Int64GetDatum(counts->relevant);
	values[c++] = Int64GetDatum(counts->in_training);
	values[c++] = Int64GetDatum(counts->unknown_users);
	values[c++] = Int64GetDatum(counts->unknown_items);
	values[c++] = Int64GetDatum(counts->unknown_pairs);
	Assert(c == RESULT_COLUMNS && c == rows->desc->natts);
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
}

/* ---- mf_evaluate ---- */

static void
Evaluate(Model *model, const EvaluateArgs *args, ServeRows *rows)
{
	Evidence	evidence = {.model = model};
	Judgement	judgements[RANKER_KINDS] = {0};
	JudgingCounts counts;
	int			workers = team_workers_allowed();
	int			n = 0;

	progress_report("reading the test");
	evidence.test = ratings_read(&args->test, false, NULL);
	progress_report("reading training's pairs");
	evidence.train = ratings_read(&args->train, false, NULL);
	progress_report("reading the model");
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		roster_read(model, side, &evidence.train->ids[side], &evidence.test->ids[side],
					&evidence.roster[side]);

	judgements[n++].ranker = ranker_begin(RANKER_MODEL, &evidence, workers > 0);
	if (args->baselines)
	{
		judgements[n++].ranker = ranker_begin(RANKER_POPULAR, &evidence, workers > 0);
		if (!model->record.implicit)
			judgements[n++].ranker = ranker_begin(RANKER_BIASES, &evidence, workers > 0);
	}
	judging_run(&evidence, &args->options, workers, judgements, n, &counts);

	ratings_report_skipped(get_rel_name(args->test.relid), evidence.test->skipped);
	ReportInTraining(args, &counts);
	for (int j = 0; j < n; j++)
	{
		AddRow(rows, &judgements[j], &counts);
		ranker_end(judgements[j].ranker);
	}
	ratings_free(evidence.train);
	ratings_free(evidence.test);
}

/*
 * mf_evaluate(model, test, user_col, item_col, rating_col, k, relevant, train,
 * exclude_train, baselines): see the SQL script.
 */
Datum
mf_evaluate(PG_FUNCTION_ARGS)
{
	Oid			extension_schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MemoryContext context;
	MemoryContext outer;
	ServeRows	rows;
	EvaluateArgs args;
	ModelKey	key[2];
	Model	   *model;

	serve_rows_begin(fcinfo, &rows, NULL);
	context = AllocSetContextCreate(CurrentMemoryContext, "mf_evaluate", ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(context);

	model = model_open(extension_schema, PG_ARGISNULL(ARG_MODEL) ? NULL :
					   text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODEL)));
	ReadArguments(fcinfo, &model->record, &args);
	ratings_open(&args.test, key);
	ratings_open(&args.train, key);

	progress_begin("mf_evaluate", quote_identifier(model->name));
	PG_TRY();
	{
		Evaluate(model, &args, &rows);
	}
	PG_FINALLY();
	{
		progress_end();
	}
	PG_END_TRY();
	ratings_close(&args.test);
	ratings_close(&args.train);
	model_release(model);

	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
	return (Datum) 0;
}

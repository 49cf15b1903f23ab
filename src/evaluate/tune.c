/*
 * tune.c: mf_tune(): a search for good options, one trial after the other.
 *
 * A trial trains on the pairs that are not held out, judges the model on those
 * that are, drops it (trial.c), and leaves one row in a table that the caller names
 * (trial_table.c). All of that is plain SQL on behalf of the caller, committed
 * after each trial where CALL is not in a transaction block. So a search that is
 * interrupted has lost one trial at most, and when called again it does not repeat
 * those that are in the table.
 *
 * A set of options that cannot be trained with is a trial that failed, and no
 * reason to end the search; but where all have failed there is nothing to be the
 * best, and the caller has an error.
 *
 * Nothing of a trial outlives its transaction but the row; the model's name is
 * the backend's own, so searches may run side by side, into one table too.
 *
 * Rejected: a catalogue of trials of our own (a table of the caller's needs no
 * rules about who may see or write it); ranking by the training's own error.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "compat.h"
#include "evaluate/grid.h"
#include "evaluate/tune.h"
#include "model/number.h"
#include "train/ratings.h"

PG_FUNCTION_INFO_V1(mf_tune);

/* The places of mf_tune's arguments. */
enum
{
	ARG_RATINGS, ARG_USER_COL, ARG_ITEM_COL, ARG_RATING_COL, ARG_GRID,
	ARG_METRIC, ARG_TRIALS, ARG_HOLDOUT, ARG_RESULTS, ARG_SEED, ARG_VERBOSE,
	ARG_OPTIONS
};

#define MAX_TRIALS 10000
#define MAX_FOLDS 100
#define MAX_K 100000

/* What a search is asked beside its arguments. */
typedef struct TuneCall
{
	IntOption	folds;
	TableOption test;
	IntOption	k;
	RealOption	relevant;
} TuneCall;

#define FIELD(name) offsetof(TuneCall, name)

static const Option options[] = {
	{"folds", OPTION_INT, "1",
		{1, MAX_FOLDS}, FOR_ALL, 0, FIELD(folds),
	"so many splits, whose means are kept"},
	{"test", OPTION_TABLE, NULL,
		{0}, FOR_ALL, 0, FIELD(test),
	"a table: judge by its pairs; nothing is held out"},
	{"k", OPTION_INT, "10",
		{1, MAX_K}, FOR_ALL, 0, FIELD(k),
	"length of the lists, as in `mf_evaluate`"},
	{"relevant", OPTION_REAL, NULL,
		{-DBL_MAX, DBL_MAX}, FOR_ALL, 0, FIELD(relevant),
	"a pair with this rating or a larger one is relevant, as in `mf_evaluate`"},
};

const OptionTable tune_options = {options, lengthof(options)};

/* ---- Arguments ---- */

static void
RefuseNulls(FunctionCallInfo fcinfo)
{
	static const struct
	{
		int			arg;
		const char *name;
	}			needed[] =
	{
		{ARG_RATINGS, "ratings"}, {ARG_USER_COL, "user_col"}, {ARG_ITEM_COL, "item_col"},
		{ARG_GRID, "grid"}, {ARG_HOLDOUT, "holdout"}, {ARG_SEED, "seed"},
		{ARG_VERBOSE, "verbose"}
	};

	for (int a = 0; a < lengthof(needed); a++)
		if (PG_ARGISNULL(needed[a].arg))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", needed[a].name)));
}

static int
FindMetric(const char *name)
{
	for (int m = 0; m < TUNE_METRICS; m++)
		if (strcmp(tune_metrics[m].name, name) == 0)
			return m;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized metric \"%s\"", name),
			 errhint("The metrics there are: %s.", tune_metric_list(false))));
}

char *
tune_relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}

/* The table of trials, and beside it the model that is trained and dropped. */
static void
NameResults(Search *search, FunctionCallInfo fcinfo)
{
	List	   *names;
	char	   *schema;
	char	   *table;

	if (PG_ARGISNULL(ARG_RESULTS))
		names = list_make1(makeString(makeObjectName(get_rel_name(search->ratings), NULL,
													 "trials")));
	else
		names = textToQualifiedNameList(PG_GETARG_TEXT_PP(ARG_RESULTS));
	DeconstructQualifiedName(names, &schema, &table);
	if (schema == NULL)
	{
		RangeVar   *rv = makeRangeVar(NULL, table, -1);
		Oid			found = RangeVarGetRelid(rv, NoLock, true);

		schema = get_namespace_name(OidIsValid(found) ? get_rel_namespace(found) :
									RangeVarGetCreationNamespace(rv));
	}
	search->results = quote_qualified_identifier(schema, table);
	search->model = quote_qualified_identifier(schema, psprintf("mf_tune_%d", MyProcPid));
}

static void
MakeProtocol(Search *search)
{
	const Oid	types[] = {TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, INT4OID, INT8OID, TEXTOID, INT4OID};
	bool		given = OidIsValid(search->test);
	Datum		values[8];
	bool		nulls[8] = {false};
	int			n;

	values[0] = CStringGetTextDatum(search->user_col);
	values[1] = CStringGetTextDatum(search->item_col);
	values[2] = search->rating_col ? CStringGetTextDatum(search->rating_col) : (Datum) 0;
	values[3] = Float8GetDatum(search->holdout);
	values[4] = Int32GetDatum(search->folds);
	values[5] = Int64GetDatum(search->seed);
	values[6] = given ? CStringGetTextDatum(tune_relation_name(search->test)) : (Datum) 0;
	values[7] = Int32GetDatum(search->k);
	nulls[2] = search->rating_col == NULL;
	nulls[3] = nulls[4] = nulls[5] = given;
	nulls[6] = !given;
	search->protocol = *query_texts(psprintf("SELECT pg_catalog.jsonb_build_object("
											 "'user_col', $1, 'item_col', $2, 'rating_col', $3, 'holdout', $4, "
											 "'folds', $5, 'seed', $6, 'test', $7, 'k', $8, 'relevant', %s)::pg_catalog.text",
											 search->relevant),
									lengthof(types), types, values, nulls, 1, &n);
}

static void
ReadArguments(FunctionCallInfo fcinfo, Search *search)
{
	TuneCall	call = {0};

	RefuseNulls(fcinfo);
	if (!PG_ARGISNULL(ARG_OPTIONS))
		options_read(&tune_options, &call, PG_GETARG_JSONB_P(ARG_OPTIONS), "options");
	search->ratings = PG_GETARG_OID(ARG_RATINGS);
	search->user_col = pstrdup(NameStr(*PG_GETARG_NAME(ARG_USER_COL)));
	search->item_col = pstrdup(NameStr(*PG_GETARG_NAME(ARG_ITEM_COL)));
	search->rating_col = PG_ARGISNULL(ARG_RATING_COL) ? NULL :
		pstrdup(NameStr(*PG_GETARG_NAME(ARG_RATING_COL)));
	search->source = tune_relation_name(search->ratings);
	search->metric = FindMetric(PG_ARGISNULL(ARG_METRIC) ? "rmse" :
								text_to_cstring(PG_GETARG_TEXT_PP(ARG_METRIC)));
	search->holdout = PG_GETARG_FLOAT8(ARG_HOLDOUT);
	if (!(search->holdout > 0 && search->holdout < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("holdout is %s, but must be above 0 and below 1", number_text(search->holdout))));
	search->folds = option_or(call.folds, 1);
	search->seed = PG_GETARG_INT64(ARG_SEED);
	search->test = option_or(call.test, InvalidOid);
	if (OidIsValid(search->test) && search->folds > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("folds cannot be more than 1 where test is given")));
	search->k = option_or(call.k, 10);
	search->relevant = !option_given(call.relevant) ? pstrdup("NULL::pg_catalog.float8") :
		psprintf("'%.17g'::pg_catalog.float8", call.relevant.value);
	if (!PG_ARGISNULL(ARG_TRIALS))
	{
		search->trials = PG_GETARG_INT32(ARG_TRIALS);
		if (search->trials < 1 || search->trials > MAX_TRIALS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("trials is %d, outside its range of 1 to %d", search->trials,
							MAX_TRIALS)));
	}
	search->verbose = PG_GETARG_BOOL(ARG_VERBOSE);
	NameResults(search, fcinfo);
}

/*
 * Opens what the pairs are in, in each transaction anew; wrong columns are told
 * before anything is tried, in the caller's terms.
 */
static void
OpenTables(Search *search)
{
	MemoryContext old = MemoryContextSwitchTo(search->context);
	RatingSource source = {
		.relid = search->ratings,
		.user_col = search->user_col,
		.item_col = search->item_col,
		.rating_col = search->rating_col,
	};
	ModelKey	key[2];

	search->pairs = source;
	ratings_open(&search->pairs, key);
	if (OidIsValid(search->test))
	{
		search->judged = source;
		search->judged.relid = search->test;
		ratings_open(&search->judged, key);
	}
	MemoryContextSwitchTo(old);
}

static void
CloseTables(Search *search)
{
	ratings_close(&search->pairs);
	ratings_close(&search->judged);
}

static bool
NoteRow(TupleTableSlot *slot, void *arg)
{
	*(bool *) arg = true;
	return false;
}

/*
 * Both parts of each fold must have pairs: training and judging would say so too,
 * but of views that the caller has never heard of.
 */
static void
CheckParts(const Search *search)
{
	if (OidIsValid(search->test))
		return;
	for (int fold = 0; fold < search->folds; fold++)
		for (int part = 0; part < 2; part++)
		{
			SqlQuery	query = {.from = &search->pairs.held};
			bool		found = false;

			query.sql = psprintf("SELECT FROM %s WHERE %s LIMIT 1", query.from->sql,
								 trial_part(search, fold, part));
			query_receive(&query, NoteRow, &found);
			if (!found)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 part == 0 ?
						 errmsg("a holdout of %s leaves no pairs of %s to train on",
								number_text(search->holdout), search->source) :
						 errmsg("a holdout of %s leaves no pairs of %s to judge by",
								number_text(search->holdout), search->source)));
		}
}

/* ---- The search ---- */

static void
ReportTrial(const Search *search, int number, int n, const char *set, const Trial *trial)
{
	int			m = search->metric;

	if (trial->error != NULL)
		ereport(NOTICE,
				(errmsg("trial %d of %d: failed, %s", number, n, set),
				 errdetail_internal("%s", trial->error)));
	else if (search->verbose && trial->count[m] > 0)
		ereport(NOTICE,
				(errmsg("trial %d of %d: %s %.4f, %s", number, n, tune_metrics[m].name,
						trial->sum[m] / trial->count[m], set)));
	else if (search->verbose)
		ereport(NOTICE,
				(errmsg("trial %d of %d: no %s, %s", number, n, tune_metrics[m].name, set)));
}

/*
 * All sets that have no trial yet. Returns how many have one that succeeded; the
 * message of the last that failed goes to *failure.
 */
static int
RunSearch(Search *search, char **sets, int n, char **failure)
{
	MemoryContext scratch = AllocSetContextCreate(search->context, "mf_tune trial",
												  ALLOCSET_DEFAULT_SIZES);
	int			succeeded = 0;

	trials_make(search);
	for (int k = 0; k < n; k++)
	{
		Trial		trial = {0};
		instr_time	start;
		instr_time	duration;

		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		if (!trials_find(search, sets[k], &trial.error))
		{
			INSTR_TIME_SET_CURRENT(start);
			trial_run(search, sets[k], &trial);
			INSTR_TIME_SET_CURRENT(duration);
			INSTR_TIME_SUBTRACT(duration, start);
			ReportTrial(search, k + 1, n, sets[k], &trial);
			/* Where another search was faster its trial stands, with the same result. */
			if (!trials_keep(search, sets[k], &trial, INSTR_TIME_GET_DOUBLE(duration)))
				(void) trials_find(search, sets[k], &trial.error);
			if (search->commits)
			{
				CloseTables(search);
				SPI_commit();
				OpenTables(search);
			}
		}
		if (trial.error == NULL)
			succeeded++;
		else
			*failure = MemoryContextStrdup(search->context, trial.error);
	}
	MemoryContextSwitchTo(search->context);
	MemoryContextDelete(scratch);
	return succeeded;
}

/*
 * CALL mf_tune(ratings, ..., grid, ..., INOUT best, INOUT score): see the SQL script.
 */
Datum
mf_tune(PG_FUNCTION_ARGS)
{
	MemoryContext outer = CurrentMemoryContext;
	Search		search = {0};
	TupleDesc	desc;
	Datum		values[2] = {0};
	bool		nulls[2];
	char	  **sets;
	char	   *failure = NULL;
	int			n;

	PreventCommandDuringRecovery("mf_tune()");
	PreventCommandIfReadOnly("mf_tune()");
	search.context = AllocSetContextCreate(outer, "mf_tune", ALLOCSET_DEFAULT_SIZES);
	search.commits = fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic;
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");	/* as it is declared */
	desc = BlessTupleDesc(desc);

	/* For the commits alone: statements go through query.c. */
	if (SPI_connect_ext(search.commits ? SPI_OPT_NONATOMIC : 0) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");	/* it never does */
	MemoryContextSwitchTo(search.context);
	search.extension = quote_identifier(get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid)));
	ReadArguments(fcinfo, &search);
	OpenTables(&search);
	CheckParts(&search);
	MakeProtocol(&search);
	MemoryContextSwitchTo(search.context);
	sets = grid_sets(PG_GETARG_JSONB_P(ARG_GRID), search.trials, search.seed, &n);
	if (RunSearch(&search, sets, n, &failure) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 n == 1 ? errmsg("the trial failed") : errmsg("all %d trials failed", n),
				 n == 1 ? errdetail_internal("%s", failure) :
				 errdetail("The last of them with: %s", failure),
				 search.commits ?
				 errhint("Failed trials are kept in %s. Delete their rows to try them again.",
						 search.results) : 0));
	trials_best(&search, values, nulls, outer);
	if (nulls[1])
		ereport(WARNING,
				(errmsg("no trial has a value of metric \"%s\"", tune_metrics[search.metric].name),
				 errhint("Implicit feedback has metrics of the ranking only, such as ndcg; these need relevant pairs to judge by.")));
	CloseTables(&search);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");	/* it was connected */

	MemoryContextSwitchTo(outer);
	MemoryContextDelete(search.context);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

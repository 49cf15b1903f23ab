/*
 * tune.c: mf_tune(): a search for good options, one trial after the other.
 *
 * A trial trains on the pairs that are not held out, judges the model on those
 * that are, drops it, and leaves one row in a table that the caller names. All
 * of that is plain SQL on behalf of the caller:
 *
 *	 CREATE TEMP VIEW of each part		by mf_holdout(), or the table given as test
 *	 mf_train(), mf_evaluate()			as anyone would call them
 *	 mf_drop(), INSERT INTO trials
 *	 COMMIT								where CALL is not in a transaction block
 *
 * So a search that is interrupted has lost one trial at most, and when called
 * again it does not repeat those that are in the table: the row's key is the
 * source, the protocol (how the pairs are split and judged) and the options. A
 * trial that diverges is a result as well, and is noted with its error.
 *
 * Nothing of a trial outlives its transaction but the row; the model's name is
 * the backend's own, so searches may run side by side, into one table too.
 *
 * Rejected: a catalogue of trials of our own (a table of the caller's needs no
 * rules about who may see or write it); ranking by the training's own error.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
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
#include "utils/resowner.h"
#include "utils/varlena.h"

#include "compat.h"
#include "evaluate/grid.h"
#include "evaluate/trainwith.h"
#include "train/ratings.h"

PG_FUNCTION_INFO_V1(mf_tune);

/* The places of mf_tune's arguments. */
enum
{
	ARG_RATINGS, ARG_GRID, ARG_USER_COL, ARG_ITEM_COL, ARG_RATING_COL,
	ARG_RESULTS, ARG_METRIC, ARG_TRIALS, ARG_HOLDOUT, ARG_FOLDS, ARG_SEED,
	ARG_TEST, ARG_K, ARG_RELEVANT, ARG_VERBOSE
};

#define MAX_TRIALS 10000
#define MAX_FOLDS 100

/* What a trial's row keeps of mf_evaluate's, and which way is better. */
static const struct
{
	const char *name;
	bool		less_is_better;
}			metrics[] =
{
	{"rmse", true}, {"mae", true}, {"precision", false}, {"recall", false},
	{"ndcg", false}, {"map", false}, {"mrr", false}, {"hit_rate", false},
	{"auc", false}, {"coverage", false}, {"diversity", false},
	{"popularity", false}, {"novelty", false}
};

#define METRICS lengthof(metrics)

typedef struct Search
{
	TrainCall	call;
	MemoryContext context;		/* lives as long as the call */
	bool		commits;
	bool		verbose;
	const char *extension;		/* its schema, quoted */
	char	   *source;			/* the ratings' quoted, qualified name */
	char	   *results;		/* the table's, too */
	char	   *protocol;		/* JSON text */
	int			metric;
	double		holdout;
	int			folds;
	int64		seed;
	Oid			test;			/* InvalidOid: held out */
	int			k;
	char	   *relevant;		/* SQL */
} Search;

typedef struct Trial
{
	double		sum[METRICS];
	int			count[METRICS];
	int64		users;
	int64		pairs;
	char	   *error;			/* NULL: none */
} Trial;

/* ---- SQL ---- */

static void Run(int expected, const char *format,...) pg_attribute_printf(2, 3);

static void
Run(int expected, const char *format,...)
{
	StringInfoData sql;
	int			result;

	initStringInfo(&sql);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&sql, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&sql, needed);
	}
	result = SPI_execute(sql.data, false, 0);
	if (result != expected)
		elog(ERROR, "could not run \"%s\": %s", sql.data, SPI_result_code_string(result));
	pfree(sql.data);
}

static double
Number(int column, bool *isnull)
{
	return DatumGetFloat8(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
										column, isnull));
}

static int64
Count(int column)
{
	bool		isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
									   column, &isnull));
}

static char *
MetricList(bool quoted)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int m = 0; m < METRICS; m++)
		appendStringInfo(&list, "%s%s", m > 0 ? ", " : "",
						 quoted ? quote_identifier(metrics[m].name) : metrics[m].name);
	return list.data;
}

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
		{ARG_RATINGS, "ratings"}, {ARG_GRID, "grid"}, {ARG_USER_COL, "user_col"},
		{ARG_ITEM_COL, "item_col"}, {ARG_HOLDOUT, "holdout"}, {ARG_FOLDS, "folds"},
		{ARG_SEED, "seed"}, {ARG_K, "k"}, {ARG_VERBOSE, "verbose"}
	};

	for (int a = 0; a < lengthof(needed); a++)
		if (PG_ARGISNULL(needed[a].arg))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", needed[a].name)));
}

static int
Range(int value, const char *option, int max)
{
	if (value < 1 || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %d, outside its range of 1 to %d", option, value, max)));
	return value;
}

static int
FindMetric(const char *name)
{
	for (int m = 0; m < METRICS; m++)
		if (strcmp(metrics[m].name, name) == 0)
			return m;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized metric \"%s\"", name),
			 errhint("The metrics there are: %s.", MetricList(false))));
}

static char *
QualifiedName(Oid relid)
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
		names = list_make1(makeString(makeObjectName(get_rel_name(search->call.ratings), NULL,
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
	search->call.model = quote_qualified_identifier(schema, psprintf("mf_tune_%d", MyProcPid));
}

static void
MakeProtocol(Search *search)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, INT4OID, INT8OID, TEXTOID, INT4OID};
	const TrainCall *call = &search->call;
	bool		given = OidIsValid(search->test);
	Datum		values[8];
	char		nulls[9] = "        ";

	values[0] = CStringGetTextDatum(call->user_col);
	values[1] = CStringGetTextDatum(call->item_col);
	values[2] = call->rating_col ? CStringGetTextDatum(call->rating_col) : (Datum) 0;
	values[3] = Float8GetDatum(search->holdout);
	values[4] = Int32GetDatum(search->folds);
	values[5] = Int64GetDatum(search->seed);
	values[6] = given ? CStringGetTextDatum(QualifiedName(search->test)) : (Datum) 0;
	values[7] = Int32GetDatum(search->k);
	nulls[2] = call->rating_col ? ' ' : 'n';
	nulls[3] = nulls[4] = nulls[5] = given ? 'n' : ' ';
	nulls[6] = given ? ' ' : 'n';
	if (SPI_execute_with_args(psprintf("SELECT pg_catalog.jsonb_build_object("
									   "'user_col', $1, 'item_col', $2, 'rating_col', $3, 'holdout', $4, "
									   "'folds', $5, 'seed', $6, 'test', $7, 'k', $8, 'relevant', %s)::pg_catalog.text",
									   search->relevant),
							  8, types, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not describe the protocol");
	search->protocol = MemoryContextStrdup(search->context,
										   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
}

static void
ReadArguments(FunctionCallInfo fcinfo, Search *search)
{
	TrainCall  *call = &search->call;

	RefuseNulls(fcinfo);
	call->ratings = PG_GETARG_OID(ARG_RATINGS);
	call->user_col = pstrdup(NameStr(*PG_GETARG_NAME(ARG_USER_COL)));
	call->item_col = pstrdup(NameStr(*PG_GETARG_NAME(ARG_ITEM_COL)));
	call->rating_col = PG_ARGISNULL(ARG_RATING_COL) ? NULL :
		pstrdup(NameStr(*PG_GETARG_NAME(ARG_RATING_COL)));
	call->quiet = true;
	search->source = QualifiedName(call->ratings);
	search->metric = FindMetric(PG_ARGISNULL(ARG_METRIC) ? "rmse" :
								text_to_cstring(PG_GETARG_TEXT_PP(ARG_METRIC)));
	search->holdout = PG_GETARG_FLOAT8(ARG_HOLDOUT);
	if (!(search->holdout > 0 && search->holdout < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("holdout is %g, but must be above 0 and below 1", search->holdout)));
	search->folds = Range(PG_GETARG_INT32(ARG_FOLDS), "folds", MAX_FOLDS);
	search->seed = PG_GETARG_INT64(ARG_SEED);
	search->test = PG_ARGISNULL(ARG_TEST) ? InvalidOid : PG_GETARG_OID(ARG_TEST);
	if (OidIsValid(search->test) && search->folds > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("folds cannot be more than 1 where test is given")));
	search->k = PG_GETARG_INT32(ARG_K);
	search->relevant = PG_ARGISNULL(ARG_RELEVANT) ? pstrdup("NULL::pg_catalog.float8") :
		psprintf("'%.17g'::pg_catalog.float8", PG_GETARG_FLOAT8(ARG_RELEVANT));
	search->verbose = PG_GETARG_BOOL(ARG_VERBOSE);
	NameResults(search, fcinfo);
}

/* Wrong columns are told before anything is tried, in the caller's terms. */
static void
CheckTables(const Search *search)
{
	RatingSource source = {
		.relid = search->call.ratings,
		.user_col = search->call.user_col,
		.item_col = search->call.item_col,
		.rating_col = search->call.rating_col,
	};
	ModelKey	key[2];

	ratings_check(&source, key);
	if (!OidIsValid(search->test))
		return;
	source.relid = search->test;
	ratings_check(&source, key);
}

/* ---- A trial ---- */

/* The column that a set names as time_col, as one more of a part's; else nothing. */
static const char *
TimeColumn(const TrainCall *call, Jsonb *options)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&options->root, "time_col", 8, NULL);
	char	   *name;

	if (value == NULL || value->type != jbvString)
		return "";
	name = pnstrdup(value->val.string.val, value->val.string.len);
	if (strcmp(name, call->user_col) == 0 || strcmp(name, call->item_col) == 0 ||
		(call->rating_col != NULL && strcmp(name, call->rating_col) == 0))
		return "";
	return psprintf(", %s", quote_identifier(name));
}

/* The parts of a fold, as views; or the tables, where the test was given. */
static void
MakeParts(const Search *search, int fold, Jsonb *options, Oid *train, Oid *test)
{
	static const char *const names[] = {"mf_tune_training", "mf_tune_testing"};
	const TrainCall *call = &search->call;
	const char *time = TimeColumn(call, options);

	*train = call->ratings;
	*test = search->test;
	if (OidIsValid(search->test))
		return;
	for (int part = 0; part < 2; part++)
	{
		Run(SPI_OK_UTILITY,
			"CREATE OR REPLACE TEMPORARY VIEW %s AS SELECT %s, %s%s%s%s FROM %s "
			"WHERE %s %s.mf_holdout(%s, %s, '%.17g'::pg_catalog.float8, " INT64_FORMAT ")",
			names[part], quote_identifier(call->user_col), quote_identifier(call->item_col),
			call->rating_col ? ", " : "",
			call->rating_col ? quote_identifier(call->rating_col) : "", time, search->source,
			part == 0 ? "NOT" : "", search->extension, quote_identifier(call->user_col),
			quote_identifier(call->item_col), search->holdout, search->seed + fold);
		*(part == 0 ? train : test) =
			RangeVarGetRelid(makeRangeVar("pg_temp", pstrdup(names[part]), -1), NoLock, false);
	}
}

/*
 * Both parts must have pairs: training and judging would say so too, but of
 * views that the caller has never heard of.
 */
static void
CheckParts(const Search *search)
{
	static const char *const parts[] = {"training", "testing"};

	if (OidIsValid(search->test))
		return;
	for (int part = 0; part < 2; part++)
	{
		Run(SPI_OK_SELECT, "SELECT FROM pg_temp.mf_tune_%s LIMIT 1", parts[part]);
		if (SPI_processed == 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 part == 0 ?
					 errmsg("a holdout of %g leaves no pairs of %s to train on",
							search->holdout, search->source) :
					 errmsg("a holdout of %g leaves no pairs of %s to judge by",
							search->holdout, search->source)));
	}
}

static void
DropParts(const Search *search)
{
	if (!OidIsValid(search->test))
		Run(SPI_OK_UTILITY, "DROP VIEW pg_temp.mf_tune_training, pg_temp.mf_tune_testing");
}

static void
RunFold(const Search *search, int fold, const char *set, Trial *trial)
{
	TrainCall	call = search->call;
	Jsonb	   *options = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(set)));
	const char *model = quote_literal_cstr(call.model);
	Oid			test;

	MakeParts(search, fold, options, &call.ratings, &test);
	CheckParts(search);
	Run(SPI_OK_SELECT, "%s", train_statement(&call, options, "grid"));
	Run(SPI_OK_SELECT,
		"SELECT %s, users, pairs FROM %s.mf_evaluate(model => %s, test => %u::pg_catalog.regclass, "
		"user_col => %s, item_col => %s, k => %d, relevant => %s)",
		MetricList(true), search->extension, model, test, quote_literal_cstr(call.user_col),
		quote_literal_cstr(call.item_col), search->k, search->relevant);
	for (int m = 0; m < METRICS; m++)
	{
		bool		isnull;
		double		value = Number(m + 1, &isnull);

		if (isnull)
			continue;
		trial->sum[m] += value;
		trial->count[m]++;
	}
	trial->users += Count(METRICS + 1);
	trial->pairs += Count(METRICS + 2);
	Run(SPI_OK_SELECT, "SELECT %s.mf_drop(%s)", search->extension, model);
	DropParts(search);
}

/* All folds, in a subtransaction: where training diverges, that is the result. */
static void
RunTrial(const Search *search, const char *set, Trial *trial)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	memset(trial, 0, sizeof(*trial));
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		for (int fold = 0; fold < search->folds; fold++)
			RunFold(search, fold, set, trial);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE)
			ReThrowError(error);
		memset(trial, 0, sizeof(*trial));
		trial->error = error->message;
	}
	PG_END_TRY();
}

/* ---- The table of trials ---- */

/* The table that is there must be one of trials. */
static void
CheckResults(const Search *search, Oid relid)
{
	static const char *const needed[] = {"trial", "source", "protocol", "options", "users", "pairs",
	"error", "seconds", "finished_at"};

	for (int c = 0; c < lengthof(needed); c++)
		if (get_attnum(relid, needed[c]) == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("relation %s is not a table of trials", search->results),
					 errdetail("It has no column \"%s\".", needed[c]),
					 errhint("Name one that mf_tune() made, or none yet, as results.")));
}

static void
MakeResults(const Search *search)
{
	Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(search->results))),
										 NoLock, true);
	StringInfoData sql;

	/* Not IF NOT EXISTS alone: that has a NOTICE. */
	if (OidIsValid(relid))
	{
		CheckResults(search, relid);
		return;
	}
	initStringInfo(&sql);
	for (int m = 0; m < METRICS; m++)
		appendStringInfo(&sql, "%s double precision, ", quote_identifier(metrics[m].name));
	Run(SPI_OK_UTILITY,
		"CREATE TABLE %s (trial integer NOT NULL, source pg_catalog.text NOT NULL, "
		"protocol pg_catalog.jsonb NOT NULL, options pg_catalog.jsonb NOT NULL, %s"
		"users bigint, pairs bigint, error pg_catalog.text, "
		"seconds double precision NOT NULL, finished_at timestamp with time zone NOT NULL, "
		"PRIMARY KEY (source, protocol, options))",
		search->results, sql.data);
}

static bool
IsDone(const Search *search, const char *set)
{
	Run(SPI_OK_SELECT,
		"SELECT FROM %s WHERE source OPERATOR(pg_catalog.=) %s "
		"AND protocol OPERATOR(pg_catalog.=) %s::pg_catalog.jsonb "
		"AND options OPERATOR(pg_catalog.=) %s::pg_catalog.jsonb",
		search->results, quote_literal_cstr(search->source),
		quote_literal_cstr(search->protocol), quote_literal_cstr(set));
	return SPI_processed > 0;
}

static void
KeepTrial(const Search *search, const char *set, const Trial *trial, double seconds)
{
	StringInfoData values;

	initStringInfo(&values);
	for (int m = 0; m < METRICS; m++)
	{
		if (trial->count[m] == 0)
			appendStringInfoString(&values, "NULL, ");
		else
			appendStringInfo(&values, "'%.17g', ", trial->sum[m] / trial->count[m]);
	}
	Run(SPI_OK_INSERT,
		"INSERT INTO %s (trial, source, protocol, options, %s, users, pairs, error, seconds, finished_at) "
		"SELECT 1 OPERATOR(pg_catalog.+) coalesce(pg_catalog.max(trial), 0), %s, %s, %s, %s"
		INT64_FORMAT ", " INT64_FORMAT ", %s, '%.3f', pg_catalog.clock_timestamp() FROM %s",
		search->results, MetricList(true), quote_literal_cstr(search->source),
		psprintf("%s::pg_catalog.jsonb", quote_literal_cstr(search->protocol)),
		psprintf("%s::pg_catalog.jsonb", quote_literal_cstr(set)), values.data,
		trial->users, trial->pairs, trial->error ? quote_literal_cstr(trial->error) : "NULL",
		seconds, search->results);
}

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
				(errmsg("trial %d of %d: %s %.4f, %s", number, n, metrics[m].name,
						trial->sum[m] / trial->count[m], set)));
	else if (search->verbose)
		ereport(NOTICE,
				(errmsg("trial %d of %d: no %s, %s", number, n, metrics[m].name, set)));
}

/* ---- The search ---- */

static void
RunSearch(Search *search, char **sets, int n)
{
	MemoryContext scratch = AllocSetContextCreate(search->context, "mf_tune trial",
												  ALLOCSET_DEFAULT_SIZES);

	MakeResults(search);
	for (int k = 0; k < n; k++)
	{
		Trial		trial;
		instr_time	start;
		instr_time	duration;

		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		if (IsDone(search, sets[k]))
			continue;
		INSTR_TIME_SET_CURRENT(start);
		RunTrial(search, sets[k], &trial);
		INSTR_TIME_SET_CURRENT(duration);
		INSTR_TIME_SUBTRACT(duration, start);
		KeepTrial(search, sets[k], &trial, INSTR_TIME_GET_DOUBLE(duration));
		ReportTrial(search, k + 1, n, sets[k], &trial);
		if (search->commits)
			SPI_commit();
	}
	MemoryContextSwitchTo(search->context);
	MemoryContextDelete(scratch);
}

/* The best options of the same source and protocol, and their score. */
static void
FindBest(const Search *search, Datum *values, bool *nulls, MemoryContext context)
{
	const char *metric = quote_identifier(metrics[search->metric].name);
	MemoryContext old;

	Run(SPI_OK_SELECT,
		"SELECT %s, options::pg_catalog.text FROM %s WHERE source OPERATOR(pg_catalog.=) %s "
		"AND protocol OPERATOR(pg_catalog.=) %s::pg_catalog.jsonb AND %s IS NOT NULL "
		"ORDER BY %s %s, trial LIMIT 1",
		metric, search->results, quote_literal_cstr(search->source),
		quote_literal_cstr(search->protocol), metric, metric,
		metrics[search->metric].less_is_better ? "ASC" : "DESC");
	nulls[0] = nulls[1] = true;
	if (SPI_processed == 0)
		return;
	old = MemoryContextSwitchTo(context);
	values[1] = Float8GetDatum(Number(1, &nulls[1]));
	values[0] = DirectFunctionCall1(jsonb_in,
									CStringGetDatum(SPI_getvalue(SPI_tuptable->vals[0],
																 SPI_tuptable->tupdesc, 2)));
	nulls[0] = false;
	MemoryContextSwitchTo(old);
}

/*
 * CALL mf_tune(ratings, grid, ..., INOUT best, INOUT score): see the SQL script.
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
	int			trials = 0;
	int			n;

	PreventCommandDuringRecovery("mf_tune()");
	PreventCommandIfReadOnly("mf_tune()");
	search.context = AllocSetContextCreate(outer, "mf_tune", ALLOCSET_DEFAULT_SIZES);
	search.commits = fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic;
	search.call.extension_schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	if (SPI_connect_ext(search.commits ? SPI_OPT_NONATOMIC : 0) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(search.context);
	search.extension = quote_identifier(get_namespace_name(search.call.extension_schema));
	ReadArguments(fcinfo, &search);
	if (!PG_ARGISNULL(ARG_TRIALS))
		trials = Range(PG_GETARG_INT32(ARG_TRIALS), "trials", MAX_TRIALS);
	CheckTables(&search);
	MakeProtocol(&search);
	sets = grid_sets(search.call.extension_schema, PG_GETARG_JSONB_P(ARG_GRID), trials,
					 search.seed, search.context, &n);
	RunSearch(&search, sets, n);
	FindBest(&search, values, nulls, outer);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");

	MemoryContextSwitchTo(outer);
	MemoryContextDelete(search.context);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

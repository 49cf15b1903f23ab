/*
 * trial.c: one set of options, trained and judged.
 *
 * All in plain SQL on behalf of the caller, within a subtransaction:
 *
 *	 CREATE TEMP VIEW of each part		by mf_holdout(), or the table given as test
 *	 mf_train(), mf_evaluate()			as anyone would call them
 *	 mf_drop(), DROP VIEW
 *
 * A set that mf_train refuses, as combinations of a grid may be (an option that
 * does not apply to the loss beside it), and a training that diverges are results
 * like others: the trial keeps the message, and the search goes on. They are told
 * by their SQLSTATE: data exceptions, which wrong values of options are too, and what
 * a training that has no ratings left says. Whatever would befall any set, no right
 * to read or no memory say, ends the search.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"
#include "evaluate/tune.h"

const TuneMetric tune_metrics[TUNE_METRICS] =
{
	{"rmse", true}, {"mae", true}, {"precision", false}, {"recall", false},
	{"ndcg", false}, {"map", false}, {"mrr", false}, {"hit_rate", false},
	{"auc", false}, {"coverage", false}, {"diversity", false},
	{"popularity", false}, {"novelty", false}
};

/* ---- SQL ---- */

void
tune_query(int expected, const char *format,...)
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
	/* Of the tables that are read and written here the user's own is one. */
	if (result != expected)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a rule of a table has made something else of a statement"),
				 errdetail("The statement was: %s", sql.data),
				 errhint("Drop the rules of the table of results.")));
	pfree(sql.data);
}

double
tune_number(int column, bool *isnull)
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

char *
tune_metric_list(bool quoted)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int m = 0; m < TUNE_METRICS; m++)
		appendStringInfo(&list, "%s%s", m > 0 ? ", " : "",
						 quoted ? quote_identifier(tune_metrics[m].name) : tune_metrics[m].name);
	return list.data;
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

/* What tells the pairs of a fold's part: 0 is for training, 1 for testing. */
char *
trial_part(const Search *search, int fold, int part)
{
	return psprintf("%s %s.mf_holdout(%s, %s, '%.17g'::pg_catalog.float8, " INT64_FORMAT ")",
					part == 0 ? "NOT" : "", search->extension,
					quote_identifier(search->call.user_col),
					quote_identifier(search->call.item_col), search->holdout,
					search->seed + fold);
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
		tune_query(SPI_OK_UTILITY,
			"CREATE OR REPLACE TEMPORARY VIEW %s AS SELECT %s, %s%s%s%s FROM %s WHERE %s",
			names[part], quote_identifier(call->user_col), quote_identifier(call->item_col),
			call->rating_col ? ", " : "",
			call->rating_col ? quote_identifier(call->rating_col) : "", time, search->source,
			trial_part(search, fold, part));
		*(part == 0 ? train : test) =
			RangeVarGetRelid(makeRangeVar("pg_temp", pstrdup(names[part]), -1), NoLock, false);
	}
}

static void
DropParts(const Search *search)
{
	if (!OidIsValid(search->test))
		tune_query(SPI_OK_UTILITY, "DROP VIEW pg_temp.mf_tune_training, pg_temp.mf_tune_testing");
}

static void
RunFold(const Search *search, int fold, const char *set, Trial *trial)
{
	TrainCall	call = search->call;
	Jsonb	   *options = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(set)));
	const char *model = quote_literal_cstr(call.model);
	Oid			test;

	MakeParts(search, fold, options, &call.ratings, &test);
	tune_query(SPI_OK_SELECT, "%s", train_statement(&call, options, "grid"));
	tune_query(SPI_OK_SELECT,
		"SELECT %s, users, pairs FROM %s.mf_evaluate(model => %s, test => %u::pg_catalog.regclass, "
		"user_col => %s, item_col => %s, k => %d, relevant => %s)",
		tune_metric_list(true), search->extension, model, test, quote_literal_cstr(call.user_col),
		quote_literal_cstr(call.item_col), search->k, search->relevant);
	for (int m = 0; m < TUNE_METRICS; m++)
	{
		bool		isnull;
		double		value = tune_number(m + 1, &isnull);

		if (isnull)
			continue;
		trial->sum[m] += value;
		trial->count[m]++;
	}
	trial->users += Count(TUNE_METRICS + 1);
	trial->pairs += Count(TUNE_METRICS + 2);
	tune_query(SPI_OK_SELECT, "SELECT %s.mf_drop(%s)", search->extension, model);
	DropParts(search);
}

/* Is an error the fault of the options, or of what they leave of the data? */
static bool
IsResult(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
		error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
}

/* All folds, in a subtransaction. */
void
trial_run(const Search *search, const char *set, Trial *trial)
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
		if (!IsResult(error))
			ReThrowError(error);
		memset(trial, 0, sizeof(*trial));
		trial->error = error->message;
	}
	PG_END_TRY();
}

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
#include "catalog/pg_type.h"
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
TimeColumn(const Search *search, Jsonb *options)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&options->root, "time_col", 8, NULL);
	char	   *name;

	if (value == NULL || value->type != jbvString)
		return "";
	name = pnstrdup(value->val.string.val, value->val.string.len);
	if (strcmp(name, search->user_col) == 0 || strcmp(name, search->item_col) == 0 ||
		(search->rating_col != NULL && strcmp(name, search->rating_col) == 0))
		return "";
	return psprintf(", %s", quote_identifier(name));
}

/* What tells the pairs of a fold's part: 0 is for training, 1 for testing. */
char *
trial_part(const Search *search, int fold, int part)
{
	return psprintf("%s %s.mf_holdout(%s, %s, '%.17g'::pg_catalog.float8, " INT64_FORMAT ")",
					part == 0 ? "NOT" : "", search->extension,
					quote_identifier(search->user_col),
					quote_identifier(search->item_col), search->holdout,
					(int64) ((uint64) search->seed + fold + 1));
}

/* The parts of a fold, as views; or the tables, where the test was given. */
static void
MakeParts(const Search *search, int fold, Jsonb *options, Oid *train, Oid *test)
{
	static const char *const names[] = {"mf_tune_training", "mf_tune_testing"};
	const char *time = TimeColumn(search, options);

	*train = search->ratings;
	*test = search->test;
	if (OidIsValid(search->test))
		return;
	for (int part = 0; part < 2; part++)
	{
		/* The name is looked up at once; no other code runs before that. */
		held_check(&search->pairs.held);
		query_utility(psprintf("CREATE OR REPLACE TEMPORARY VIEW %s AS SELECT %s, %s%s%s%s FROM %s WHERE %s",
							   names[part], quote_identifier(search->user_col),
							   quote_identifier(search->item_col), search->rating_col ? ", " : "",
							   search->rating_col ? quote_identifier(search->rating_col) : "", time,
							   search->pairs.held.sql, trial_part(search, fold, part)));
		*(part == 0 ? train : test) =
			RangeVarGetRelid(makeRangeVar("pg_temp", pstrdup(names[part]), -1), NoLock, false);
	}
}

static void
DropParts(const Search *search)
{
	if (!OidIsValid(search->test))
		query_utility("DROP VIEW pg_temp.mf_tune_training, pg_temp.mf_tune_testing");
}

/* What mf_evaluate says of the trial's model. */
static void
Judge(const Search *search, const char *model, Oid test, Trial *trial)
{
	Oid			columns[TUNE_METRICS + 2];
	Datum		values[TUNE_METRICS + 2];
	bool		nulls[TUNE_METRICS + 2];
	SqlQuery	query = {.ncolumns = lengthof(columns), .columns = columns};

	for (int c = 0; c < lengthof(columns); c++)
		columns[c] = c < TUNE_METRICS ? FLOAT8OID : INT8OID;
	query.sql = psprintf("SELECT %s, users, pairs FROM %s.mf_evaluate(model => %s, test => %u::pg_catalog.regclass, "
						 "user_col => %s, item_col => %s, k => %d, relevant => %s)",
						 tune_metric_list(true), search->extension, model, test,
						 quote_literal_cstr(search->user_col),
						 quote_literal_cstr(search->item_col), search->k, search->relevant);
	(void) query_row(&query, values, nulls);
	for (int m = 0; m < TUNE_METRICS; m++)
	{
		if (nulls[m])
			continue;
		trial->sum[m] += DatumGetFloat8(values[m]);
		trial->count[m]++;
	}
	trial->users += DatumGetInt64(values[TUNE_METRICS]);
	trial->pairs += DatumGetInt64(values[TUNE_METRICS + 1]);
}

static void
TrainOnPart(const Search *search, Oid train, const char *set)
{
	static const Oid columns[] = {
		TEXTOID, INT8OID, INT8OID, INT8OID, INT4OID, FLOAT8OID, FLOAT8OID
	};
	Datum		values[lengthof(columns)];
	bool		nulls[lengthof(columns)];
	SqlQuery	query = {.ncolumns = lengthof(columns), .columns = columns};

	query.sql = psprintf("SELECT * FROM %s.mf_train(ratings => %u::pg_catalog.regclass, user_col => %s, item_col => %s, "
						 "rating_col => %s, model => %s, verbose => false, "
						 "options => %s::pg_catalog.jsonb OPERATOR(pg_catalog.||) '{\"index\": false}'::pg_catalog.jsonb)",
						 search->extension, train, quote_literal_cstr(search->user_col),
						 quote_literal_cstr(search->item_col),
						 search->rating_col ? quote_literal_cstr(search->rating_col) : "NULL",
						 quote_literal_cstr(search->model), quote_literal_cstr(set));
	(void) query_row(&query, values, nulls);
}

static void
RunFold(const Search *search, int fold, const char *set, Trial *trial)
{
	const Oid	nothing = VOIDOID;
	Jsonb	   *options = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(set)));
	const char *model = quote_literal_cstr(search->model);
	SqlQuery	drop = {.ncolumns = 1, .columns = &nothing};
	Datum		value;
	bool		isnull;
	Oid			train;
	Oid			test;

	MakeParts(search, fold, options, &train, &test);
	TrainOnPart(search, train, set);
	Judge(search, model, test, trial);
	drop.sql = psprintf("SELECT %s.mf_drop(%s)", search->extension, model);
	(void) query_row(&drop, &value, &isnull);
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

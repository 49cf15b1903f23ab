/*
 * trial_table.c: the table of trials, a row for each.
 *
 * It is the caller's own, made by the search where it is not there. Its key is
 * the source, the protocol (how the pairs are split and judged) and the options:
 * what a search looks for before it tries a set.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "compat.h"
#include "evaluate/tune.h"

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

void
trials_make(const Search *search)
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
	for (int m = 0; m < TUNE_METRICS; m++)
		appendStringInfo(&sql, "%s double precision, ", quote_identifier(tune_metrics[m].name));
	tune_query(SPI_OK_UTILITY,
		"CREATE TABLE %s (trial integer NOT NULL, source pg_catalog.text NOT NULL, "
		"protocol pg_catalog.jsonb NOT NULL, options pg_catalog.jsonb NOT NULL, %s"
		"users bigint, pairs bigint, error pg_catalog.text, "
		"seconds double precision NOT NULL, finished_at timestamp with time zone NOT NULL, "
		"PRIMARY KEY (source, protocol, options))",
		search->results, sql.data);
}

bool
trials_find(const Search *search, const char *set, char **error)
{
	tune_query(SPI_OK_SELECT,
		"SELECT error FROM %s WHERE source OPERATOR(pg_catalog.=) %s "
		"AND protocol OPERATOR(pg_catalog.=) %s::pg_catalog.jsonb "
		"AND options OPERATOR(pg_catalog.=) %s::pg_catalog.jsonb",
		search->results, quote_literal_cstr(search->source),
		quote_literal_cstr(search->protocol), quote_literal_cstr(set));
	if (SPI_processed == 0)
		return false;
	*error = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	return true;
}

void
trials_keep(const Search *search, const char *set, const Trial *trial, double seconds)
{
	StringInfoData values;

	initStringInfo(&values);
	for (int m = 0; m < TUNE_METRICS; m++)
	{
		if (trial->count[m] == 0)
			appendStringInfoString(&values, "NULL, ");
		else
			appendStringInfo(&values, "'%.17g', ", trial->sum[m] / trial->count[m]);
	}
	tune_query(SPI_OK_INSERT,
		"INSERT INTO %s (trial, source, protocol, options, %s, users, pairs, error, seconds, finished_at) "
		"SELECT 1 OPERATOR(pg_catalog.+) coalesce(pg_catalog.max(trial), 0), %s, %s, %s, %s"
		INT64_FORMAT ", " INT64_FORMAT ", %s, '%.3f', pg_catalog.clock_timestamp() FROM %s",
		search->results, tune_metric_list(true), quote_literal_cstr(search->source),
		psprintf("%s::pg_catalog.jsonb", quote_literal_cstr(search->protocol)),
		psprintf("%s::pg_catalog.jsonb", quote_literal_cstr(set)), values.data,
		trial->users, trial->pairs, trial->error ? quote_literal_cstr(trial->error) : "NULL",
		seconds, search->results);
}

void
trials_best(const Search *search, Datum *values, bool *nulls, MemoryContext context)
{
	const char *metric = quote_identifier(tune_metrics[search->metric].name);
	MemoryContext old;

	tune_query(SPI_OK_SELECT,
		"SELECT %s, options::pg_catalog.text FROM %s WHERE source OPERATOR(pg_catalog.=) %s "
		"AND protocol OPERATOR(pg_catalog.=) %s::pg_catalog.jsonb AND %s IS NOT NULL "
		"ORDER BY %s %s, trial LIMIT 1",
		metric, search->results, quote_literal_cstr(search->source),
		quote_literal_cstr(search->protocol), metric, metric,
		tune_metrics[search->metric].less_is_better ? "ASC" : "DESC");
	nulls[0] = nulls[1] = true;
	if (SPI_processed == 0)
		return;
	old = MemoryContextSwitchTo(context);
	values[1] = Float8GetDatum(tune_number(1, &nulls[1]));
	values[0] = DirectFunctionCall1(jsonb_in,
									CStringGetDatum(SPI_getvalue(SPI_tuptable->vals[0],
																 SPI_tuptable->tupdesc, 2)));
	nulls[0] = false;
	MemoryContextSwitchTo(old);
}

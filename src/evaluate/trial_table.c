/*
 * trial_table.c: the table of trials, a row for each.
 *
 * The search makes it where it is not there. Its key is the source, the protocol
 * (how the pairs are split and judged) and the options: what a search looks for
 * before it tries a set.
 *
 * It may be another role's, who has granted the caller to write it. What is learnt
 * of the ratings, in scores and in the messages of trials that failed, is then
 * learnt by that role: it needs the right to read all of them itself, and the
 * table is read and written as that role, whose triggers fire for it.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/varlena.h"

#include "compat.h"
#include "evaluate/tune.h"
#include "model/model.h"

/* ---- As its owner ---- */

/* The table as it is now, locked; InvalidOid where there is none. */
static Oid
FindResults(const Search *search)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(search->results));

	return RangeVarGetRelid(makeRangeVarFromNameList(names), RowExclusiveLock, true);
}

/* Likewise, and held; false where there is none. */
static bool
OpenResults(const Search *search, Held *results)
{
	Oid			relid = FindResults(search);

	if (!OidIsValid(relid))
		return false;
	held_take(results, relation_open(relid, NoLock));
	return true;
}

static bool
NoRow(TupleTableSlot *slot, void *arg)
{
	return false;
}

/*
 * Whether the current user may read all of the ratings. Row security is an error
 * where it would leave some out, in views' tables too, which only the executor
 * knows; no row is read.
 */
static void
RequireAllRatings(const Search *search, const Held *ratings)
{
	SqlQuery	query = {.from = ratings, .ncolumns = QUERY_ANY};

	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	query.sql = psprintf("SELECT %s, %s%s%s FROM %s LIMIT 0",
						 quote_identifier(search->user_col), quote_identifier(search->item_col),
						 search->rating_col ? ", " : "",
						 search->rating_col ? quote_identifier(search->rating_col) : "", ratings->sql);
	query_receive(&query, NoRow, NULL);
}

/*
 * Begins to act as the table's owner, if that is not the caller: who must be
 * allowed to do what is about to be done, and the owner to know of it.
 */
static void
ActAsOwner(const Search *search, const Held *results, ActingOwner *acting)
{
	Oid			owner = results->rel->rd_rel->relowner;
	AclMode		mode = ACL_SELECT | ACL_INSERT;
	char	   *what = psprintf("table %s", search->results);

	memset(acting, 0, sizeof(*acting));
	if (owner == GetUserId())
		return;
	if (pg_class_aclmask(results->relid, GetUserId(), mode, ACLMASK_ALL) != mode)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(results->rel->rd_rel->relkind),
					   results->name);
	owner_begin(acting, owner, what);
	RequireAllRatings(search, &search->pairs.held);
	if (OidIsValid(search->test))
		RequireAllRatings(search, &search->judged.held);
	owner_end(acting);
	owner_begin(acting, owner, what);
}

pg_noreturn static void
ResultsGone(const Search *search)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation %s, the table of trials, does not exist any more",
					search->results)));
}

/* For a statement of its own: the table, and whoever acts on it. */
static void
BeginStatement(const Search *search, Held *results, ActingOwner *acting)
{
	if (!OpenResults(search, results))
		ResultsGone(search);
	ActAsOwner(search, results, acting);
}

static void
EndStatement(Held *results, ActingOwner *acting)
{
	owner_end(acting);
	held_close(results);
}

/* ---- The table ----
 *
 * It is the user's, who may have altered it or written to it what no trial found: so
 * its columns are looked at first, and cast where they are read.
 */

pg_noreturn static void
NotTrials(const Search *search, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("relation %s is not a table of trials", search->results),
			 errdetail_internal("%s", detail),
			 errhint("Name one that mf_tune() made, or none yet, as results.")));
}

static void
CheckColumn(const Search *search, const Held *results, const char *name, Oid type)
{
	AttrNumber	attno = get_attnum(results->relid, name);
	Oid			found;

	if (attno == InvalidAttrNumber)
		NotTrials(search, psprintf("It has no column \"%s\".", name));
	found = TupleDescAttr(RelationGetDescr(results->rel), attno - 1)->atttypid;
	if (found != type)
		NotTrials(search, psprintf("Its column \"%s\" is of type %s, not %s.", name,
								   format_type_be(found), format_type_be(type)));
}

/* The table that is there must be one of trials. */
static void
CheckResults(const Search *search, const Held *results)
{
	static const struct
	{
		const char *name;
		Oid			type;
	}			needed[] = {
		{"trial", INT4OID}, {"source", TEXTOID}, {"protocol", JSONBOID}, {"options", JSONBOID},
		{"users", INT8OID}, {"pairs", INT8OID}, {"error", TEXTOID}, {"seconds", FLOAT8OID},
		{"finished_at", TIMESTAMPTZOID}
	};

	for (int c = 0; c < lengthof(needed); c++)
		CheckColumn(search, results, needed[c].name, needed[c].type);
	for (int m = 0; m < TUNE_METRICS; m++)
		CheckColumn(search, results, tune_metrics[m].name, FLOAT8OID);
}

static void
CreateResults(const Search *search)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int m = 0; m < TUNE_METRICS; m++)
		appendStringInfo(&sql, "%s double precision, ", quote_identifier(tune_metrics[m].name));
	query_utility(psprintf("CREATE TABLE %s (trial integer NOT NULL, source pg_catalog.text NOT NULL, "
						   "protocol pg_catalog.jsonb NOT NULL, options pg_catalog.jsonb NOT NULL, %s"
						   "users bigint, pairs bigint, error pg_catalog.text, "
						   "seconds double precision NOT NULL, finished_at timestamp with time zone NOT NULL, "
						   "PRIMARY KEY (source, protocol, options))",
						   search->results, sql.data));
}

/*
 * Creates the table, unless another search has done so since it was looked for:
 * PostgreSQL says that of the table or, where both were at it, of a catalogue's
 * unique index.
 */
static void
TryCreateResults(const Search *search)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		CreateResults(search);
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
		if ((error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION &&
			 error->sqlerrcode != ERRCODE_DUPLICATE_TABLE) || !OidIsValid(FindResults(search)))
			ReThrowError(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
}

void
trials_make(const Search *search)
{
	Held		results;
	ActingOwner acting;

	/* Not IF NOT EXISTS alone: that has a NOTICE. */
	if (!OpenResults(search, &results))
	{
		TryCreateResults(search);
		if (!OpenResults(search, &results))
			ResultsGone(search);
	}
	CheckResults(search, &results);
	ActAsOwner(search, &results, &acting);
	EndStatement(&results, &acting);
}

bool
trials_find(const Search *search, const char *set, char **error)
{
	const Oid	type = TEXTOID;
	Held		results;
	ActingOwner acting;
	SqlQuery	query = {.from = &results, .ncolumns = 1, .columns = &type};
	Datum		value;
	bool		isnull;
	bool		found;

	BeginStatement(search, &results, &acting);
	query.sql = psprintf("SELECT error FROM %s WHERE source OPERATOR(pg_catalog.=) %s "
						 "AND protocol OPERATOR(pg_catalog.=) %s::pg_catalog.jsonb "
						 "AND options OPERATOR(pg_catalog.=) %s::pg_catalog.jsonb",
						 results.sql, quote_literal_cstr(search->source),
						 quote_literal_cstr(search->protocol), quote_literal_cstr(set));
	found = query_row(&query, &value, &isnull);
	EndStatement(&results, &acting);
	if (found)
		*error = isnull ? NULL : TextDatumGetCString(value);
	return found;
}

bool
trials_keep(const Search *search, const char *set, const Trial *trial, double seconds)
{
	Held		results;
	ActingOwner acting;
	SqlQuery	query = {.from = &results};
	StringInfoData values;
	uint64		written;

	initStringInfo(&values);
	for (int m = 0; m < TUNE_METRICS; m++)
	{
		if (trial->count[m] == 0)
			appendStringInfoString(&values, "NULL, ");
		else
			appendStringInfo(&values, "'%.17g', ", trial->sum[m] / trial->count[m]);
	}
	BeginStatement(search, &results, &acting);
	query.sql = psprintf("INSERT INTO %s (trial, source, protocol, options, %s, users, pairs, error, seconds, finished_at) "
						 "SELECT 1 OPERATOR(pg_catalog.+) coalesce(pg_catalog.max(trial), 0), %s, %s, %s, %s"
						 INT64_FORMAT ", " INT64_FORMAT ", %s, '%.3f', pg_catalog.clock_timestamp() FROM %s "
						 "ON CONFLICT DO NOTHING",
						 results.sql, tune_metric_list(true), quote_literal_cstr(search->source),
						 psprintf("%s::pg_catalog.jsonb", quote_literal_cstr(search->protocol)),
						 psprintf("%s::pg_catalog.jsonb", quote_literal_cstr(set)), values.data,
						 trial->users, trial->pairs,
						 trial->error ? quote_literal_cstr(trial->error) : "NULL",
						 seconds, results.sql);
	written = query_write(&query, CMD_INSERT);
	EndStatement(&results, &acting);
	return written > 0;
}

void
trials_best(const Search *search, Datum *values, bool *nulls, MemoryContext context)
{
	static const Oid columns[] = {FLOAT8OID, TEXTOID};
	const char *metric = quote_identifier(tune_metrics[search->metric].name);
	Held		results;
	ActingOwner acting;
	SqlQuery	query = {.from = &results, .ncolumns = lengthof(columns), .columns = columns};
	MemoryContext old;
	Datum		row[2];
	bool		row_nulls[2];
	bool		found;

	BeginStatement(search, &results, &acting);
	query.sql = psprintf("SELECT %s::pg_catalog.float8, options::pg_catalog.text FROM %s WHERE source OPERATOR(pg_catalog.=) %s "
						 "AND protocol OPERATOR(pg_catalog.=) %s::pg_catalog.jsonb AND options IS NOT NULL "
						 "AND %s OPERATOR(pg_catalog.<>) 'NaN'::pg_catalog.float8 ORDER BY %s %s, trial LIMIT 1",
						 metric, results.sql, quote_literal_cstr(search->source),
						 quote_literal_cstr(search->protocol), metric, metric,
						 tune_metrics[search->metric].less_is_better ? "ASC" : "DESC");
	found = query_row(&query, row, row_nulls);
	EndStatement(&results, &acting);
	nulls[0] = nulls[1] = true;
	if (!found || row_nulls[1])
		return;
	old = MemoryContextSwitchTo(context);
	values[0] = DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(row[1])));
	values[1] = row[0];
	nulls[0] = false;
	nulls[1] = row_nulls[0];
	MemoryContextSwitchTo(old);
}

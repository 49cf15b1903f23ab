/*
 * write.c: training writes a side's table.
 *
 * The rows stream into a tuplestore, which SQL is offered under a name of
 * its own (an ephemeral relation, as a trigger's transition table is). From
 * there one INSERT ... ON CONFLICT DO UPDATE brings every id's row up to date
 * and one DELETE takes the ids that are gone. So columns that a user added,
 * foreign keys to ids that stay, grants and indexes survive a retraining, and
 * readers see the old rows until the transaction commits.
 *
 * Rejected: dropping and creating the table anew (loses all of those, and
 * readers would wait), TRUNCATE and COPY (readers wait, and old snapshots see
 * an empty table), a prepared INSERT per row (a statement, with its triggers,
 * for each). The tuplestore spills to disk beyond work_mem.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "model/catalog.h"
#include "model/idrelation.h"
#include "model/idsql.h"
#include "model/query.h"

#define NEW_ROWS "mf_new_rows"
#define SIDE_NATTS 6

/* Creates the side's table, and holds it. */
static void
CreateTable(ModelTarget *target, MfSide side)
{
	const ModelKey *key = &target->key[side];
	char	   *table = model_table_name(target->name, side);

	query_utility(psprintf("CREATE TABLE %s (%s %s%s PRIMARY KEY, "
						   "bias pg_catalog.float4 NOT NULL, factors pg_catalog.float4[] NOT NULL, "
						   "ratings pg_catalog.int4 NOT NULL, rating_sum pg_catalog.float8 NOT NULL, "
						   "digest pg_catalog.int8 NOT NULL)",
						   quote_qualified_identifier(target->schema_name, table),
						   quote_identifier(key->column),
						   format_type_extended(key->type, key->typmod,
												FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY),
						   model_collate_clause(key->collation)));
	model_target_hold(target, side);
}

static TupleDesc
SideTupleDesc(const ModelKey *key)
{
	TupleDesc	desc = CreateTemplateTupleDesc(SIDE_NATTS);

	TupleDescInitEntry(desc, 1, key->column, key->type, key->typmod, 0);
	TupleDescInitEntryCollation(desc, 1, key->collation);
	TupleDescInitEntry(desc, 2, "bias", FLOAT4OID, -1, 0);
	TupleDescInitEntry(desc, 3, "factors", FLOAT4ARRAYOID, -1, 1);
	TupleDescInitEntry(desc, 4, "ratings", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 5, "rating_sum", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 6, "digest", INT8OID, -1, 0);
	return desc;
}

/* An array of n floats, to be filled in again for each row. */
static ArrayType *
FactorsArray(int n)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + (Size) n * sizeof(float4);
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	return array;
}

static Tuplestorestate *
FillTuplestore(TupleDesc desc, int factors, uint32 n, ModelRowGetter get, void *arg)
{
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	ArrayType  *array = FactorsArray(factors);
	Datum		values[SIDE_NATTS];
	bool		nulls[SIDE_NATTS] = {false};
	uint32		k;

	for (k = 0; k < n; k++)
	{
		ModelRow	row;

		CHECK_FOR_INTERRUPTS();
		get(arg, k, &row);
		memcpy(ARR_DATA_PTR(array), row.factors, (Size) factors * sizeof(float4));
		values[0] = row.id;
		values[1] = Float4GetDatum(row.bias);
		values[2] = PointerGetDatum(array);
		values[3] = Int32GetDatum(row.ratings);
		values[4] = Float8GetDatum(row.rating_sum);
		values[5] = Int64GetDatum((int64) row.digest);
		tuplestore_putvalues(store, desc, values, nulls);
	}
	return store;
}

/* The tuplestore as SQL sees it, by the name NEW_ROWS. */
static QueryEnvironment *
OfferRows(Tuplestorestate *store, TupleDesc desc, uint32 n)
{
	QueryEnvironment *environment = create_queryEnv();
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = NEW_ROWS;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = n;
	enr->reldata = store;
	register_ENR(environment, enr);
	return environment;
}

/*
 * Runs the INSERT of a side's n rows. Where a trigger or a rule of the user's
 * keeps a row out, a vector of the old training would stay beside those of
 * the new one.
 */
static void
InsertRows(const ModelTarget *target, SqlQuery *query, uint32 n)
{
	uint64		written;

	query->counted = true;
	written = query_write(query, CMD_INSERT);
	query->counted = false;
	if (written != n)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not write all rows of model \"%s\"",
						model_name_quote(target->schema_name, target->name)),
				 errdetail("Of %u rows, %llu were written to table %s.", n,
						   (unsigned long long) written, query->from->sql),
				 errhint("Look for a trigger or a rule on the table that keeps rows out.")));
}

/* Does the table have triggers that may keep rows from being deleted? */
static bool
MayKeepRows(const Held *table)
{
	Relation	rel = relation_open(table->relid, NoLock);
	bool		result = rel->trigdesc != NULL && rel->trigdesc->trig_delete_before_row;

	relation_close(rel, NoLock);
	return result;
}

/*
 * Deletes the rows of a side that `condition` holds for, `t` being the table. A
 * rule of the user's shows at once; a trigger does not, so where there are any,
 * the rows are looked for afterwards.
 */
static void
DeleteRows(const ModelTarget *target, SqlQuery *query, const char *condition)
{
	static const Oid columns[] = {INT4OID};
	Datum		value;
	bool		isnull;

	query->sql = psprintf("DELETE FROM ONLY %s t WHERE %s", query->from->sql, condition);
	(void) query_write(query, CMD_DELETE);
	if (!MayKeepRows(query->from))
		return;
	query->sql = psprintf("SELECT 1 FROM ONLY %s t WHERE %s LIMIT 1", query->from->sql, condition);
	query->ncolumns = 1;
	query->columns = columns;
	if (query_row(query, &value, &isnull))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not delete the rows of model \"%s\" that have no ratings any more",
						model_name_quote(target->schema_name, target->name)),
				 errdetail("They are still in table %s.", query->from->sql),
				 errhint("Look for a trigger on the table that keeps them there.")));
}

/* Writes n rows; `all` of the side, so that others are deleted, or some. */
static void
WriteRows(ModelTarget *target, MfSide side, int factors, uint32 n,
		  ModelRowGetter get, void *arg, bool all)
{
	const char *key = quote_identifier(target->key[side].column);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "factor model rows",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer;
	SqlQuery	query = {.from = &target->held[side]};
	TupleDesc	desc;
	Tuplestorestate *store;
	StringInfoData insert;

	model_target_recheck(target);
	if (!target->exists)
		CreateTable(target, side);

	outer = MemoryContextSwitchTo(context);
	desc = SideTupleDesc(&target->key[side]);
	store = FillTuplestore(desc, factors, n, get, arg);
	query.environment = OfferRows(store, desc, n);

	initStringInfo(&insert);
	appendStringInfo(&insert,
					 "INSERT INTO %s (%s, bias, factors, ratings, rating_sum, digest) "
					 "SELECT %s, bias, factors, ratings, rating_sum, digest FROM " NEW_ROWS,
					 query.from->sql, key, key);
	if (target->exists)
		appendStringInfo(&insert,
						 " ON CONFLICT (%s) DO UPDATE SET bias = excluded.bias, "
						 "factors = excluded.factors, ratings = excluded.ratings, "
						 "rating_sum = excluded.rating_sum, digest = excluded.digest", key);
	query.sql = insert.data;
	InsertRows(target, &query, n);

	/* Tables that a user let inherit from this one are none of ours. */
	if (target->exists && all)
		DeleteRows(target, &query,
				   psprintf("NOT EXISTS (SELECT FROM " NEW_ROWS " n WHERE n.%s %s t.%s)",
							key, sql_operator(target->key[side].type, BTEqualStrategyNumber), key));

	tuplestore_end(store);
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
}

void
model_write_side(ModelTarget *target, MfSide side, int factors, uint32 n,
				 ModelRowGetter get, void *arg)
{
	WriteRows(target, side, factors, n, get, arg, true);
}

void
model_write_rows(ModelTarget *target, MfSide side, int factors, uint32 n,
				 ModelRowGetter get, void *arg)
{
	WriteRows(target, side, factors, n, get, arg, false);
}

void
model_delete_rows(ModelTarget *target, MfSide side, uint32 n, Datum *ids)
{
	const ModelKey *key = &target->key[side];
	IdArray		gone = {n, ids};
	IdRelations relations = {0};
	SqlQuery	query = {.from = &target->held[side]};

	model_target_recheck(target);
	id_relations_add(&relations, "mf_gone", key->type, &gone);
	query.environment = relations.environment;
	DeleteRows(target, &query, id_relation_condition("t", key->column, key->type, "mf_gone"));
	id_relations_end(&relations);
}

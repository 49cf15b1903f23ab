/*
 * sharded_sources.c: the tables of a sharded training, checked, and the parts of
 * which queries of them are made.
 *
 * Everything that can be wrong is said before the first iteration, in terms of
 * the arguments: types that differ between the two tables of ratings, a copy
 * without the columns of a vector. The options are those of mf_train, as far as
 * they apply, so ranges, defaults and messages are the same.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "model/query.h"
#include "train/sharded.h"

/* The places of the arguments: four, and then as in mf_train. */
enum
{
	ARG_BY_USER, ARG_BY_ITEM, ARG_USER_COPIES, ARG_ITEM_COPIES, ARG_COLUMNS
};

/* ---- Arguments ---- */

static void
ReadCopies(FunctionCallInfo fcinfo, int arg, const char *name, ShardedSide *side)
{
	ArrayType  *array;
	Datum	   *oids;
	bool	   *nulls;

	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	array = PG_GETARG_ARRAYTYPE_P(arg);
	deconstruct_array(array, ARR_ELEMTYPE(array), sizeof(Oid), true, TYPALIGN_INT,
					  &oids, &nulls, &side->ncopies);
	if (side->ncopies == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name)));
	side->copies = palloc(mul_size(side->ncopies, sizeof(Held)));
	for (int k = 0; k < side->ncopies; k++)
	{
		Relation	rel;

		if (nulls[k])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain nulls", name)));
		rel = try_relation_open(DatumGetObjectId(oids[k]), AccessShareLock);
		if (rel == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation with OID %u does not exist", DatumGetObjectId(oids[k]))));
		held_take(&side->copies[k], rel);
		for (int j = 0; j < k; j++)
			if (side->copies[j].relid == side->copies[k].relid)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("%s names \"%s\" twice", name, side->copies[k].name)));
	}
}

/* Half an iteration is least squares: no stochastic solver, no choice of pairs. */
static void
RefuseOthers(const TrainCall *call)
{
	for (int k = 0; k < train_options.n; k++)
	{
		const Option *option = &train_options.options[k];

		if ((option->flags & OPTION_SHARDED) == 0)
			option_refuse(option->name, *(const char *const *) OPTION_FIELD(option, call),
						  "mf_train_sharded()", NULL);
	}
}

void
sharded_read_options(FunctionCallInfo fcinfo, Sharded *sharded)
{
	static const char *const named[] = {
		"feedback", "factors", "iterations", "regularization", "alpha", "seed", "verbose", NULL
	};
	static const TrainSignature signature = {"by_user", ARG_COLUMNS, named};
	TrainCall	call;

	train_call_read(fcinfo, &signature, &call);
	if (PG_ARGISNULL(ARG_BY_ITEM))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("by_item must not be null")));
	RefuseOthers(&call);
	options_from_call(&call, &sharded->side[MF_USERS].source, &sharded->options);

	sharded->side[MF_ITEMS].source = sharded->side[MF_USERS].source;
	sharded->side[MF_ITEMS].source.relid = PG_GETARG_OID(ARG_BY_ITEM);
	ReadCopies(fcinfo, ARG_USER_COPIES, "user_copies", &sharded->side[MF_USERS]);
	ReadCopies(fcinfo, ARG_ITEM_COPIES, "item_copies", &sharded->side[MF_ITEMS]);
}

static TupleDesc
RowDesc(const ModelKey *key)
{
	TupleDesc	desc = CreateTemplateTupleDesc(ROW_NATTS);

	TupleDescInitEntry(desc, ROW_ID + 1, "id", key->type, key->typmod, 0);
	TupleDescInitEntryCollation(desc, ROW_ID + 1, key->collation);
	TupleDescInitEntry(desc, ROW_BIAS + 1, "bias", FLOAT4OID, -1, 0);
	TupleDescInitEntry(desc, ROW_FACTORS + 1, "factors", FLOAT4ARRAYOID, -1, 1);
	TupleDescInitEntry(desc, ROW_ERROR + 1, "error", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, ROW_RATINGS + 1, "ratings", INT8OID, -1, 0);
	TupleDescInitEntry(desc, ROW_SUM + 1, "rating_sum", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, ROW_DIGEST + 1, "digest", INT8OID, -1, 0);
	return desc;
}

static void
CheckColumn(Held *held, const char *name, Oid type)
{
	AttrNumber	attno = held_column(held, name);
	Oid			found;

	if (attno == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						name, held->name)));
	found = TupleDescAttr(RelationGetDescr(held->rel), attno - 1)->atttypid;
	if (found != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, not %s",
						name, held->name, format_type_be(found), format_type_be(type))));
}

/* The columns of vectors, in a table of ratings or a copy. */
static void
CheckVectors(Held *held)
{
	CheckColumn(held, "bias", FLOAT4OID);
	CheckColumn(held, "factors", FLOAT4ARRAYOID);
}

void
sharded_check_sources(Sharded *sharded, ModelKey key[2])
{
	ModelKey	again[2];

	ratings_open(&sharded->side[MF_USERS].source, key);
	ratings_open(&sharded->side[MF_ITEMS].source, again);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		if (key[side].type != again[side].type)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" is of type %s in \"%s\" but %s in \"%s\"",
							key[side].column, format_type_be(key[side].type),
							get_rel_name(sharded->side[MF_USERS].source.relid),
							format_type_be(again[side].type),
							get_rel_name(sharded->side[MF_ITEMS].source.relid))));
		sharded->side[side].key = key[side];
		sharded->side[side].desc = RowDesc(&key[side]);
		CheckVectors(&sharded->side[side].source.held);
		for (int k = 0; k < sharded->side[side].ncopies; k++)
		{
			Held	   *copy = &sharded->side[side].copies[k];

			CheckColumn(copy, key[side].column, key[side].type);
			CheckVectors(copy);
			held_close(copy);
		}
	}
}

/* ---- Queries ---- */

const char *
sharded_rating_text(const RatingSource *source)
{
	return source->rating_col == NULL ? "1::pg_catalog.float8" :
		psprintf("%s::pg_catalog.float8", quote_identifier(source->rating_col));
}

void
sharded_append_groups(StringInfo sql, const ShardedSide *side)
{
	const RatingSource *source = &side->source;

	appendStringInfo(sql, " FROM %s WHERE %s IS NOT NULL AND %s IS NOT NULL",
					 source->held.sql,
					 quote_identifier(source->user_col),
					 quote_identifier(source->item_col));
	if (source->rating_col != NULL)
		appendStringInfo(sql, " AND %s IS NOT NULL", quote_identifier(source->rating_col));
	appendStringInfo(sql, " GROUP BY %s", quote_identifier(side->key.column));
}

void
sharded_append_skipped(StringInfo sql, const ShardedSide *side)
{
	const RatingSource *source = &side->source;

	appendStringInfo(sql, " FROM %s WHERE %s IS NULL OR %s IS NULL",
					 source->held.sql, quote_identifier(source->user_col),
					 quote_identifier(source->item_col));
	if (source->rating_col != NULL)
		appendStringInfo(sql, " OR %s IS NULL", quote_identifier(source->rating_col));
}

typedef struct StoreRows
{
	Tuplestorestate *store;
	TupleDesc	desc;
} StoreRows;

/* Values that are stored out of line are fetched: the rows outlive the query. */
static bool
StoreRow(TupleTableSlot *slot, void *arg)
{
	StoreRows  *rows = arg;
	Datum	   *values = palloc(rows->desc->natts * sizeof(Datum));

	for (int i = 0; i < rows->desc->natts; i++)
	{
		values[i] = slot->tts_values[i];
		if (!slot->tts_isnull[i] && TupleDescAttr(rows->desc, i)->attlen == -1 &&
			VARATT_IS_EXTERNAL(DatumGetPointer(values[i])))
			values[i] = PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(values[i])));
	}
	tuplestore_putvalues(rows->store, rows->desc, values, slot->tts_isnull);
	for (int i = 0; i < rows->desc->natts; i++)
		if (values[i] != slot->tts_values[i])
			pfree(DatumGetPointer(values[i]));
	pfree(values);
	return true;
}

/*
 * Every query sees the same rows of others, whatever is committed meanwhile, and
 * those that this training has written until now.
 */
static void
BeginQuery(const Sharded *sharded)
{
	CommandCounterIncrement();
	PushCopiedSnapshot(sharded->snapshot);
	UpdateActiveSnapshotCommandId();
}

Tuplestorestate *
sharded_query(const Sharded *sharded, const ShardedSide *side, const char *sql, TupleDesc desc)
{
	MemoryContext outer = MemoryContextSwitchTo(sharded->context);
	StoreRows	rows = {tuplestore_begin_heap(true, false, work_mem), desc};
	Oid		   *columns = palloc(desc->natts * sizeof(Oid));
	SqlQuery	query = {
		.sql = sql,
		.from = &side->source.held,
		.ncolumns = desc->natts,
		.columns = columns,
		.read_only = true,		/* as the snapshot that is active has it */
		.parallel = true,
	};

	for (int i = 0; i < desc->natts; i++)
		columns[i] = TupleDescAttr(desc, i)->atttypid;
	BeginQuery(sharded);
	query_receive(&query, StoreRow, &rows);
	PopActiveSnapshot();
	pfree(columns);
	MemoryContextSwitchTo(outer);
	return rows.store;
}

void
sharded_query_numbers(const Sharded *sharded, const ShardedSide *side, const char *sql,
					  int n, int64 *numbers)
{
	Oid		   *columns = palloc(n * sizeof(Oid));
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));
	SqlQuery	query = {
		.sql = sql,
		.from = &side->source.held,
		.ncolumns = n,
		.columns = columns,
		.read_only = true,	/* as the snapshot that is active has it */
		.parallel = true,
	};
	bool		found;

	for (int k = 0; k < n; k++)
		columns[k] = INT8OID;
	BeginQuery(sharded);
	found = query_row(&query, values, nulls);
	PopActiveSnapshot();
	for (int k = 0; k < n; k++)
		numbers[k] = !found || nulls[k] ? 0 : DatumGetInt64(values[k]);
}

uint64
sharded_ratings(const Sharded *sharded, MfSide side)
{
	StringInfoData sql;
	int64		ratings;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT pg_catalog.sum(n)::pg_catalog.int8 FROM (SELECT pg_catalog.count(*) AS n");
	sharded_append_groups(&sql, &sharded->side[side]);
	appendStringInfoString(&sql, ") s");
	sharded_query_numbers(sharded, &sharded->side[side], sql.data, 1, &ratings);
	return (uint64) ratings;
}

/* Only of tables of this server is that known: what a view reads is anyone's guess. */
bool
sharded_several_moments(const Sharded *sharded)
{
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		ListCell   *lc;

		foreach(lc, find_all_inheritors(sharded->side[side].source.relid, NoLock, NULL))
		{
			char		relkind = get_rel_relkind(lfirst_oid(lc));

			if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
				return true;
		}
	}
	return false;
}

/* TRUNCATE refuses a table that is open elsewhere in the session. */
void
sharded_empty_copies(const ShardedSide *side)
{
	for (int k = 0; k < side->ncopies; k++)
	{
		Held	   *copy = &side->copies[k];

		held_reopen(copy);
		held_check(copy);
		held_close(copy);
		query_utility(psprintf("TRUNCATE %s", copy->sql));
	}
}

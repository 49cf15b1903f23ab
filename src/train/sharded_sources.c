/*
 * sharded_sources.c: the tables of a sharded training, checked, and the parts of
 * which queries of them are made.
 *
 * Everything that can be wrong is said before the first iteration, in terms of
 * the arguments: types that differ between the two tables of ratings, a copy
 * without the columns of a vector. The options are read by mf_train's own code,
 * from a call made up for it, so that ranges, defaults and messages are the same.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "train/arguments.h"
#include "train/sharded.h"

/* The places of the arguments: four, and then those of mf_train from its second. */
enum
{
	ARG_BY_USER, ARG_BY_ITEM, ARG_USER_COPIES, ARG_ITEM_COPIES, ARG_REST
};

/* ---- Arguments ---- */

static void
RelationGone(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation with OID %u does not exist", relid)));
}

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
	side->copies = palloc(side->ncopies * sizeof(Oid));
	for (int k = 0; k < side->ncopies; k++)
	{
		if (nulls[k])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain nulls", name)));
		side->copies[k] = DatumGetObjectId(oids[k]);
		if (get_rel_name(side->copies[k]) == NULL)
			RelationGone(side->copies[k]);
		for (int j = 0; j < k; j++)
			if (side->copies[j] == side->copies[k])
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("%s names \"%s\" twice", name, get_rel_name(side->copies[k]))));
	}
}

void
sharded_read_options(FunctionCallInfo fcinfo, Sharded *sharded)
{
	LOCAL_FCINFO(train, TRAIN_ARGS);

	for (int arg = ARG_BY_USER; arg <= ARG_BY_ITEM; arg++)
		if (PG_ARGISNULL(arg))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", arg == ARG_BY_USER ? "by_user" : "by_item")));
	InitFunctionCallInfoData(*train, fcinfo->flinfo, TRAIN_ARGS,
							 fcinfo->fncollation, NULL, NULL);
	train->args[ARG_RATINGS] = fcinfo->args[ARG_BY_USER];
	for (int k = 1; k <= ARG_INDEX; k++)
		train->args[k] = fcinfo->args[ARG_REST + k - 1];
	for (int k = ARG_INDEX + 1; k < TRAIN_ARGS; k++)
		train->args[k].isnull = true;
	options_read(train, &sharded->side[MF_USERS].source, &sharded->options);

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
CheckColumn(Oid relid, const char *name, Oid type)
{
	AttrNumber	attno = get_attnum(relid, name);

	if (attno == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						name, get_rel_name(relid))));
	if (get_atttype(relid, attno) != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, not %s",
						name, get_rel_name(relid),
						format_type_be(get_atttype(relid, attno)), format_type_be(type))));
}

/* The columns of vectors, in a table of ratings or a copy. */
static void
CheckVectors(Oid relid)
{
	CheckColumn(relid, "bias", FLOAT4OID);
	CheckColumn(relid, "factors", FLOAT4ARRAYOID);
}

void
sharded_check_sources(Sharded *sharded, ModelKey key[2])
{
	ModelKey	again[2];

	ratings_check(&sharded->side[MF_USERS].source, key);
	ratings_check(&sharded->side[MF_ITEMS].source, again);
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
		CheckVectors(sharded->side[side].source.relid);
		for (int k = 0; k < sharded->side[side].ncopies; k++)
		{
			CheckColumn(sharded->side[side].copies[k], key[side].column, key[side].type);
			CheckVectors(sharded->side[side].copies[k]);
		}
	}
}

/* ---- Queries ---- */

char *
sharded_relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	/* Copies are locked by the statements that write them, and not before. */
	if (name == NULL)
		RelationGone(relid);
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}

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
					 sharded_relation_name(source->relid),
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
					 sharded_relation_name(source->relid), quote_identifier(source->user_col),
					 quote_identifier(source->item_col));
	if (source->rating_col != NULL)
		appendStringInfo(sql, " OR %s IS NULL", quote_identifier(source->rating_col));
}

/*
 * Every query sees the same rows of others, whatever is committed meanwhile, and
 * those that this training has written until now.
 */
static void
BeginQuery(const Sharded *sharded)
{
	SPI_connect();
	CommandCounterIncrement();
	PushCopiedSnapshot(sharded->snapshot);
	UpdateActiveSnapshotCommandId();
}

static void
EndQuery(void)
{
	PopActiveSnapshot();
	SPI_finish();
}

Tuplestorestate *
sharded_query(const Sharded *sharded, const char *sql)
{
	MemoryContext outer = MemoryContextSwitchTo(sharded->context);
	Tuplestorestate *store = tuplestore_begin_heap(true, false, work_mem);
	DestReceiver *dest = CreateDestReceiver(DestTuplestore);
	SPIExecuteOptions options = {0};
	int			status;

	SetTuplestoreDestReceiverParams(dest, store, sharded->context, true, NULL, NULL);
	options.dest = dest;
	options.read_only = true;	/* as the snapshot that is active has it */
	BeginQuery(sharded);
	status = SPI_execute_extended(sql, &options);
	if (status != SPI_OK_SELECT)	/* it is a SELECT, which no rule replaces */
		elog(ERROR, "could not execute a query of ratings: %s", SPI_result_code_string(status));
	EndQuery();
	dest->rDestroy(dest);
	MemoryContextSwitchTo(outer);
	return store;
}

void
sharded_query_numbers(const Sharded *sharded, const char *sql, int n, int64 *numbers)
{
	BeginQuery(sharded);
	/* A SELECT of aggregates without GROUP BY, which has one row. */
	if (SPI_execute(sql, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not execute \"%s\"", sql);
	for (int k = 0; k < n; k++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
										  k + 1, &isnull);

		numbers[k] = isnull ? 0 : DatumGetInt64(value);
	}
	EndQuery();
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
	sharded_query_numbers(sharded, sql.data, 1, &ratings);
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

void
sharded_empty_copies(const ShardedSide *side)
{
	SPI_connect();
	for (int k = 0; k < side->ncopies; k++)
		if (SPI_execute(psprintf("TRUNCATE %s", sharded_relation_name(side->copies[k])),
						false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "could not empty \"%s\"", get_rel_name(side->copies[k]));	/* a utility statement */
	SPI_finish();
}

/*
 * sharded.c: mf_train_sharded, alternating least squares where the ratings lie on
 * several servers.
 *
 * Half an iteration is a query, mf_solve() grouped by one side's ids. It can be
 * left to the servers that hold the ratings if each has whole groups and the
 * other side's vectors. So ratings are kept twice, spread by user and spread by
 * item, each server has a copy of both sides' vectors, and views there join the
 * two. Here are two partitioned tables whose partitions are those views:
 *
 *	 by_user	(user, item, rating, bias, factors of the item)
 *	 by_item	(user, item, rating, bias, factors of the user)
 *
 * and, for each copy, a foreign table of (id, bias, factors). An iteration is
 *
 *	 items  <- SELECT item, mf_solve(...) FROM by_item GROUP BY item
 *	 write items into the item copies
 *	 users  <- SELECT user, mf_solve(...) FROM by_user GROUP BY user
 *	 write users into the user copies
 *
 * With partition-wise aggregation postgres_fdw sends each partition's grouping
 * to its server: what comes back is a vector a group. Only vectors travel, never
 * ratings. None of this is special to foreign tables: partitions may be local,
 * or by_user and by_item be views over tables of a cluster that ships
 * aggregates its own way.
 *
 * The first users' vectors, the order of halves, the options and their defaults
 * are those of mf_train, so the model is the same but for rounding: mf_train
 * solves in single precision, mf_solve in double.
 *
 * All is done in the caller's transaction. A foreign server sees one
 * transaction too, with one snapshot, so that ratings which come in meanwhile
 * do not matter; and a training that fails leaves the old model. Copies are
 * emptied by TRUNCATE: DELETE would keep a dead copy of every half until the
 * end. Rejected: a procedure that commits between halves, which would show
 * readers of the copies half-made models and each half another set of ratings.
 *
 * This server holds the vectors of one side at a time in tuplestores, which go
 * to disk beyond work_mem.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "numerics/normal.h"
#include "train/fit.h"
#include "train/ids.h"
#include "train/options.h"
#include "train/progress.h"
#include "train/ratings.h"
#include "train/arguments.h"
#include "train/train.h"

PG_FUNCTION_INFO_V1(mf_train_sharded);

/* The places of the arguments: four, and then those of mf_train from its second. */
enum
{
	ARG_BY_USER, ARG_BY_ITEM, ARG_USER_COPIES, ARG_ITEM_COPIES, ARG_REST
};


/* Vectors that one INSERT writes into a copy. */
#define INSERT_ROWS 500

/* The columns of a side's rows. */
enum
{
	ROW_ID, ROW_BIAS, ROW_FACTORS, ROW_ERROR, ROW_RATINGS, ROW_SUM, ROW_NATTS
};

/* One side: where it is solved, where its vectors go, and the last of them. */
typedef struct ShardedSide
{
	RatingSource source;		/* partitioned by this side's ids */
	ModelKey	key;
	int			ncopies;
	Oid		   *copies;
	TupleDesc	desc;
	Tuplestorestate *rows;
	uint32		n;
	double		squares;		/* sum of c (r - rhat)^2 */
	double		penalty;
	double	   *gramian;		/* d x d, where unobserved pairs count */
} ShardedSide;

typedef struct Sharded
{
	const char *schema;			/* of the extension, quoted */
	MemoryContext context;
	TrainOptions options;
	RatingSet	ratings;		/* counts and moments only */
	double		rating_sum;
	ShardedSide side[2];
} Sharded;

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
	side->copies = palloc(side->ncopies * sizeof(Oid));
	for (int k = 0; k < side->ncopies; k++)
	{
		if (nulls[k])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain nulls", name)));
		side->copies[k] = DatumGetObjectId(oids[k]);
		if (get_rel_name(side->copies[k]) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation with OID %u does not exist", side->copies[k])));
	}
}

/* The rest as mf_train reads its own. */
static void
ReadOptions(FunctionCallInfo fcinfo, Sharded *sharded)
{
	LOCAL_FCINFO(train, TRAIN_ARGS);

	InitFunctionCallInfoData(*train, fcinfo->flinfo, TRAIN_ARGS,
							 fcinfo->fncollation, NULL, NULL);
	train->args[ARG_RATINGS] = fcinfo->args[ARG_BY_USER];
	for (int k = 1; k <= ARG_INDEX; k++)
		train->args[k] = fcinfo->args[ARG_REST + k - 1];
	for (int k = ARG_INDEX + 1; k < TRAIN_ARGS; k++)
		train->args[k].isnull = true;
	options_read(train, &sharded->side[MF_USERS].source, &sharded->options);

	if (PG_ARGISNULL(ARG_BY_ITEM))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("by_item must not be null")));
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

static void
CheckSources(Sharded *sharded, ModelKey key[2])
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

static char *
RelationName(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* The value of a rating. */
static const char *
RatingText(const RatingSource *source)
{
	return source->rating_col == NULL ? "1::pg_catalog.float8" :
		psprintf("%s::pg_catalog.float8", quote_identifier(source->rating_col));
}

/* " FROM ... WHERE <all there> GROUP BY <the side's ids>" */
static void
AppendGroups(StringInfo sql, const ShardedSide *side)
{
	const RatingSource *source = &side->source;

	appendStringInfo(sql, " FROM %s WHERE %s IS NOT NULL AND %s IS NOT NULL",
					 RelationName(source->relid),
					 quote_identifier(source->user_col),
					 quote_identifier(source->item_col));
	if (source->rating_col != NULL)
		appendStringInfo(sql, " AND %s IS NOT NULL", quote_identifier(source->rating_col));
	appendStringInfo(sql, " GROUP BY %s", quote_identifier(side->key.column));
}

/* The options as a call of mf_explicit or mf_implicit. */
static void
AppendOptions(StringInfo sql, const Sharded *sharded, const ShardedSide *other)
{
	const AlsSpec *spec = &sharded->options.spec;
	Size		square = (Size) spec->factors * spec->factors;

	if (!spec->implicit)
	{
		appendStringInfo(sql, "%s.mf_explicit('%.17g', '%.17g', '%.17g', '%.17g')",
						 sharded->schema, spec->mean, spec->regularization,
						 spec->reg_exponent, spec->bias_regularization);
		return;
	}
	appendStringInfo(sql, "%s.mf_implicit('%.17g', '%.17g', '%.17g', '%.17g', %u, ",
					 sharded->schema, spec->alpha, spec->regularization,
					 spec->reg_exponent, spec->alpha0, other->n);
	if (other->gramian == NULL)
		appendStringInfoString(sql, "NULL)");
	else
	{
		for (Size k = 0; k < square; k++)
		{
			if (k % spec->factors == 0)
				CHECK_FOR_INTERRUPTS();
			appendStringInfo(sql, "%s%.17g", k == 0 ? "'{" : ",", other->gramian[k]);
		}
		appendStringInfoString(sql, "}')");
	}
}

/* Half an iteration: the rows of a side. */
static char *
HalfQuery(const Sharded *sharded, MfSide side)
{
	const ShardedSide *self = &sharded->side[side];
	bool		biased = sharded->options.spec.biased;
	const char *rating = RatingText(&self->source);
	StringInfoData options;
	StringInfoData sql;

	initStringInfo(&options);
	AppendOptions(&options, sharded, &sharded->side[MF_OTHER_SIDE(side)]);
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT id::%s, %s, error, ratings, rating_sum FROM (SELECT %s AS id",
					 format_type_extended(self->key.type, self->key.typmod,
										  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY),
					 biased ? "solution[1], solution[2:]" : "0::pg_catalog.float4, solution",
					 quote_identifier(self->key.column));
	for (int k = 0; k < 2; k++)
		appendStringInfo(&sql, ", %s.%s(factors, %s%s, %s) AS %s",
						 sharded->schema, k == 0 ? "mf_solve" : "mf_solve_error",
						 biased ? "bias, " : "", rating, options.data,
						 k == 0 ? "solution" : "error");
	appendStringInfo(&sql, ", pg_catalog.count(factors) AS ratings, pg_catalog.sum(%s) AS rating_sum",
					 rating);
	AppendGroups(&sql, self);
	appendStringInfoString(&sql, ") s");
	return sql.data;
}

/* Runs a query, its rows into a tuplestore of the training's. */
static Tuplestorestate *
RunQuery(const Sharded *sharded, const char *sql)
{
	MemoryContext outer = MemoryContextSwitchTo(sharded->context);
	Tuplestorestate *store = tuplestore_begin_heap(true, false, work_mem);
	DestReceiver *dest = CreateDestReceiver(DestTuplestore);
	SPIExecuteOptions options = {0};
	int			status;

	SetTuplestoreDestReceiverParams(dest, store, sharded->context, true, NULL, NULL);
	options.dest = dest;
	SPI_connect();
	status = SPI_execute_extended(sql, &options);
	if (status != SPI_OK_SELECT)
		elog(ERROR, "could not execute a query of ratings: %s", SPI_result_code_string(status));
	SPI_finish();
	dest->rDestroy(dest);
	MemoryContextSwitchTo(outer);
	return store;
}

/* A query of one row of numbers. */
static void
QueryNumbers(const char *sql, int n, int64 *numbers)
{
	SPI_connect();
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not execute \"%s\"", sql);
	for (int k = 0; k < n; k++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
										  k + 1, &isnull);

		numbers[k] = isnull ? 0 : DatumGetInt64(value);
	}
	SPI_finish();
}

static void
EmptyCopies(const ShardedSide *side)
{
	SPI_connect();
	for (int k = 0; k < side->ncopies; k++)
		if (SPI_execute(psprintf("TRUNCATE %s", RelationName(side->copies[k])),
						false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "could not empty \"%s\"", get_rel_name(side->copies[k]));
	SPI_finish();
}

/* ---- Before the first iteration ---- */

/* What a user's ratings add to the counts and moments of all. */
static void
AddMoments(Sharded *sharded, const Datum *values, bool first)
{
	RatingSet  *ratings = &sharded->ratings;
	double		min = DatumGetFloat8(values[4]);
	double		max = DatumGetFloat8(values[5]);

	ratings->pairs += DatumGetInt64(values[1]);
	sharded->rating_sum += DatumGetFloat8(values[2]);
	ratings->mean_square += DatumGetFloat8(values[3]);
	if (first || min < ratings->min)
		ratings->min = min;
	if (first || max > ratings->max)
		ratings->max = max;
}

static void
CheckMoments(const Sharded *sharded)
{
	const RatingSet *ratings = &sharded->ratings;
	const char *name = get_rel_name(sharded->side[MF_USERS].source.relid);

	if (ratings->pairs == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA),
				 errmsg("no ratings in \"%s\"", name)));
	if (!isfinite(ratings->mean_square))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("ratings of \"%s\" are not all finite", name)));
	if (sharded->options.spec.implicit && ratings->min < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("rating is %g, but implicit feedback cannot be negative",
						ratings->min)));
}

/*
 * All copies have been emptied, so that a vector seen now is an old one in a
 * copy that was forgotten: training would take it for new.
 */
static void
CheckNoVectors(const ShardedSide *side, MfSide other, int64 vectors)
{
	if (vectors != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" has vectors that come from none of %s",
						get_rel_name(side->source.relid),
						other == MF_USERS ? "user_copies" : "item_copies"),
				 errhint("All copies must be named: those of each server.")));
}

/* The users' ids, and the moments of the ratings. */
static void
ReadUsers(Sharded *sharded)
{
	ShardedSide *users = &sharded->side[MF_USERS];
	IdSet	   *set = &sharded->ratings.ids[MF_USERS];
	const char *rating = RatingText(&users->source);
	uint64		space = 1024;
	int64		vectors = 0;
	StringInfoData sql;
	TupleDesc	desc;
	Tuplestorestate *store;
	TupleTableSlot *slot;
	int16		typlen;
	bool		typbyval;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s::%s, pg_catalog.count(*), pg_catalog.sum(%s), "
					 "pg_catalog.sum(%s OPERATOR(pg_catalog.*) %s), pg_catalog.min(%s), pg_catalog.max(%s), "
					 "pg_catalog.count(factors)",
					 quote_identifier(users->key.column),
					 format_type_extended(users->key.type, users->key.typmod,
										  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY),
					 rating, rating, rating, rating, rating);
	AppendGroups(&sql, users);
	store = RunQuery(sharded, sql.data);

	desc = CreateTemplateTupleDesc(7);
	TupleDescInitEntry(desc, 1, "id", users->key.type, users->key.typmod, 0);
	TupleDescInitEntry(desc, 2, "ratings", INT8OID, -1, 0);
	for (int k = 3; k <= 6; k++)
		TupleDescInitEntry(desc, k, "moment", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 7, "vectors", INT8OID, -1, 0);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	get_typlenbyval(users->key.type, &typlen, &typbyval);
	set->key = users->key;
	set->ids = palloc(space * sizeof(Datum));
	while (tuplestore_gettupleslot(store, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		if (set->n == PG_INT32_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("column \"%s\" has more than %d distinct values",
							users->key.column, PG_INT32_MAX)));
		if (set->n == space)
		{
			space *= 2;
			set->ids = repalloc_huge(set->ids, mul_size(space, sizeof(Datum)));
		}
		set->ids[set->n] = datumCopy(slot->tts_values[0], typbyval, typlen);
		AddMoments(sharded, slot->tts_values, set->n == 0);
		vectors += DatumGetInt64(slot->tts_values[6]);
		set->n++;
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
	CheckNoVectors(users, MF_ITEMS, vectors);
}

/* How many items there are, and whether both tables have the same ratings. */
static void
CountItems(Sharded *sharded)
{
	ShardedSide *items = &sharded->side[MF_ITEMS];
	StringInfoData sql;
	int64		counts[3];

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT pg_catalog.count(*), pg_catalog.sum(n)::pg_catalog.int8, "
						   "pg_catalog.sum(vectors)::pg_catalog.int8 "
						   "FROM (SELECT pg_catalog.count(*) AS n, pg_catalog.count(factors) AS vectors");
	AppendGroups(&sql, items);
	appendStringInfoString(&sql, ") s");
	QueryNumbers(sql.data, 3, counts);
	CheckNoVectors(items, MF_USERS, counts[2]);
	if ((uint64) counts[1] != sharded->ratings.pairs)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" has %lld ratings but \"%s\" has %lld",
						get_rel_name(sharded->side[MF_USERS].source.relid),
						(long long) sharded->ratings.pairs,
						get_rel_name(items->source.relid), (long long) counts[1]),
				 errhint("Both must hold the same ratings, spread by user and by item.")));
	sharded->ratings.ids[MF_ITEMS].n = (uint32) Min(counts[0], PG_INT32_MAX);
}

/* How many rows the training leaves out. */
static void
CountSkipped(Sharded *sharded)
{
	const RatingSource *source = &sharded->side[MF_USERS].source;
	StringInfoData sql;
	int64		skipped;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT pg_catalog.count(*) FROM %s WHERE %s IS NULL OR %s IS NULL",
					 RelationName(source->relid), quote_identifier(source->user_col),
					 quote_identifier(source->item_col));
	if (source->rating_col != NULL)
		appendStringInfo(&sql, " OR %s IS NULL", quote_identifier(source->rating_col));
	QueryNumbers(sql.data, 1, &skipped);
	sharded->ratings.skipped = skipped;
	if (skipped > 0)
		ereport(NOTICE,
				(errmsg_plural("skipped %llu row of \"%s\" with a null",
							   "skipped %llu rows of \"%s\" with a null",
							   skipped, (unsigned long long) skipped,
							   get_rel_name(source->relid))));
}

static Datum
FloatArray(const float *elements, int n)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + (Size) n * sizeof(float4);
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), elements, (Size) n * sizeof(float4));
	return PointerGetDatum(array);
}

/* The users' first vectors, as mf_train makes them. */
static void
FirstUsers(Sharded *sharded)
{
	ShardedSide *users = &sharded->side[MF_USERS];
	IdSet	   *set = &sharded->ratings.ids[MF_USERS];
	const AlsSpec *spec = &sharded->options.spec;
	float	   *row = palloc(als_stride(spec->factors) * sizeof(float));
	Datum		values[ROW_NATTS] = {0};
	bool		nulls[ROW_NATTS] = {false};

	set->hash = palloc_extended(mul_size(set->n, sizeof(uint64)), MCXT_ALLOC_HUGE);
	ids_hash(set, CurrentMemoryContext);
	users->rows = tuplestore_begin_heap(true, false, work_mem);
	for (uint32 u = 0; u < set->n; u++)
	{
		CHECK_FOR_INTERRUPTS();
		als_init_row(spec, (uint64) sharded->options.seed, set->hash[u],
					 FIT_INITIAL_SCALE, row);
		values[ROW_ID] = set->ids[u];
		values[ROW_BIAS] = Float4GetDatum(0);
		values[ROW_FACTORS] = FloatArray(row, spec->factors);
		values[ROW_ERROR] = Float8GetDatum(0);
		values[ROW_RATINGS] = Int64GetDatum(0);
		values[ROW_SUM] = Float8GetDatum(0);
		tuplestore_putvalues(users->rows, users->desc, values, nulls);
		pfree(DatumGetPointer(values[ROW_FACTORS]));
	}
	pfree(set->hash);
	pfree(row);
}

/* ---- Halves ---- */

/* What one row adds to its side's sums. */
static void
AddRow(const Sharded *sharded, ShardedSide *side, uint32 others, const Datum *values,
	   NormalEquations *gramian)
{
	const AlsSpec *spec = &sharded->options.spec;
	ArrayType  *array = DatumGetArrayTypeP(values[ROW_FACTORS]);
	const float *x = (const float *) ARR_DATA_PTR(array);
	double		bias = DatumGetFloat4(values[ROW_BIAS]);
	double		n = (double) DatumGetInt64(values[ROW_RATINGS]);
	double		squares = 0;

	for (int k = 0; k < spec->factors; k++)
		squares += (double) x[k] * x[k];
	side->penalty += spec->bias_regularization * bias * bias + squares *
		spec->regularization * pow(n + spec->alpha0 * others, spec->reg_exponent);
	side->squares += DatumGetFloat8(values[ROW_ERROR]);
	if (gramian != NULL)
		normal_add(gramian, x, 1.0, 0.0);
	if ((Pointer) array != DatumGetPointer(values[ROW_FACTORS]))
		pfree(array);
}

/* Counts a side's rows and forms its sums; returns the ratings they stand for. */
static uint64
Summarize(Sharded *sharded, ShardedSide *side, uint32 others)
{
	const AlsSpec *spec = &sharded->options.spec;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(side->desc, &TTSOpsMinimalTuple);
	NormalEquations *gramian = NULL;
	uint64		ratings = 0;

	if (spec->alpha0 > 0)
	{
		gramian = palloc(normal_size(spec->factors, false));
		normal_init(gramian, spec->factors, false);
	}
	side->n = 0;
	side->squares = side->penalty = 0;
	tuplestore_rescan(side->rows);
	while (tuplestore_gettupleslot(side->rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		side->n++;
		/* No vector: none of the row's ratings met one; RunHalf complains. */
		if (slot->tts_isnull[ROW_FACTORS] || slot->tts_isnull[ROW_BIAS])
			continue;
		ratings += DatumGetInt64(slot->tts_values[ROW_RATINGS]);
		AddRow(sharded, side, others, slot->tts_values, gramian);
	}
	ExecDropSingleTupleTableSlot(slot);
	if (gramian != NULL)
	{
		if (side->gramian == NULL)
			side->gramian = MemoryContextAlloc(sharded->context,
											   mul_size((Size) spec->factors * spec->factors,
														sizeof(double)));
		normal_square(gramian, side->gramian);
		pfree(gramian);
	}
	return ratings;
}

/* A statement that inserts `n` vectors, given as parameters. */
static SPIPlanPtr
PrepareInsert(const ShardedSide *side, Oid copy, int n)
{
	Oid			types[3 * INSERT_ROWS];
	StringInfoData sql;
	SPIPlanPtr	plan;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s (%s, bias, factors) VALUES ",
					 RelationName(copy), quote_identifier(side->key.column));
	for (int k = 0; k < n; k++)
	{
		appendStringInfo(&sql, "%s($%d, $%d, $%d)", k == 0 ? "" : ", ",
						 3 * k + 1, 3 * k + 2, 3 * k + 3);
		types[3 * k] = side->key.type;
		types[3 * k + 1] = FLOAT4OID;
		types[3 * k + 2] = FLOAT4ARRAYOID;
	}
	plan = SPI_prepare(sql.data, 3 * n, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data, SPI_result_code_string(SPI_result));
	pfree(sql.data);
	return plan;
}

/*
 * Writes a side's rows into one copy. Many rows a statement, as parameters:
 * plain enough for whatever the copy is, and sent in batches where it is remote.
 */
static void
WriteCopy(const ShardedSide *side, Oid copy)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(side->desc, &TTSOpsMinimalTuple);
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext,
												"mf_train_sharded batch",
												ALLOCSET_DEFAULT_SIZES);
	Datum		values[3 * INSERT_ROWS];
	SPIPlanPtr	plan = NULL;
	int			planned = 0;
	uint64		written = 0;
	int16		typlen;
	bool		typbyval;

	get_typlenbyval(side->key.type, &typlen, &typbyval);
	tuplestore_rescan(side->rows);
	for (uint32 from = 0; from < side->n; from += planned)
	{
		int			n = (int) Min(side->n - from, INSERT_ROWS);
		MemoryContext outer = MemoryContextSwitchTo(batch);

		for (int k = 0; k < n; k++)
		{
			if (!tuplestore_gettupleslot(side->rows, true, false, slot))
				elog(ERROR, "row %u of a side is missing", from + k);
			slot_getallattrs(slot);
			values[3 * k] = datumCopy(slot->tts_values[ROW_ID], typbyval, typlen);
			values[3 * k + 1] = slot->tts_values[ROW_BIAS];
			values[3 * k + 2] = datumCopy(slot->tts_values[ROW_FACTORS], false, -1);
		}
		MemoryContextSwitchTo(outer);
		if (plan == NULL || n != planned)
			plan = PrepareInsert(side, copy, n);
		planned = n;
		if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not write vectors to \"%s\"", get_rel_name(copy));
		written += SPI_processed;
		MemoryContextReset(batch);
	}
	MemoryContextDelete(batch);
	ExecDropSingleTupleTableSlot(slot);
	if (written != side->n)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not write all vectors to \"%s\"", get_rel_name(copy)),
				 errdetail("Of %u vectors, %llu were written.", side->n,
						   (unsigned long long) written)));
}

/* Writes a side's rows into all its copies. */
static void
WriteCopies(const ShardedSide *side)
{
	EmptyCopies(side);
	for (int k = 0; k < side->ncopies; k++)
	{
		SPI_connect();
		WriteCopy(side, side->copies[k]);
		SPI_finish();
	}
}

static void
RunHalf(Sharded *sharded, MfSide side)
{
	ShardedSide *self = &sharded->side[side];
	char	   *sql = HalfQuery(sharded, side);
	uint64		ratings;

	if (self->rows != NULL)
		tuplestore_end(self->rows);
	self->rows = RunQuery(sharded, sql);
	pfree(sql);
	ratings = Summarize(sharded, self, sharded->side[MF_OTHER_SIDE(side)].n);
	if (ratings != sharded->ratings.pairs)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("only %llu of %llu ratings of \"%s\" have a vector of the other side",
						(unsigned long long) ratings,
						(unsigned long long) sharded->ratings.pairs,
						get_rel_name(self->source.relid)),
				 errhint("Each server needs a copy of the other side's vectors, and all copies must be in %s.",
						 side == MF_USERS ? "item_copies" : "user_copies")));
}

static void
Measure(Sharded *sharded, ModelIteration *iteration)
{
	const AlsSpec *spec = &sharded->options.spec;
	ShardedSide *users = &sharded->side[MF_USERS];
	ShardedSide *items = &sharded->side[MF_ITEMS];
	double		weight = spec->implicit ? spec->alpha * sharded->rating_sum :
		(double) sharded->ratings.pairs;

	iteration->error = weight > 0 ? sqrt(users->squares / weight) : 0;
	iteration->loss = users->squares + users->penalty + items->penalty;
	if (spec->alpha0 > 0)
		iteration->loss += spec->alpha0 *
			als_allpairs(users->gramian, items->gramian, spec->factors);
}

static void
Iterate(Sharded *sharded, Fit *fit)
{
	const TrainOptions *options = &sharded->options;

	fit->history = palloc0(mul_size(options->iterations, sizeof(ModelIteration)));
	for (int k = 1; k <= options->iterations; k++)
	{
		ModelIteration *iteration = &fit->history[k - 1];

		progress_report("iteration %d of %d, items", k, options->iterations);
		WriteCopies(&sharded->side[MF_USERS]);
		RunHalf(sharded, MF_ITEMS);
		progress_report("iteration %d of %d, users", k, options->iterations);
		WriteCopies(&sharded->side[MF_ITEMS]);
		RunHalf(sharded, MF_USERS);

		iteration->iteration = k;
		Measure(sharded, iteration);
		iteration->seconds = fit_seconds(fit);
		iteration->held_out_loss = get_float8_nan();
		fit->iterations = k;
		fit->best = k;
		if (options->verbose)
			ereport(NOTICE,
					(errmsg("iteration %d of %d: error %.6g, %.1f s", k,
							options->iterations, iteration->error, iteration->seconds)));
	}
}

/* ---- Storing ---- */

typedef struct RowReader
{
	Tuplestorestate *rows;
	TupleTableSlot *slot;
	ArrayType  *copied;			/* of the last row, where its array was packed */
} RowReader;

/* Rows come in the order of the tuplestore, whatever k. */
static void
GetRow(void *arg, uint32 k, ModelRow *row)
{
	RowReader  *reader = arg;
	TupleTableSlot *slot = reader->slot;
	ArrayType  *array;

	if (reader->copied != NULL)
		pfree(reader->copied);
	if (!tuplestore_gettupleslot(reader->rows, true, false, slot))
		elog(ERROR, "row %u of a side is missing", k);
	slot_getallattrs(slot);
	array = DatumGetArrayTypeP(slot->tts_values[ROW_FACTORS]);
	reader->copied = (Pointer) array != DatumGetPointer(slot->tts_values[ROW_FACTORS]) ?
		array : NULL;
	row->id = slot->tts_values[ROW_ID];
	row->bias = DatumGetFloat4(slot->tts_values[ROW_BIAS]);
	row->factors = (const float *) ARR_DATA_PTR(array);
	row->ratings = (int32) DatumGetInt64(slot->tts_values[ROW_RATINGS]);
	row->rating_sum = DatumGetFloat8(slot->tts_values[ROW_SUM]);
}

static void
Store(Sharded *sharded, ModelTarget *target)
{
	const TrainOptions *options = &sharded->options;

	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		ShardedSide *self = &sharded->side[side];
		RowReader	reader = {
			self->rows, MakeSingleTupleTableSlot(self->desc, &TTSOpsMinimalTuple), NULL
		};

		progress_report("storing %u %s", self->n, side == MF_USERS ? "users" : "items");
		tuplestore_rescan(self->rows);
		model_write_side(target, side, options->spec.factors, self->n, GetRow, &reader);
		ExecDropSingleTupleTableSlot(reader.slot);
		tuplestore_end(self->rows);
		self->rows = NULL;
	}
	if (target->exists ? options->index_old : options->index_new)
	{
		progress_report("indexing the items");
		model_write_indexes(target, options->spec.biased);
	}
}

/* ---- mf_train_sharded ---- */

static void
Train(Sharded *sharded, ModelTarget *target, Fit *fit, ModelRecord *record)
{
	RatingSet  *ratings = &sharded->ratings;
	const AlsSpec *spec = &sharded->options.spec;

	progress_report("counting ratings");
	EmptyCopies(&sharded->side[MF_USERS]);
	EmptyCopies(&sharded->side[MF_ITEMS]);
	ReadUsers(sharded);
	CheckMoments(sharded);
	CountSkipped(sharded);
	CountItems(sharded);
	ratings->mean = sharded->rating_sum / ratings->pairs;
	ratings->mean_square /= ratings->pairs;
	options_resolve(&sharded->options, ratings);
	if (sharded->options.verbose)
		ereport(NOTICE,
				(errmsg("training \"%s\": %u users, %u items, " UINT64_FORMAT " ratings, sharded",
						target->name, ratings->ids[MF_USERS].n, ratings->ids[MF_ITEMS].n,
						ratings->pairs)));

	FirstUsers(sharded);
	(void) Summarize(sharded, &sharded->side[MF_USERS], ratings->ids[MF_ITEMS].n);
	Iterate(sharded, fit);

	Store(sharded, target);
	training_fill_record(record, &sharded->side[MF_USERS].source, &sharded->options,
					  ratings, fit);
	if (spec->alpha0 > 0)
		for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
			record->gramian[side] = training_gramian(sharded->side[side].gramian,
														 spec->factors);
	model_write_record(target, record, fit->iterations, fit->history);
}

/*
 * mf_train_sharded(by_user, by_item, user_copies, item_copies, ...): the rest
 * are the options of mf_train. doc/sharding.md sets the tables up.
 */
Datum
mf_train_sharded(PG_FUNCTION_ARGS)
{
	Oid			extension_schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MemoryContext context;
	MemoryContext outer;
	Sharded    *sharded;
	ModelKey	key[2];
	ModelTarget *target;
	ModelRecord record;
	Fit			fit = {0};
	Datum		result;

	PreventCommandDuringRecovery("mf_train_sharded()");
	PreventCommandIfReadOnly("mf_train_sharded()");
	training_refuse_nested("mf_train_sharded()");

	INSTR_TIME_SET_CURRENT(fit.start);
	context = AllocSetContextCreate(CurrentMemoryContext, "mf_train_sharded",
									ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(context);
	sharded = palloc0(sizeof(Sharded));
	sharded->context = context;
	sharded->schema = quote_identifier(get_namespace_name(extension_schema));
	ReadOptions(fcinfo, sharded);
	CheckSources(sharded, key);
	target = model_target_open(extension_schema, sharded->options.model, key);

	training_begin("mf_train_sharded", target->name);
	PG_TRY();
	{
		Train(sharded, target, &fit, &record);
	}
	PG_FINALLY();
	{
		training_end();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(outer);
	result = training_result(fcinfo, target, &record);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(result);
}

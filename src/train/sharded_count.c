/*
 * sharded_count.c: a sharded training before its first iteration: what there is
 * to train on, and the users' first vectors.
 *
 * One query a table, grouped by its side's ids, gives the counts and the moments
 * of the ratings, which the defaults of the options follow, and the users' ids,
 * from which and the seed their first vectors are made as mf_train makes them.
 * The items' ids need not come here: the first half returns them.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "model/number.h"
#include "train/fit.h"
#include "train/ids.h"
#include "train/sharded.h"

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
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no ratings in \"%s\"", name)));
	if (!isfinite(ratings->mean_square))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("ratings of \"%s\" are not all finite", name)));
	if (sharded->options.spec.implicit && ratings->min < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("rating is %s, but implicit feedback cannot be negative",
						number_text(ratings->min))));
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

/* ---- What is seen ---- */

/*
 * A server that postgres_fdw asks has one snapshot for all of this transaction,
 * of its first query there. So the first query goes to all of them, at once where
 * they are asked asynchronously, and changes nothing.
 */
void
sharded_begin(Sharded *sharded)
{
	StringInfoData sql;
	int64		skipped;

	sharded->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT pg_catalog.count(*) FILTER (WHERE s.of_users) FROM (SELECT true AS of_users");
	sharded_append_skipped(&sql, &sharded->side[MF_USERS]);
	appendStringInfoString(&sql, " UNION ALL SELECT false");
	sharded_append_skipped(&sql, &sharded->side[MF_ITEMS]);
	appendStringInfoString(&sql, ") s");
	sharded_query_numbers(sharded, &sharded->side[MF_USERS], sql.data, 1, &skipped);
	sharded->ratings.skipped = skipped;
}

/* ---- Counting ---- */

/* The users' ids, and the moments of the ratings. */
static void
ReadUsers(Sharded *sharded)
{
	ShardedSide *users = &sharded->side[MF_USERS];
	IdSet	   *set = &sharded->ratings.ids[MF_USERS];
	const char *rating = sharded_rating_text(&users->source);
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
	sharded_append_groups(&sql, users);
	desc = CreateTemplateTupleDesc(7);
	TupleDescInitEntry(desc, 1, "id", users->key.type, users->key.typmod, 0);
	TupleDescInitEntry(desc, 2, "ratings", INT8OID, -1, 0);
	for (int k = 3; k <= 6; k++)
		TupleDescInitEntry(desc, k, "moment", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 7, "vectors", INT8OID, -1, 0);
	store = sharded_query(sharded, users, sql.data, desc);
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

/*
 * Where all rows are of one moment the tables differ. Where they are not, a
 * transaction that was committed between two servers' first queries looks alike.
 */
static void
RefuseCounts(const Sharded *sharded, int64 by_item)
{
	bool		several = sharded_several_moments(sharded);

	ereport(ERROR,
			(errcode(several ? ERRCODE_T_R_SERIALIZATION_FAILURE :
					 ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("\"%s\" has %lld ratings but \"%s\" has %lld",
					get_rel_name(sharded->side[MF_USERS].source.relid),
					(long long) sharded->ratings.pairs,
					get_rel_name(sharded->side[MF_ITEMS].source.relid), (long long) by_item),
			 several ?
			 errdetail("Where they lie on several servers, ratings may have been written while these were asked one after the other.") : 0,
			 several ?
			 errhint("Try again. If it stays so, the tables do not hold the same ratings, spread by user and by item.") :
			 errhint("Both must hold the same ratings, spread by user and by item.")));
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
	sharded_append_groups(&sql, items);
	appendStringInfoString(&sql, ") s");
	sharded_query_numbers(sharded, items, sql.data, 3, counts);
	CheckNoVectors(items, MF_USERS, counts[2]);
	if ((uint64) counts[1] != sharded->ratings.pairs)
		RefuseCounts(sharded, counts[1]);
	sharded->ratings.ids[MF_ITEMS].n = (uint32) Min(counts[0], PG_INT32_MAX);
}

void
sharded_count(Sharded *sharded)
{
	RatingSet  *ratings = &sharded->ratings;

	ReadUsers(sharded);
	CheckMoments(sharded);
	ratings_report_skipped(get_rel_name(sharded->side[MF_USERS].source.relid), ratings->skipped);
	CountItems(sharded);
	ratings->mean = sharded->rating_sum / ratings->pairs;
	ratings->mean_square /= ratings->pairs;
}

/* ---- First vectors ---- */

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

void
sharded_first_users(Sharded *sharded)
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
		values[ROW_DIGEST] = Int64GetDatum(0);
		tuplestore_putvalues(users->rows, users->desc, values, nulls);
		pfree(DatumGetPointer(values[ROW_FACTORS]));
	}
	pfree(set->hash);
	pfree(row);
}

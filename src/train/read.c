/*
 * read.c: ratings_read(): one SELECT, streamed into a receiver.
 *
 * The query is run by SPI as the caller, so privileges, views, partitions and
 * row security are the executor's affair. Its rows do not go to a tuple table
 * or tuplestore, as SPI's do by default: a destination of our own takes each
 * row as it comes, replaces the two ids by codes and keeps twelve bytes. A
 * rating of any numeric type is converted here rather than by a cast in the
 * query, for the speed and because a value that is refused can be told with its
 * user and item.
 *
 * While ratings come in it is not known how many there will be. They stay in
 * memory until it is clear that the matrices will not fit in
 * maintenance_work_mem beside them; then what has come moves to a temporary
 * file and what comes follows it.
 */
#include "postgres.h"

#include <ctype.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "model/receive.h"
#include "train/matrix.h"
#include "train/progress.h"
#include "train/select.h"
#include "train/source.h"

/* Rows between looks for interrupts, and between looks at the clock. */
#define ROWS_PER_INTERRUPT_CHECK	1024
#define ROWS_PER_CLOCK_CHECK		65536

#define REPORT_EVERY_MS				1000

/*
 * Numerics are converted by way of their text, slowly; but ratings are mostly
 * few distinct short values, whose conversions a small cache remembers.
 */
#define NUMERIC_CACHE				256

typedef struct NumericCacheEntry
{
	uint64		key;			/* the bytes; 0: none */
	double		value;
} NumericCacheEntry;

typedef struct RatingReceiver
{
	DestReceiver pub;
	const RatingSource *source;
	ModelKey	key[2];
	Oid			rating_type;	/* InvalidOid: every row counts 1 */
	MemoryContext context;		/* what outlives the query */
	Size		memory;			/* bytes that may be used */

	IdDict	   *dict[2];
	uint32		nbatch;			/* ratings whose ids have no code yet */
	float		batch[ID_BATCH];
	RawRatings	raw;
	int			place_column;	/* of the places in time; 0: none */
	float		place_batch[ID_BATCH];
	RawRatings	places;			/* the same pairs with these as values */
	uint64		rows;
	uint64		skipped;
	TimestampTz reported;
	NumericCacheEntry *numerics;
} RatingReceiver;

/* ---- Values ---- */

static double
ConvertNumeric(RatingReceiver *receiver, Datum datum)
{
	NumericCacheEntry *entry = NULL;
	char		bytes[8] = {0};
	uint64		key = 0;
	Size		len;
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(datum);
	Numeric		numeric;
	double		value;

	len = VARSIZE_ANY_EXHDR(packed);
	if (len < sizeof(bytes))
	{
		memcpy(bytes, VARDATA_ANY(packed), len);
		bytes[7] = (char) (len + 1);
		memcpy(&key, bytes, sizeof(key));
		entry = &receiver->numerics[(key * UINT64CONST(0x9E3779B97F4A7C15)) >> 56];
		if (entry->key == key)
			return entry->value;
	}

	numeric = DatumGetNumeric(datum);
	value = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											   NumericGetDatum(numeric)));
	if ((Pointer) numeric != DatumGetPointer(datum))
		pfree(numeric);
	if ((Pointer) packed != DatumGetPointer(datum))
		pfree(packed);
	if (entry != NULL)
	{
		entry->key = key;
		entry->value = value;
	}
	return value;
}

static double
ConvertRating(RatingReceiver *receiver, Datum datum)
{
	switch (receiver->rating_type)
	{
		case INT2OID:
			return DatumGetInt16(datum);
		case INT4OID:
			return DatumGetInt32(datum);
		case INT8OID:
			return (double) DatumGetInt64(datum);
		case FLOAT4OID:
			return DatumGetFloat4(datum);
		case FLOAT8OID:
			return DatumGetFloat8(datum);
		case NUMERICOID:
			return ConvertNumeric(receiver, datum);
	}
	elog(ERROR, "unexpected type of rating: %u", receiver->rating_type);
}

/* Says what is wrong with a row's rating. */
static void
RefuseRating(const RatingReceiver *receiver, const Datum *values, float rating)
{
	ModelKey	column = {receiver->source->rating_col, receiver->rating_type};
	char	   *text = id_text(&column, values[2]);
	char	   *user = id_text(&receiver->key[MF_USERS], values[0]);
	char	   *item = id_text(&receiver->key[MF_ITEMS], values[1]);
	bool		finite = isdigit((unsigned char) text[0]) ||
		(text[0] == '-' && isdigit((unsigned char) text[1]));

	if (!finite)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("rating \"%s\" of user \"%s\" and item \"%s\" is not a finite number",
						text, user, item)));
	if (isinf(rating))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("rating \"%s\" of user \"%s\" and item \"%s\" is out of range for type real",
						text, user, item)));
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("rating \"%s\" of user \"%s\" and item \"%s\" is negative",
					text, user, item),
			 errdetail("Implicit feedback takes counts or other weights of at least 0.")));
}

/* ---- Rows ---- */

/* Moves the ratings in memory to the end of the file. */
static void
SpillList(RawRatings *raw)
{
	TripleChunk *chunk;

	while ((chunk = triple_list_pop(&raw->list)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		BufFileWrite(raw->file, chunk->triples, chunk->n * sizeof(Triple));
		triple_chunk_free(&raw->pool, chunk);
	}
}

/* Moves what is in memory of a list, and what comes, to its file. */
static void
MoveToFile(RatingReceiver *receiver, RawRatings *raw)
{
	if (raw->file != NULL)
	{
		SpillList(raw);
		return;
	}
	raw->file = BufFileCreateTemp(false);
	SpillList(raw);
	triple_pool_free(&raw->pool);
	triple_pool_init(&raw->pool, receiver->context);
}

/* Called when a chunk is full: is it time to go, or to go on, to a file? */
static void
MakeRoom(RatingReceiver *receiver)
{
	RawRatings *raw = &receiver->raw;
	Size		need = (raw->n + receiver->places.n) * BYTES_PER_RATING +
		id_dict_memory(receiver->dict[MF_USERS]) +
		id_dict_memory(receiver->dict[MF_ITEMS]);
	MemoryContext oldcontext;

	if (raw->file == NULL && need <= receiver->memory)
		return;

	oldcontext = MemoryContextSwitchTo(receiver->context);
	MoveToFile(receiver, raw);
	if (receiver->place_column > 0)
		MoveToFile(receiver, &receiver->places);
	MemoryContextSwitchTo(oldcontext);
}

static void
ReportRows(RatingReceiver *receiver)
{
	TimestampTz now = GetCurrentTimestamp();

	if (TimestampDifferenceExceeds(receiver->reported, now, REPORT_EVERY_MS))
	{
		progress_report("reading ratings, " UINT64_FORMAT " rows", receiver->rows);
		receiver->reported = now;
	}
}

/* Adds the ratings of the batch. */
static void
TakeBatch(RatingReceiver *receiver)
{
	RawRatings *raw = &receiver->raw;
	const uint32 *user = id_dict_take(receiver->dict[MF_USERS]);
	const uint32 *item = id_dict_take(receiver->dict[MF_ITEMS]);

	for (uint32 k = 0; k < receiver->nbatch; k++)
	{
		if (raw->list.pos == raw->list.end)
			MakeRoom(receiver);
		triple_list_add(&raw->pool, &raw->list, user[k], item[k],
						receiver->batch[k]);
		raw->n++;
		if (receiver->place_column > 0)
		{
			triple_list_add(&receiver->places.pool, &receiver->places.list,
							user[k], item[k], receiver->place_batch[k]);
			receiver->places.n++;
		}
	}
	receiver->nbatch = 0;
}

static bool
ReceiveRating(TupleTableSlot *slot, DestReceiver *self)
{
	RatingReceiver *receiver = (RatingReceiver *) self;
	float		rating = 1;

	receiver->rows++;
	if (receiver->rows % ROWS_PER_INTERRUPT_CHECK == 0)
		CHECK_FOR_INTERRUPTS();
	if (receiver->rows % ROWS_PER_CLOCK_CHECK == 0)
		ReportRows(receiver);

	slot_getallattrs(slot);
	if (slot->tts_isnull[0] || slot->tts_isnull[1] ||
		(OidIsValid(receiver->rating_type) && slot->tts_isnull[2]) ||
		(receiver->place_column > 0 && slot->tts_isnull[receiver->place_column]))
	{
		receiver->skipped++;
		return true;
	}

	if (OidIsValid(receiver->rating_type))
	{
		double		value = ConvertRating(receiver, slot->tts_values[2]);

		rating = (float) value;
		if (!isfinite(rating) || (receiver->source->implicit && value < 0))
			RefuseRating(receiver, slot->tts_values, rating);
	}

	id_dict_put(receiver->dict[MF_USERS], slot->tts_values[0]);
	id_dict_put(receiver->dict[MF_ITEMS], slot->tts_values[1]);
	if (receiver->place_column > 0)
		receiver->place_batch[receiver->nbatch] =
			DatumGetFloat4(slot->tts_values[receiver->place_column]);
	receiver->batch[receiver->nbatch++] = rating;
	if (receiver->nbatch == ID_BATCH)
		TakeBatch(receiver);
	return true;
}

/* The columns are what was checked: the lock on the relation sees to that. */
static void
StartRatings(DestReceiver *self, int operation, TupleDesc desc)
{
	RatingReceiver *receiver = (RatingReceiver *) self;
	Oid			expected[4];
	int			n = 0;

	expected[n++] = receiver->key[MF_USERS].type;
	expected[n++] = receiver->key[MF_ITEMS].type;
	if (OidIsValid(receiver->rating_type))
		expected[n++] = receiver->rating_type;
	if (receiver->place_column > 0)
		expected[n++] = FLOAT4OID;
	for (int i = 0; i < desc->natts; i++)
		if (i >= n || getBaseType(TupleDescAttr(desc, i)->atttypid) != expected[i])
			elog(ERROR, "unexpected column %d of the ratings", i + 1);
}

/* ---- The whole ---- */

static void
InitReceiver(RatingReceiver *receiver, const RatingSource *source)
{
	memset(receiver, 0, sizeof(*receiver));
	receiver_init(&receiver->pub, ReceiveRating);
	receiver->pub.rStartup = StartRatings;
	receiver->source = source;
	receiver->context = CurrentMemoryContext;
	receiver->memory = (Size) maintenance_work_mem * 1024;
	source_check(source, receiver->key, &receiver->rating_type);
	for (int side = 0; side < 2; side++)
		receiver->dict[side] = id_dict_create(&receiver->key[side],
											  CurrentMemoryContext);
	triple_pool_init(&receiver->raw.pool, CurrentMemoryContext);
	triple_pool_init(&receiver->places.pool, CurrentMemoryContext);
	if (source->holdout == HOLDOUT_TIME)
		receiver->place_column = source->rating_col != NULL ? 3 : 2;
	receiver->reported = GetCurrentTimestamp();
	receiver->numerics = palloc0(NUMERIC_CACHE * sizeof(NumericCacheEntry));
}

/* Sends the query's rows to the receiver. */
static void
RunQuery(RatingReceiver *receiver)
{
	char	   *query = source_query(receiver->source);
	SPIExecuteOptions options = {0};
	int			result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	/* Not read-only: what this transaction has written counts. */
	options.dest = &receiver->pub;
	result = SPI_execute_extended(query, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_extended failed: %s",
			 SPI_result_code_string(result));
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	pfree(query);
}

static void
ReportNoRatings(const RatingReceiver *receiver)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no ratings in \"%s\"", source_name(receiver->source)),
			 receiver->skipped == 0 ? 0 :
			 errdetail("Rows skipped for a NULL user, item or rating: %llu.",
					   (unsigned long long) receiver->skipped)));
}

/*
 * The pairs in matrices that no worker has to see, then what of them training
 * gets in those that workers shall see.
 */
static RatingSet *
ReadSelected(RatingReceiver *receiver, const MatrixSpec *spec, RatingSet *all)
{
	MatrixSpec	first = *spec;
	MatrixSpec	second = *spec;
	RatingSource averaging = *spec->source;
	RatingSet	places = {0};
	RatingSet  *set;

	first.shared = false;
	matrices_build(&first, &receiver->raw, all);
	if (receiver->place_column > 0)
	{
		/* A pair that was rated twice counts as of the time between. */
		averaging.implicit = false;
		first.source = &averaging;
		if (receiver->places.file != NULL)
			SpillList(&receiver->places);
		for (int side = 0; side < 2; side++)
		{
			places.ids[side].key = all->ids[side].key;
			places.ids[side].n = all->ids[side].n;
		}
		matrices_build(&first, &receiver->places, &places);
	}
	set = ratings_select(&second, all,
						 receiver->place_column > 0 ? &places.by[MF_USERS] : NULL);
	if (receiver->place_column > 0)
	{
		ratings_free(&places);
		triple_pool_init(&receiver->places.pool, receiver->context);
	}
	return set;
}

RatingSet *
ratings_read(const RatingSource *source, bool want_shared,
			 SharedFileSet *fileset)
{
	RatingSet  *set = palloc0(sizeof(RatingSet));
	RatingReceiver receiver;
	IdRanks		ranks[2];
	MatrixSpec	spec;

	InitReceiver(&receiver, source);
	progress_report("reading ratings");
	RunQuery(&receiver);
	TakeBatch(&receiver);
	if (receiver.raw.n == 0)
		ReportNoRatings(&receiver);

	set->rows = receiver.rows;
	set->skipped = receiver.skipped;
	if (receiver.raw.file != NULL)
		SpillList(&receiver.raw);

	progress_report("sorting the ids of " UINT64_FORMAT " ratings",
					receiver.raw.n);
	for (int side = 0; side < 2; side++)
		id_dict_finish(receiver.dict[side], &set->ids[side], &ranks[side]);

	spec.source = source;
	spec.ranks = ranks;
	spec.in_file = receiver.raw.file != NULL;
	spec.shared = want_shared && (!spec.in_file || fileset != NULL);
	spec.fileset = fileset;
	spec.memory = receiver.memory;
	if (selection_wanted(source))
		set = ReadSelected(&receiver, &spec, set);
	else
		matrices_build(&spec, &receiver.raw, set);
	triple_pool_free(&receiver.places.pool);

	for (int side = 0; side < 2; side++)
	{
		pfree(ranks[side].rank);
		pfree(ranks[side].rows);
	}
	pfree(receiver.numerics);
	return set;
}

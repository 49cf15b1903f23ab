/*
 * read.c: ratings_read(): one SELECT, streamed into a receiver.
 *
 * The query is run as the caller, so privileges, views, partitions and row
 * security are the executor's affair. Its rows do not go to a tuple table or
 * tuplestore: a function takes each row as it comes, replaces the two ids by codes
 * and keeps twelve bytes.
 *
 * While ratings come in it is not known how many there will be. They stay in
 * memory until it is clear that the matrices will not fit in
 * maintenance_work_mem beside them; then what has come moves to a temporary
 * file and what comes follows it.
 */
#include "postgres.h"

#include <ctype.h>
#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "model/number.h"
#include "model/query.h"
#include "train/digest.h"
#include "train/matrix.h"
#include "train/progress.h"
#include "train/select.h"
#include "train/source.h"
#include "train/values.h"

/* Rows between looks for interrupts, and between looks at the clock. */
#define ROWS_PER_INTERRUPT_CHECK	1024
#define ROWS_PER_CLOCK_CHECK		65536

#define REPORT_EVERY_MS				1000

typedef struct RatingReceiver
{
	const RatingSource *source;
	ModelKey	key[2];
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
	double		lowest;			/* of the ratings, as they are */
	double		highest;
	TimestampTz reported;
	RatingConverter converter;
} RatingReceiver;

/* Says what is wrong with a row's rating. */
static void
RefuseRating(const RatingReceiver *receiver, const Datum *values, float rating)
{
	ModelKey	column = {receiver->source->rating_col, receiver->converter.type};
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
ReceiveRating(TupleTableSlot *slot, void *arg)
{
	RatingReceiver *receiver = arg;
	float		rating = 1;

	receiver->rows++;
	if (receiver->rows % ROWS_PER_INTERRUPT_CHECK == 0)
		CHECK_FOR_INTERRUPTS();
	if (receiver->rows % ROWS_PER_CLOCK_CHECK == 0)
		ReportRows(receiver);

	if (slot->tts_isnull[0] || slot->tts_isnull[1] ||
		(OidIsValid(receiver->converter.type) && slot->tts_isnull[2]) ||
		(receiver->place_column > 0 && slot->tts_isnull[receiver->place_column]))
	{
		receiver->skipped++;
		return true;
	}

	if (OidIsValid(receiver->converter.type))
	{
		double		value = converter_value(&receiver->converter, slot->tts_values[2]);

		rating = (float) value;
		if (!isfinite(rating) || (receiver->source->implicit && value < 0))
			RefuseRating(receiver, slot->tts_values, rating);
		receiver->lowest = Min(receiver->lowest, value);
		receiver->highest = Max(receiver->highest, value);
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

/* ---- The whole ---- */

static void
InitReceiver(RatingReceiver *receiver, const RatingSource *source)
{
	Oid			rating_type;

	memset(receiver, 0, sizeof(*receiver));
	receiver->source = source;
	receiver->context = CurrentMemoryContext;
	receiver->memory = (Size) maintenance_work_mem * 1024;
	source_check(source, receiver->key, &rating_type);
	for (int side = 0; side < 2; side++)
		receiver->dict[side] = id_dict_create(&receiver->key[side],
											  CurrentMemoryContext);
	triple_pool_init(&receiver->raw.pool, CurrentMemoryContext);
	triple_pool_init(&receiver->places.pool, CurrentMemoryContext);
	if (source->holdout == HOLDOUT_TIME)
		receiver->place_column = source->rating_col != NULL ? 3 : 2;
	receiver->lowest = get_float8_infinity();
	receiver->highest = -get_float8_infinity();
	receiver->reported = GetCurrentTimestamp();
	converter_init(&receiver->converter, rating_type);
}

/* Sends the rows of a query to the receiver. */
static void
RunQuery(RatingReceiver *receiver, MfSide side, QueryEnvironment *environment)
{
	const RatingSource *source = receiver->source;
	Oid			columns[4] = {receiver->key[MF_USERS].type, receiver->key[MF_ITEMS].type};

	/* What this transaction has written counts; of a restricted source as well. */
	SqlQuery	query = {
		.sql = source_query(source, receiver->key, side),
		.from = &source->held,
		.ncolumns = 2,
		.columns = columns,
		.read_only = source->restricted,
		.parallel = true,
		.environment = environment,
	};

	if (OidIsValid(receiver->converter.type))
		columns[query.ncolumns++] = receiver->converter.type;
	if (receiver->place_column > 0)
		columns[query.ncolumns++] = FLOAT4OID;
	query_receive(&query, ReceiveRating, receiver);
	pfree(unconstify(char *, query.sql));
}

/*
 * First the ratings of users that are wanted, then those of items: two queries,
 * each of which an index may serve, in one snapshot.
 */
static void
RunRestricted(RatingReceiver *receiver)
{
	const RatingSource *source = receiver->source;
	IdRelations relations = {0};

	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		id_relations_add(&relations, source_only_name(side), receiver->key[side].type,
						 &source->only[side]);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		if (source->only[side].n > 0)
			RunQuery(receiver, side, relations.environment);
	PopActiveSnapshot();
	id_relations_end(&relations);
}

static void
ReportNoRatings(const RatingReceiver *receiver)
{
	const RatingSource *source = receiver->source;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no ratings in \"%s\"", source_name(source)),
			 receiver->skipped == 0 ? 0 :
			 errdetail("Rows skipped for a NULL user, item or rating: %llu.",
					   (unsigned long long) receiver->skipped),
			 source->min_rating == NULL && source->since == NULL ? 0 :
			 errhint("Rows below min_rating or before since do not count.")));
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

/* Runs the query; afterwards all ratings are raw, and the ids are sorted. */
static RatingSet *
ReadRaw(RatingReceiver *receiver, IdRanks ranks[2])
{
	RatingSet  *set = palloc0(sizeof(RatingSet));

	progress_report("reading ratings");
	if (receiver->source->restricted)
		RunRestricted(receiver);
	else
		RunQuery(receiver, MF_USERS, NULL);
	TakeBatch(receiver);
	if (receiver->raw.n == 0 && !receiver->source->restricted)
		ReportNoRatings(receiver);

	set->lowest = receiver->lowest;
	set->highest = receiver->highest;
	set->rows = receiver->rows;
	set->skipped = receiver->skipped;
	if (receiver->raw.file != NULL)
		SpillList(&receiver->raw);

	progress_report("sorting the ids of " UINT64_FORMAT " ratings",
					receiver->raw.n);
	for (int side = 0; side < 2; side++)
		id_dict_finish(receiver->dict[side], &set->ids[side], &ranks[side]);
	return set;
}

RatingSet *
ratings_read(const RatingSource *source, bool want_shared,
			 SharedFileSet *fileset)
{
	RatingSet  *set;
	RatingReceiver receiver;
	IdRanks		ranks[2];
	MatrixSpec	spec;

	InitReceiver(&receiver, source);
	set = ReadRaw(&receiver, ranks);

	spec.source = source;
	spec.ranks = ranks;
	spec.in_file = receiver.raw.file != NULL;
	spec.shared = want_shared && (!spec.in_file || fileset != NULL);
	spec.fileset = fileset;
	spec.memory = receiver.memory;
	if (selection_wanted(source))
		set = ReadSelected(&receiver, &spec, set);
	else if (receiver.raw.n > 0)
		matrices_build(&spec, &receiver.raw, set);
	triple_pool_free(&receiver.places.pool);
	set->min = number_shown(set->min, receiver.converter.type);
	set->max = number_shown(set->max, receiver.converter.type);

	for (int side = 0; side < 2; side++)
	{
		pfree(ranks[side].rank);
		pfree(ranks[side].rows);
	}
	converter_free(&receiver.converter);
	return set;
}

/* ---- Some of the ratings ---- */

/* Adds triples of codes to the digests of both ends, which are by place. */
static void
AddToDigests(const Triple *triples, uint64 n, const RatingSet *set, const IdRanks ranks[2],
			 uint64 *digest[2])
{
	for (uint64 k = 0; k < n; k++)
	{
		uint32		user = ranks[MF_USERS].rank[triples[k].row];
		uint32		item = ranks[MF_ITEMS].rank[triples[k].index];

		digest[MF_USERS][user] += digest_mix(set->ids[MF_ITEMS].hash[item], triples[k].value);
		digest[MF_ITEMS][item] += digest_mix(set->ids[MF_USERS].hash[user], triples[k].value);
	}
}

/* The digests of all rows that were read, which stay where they are. */
static void
FormDigests(const RatingReceiver *receiver, const RatingSet *set, const IdRanks ranks[2],
			uint64 *digest[2])
{
	const RawRatings *raw = &receiver->raw;
	const TripleList *list = &raw->list;
	TripleSource source;
	const Triple *batch;
	uint32		n;

	progress_report("comparing " UINT64_FORMAT " ratings", raw->n);
	for (int side = 0; side < 2; side++)
		digest[side] = MemoryContextAllocExtended(CurrentMemoryContext,
												  mul_size((Size) set->ids[side].n + 1,
														   sizeof(uint64)),
												  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	if (raw->file == NULL)
	{
		for (const TripleChunk *chunk = list->head; chunk != NULL; chunk = chunk->next)
		{
			CHECK_FOR_INTERRUPTS();
			AddToDigests(chunk->triples,
						 chunk == list->tail ? list->pos - chunk->triples : chunk->n,
						 set, ranks, digest);
		}
		return;
	}
	if (BufFileSeek(raw->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not rewind temporary file")));
	stream_file(&source, raw->file, raw->n);
	while ((batch = source.next(&source, &n)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		AddToDigests(batch, n, set, ranks, digest);
	}
	stream_end(&source);
}

/*
 * Keeps the pairs of what is wanted. Afterwards codes are places, and rows are
 * counted anew.
 */
static void
KeepWanted(RatingReceiver *receiver, RatingSet *set, IdRanks ranks[2],
		   const RatingTotals totals[2])
{
	RawRatings	kept = {{0}};
	TripleSource source;
	const Triple *batch;
	uint32		n;

	triple_pool_init(&kept.pool, receiver->context);
	if (receiver->raw.file != NULL)
		kept.file = BufFileCreateTemp(false);
	for (int side = 0; side < 2; side++)
		memset(ranks[side].rows, 0, set->ids[side].n * sizeof(uint64));

	stream_raw(&source, &receiver->raw, ranks);
	while ((batch = source.next(&source, &n)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		for (uint32 k = 0; k < n; k++)
		{
			const Triple *triple = &batch[k];

			if (!totals[MF_USERS].wanted[triple->row] && !totals[MF_ITEMS].wanted[triple->index])
				continue;
			ranks[MF_USERS].rows[triple->row]++;
			ranks[MF_ITEMS].rows[triple->index]++;
			kept.n++;
			if (kept.file != NULL)
				BufFileWrite(kept.file, unconstify(Triple *, triple), sizeof(Triple));
			else
				triple_list_add(&kept.pool, &kept.list, triple->row, triple->index, triple->value);
		}
	}
	stream_end(&source);
	if (receiver->raw.file != NULL)
		BufFileClose(receiver->raw.file);
	triple_pool_free(&receiver->raw.pool);
	receiver->raw = kept;
	for (int side = 0; side < 2; side++)
		for (uint32 k = 0; k < set->ids[side].n; k++)
			ranks[side].rank[k] = k;
}

RatingSet *
ratings_read_some(const RatingSource *source, RatingChooser choose, void *arg)
{
	RatingSet  *set;
	RatingReceiver receiver;
	RatingTotals totals[2];
	uint64	   *digest[2];
	IdRanks		ranks[2];
	MatrixSpec	spec = {0};

	InitReceiver(&receiver, source);
	set = ReadRaw(&receiver, ranks);
	FormDigests(&receiver, set, ranks, digest);
	for (int side = 0; side < 2; side++)
	{
		totals[side].ids = &set->ids[side];
		totals[side].digest = digest[side];
		totals[side].wanted = MemoryContextAllocExtended(CurrentMemoryContext,
														 (Size) set->ids[side].n + 1,
														 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	}
	choose(arg, totals);
	KeepWanted(&receiver, set, ranks, totals);

	spec.source = source;
	spec.ranks = ranks;
	spec.in_file = receiver.raw.file != NULL;
	spec.memory = receiver.memory;
	if (receiver.raw.n > 0)
		matrices_build(&spec, &receiver.raw, set);
	else
	{
		triple_pool_free(&receiver.raw.pool);
		if (receiver.raw.file != NULL)
			BufFileClose(receiver.raw.file);
	}
	triple_pool_free(&receiver.places.pool);
	for (int side = 0; side < 2; side++)
	{
		pfree(ranks[side].rank);
		pfree(ranks[side].rows);
		pfree(digest[side]);
		pfree(totals[side].wanted);
	}
	converter_free(&receiver.converter);
	return set;
}

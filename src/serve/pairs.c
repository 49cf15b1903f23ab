/*
 * pairs.c: what all users have rated, read once and kept by chunks of users.
 *
 * One SELECT streams into a receiver, which turns both ids to numbers as
 * training's reader does, and appends eight bytes to the temporary file of the
 * user's chunk. So memory is bounded by the ids, whatever the number of
 * ratings, and a chunk's pairs can be had without the others.
 *
 * Rejected: ORDER BY user and a merge, since sorting all ratings takes longer
 * than everything else; training's own reader, which keeps the pairs by item
 * as well.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "model/receive.h"
#include "serve/pairs.h"
#include "train/ids.h"
#include "train/progress.h"

#define ROWS_PER_CHECK 4096
#define REPORT_EVERY_MS 1000
#define PAIRS_PER_READ 4096

typedef struct SeenPair
{
	uint32		user;			/* within its chunk */
	uint32		row;
} SeenPair;

struct SeenPairs
{
	uint32		nchunks;
	BufFile   **file;			/* of a chunk; NULL: no pairs */
	uint64	   *count;
};

typedef struct PairReceiver
{
	DestReceiver pub;
	const SeenPairsSpec *spec;
	SeenPairs  *pairs;
	MemoryContext context;		/* of the files */
	IdDict	   *users;
	IdDict	   *items;
	uint32		nbatch;
	uint64		rows;
	TimestampTz reported;
} PairReceiver;

/* ---- Receiving ---- */

static void
AppendPair(PairReceiver *receiver, uint32 user, uint32 item)
{
	const SeenPairsSpec *spec = receiver->spec;
	SeenPairs  *pairs = receiver->pairs;
	uint32		chunk = user / spec->chunk_users;
	SeenPair	pair = {user % spec->chunk_users, spec->item_row[item]};

	if (pairs->file[chunk] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(receiver->context);

		pairs->file[chunk] = BufFileCreateTemp(false);
		MemoryContextSwitchTo(old);
	}
	BufFileWrite(pairs->file[chunk], &pair, sizeof(pair));
	pairs->count[chunk]++;
}

/* The codes of known ids are their places, since they were put first. */
static void
TakeBatch(PairReceiver *receiver)
{
	const uint32 *user = id_dict_take(receiver->users);
	const uint32 *item = id_dict_take(receiver->items);

	for (uint32 k = 0; k < receiver->nbatch; k++)
		if (user[k] < receiver->spec->nusers && item[k] < receiver->spec->nitems)
			AppendPair(receiver, user[k], item[k]);
	receiver->nbatch = 0;
}

static void
Report(PairReceiver *receiver)
{
	TimestampTz now = GetCurrentTimestamp();

	CHECK_FOR_INTERRUPTS();
	if (TimestampDifferenceExceeds(receiver->reported, now, REPORT_EVERY_MS))
	{
		progress_report("reading ratings, " UINT64_FORMAT " rows", receiver->rows);
		receiver->reported = now;
	}
}

static bool
ReceivePair(TupleTableSlot *slot, DestReceiver *self)
{
	PairReceiver *receiver = (PairReceiver *) self;

	if (++receiver->rows % ROWS_PER_CHECK == 0)
		Report(receiver);
	slot_getallattrs(slot);
	if (slot->tts_isnull[0] || slot->tts_isnull[1])
		return true;
	id_dict_put(receiver->users, slot->tts_values[0]);
	id_dict_put(receiver->items, slot->tts_values[1]);
	if (++receiver->nbatch == ID_BATCH)
		TakeBatch(receiver);
	return true;
}

/* A dictionary in which each of the ids has its place as its code. */
static IdDict *
MakeDict(const ModelKey *key, const Datum *ids, uint32 n)
{
	IdDict	   *dict = id_dict_create(key, CurrentMemoryContext);

	for (uint32 k = 0; k < n; k++)
	{
		id_dict_put(dict, ids[k]);
		if (k % ID_BATCH == ID_BATCH - 1)
		{
			CHECK_FOR_INTERRUPTS();
			id_dict_take(dict);
		}
	}
	id_dict_take(dict);
	return dict;
}

static char *
Statement(const SeenPairsSpec *spec)
{
	const ModelRecord *record = &spec->model->record;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s", quote_identifier(record->user_col));
	appendStringInfo(&sql, ", %s", quote_identifier(record->item_col));
	appendStringInfo(&sql, " FROM %s", quote_qualified_identifier(record->source_schema,
																   record->source_table));
	if (spec->only_some)
		appendStringInfo(&sql, " WHERE %s %s ANY ($1)", quote_identifier(record->user_col),
						 model_equality_operator(getBaseType(spec->model->side[MF_USERS].key.type)));
	return sql.data;
}

SeenPairs *
seen_pairs_read(const SeenPairsSpec *spec)
{
	SeenPairs  *pairs = palloc0(sizeof(SeenPairs));
	Oid			type = get_array_type(getBaseType(spec->model->side[MF_USERS].key.type));
	int			nargs = spec->only_some ? 1 : 0;
	SPIPlanPtr	plan;
	PairReceiver receiver = {0};

	pairs->nchunks = spec->nusers / spec->chunk_users + 1;
	pairs->file = palloc0(mul_size(pairs->nchunks, sizeof(BufFile *)));
	pairs->count = palloc0(mul_size(pairs->nchunks, sizeof(uint64)));

	receiver_init(&receiver.pub, ReceivePair);
	receiver.spec = spec;
	receiver.pairs = pairs;
	receiver.context = CurrentMemoryContext;
	receiver.users = MakeDict(&spec->model->side[MF_USERS].key, spec->users, spec->nusers);
	receiver.items = MakeDict(&spec->model->side[MF_ITEMS].key, spec->items, spec->nitems);
	receiver.reported = GetCurrentTimestamp();
	progress_report("reading ratings");

	plan = SPI_prepare(Statement(spec), nargs, &type);
	if (plan == NULL)
		elog(ERROR, "could not prepare to read the ratings: %s", SPI_result_code_string(SPI_result));
	receive_rows(&receiver.pub, plan, nargs, &type, &spec->user_array);
	TakeBatch(&receiver);
	id_dict_free(receiver.users);
	id_dict_free(receiver.items);
	return pairs;
}

/* ---- Giving ---- */

uint64
seen_pairs_count(const SeenPairs *pairs, uint32 chunk)
{
	return pairs->count[chunk];
}

/* Calls for every pair of a chunk: counts it, or puts it where it belongs. */
static void
ForPairs(SeenPairs *pairs, uint32 chunk, uint64 *offset, uint32 *rows)
{
	SeenPair	batch[PAIRS_PER_READ];
	uint64		left = pairs->count[chunk];

	if (left > 0 && BufFileSeek(pairs->file[chunk], 0, 0, SEEK_SET) != 0)
		elog(ERROR, "could not rewind temporary file");
	while (left > 0)
	{
		uint32		n = Min(left, PAIRS_PER_READ);

		CHECK_FOR_INTERRUPTS();
		BufFileReadExact(pairs->file[chunk], batch, n * sizeof(SeenPair));
		for (uint32 k = 0; k < n; k++)
		{
			if (rows == NULL)
				offset[batch[k].user]++;
			else
				rows[--offset[batch[k].user]] = batch[k].row;
		}
		left -= n;
	}
}

void
seen_pairs_get(SeenPairs *pairs, uint32 chunk, uint32 n, uint64 *offset, uint32 *rows)
{
	ForPairs(pairs, chunk, offset, NULL);

	/* Each user's end, which filling takes down to its start. */
	for (uint32 k = 1; k < n; k++)
		offset[k] += offset[k - 1];
	offset[n] = pairs->count[chunk];
	ForPairs(pairs, chunk, offset, rows);
}

void
seen_pairs_free(SeenPairs *pairs)
{
	for (uint32 chunk = 0; chunk < pairs->nchunks; chunk++)
		if (pairs->file[chunk] != NULL)
			BufFileClose(pairs->file[chunk]);
	pfree(pairs->file);
	pfree(pairs->count);
	pfree(pairs);
}

/*
 * pairs.c: what all users have rated, read once and kept by chunks of users.
 *
 * Workers read a plain table between them (pairscan.c). Anything else is read by
 * one SELECT, which streams into a receiver that turns both ids to numbers as
 * training's reader does. Either way a pair becomes eight bytes in a temporary
 * file of the user's chunk (pairfiles.c). So memory is bounded by the ids,
 * whatever the number of ratings, and a chunk's pairs can be had without the
 * others.
 *
 * Rejected: ORDER BY user and a merge, since sorting all ratings takes longer
 * than everything else; training's own reader, which keeps the pairs by item
 * as well.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "model/idrelation.h"
#include "model/query.h"
#include "serve/pairs.h"
#include "serve/pairscan.h"
#include "serve/seen.h"
#include "train/ids.h"
#include "train/progress.h"

#define ROWS_PER_CHECK 4096
#define REPORT_EVERY_MS 1000
#define PAIRS_PER_READ 4096

struct SeenPairs
{
	uint32		nchunks;
	bool		scanned;		/* by workers; else `own` is the writer */
	PairScan	scan;
	PairWriter	own;
	int			nwriters;
	PairWriter *writer;
};

typedef struct PairReceiver
{
	const SeenPairsSpec *spec;
	PairWriter *writer;
	IdDict	   *users;
	IdDict	   *items;
	uint32		nbatch;
	uint64		rows;
	TimestampTz reported;
} PairReceiver;

/* ---- Receiving ---- */

/* The codes of known ids are their places, since they were put first. */
static void
TakeBatch(PairReceiver *receiver)
{
	const SeenPairsSpec *spec = receiver->spec;
	const uint32 *users = id_dict_take(receiver->users);
	const uint32 *items = id_dict_take(receiver->items);
	uint32		user[ID_BATCH];
	uint32		row[ID_BATCH];

	for (uint32 k = 0; k < receiver->nbatch; k++)
	{
		user[k] = users[k] < spec->nusers ? users[k] : PAIR_UNKNOWN;
		row[k] = items[k] < spec->nitems ? spec->item_row[items[k]] : PAIR_UNKNOWN;
	}
	pair_writer_put(receiver->writer, user, row, receiver->nbatch);
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
ReceivePair(TupleTableSlot *slot, void *arg)
{
	PairReceiver *receiver = arg;
	SeenRequest *source = receiver->spec->source;
	Datum		user;
	Datum		item;

	if (++receiver->rows % ROWS_PER_CHECK == 0)
		Report(receiver);
	if (slot->tts_isnull[0] || slot->tts_isnull[1] ||
		!id_convert(&source->convert[MF_USERS], slot->tts_values[0], &user) ||
		!id_convert(&source->convert[MF_ITEMS], slot->tts_values[1], &item))
		return true;
	id_dict_put(receiver->users, user);
	id_dict_put(receiver->items, item);
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
	appendStringInfo(&sql, " FROM %s r", spec->source->source.sql);
	if (spec->only_some)
		appendStringInfo(&sql, " WHERE %s",
						 id_relation_condition("r", record->user_col,
											   spec->source->type[MF_USERS], "mf_only_users"));
	return sql.data;
}

static void
ReadBySelect(const SeenPairsSpec *spec, PairWriter *writer)
{
	SqlQuery	query = {
		.sql = Statement(spec),
		.from = &spec->source->source,
		.ncolumns = 2,
		.columns = spec->source->type,
		.read_only = true,
	};
	IdArray		users = {spec->nusers, spec->users};
	IdRelations relations = {0};
	PairReceiver receiver = {0};

	if (spec->only_some)
		id_relations_add(&relations, "mf_only_users", spec->model->side[MF_USERS].key.type, &users);
	query.environment = relations.environment;
	receiver.spec = spec;
	receiver.writer = writer;
	receiver.users = MakeDict(&spec->model->side[MF_USERS].key, spec->users, spec->nusers);
	receiver.items = MakeDict(&spec->model->side[MF_ITEMS].key, spec->items, spec->nitems);
	receiver.reported = GetCurrentTimestamp();

	query_receive(&query, ReceivePair, &receiver);
	TakeBatch(&receiver);
	id_relations_end(&relations);
	id_dict_free(receiver.users);
	id_dict_free(receiver.items);
}

SeenPairs *
seen_pairs_read(const SeenPairsSpec *spec)
{
	SeenPairs  *pairs = palloc0(sizeof(SeenPairs));

	progress_report("reading ratings");
	pairs->nchunks = spec->nusers / spec->chunk_users + 1;
	pairs->scanned = pair_scan_read(spec, pairs->nchunks, &pairs->scan);
	if (pairs->scanned)
	{
		pairs->nwriters = pairs->scan.nwriters;
		pairs->writer = pairs->scan.writer;
		return pairs;
	}
	pairs->nwriters = 1;
	pairs->writer = &pairs->own;
	pair_writer_begin(&pairs->own, pairs->nchunks, spec->chunk_users, NULL, 0, NULL);
	ReadBySelect(spec, &pairs->own);
	return pairs;
}

/* ---- Giving ---- */

uint64
seen_pairs_count(const SeenPairs *pairs, uint32 chunk)
{
	uint64		count = 0;

	for (int k = 0; k < pairs->nwriters; k++)
		count += pairs->writer[k].count[chunk];
	return count;
}

/* Goes through the pairs of a chunk: counts each, or puts it where it belongs. */
static void
ForPairs(const SeenPairs *pairs, uint32 chunk, uint64 *offset, uint32 *rows)
{
	SeenPair	batch[PAIRS_PER_READ];

	for (int w = 0; w < pairs->nwriters; w++)
	{
		PairFile	file;
		uint32		n;

		pair_file_open(&file, &pairs->writer[w], chunk);
		while ((n = pair_file_read(&file, batch, PAIRS_PER_READ)) > 0)
		{
			CHECK_FOR_INTERRUPTS();
			if (rows == NULL)
				for (uint32 k = 0; k < n; k++)
					offset[batch[k].user]++;
			else
				for (uint32 k = 0; k < n; k++)
					rows[--offset[batch[k].user]] = batch[k].row;
		}
		pair_file_close(&file);
	}
}

void
seen_pairs_get(SeenPairs *pairs, uint32 chunk, uint32 n, uint64 *offset, uint32 *rows)
{
	ForPairs(pairs, chunk, offset, NULL);

	/* Each user's end, which filling takes down to its start. */
	for (uint32 k = 1; k < n; k++)
		offset[k] += offset[k - 1];
	offset[n] = seen_pairs_count(pairs, chunk);
	ForPairs(pairs, chunk, offset, rows);
}

void
seen_pairs_free(SeenPairs *pairs)
{
	if (pairs->scanned)
		pair_scan_free(&pairs->scan);
	else
		pair_writer_free(&pairs->own);
	pfree(pairs);
}

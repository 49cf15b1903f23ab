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
 * All is done in the caller's transaction, and its queries see one snapshot of
 * this server. A foreign server sees one transaction too, with one snapshot, so
 * that ratings which come in meanwhile do not matter; and a training that fails
 * leaves the old model. The servers' snapshots are of their first queries, which
 * are made one (sharded_begin): what a transaction commits between these is on one
 * server and not yet on another, which the counts tell. Copies are
 * emptied by TRUNCATE: DELETE would keep a dead copy of every half until the
 * end. Rejected: a procedure that commits between halves, which would show
 * readers of the copies half-made models and each half another set of ratings.
 *
 * The tables and their checks are in sharded_sources.c, the counting before the
 * first iteration in sharded_count.c, half an iteration in sharded_half.c.
 *
 * This server holds the vectors of one side at a time in tuplestores, which go
 * to disk beyond work_mem.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "train/progress.h"
#include "train/sharded.h"
#include "train/train.h"

PG_FUNCTION_INFO_V1(mf_train_sharded);

/* ---- Iterations ---- */

static void
Measure(Sharded *sharded, ModelIteration *iteration)
{
	const AlsSpec *spec = &sharded->options.spec;
	ShardedSide *users = &sharded->side[MF_USERS];
	ShardedSide *items = &sharded->side[MF_ITEMS];
	double		weight = spec->implicit ? spec->alpha * sharded->rating_sum :
		(double) sharded->ratings.pairs;

	iteration->error = weight > 0 ? sqrt(users->squares / weight) : 0;
	iteration->objective = users->squares + users->penalty + items->penalty;
	if (spec->unobserved_weight > 0)
		iteration->objective += spec->unobserved_weight *
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
		sharded_write_copies(&sharded->side[MF_USERS]);
		sharded_run_half(sharded, MF_ITEMS, k == options->iterations);
		progress_report("iteration %d of %d, users", k, options->iterations);
		sharded_write_copies(&sharded->side[MF_ITEMS]);
		sharded_run_half(sharded, MF_USERS, k == options->iterations);

		iteration->iteration = k;
		Measure(sharded, iteration);
		fit_check_finite(options, &sharded->ratings, iteration, false);
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
	const Sharded *sharded;
	const ShardedSide *side;
	TupleTableSlot *slot;
	Vector		vector;			/* of the last row */
} RowReader;

/* Rows come in the order of the tuplestore, whatever k. */
static void
GetRow(void *arg, uint32 k, ModelRow *row)
{
	RowReader  *reader = arg;
	TupleTableSlot *slot = reader->slot;

	if (reader->vector.array != NULL)
		vector_release(&reader->vector, slot->tts_values[ROW_FACTORS]);
	if (!tuplestore_gettupleslot(reader->side->rows, true, false, slot))
		elog(ERROR, "row %u of a side is missing", k);	/* they were counted */
	slot_getallattrs(slot);
	reader->vector = sharded_vector(reader->sharded, reader->side, slot->tts_values[ROW_FACTORS]);
	row->id = slot->tts_values[ROW_ID];
	row->bias = DatumGetFloat4(slot->tts_values[ROW_BIAS]);
	row->factors = reader->vector.elements;
	row->ratings = (int32) DatumGetInt64(slot->tts_values[ROW_RATINGS]);
	row->rating_sum = DatumGetFloat8(slot->tts_values[ROW_SUM]);
	row->digest = (uint64) DatumGetInt64(slot->tts_values[ROW_DIGEST]);
}

static void
Store(Sharded *sharded, ModelTarget *target)
{
	const TrainOptions *options = &sharded->options;

	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		ShardedSide *self = &sharded->side[side];
		RowReader	reader = {
			.sharded = sharded,
			.side = self,
			.slot = MakeSingleTupleTableSlot(self->desc, &TTSOpsMinimalTuple)
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
	sharded_begin(sharded);
	sharded_empty_copies(&sharded->side[MF_USERS]);
	sharded_empty_copies(&sharded->side[MF_ITEMS]);
	sharded_count(sharded);
	options_resolve(&sharded->options, ratings);
	if (sharded->options.verbose)
		ereport(NOTICE,
				(errmsg("training \"%s\": %u users, %u items, " UINT64_FORMAT " ratings, sharded",
						target->name, ratings->ids[MF_USERS].n, ratings->ids[MF_ITEMS].n,
						ratings->pairs)));

	sharded_first_users(sharded);
	(void) sharded_summarize(sharded, &sharded->side[MF_USERS], ratings->ids[MF_ITEMS].n);
	Iterate(sharded, fit);
	UnregisterSnapshot(sharded->snapshot);

	Store(sharded, target);
	training_fill_record(record, &sharded->side[MF_USERS].source, &sharded->options,
						 ratings, fit);
	if (spec->unobserved_weight > 0)
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
	ActingOwner acting;
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
	sharded_read_options(fcinfo, sharded);
	sharded_check_sources(sharded, key);
	target = model_target_open(extension_schema, sharded->options.model, key);
	training_check_name(target, &sharded->side[MF_USERS].source, &sharded->options);

	training_begin("mf_train_sharded", target->name);
	PG_TRY();
	{
		model_owner_begin(&acting, target);
		Train(sharded, target, &fit, &record);
		owner_end(&acting);
	}
	PG_FINALLY();
	{
		training_end();
	}
	PG_END_TRY();
	model_target_close(target);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		ratings_close(&sharded->side[side].source);

	MemoryContextSwitchTo(outer);
	result = training_result(fcinfo, target, &record);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(result);
}

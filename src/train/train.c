/*
 * train.c: mf_train, from the arguments to the stored model.
 *
 * The way of a training, all of it in the caller's transaction:
 *
 *	 train_call_read	the arguments, each checked
 *	 options_from_call	how they go together, and what follows from them
 *	 ratings_open		the rating table and its columns, checked; open until the end
 *	 model_target_open	may the model be written here? lock its name
 *	 model_owner_begin	from here on as the owner of the tables that are there
 *	 ratings_read		the ratings, read once and indexed both ways
 *	 crew_begin			workers and shared arrays
 *	 fit_run			the iterations
 *	 crew_end			workers gone: writing is not allowed beside them
 *	 model_write_*		the two tables, mf_models, mf_history
 *
 * Everything is allocated in one memory context, "mf_train", which is deleted
 * on return; on an error the transaction's abort takes it, the segments, the
 * temporary files and the workers, and leaves the old model as it was.
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "model/keysize.h"
#include "model/model.h"
#include "model/number.h"
#include "train/crew.h"
#include "train/fit.h"
#include "train/options.h"
#include "train/progress.h"
#include "train/ratings.h"
#include "train/source.h"
#include "train/team.h"
#include "train/train.h"

/*
 * A training of fewer floating-point operations than this (some 50 ms on one
 * core) is not worth the start of workers.
 */
#define PARALLEL_MIN_FLOPS 5e9

/*
 * What an element of a row of a sample costs the stochastic solver, in the
 * operations of alternating least squares, which does ten times as many a second.
 */
#define SGD_COST 100.0

/* Ratings in fewer steps of single precision than these are too close together. */
#define STEPS_LEAST 1000

PG_FUNCTION_INFO_V1(mf_train);

/* Is this session in the course of one? */
static bool training = false;

/* ---- Notices about the source ---- */

static bool
IndexStartsWith(Oid index, AttrNumber attno)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	result = form->indisvalid && form->indkey.values[0] == attno &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
	ReleaseSysCache(tuple);
	return result;
}

/*
 * mf_topk looks up a user's own ratings to leave them out: say so where that
 * will have to read the whole table each time.
 */
static void
AdviseUserIndex(const RatingSource *source)
{
	Relation	rel = source->held.rel;
	char		kind = rel->rd_rel->relkind;
	bool		found = false;

	if (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE ||
		kind == RELKIND_MATVIEW)
	{
		AttrNumber	attno = get_attnum(source->relid, source->user_col);
		List	   *indexes = RelationGetIndexList(rel);
		ListCell   *cell;

		foreach(cell, indexes)
			found |= IndexStartsWith(lfirst_oid(cell), attno);
		list_free(indexes);
		if (!found)
			ereport(NOTICE,
					(errmsg("table \"%s\" has no index that starts with column \"%s\"",
							RelationGetRelationName(rel), source->user_col),
					 errdetail("mf_topk will read the whole table to leave out what a user has already rated."),
					 errhint("CREATE INDEX ON %s (%s, %s);",
							 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
														RelationGetRelationName(rel)),
							 quote_identifier(source->user_col),
							 quote_identifier(source->item_col))));
	}
}

/* A column that was named, if only by default, would be believed to matter. */
static void
ReportUnusedRatings(const RatingSource *source, const TrainOptions *options)
{
	if (source->rating_col == NULL || source->min_rating != NULL ||
		!options->spec.implicit || options->solver == SOLVER_ALS || options->sgd.weighted)
		return;
	ereport(NOTICE,
			(errmsg("loss \"%s\" counts every pair alike, whatever its \"%s\" is",
					options_loss_name(options), source->rating_col),
			 errhint("Give alpha to weigh pairs by it, min_rating to leave some out, or rating_col => NULL.")));
}

/*
 * Ratings are trained on in single precision, of 24 bits. Differences that these
 * cannot tell apart, or hardly, are lost without a trace.
 */
static void
ReportLostDifferences(const RatingSource *source, const RatingSet *ratings)
{
	float		largest = Max(fabsf((float) ratings->lowest), fabsf((float) ratings->highest));
	double		step = (double) nextafterf(largest, INFINITY) - largest;

	if (!(ratings->highest > ratings->lowest) ||
		ratings->highest - ratings->lowest >= STEPS_LEAST * step)
		return;
	ereport(NOTICE,
			(errmsg("ratings of \"%s\" lie too close together for single precision",
					source_name(source)),
			 errdetail("They range from %s to %s, where numbers of type real are %s apart.",
					   number_text(ratings->lowest), number_text(ratings->highest),
					   number_text(step)),
			 errhint("Train on a view that takes off what all of them have in common.")));
}

static void
ReportHeldOut(const RatingSet *ratings)
{
	if (ratings->nheld > 0)
		ereport(NOTICE,
				(errmsg("held out " UINT64_FORMAT " pairs", ratings->nheld),
				 ratings->held_unknown == 0 ? 0 :
				 errdetail("Not counting " UINT64_FORMAT " of users or items that have no pair in training.",
						   ratings->held_unknown)));
}

/* Can the loss be taken of these ratings at all? */
static void
CheckLabels(const TrainOptions *options, const RatingSet *ratings)
{
	const LossSpec *loss = &options->sgd.loss;

	if (options->spec.implicit || (loss->kind == LOSS_SQUARED && !loss->linked))
		return;
	/* The ends, too, as ratings are read: in single precision. */
	if ((float) ratings->min < (float) loss->low || (float) ratings->max > (float) loss->high)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 loss->linked ?
				 errmsg("the ratings do not lie in rating_range") :
				 errmsg("loss \"logistic\" of explicit feedback takes ratings from 0 to 1"),
				 errdetail("They range from %s to %s.",
						   number_text(ratings->min), number_text(ratings->max))));
}

/* ---- Workers ---- */

/* How many workers it is worth, once its size is known. */
static int
WorkersWorth(int allowed, const TrainOptions *options, const RatingSet *ratings)
{
	double		d = options->spec.factors;
	double		flops = options->solver == SOLVER_ALS ?
		2.0 * ratings->pairs * d * d * options->iterations :
		SGD_COST * ratings->pairs * d * (2 + options->sgd.negatives) * options->iterations;
	uint32		blocks = Max(ratings->by[MF_USERS].nblocks, ratings->by[MF_ITEMS].nblocks);

	if (flops < PARALLEL_MIN_FLOPS || blocks < 2)
		return 0;
	return Min(allowed, (int) blocks - 1);
}

/* ---- Storing ---- */

/* What WriteRow reads: a side's ids, vectors and biases. */
typedef struct RowSource
{
	const IdSet *ids;
	const AlsSide *side;
	size_t		stride;
} RowSource;

static void
GetRow(void *arg, uint32 k, ModelRow *row)
{
	RowSource  *source = arg;

	row->id = source->ids->ids[k];
	row->bias = source->side->bias[k];
	row->factors = source->side->factors + k * source->stride;
	row->ratings = source->ids->ratings[k];
	row->rating_sum = source->ids->rating_sum[k];
	row->digest = source->ids->digest[k];
}

const float *
training_gramian(const double *gramian, int factors)
{
	Size		square = (Size) factors * factors;
	float	   *stored = palloc(mul_size(square, sizeof(float)));

	for (Size k = 0; k < square; k++)
		stored[k] = gramian[k];
	return stored;
}

void
training_fill_record(ModelRecord *record, const RatingSource *source,
					 const TrainOptions *options, const RatingSet *ratings,
					 const Fit *fit)
{
	const AlsSpec *spec = &options->spec;
	const ModelIteration *best = &fit->history[fit->best - 1];

	memset(record, 0, sizeof(*record));
	record->implicit = spec->implicit;
	record->biased = spec->biased;
	record->factors = spec->factors;
	record->mean = spec->mean;
	record->rating_min = ratings->min;
	record->rating_max = ratings->max;
	record->source_schema = get_namespace_name(get_rel_namespace(source->relid));
	record->source_table = get_rel_name(source->relid);
	record->user_col = source->user_col;
	record->item_col = source->item_col;
	record->rating_col = source->rating_col;
	record->users = ratings->ids[MF_USERS].n;
	record->items = ratings->ids[MF_ITEMS].n;
	record->ratings = ratings->pairs;
	record->skipped = ratings->skipped;
	record->iterations = fit->iterations;
	record->regularization = spec->regularization;
	record->reg_exponent = spec->reg_exponent;
	record->bias_regularization = spec->bias_regularization;
	record->alpha = spec->alpha;
	record->unobserved_weight = spec->unobserved_weight;
	record->seed = options->seed;
	record->objective = best->objective;
	record->error = best->error;
	record->seconds = fit_seconds(fit);
	record->loss = options_loss_name(options);
	record->solver = options_solver_name(options);
	record->linked = options->sgd.loss.linked || options->sgd.loss.kind == LOSS_LOGISTIC;
	record->link_low = options->sgd.loss.low;
	record->link_high = options->sgd.loss.high;
	record->held_out = ratings->nheld;
	record->held_out_loss = best->held_out_loss;
	record->best_iteration = fit->best;
	record->options = options->given;
	record->settings = options_settings_json(options, source);
}

static void
StoreModel(ModelTarget *target, const TrainOptions *options,
		   const RatingSet *ratings, Crew *crew)
{
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		RowSource	rows = {
			.ids = &ratings->ids[side],
			.side = crew_side(crew, side),
			.stride = als_stride(options->spec.factors),
		};

		progress_report("storing %u %s", rows.ids->n,
						side == MF_USERS ? "users" : "items");
		model_write_side(target, side, options->spec.factors, rows.ids->n,
						 GetRow, &rows);
	}
	if (target->exists ? options->index_old : options->index_new)
	{
		progress_report("indexing the items");
		model_write_indexes(target, options->spec.biased);
	}
}

/* ---- mf_train ---- */

/* The name by which the other functions find the model now. */
static char *
ModelDisplayName(const ModelTarget *target)
{
	char	   *table = psprintf("%s_users", target->name);
	RangeVar   *unqualified = makeRangeVar(NULL, table, -1);
	Oid			found = RangeVarGetRelid(unqualified, NoLock, true);

	if (OidIsValid(found) && get_rel_namespace(found) == target->schema)
		return pstrdup(quote_identifier(target->name));
	return quote_qualified_identifier(target->schema_name, target->name);
}

Datum
training_result(FunctionCallInfo fcinfo, const ModelTarget *target, const ModelRecord *record)
{
	TupleDesc	desc;
	Datum		values[7];
	bool		nulls[7] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");	/* as it is declared */
	values[0] = CStringGetTextDatum(ModelDisplayName(target));
	values[1] = Int64GetDatum(record->users);
	values[2] = Int64GetDatum(record->items);
	values[3] = Int64GetDatum(record->ratings);
	values[4] = Int32GetDatum(record->iterations);
	values[5] = Float8GetDatum(record->error);
	values[6] = Float8GetDatum(record->seconds);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* A set of temporary files that workers can read, in memory that they can. */
static SharedFileSet *
MakeFileSet(bool shared, BigArray *array)
{
	SharedFileSet *fileset;

	if (!shared || !bigarray_alloc(array, sizeof(SharedFileSet), true, CurrentMemoryContext))
		return NULL;
	fileset = array->data;
	SharedFileSetInit(fileset, array->segment);
	return fileset;
}

/*
 * A training reads and writes tables whose views, policies and triggers may call
 * any function, mf_train too: of the same model that would leave the rows of
 * one training with the record of the other.
 */
void
training_refuse_nested(const char *function)
{
	if (training)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("%s cannot be called in the course of a training", function),
				 errhint("Look for a trigger on the model's tables, or a function in the view of ratings, that calls it.")));
}

void
training_begin(const char *function, const char *model)
{
	progress_begin(function, quote_identifier(model));
	training = true;
}

void
training_end(void)
{
	training = false;
	progress_end();
}

/* Everything between the checks and the result. */
static void
Train(const RatingSource *source, TrainOptions *options, ModelTarget *target,
	  Fit *fit, ModelRecord *record)
{
	int			workers = team_workers_allowed();
	BigArray	fileset_array = {0};
	SharedFileSet *fileset = MakeFileSet(workers > 0, &fileset_array);
	RatingSet  *ratings;
	Crew	   *crew;

	progress_report("reading ratings");
	ratings = ratings_read(source, workers > 0, fileset);
	ratings_report_skipped(get_rel_name(source->relid), ratings->skipped);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		key_check_sizes(&target->key[side], ratings->ids[side].n, ratings->ids[side].ids);
	ReportLostDifferences(source, ratings);
	if (options->verbose)
		ReportHeldOut(ratings);
	options_resolve(options, ratings);

	CheckLabels(options, ratings);

	crew = crew_begin(&options->spec, options->solver == SOLVER_SGD ? &options->sgd : NULL,
					  options->iterations, ratings, WorkersWorth(workers, options, ratings),
					  fileset, fileset_array.segment);
	if (options->verbose)
		ereport(NOTICE,
				(errmsg("training \"%s\": %u users, %u items, " UINT64_FORMAT " ratings, %d workers",
						target->name, ratings->ids[MF_USERS].n, ratings->ids[MF_ITEMS].n,
						ratings->pairs, crew_workers(crew))));
	fit_run(fit, options, ratings, crew);
	crew_end(crew);
	/* What was read of an earlier model has been read; to write it is another matter. */
	if (options->warm != NULL)
		model_release(options->warm);

	StoreModel(target, options, ratings, crew);
	training_fill_record(record, source, options, ratings, fit);
	if (options->spec.unobserved_weight > 0)
		for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
			record->gramian[side] = training_gramian(crew_gramian(crew, side),
													 options->spec.factors);
	model_write_record(target, record, fit->iterations, fit->history);

	crew_free(crew);
	ratings_free(ratings);
	bigarray_free(&fileset_array);
}

/* A table's name is only half of what tells it from others. */
void
training_check_name(const ModelTarget *target, const RatingSource *source,
					const TrainOptions *options)
{
	if (options->named || !OidIsValid(target->source) || target->source == source->relid)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("model \"%s\" was trained from another table",
					quote_qualified_identifier(target->schema_name, target->name)),
			 errdetail("It was trained from %s. A model that is not named takes the name of its table.",
					   quote_qualified_identifier(get_namespace_name(get_rel_namespace(target->source)),
												  get_rel_name(target->source))),
			 errhint("Name the model, by model => %s to replace the one there is.",
					 quote_literal_cstr(quote_identifier(target->name)))));
}

Datum
training_run(FunctionCallInfo fcinfo, const char *function, RatingSource *source,
			 TrainOptions *options, Fit *fit, MemoryContext outer)
{
	ModelKey	key[2];
	ModelTarget *target;
	ModelRecord record;
	ActingOwner acting;

	ratings_open(source, key);
	target = model_target_open(get_func_namespace(fcinfo->flinfo->fn_oid), options->model, key);
	training_check_name(target, source, options);
	target->model = options->warm;
	/* A model that is not to be ranked by, a trial of mf_tune's say, needs none. */
	if (options->index_new)
		AdviseUserIndex(source);
	if (options->verbose)
		ReportUnusedRatings(source, options);

	training_begin(function, target->name);
	PG_TRY();
	{
		model_owner_begin(&acting, target);
		Train(source, options, target, fit, &record);
		owner_end(&acting);
	}
	PG_FINALLY();
	{
		training_end();
	}
	PG_END_TRY();
	model_target_close(target);
	ratings_close(source);

	MemoryContextSwitchTo(outer);
	return training_result(fcinfo, target, &record);
}

/*
 * mf_train(ratings, user_col, item_col, rating_col, model, ..., options): see the
 * SQL script for the arguments, option_table.c for the options.
 */
Datum
mf_train(PG_FUNCTION_ARGS)
{
	static const char *const named[] = {
		"feedback", "loss", "factors", "iterations", "regularization", "alpha",
		"holdout", "time_col", "seed", "verbose", NULL
	};
	static const TrainSignature signature = {"ratings", 1, named};
	MemoryContext context;
	MemoryContext outer;
	TrainCall	call;
	RatingSource source;
	TrainOptions options;
	Fit			fit = {0};
	Datum		result;

	PreventCommandDuringRecovery("mf_train()");
	PreventCommandIfReadOnly("mf_train()");
	training_refuse_nested("mf_train()");

	INSTR_TIME_SET_CURRENT(fit.start);
	context = AllocSetContextCreate(CurrentMemoryContext, "mf_train",
									ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(context);
	train_call_read(fcinfo, &signature, &call);
	options_from_call(&call, &source, &options);
	result = training_run(fcinfo, "mf_train", &source, &options, &fit, outer);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(result);
}

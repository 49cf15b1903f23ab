/*
 * refresh.c: mf_refresh(): some users and items solved anew between trainings.
 *
 * The ratings are read by training's own reader, so that digests are comparable
 * with those that the model's tables recorded, equal pairs
 * are merged as they were, what training filtered is filtered, and what is
 * refreshed is solved from exactly what a training would give it. Then, with the
 * model's options:
 *
 *	 new users	given the items (for a first vector, to count in the next step)
 *	 items		given the users
 *	 users		given the items
 *
 * each only where it is to be refreshed. A pair whose other end the model does
 * not know, and is not asked to, is left out. Gramians are summed anew over all
 * vectors that are read.
 *
 * It all happens in this process: what changes between two trainings is little.
 *
 * What is solved and from which pairs is refresh_sides.c's affair, the solving
 * refresh_solve.c's.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "serve/refresh.h"
#include "train/progress.h"
#include "train/train.h"

PG_FUNCTION_INFO_V1(mf_refresh);
PG_FUNCTION_INFO_V1(mf_refresh_named);

/* ---- Storing ---- */

typedef struct WriteSource
{
	const RefreshSide *side;
	const uint32 *rows;
	size_t		stride;
} WriteSource;

static void
GetRow(void *arg, uint32 k, ModelRow *row)
{
	WriteSource *source = arg;
	const RefreshSide *side = source->side;
	uint32		at = source->rows[k];

	row->id = side->ids->ids[at];
	row->bias = side->vectors.bias[at];
	row->factors = side->vectors.factors + at * source->stride;
	row->ratings = side->ids->ratings[at];
	row->rating_sum = side->ids->rating_sum[at];
	row->digest = side->ids->digest[at];
}

/* Writes what was solved; returns how many rows, and how many of them are new. */
static uint32
WriteSide(Refresh *refresh, ModelTarget *target, MfSide which, uint32 *added)
{
	RefreshSide *side = &refresh->side[which];
	uint32	   *rows = MemoryContextAllocHuge(CurrentMemoryContext,
											  mul_size((Size) side->n + 1, sizeof(uint32)));
	Datum	   *gone = MemoryContextAllocHuge(CurrentMemoryContext,
											  mul_size((Size) side->n + 1, sizeof(Datum)));
	WriteSource source = {side, rows, als_stride(refresh->spec.factors)};
	uint32		n = 0;
	uint32		ngone = 0;

	*added = 0;
	for (uint32 k = 0; k < side->n; k++)
	{
		if (!side->touched[k])
			continue;
		if (k >= side->ids->n)
			gone[ngone++] = side->extra[k - side->ids->n];
		else
		{
			rows[n++] = k;
			*added += !side->was_known[k];
		}
	}
	progress_report("storing %u %s", n, which == MF_USERS ? "users" : "items");
	if (n > 0)
		model_write_rows(target, which, refresh->spec.factors, n, GetRow, &source);
	if (ngone > 0)
		model_delete_rows(target, which, ngone, gone);
	pfree(rows);
	pfree(gone);
	return n;
}

/* Counts and Gramians as they are now. */
static void
WriteRecord(Refresh *refresh, ModelTarget *target, const int64 counts[6])
{
	ModelRecord record = refresh->model->record;
	const RefreshSide *users = &refresh->side[MF_USERS];
	int64		ratings = 0;

	training_read_options(refresh->model, &record);
	for (uint32 u = 0; u < users->n; u++)
	{
		int64		before = users->was_known[u] ? users->recorded[u] : 0;
		int64		after = !users->known[u] ? 0 :
			users->touched[u] ? users->ids->ratings[u] : before;

		ratings += refresh->partial ? after - before : after;
	}

	/* Where not all rows were read, the record is moved on by what changed. */
	if (refresh->partial)
	{
		record.users += counts[2 + MF_USERS] - counts[4 + MF_USERS];
		record.items += counts[2 + MF_ITEMS] - counts[4 + MF_ITEMS];
		record.ratings += ratings;
	}
	else
	{
		record.users = refresh_count(&refresh->side[MF_USERS]);
		record.items = refresh_count(&refresh->side[MF_ITEMS]);
		record.ratings = ratings;
	}
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		record.gramian[side] = refresh->side[side].gramian == NULL ? NULL :
			training_gramian(refresh->side[side].gramian, refresh->spec.factors);
	model_update_record(target, &record);
}

/* ---- mf_refresh ---- */

static void
SpecOfModel(const ModelRecord *record, AlsSpec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->factors = record->factors;
	spec->implicit = record->implicit;
	spec->biased = record->biased;
	spec->mean = record->mean;
	spec->alpha = record->alpha;
	spec->unobserved_weight = record->unobserved_weight;
	spec->regularization = record->regularization;
	spec->reg_exponent = record->reg_exponent;
	spec->bias_regularization = record->bias_regularization;
}

/* The ids that the arguments name. */
static void
ReadNames(FunctionCallInfo fcinfo, Refresh *refresh)
{
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		IdList	   *named = &refresh->side[side].named;
		IdConversion conversion = {0};
		int			arg = side == MF_USERS ? 1 : 2;

		idlist_init(named, refresh->model, side);
		if (!refresh->named || PG_ARGISNULL(arg))
			continue;
		idlist_add_array(named, PG_GETARG_ARRAYTYPE_P(arg), &conversion, refresh->model, side,
						 CurrentMemoryContext);
		idlist_sort(named);
	}
}

static void
CheckModel(const Model *model)
{
	if (strcmp(model->record.solver, "als") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mf_refresh() does not apply to model \"%s\"",
						quote_qualified_identifier(model->schema_name, model->name)),
				 errdetail("It was trained with solver \"%s\" and loss \"%s\", whose vectors no equations give.",
						   model->record.solver, model->record.loss),
				 errhint("mf_retrain(%s) trains it again from the vectors there are, and adds what is new.",
						 quote_literal_cstr(quote_qualified_identifier(model->schema_name,
																	   model->name)))));
}

static void
DoRefresh(Refresh *refresh, RatingSource *source, ModelTarget *target, int64 counts[6])
{
	uint32		added;

	memset(counts, 0, 6 * sizeof(int64));
	/* array_agg() over no changes is NULL: whoever names nobody means nobody. */
	if (refresh->named && refresh->side[MF_USERS].named.n == 0 &&
		refresh->side[MF_ITEMS].named.n == 0)
		return;
	refresh_read(refresh, source);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		counts[4 + side] = refresh_forget(refresh, side);
	refresh_solve(refresh);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		counts[side] = WriteSide(refresh, target, side, &added);
		counts[2 + side] = added;
	}
	WriteRecord(refresh, target, counts);
	ratings_free(refresh->ratings);
}

static Datum
RefreshModel(FunctionCallInfo fcinfo, bool named)
{
	Oid			extension_schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "mf_refresh",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(context);
	Refresh    *refresh = palloc0(sizeof(Refresh));
	RatingSource source;
	TrainOptions options;
	ModelKey	key[2];
	ModelTarget *target;
	ActingOwner acting;
	TupleDesc	desc;
	int64		counts[6];
	Datum		values[6];
	bool		nulls[6] = {false};
	Datum		result;

	PreventCommandDuringRecovery("mf_refresh()");
	PreventCommandIfReadOnly("mf_refresh()");
	training_refuse_nested("mf_refresh()");

	refresh->model = training_open_model(fcinfo, 0);
	/* By the snapshot that is the latest now. */
	if (named && refresh->model->record.unobserved_weight > 0)
		for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
			(void) model_gramian(refresh->model, side);
	PopActiveSnapshot();
	refresh->named = named;
	SpecOfModel(&refresh->model->record, &refresh->spec);
	CheckModel(refresh->model);
	training_repeat(refresh->model, &source, &options);
	ReadNames(fcinfo, refresh);
	ratings_open(&source, key);
	target = model_target_open(extension_schema,
							   quote_qualified_identifier(refresh->model->schema_name,
														  refresh->model->name), key);
	target->model = refresh->model;

	training_begin("mf_refresh", target->name);
	PG_TRY();
	{
		model_owner_begin(&acting, target);
		DoRefresh(refresh, &source, target, counts);
		owner_end(&acting);
	}
	PG_FINALLY();
	{
		training_end();
	}
	PG_END_TRY();
	model_target_close(target);
	ratings_close(&source);
	model_release(refresh->model);

	MemoryContextSwitchTo(outer);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");	/* as it is declared */
	for (int k = 0; k < 6; k++)
		values[k] = Int64GetDatum(counts[k]);
	result = HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
	MemoryContextDelete(context);
	return result;
}

/* (model) */
Datum
mf_refresh(PG_FUNCTION_ARGS)
{
	return RefreshModel(fcinfo, false);
}

/* (model, users, items) */
Datum
mf_refresh_named(PG_FUNCTION_ARGS)
{
	return RefreshModel(fcinfo, true);
}

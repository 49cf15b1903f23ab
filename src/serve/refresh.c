/*
 * refresh.c: mf_refresh(): some users and items solved anew between trainings.
 *
 * The ratings are read by training's own reader, so that counts and sums are
 * comparable to the bit with those that the model's tables recorded, equal pairs
 * are merged as they were, and what is refreshed is solved from exactly what a
 * training would give it. Then, with the model's options:
 *
 *	 new users	given the items (for a first vector, to count in the next step)
 *	 items		given the users
 *	 users		given the items
 *
 * each only where it is to be refreshed. A pair whose other end the model does
 * not know, and is not asked to, is left out. Gramians are summed anew over all
 * vectors, which costs less than reading them did, and cannot drift.
 *
 * It all happens in this process: what changes between two trainings is little.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "compat.h"
#include "model/scan.h"
#include "serve/ids.h"
#include "train/crew.h"
#include "train/progress.h"
#include "train/train.h"

/* Rows that are solved together. */
#define BATCH_ROWS 256

PG_FUNCTION_INFO_V1(mf_refresh);
PG_FUNCTION_INFO_V1(mf_refresh_named);

/*
 * One side. Its rows are the ids in the ratings, numbered as they are there,
 * and after them those that only the model has.
 */
typedef struct RefreshSide
{
	const IdSet *ids;			/* in the ratings */
	TypeCacheEntry *type;
	AlsSide		vectors;
	uint32		n;				/* rows so far */
	bool	   *known;			/* has a vector */
	bool	   *was_known;		/* had one before */
	bool	   *touched;		/* to be solved, or deleted if without ratings */
	int32	   *recorded;		/* ratings that the table has for it */
	Datum	   *extra;			/* ids of the rows beyond the ratings' */
	double	   *gramian;		/* NULL: not needed */
} RefreshSide;

typedef struct Refresh
{
	Model	   *model;
	AlsSpec		spec;
	RatingSet  *ratings;
	RefreshSide side[2];
	AlsWorkspace *workspace;
	bool		named;			/* solve what is named, not what has changed */
} Refresh;

static void
Poll(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

/* ---- Bringing ratings and tables together ---- */

static int
CompareIds(const RefreshSide *side, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(&side->type->cmp_proc_finfo, side->ids->key.collation,
										   a, b));
}

static uint64
CountRows(const ModelSide *side)
{
	bool		isnull;
	uint64		n;

	SPI_connect();
	if (SPI_execute(psprintf("SELECT pg_catalog.count(*) FROM %s", side->table), false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not count the rows of table %s", side->table);
	n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return n;
}

static void
AllocSide(Refresh *refresh, MfSide which)
{
	RefreshSide *side = &refresh->side[which];
	Size		rows = (Size) refresh->ratings->ids[which].n + CountRows(&refresh->model->side[which]) + 1;
	BigArray	array;

	if (rows >= PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("the model has too many rows")));
	side->ids = &refresh->ratings->ids[which];
	side->type = lookup_type_cache(side->ids->key.type, TYPECACHE_CMP_PROC_FINFO);
	side->n = side->ids->n;
	bigarray_alloc(&array, mul_size(rows, mul_size(als_stride(refresh->spec.factors), sizeof(float))),
				   false, CurrentMemoryContext);
	side->vectors.factors = array.data;
	side->vectors.bias = MemoryContextAllocExtended(CurrentMemoryContext, mul_size(rows, sizeof(float)),
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	side->known = MemoryContextAllocExtended(CurrentMemoryContext, mul_size(rows, 3),
											 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	side->was_known = side->known + rows;
	side->touched = side->was_known + rows;
	side->recorded = MemoryContextAllocExtended(CurrentMemoryContext, mul_size(rows, sizeof(int32)),
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	side->extra = MemoryContextAllocExtended(CurrentMemoryContext, mul_size(rows, sizeof(Datum)),
											 MCXT_ALLOC_HUGE);
	if (refresh->spec.alpha0 > 0)
		side->gramian = palloc0(mul_size(mul_size(refresh->spec.factors, refresh->spec.factors),
										 sizeof(double)));
}

/* Reads the model's rows, which come in the order of the ids. */
static void
LoadSide(Refresh *refresh, MfSide which)
{
	RefreshSide *side = &refresh->side[which];
	const ModelSide *table = &refresh->model->side[which];
	size_t		stride = als_stride(refresh->spec.factors);
	MemoryContext context = CurrentMemoryContext;
	uint32		at = 0;
	SideScan   *scan;
	SideRow		row;

	AllocSide(refresh, which);
	SPI_connect();
	scan = side_scan_begin(refresh->model, which, SIDE_SCAN_LATEST, false, (Datum) 0);
	while (side_scan_next(scan, &row))
	{
		int			order = 1;
		uint32		k;

		while (at < side->ids->n && (order = CompareIds(side, side->ids->ids[at], row.id)) < 0)
			at++;
		k = at;
		if (at == side->ids->n || order != 0)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			k = side->n++;
			side->extra[k - side->ids->n] = datumCopy(row.id, table->key_byval, table->key_length);
			MemoryContextSwitchTo(old);
			side->touched[k] = !refresh->named;
		}
		else
			side->touched[k] = !refresh->named &&
				((uint32) row.ratings != side->ids->ratings[k] ||
				 row.rating_sum != side->ids->rating_sum[k]);
		memcpy(side->vectors.factors + k * stride, row.factors,
			   refresh->spec.factors * sizeof(float));
		side->vectors.bias[k] = row.bias;
		side->known[k] = side->was_known[k] = true;
		side->recorded[k] = row.ratings;
	}
	side_scan_end(scan);
	SPI_finish();

	for (uint32 k = 0; k < side->ids->n && !refresh->named; k++)
		side->touched[k] |= !side->known[k];
}

/* The first of n sorted ids that is not below `id`. */
static uint32
LowerBound(const RefreshSide *side, const Datum *ids, uint32 n, Datum id)
{
	uint32		low = 0;

	while (n > 0)
	{
		uint32		half = n / 2;

		if (CompareIds(side, ids[low + half], id) < 0)
		{
			low += half + 1;
			n -= half + 1;
		}
		else
			n = half;
	}
	return low;
}

/* Marks the ids that an argument names; unknown ones are passed over. */
static void
TouchNamed(FunctionCallInfo fcinfo, int arg, Refresh *refresh, MfSide which)
{
	RefreshSide *side = &refresh->side[which];
	uint32		nextra = side->n - side->ids->n;
	IdConversion conversion = {0};
	ArrayType  *array;
	Oid			from;
	Datum	   *ids;
	bool	   *nulls;
	int			n;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	if (PG_ARGISNULL(arg))
		return;
	array = PG_GETARG_ARRAYTYPE_P(arg);
	from = ARR_ELEMTYPE(array);
	id_prepare_argument(&conversion, from, refresh->model, which, CurrentMemoryContext);
	get_typlenbyvalalign(from, &typlen, &typbyval, &typalign);
	deconstruct_array(array, from, typlen, typbyval, typalign, &ids, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		Datum		id;
		uint32		k;

		CHECK_FOR_INTERRUPTS();
		if (nulls[i] || !id_convert(&conversion, ids[i], &id))
			continue;
		k = LowerBound(side, side->ids->ids, side->ids->n, id);
		if (k < side->ids->n && CompareIds(side, side->ids->ids[k], id) == 0)
			side->touched[k] = true;
		k = LowerBound(side, side->extra, nextra, id);
		if (k < nextra && CompareIds(side, side->extra[k], id) == 0)
			side->touched[side->ids->n + k] = true;
	}
}

/* What has no ratings any more goes, before anything is solved. */
static uint32
Forget(Refresh *refresh, MfSide which)
{
	RefreshSide *side = &refresh->side[which];
	size_t		stride = als_stride(refresh->spec.factors);
	uint32		gone = 0;

	for (uint32 k = side->ids->n; k < side->n; k++)
	{
		if (!side->touched[k])
			continue;
		memset(side->vectors.factors + k * stride, 0, stride * sizeof(float));
		side->known[k] = false;
		gone++;
	}
	return gone;
}

/* ---- Solving ---- */

static uint32
CountKnown(const RefreshSide *side)
{
	uint32		n = 0;

	for (uint32 k = 0; k < side->n; k++)
		n += side->known[k];
	return n;
}

static void
SumGramian(Refresh *refresh, MfSide which)
{
	RefreshSide *side = &refresh->side[which];
	Size		square = (Size) refresh->spec.factors * refresh->spec.factors;

	if (side->gramian == NULL)
		return;
	memset(side->gramian, 0, square * sizeof(double));
	side->vectors.n = side->n;
	als_gramian(refresh->workspace, &side->vectors, 0, side->n, side->gramian, Poll, NULL);
}

/* Rows that wait to be solved together, and their pairs. */
typedef struct Batch
{
	uint32		n;
	uint32		row[BATCH_ROWS];
	uint64		offset[BATCH_ROWS + 1];
	Rating	   *entries;
	uint64		capacity;
	AlsSide		solved;
} Batch;

static void
AddRow(Batch *batch, uint32 row, const Rating *entries, uint64 n, const bool *known)
{
	uint64		used = batch->offset[batch->n];

	if (used + n > batch->capacity)
	{
		batch->capacity = Max(2 * batch->capacity, used + n);
		batch->entries = repalloc_huge(batch->entries, mul_size(batch->capacity, sizeof(Rating)));
	}
	for (uint64 k = 0; k < n; k++)
		if (known[entries[k].index])
			batch->entries[used++] = entries[k];
	batch->row[batch->n++] = row;
	batch->offset[batch->n] = used;
}

static void
SolveBatch(Refresh *refresh, MfSide which, uint32 nother, Batch *batch)
{
	RefreshSide *side = &refresh->side[which];
	RefreshSide *other = &refresh->side[MF_OTHER_SIDE(which)];
	size_t		stride = als_stride(refresh->spec.factors);
	AlsBlock	block = {0, batch->n, batch->offset, batch->entries};

	if (batch->n == 0)
		return;
	other->vectors.n = nother;
	if (als_solve_block(refresh->workspace, &batch->solved, &other->vectors, other->gramian,
						&block, NULL, Poll, NULL) != NUMERICS_OK)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the vectors of some %s could not be solved for",
						which == MF_USERS ? "users" : "items"),
				 errhint("Train the model again, with a larger regularization.")));
	for (uint32 k = 0; k < batch->n; k++)
	{
		memcpy(side->vectors.factors + batch->row[k] * stride,
			   batch->solved.factors + k * stride, stride * sizeof(float));
		side->vectors.bias[batch->row[k]] = batch->solved.bias[k];
		side->known[batch->row[k]] = true;
	}
	batch->n = 0;
}

/* Solves the rows that are touched, or of them only those without a vector. */
static void
SolveSide(Refresh *refresh, MfSide which, bool only_new)
{
	RefreshSide *side = &refresh->side[which];
	const RefreshSide *other = &refresh->side[MF_OTHER_SIDE(which)];
	RatingMatrix *matrix = &refresh->ratings->by[which];
	size_t		stride = als_stride(refresh->spec.factors);
	uint32		nother = CountKnown(other);
	Batch	   *batch = palloc0(sizeof(Batch));
	BigArray	array;

	progress_report("solving %s", which == MF_USERS ? "users" : "items");
	bigarray_alloc(&array, mul_size(BATCH_ROWS, stride * sizeof(float)), false, CurrentMemoryContext);
	batch->solved.factors = array.data;
	batch->solved.bias = palloc0(BATCH_ROWS * sizeof(float));
	batch->solved.n = BATCH_ROWS;
	batch->capacity = 1024;
	batch->entries = palloc(batch->capacity * sizeof(Rating));

	for (uint32 b = 0; b < matrix->nblocks; b++)
	{
		AlsBlock	block;

		CHECK_FOR_INTERRUPTS();
		rating_matrix_block(matrix, b, &block);
		for (size_t k = 0; k < block.nrows; k++)
		{
			uint32		row = block.first + k;

			if (!side->touched[row] || (only_new && side->known[row]))
				continue;
			AddRow(batch, row, block.entries + (block.offset[k] - block.offset[0]),
				   block.offset[k + 1] - block.offset[k], other->known);
			if (batch->n == BATCH_ROWS)
				SolveBatch(refresh, which, nother, batch);
		}
	}
	SolveBatch(refresh, which, nother, batch);
	pfree(batch->entries);
	pfree(batch->solved.bias);
	bigarray_free(&array);
	pfree(batch);
}

static void
Solve(Refresh *refresh)
{
	char	   *memory = MemoryContextAllocHuge(CurrentMemoryContext,
												add_size(als_workspace_size(&refresh->spec), 64));

	crew_load_blas();
	refresh->workspace = als_workspace_init((void *) TYPEALIGN(64, memory), &refresh->spec);
	SumGramian(refresh, MF_ITEMS);
	SolveSide(refresh, MF_USERS, true);
	SumGramian(refresh, MF_USERS);
	SolveSide(refresh, MF_ITEMS, false);
	SumGramian(refresh, MF_ITEMS);
	SolveSide(refresh, MF_USERS, false);
	SumGramian(refresh, MF_USERS);
}

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
WriteRecord(Refresh *refresh, ModelTarget *target)
{
	ModelRecord record = refresh->model->record;
	const RefreshSide *users = &refresh->side[MF_USERS];

	training_read_options(refresh->model, &record);
	record.users = CountKnown(&refresh->side[MF_USERS]);
	record.items = CountKnown(&refresh->side[MF_ITEMS]);
	record.ratings = 0;
	for (uint32 u = 0; u < users->n; u++)
		if (users->known[u])
			record.ratings += users->touched[u] ? users->ids->ratings[u] : (uint32) users->recorded[u];
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
	spec->alpha0 = record->unobserved_weight;
	spec->regularization = record->regularization;
	spec->reg_exponent = record->reg_exponent;
	spec->bias_regularization = record->bias_regularization;
}

static void
DoRefresh(FunctionCallInfo fcinfo, Refresh *refresh, const RatingSource *source,
		  ModelTarget *target, int64 counts[6])
{
	uint32		added;

	refresh->ratings = ratings_read(source, false, NULL);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		LoadSide(refresh, side);
		if (refresh->named)
			TouchNamed(fcinfo, side == MF_USERS ? 1 : 2, refresh, side);
		counts[4 + side] = Forget(refresh, side);
	}
	Solve(refresh);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		counts[side] = WriteSide(refresh, target, side, &added);
		counts[2 + side] = added;
	}
	WriteRecord(refresh, target);
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
	TupleDesc	desc;
	int64		counts[6];
	Datum		values[6];
	bool		nulls[6] = {false};
	Datum		result;

	PreventCommandDuringRecovery("mf_refresh()");
	PreventCommandIfReadOnly("mf_refresh()");
	training_refuse_nested("mf_refresh()");

	PushActiveSnapshot(GetLatestSnapshot());
	refresh->model = model_open(extension_schema,
								PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PopActiveSnapshot();
	refresh->named = named && !(PG_ARGISNULL(1) && PG_ARGISNULL(2));
	SpecOfModel(&refresh->model->record, &refresh->spec);
	training_repeat(refresh->model, &source, &options);
	ratings_check(&source, key);
	target = model_target_open(extension_schema,
							   quote_qualified_identifier(refresh->model->schema_name,
														  refresh->model->name), key);

	training_begin("mf_refresh", target->name);
	PG_TRY();
	{
		DoRefresh(fcinfo, refresh, &source, target, counts);
	}
	PG_FINALLY();
	{
		training_end();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(outer);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
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

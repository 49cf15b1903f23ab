/*
 * topk_all.c: mf_topk_all(): the best items of every user, for a nightly table.
 *
 *	 items		read whole, put in the order of decreasing norms, in an array that
 *				workers can attach
 *	 users		their ids are read whole, to number the ratings' users by
 *	 ratings	read once, by workers where they can, into temporary files by
 *				chunks of users (pairs.c)
 *	 chunks		as many users as maintenance_work_mem has room for: their
 *				vectors are read, they are ranked for in parallel
 *				(everyone.c, numerics/topall.c), their rows go to the result
 *
 * Items and scores are those that mf_topk() gives. With biases it ranks by the
 * product of (1, p_u) and (b_i, q_i), so these are the vectors here; the score
 * is computed anew for the k rows that are returned.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/scan.h"
#include "serve/call.h"
#include "serve/everyone.h"
#include "serve/idlist.h"
#include "serve/pairs.h"
#include "serve/predict.h"
#include "serve/seen.h"
#include "train/progress.h"
#include "train/team.h"

#define MIN_CHUNK_USERS (4 * TOPALL_TILE)
#define MAX_CHUNKS 1000			/* each has a temporary file */
#define ROWS_PER_INTERRUPT_CHECK 1024

PG_FUNCTION_INFO_V1(mf_topk_all);
PG_FUNCTION_INFO_V1(mf_topk_all_of);
PG_FUNCTION_INFO_V1(mf_topk_all_witness);

typedef struct Everyone
{
	Model	   *model;
	int			k;
	bool		exclude_seen;
	const IdArray *only;		/* of the users; NULL: all */
	IdConversion user_out;
	IdConversion item_out;
	Oid			item_type;
	MemoryContext context;
	int			augmented;		/* 1: the vectors start with the bias */
	EveryoneShape shape;

	uint32		nitems;
	Datum	   *item_ids;		/* by place, the order of the ids */
	uint32	   *item_row;		/* of a place: its row in `items` */
	BigArray	item_array;
	EveryoneItems items;

	uint32		nusers;
	Datum	   *user_ids;
	uint32		chunk_users;
	SeenPairs  *pairs;			/* NULL: nothing is left out */
	int			workers;
	TeamNotes	reading;
	TeamNotes	ranking;

	Tuplestorestate *store;
	TupleDesc	desc;
} Everyone;

/* ---- Arrays that grow ---- */

static void *
Grow(void *array, uint32 n, uint64 *capacity, Size size)
{
	if (n < *capacity)
		return array;
	if (n >= PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the model has too many rows")));
	*capacity *= 2;
	return repalloc_huge(array, mul_size(*capacity, size));
}

static Datum
CopyId(const ModelSide *side, Datum id)
{
	return datumCopy(id, side->key_byval, side->key_length);
}

/* ---- Items ---- */

/* An item as it is read: its vector follows in an array of its own. */
typedef struct LoadedItem
{
	uint32		place;
	bool		regular;
	double		norm;
} LoadedItem;

static int
CompareLoaded(const void *a, const void *b)
{
	const LoadedItem *left = a;
	const LoadedItem *right = b;

	if (left->regular != right->regular)
		return left->regular ? -1 : 1;
	if (left->regular && left->norm != right->norm)
		return left->norm > right->norm ? -1 : 1;
	return left->place < right->place ? -1 : 1;
}

/* Puts the items, which are in the order of their ids, into the shared array. */
static void
ArrangeItems(Everyone *all, LoadedItem *loaded, const float *vectors)
{
	Size		length = all->shape.length;
	Size		stride = topall_stride(length);
	TopAllRows	rows;

	qsort(loaded, all->nitems, sizeof(LoadedItem), CompareLoaded);
	all->shape.nitems = all->nitems;
	bigarray_alloc(&all->item_array, everyone_items_layout(&all->items, &all->shape, NULL),
				   all->workers > 0, all->context);
	everyone_items_layout(&all->items, &all->shape, all->item_array.data);
	all->item_row = MemoryContextAllocHuge(all->context, mul_size(all->nitems + 1, sizeof(uint32)));

	for (uint32 row = 0; row < all->nitems; row++)
	{
		uint32		place = loaded[row].place;

		if (row % ROWS_PER_INTERRUPT_CHECK == 0)
			CHECK_FOR_INTERRUPTS();
		memcpy(all->items.vectors + row * stride, vectors + place * length, length * sizeof(float));
		all->items.place[row] = place;
		all->item_row[place] = row;
	}

	everyone_rows(&all->items, &all->shape, &rows);
	for (Size block = 0; block < topall_blocks(rows.regular); block++)
	{
		CHECK_FOR_INTERRUPTS();
		topall_code(&rows, block);
	}
}

static void
ReadItems(Everyone *all)
{
	const ModelSide *side = &all->model->side[MF_ITEMS];
	Size		length = all->shape.length;
	uint64		id_capacity = 1024;
	uint64		vector_capacity = 1024;
	uint64		loaded_capacity = 1024;
	LoadedItem *loaded = palloc(loaded_capacity * sizeof(LoadedItem));
	float	   *vectors = MemoryContextAllocHuge(CurrentMemoryContext,
												 mul_size(vector_capacity, length * sizeof(float)));
	SideScan   *scan;
	SideRow		row;

	progress_report("reading items");
	all->item_ids = palloc(id_capacity * sizeof(Datum));
	scan = side_scan_begin(all->model, MF_ITEMS, SIDE_SCAN_VECTORS, NULL);
	while (side_scan_next(scan, &row))
	{
		uint32		n = all->nitems;
		float	   *vector;

		all->item_ids = Grow(all->item_ids, n, &id_capacity, sizeof(Datum));
		loaded = Grow(loaded, n, &loaded_capacity, sizeof(LoadedItem));
		vectors = Grow(vectors, n, &vector_capacity, length * sizeof(float));
		all->item_ids[n] = CopyId(side, row.id);
		vector = vectors + n * length;
		if (all->augmented)
			vector[0] = row.bias;
		memcpy(vector + all->augmented, row.factors, (length - all->augmented) * sizeof(float));
		loaded[n].place = n;
		loaded[n].regular = topall_norm(vector, length, &loaded[n].norm);
		all->shape.regular += loaded[n].regular;
		all->nitems++;
	}
	side_scan_end(scan);
	ArrangeItems(all, loaded, vectors);
	pfree(loaded);
	pfree(vectors);
}

/* ---- Users ---- */

static void
ReadUserIds(Everyone *all)
{
	const ModelSide *side = &all->model->side[MF_USERS];
	uint64		capacity = 1024;
	SideScan   *scan;
	SideRow		row;

	progress_report("reading users");
	all->user_ids = palloc(capacity * sizeof(Datum));
	scan = side_scan_begin(all->model, MF_USERS, SIDE_SCAN_IDS, all->only);
	while (side_scan_next(scan, &row))
	{
		all->user_ids = Grow(all->user_ids, all->nusers, &capacity, sizeof(Datum));
		all->user_ids[all->nusers++] = CopyId(side, row.id);
	}
	side_scan_end(scan);
}

/* How many users' vectors, seen items and results maintenance_work_mem holds. */
static uint32
ChunkUsers(const Everyone *all)
{
	const ModelRecord *record = &all->model->record;
	double		bytes = topall_stride(all->shape.length) * sizeof(float) +
		(double) all->shape.k * sizeof(TopEntry) + 2 * sizeof(uint64);
	double		users;

	if (all->exclude_seen && record->users > 0)
		bytes += sizeof(uint32) * ((double) record->ratings / record->users);
	users = maintenance_work_mem * 1024.0 / bytes;
	users = Max(users, MIN_CHUNK_USERS);
	users = Max(users, (double) all->nusers / MAX_CHUNKS + 1);
	return (uint32) Min(users, Max(all->nusers, 1));
}

static void
ReadSeen(Everyone *all, SeenRequest *source)
{
	SeenPairsSpec spec = {
		.model = all->model,
		.source = source,
		.users = all->user_ids,
		.nusers = all->nusers,
		.only_some = all->only != NULL,
		.items = all->item_ids,
		.nitems = all->nitems,
		.item_row = all->item_row,
		.chunk_users = all->chunk_users,
		.workers = all->workers,
		.reading = &all->reading,
	};

	all->pairs = seen_pairs_read(&spec);
}

/* ---- Chunks ---- */

/*
 * Fills in the vectors of the next users, from `first` on. They are those whose ids
 * were read before in the same snapshot, unless a policy changes its mind.
 */
static void
ReadVectors(Everyone *all, SideScan *scan, uint64 first, const EveryoneUsers *users, float *bias)
{
	const ModelSide *side = &all->model->side[MF_USERS];
	Size		stride = topall_stride(all->shape.length);

	for (uint64 u = 0; u < all->shape.nusers; u++)
	{
		float	   *vector = users->vectors + u * stride;
		SideRow		row;

		if (!side_scan_next(scan, &row) ||
			!datum_image_eq(row.id, all->user_ids[first + u], side->key_byval, side->key_length))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table %s gave other rows when it was read again", side->table),
					 errdetail("It is read twice; a policy of its row security that is volatile may let other rows pass.")));
		if (all->augmented)
			vector[0] = 1;
		memcpy(vector + all->augmented, row.factors,
			   (all->shape.length - all->augmented) * sizeof(float));
		bias[u] = row.bias;
	}
}

static void
PutRow(Everyone *all, Datum user, Datum item, double score, int rank)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = user;
	if (!id_convert(&all->item_out, item, &values[1]))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("an id is out of range for type %s", format_type_be(all->item_type)),
				 errhint("Give item_type a wider type.")));
	values[2] = Float8GetDatum(score);
	values[3] = Int32GetDatum(rank);
	tuplestore_putvalues(all->store, all->desc, values, nulls);
}

static void
PutUser(Everyone *all, const EveryoneUsers *users, uint64 u, Datum id, float bias)
{
	const ModelRecord *record = &all->model->record;
	Size		stride = topall_stride(all->shape.length);
	const float *vector = users->vectors + u * stride + all->augmented;
	Datum		user;

	if (!id_convert(&all->user_out, id, &user))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a user's id is out of range"),
				 errhint("Give users an array of a wider type.")));
	for (uint64 r = 0; r < users->found[u]; r++)
	{
		uint64		place = users->best[u * all->shape.k + r].index;
		const float *item = all->items.vectors + all->item_row[place] * stride;
		double		score = predict_score(record, bias, all->augmented ? item[0] : 0,
										  vector, item + all->augmented);

		PutRow(all, user, all->item_ids[place], predict_in_range(record, score), (int) r + 1);
	}
}

static void
RankChunk(Everyone *all, SideScan *scan, uint32 chunk)
{
	uint32		first = chunk * all->chunk_users;
	EveryonePlace place = {first, all->nusers};
	EveryoneUsers users;
	BigArray	array;
	float	   *bias;
	MemoryContext row_context;
	MemoryContext old;

	all->shape.nusers = Min(all->chunk_users, all->nusers - first);
	all->shape.nseen = all->pairs ? seen_pairs_count(all->pairs, chunk) : 0;
	bigarray_alloc(&array, everyone_users_layout(&users, &all->shape, NULL),
				   all->workers > 0 && all->item_array.segment != NULL, CurrentMemoryContext);
	everyone_users_layout(&users, &all->shape, array.data);
	bias = MemoryContextAllocHuge(CurrentMemoryContext,
								  mul_size(all->shape.nusers, sizeof(float)));
	ReadVectors(all, scan, first, &users, bias);
	if (all->pairs)
		seen_pairs_get(all->pairs, chunk, all->shape.nusers, users.offset, users.seen);

	everyone_rank(&all->shape, &all->item_array, &array, all->workers, &place, &all->ranking);

	row_context = AllocSetContextCreate(CurrentMemoryContext, "factor result rows",
										ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(row_context);
	for (uint64 u = 0; u < all->shape.nusers; u++)
	{
		CHECK_FOR_INTERRUPTS();
		PutUser(all, &users, u, all->user_ids[first + u], bias[u]);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_context);
	pfree(bias);
	bigarray_free(&array);
}

/* In the context that holds everything. */
static void
RankEveryone(Everyone *all)
{
	bool		noticed = false;
	SeenRequest request = {.noticed = &noticed};

	ReadItems(all);
	ReadUserIds(all);

	/* No user has more items than there are. */
	all->shape.k = Min(all->k, all->nitems);
	if (all->nusers == 0 || all->shape.k == 0)
		return;
	all->exclude_seen = all->exclude_seen && seen_open(all->model, &request);
	all->chunk_users = ChunkUsers(all);
	if (all->exclude_seen)
		ReadSeen(all, &request);
	held_close(&request.source);

	{
		SideScan   *scan = side_scan_begin(all->model, MF_USERS, SIDE_SCAN_VECTORS, all->only);

		for (uint32 chunk = 0; (uint64) chunk * all->chunk_users < all->nusers; chunk++)
			RankChunk(all, scan, chunk);
		side_scan_end(scan);
	}
	if (all->pairs)
		seen_pairs_free(all->pairs);
}

/* ---- The function ---- */

/* The users that are named; unknown ids drop out. */
static const IdArray *
NamedUsers(FunctionCallInfo fcinfo, int arg, const Model *model)
{
	IdConversion conversion = {0};
	IdList		list;
	IdArray    *named = palloc(sizeof(IdArray));

	idlist_init(&list, model, MF_USERS);
	idlist_add_array(&list, PG_GETARG_ARRAYTYPE_P(arg), &conversion, model, MF_USERS,
					 CurrentMemoryContext);
	idlist_sort(&list);
	if (list.n > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many ids are named")));
	named->n = (uint32) list.n;
	named->ids = list.ids;
	return named;
}

static void
BeginResult(FunctionCallInfo fcinfo, Everyone *all)
{
	ServeRows	rows;

	serve_rows_begin(fcinfo, &rows, "item_type");
	all->store = rows.store;
	all->desc = rows.desc;
	all->item_type = TupleDescAttr(rows.desc, 1)->atttypid;
}

/* The types that a caller of the form for bigint has to name. */
static void
CheckNamed(const Everyone *all, bool named)
{
	Oid			user = getBaseType(all->model->side[MF_USERS].key.type);
	Oid			item = getBaseType(all->model->side[MF_ITEMS].key.type);

	if (named || ((user == INT2OID || user == INT4OID || user == INT8OID) &&
				  (item == INT2OID || item == INT4OID || item == INT8OID)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("model \"%s\" has ids of types %s and %s, not bigint",
					quote_qualified_identifier(all->model->schema_name, all->model->name),
					format_type_be(user), format_type_be(item)),
			 user == item ?
			 errhint("Say so by users => NULL::%s[], which stands for all users.",
					 format_type_be(user)) :
			 errhint("Say so by users => NULL::%s[], item_type => NULL::%s, where the null array stands for all users.",
					 format_type_be(user), format_type_be(item))));
}

static bool
BoolArgument(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return PG_GETARG_BOOL(arg);
}

/* The arguments k, model and exclude_seen follow each other from `arg` on. */
static Datum
TopkAll(FunctionCallInfo fcinfo, int users_arg, int arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "mf_topk_all",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(context);
	ServeCall  *call = serve_call(fcinfo);
	Everyone   *all = palloc0(sizeof(Everyone));

	all->context = context;
	all->k = serve_k(fcinfo, arg);
	all->exclude_seen = BoolArgument(fcinfo, arg + 2, "exclude_seen");
	BeginResult(fcinfo, all);
	all->model = serve_model(call, fcinfo, arg + 1);
	CheckNamed(all, users_arg >= 0);
	id_prepare_result(&all->user_out, TupleDescAttr(all->desc, 0)->atttypid, all->model,
					  MF_USERS, "users => NULL::%s[]", context);
	id_prepare_result(&all->item_out, all->item_type, all->model, MF_ITEMS,
					  "item_type => NULL::%s", context);
	if (users_arg >= 0 && !PG_ARGISNULL(users_arg))
		all->only = NamedUsers(fcinfo, users_arg, all->model);
	all->augmented = all->model->record.biased ? 1 : 0;
	all->shape.length = all->model->record.factors + all->augmented;
	all->workers = team_workers_allowed();
	all->reading.doing = "reading ratings";
	all->ranking.doing = "ranking";

	progress_begin("mf_topk_all", quote_identifier(all->model->name));
	PG_TRY();
	{
		RankEveryone(all);
	}
	PG_FINALLY();
	{
		progress_end();
	}
	PG_END_TRY();

	bigarray_free(&all->item_array);
	serve_end(call);
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
	return (Datum) 0;
}

/* (k, model, exclude_seen) */
Datum
mf_topk_all(PG_FUNCTION_ARGS)
{
	return TopkAll(fcinfo, -1, 0);
}

/* (users, k, model, exclude_seen) */
Datum
mf_topk_all_of(PG_FUNCTION_ARGS)
{
	return TopkAll(fcinfo, 0, 1);
}

/* (users, item_type, k, model, exclude_seen) */
Datum
mf_topk_all_witness(PG_FUNCTION_ARGS)
{
	serve_check_witness(fcinfo, 1, "item_type");
	return TopkAll(fcinfo, 0, 2);
}

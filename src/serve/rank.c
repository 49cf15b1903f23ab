/*
 * rank.c: the best rows of a side for a vector.
 *
 * The executor does the ranking, so that privileges, row security and indexes
 * are its business. The statement is the one that a user would write:
 *
 *	 SELECT id, bias, factors FROM films_items
 *	 ORDER BY (bias || factors) <#> $1, id LIMIT n
 *
 * With biases a prediction is, but for a constant, the inner product of the
 * item's (bias, factors) and (1, the user's factors), so an index of the
 * access method topk on that expression answers it; equal distances are put in
 * the order of the ids by an incremental sort, which reads on until the
 * distance changes. Without an index it is a scan and a bounded sort. Which of
 * them is the planner's choice.
 *
 * Rows that the caller wants left out are dropped here, which is cheaper than a
 * subquery for the few that come up, and the scan is stopped at the k-th row
 * that stays. The limit leaves room for them. It is part of the statement,
 * since the planner has to know it, and rounded up to a power of two, so that
 * few statements serve all lengths.
 *
 * Rejected: a heap of our own over a plain scan (twice as fast without an
 * index, but a second way of ranking beside the index's).
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/plans.h"
#include "serve/predict.h"
#include "serve/rank.h"

#define FIRST_CAPACITY 64

typedef struct RankReceiver
{
	DestReceiver pub;
	const RankRequest *request;
	const ModelSide *side;
	TypeCacheEntry *id_type;
	MemoryContext context;		/* of the result */
	MemoryContext row_context;	/* of one row's detoasted values */
	Ranked	   *ranked;
	int			n;
	int			capacity;
} RankReceiver;

TypeCacheEntry *
rank_id_type(const ModelKey *key)
{
	TypeCacheEntry *type = lookup_type_cache(key->type, TYPECACHE_CMP_PROC_FINFO);

	if (!OidIsValid(type->cmp_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify a comparison function for type %s",
						format_type_be(key->type))));
	return type;
}

int
rank_compare_ids(const TypeCacheEntry *type, Oid collation, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(unconstify(FmgrInfo *, &type->cmp_proc_finfo),
										   collation, a, b));
}

/* ---- Receiving rows, best first ---- */

static double
Score(const RankReceiver *receiver, float bias, Datum factors)
{
	const RankRequest *request = receiver->request;
	const ModelEntity *query = request->query;
	const float *other = model_factors(request->model, receiver->side, factors);

	if (request->by == RANK_BY_PREDICTION)
		return predict_score(&request->model->record, query->bias, bias,
							 query->factors, other);
	return 1.0 - vector_cosine_distance(query->factors, other, query->nfactors);
}

static void
Keep(RankReceiver *receiver, double score, Datum id)
{
	MemoryContext old = MemoryContextSwitchTo(receiver->context);
	Ranked	   *ranked;

	if (receiver->n == receiver->capacity)
	{
		receiver->capacity = Min((int64) receiver->capacity * 2, receiver->request->k);
		receiver->ranked = repalloc_huge(receiver->ranked,
										 mul_size(receiver->capacity, sizeof(Ranked)));
	}
	ranked = &receiver->ranked[receiver->n++];
	ranked->score = score;
	ranked->id = datumCopy(id, receiver->id_type->typbyval, receiver->id_type->typlen);
	MemoryContextSwitchTo(old);
}

/* Returns whether more rows are wanted. */
static bool
ReceiveRow(TupleTableSlot *slot, DestReceiver *self)
{
	RankReceiver *receiver = (RankReceiver *) self;
	const RankRequest *request = receiver->request;
	MemoryContext old;
	double		score;

	slot_getallattrs(slot);
	if (slot->tts_isnull[0] || slot->tts_isnull[1] || slot->tts_isnull[2])
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a row of table %s has a null bias or null factors",
						receiver->side->table)));

	MemoryContextReset(receiver->row_context);
	old = MemoryContextSwitchTo(receiver->row_context);
	score = Score(receiver, DatumGetFloat4(slot->tts_values[1]), slot->tts_values[2]);
	MemoryContextSwitchTo(old);

	/* NaN comes last: nothing better follows. */
	if (isnan(score))
		return false;
	if (request->skip == NULL || !request->skip(request->skip_arg, slot->tts_values[0]))
		Keep(receiver, score, slot->tts_values[0]);
	return receiver->n < request->k;
}

static void
Startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
Nothing(DestReceiver *self)
{
}

/* ---- The statement ---- */

static bool
RanksWithBias(const RankRequest *request)
{
	return request->by == RANK_BY_PREDICTION && request->model->record.biased;
}

static char *
Statement(const RankRequest *request, const ModelSide *side)
{
	const char *key = quote_identifier(side->key.column);
	const char *vector = RanksWithBias(request) ?
		"(bias OPERATOR(pg_catalog.||) factors)" : "factors";
	int64		limit = 16;

	while (limit < (int64) request->k + request->nskip)
		limit *= 2;
	return psprintf("SELECT %s, bias, factors FROM %s ORDER BY %s OPERATOR(%s.%s) $1, %s LIMIT " INT64_FORMAT,
					key, side->table, vector,
					quote_identifier(get_namespace_name(request->model->extension_schema)),
					request->by == RANK_BY_PREDICTION ? "<#>" : "<=>", key, limit);
}

/* The vector that the rows' vectors are compared with. */
static Datum
QueryVector(const RankRequest *request)
{
	const ModelEntity *query = request->query;
	int			extra = RanksWithBias(request) ? 1 : 0;
	int			n = query->nfactors + extra;
	Size		size = ARR_OVERHEAD_NONULLS(1) + (Size) n * sizeof(float4);
	ArrayType  *array = palloc0(size);
	float	   *elements;

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	elements = (float *) ARR_DATA_PTR(array);
	if (extra)
		elements[0] = 1;
	memcpy(elements + extra, query->factors, (Size) query->nfactors * sizeof(float));
	return PointerGetDatum(array);
}

static void
RunStatement(RankReceiver *receiver)
{
	const RankRequest *request = receiver->request;
	Oid			type = FLOAT4ARRAYOID;
	ParamListInfo params = makeParamList(1);
	SPIExecuteOptions options;
	int			status;

	SPI_connect();
	params->params[0].value = QueryVector(request);
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = type;
	memset(&options, 0, sizeof(options));
	options.params = params;
	options.read_only = true;
	options.dest = &receiver->pub;
	status = SPI_execute_plan_extended(plan_get(Statement(request, receiver->side), 1, &type),
									   &options);
	if (status != SPI_OK_SELECT)
		elog(ERROR, "could not rank table %s: %s", receiver->side->table,
			 SPI_result_code_string(status));
	SPI_finish();
}

int
rank_side(const RankRequest *request, Ranked **ranked)
{
	RankReceiver receiver;

	*ranked = NULL;
	if (request->k == 0)
		return 0;

	memset(&receiver, 0, sizeof(receiver));
	receiver.pub.receiveSlot = ReceiveRow;
	receiver.pub.rStartup = Startup;
	receiver.pub.rShutdown = Nothing;
	receiver.pub.rDestroy = Nothing;
	receiver.pub.mydest = DestTuplestore;
	receiver.request = request;
	receiver.side = &request->model->side[request->side];
	receiver.id_type = rank_id_type(&receiver.side->key);
	receiver.context = CurrentMemoryContext;
	receiver.row_context = AllocSetContextCreate(CurrentMemoryContext, "factor rank row",
												 ALLOCSET_SMALL_SIZES);
	receiver.capacity = Min(request->k, FIRST_CAPACITY);
	receiver.ranked = palloc(receiver.capacity * sizeof(Ranked));

	RunStatement(&receiver);
	MemoryContextDelete(receiver.row_context);
	*ranked = receiver.ranked;
	return receiver.n;
}

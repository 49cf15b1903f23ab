/*
 * rank.c: the best rows of a side for a vector.
 *
 * The executor does the ranking, so that privileges, row security and indexes
 * are its business. The statement is the one that a user would write:
 *
 *	 SELECT id, bias, factors FROM films_items
 *	 ORDER BY (bias || factors) <#> $1 LIMIT n
 *
 * With biases a prediction is, but for a constant, the inner product of the
 * item's (bias, factors) and (1, the user's factors), so an index of the
 * access method topk on that expression answers it. Without an index it is a
 * scan and a bounded sort. Which of them is the planner's choice.
 *
 * Ties. Rows of equal scores are to come in the order of their ids, and the
 * score is not the operator's number to the last bit, so rows are taken until
 * one is worse than the k-th by more than rounding; then they are sorted by
 * score and id, and cut. To say ORDER BY ..., id instead would keep servers
 * before 16 from using the index at all: they know no incremental sort of what
 * an index orders by an operator.
 *
 * Rows that the caller wants left out are dropped here, which is cheaper than a
 * subquery for the few that come up, and the scan is stopped when enough have
 * stayed. The limit leaves room for them. It is part of the statement, since
 * the planner has to know it, and rounded up to a power of two, so that few
 * statements serve all lengths. Should it cut rows off that are still wanted,
 * many ties or rows that were left out, a longer one is tried.
 *
 * A few candidates are fetched by the primary key and sorted here instead: the
 * index would have to be read until they all had come up.
 *
 * Rejected: a heap of our own over a plain scan (twice as fast without an
 * index, but a second way of ranking beside the index's).
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/query.h"
#include "serve/idlist.h"
#include "serve/predict.h"
#include "serve/rank.h"

#define FIRST_CAPACITY 64
#define FIRST_LIMIT 16
#define LIMIT_GROWTH 8

typedef struct RankReceiver
{
	const RankRequest *request;
	const ModelSide *side;
	TypeCacheEntry *id_type;
	MemoryContext context;		/* of the result */
	MemoryContext row_context;	/* of one row's detoasted values */
	Ranked	   *ranked;			/* best first but for rounding */
	int64		n;
	int64		capacity;
	int64		received;		/* rows, whether kept or not */
	bool		complete;		/* nothing that follows is wanted */
} RankReceiver;

/* Scores nearer than this, relatively, may be in either order. */
#define ROUNDING 1e-9

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
Score(const RankRequest *request, float bias, const float *other)
{
	const ModelEntity *query = request->query;

	if (request->by == RANK_BY_PREDICTION)
		return predict_score(&request->model->record, query->bias, bias,
							 query->factors, other);
	return 1.0 - vector_cosine_distance(query->factors, other, query->nfactors);
}

static void
Keep(RankReceiver *receiver, double score, Datum id, const float *factors)
{
	Size		size = (Size) receiver->request->model->record.factors * sizeof(float);
	MemoryContext old = MemoryContextSwitchTo(receiver->context);
	Ranked	   *ranked;

	if (receiver->n == receiver->capacity)
	{
		receiver->capacity *= 2;
		receiver->ranked = repalloc_huge(receiver->ranked,
										 mul_size(receiver->capacity, sizeof(Ranked)));
	}
	ranked = &receiver->ranked[receiver->n++];
	ranked->score = score;
	ranked->id = datumCopy(id, receiver->id_type->typbyval, receiver->id_type->typlen);
	ranked->factors = NULL;
	if (receiver->request->keep_factors)
		ranked->factors = memcpy(palloc(size), factors, size);
	MemoryContextSwitchTo(old);
}

/* Is a row of this score, and so all that follow, behind the k-th? */
static bool
IsBehind(const RankReceiver *receiver, double score)
{
	double		last;

	if (receiver->n < receiver->request->k)
		return false;
	last = receiver->ranked[receiver->request->k - 1].score;
	return score < last - ROUNDING * (1.0 + fabs(last));
}

/* Returns whether more rows are wanted. */
static bool
ReceiveRow(TupleTableSlot *slot, void *arg)
{
	RankReceiver *receiver = arg;
	const RankRequest *request = receiver->request;
	MemoryContext old;
	const float *factors;
	double		score;

	if (slot->tts_isnull[0] || slot->tts_isnull[1] || slot->tts_isnull[2])
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a row of table %s has a null bias or null factors",
						receiver->side->table)));

	receiver->received++;
	MemoryContextReset(receiver->row_context);
	old = MemoryContextSwitchTo(receiver->row_context);
	factors = model_factors(request->model, receiver->side, slot->tts_values[2]);
	score = Score(request, DatumGetFloat4(slot->tts_values[1]), factors);
	MemoryContextSwitchTo(old);

	/* NaN comes last: nothing better follows. */
	if (isnan(score) || IsBehind(receiver, score))
	{
		receiver->complete = true;
		return false;
	}
	if (request->skip == NULL || !request->skip(request->skip_arg, slot->tts_values[0]))
		Keep(receiver, score, slot->tts_values[0], factors);
	return true;
}

/* ---- The statement ---- */

static bool
RanksWithBias(const RankRequest *request)
{
	return request->by == RANK_BY_PREDICTION && request->model->record.biased;
}

static char *
Statement(const RankRequest *request, const ModelSide *side, int64 limit)
{
	const char *key = quote_identifier(side->key.column);
	const char *vector = RanksWithBias(request) ?
		"(bias OPERATOR(pg_catalog.||) factors)" : "factors";

	return psprintf("SELECT %s, bias, factors FROM ONLY %s ORDER BY %s OPERATOR(%s.%s) $1 LIMIT " INT64_FORMAT,
					key, side->table, vector,
					quote_identifier(get_namespace_name(request->model->extension_schema)),
					request->by == RANK_BY_PREDICTION ? "<#>" : "<=>", limit);
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
RunStatement(RankReceiver *receiver, int64 limit)
{
	const RankRequest *request = receiver->request;
	const Oid	type = FLOAT4ARRAYOID;
	const Oid	columns[] = {receiver->side->key.type, FLOAT4OID, FLOAT4ARRAYOID};
	Datum		vector = QueryVector(request);
	SqlQuery	query = {
		.sql = Statement(request, receiver->side, limit),
		.from = &receiver->side->held,
		.nargs = 1,
		.types = &type,
		.values = &vector,
		.ncolumns = lengthof(columns),
		.columns = columns,
		.read_only = true,
		.keep = true,
	};

	query_receive(&query, ReceiveRow, receiver);
}

static void
InitReceiver(RankReceiver *receiver, const RankRequest *request)
{
	memset(receiver, 0, sizeof(*receiver));
	receiver->request = request;
	receiver->side = &request->model->side[request->side];
	receiver->id_type = rank_id_type(&receiver->side->key);
	receiver->context = CurrentMemoryContext;
	receiver->row_context = AllocSetContextCreate(CurrentMemoryContext, "factor rank row",
												  ALLOCSET_SMALL_SIZES);
	receiver->capacity = FIRST_CAPACITY;
	receiver->ranked = palloc(receiver->capacity * sizeof(Ranked));
}

static int
CompareRanked(const void *a, const void *b, void *arg)
{
	const Ranked *x = a;
	const Ranked *y = b;
	const RankReceiver *receiver = arg;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return rank_compare_ids(receiver->id_type, receiver->side->key.collation, x->id, y->id);
}

/* In order of score and id, the k best. */
static int
Finish(RankReceiver *receiver, int k, Ranked **ranked)
{
	MemoryContextDelete(receiver->row_context);
	qsort_arg(receiver->ranked, receiver->n, sizeof(Ranked), CompareRanked, receiver);
	*ranked = receiver->ranked;
	return (int) Min(receiver->n, k);
}

int
rank_side(const RankRequest *request, Ranked **ranked)
{
	RankReceiver receiver;
	int64		limit = FIRST_LIMIT;

	*ranked = NULL;
	if (request->k == 0)
		return 0;

	InitReceiver(&receiver, request);
	while (limit <= (int64) request->k + request->nskip)
		limit *= 2;
	for (;;)
	{
		RunStatement(&receiver, limit);
		if (receiver.complete || receiver.received < limit)
			break;
		receiver.n = 0;
		receiver.received = 0;
		limit *= LIMIT_GROWTH;
	}
	return Finish(&receiver, request->k, ranked);
}

/* ---- Ranking a few by their keys ---- */

int
rank_among(const RankRequest *request, const IdList *candidates, Ranked **ranked)
{
	RankRequest all = *request;
	RankReceiver receiver;
	ModelReader *reader;
	int64		i;

	*ranked = NULL;
	if (request->k == 0 || candidates->n == 0)
		return 0;

	all.k = (int) candidates->n;
	InitReceiver(&receiver, &all);
	reader = model_reader_begin(request->model, request->side);
	for (i = 0; i < candidates->n; i++)
	{
		Datum		id = candidates->ids[i];
		ModelEntity entity;
		double		score;

		CHECK_FOR_INTERRUPTS();
		if (request->skip != NULL && request->skip(request->skip_arg, id))
			continue;
		if (!model_reader_fetch(reader, id, &entity))
			continue;
		score = Score(request, entity.bias, entity.factors);
		if (!isnan(score))
			Keep(&receiver, score, id, entity.factors);
	}
	model_reader_end(reader);
	return Finish(&receiver, request->k, ranked);
}

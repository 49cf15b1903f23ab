/*
 * rank.c: the best rows of a side for a vector, by a scan of its table.
 *
 * The executor reads the table, so privileges and row security are its
 * business, and hands every row to a receiver, which keeps the k best in a
 * heap whose top is the worst of them. A row costs an inner product and, if it
 * does not beat the top, nothing more; only then is it asked whether the row is
 * to be skipped, and its id copied.
 *
 * The heap of numerics/topheap.h is not used: it breaks ties by position, and
 * here they are broken by the id, in the order of its type, as an ORDER BY
 * score DESC, id would.
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include <math.h>

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
	MemoryContext context;		/* of the heap and the ids in it */
	MemoryContext row_context;	/* of one row's detoasted values */
	Ranked	   *heap;			/* the worst on top */
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

/* ---- The heap ---- */

/* Does a rank before b? */
static inline bool
Before(const RankReceiver *receiver, double score, Datum id, const Ranked *b)
{
	if (score != b->score)
		return score > b->score;
	return rank_compare_ids(receiver->id_type, receiver->side->key.collation, id, b->id) < 0;
}

static void
SiftDown(const RankReceiver *receiver, int at, int n)
{
	Ranked	   *heap = receiver->heap;
	Ranked		moving = heap[at];

	for (;;)
	{
		int			child = 2 * at + 1;

		if (child >= n)
			break;
		if (child + 1 < n &&
			Before(receiver, heap[child].score, heap[child].id, &heap[child + 1]))
			child++;
		if (!Before(receiver, moving.score, moving.id, &heap[child]))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moving;
}

static void
SiftUp(const RankReceiver *receiver, int at)
{
	Ranked	   *heap = receiver->heap;
	Ranked		moving = heap[at];

	while (at > 0)
	{
		int			parent = (at - 1) / 2;

		if (!Before(receiver, heap[parent].score, heap[parent].id, &moving))
			break;
		heap[at] = heap[parent];
		at = parent;
	}
	heap[at] = moving;
}

static Datum
CopyId(const RankReceiver *receiver, Datum id)
{
	MemoryContext old = MemoryContextSwitchTo(receiver->context);
	Datum		copy = datumCopy(id, receiver->id_type->typbyval, receiver->id_type->typlen);

	MemoryContextSwitchTo(old);
	return copy;
}

/* k may be in the millions, the rows few: the heap grows as it fills. */
static void
Grow(RankReceiver *receiver)
{
	if (receiver->capacity > receiver->request->k / 2)
		receiver->capacity = receiver->request->k;
	else
		receiver->capacity *= 2;
	receiver->heap = repalloc_huge(receiver->heap,
								   mul_size(receiver->capacity, sizeof(Ranked)));
}

static void
Offer(RankReceiver *receiver, double score, Datum id)
{
	const RankRequest *request = receiver->request;
	bool		full = receiver->n == request->k;

	if (full && !Before(receiver, score, id, &receiver->heap[0]))
		return;
	if (request->skip != NULL && request->skip(request->skip_arg, id))
		return;

	if (full)
	{
		if (!receiver->id_type->typbyval)
			pfree(DatumGetPointer(receiver->heap[0].id));
		receiver->heap[0].score = score;
		receiver->heap[0].id = CopyId(receiver, id);
		SiftDown(receiver, 0, receiver->n);
	}
	else
	{
		if (receiver->n == receiver->capacity)
			Grow(receiver);
		receiver->heap[receiver->n].score = score;
		receiver->heap[receiver->n].id = CopyId(receiver, id);
		SiftUp(receiver, receiver->n++);
	}
}

/* From a heap with the worst on top to an array with the best first. */
static void
SortHeap(RankReceiver *receiver)
{
	int			n;

	for (n = receiver->n - 1; n > 0; n--)
	{
		Ranked		worst = receiver->heap[0];

		CHECK_FOR_INTERRUPTS();
		receiver->heap[0] = receiver->heap[n];
		SiftDown(receiver, 0, n);
		receiver->heap[n] = worst;
	}
}

/* ---- The receiver ---- */

static bool
ReceiveRow(TupleTableSlot *slot, DestReceiver *self)
{
	RankReceiver *receiver = (RankReceiver *) self;
	const RankRequest *request = receiver->request;
	MemoryContext old;
	const float *factors;
	double		score;

	slot_getallattrs(slot);
	if (slot->tts_isnull[0] || slot->tts_isnull[1] || slot->tts_isnull[2])
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a row of table %s has a null bias or null factors",
						receiver->side->table)));

	MemoryContextReset(receiver->row_context);
	old = MemoryContextSwitchTo(receiver->row_context);
	factors = model_factors(request->model, receiver->side, slot->tts_values[2]);
	if (request->by == RANK_BY_PREDICTION)
		score = predict_score(&request->model->record, request->query->bias,
							  DatumGetFloat4(slot->tts_values[1]),
							  request->query->factors, factors);
	else
		score = 1.0 - vector_cosine_distance(request->query->factors, factors,
											 request->query->nfactors);
	if (!isnan(score))
		Offer(receiver, score, slot->tts_values[0]);
	MemoryContextSwitchTo(old);
	return true;
}

static void
Startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
Nothing(DestReceiver *self)
{
}

static void
ScanSide(RankReceiver *receiver)
{
	const ModelSide *side = receiver->side;
	SPIExecuteOptions options;
	SPIPlanPtr	plan;
	int			status;

	SPI_connect();
	plan = plan_get(psprintf("SELECT %s, bias, factors FROM %s",
							 quote_identifier(side->key.column), side->table), 0, NULL);
	memset(&options, 0, sizeof(options));
	options.read_only = true;
	options.dest = &receiver->pub;
	status = SPI_execute_plan_extended(plan, &options);
	if (status != SPI_OK_SELECT)
		elog(ERROR, "could not read table %s: %s", side->table,
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
	receiver.heap = palloc(receiver.capacity * sizeof(Ranked));

	ScanSide(&receiver);
	SortHeap(&receiver);
	MemoryContextDelete(receiver.row_context);
	*ranked = receiver.heap;
	return receiver.n;
}

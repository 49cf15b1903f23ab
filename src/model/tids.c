/*
 * tids.c: where a side's rows lie, kept with an open model.
 *
 * A query that predicts for many random pairs asks for more rows than can be
 * kept (recent.c), and each time finds its way through the primary key's index
 * anew, which takes several times as long as to read the row. Where a row lies
 * is six bytes: those of all rows fit where few rows would.
 *
 * An open model stands for one snapshot, and a version of a row that a snapshot
 * sees stays where it is until nobody has that snapshot. So what the index once
 * said remains true.
 *
 * Ids are not kept with it: the row has its own. A hash of the id chooses a
 * bucket of eight, which is a line of the processor's cache, and 16 more bits of
 * it an entry of the bucket; whoever reads the row compares the ids, and goes to
 * the index where they are not the same. So ids of any type and length take the
 * same eight bytes. A full bucket gives up its entries in turn.
 *
 * Rejected: an index scan kept open from call to call, which saves less, and
 * which an error or a subtransaction's end would have to find and close.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/tids.h"

#define BUCKET 8
#define BUCKET_BYTES 64
#define MAX_BUCKETS (1 << 20)

/* There must have been so many fetches for it to be worth while. */
#define FETCHES_BEFORE 1024

typedef struct TidEntry
{
	ItemPointerData tid;		/* invalid: free */
	uint16		tag;
} TidEntry;

struct RowTids
{
	TidEntry   *entries;		/* buckets one after another */
	uint32		mask;			/* buckets - 1 */
	uint32		turn;			/* whose turn it is to go */
};

/* The low bits of the hash choose the bucket, so the tag is of the high ones. */
static uint16
Tag(const IdBytes *id)
{
	return (uint16) (id->hash >> 16);
}

static TidEntry *
Bucket(const struct RowTids *tids, const IdBytes *id)
{
	return &tids->entries[(Size) (id->hash & tids->mask) * BUCKET];
}

bool
tids_find(const ModelSide *side, const IdBytes *id, ItemPointer tid)
{
	TidEntry   *bucket;

	if (side->tids == NULL)
		return false;
	bucket = Bucket(side->tids, id);
	for (int k = 0; k < BUCKET; k++)
		if (bucket[k].tag == Tag(id) && ItemPointerIsValid(&bucket[k].tid))
		{
			*tid = bucket[k].tid;
			return true;
		}
	return false;
}

/*
 * Buckets for twice as many rows as there are, within an eighth of work_mem, so
 * both sides take a quarter.
 */
static struct RowTids *
MakeTids(MemoryContext context, int64 rows)
{
	struct RowTids *tids = MemoryContextAlloc(context, sizeof(struct RowTids));
	Size		limit = (Size) work_mem * 1024 / 8;
	uint32		n = 1;
	char	   *memory;

	StaticAssertStmt(BUCKET * sizeof(TidEntry) == BUCKET_BYTES, "a bucket is a cache line");
	while ((int64) n * BUCKET < 2 * rows && n < MAX_BUCKETS &&
		   (Size) n * 2 * BUCKET_BYTES <= limit)
		n *= 2;
	tids->mask = n - 1;
	tids->turn = 0;
	memory = MemoryContextAllocZero(context, (Size) n * BUCKET_BYTES + BUCKET_BYTES);
	tids->entries = (TidEntry *) TYPEALIGN(BUCKET_BYTES, memory);
	return tids;
}

void
tids_keep(ModelSide *side, const IdBytes *id, const ItemPointerData *tid, int64 rows)
{
	TidEntry   *bucket;
	TidEntry   *entry;

	if (side->fetches < FETCHES_BEFORE)
		return;
	if (side->tids == NULL)
		side->tids = MakeTids(GetMemoryChunkContext(side->table), rows);
	bucket = Bucket(side->tids, id);
	entry = &bucket[side->tids->turn++ % BUCKET];
	for (int k = 0; k < BUCKET; k++)
		if (bucket[k].tag == Tag(id) || !ItemPointerIsValid(&bucket[k].tid))
		{
			entry = &bucket[k];
			break;
		}
	entry->tid = *tid;
	entry->tag = Tag(id);
}

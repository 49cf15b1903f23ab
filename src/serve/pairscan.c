/*
 * pairscan.c: what all users have rated, read by parallel workers.
 *
 * A parallel plan would not help: its workers would send every row to the
 * leader, which takes longer than to read it. Here each process keeps what it
 * reads, in files of its own. It scans its share of the table as a parallel
 * sequential scan does, looks both ids up, and writes the pair to the file of
 * the user's chunk.
 *
 * What the executor would see to is made sure of beforehand: the caller may
 * SELECT both columns of the relation that is read (seen.c, which holds it open), no policies of row security apply, and the table
 * has no children. Views, partitioned and foreign tables, small and temporary
 * ones are read by a SELECT instead (pairs.c), and so are ids that are not passed by
 * value, since the dictionary of those needs the functions of their type.
 *
 * Lookups collect, and each one's place is prefetched while those before it are
 * served, as in train/ids.c. The dictionaries are in shared memory, with what
 * the leader is to read; where there is no room the table is read by a SELECT.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/shm_toc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "serve/pairscan.h"
#include "serve/seen.h"
#include "train/ids.h"
#include "train/progress.h"
#include "train/team.h"
#include "train/valuetable.h"

#define PAIRSCAN_KEY_SHARED UINT64CONST(0xFAC7000000000003)
#define PAIRSCAN_KEY_SCAN UINT64CONST(0xFAC7000000000004)

/* A table of fewer pages is read before workers have started. */
#define PARALLEL_MIN_PAGES 1000

#define BATCH 512
#define PREFETCH_AHEAD 16
#define BATCHES_PER_REPORT 64

/* At the start of the array that all attach; what follows is laid out by Layout(). */
typedef struct PairScanHeader
{
	SharedFileSet fileset;
	uint64		size[2];		/* entries of users and items */
	uint32		nchunks;
	uint32		nwriters;
} PairScanHeader;

typedef struct PairScanArrays
{
	PairScanHeader *header;
	ValueTable	places[2];		/* of ids: a user's place, an item's row */
	uint64	   *count;			/* nchunks of each writer */
} PairScanArrays;

/* What starts the workers. */
typedef struct PairScanShared
{
	Oid			relid;
	AttrNumber	attno[2];		/* user, item */
	uint32		chunk_users;
	dsm_handle	array;
	Size		array_size;
	pg_atomic_uint64 rows;		/* read by all */
} PairScanShared;

PGDLLEXPORT void factor_seen_worker(dsm_segment *seg, shm_toc *toc);

/* ---- Layout ---- */

/* Lays the arrays out from `base`; returns their bytes, all that NULL is for. */
static Size
Layout(PairScanArrays *arrays, const PairScanHeader *shape, char *base)
{
	Size		used = 0;

	arrays->header = bigarray_take(base, &used, 1, sizeof(PairScanHeader));
	for (int side = 0; side < 2; side++)
	{
		arrays->places[side].entries = bigarray_take(base, &used, shape->size[side], sizeof(ValueEntry));
		arrays->places[side].mask = shape->size[side] - 1;
	}
	arrays->count = bigarray_take(base, &used, mul_size(shape->nchunks, shape->nwriters), sizeof(uint64));
	return used;
}

/* ---- Ids ---- */

/* A power of 2 with room for n. */
static uint64
TableSize(uint32 n)
{
	uint64		size = 64;

	while (value_table_limit(size) < n)
		size *= 2;
	return size;
}

/* `place` of an id, or its number where that is NULL. */
static void
FillPlaces(ValueTable *places, const Datum *ids, uint32 n, const uint32 *place)
{
	for (uint32 k = 0; k < n; k++)
	{
		ValueEntry *entry = value_table_find(places, (uint64) ids[k]);

		if (k % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
		entry->value = (uint64) ids[k];
		entry->code_plus_1 = (place ? place[k] : k) + 1;
	}
}

/* Places of a batch's ids; PAIR_UNKNOWN, which is 0 less 1, where there is none. */
static void
LookUp(const ValueTable *places, const uint64 *values, uint32 n, uint32 *place)
{
	for (uint32 k = 0; k < n; k++)
	{
		if (k + PREFETCH_AHEAD < n)
			prefetch_memory(&places->entries[value_table_start(places, values[k + PREFETCH_AHEAD])]);
		place[k] = value_table_find(places, values[k])->code_plus_1 - 1;
	}
}

/* ---- Reading ---- */

typedef struct Batch
{
	uint32		n;
	uint64		value[2][BATCH];
	uint32		place[2][BATCH];
} Batch;

static void
TakeBatch(Batch *batch, const PairScanArrays *arrays, PairWriter *writer)
{
	CHECK_FOR_INTERRUPTS();
	for (int side = 0; side < 2; side++)
		LookUp(&arrays->places[side], batch->value[side], batch->n, batch->place[side]);
	pair_writer_put(writer, batch->place[MF_USERS], batch->place[MF_ITEMS], batch->n);
	batch->n = 0;
}

/* This process's share of the table. */
static void
ReadShare(PairScanShared *shared, const PairScanArrays *arrays, ParallelTableScanDesc pscan,
		  Relation rel, int number)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan_parallel(rel, pscan);
	int			natts = Max(shared->attno[0], shared->attno[1]);
	int			user = shared->attno[MF_USERS] - 1;
	int			item = shared->attno[MF_ITEMS] - 1;
	Batch	   *batch = palloc(sizeof(Batch));
	PairWriter	writer;
	uint64		rows = 0;

	pair_writer_begin(&writer, arrays->header->nchunks, shared->chunk_users,
					  &arrays->header->fileset, number,
					  arrays->count + (Size) number * arrays->header->nchunks);
	batch->n = 0;
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		if (++rows % (BATCH * BATCHES_PER_REPORT) == 0)
		{
			uint64		all = pg_atomic_add_fetch_u64(&shared->rows, BATCH * BATCHES_PER_REPORT);

			CHECK_FOR_INTERRUPTS();
			if (!IsParallelWorker())
				progress_report("reading ratings, " UINT64_FORMAT " rows", all);
		}
		slot_getsomeattrs(slot, natts);
		if (slot->tts_isnull[user] || slot->tts_isnull[item])
			continue;
		batch->value[MF_USERS][batch->n] = (uint64) slot->tts_values[user];
		batch->value[MF_ITEMS][batch->n] = (uint64) slot->tts_values[item];
		if (++batch->n == BATCH)
			TakeBatch(batch, arrays, &writer);
	}
	TakeBatch(batch, arrays, &writer);
	pair_writer_end(&writer);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	pfree(batch);
}

void
factor_seen_worker(dsm_segment *seg, shm_toc *toc)
{
	PairScanShared *shared = shm_toc_lookup(toc, PAIRSCAN_KEY_SHARED, false);
	ParallelTableScanDesc pscan = shm_toc_lookup(toc, PAIRSCAN_KEY_SCAN, false);
	Relation	rel = table_open(shared->relid, AccessShareLock);
	BigArray	array;
	PairScanArrays arrays;

	bigarray_attach(&array, shared->array, shared->array_size);
	Layout(&arrays, array.data, array.data);
	SharedFileSetAttach(&arrays.header->fileset, array.segment);
	ReadShare(shared, &arrays, pscan, rel, ParallelWorkerNumber + 1);
	table_close(rel, NoLock);

	/* A worker's end is a commit, which complains of what is still attached. */
	bigarray_free(&array);
}

/* ---- The leader ---- */

/* Can processes read the columns on their own, as the executor would? */
static bool
CanScan(const SeenPairsSpec *spec, Relation rel, const AttrNumber *attno)
{
	for (int side = 0; side < 2; side++)
		if (!ids_are_values(&spec->model->side[side].key) ||
			spec->source->type[side] != getBaseType(spec->model->side[side].key.type) ||
			TupleDescAttr(RelationGetDescr(rel), attno[side] - 1)->attgenerated != '\0')
			return false;
	return rel->rd_rel->relkind == RELKIND_RELATION &&
		!rel->rd_rel->relhassubclass &&
		!RelationUsesLocalBuffers(rel) &&
		check_enable_rls(RelationGetRelid(rel), InvalidOid, false) != RLS_ENABLED &&
		RelationGetNumberOfBlocks(rel) >= PARALLEL_MIN_PAGES;
}

/* Dictionaries and files that workers can attach; false if there is no room. */
static bool
MakeArrays(const SeenPairsSpec *spec, uint32 nchunks, BigArray *array, PairScanArrays *arrays)
{
	PairScanHeader shape = {.nchunks = nchunks, .nwriters = spec->workers + 1};

	shape.size[MF_USERS] = TableSize(spec->nusers);
	shape.size[MF_ITEMS] = TableSize(spec->nitems);
	if (!bigarray_alloc(array, Layout(arrays, &shape, NULL), true, CurrentMemoryContext))
	{
		bigarray_free(array);
		team_no_room(spec->reading, "the ids");
		return false;
	}
	Layout(arrays, &shape, array->data);
	*arrays->header = shape;
	SharedFileSetInit(&arrays->header->fileset, array->segment);
	FillPlaces(&arrays->places[MF_USERS], spec->users, spec->nusers, NULL);
	FillPlaces(&arrays->places[MF_ITEMS], spec->items, spec->nitems, spec->item_row);
	return true;
}

/* False where there is no room for workers: nothing is read then. */
static bool
ReadInParallel(const SeenPairsSpec *spec, Relation rel, const AttrNumber *attno,
			   const BigArray *array, const PairScanArrays *arrays)
{
	Snapshot	snapshot = GetActiveSnapshot();
	Size		sizes[2] = {sizeof(PairScanShared), table_parallelscan_estimate(rel, snapshot)};
	ParallelContext *parallel = team_gather(spec->reading, "factor_seen_worker", spec->workers,
											sizes, 2);
	ParallelTableScanDesc pscan;
	PairScanShared *shared;

	if (parallel == NULL)
		return false;
	shared = shm_toc_allocate(parallel->toc, sizes[0]);
	memset(shared, 0, sizeof(*shared));
	shared->relid = RelationGetRelid(rel);
	shared->attno[MF_USERS] = attno[MF_USERS];
	shared->attno[MF_ITEMS] = attno[MF_ITEMS];
	shared->chunk_users = spec->chunk_users;
	shared->array = dsm_segment_handle(array->segment);
	shared->array_size = array->size;
	pg_atomic_init_u64(&shared->rows, 0);
	shm_toc_insert(parallel->toc, PAIRSCAN_KEY_SHARED, shared);
	pscan = shm_toc_allocate(parallel->toc, sizes[1]);
	table_parallelscan_initialize(rel, pscan, snapshot);
	shm_toc_insert(parallel->toc, PAIRSCAN_KEY_SCAN, pscan);

	team_launch(spec->reading, parallel);
	ReadShare(shared, arrays, pscan, rel, 0);
	team_dismiss(parallel);
	return true;
}

/* The writers as the leader reads them; those that wrote nothing count 0. */
static void
CollectWriters(const SeenPairsSpec *spec, const PairScanArrays *arrays, PairScan *scan)
{
	uint32		nchunks = arrays->header->nchunks;

	scan->nwriters = spec->workers + 1;
	scan->writer = palloc(scan->nwriters * sizeof(PairWriter));
	for (int k = 0; k < scan->nwriters; k++)
		pair_writer_begin(&scan->writer[k], nchunks, spec->chunk_users, &arrays->header->fileset,
						  k, arrays->count + (Size) k * nchunks);
}

bool
pair_scan_read(const SeenPairsSpec *spec, uint32 nchunks, PairScan *scan)
{
	Relation	rel = spec->source->source.rel;
	const AttrNumber *attno = spec->source->attno;
	PairScanArrays arrays;

	if (spec->workers == 0 || spec->only_some || !CanScan(spec, rel, attno) ||
		!MakeArrays(spec, nchunks, &scan->shared, &arrays))
		return false;
	if (!ReadInParallel(spec, rel, attno, &scan->shared, &arrays))
	{
		bigarray_free(&scan->shared);
		return false;
	}
	CollectWriters(spec, &arrays, scan);
	return true;
}

void
pair_scan_free(PairScan *scan)
{
	bigarray_free(&scan->shared);
	pfree(scan->writer);
}

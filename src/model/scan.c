/*
 * scan.c: all rows of a side, one after the other in the order of their ids.
 *
 * By a cursor, so that the executor sees to privileges and row security, memory
 * stays bounded, and the reader may do other work between two rows.
 *
 * The order is that of the key column's own collation, and is checked: an index
 * that was built under another version of the collation returns rows in another
 * order, and whoever breaks ties by it would give other answers each time.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "compat.h"
#include "model/scan.h"
#include "numerics/distance.h"

#define ROWS_PER_FETCH 1000

enum
{
	COLUMN_KEY = 1, COLUMN_BIAS, COLUMN_FACTORS, COLUMN_RATINGS, COLUMN_DIGEST
};

struct SideScan
{
	const Model *model;
	const ModelSide *side;
	SideScanKind kind;
	Portal		portal;
	SPITupleTable *batch;
	MemoryContext row_context;	/* of one row's detoasted factors */
	MemoryContext id_context;	/* of the last id of a batch */
	TypeCacheEntry *type;
	bool		started;		/* `last` is the id of the row before */
	Datum		last;
	uint64		next;			/* row of the batch */
	uint64		n;
};

static const char *const columns[] = {
	[SIDE_SCAN_IDS] = "",
	[SIDE_SCAN_VECTORS] = ", bias, factors",
	[SIDE_SCAN_COUNTS] = ", bias, factors, ratings, digest",
	[SIDE_SCAN_LATEST] = ", bias, factors, ratings, digest"
};

SideScan *
side_scan_begin(const Model *model, MfSide which, SideScanKind kind, bool with_ids, Datum ids)
{
	SideScan   *scan = palloc0(sizeof(SideScan));
	const ModelSide *side = &model->side[which];
	const char *key = quote_identifier(side->key.column);
	Oid			type = get_array_type(side->key.type);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s%s FROM ONLY %s", key, columns[kind], side->table);
	if (with_ids)
		appendStringInfo(&sql, " WHERE %s %s ANY ($1)", key,
						 model_equality_operator(side->key.type));
	appendStringInfo(&sql, " ORDER BY %s", key);

	scan->model = model;
	scan->side = side;
	scan->kind = kind;
	scan->portal = SPI_cursor_open_with_args(NULL, sql.data, with_ids ? 1 : 0, &type, &ids, NULL,
											 kind != SIDE_SCAN_LATEST, CURSOR_OPT_NO_SCROLL);
	scan->row_context = AllocSetContextCreate(CurrentMemoryContext, "factor side row",
											  ALLOCSET_DEFAULT_SIZES);
	scan->id_context = AllocSetContextCreate(CurrentMemoryContext, "factor side id",
											 ALLOCSET_SMALL_SIZES);
	scan->type = lookup_type_cache(side->key.type, TYPECACHE_CMP_PROC_FINFO);
	pfree(sql.data);
	return scan;
}

static Datum
Column(const SideScan *scan, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(scan->batch->vals[scan->next], scan->batch->tupdesc,
									  column, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a row of table %s has a null bias or null factors", scan->side->table)));
	return value;
}

/* In the context of the row. */
static void
CheckOrder(SideScan *scan, Datum id)
{
	if (scan->started &&
		DatumGetInt32(FunctionCall2Coll(&scan->type->cmp_proc_finfo,
										scan->side->key.collation, scan->last, id)) >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the rows of table %s do not come in the order of column \"%s\"",
						scan->side->table, scan->side->key.column),
				 errhint("Rebuild its primary key: REINDEX TABLE %s; and after a change of the collation's version ALTER COLLATION ... REFRESH VERSION.",
						 scan->side->table)));
	scan->last = id;
	scan->started = true;
}

/* Lets go of a batch, but for the id that the next row is compared with. */
static void
FreeBatch(SideScan *scan)
{
	if (scan->started)
	{
		MemoryContext old;

		MemoryContextReset(scan->id_context);
		old = MemoryContextSwitchTo(scan->id_context);
		scan->last = datumCopy(scan->last, scan->side->key_byval, scan->side->key_length);
		MemoryContextSwitchTo(old);
	}
	SPI_freetuptable(scan->batch);
}

bool
side_scan_next(SideScan *scan, SideRow *row)
{
	MemoryContext old;

	if (scan->next == scan->n)
	{
		CHECK_FOR_INTERRUPTS();
		FreeBatch(scan);
		SPI_cursor_fetch(scan->portal, true, ROWS_PER_FETCH);
		scan->batch = SPI_tuptable;
		scan->n = SPI_processed;
		scan->next = 0;
		if (scan->n == 0)
			return false;
	}

	MemoryContextReset(scan->row_context);
	old = MemoryContextSwitchTo(scan->row_context);
	row->id = Column(scan, COLUMN_KEY);
	CheckOrder(scan, row->id);
	if (scan->kind != SIDE_SCAN_IDS)
	{
		row->bias = DatumGetFloat4(Column(scan, COLUMN_BIAS));
		row->factors = model_factors(scan->model, scan->side, Column(scan, COLUMN_FACTORS));
	}
	if (scan->kind == SIDE_SCAN_COUNTS || scan->kind == SIDE_SCAN_LATEST)
	{
		row->ratings = DatumGetInt32(Column(scan, COLUMN_RATINGS));
		row->digest = (uint64) DatumGetInt64(Column(scan, COLUMN_DIGEST));
	}
	MemoryContextSwitchTo(old);
	scan->next++;
	return true;
}

void
side_scan_check_finite(const SideScan *scan, const SideRow *row)
{
	if (!isfinite(row->bias) ||
		!isfinite(vector_dot(row->factors, row->factors, scan->model->record.factors)))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a row of table %s has a bias or factors that are not finite",
						scan->side->table)));
}

void
side_scan_end(SideScan *scan)
{
	SPI_freetuptable(scan->batch);
	SPI_cursor_close(scan->portal);
	MemoryContextDelete(scan->row_context);
	MemoryContextDelete(scan->id_context);
	pfree(scan);
}

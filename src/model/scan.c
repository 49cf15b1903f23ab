/*
 * scan.c: all rows of a side, one after the other in the order of their ids.
 *
 * By a cursor, so that the executor sees to privileges and row security, memory
 * stays bounded, and the reader may do other work between two rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/scan.h"

#define ROWS_PER_FETCH 1000

enum
{
	COLUMN_KEY = 1, COLUMN_BIAS, COLUMN_FACTORS, COLUMN_RATINGS, COLUMN_RATING_SUM
};

struct SideScan
{
	const Model *model;
	const ModelSide *side;
	SideScanKind kind;
	Portal		portal;
	SPITupleTable *batch;
	MemoryContext row_context;	/* of one row's detoasted factors */
	uint64		next;			/* row of the batch */
	uint64		n;
};

static const char *const columns[] = {
	[SIDE_SCAN_IDS] = "",
	[SIDE_SCAN_VECTORS] = ", bias, factors",
	[SIDE_SCAN_COUNTS] = ", bias, factors, ratings, rating_sum",
	[SIDE_SCAN_LATEST] = ", bias, factors, ratings, rating_sum"
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

bool
side_scan_next(SideScan *scan, SideRow *row)
{
	MemoryContext old;

	if (scan->next == scan->n)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_freetuptable(scan->batch);
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
	if (scan->kind != SIDE_SCAN_IDS)
	{
		row->bias = DatumGetFloat4(Column(scan, COLUMN_BIAS));
		row->factors = model_factors(scan->model, scan->side, Column(scan, COLUMN_FACTORS));
	}
	if (scan->kind == SIDE_SCAN_COUNTS || scan->kind == SIDE_SCAN_LATEST)
	{
		row->ratings = DatumGetInt32(Column(scan, COLUMN_RATINGS));
		row->rating_sum = DatumGetFloat8(Column(scan, COLUMN_RATING_SUM));
	}
	MemoryContextSwitchTo(old);
	scan->next++;
	return true;
}

void
side_scan_end(SideScan *scan)
{
	SPI_freetuptable(scan->batch);
	SPI_cursor_close(scan->portal);
	MemoryContextDelete(scan->row_context);
	pfree(scan);
}

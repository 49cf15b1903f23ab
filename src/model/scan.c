/*
 * scan.c: all rows of a side, one after the other in the order of their ids.
 *
 * By a query that is read piece by piece, so that the executor sees to privileges
 * and row security, memory stays bounded, and the reader may do other work between
 * two rows.
 *
 * The order is that of the key column's own collation, and is checked: an index
 * that was built under another version of the collation returns rows in another
 * order, and whoever breaks ties by it would give other answers each time.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "compat.h"
#include "model/query.h"
#include "model/scan.h"
#include "numerics/distance.h"

enum
{
	COLUMN_KEY, COLUMN_BIAS, COLUMN_FACTORS, COLUMN_RATINGS, COLUMN_DIGEST
};

struct SideScan
{
	const Model *model;
	const ModelSide *side;
	SideScanKind kind;
	QueryScan  *rows;
	IdRelations only;			/* the ids that are wanted; empty: all */
	TupleTableSlot *slot;		/* the row */
	MemoryContext row_context;	/* of one row's detoasted factors */
	MemoryContext id_context;	/* of the last row's id */
	TypeCacheEntry *type;
	bool		started;		/* `last` is the id of the row before */
	Datum		last;
};

static const char *const columns[] = {
	[SIDE_SCAN_IDS] = "",
	[SIDE_SCAN_VECTORS] = ", bias, factors",
	[SIDE_SCAN_COUNTS] = ", bias, factors, ratings, digest",
	[SIDE_SCAN_LATEST] = ", bias, factors, ratings, digest"
};

static const int ncolumns[] = {
	[SIDE_SCAN_IDS] = 1,
	[SIDE_SCAN_VECTORS] = 3,
	[SIDE_SCAN_COUNTS] = 5,
	[SIDE_SCAN_LATEST] = 5
};

SideScan *
side_scan_begin(const Model *model, MfSide which, SideScanKind kind, const IdArray *only)
{
	SideScan   *scan = palloc0(sizeof(SideScan));
	const ModelSide *side = &model->side[which];
	const char *key = quote_identifier(side->key.column);
	const Oid	types[] = {side->key.type, FLOAT4OID, FLOAT4ARRAYOID, INT4OID, INT8OID};
	SqlQuery	query = {
		.from = &side->held,
		.ncolumns = ncolumns[kind],
		.columns = types,
		.collation = side->key.collation,
		.read_only = kind != SIDE_SCAN_LATEST,
	};
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s%s FROM ONLY %s t", key, columns[kind], side->table);
	if (only != NULL)
	{
		id_relations_add(&scan->only, "mf_ids", side->key.type, only);
		query.environment = scan->only.environment;
		appendStringInfo(&sql, " WHERE %s",
						 id_relation_condition("t", side->key.column, side->key.type, "mf_ids"));
	}
	appendStringInfo(&sql, " ORDER BY %s", key);
	query.sql = sql.data;

	scan->model = model;
	scan->side = side;
	scan->kind = kind;
	scan->rows = query_scan_begin(&query);
	scan->row_context = AllocSetContextCreate(CurrentMemoryContext, "factor side row",
											  ALLOCSET_DEFAULT_SIZES);
	scan->id_context = AllocSetContextCreate(CurrentMemoryContext, "factor side id",
											 ALLOCSET_SMALL_SIZES);
	scan->type = lookup_type_cache(side->key.type, TYPECACHE_CMP_PROC_FINFO);
	return scan;
}

static Datum
Column(const SideScan *scan, int column)
{
	if (scan->slot->tts_isnull[column])
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 column == COLUMN_RATINGS || column == COLUMN_DIGEST ?
				 errmsg("a row of table %s has null ratings or a null digest", scan->side->table) :
				 errmsg("a row of table %s has a null bias or null factors", scan->side->table)));
	return scan->slot->tts_values[column];
}

/* In the context of the row. */
static void
CheckOrder(SideScan *scan, Datum id)
{
	MemoryContext old;

	if (scan->started &&
		DatumGetInt32(FunctionCall2Coll(&scan->type->cmp_proc_finfo,
										scan->side->key.collation, scan->last, id)) >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("the rows of table %s do not come in the order of column \"%s\"",
						scan->side->table, scan->side->key.column),
				 errhint("Rebuild its primary key: REINDEX TABLE %s; and after a change of the collation's version ALTER COLLATION ... REFRESH VERSION.",
						 scan->side->table)));
	MemoryContextReset(scan->id_context);
	old = MemoryContextSwitchTo(scan->id_context);
	scan->last = datumCopy(id, scan->side->key_byval, scan->side->key_length);
	MemoryContextSwitchTo(old);
	scan->started = true;
}

bool
side_scan_next(SideScan *scan, SideRow *row)
{
	MemoryContext old;

	scan->slot = query_scan_next(scan->rows);
	if (scan->slot == NULL)
		return false;

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
		if (row->ratings < 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("a row of table %s has %d ratings", scan->side->table, row->ratings),
					 errhint("Train the model again.")));
		row->digest = (uint64) DatumGetInt64(Column(scan, COLUMN_DIGEST));
	}
	MemoryContextSwitchTo(old);
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
	query_scan_end(scan->rows);
	id_relations_end(&scan->only);
	MemoryContextDelete(scan->row_context);
	MemoryContextDelete(scan->id_context);
	pfree(scan);
}

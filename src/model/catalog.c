/*
 * catalog.c: the rows of mf_models, found and written; record.c takes them apart.
 *
 * Reading goes straight through the primary key's index, since serving does it
 * for every call and everyone may read mf_models. Which snapshot is the
 * caller's to say: serving takes the active one, so that a model's mean and its
 * factors come from one training; training takes the latest.
 *
 * Writing goes through SQL as the caller, so that the trigger mf_guard has the
 * last word. All names in the SQL are qualified: the caller's search_path may
 * be anyone's.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "model/catalog.h"
#include "model/query.h"

/* ---- Reading ---- */

static bool
IsFlagged(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, Anum_models_is_default, desc, &isnull);

	return !isnull && DatumGetBool(value);
}

/*
 * Scans mf_models by its primary key: one model's row, or with a NULL model
 * the flagged rows of a schema. Returns a list of CatalogRow.
 */
static List *
ScanRows(Oid extension_schema, const char *schema, const char *model, Snapshot snapshot)
{
	Oid			index;
	Relation	rel = catalog_open_models(extension_schema, AccessShareLock, &index);
	SysScanDesc scan;
	ScanKeyData key[2];
	NameData	schema_name;
	NameData	model_name;
	HeapTuple	tuple;
	List	   *rows = NIL;

	namestrcpy(&schema_name, schema);
	ScanKeyInit(&key[0], Anum_models_schema, BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&schema_name));
	if (model != NULL)
	{
		namestrcpy(&model_name, model);
		ScanKeyInit(&key[1], Anum_models_model, BTEqualStrategyNumber, F_NAMEEQ,
					NameGetDatum(&model_name));
	}

	snapshot = RegisterSnapshot(snapshot);
	scan = systable_beginscan(rel, index, true, snapshot, model != NULL ? 2 : 1, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CatalogRow *row;

		if (model == NULL && !IsFlagged(tuple, RelationGetDescr(rel)))
			continue;
		row = palloc(sizeof(CatalogRow));
		catalog_row_read(tuple, RelationGetDescr(rel), row);
		rows = lappend(rows, row);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return rows;
}

bool
catalog_row_find(Oid extension_schema, const char *schema, const char *model,
				 Snapshot snapshot, CatalogRow *row)
{
	List	   *rows = ScanRows(extension_schema, schema, model, snapshot);

	if (rows == NIL)
		return false;
	*row = *(CatalogRow *) linitial(rows);
	return true;
}

List *
catalog_rows_flagged(Oid extension_schema, const char *schema, Snapshot snapshot)
{
	return ScanRows(extension_schema, schema, NULL, snapshot);
}

bool
catalog_row_valid(const CatalogRow *row, const ModelTables *tables)
{
	return OidIsValid(tables->relid[MF_USERS]) &&
		OidIsValid(tables->relid[MF_ITEMS]) &&
		tables->owner[MF_USERS] == tables->owner[MF_ITEMS] &&
		tables->owner[MF_USERS] == get_role_oid(row->owner, true);
}

/*
 * Two first trainings in one schema may each have found no default and taken
 * the flag. Then the model that was made first is the default, for everyone.
 */
CatalogRow *
catalog_default(Oid extension_schema, const char *schema, Snapshot snapshot)
{
	CatalogRow *best = NULL;
	ListCell   *cell;

	foreach(cell, catalog_rows_flagged(extension_schema, schema, snapshot))
	{
		CatalogRow *row = lfirst(cell);
		ModelTables tables;

		if (best != NULL &&
			(row->created_at > best->created_at ||
			 (row->created_at == best->created_at && strcmp(row->name, best->name) > 0)))
			continue;
		model_tables_find(row->schema, row->name, &tables);
		if (catalog_row_valid(row, &tables))
			best = row;
	}
	return best;
}

/* ---- Writing ---- */

/* Runs a statement that writes a table of the extension, named between two texts. */
static void
Execute(Oid extension_schema, const char *table, CmdType command, const char *before,
		const char *after, int nargs, const Oid *types, const Datum *values, const bool *nulls)
{
	Held		held;
	SqlQuery	query = {
		.from = &held,
		.nargs = nargs,
		.types = types,
		.values = values,
		.nulls = nulls,
	};

	held_take(&held, table_open(catalog_relid(extension_schema, table), RowExclusiveLock));
	query.sql = psprintf("%s%s%s", before, held.sql, after);
	(void) query_write(&query, command);
	held_close(&held);
}

static Datum
NameDatum(const char *string)
{
	Name		name = palloc0(sizeof(NameData));

	namestrcpy(name, string);
	return NameGetDatum(name);
}

static void
DeleteRows(Oid extension_schema, const char *table, const char *schema, const char *model)
{
	Oid			types[2] = {NAMEOID, NAMEOID};
	Datum		values[2];

	values[0] = NameDatum(schema);
	values[1] = NameDatum(model);
	Execute(extension_schema, table, CMD_DELETE, "DELETE FROM ",
			" WHERE schema OPERATOR(pg_catalog.=) $1 "
			"AND model OPERATOR(pg_catalog.=) $2",
			lengthof(types), types, values, NULL);
}

void
catalog_row_delete(Oid extension_schema, const char *schema, const char *model)
{
	/* The history first: the model's row says who may do it. */
	DeleteRows(extension_schema, "mf_history", schema, model);
	DeleteRows(extension_schema, "mf_models", schema, model);
}

void
catalog_row_flag(Oid extension_schema, const char *schema, const char *model, bool flag)
{
	Oid			types[3] = {NAMEOID, NAMEOID, BOOLOID};
	Datum		values[3];

	values[0] = NameDatum(schema);
	values[1] = NameDatum(model);
	values[2] = BoolGetDatum(flag);
	Execute(extension_schema, "mf_models", CMD_UPDATE, "UPDATE ",
			" SET is_default = $3 WHERE schema OPERATOR(pg_catalog.=) $1 "
			"AND model OPERATOR(pg_catalog.=) $2",
			lengthof(types), types, values, NULL);
}

/* A square matrix as real[], or NULL. */
static Datum
MatrixDatum(const float *matrix, int n, bool *isnull)
{
	int			dims[2] = {n, n};
	int			lbs[2] = {1, 1};
	Size		count = (Size) n * n;
	Size		size;
	ArrayType  *array;

	*isnull = (matrix == NULL || n == 0);
	if (*isnull)
		return (Datum) 0;
	if (count > (MaxAllocSize - ARR_OVERHEAD_NONULLS(2)) / sizeof(float4))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a Gramian of %d factors is too large to be stored", n)));
	size = ARR_OVERHEAD_NONULLS(2) + count * sizeof(float4);
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 2;
	array->elemtype = FLOAT4OID;
	memcpy(ARR_DIMS(array), dims, sizeof(dims));
	memcpy(ARR_LBOUND(array), lbs, sizeof(lbs));
	memcpy(ARR_DATA_PTR(array), matrix, count * sizeof(float4));
	return PointerGetDatum(array);
}

/*
 * The row of mf_models as parameters. A row that is there keeps its flag and
 * its time of creation: retraining a model does not make it the default.
 */
static void
WriteModelsRow(const ModelTarget *target, const ModelRecord *record)
{
	Relation	rel;
	Oid			index;
	TupleDesc	desc;
	Oid			types[Natts_models];
	Datum		values[Natts_models];
	bool		isnull[Natts_models] = {false};
	StringInfoData columns;
	StringInfoData params;
	StringInfoData sets;
	Datum		now = TimestampTzGetDatum(GetCurrentTimestamp());
	int			i;

#define SET(col, datum) values[Anum_models_##col - 1] = (datum)

	SET(schema, NameDatum(target->schema_name));
	SET(model, NameDatum(target->name));
	SET(owner, NameDatum(GetUserNameFromId(GetUserId(), false)));	/* mf_guard's say */
	SET(is_default, BoolGetDatum(catalog_default(target->extension_schema,
												 target->schema_name,
												 GetLatestSnapshot()) == NULL));
	SET(created_at, now);
	SET(feedback, CStringGetTextDatum(record->implicit ? "implicit" : "explicit"));
	SET(biased, BoolGetDatum(record->biased));
	SET(factors, Int32GetDatum(record->factors));
	SET(mean, Float8GetDatum(record->mean));
	SET(rating_min, Float8GetDatum(record->rating_min));
	SET(rating_max, Float8GetDatum(record->rating_max));
	SET(source_schema, NameDatum(record->source_schema));
	SET(source_table, NameDatum(record->source_table));
	SET(user_col, NameDatum(record->user_col));
	SET(item_col, NameDatum(record->item_col));
	isnull[Anum_models_rating_col - 1] = (record->rating_col == NULL);
	SET(rating_col, record->rating_col ? NameDatum(record->rating_col) : (Datum) 0);
	SET(users, Int64GetDatum(record->users));
	SET(items, Int64GetDatum(record->items));
	SET(ratings, Int64GetDatum(record->ratings));
	SET(skipped, Int64GetDatum(record->skipped));
	SET(iterations, Int32GetDatum(record->iterations));
	SET(regularization, Float8GetDatum(record->regularization));
	SET(reg_exponent, Float8GetDatum(record->reg_exponent));
	SET(bias_regularization, Float8GetDatum(record->bias_regularization));
	SET(alpha, Float8GetDatum(record->alpha));
	SET(unobserved_weight, Float8GetDatum(record->unobserved_weight));
	SET(seed, Int64GetDatum(record->seed));
	SET(gramian_users, MatrixDatum(record->gramian[MF_USERS], record->factors,
								   &isnull[Anum_models_gramian_users - 1]));
	SET(gramian_items, MatrixDatum(record->gramian[MF_ITEMS], record->factors,
								   &isnull[Anum_models_gramian_items - 1]));
	SET(objective, Float8GetDatum(record->objective));
	SET(error, Float8GetDatum(record->error));
	SET(seconds, Float8GetDatum(record->seconds));
	SET(trained_at, now);
	SET(trained_by, NameDatum(GetUserNameFromId(target->caller, false)));
	SET(loss, CStringGetTextDatum(record->loss));
	SET(solver, CStringGetTextDatum(record->solver));
	isnull[Anum_models_link_low - 1] = isnull[Anum_models_link_high - 1] = !record->linked;
	SET(link_low, Float8GetDatum(record->link_low));
	SET(link_high, Float8GetDatum(record->link_high));
	SET(held_out, Int64GetDatum(record->held_out));
	isnull[Anum_models_held_out_loss - 1] = isnan(record->held_out_loss);
	SET(held_out_loss, Float8GetDatum(record->held_out_loss));
	SET(best_iteration, Int32GetDatum(record->best_iteration));
	SET(options, DirectFunctionCall1(jsonb_in, CStringGetDatum(record->options)));
	SET(settings, DirectFunctionCall1(jsonb_in, CStringGetDatum(record->settings)));

#undef SET

	initStringInfo(&columns);
	initStringInfo(&params);
	initStringInfo(&sets);
	rel = catalog_open_models(target->extension_schema, RowExclusiveLock, &index);
	desc = RelationGetDescr(rel);
	for (i = 0; i < Natts_models; i++)
	{
		const char *column = quote_identifier(NameStr(TupleDescAttr(desc, i)->attname));

		types[i] = TupleDescAttr(desc, i)->atttypid;
		appendStringInfo(&columns, "%s%s", i > 0 ? ", " : "", column);
		appendStringInfo(&params, "%s$%d", i > 0 ? ", " : "", i + 1);
		if (i + 1 > Anum_models_created_at || i + 1 == Anum_models_owner)
			appendStringInfo(&sets, "%s%s = excluded.%s", sets.len > 0 ? ", " : "",
							 column, column);
	}
	table_close(rel, NoLock);

	Execute(target->extension_schema, "mf_models", CMD_INSERT, "INSERT INTO ",
			psprintf(" (%s) VALUES (%s) ON CONFLICT (schema, model) DO UPDATE SET %s",
					 columns.data, params.data, sets.data),
			Natts_models, types, values, isnull);
}

static void
WriteHistory(const ModelTarget *target, int niterations, const ModelIteration *iterations)
{
	Oid			types[7] = {NAMEOID, NAMEOID, INT4OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID};
	Datum		values[7];
	bool		nulls[7] = {false};
	Held		held;
	SqlQuery	query = {
		.from = &held,
		.nargs = lengthof(types),
		.types = types,
		.values = values,
		.nulls = nulls,
	};

	held_take(&held, table_open(catalog_relid(target->extension_schema, "mf_history"),
								RowExclusiveLock));
	query.sql = psprintf("INSERT INTO %s (schema, model, iteration, error, objective, seconds, held_out_loss) "
						 "VALUES ($1, $2, $3, $4, $5, $6, $7)", held.sql);
	query_prepare(&query);
	values[0] = NameDatum(target->schema_name);
	values[1] = NameDatum(target->name);
	for (int i = 0; i < niterations; i++)
	{
		values[2] = Int32GetDatum(iterations[i].iteration);
		values[3] = Float8GetDatum(iterations[i].error);
		values[4] = Float8GetDatum(iterations[i].objective);
		values[5] = Float8GetDatum(iterations[i].seconds);
		values[6] = Float8GetDatum(iterations[i].held_out_loss);
		nulls[6] = isnan(iterations[i].held_out_loss);
		(void) query_write(&query, CMD_INSERT);
	}
	held_close(&held);
}

void
model_write_record(ModelTarget *target, const ModelRecord *record,
				   int niterations, const ModelIteration *iterations)
{
	model_target_check(target);
	DeleteRows(target->extension_schema, "mf_history", target->schema_name, target->name);
	/* Of an earlier model whose tables were dropped by hand: nothing to keep. */
	if (!target->exists)
		DeleteRows(target->extension_schema, "mf_models", target->schema_name, target->name);
	WriteModelsRow(target, record);
	WriteHistory(target, niterations, iterations);
}

void
model_update_record(ModelTarget *target, const ModelRecord *record)
{
	Oid			types[7] = {NAMEOID, NAMEOID, INT8OID, INT8OID, INT8OID,
	FLOAT4ARRAYOID, FLOAT4ARRAYOID};
	Datum		values[7];
	bool		nulls[7] = {false};

	model_target_check(target);
	values[0] = NameDatum(target->schema_name);
	values[1] = NameDatum(target->name);
	values[2] = Int64GetDatum(record->users);
	values[3] = Int64GetDatum(record->items);
	values[4] = Int64GetDatum(record->ratings);
	for (int side = 0; side < 2; side++)
		values[5 + side] = MatrixDatum(record->gramian[side], record->factors, &nulls[5 + side]);
	Execute(target->extension_schema, "mf_models", CMD_UPDATE, "UPDATE ",
			" SET users = $3, items = $4, ratings = $5, "
			"gramian_users = $6, gramian_items = $7 "
			"WHERE schema OPERATOR(pg_catalog.=) $1 AND model OPERATOR(pg_catalog.=) $2",
			lengthof(types), types, values, nulls);
}

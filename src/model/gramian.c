/*
 * gramian.c: a side's Gramian, which folding in needs where pairs without a
 * rating have a weight.
 *
 * It is the largest column of mf_models by far, 16 kB for 64 factors, and
 * stored out of line, so it is not read with the rest of the row, but when it
 * is first asked for, and then kept with the open model. The model stands for
 * one snapshot, in which the row is found again.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "model/catalog.h"
#include "rank/vector.h"

/* The numbers of a square array, copied; NULL if it is not that. */
static float *
CopyMatrix(Datum datum, int d)
{
	ArrayType  *array = DatumGetArrayTypeP(datum);
	const void *numbers = array_numbers(array, FLOAT4OID, 2);
	Size		size = mul_size(mul_size(d, d), sizeof(float));
	float	   *matrix;

	if (numbers == NULL || ARR_DIMS(array)[0] != d || ARR_DIMS(array)[1] != d)
		return NULL;
	matrix = palloc(size);
	memcpy(matrix, numbers, size);
	if ((Pointer) array != DatumGetPointer(datum))
		pfree(array);
	return matrix;
}

static float *
ReadGramian(const Model *model, MfSide side)
{
	AttrNumber	attno = side == MF_USERS ? Anum_models_gramian_users : Anum_models_gramian_items;
	Oid			index;
	Relation	rel = catalog_open_models(model->extension_schema, AccessShareLock, &index);
	Snapshot	snapshot = RegisterSnapshot(GetActiveSnapshot());
	ScanKeyData key[2];
	NameData	schema_name;
	NameData	model_name;
	SysScanDesc scan;
	HeapTuple	tuple;
	float	   *matrix = NULL;

	namestrcpy(&schema_name, model->schema_name);
	namestrcpy(&model_name, model->name);
	ScanKeyInit(&key[0], Anum_models_schema, BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&schema_name));
	ScanKeyInit(&key[1], Anum_models_model, BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&model_name));
	scan = systable_beginscan(rel, index, true, snapshot, 2, key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		datum = heap_getattr(tuple, attno, RelationGetDescr(rel), &isnull);

		if (!isnull)
			matrix = CopyMatrix(datum, model->record.factors);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return matrix;
}

/* What is computed with it must end. */
static void
CheckFinite(const Model *model, MfSide side)
{
	size_t		n = (size_t) model->record.factors * model->record.factors;

	for (size_t k = 0; k < n; k++)
		if (!isfinite(model->record.gramian[side][k]))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("model \"%s\" has a Gramian of its %s that is not finite",
							model_name_quote(model->schema_name, model->name),
							side == MF_USERS ? "users" : "items"),
					 errhint("Train the model again.")));
}

const float *
model_gramian(Model *model, MfSide side)
{
	MemoryContext old;

	if (model->record.gramian[side] != NULL)
		return model->record.gramian[side];

	old = MemoryContextSwitchTo(GetMemoryChunkContext(model));
	model->record.gramian[side] = ReadGramian(model, side);
	MemoryContextSwitchTo(old);
	if (model->record.gramian[side] == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no Gramian of its %s",
						model_name_quote(model->schema_name, model->name),
						side == MF_USERS ? "users" : "items"),
				 errdetail("A vector cannot be found without it, since pairs without a rating have a weight."),
				 errhint("Train the model again.")));
	CheckFinite(model, side);
	return model->record.gramian[side];
}

/*
 * rows.c: one user's or item's row, by its id.
 *
 * A query may ask for a prediction for each of a million pairs, so this goes
 * to the table through its primary key's index without SPI, as the executor's
 * index scan would: with the active snapshot and the key type's own equality.
 * What the executor would have checked is checked here, once for an opened
 * model: the right to SELECT the table or the columns that are read. Where row
 * security applies to the caller the policies are the executor's business, and
 * the row is read by SQL.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "model/catalog.h"
#include "model/idsql.h"
#include "model/query.h"
#include "model/recent.h"
#include "model/tids.h"
#include "rank/vector.h"

const float *
model_factors(const Model *model, const ModelSide *side, Datum factors)
{
	Vector		vector;

	if (vector_from_array(DatumGetArrayTypeP(factors), &vector) != VECTOR_OK ||
		vector.length != model->record.factors)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("a row of table %s has other factors than model \"%s\"",
						side->table, model_name_quote(model->schema_name, model->name)),
				 errdetail("The model's vectors have %d factors and no nulls.",
						   model->record.factors),
				 errhint("Train the model again.")));
	return vector.elements;
}

static void
CheckAccess(ModelSide *side)
{
	AttrNumber	columns[3];
	Oid			role = GetUserId();
	int			i;

	columns[0] = side->key_attno;
	columns[1] = side->bias_attno;
	columns[2] = side->factors_attno;
	if (pg_class_aclcheck(side->relid, role, ACL_SELECT) != ACLCHECK_OK)
		for (i = 0; i < lengthof(columns); i++)
			if (pg_attribute_aclcheck(side->relid, columns[i], role,
									  ACL_SELECT) != ACLCHECK_OK)
				aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(side->relid));

	side->row_security = check_enable_rls(side->relid, InvalidOid, false) == RLS_ENABLED;
	side->access_checked = true;
}

static void
NullInRow(const ModelSide *side)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("a row of table %s has a null bias or null factors", side->table)));
}

/* The entity, with factors that stay when the row's page is let go. */
static void
CopyEntity(const Model *model, const ModelSide *side, Datum bias, Datum factors,
		   ModelEntity *entity)
{
	Size		size = (Size) model->record.factors * sizeof(float);
	float	   *copy = palloc(size);

	memcpy(copy, model_factors(model, side, factors), size);
	entity->bias = DatumGetFloat4(bias);
	entity->nfactors = model->record.factors;
	entity->factors = copy;
}

/*
 * The slot is kept with the model; its descriptor is a copy, so that no error
 * leaves a reference behind. It has the values of columns that were added with a
 * default, which rows of before do not have.
 */
static TupleTableSlot *
Slot(ModelSide *side, Relation rel)
{
	if (side->slot == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(side->table));

		side->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(rel)),
											  table_slot_callbacks(rel));
		MemoryContextSwitchTo(old);
	}
	return side->slot;
}

/* ---- By the primary key's index ---- */

typedef struct KeyScan
{
	Relation	rel;
	Relation	index;
	TupleTableSlot *slot;
	IndexScanDesc scan;
} KeyScan;

static void
BeginKeyScan(ModelSide *side, KeyScan *key_scan)
{
	key_scan->rel = table_open(side->relid, AccessShareLock);
	key_scan->index = index_open(side->index, AccessShareLock);
	key_scan->slot = Slot(side, key_scan->rel);
	key_scan->scan = begin_index_scan(key_scan->rel, key_scan->index, GetActiveSnapshot(), 1);
}

/* Puts the row into the slot; false where there is none. */
static bool
FindKey(const ModelSide *side, KeyScan *key_scan, Datum id)
{
	ScanKeyData key;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   side->eq_collation, side->eq_function, id);
	index_rescan(key_scan->scan, &key, 1, NULL, 0);
	return index_getnext_slot(key_scan->scan, ForwardScanDirection, key_scan->slot);
}

static void
EndKeyScan(KeyScan *key_scan)
{
	ExecClearTuple(key_scan->slot);
	index_endscan(key_scan->scan);
	index_close(key_scan->index, NoLock);
	table_close(key_scan->rel, NoLock);
}

static void
ReadSlot(const ModelSide *side, TupleTableSlot *slot, Datum *bias, Datum *factors)
{
	bool		null_bias;
	bool		null_factors;

	*bias = slot_getattr(slot, side->bias_attno, &null_bias);
	*factors = slot_getattr(slot, side->factors_attno, &null_factors);
	if (null_bias || null_factors)
		NullInRow(side);
}

/*
 * The entity of the row in the slot, kept among the recent ones or copied.
 * `id` is NULL for an id that is not of bytes.
 */
static void
TakeEntity(const Model *model, ModelSide *side, TupleTableSlot *slot, const IdBytes *id,
		   ModelEntity *entity)
{
	Datum		bias;
	Datum		factors;

	ReadSlot(side, slot, &bias, &factors);
	entity->bias = DatumGetFloat4(bias);
	entity->nfactors = model->record.factors;
	entity->factors = model_factors(model, side, factors);
	if (id == NULL || !recent_keep(side, id, true, entity, entity->nfactors))
		CopyEntity(model, side, bias, factors, entity);
}

static bool
FetchByIndex(const Model *model, ModelSide *side, Datum id, const IdBytes *bytes,
			 ModelEntity *entity)
{
	KeyScan		key_scan;
	bool		found;

	BeginKeyScan(side, &key_scan);
	found = FindKey(side, &key_scan, id);
	if (found)
	{
		TakeEntity(model, side, key_scan.slot, bytes, entity);
		if (bytes != NULL)
			tids_keep(side, bytes, &key_scan.slot->tts_tid,
					  side == &model->side[MF_USERS] ? model->record.users : model->record.items);
	}
	else if (bytes != NULL)
		(void) recent_keep(side, bytes, false, entity, model->record.factors);
	EndKeyScan(&key_scan);
	return found;
}

/* ---- Where it was before ---- */

/* Is this the row of the id? */
static bool
HasKey(const ModelSide *side, TupleTableSlot *slot, const IdBytes *id)
{
	bool		isnull;
	Datum		key = slot_getattr(slot, side->key_attno, &isnull);
	IdBytes		bytes;

	return !isnull && id_bytes(side, &key, &bytes) && id_bytes_equal(&bytes, id);
}

/* The row where one of such an id was found; false if that is none. */
static bool
FetchByTid(const Model *model, ModelSide *side, const IdBytes *id, ModelEntity *entity)
{
	ItemPointerData tid;
	Relation	rel;
	TupleTableSlot *slot;
	bool		found;

	if (!tids_find(side, id, &tid))
		return false;

	/* model_open() took the lock, until the end of the transaction. */
	rel = table_open(side->relid, NoLock);
	slot = Slot(side, rel);
	found = table_tuple_fetch_row_version(rel, &tid, GetActiveSnapshot(), slot) &&
		HasKey(side, slot, id);
	if (found)
		TakeEntity(model, side, slot, id, entity);
	ExecClearTuple(slot);
	table_close(rel, NoLock);
	return found;
}

/* ---- By SQL ---- */

typedef struct SqlFetch
{
	const Model *model;
	const ModelSide *side;
	MemoryContext context;
	ModelEntity *entity;
	bool		found;
} SqlFetch;

static bool
TakeRow(TupleTableSlot *slot, void *arg)
{
	SqlFetch   *fetch = arg;
	MemoryContext old;

	if (slot->tts_isnull[0] || slot->tts_isnull[1])
		NullInRow(fetch->side);
	old = MemoryContextSwitchTo(fetch->context);
	CopyEntity(fetch->model, fetch->side, slot->tts_values[0], slot->tts_values[1], fetch->entity);
	MemoryContextSwitchTo(old);
	fetch->found = true;
	return false;
}

static bool
FetchBySql(const Model *model, ModelSide *side, Datum id, ModelEntity *entity)
{
	static const Oid columns[] = {FLOAT4OID, FLOAT4ARRAYOID};
	Oid			type = getBaseType(side->key.type);
	SqlFetch	fetch = {model, side, CurrentMemoryContext, entity, false};
	SqlQuery	query = {
		.sql = psprintf("SELECT bias, factors FROM ONLY %s WHERE %s %s $1", side->table,
						sql_column(NULL, side->key.column, side->key.type),
						sql_operator(side->key.type, BTEqualStrategyNumber)),
		.from = &side->held,
		.nargs = 1,
		.types = &type,
		.values = &id,
		.ncolumns = lengthof(columns),
		.columns = columns,
		.read_only = true,
		.keep = true,
	};

	query_receive(&query, TakeRow, &fetch);
	return fetch.found;
}

bool
model_fetch(Model *model, MfSide which, Datum id, ModelEntity *entity)
{
	ModelSide  *side = &model->side[which];
	const RecentRow *recent;
	IdBytes		bytes;

	if (!side->access_checked)
		CheckAccess(side);
	if (side->row_security)
		return FetchBySql(model, side, id, entity);
	if (!id_bytes(side, &id, &bytes))
		return FetchByIndex(model, side, id, NULL, entity);

	recent = recent_find(side, &bytes);
	if (recent != NULL)
	{
		*entity = recent->entity;
		return recent->found;
	}
	side->fetches++;
	return FetchByTid(model, side, &bytes, entity) ||
		FetchByIndex(model, side, id, &bytes, entity);
}

/* ---- Many rows ---- */

struct ModelReader
{
	Model	   *model;
	ModelSide  *side;
	MemoryContext scan_context; /* lives as long as the reader */
	MemoryContext context;		/* of one row */
	KeyScan		key_scan;		/* unless row security applies */
};

ModelReader *
model_reader_begin(Model *model, MfSide which)
{
	ModelReader *reader = palloc0(sizeof(ModelReader));

	reader->model = model;
	reader->side = &model->side[which];
	reader->scan_context = CurrentMemoryContext;
	reader->context = AllocSetContextCreate(CurrentMemoryContext, "factor model reader",
											ALLOCSET_SMALL_SIZES);
	if (!reader->side->access_checked)
		CheckAccess(reader->side);
	if (!reader->side->row_security)
		BeginKeyScan(reader->side, &reader->key_scan);
	return reader;
}

bool
model_reader_fetch(ModelReader *reader, Datum id, ModelEntity *entity)
{
	ModelSide  *side = reader->side;
	MemoryContext old;
	bool		found;

	MemoryContextReset(reader->context);
	if (side->row_security)
	{
		old = MemoryContextSwitchTo(reader->context);
		found = FetchBySql(reader->model, side, id, entity);
		MemoryContextSwitchTo(old);
		return found;
	}

	/* Not in the row's context: the index keeps what it allocates to its end. */
	old = MemoryContextSwitchTo(reader->scan_context);
	found = FindKey(side, &reader->key_scan, id);
	MemoryContextSwitchTo(reader->context);
	if (found)
	{
		Datum		bias;
		Datum		factors;

		ReadSlot(side, reader->key_scan.slot, &bias, &factors);
		entity->bias = DatumGetFloat4(bias);
		entity->nfactors = reader->model->record.factors;
		entity->factors = model_factors(reader->model, side, factors);
	}
	MemoryContextSwitchTo(old);
	return found;
}

void
model_reader_end(ModelReader *reader)
{
	if (!reader->side->row_security)
		EndKeyScan(&reader->key_scan);
	MemoryContextDelete(reader->context);
	pfree(reader);
}

/*
 * seen.c: the items that a user has rated, read live.
 *
 * The rating table is read each time, not a copy made by training: an item
 * rated a minute ago is not recommended again. mf_models holds only the names
 * of the table and its columns, so each is looked up first. What is gone costs
 * the exclusion and brings a NOTICE; what may not be read is an error, since
 * the caller can say that it need not be.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/dest.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/plans.h"
#include "serve/rank.h"
#include "serve/seen.h"

static char *
SourceTable(const Model *model)
{
	return quote_qualified_identifier(model->record.source_schema,
									  model->record.source_table);
}

static void
NotRead(const Model *model, const char *what, bool *noticed)
{
	if (*noticed)
		return;
	*noticed = true;
	ereport(NOTICE,
			(errmsg("items that the user has rated are not excluded"),
			 errdetail("Model \"%s\" was trained from table %s, %s.",
					   quote_qualified_identifier(model->schema_name, model->name),
					   SourceTable(model), what),
			 errhint("Use exclude_seen => false, or train the model again.")));
}

static void
MayNotRead(const Model *model)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for table %s", SourceTable(model)),
			 errdetail("It says which items the user has rated."),
			 errhint("Use exclude_seen => false to get those items too.")));
}

static bool
MayRead(Oid relid, AttrNumber attno)
{
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck(relid, attno, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

/* A column of the source, if it still has the type that the model knows. */
static AttrNumber
SourceColumn(Oid relid, const char *column, const ModelKey *key)
{
	AttrNumber	attno = get_attnum(relid, column);

	if (attno > 0 &&
		getBaseType(get_atttype(relid, attno)) != getBaseType(key->type))
		return InvalidAttrNumber;
	return attno;
}

bool
seen_can_read(const Model *model, bool *noticed)
{
	const ModelRecord *record = &model->record;
	Oid			schema = get_namespace_oid(record->source_schema, true);
	Oid			relid;
	char		relkind;
	AttrNumber	user;
	AttrNumber	item;

	if (OidIsValid(schema) &&
		object_aclcheck(NamespaceRelationId, schema, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		MayNotRead(model);
	relid = !OidIsValid(schema) ? InvalidOid :
		RangeVarGetRelid(makeRangeVar(unconstify(char *, record->source_schema),
									  unconstify(char *, record->source_table), -1),
						 AccessShareLock, true);
	relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		relkind != RELKIND_VIEW && relkind != RELKIND_MATVIEW &&
		relkind != RELKIND_FOREIGN_TABLE)
	{
		NotRead(model, "which is gone", noticed);
		return false;
	}

	user = SourceColumn(relid, record->user_col, &model->side[MF_USERS].key);
	item = SourceColumn(relid, record->item_col, &model->side[MF_ITEMS].key);
	if (user <= 0 || item <= 0)
	{
		NotRead(model, psprintf("where column \"%s\" is gone or has another type",
								user <= 0 ? record->user_col : record->item_col),
				noticed);
		return false;
	}
	if (!MayRead(relid, user) || !MayRead(relid, item))
		MayNotRead(model);
	return true;
}

/* ---- Collecting the ids ---- */

typedef struct SeenReceiver
{
	DestReceiver pub;
	SeenItems  *seen;
	MemoryContext context;
	int64		capacity;
} SeenReceiver;

static bool
ReceiveRow(TupleTableSlot *slot, DestReceiver *self)
{
	SeenReceiver *receiver = (SeenReceiver *) self;
	SeenItems  *seen = receiver->seen;
	MemoryContext old;
	bool		isnull;
	Datum		id = slot_getattr(slot, 1, &isnull);

	if (isnull)
		return true;
	old = MemoryContextSwitchTo(receiver->context);
	if (seen->n == receiver->capacity)
	{
		receiver->capacity *= 2;
		seen->ids = repalloc_huge(seen->ids, mul_size(receiver->capacity, sizeof(Datum)));
	}
	seen->ids[seen->n++] = datumCopy(id, seen->type->typbyval, seen->type->typlen);
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

static int
CompareIds(const void *a, const void *b, void *arg)
{
	const SeenItems *seen = arg;

	return rank_compare_ids(seen->type, seen->collation,
							*(const Datum *) a, *(const Datum *) b);
}

static void
ReadIds(const Model *model, Datum user, SeenReceiver *receiver)
{
	const ModelRecord *record = &model->record;
	Oid			type = getBaseType(model->side[MF_USERS].key.type);
	ParamListInfo params = makeParamList(1);
	SPIExecuteOptions options;
	int			status;

	params->params[0].value = user;
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = type;

	SPI_connect();
	memset(&options, 0, sizeof(options));
	options.params = params;
	options.read_only = true;
	options.dest = &receiver->pub;
	status = SPI_execute_plan_extended(plan_get(psprintf("SELECT %s FROM %s WHERE %s %s $1",
														 quote_identifier(record->item_col),
														 SourceTable(model),
														 quote_identifier(record->user_col),
														 model_equality_operator(type)),
												1, &type),
									   &options);
	if (status != SPI_OK_SELECT)
		elog(ERROR, "could not read table %s: %s", SourceTable(model),
			 SPI_result_code_string(status));
	SPI_finish();
}

void
seen_read(const Model *model, Datum user, SeenItems *seen, bool *noticed)
{
	SeenReceiver receiver;

	memset(seen, 0, sizeof(*seen));
	if (!seen_can_read(model, noticed))
		return;

	memset(&receiver, 0, sizeof(receiver));
	receiver.pub.receiveSlot = ReceiveRow;
	receiver.pub.rStartup = Startup;
	receiver.pub.rShutdown = Nothing;
	receiver.pub.rDestroy = Nothing;
	receiver.pub.mydest = DestTuplestore;
	receiver.seen = seen;
	receiver.context = CurrentMemoryContext;
	receiver.capacity = 64;
	seen->type = rank_id_type(&model->side[MF_ITEMS].key);
	seen->collation = model->side[MF_ITEMS].key.collation;
	seen->ids = palloc(receiver.capacity * sizeof(Datum));

	ReadIds(model, user, &receiver);
	qsort_arg(seen->ids, seen->n, sizeof(Datum), CompareIds, seen);
}

bool
seen_skip(void *arg, Datum id)
{
	const SeenItems *seen = arg;
	int64		low = 0;
	int64		high = seen->n;

	while (low < high)
	{
		int64		middle = low + (high - low) / 2;
		int			order = rank_compare_ids(seen->type, seen->collation,
											 seen->ids[middle], id);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

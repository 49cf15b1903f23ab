/*
 * seen.c: what a user has rated, read live.
 *
 * The rating table is read each time, not a copy made by training: an item
 * rated a minute ago is not recommended again, and counts where the user's
 * vector is folded in. mf_models holds only the names of the table and its
 * columns, so each is looked up first. What is gone costs the exclusion and
 * brings a NOTICE; what may not be read is an error, since the caller can say
 * that it need not be. Where nothing can be done without the ratings both are
 * errors; where ratings would only have been tried, for a user who is not in
 * the model, both are notices.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "model/plans.h"
#include "model/receive.h"
#include "serve/seen.h"

static char *
SourceTable(const Model *model)
{
	return quote_qualified_identifier(model->record.source_schema,
									  model->record.source_table);
}

/* Something of the source is gone, or (with `what` NULL) may not be read. */
static void
NotRead(const Model *model, const SeenRequest *request, const char *what)
{
	char	   *detail = what == NULL ? "which you may not read" : unconstify(char *, what);

	if (request->ratings != NULL && request->required)
		ereport(ERROR,
				(errcode(what == NULL ? ERRCODE_INSUFFICIENT_PRIVILEGE :
						 ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 what == NULL ?
				 errmsg("permission denied for table %s", SourceTable(model)) :
				 errmsg("the ratings of the user cannot be read"),
				 what == NULL ?
				 errdetail("It says what the user has rated.") :
				 errdetail("Model \"%s\" was trained from table %s, %s.",
						   quote_qualified_identifier(model->schema_name, model->name),
						   SourceTable(model), what)));
	if (*request->noticed)
		return;
	*request->noticed = true;
	ereport(NOTICE,
			(request->ratings != NULL ?
			 errmsg("users that the model does not know are not looked up in its rating table") :
			 errmsg("items that the user has rated are not excluded"),
			 errdetail("Model \"%s\" was trained from table %s, %s.",
					   quote_qualified_identifier(model->schema_name, model->name),
					   SourceTable(model), detail),
			 request->ratings != NULL ?
			 errhint("Use live => false, which leaves such users without recommendations.") :
			 errhint("Use exclude_seen => false, or train the model again.")));
}

static void
MayNotRead(const Model *model, const SeenRequest *request)
{
	if (request->ratings == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", SourceTable(model)),
				 errdetail("It says which items the user has rated."),
				 errhint("Use exclude_seen => false to get those items too.")));
	NotRead(model, request, NULL);
}

static bool
MayRead(Oid relid, AttrNumber attno)
{
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck(relid, attno, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

/* A column of ids, if it still has the type that the model knows. */
static AttrNumber
IdColumn(Oid relid, const char *column, const ModelKey *key)
{
	AttrNumber	attno = get_attnum(relid, column);

	if (attno > 0 &&
		getBaseType(get_atttype(relid, attno)) != getBaseType(key->type))
		return InvalidAttrNumber;
	return attno;
}

/* The column of ratings, if it still is a number. */
static AttrNumber
RatingColumn(Oid relid, const char *column)
{
	AttrNumber	attno = get_attnum(relid, column);

	if (attno <= 0)
		return InvalidAttrNumber;
	switch (getBaseType(get_atttype(relid, attno)))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return attno;
		default:
			return InvalidAttrNumber;
	}
}

static bool
CheckColumns(const Model *model, const SeenRequest *request, Oid relid)
{
	const ModelRecord *record = &model->record;
	bool		rated = request->ratings != NULL && record->rating_col != NULL;
	bool		timed = request->ratings != NULL && record->filter.since != NULL;
	AttrNumber	user = IdColumn(relid, record->user_col, &model->side[MF_USERS].key);
	AttrNumber	item = IdColumn(relid, record->item_col, &model->side[MF_ITEMS].key);
	AttrNumber	rating = rated ? RatingColumn(relid, record->rating_col) : item;
	AttrNumber	time = timed ? get_attnum(relid, record->filter.time_col) : item;

	if (user <= 0 || item <= 0 || rating <= 0 || time <= 0)
	{
		NotRead(model, request,
				psprintf("where column \"%s\" is gone or has another type",
						 user <= 0 ? record->user_col :
						 item <= 0 ? record->item_col :
						 rating <= 0 ? record->rating_col : record->filter.time_col));
		return false;
	}
	if (!MayRead(relid, user) || !MayRead(relid, item) || !MayRead(relid, rating) ||
		!MayRead(relid, time))
	{
		MayNotRead(model, request);
		return false;
	}
	return true;
}

bool
seen_can_read(const Model *model, const SeenRequest *request)
{
	const ModelRecord *record = &model->record;
	Oid			schema = get_namespace_oid(record->source_schema, true);
	Oid			relid;
	char		relkind;

	if (OidIsValid(schema) &&
		object_aclcheck(NamespaceRelationId, schema, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
	{
		MayNotRead(model, request);
		return false;
	}
	relid = !OidIsValid(schema) ? InvalidOid :
		RangeVarGetRelid(makeRangeVar(unconstify(char *, record->source_schema),
									  unconstify(char *, record->source_table), -1),
						 AccessShareLock, true);
	relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		relkind != RELKIND_VIEW && relkind != RELKIND_MATVIEW &&
		relkind != RELKIND_FOREIGN_TABLE)
	{
		NotRead(model, request, "which is gone");
		return false;
	}
	if (isOtherTempNamespace(schema))
	{
		NotRead(model, request, "which is another session's temporary table");
		return false;
	}
	return CheckColumns(model, request, relid);
}

/* ---- Collecting the rows ---- */

typedef struct SeenReceiver
{
	DestReceiver pub;
	const SeenRequest *request;
} SeenReceiver;

static bool
ReceiveRow(TupleTableSlot *slot, DestReceiver *self)
{
	const SeenRequest *request = ((SeenReceiver *) self)->request;

	slot_getallattrs(slot);
	if (slot->tts_isnull[0])
		return true;
	if (request->ids != NULL)
		idlist_add(request->ids, slot->tts_values[0]);
	if (request->ratings != NULL && !slot->tts_isnull[1])
		basket_add(request->ratings, slot->tts_values[0],
				   DatumGetFloat8(slot->tts_values[1]));
	return true;
}

/* A rating's value: NULL, which says nothing, where training left the row out. */
static const char *
RatingExpression(const ModelRecord *record)
{
	const char *value = record->rating_col == NULL ? "1::pg_catalog.float8" :
		psprintf("%s::pg_catalog.float8", quote_identifier(record->rating_col));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, ", ");
	if (!filter_is_there(&record->filter))
		appendStringInfoString(&sql, value);
	else
	{
		appendStringInfoString(&sql, "CASE");
		(void) filter_append(&sql, "WHEN",
							 get_relname_relid(record->source_table,
											   get_namespace_oid(record->source_schema, false)),
							 record->rating_col, &record->filter);
		appendStringInfo(&sql, " THEN %s END", value);
	}
	return sql.data;
}

/* The items of user $1, with their ratings where those are wanted. */
static char *
Statement(const Model *model, const SeenRequest *request)
{
	const ModelRecord *record = &model->record;
	const char *rating = "";

	if (request->ratings != NULL)
		rating = RatingExpression(record);
	return psprintf("SELECT %s%s FROM %s WHERE %s %s $1",
					quote_identifier(record->item_col), rating, SourceTable(model),
					quote_identifier(record->user_col),
					model_equality_operator(getBaseType(model->side[MF_USERS].key.type)));
}

bool
seen_read(const Model *model, Datum user, const SeenRequest *request)
{
	Oid			type = getBaseType(model->side[MF_USERS].key.type);
	SeenReceiver receiver = {.request = request};

	if (!seen_can_read(model, request))
		return false;

	receiver_init(&receiver.pub, ReceiveRow);
	SPI_connect();
	receive_rows(&receiver.pub, plan_get(Statement(model, request), 1, &type), 1, &type, &user);
	SPI_finish();
	if (request->ids != NULL)
		idlist_sort(request->ids);
	return true;
}

bool
seen_skip(void *arg, Datum id)
{
	return idlist_contains(arg, id);
}

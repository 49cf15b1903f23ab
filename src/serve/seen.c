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

#include "access/relation.h"
#include "access/stratnum.h"
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
#include "utils/rel.h"

#include "compat.h"
#include "model/idsql.h"
#include "model/query.h"
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

/* The noted type of a column that was found. */
static Oid
ColumnType(const Held *source, AttrNumber attno)
{
	for (int k = 0; k < source->ncolumns; k++)
		if (source->column[k].attno == attno)
			return getBaseType(source->column[k].type);
	return InvalidOid;
}

/* A column of ids, if it still has a type that the model's ids can be found in. */
static AttrNumber
IdColumn(Held *source, const char *column, const ModelKey *key)
{
	AttrNumber	attno = held_column(source, column);

	return attno > 0 && id_column_suits(ColumnType(source, attno), key) ? attno :
		InvalidAttrNumber;
}

/* The column of ratings, if it still is a number. */
static AttrNumber
RatingColumn(Held *source, const char *column)
{
	AttrNumber	attno = held_column(source, column);

	if (attno <= 0)
		return InvalidAttrNumber;
	switch (ColumnType(source, attno))
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
CheckColumns(const Model *model, SeenRequest *request)
{
	const ModelRecord *record = &model->record;
	Held	   *source = &request->source;
	bool		rated = request->ratings != NULL && record->rating_col != NULL;
	bool		timed = request->ratings != NULL && record->filter.since != NULL;
	AttrNumber	user = IdColumn(source, record->user_col, &model->side[MF_USERS].key);
	AttrNumber	item = IdColumn(source, record->item_col, &model->side[MF_ITEMS].key);
	AttrNumber	rating = rated ? RatingColumn(source, record->rating_col) : item;
	AttrNumber	time = timed ? held_column(source, record->filter.time_col) : item;

	if (user <= 0 || item <= 0 || rating <= 0 || time <= 0)
	{
		NotRead(model, request,
				psprintf("where column \"%s\" is gone or has another type",
						 user <= 0 ? record->user_col :
						 item <= 0 ? record->item_col :
						 rating <= 0 ? record->rating_col : record->filter.time_col));
		return false;
	}
	if (!MayRead(source->relid, user) || !MayRead(source->relid, item) ||
		!MayRead(source->relid, rating) || !MayRead(source->relid, time))
	{
		MayNotRead(model, request);
		return false;
	}
	request->attno[MF_USERS] = user;
	request->attno[MF_ITEMS] = item;
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		request->type[side] = ColumnType(source, request->attno[side]);
		id_prepare_argument(&request->convert[side], request->type[side], model, side,
							CurrentMemoryContext);
	}
	return true;
}

/* The relation that the name leads to, locked and open; NULL if it is no table. */
static Relation
OpenSource(const Model *model)
{
	const ModelRecord *record = &model->record;
	Oid			relid;
	Relation	rel;

	relid = RangeVarGetRelid(makeRangeVar(unconstify(char *, record->source_schema),
										  unconstify(char *, record->source_table), -1),
							 AccessShareLock, true);
	if (!OidIsValid(relid))
		return NULL;
	rel = relation_open(relid, NoLock);
	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
			return rel;
	}
	relation_close(rel, NoLock);
	return NULL;
}

bool
seen_open(const Model *model, SeenRequest *request)
{
	Oid			schema = get_namespace_oid(model->record.source_schema, true);
	Relation	rel;

	if (OidIsValid(schema) &&
		object_aclcheck(NamespaceRelationId, schema, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
	{
		MayNotRead(model, request);
		return false;
	}
	rel = OidIsValid(schema) ? OpenSource(model) : NULL;
	if (rel == NULL)
	{
		NotRead(model, request, "which is gone");
		return false;
	}
	held_take(&request->source, rel);
	if (RELATION_IS_OTHER_TEMP(rel))
		NotRead(model, request, "which is another session's temporary table");
	else if (CheckColumns(model, request))
		return true;
	held_close(&request->source);
	return false;
}

/* ---- Collecting the rows ---- */

static bool
TakeRow(TupleTableSlot *slot, void *arg)
{
	SeenRequest *request = arg;
	Datum		id;

	/* What the model's type cannot hold it does not know. */
	if (slot->tts_isnull[0] ||
		!id_convert(&request->convert[MF_ITEMS], slot->tts_values[0], &id))
		return true;
	if (request->ids != NULL)
		idlist_add(request->ids, id);
	if (request->ratings != NULL && !slot->tts_isnull[1])
		basket_add(request->ratings, id, DatumGetFloat8(slot->tts_values[1]));
	return true;
}

/* A rating's value: NULL, which says nothing, where training left the row out. */
static const char *
RatingExpression(const ModelRecord *record, Oid relid)
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
		(void) filter_append(&sql, "WHEN", relid, record->rating_col, &record->filter);
		appendStringInfo(&sql, " THEN %s END", value);
	}
	return sql.data;
}

/* The items of user $1, with their ratings where those are wanted. */
static char *
Statement(const Model *model, const SeenRequest *request)
{
	const ModelRecord *record = &model->record;
	Oid			type = model->side[MF_USERS].key.type;
	const char *rating = "";

	if (request->ratings != NULL)
		rating = RatingExpression(record, request->source.relid);
	return psprintf("SELECT %s%s FROM %s WHERE %s %s $1",
					quote_identifier(record->item_col), rating, request->source.sql,
					sql_column(NULL, record->user_col, request->type[MF_USERS]),
					sql_operator(type, BTEqualStrategyNumber));
}

bool
seen_read(const Model *model, Datum user, SeenRequest *request)
{
	Oid			type = getBaseType(model->side[MF_USERS].key.type);
	Oid			columns[2] = {InvalidOid, FLOAT8OID};
	SqlQuery	query = {
		.from = &request->source,
		.nargs = 1,
		.types = &type,
		.values = &user,
		.ncolumns = request->ratings != NULL ? 2 : 1,
		.columns = columns,
		.read_only = true,
		.keep = true,
	};

	if (!seen_open(model, request))
		return false;
	columns[0] = request->type[MF_ITEMS];
	query.sql = Statement(model, request);
	query_receive(&query, TakeRow, request);
	held_close(&request->source);
	if (request->ids != NULL)
		idlist_sort(request->ids);
	return true;
}

bool
seen_skip(void *arg, Datum id)
{
	return idlist_contains(arg, id);
}

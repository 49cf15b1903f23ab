/*
 * guard.c: the trigger that keeps mf_models and mf_history honest.
 *
 * Everyone may write these tables as far as privileges go; row by row this
 * trigger admits what the owner of the model's tables may do. Row security
 * would say it more plainly, but then a dump by anyone but a superuser fails.
 *
 *	 INSERT	   who owns both tables (members and superusers included). The
 *			   column owner is set to the tables' owner, whatever was given.
 *			   Where a table is missing the row is left out with a NOTICE: the
 *			   row of a model dropped by hand must not break a restore.
 *	 UPDATE	   the same, for the old key and the new. The owner of the schema
 *			   may also change is_default.
 *	 DELETE	   the same, and the owner of the schema.
 *
 * A row is stale when one of its tables or its schema is gone. It may be
 * deleted, moved to tables of one's own, or lose its default flag at the hand
 * of the recorded owner, the schema's owner, the owner of the table that is
 * left, or, when none is left, anyone who may create tables in that schema (he
 * may well want the name), or anyone at all if there is no such schema.
 *
 * The default flag decides what others are served, so it has a rule more: it
 * may be set only by who may take it from the model that has it. (An INSERT
 * by others goes through without the flag, with a NOTICE.)
 *
 * Rows that replication applies (session_replication_role = replica) were admitted
 * where they come from, and are not sent twice: none is refused or left out. But
 * roles may have other names there, so the owner is still set to that of the tables
 * here, where they are there. That is why the trigger is ENABLE ALWAYS.
 *
 * A row cannot be trusted for having passed here (triggers can be switched
 * off), so model_open() compares its owner with that of the tables again.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "model/catalog.h"

PG_FUNCTION_INFO_V1(mf_guard);

/* A row that is about to be written or was there, and what the user may. */
typedef struct GuardedRow
{
	HeapTuple	tuple;
	const char *schema;
	const char *model;
	ModelTables tables;
	bool		whole;			/* both tables are there */
	bool		owns_tables;	/* all that are there, at least one */
	bool		owns_schema;
} GuardedRow;

static const char *
KeyColumn(HeapTuple tuple, TupleDesc desc, AttrNumber attno)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attno, desc, &isnull);

	/* NOT NULL is checked only after BEFORE triggers. */
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("null value in column \"%s\"",
						NameStr(TupleDescAttr(desc, attno - 1)->attname))));
	return pstrdup(NameStr(*DatumGetName(value)));
}

static void
LookAtModel(GuardedRow *row, const char *schema, const char *model)
{
	row->tuple = NULL;
	row->schema = schema;
	row->model = model;
	model_tables_find(row->schema, row->model, &row->tables);
	row->whole = OidIsValid(row->tables.relid[MF_USERS]) &&
		OidIsValid(row->tables.relid[MF_ITEMS]);
	row->owns_tables = model_tables_owned(&row->tables, GetUserId());
	row->owns_schema = OidIsValid(row->tables.schema) &&
		object_ownercheck(NamespaceRelationId, row->tables.schema, GetUserId());
}

/* The first two columns of both tables are the key. */
static void
LookAt(GuardedRow *row, HeapTuple tuple, TupleDesc desc)
{
	LookAtModel(row, KeyColumn(tuple, desc, Anum_models_schema),
				KeyColumn(tuple, desc, Anum_models_model));
	row->tuple = tuple;
}

/* Is the user the owner that mf_models has on record for the row's model? */
static bool
IsRecordedOwner(const GuardedRow *row, Oid extension_schema)
{
	CatalogRow	recorded;
	Oid			role;

	if (!catalog_row_find(extension_schema, row->schema, row->model,
						  GetActiveSnapshot(), &recorded))
		return false;
	role = get_role_oid(recorded.owner, true);
	return OidIsValid(role) && has_privs_of_role(GetUserId(), role);
}

/* May the user clear a stale row away? */
static bool
MayClearStale(const GuardedRow *row, Oid extension_schema)
{
	const ModelTables *tables = &row->tables;

	if (!OidIsValid(tables->schema))
		return true;
	if (row->owns_tables || row->owns_schema || IsRecordedOwner(row, extension_schema))
		return true;
	return !OidIsValid(tables->relid[MF_USERS]) &&
		!OidIsValid(tables->relid[MF_ITEMS]) &&
		object_aclcheck(NamespaceRelationId, tables->schema, GetUserId(),
						ACL_CREATE) == ACLCHECK_OK;
}

/* May the user remove the row, or move it elsewhere? */
static bool
MayRemove(const GuardedRow *row, Oid extension_schema)
{
	if (row->whole)
		return row->owns_tables || row->owns_schema;
	return MayClearStale(row, extension_schema);
}

bool
model_row_removable(Oid extension_schema, const char *schema, const char *model)
{
	GuardedRow	row;

	LookAtModel(&row, schema, model);
	return MayRemove(&row, extension_schema);
}

static void
Refuse(const GuardedRow *row)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("must be owner of model \"%s\"",
					model_name_quote(row->schema, row->model)),
			 row->whole ?
			 errdetail("Its tables belong to role \"%s\".",
					   GetUserNameFromId(row->tables.owner[MF_USERS], true)) :
			 errdetail("One or both of its tables are gone.")));
}

static bool
Flag(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, Anum_models_is_default, desc, &isnull);

	return !isnull && DatumGetBool(value);
}

/*
 * A valid default of the row's schema, other than the row, that the user may
 * not take the flag from; NULL if there is none. *any tells whether there is a
 * default at all.
 */
static CatalogRow *
DefaultInTheWay(const GuardedRow *row, Oid extension_schema, bool *any)
{
	ListCell   *cell;

	*any = false;
	foreach(cell, catalog_rows_flagged(extension_schema, row->schema, GetActiveSnapshot()))
	{
		CatalogRow *other = lfirst(cell);
		ModelTables tables;

		if (strcmp(other->name, row->model) == 0)
			continue;
		model_tables_find(other->schema, other->name, &tables);
		if (!catalog_row_valid(other, &tables))
			continue;
		*any = true;
		if (!row->owns_schema && !model_tables_owned(&tables, GetUserId()))
			return other;
	}
	return NULL;
}

/*
 * The rule for taking the default flag. Without a valid default the model's or
 * the schema's owner may; else who may take it from every model that has it.
 */
static void
CheckMayTakeDefault(const GuardedRow *row, Oid extension_schema)
{
	bool		any;
	CatalogRow *other = DefaultInTheWay(row, extension_schema, &any);

	if (other != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to change the default model of schema \"%s\"",
						row->schema),
				 errdetail("The default model \"%s\" belongs to role \"%s\".",
						   other->name, other->owner),
				 errhint("Its owner or the schema's can change it; the setting \"factor.model\" chooses a model for one session.")));
	if (!any && !row->owns_tables && !row->owns_schema)
		Refuse(row);
}

/* Do two versions of a row differ in is_default alone? */
static bool
OnlyFlagDiffers(HeapTuple a, HeapTuple b, TupleDesc desc)
{
	int			i;

	for (i = 1; i <= desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i - 1);
		bool		anull,
					bnull;
		Datum		avalue = heap_getattr(a, i, desc, &anull);
		Datum		bvalue = heap_getattr(b, i, desc, &bnull);

		if (i == Anum_models_is_default || att->attisdropped)
			continue;
		if (anull != bnull ||
			(!anull && !datum_image_eq(avalue, bvalue, att->attbyval, att->attlen)))
			return false;
	}
	return true;
}

/*
 * The row as it may be stored: with the owner that its tables have, and
 * without the default flag if it may not be had.
 */
static HeapTuple
AsStored(const GuardedRow *row, TupleDesc desc, bool drop_flag)
{
	NameData	owner;
	int			columns[2] = {Anum_models_owner, Anum_models_is_default};
	Datum		values[2];
	bool		nulls[2] = {false, false};

	namestrcpy(&owner, GetUserNameFromId(row->tables.owner[MF_USERS], false));
	values[0] = NameGetDatum(&owner);
	values[1] = BoolGetDatum(false);
	return heap_modify_tuple_by_cols(row->tuple, desc, drop_flag ? 2 : 1,
									 columns, values, nulls);
}

/*
 * A flag that another's model has is not worth failing for: a first training
 * may have been overtaken by another, and a restore should go on.
 */
static HeapTuple
GuardInsert(const GuardedRow *row, TupleDesc desc, bool is_models, Oid extension_schema)
{
	CatalogRow *other = NULL;
	bool		any;

	if (!row->whole)
	{
		ereport(is_models ? NOTICE : DEBUG1,
				(errmsg("model \"%s\" is left out", model_name_quote(row->schema, row->model)),
				 errdetail("One or both of its tables are gone.")));
		return NULL;
	}
	if (!row->owns_tables)
		Refuse(row);
	if (!is_models)
		return row->tuple;

	if (Flag(row->tuple, desc))
		other = DefaultInTheWay(row, extension_schema, &any);
	if (other != NULL)
		ereport(NOTICE,
				(errmsg("model \"%s\" does not become the default of its schema",
						model_name_quote(row->schema, row->model)),
				 errdetail("The default model \"%s\" belongs to role \"%s\".",
						   other->name, other->owner)));
	return AsStored(row, desc, other != NULL);
}

/* A row that replication applies: right but for its owner's name. */
static HeapTuple
GuardReplicated(const GuardedRow *row, TupleDesc desc, bool is_models)
{
	return is_models && row->whole ? AsStored(row, desc, false) : row->tuple;
}

static HeapTuple
GuardUpdate(const GuardedRow *old, const GuardedRow *new, TupleDesc desc, bool is_models,
			Oid extension_schema)
{
	bool		moved = strcmp(old->schema, new->schema) != 0 ||
		strcmp(old->model, new->model) != 0;
	bool		had_flag = is_models && Flag(old->tuple, desc);
	bool		has_flag = is_models && Flag(new->tuple, desc);

	if (has_flag && (!had_flag || moved))
		CheckMayTakeDefault(new, extension_schema);

	if (is_models && !moved && !(new->whole && new->owns_tables) &&
		OnlyFlagDiffers(old->tuple, new->tuple, desc))
	{
		/* Taking the flag was checked; a row of gone tables only loses it. */
		if (had_flag == has_flag || !has_flag)
		{
			if (!MayRemove(new, extension_schema))
				Refuse(new);
		}
		else if (!new->whole)
			Refuse(new);
		return new->tuple;
	}

	if (!new->whole || !new->owns_tables)
		Refuse(new);
	if (moved && !MayRemove(old, extension_schema))
		Refuse(old);
	return is_models ? AsStored(new, desc, false) : new->tuple;
}

Datum
mf_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Relation	rel;
	TupleDesc	desc;
	Oid			extension_schema;
	bool		is_models;
	GuardedRow	row;
	GuardedRow	new;
	HeapTuple	result;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("mf_guard() must be called as a trigger before each row")));

	rel = trigger->tg_relation;
	desc = RelationGetDescr(rel);
	extension_schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	is_models = RelationGetRelid(rel) == catalog_relid(extension_schema, "mf_models");
	if (!is_models && RelationGetRelid(rel) != catalog_relid(extension_schema, "mf_history"))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("mf_guard() cannot be a trigger of table \"%s\"",
						RelationGetRelationName(rel))));
	catalog_check_table(rel, is_models);

	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
	{
		if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
			return PointerGetDatum(trigger->tg_trigtuple);
		LookAt(&row, TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
			   trigger->tg_newtuple : trigger->tg_trigtuple, desc);
		return PointerGetDatum(GuardReplicated(&row, desc, is_models));
	}

	LookAt(&row, trigger->tg_trigtuple, desc);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		result = GuardInsert(&row, desc, is_models, extension_schema);
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		LookAt(&new, trigger->tg_newtuple, desc);
		result = GuardUpdate(&row, &new, desc, is_models, extension_schema);
	}
	else
	{
		if (!MayRemove(&row, extension_schema))
			Refuse(&row);
		result = row.tuple;
	}
	return PointerGetDatum(result);
}

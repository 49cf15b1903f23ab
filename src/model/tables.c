/*
 * tables.c: the two tables of a model: what is there, what may be written.
 *
 * Nothing but names ties a model to its tables, so that a dump, a rename or a
 * table dropped by hand leaves no dangling reference. The price is that what a
 * name finds has to be looked at each time: is it an ordinary table, are the
 * columns those of a model, which column is the primary key? That is done
 * here, once for training and serving alike.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "model/catalog.h"

/* The columns that every model's table has beside its key. */
static const struct
{
	const char *name;
	Oid			type;
}			SideColumns[] = {
	{"bias", FLOAT4OID},
	{"factors", FLOAT4ARRAYOID},
	{"ratings", INT4OID},
	{"rating_sum", FLOAT8OID},
	{"digest", INT8OID},
};

void
model_tables_find(const char *schema, const char *model, ModelTables *tables)
{
	MfSide		side;

	memset(tables, 0, sizeof(*tables));
	tables->schema = get_namespace_oid(schema, true);
	if (!OidIsValid(tables->schema) || strlen(model) > MODEL_NAME_MAX)
		return;

	for (side = MF_USERS; side <= MF_ITEMS; side++)
	{
		Oid			relid = get_relname_relid(model_table_name(model, side),
											  tables->schema);
		HeapTuple	tuple;

		if (!OidIsValid(relid))
			continue;
		tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
		if (!HeapTupleIsValid(tuple))
			continue;
		if (((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_RELATION)
		{
			tables->relid[side] = relid;
			tables->owner[side] = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		}
		ReleaseSysCache(tuple);
	}
}

bool
model_tables_owned(const ModelTables *tables, Oid role)
{
	MfSide		side;
	bool		any = false;

	for (side = MF_USERS; side <= MF_ITEMS; side++)
	{
		if (!OidIsValid(tables->relid[side]))
			continue;
		if (!object_ownercheck(RelationRelationId, tables->relid[side], role))
			return false;
		any = true;
	}
	return any;
}

/* The one column of the primary key, if it is a plain one. */
static AttrNumber
PrimaryKeyColumn(Relation rel, Oid *index)
{
	HeapTuple	tuple;
	Form_pg_index form;
	AttrNumber	attno = InvalidAttrNumber;

	*index = relation_primary_key(rel);
	if (!OidIsValid(*index))
		return InvalidAttrNumber;

	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(*index));
	/* Cannot happen: the table is open, and none of its indexes goes meanwhile. */
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", *index);
	form = (Form_pg_index) GETSTRUCT(tuple);
	if (form->indnkeyatts == 1 && form->indisvalid && form->indimmediate)
		attno = form->indkey.values[0];
	ReleaseSysCache(tuple);
	return attno;
}

bool
model_side_inspect(Relation rel, ModelSide *side, const char **problem)
{
	Form_pg_attribute att;
	int			i;

	memset(side, 0, sizeof(*side));
	held_take(&side->held, rel);
	side->relid = side->held.relid;
	side->table = unconstify(char *, side->held.sql);

	for (i = 0; i < lengthof(SideColumns); i++)
	{
		AttrNumber	attno = held_column(&side->held, SideColumns[i].name);

		if (attno == InvalidAttrNumber)
		{
			*problem = psprintf("Table %s has no column \"%s\".",
								side->table, SideColumns[i].name);
			return false;
		}
		if (TupleDescAttr(RelationGetDescr(rel), attno - 1)->atttypid != SideColumns[i].type)
		{
			*problem = psprintf("Column \"%s\" of table %s is not of type %s.",
								SideColumns[i].name, side->table,
								format_type_be(SideColumns[i].type));
			return false;
		}
		if (i == 0)
			side->bias_attno = attno;
		else if (i == 1)
			side->factors_attno = attno;
	}

	side->key_attno = PrimaryKeyColumn(rel, &side->index);
	if (side->key_attno == InvalidAttrNumber)
	{
		*problem = psprintf("Table %s has no primary key of one column.", side->table);
		return false;
	}
	att = TupleDescAttr(RelationGetDescr(rel), side->key_attno - 1);
	side->key.column = pstrdup(NameStr(att->attname));
	(void) held_column(&side->held, side->key.column);
	side->key.type = att->atttypid;
	side->key.typmod = att->atttypmod;
	side->key.collation = att->attcollation;
	side->key_byval = att->attbyval;
	side->key_length = att->attlen;
	return true;
}

char *
model_collate_clause(Oid collation)
{
	HeapTuple	tuple;
	Form_pg_collation form;
	char	   *clause;

	if (!OidIsValid(collation))
		return "";
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	/* Cannot happen: a column of an open table has it. */
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	clause = psprintf(" COLLATE %s",
					  quote_qualified_identifier(get_namespace_name(form->collnamespace),
												 NameStr(form->collname)));
	ReleaseSysCache(tuple);
	return clause;
}

/* The key's columns may not take a name that the tables need. */
static void
CheckKeyNames(const ModelKey key[2])
{
	MfSide		side;
	int			i;

	for (side = MF_USERS; side <= MF_ITEMS; side++)
		for (i = 0; i < lengthof(SideColumns); i++)
			if (strcmp(key[side].column, SideColumns[i].name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("%s column \"%s\" has a name that the model's tables need",
								side == MF_USERS ? "user" : "item", key[side].column),
						 errhint("Train from a view that gives the column another name.")));
}

/* The schema that a model is trained into, as CREATE TABLE would choose it. */
static Oid
CreationSchema(const ModelName *name)
{
	RangeVar   *rv = makeRangeVar(unconstify(char *, name->schema),
								  unconstify(char *, name->name), -1);
	Oid			schema = RangeVarGetCreationNamespace(rv);

	if (isAnyTempNamespace(schema))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("cannot train model \"%s\" in a temporary schema", name->name),
				 errhint("Qualify the model's name with another schema.")));
	return schema;
}

static void
CheckSchemaRight(Oid schema, AclMode mode)
{
	AclResult	result = object_aclcheck(NamespaceRelationId, schema, GetUserId(), mode);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_SCHEMA, get_namespace_name(schema));
}

/*
 * Two deterministic collations tell the same strings apart, however they order
 * them. A nondeterministic one agrees with itself alone: ids that are one under
 * it would be two rows of a model, or the other way round.
 */
static bool
SameEquality(Oid a, Oid b)
{
	return a == b || !OidIsValid(a) || !OidIsValid(b) ||
		(get_collation_isdeterministic(a) && get_collation_isdeterministic(b));
}

static void
CheckSameEquality(const ModelTarget *target, MfSide which, const ModelSide *side)
{
	const ModelKey *want = &target->key[which];
	const ModelKey *have = &side->key;

	if (SameEquality(want->collation, have->collation))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_COLLATION_MISMATCH),
			 errmsg("model \"%s\" tells %s ids apart otherwise than the ratings do",
					model_name_quote(target->schema_name, target->name),
					which == MF_USERS ? "user" : "item"),
			 errdetail("The key of table %s has collation \"%s\", the column \"%s\" of the ratings \"%s\".",
					   side->table, get_collation_name(have->collation), want->column,
					   get_collation_name(want->collation)),
			 errhint("Change the model's column with ALTER TABLE %s ALTER %s TYPE %s%s, or drop the model with mf_drop(%s).",
					 side->table, quote_identifier(have->column),
					 format_type_with_typemod(have->type, have->typmod),
					 model_collate_clause(want->collation),
					 quote_literal_cstr(model_name_quote(target->schema_name, target->name)))));
}

static bool
IsInteger(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* What to do about a key of another type: as little as will do. */
static int
KeyHint(const ModelTarget *target, const ModelSide *side, const ModelKey *want)
{
	const ModelKey *have = &side->key;
	char	   *drop = psprintf("choose another model name, or drop the model with mf_drop(%s).",
								quote_literal_cstr(model_name_quote(target->schema_name,
																	target->name)));

	if (strcmp(have->column, want->column) == 0 &&
		((IsInteger(have->type) && IsInteger(want->type)) || have->type == want->type))
		return errhint("ALTER TABLE %s ALTER %s TYPE %s is enough; or %s",
					   side->table, quote_identifier(have->column),
					   format_type_with_typemod(want->type, want->typmod), drop);
	if (strcmp(have->column, want->column) != 0 && have->type == want->type)
		return errhint("ALTER TABLE %s RENAME %s TO %s is enough; or %s",
					   side->table, quote_identifier(have->column),
					   quote_identifier(want->column), drop);
	drop[0] = 'C';
	return errhint("%s", drop);
}

/* An existing table of a model must have the key that this training has. */
static void
CheckSameKey(ModelTarget *target, MfSide which, const ModelSide *side)
{
	const ModelKey *want = &target->key[which];
	const ModelKey *have = &side->key;

	if (strcmp(have->column, want->column) == 0 && have->type == want->type &&
		(have->typmod == -1 || have->typmod == want->typmod))
	{
		CheckSameEquality(target, which, side);
		/* The rows are written with the table's own collation. */
		target->key[which] = *have;
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("model \"%s\" has other %s ids than the ratings",
					model_name_quote(target->schema_name, target->name),
					which == MF_USERS ? "user" : "item"),
			 errdetail("The key of table %s is \"%s\" of type %s; the ratings have \"%s\" of type %s.",
					   side->table,
					   have->column, format_type_with_typemod(have->type, have->typmod),
					   want->column, format_type_with_typemod(want->type, want->typmod)),
			 KeyHint(target, side, want)));
}

/*
 * Tables without a row in mf_models are no model's, whatever they look like; but
 * where they look like one's, they may well have come from a dump without it.
 */
static void
RefuseUnknown(const ModelTarget *target, Relation rel)
{
	char	   *quoted = model_name_quote(target->schema_name, target->name);
	ModelSide	side;
	const char *problem;

	if (!model_side_inspect(rel, &side, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("model name \"%s\" is taken by tables that are not a model", quoted),
				 errdetail("Table \"%s\" is there, but mf_models has no such model.",
						   RelationGetRelationName(rel)),
				 errhint("Choose another model name, or drop or rename the tables.")));
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg("the tables of model \"%s\" are there without its row in mf_models", quoted),
			 errdetail("A dump of some schemas or tables leaves mf_models and mf_history out, and so do copies of a model's tables."),
			 errhint("Dump with --extension=factor too, and restore the rows; or drop or rename the tables %s and %s, and train again.",
					 quote_qualified_identifier(target->schema_name,
												model_table_name(target->name, MF_USERS)),
					 quote_qualified_identifier(target->schema_name,
												model_table_name(target->name, MF_ITEMS)))));
}

/*
 * Looks at the tables of a model that is to be replaced, under a lock that
 * keeps their definition. With `keep` they stay open, and locked.
 */
static void
CheckTables(ModelTarget *target, bool known, LOCKMODE lockmode, bool keep)
{
	Oid			owner[2];
	MfSide		which;

	for (which = MF_USERS; which <= MF_ITEMS; which++)
	{
		Relation	rel = relation_open(target->relid[which], lockmode);
		ModelSide	side;
		const char *problem;

		if (!known)
			RefuseUnknown(target, rel);
		if (!object_ownercheck(RelationRelationId, RelationGetRelid(rel), GetUserId()))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of model \"%s\"",
							model_name_quote(target->schema_name, target->name)),
					 errdetail("Table \"%s\" belongs to role \"%s\".",
							   RelationGetRelationName(rel),
							   GetUserNameFromId(rel->rd_rel->relowner, false)),
					 errhint("Choose another model name, or a schema of your own.")));
		if (!model_side_inspect(rel, &side, &problem))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the tables of model \"%s\" are not as training left them",
							model_name_quote(target->schema_name, target->name)),
					 errdetail_internal("%s", problem),
					 errhint("Drop the model with mf_drop(%s), or put the table right.",
							 quote_literal_cstr(model_name_quote(target->schema_name,
																 target->name)))));
		CheckSameKey(target, which, &side);
		owner[which] = rel->rd_rel->relowner;
		if (keep)
			target->held[which] = side.held;
		else
			relation_close(rel, lockmode);
	}

	if (owner[MF_USERS] != owner[MF_ITEMS])
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the tables of model \"%s\" have different owners",
						model_name_quote(target->schema_name, target->name)),
				 errhint("Give both to one role with ALTER TABLE ... OWNER TO.")));
	if (OidIsValid(target->owner) && target->owner != owner[MF_USERS])
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("model \"%s\" was given to another role while it was trained",
						model_name_quote(target->schema_name, target->name))));
	target->owner = owner[MF_USERS];
}

/*
 * Finds the target's tables by their names. Errors where something is in the
 * way: one of the two alone, or what is no table.
 */
static void
FindTables(ModelTarget *target, bool known)
{
	ModelTables tables;
	MfSide		which;

	model_tables_find(target->schema_name, target->name, &tables);
	target->exists = OidIsValid(tables.relid[MF_USERS]) && OidIsValid(tables.relid[MF_ITEMS]);
	memcpy(target->relid, tables.relid, sizeof(target->relid));
	if (target->exists)
		return;

	for (which = MF_USERS; which <= MF_ITEMS; which++)
	{
		char	   *table = model_table_name(target->name, which);

		if (!OidIsValid(get_relname_relid(table, target->schema)))
			continue;
		if (known && OidIsValid(tables.relid[which]))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("model \"%s\" has lost one of its tables",
							model_name_quote(target->schema_name, target->name)),
					 errdetail("Table \"%s\" is there, \"%s\" is not.",
							   table, model_table_name(target->name, MF_OTHER_SIDE(which))),
					 errhint("Drop the rest of the model with mf_drop(%s).",
							 quote_literal_cstr(model_name_quote(target->schema_name,
																 target->name)))));
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("model name \"%s\" is taken by a relation that is not a model",
						model_name_quote(target->schema_name, target->name)),
				 errdetail("Relation \"%s\" is in the way.", table),
				 errhint("Choose another model name, or drop or rename the relation.")));
	}
}

/* What the model was trained from, if that is there. */
static Oid
SourceOf(const CatalogRow *row)
{
	Oid			schema;

	if (row->nulls[Anum_models_source_schema - 1] || row->nulls[Anum_models_source_table - 1])
		return InvalidOid;
	schema = get_namespace_oid(NameStr(*DatumGetName(row->values[Anum_models_source_schema - 1])),
							   true);
	return !OidIsValid(schema) ? InvalidOid :
		get_relname_relid(NameStr(*DatumGetName(row->values[Anum_models_source_table - 1])), schema);
}

/*
 * May the target be written? Looks with the latest snapshot, for what another
 * session has committed counts even where this transaction does not see it.
 * While training goes on the tables are not locked (a waiting ALTER TABLE
 * would make readers wait behind it), so this is done again before writing.
 */
static void
CheckTarget(ModelTarget *target, LOCKMODE lockmode, bool keep)
{
	CatalogRow	row;
	bool		known;

	known = catalog_row_find(target->extension_schema, target->schema_name,
							 target->name, GetLatestSnapshot(), &row);
	target->source = known ? SourceOf(&row) : InvalidOid;
	FindTables(target, known);
	CheckSchemaRight(target->schema, ACL_USAGE);
	if (target->exists)
		CheckTables(target, known, lockmode, keep);
	else
		CheckSchemaRight(target->schema, ACL_CREATE);
}

ModelTarget *
model_target_open(Oid extension_schema, const char *name, const ModelKey key[2])
{
	ModelTarget *target = palloc0(sizeof(ModelTarget));
	ModelName	parsed;

	PreventCommandDuringRecovery("mf_train()");
	PreventCommandIfReadOnly("mf_train()");
	PreventCommandIfParallelMode("mf_train()");

	parsed = model_name_parse(name);
	CheckKeyNames(key);
	target->extension_schema = extension_schema;
	target->schema = CreationSchema(&parsed);
	target->schema_name = get_namespace_name(target->schema);
	target->name = parsed.name;
	target->caller = GetUserId();
	target->key[MF_USERS] = key[MF_USERS];
	target->key[MF_ITEMS] = key[MF_ITEMS];

	model_name_lock(target->schema, target->name);
	CheckTarget(target, AccessShareLock, false);
	return target;
}

void
model_target_recheck(ModelTarget *target)
{
	bool		existed = target->exists;

	if (target->rechecked)
		return;
	CheckTarget(target, RowExclusiveLock, true);
	if (target->exists != existed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("the tables of model \"%s\" were created or dropped while it was trained",
						model_name_quote(target->schema_name, target->name))));
	for (MfSide side = MF_USERS; side <= MF_ITEMS && target->model != NULL; side++)
		if (target->relid[side] != target->model->side[side].relid)
			held_changed(&target->model->side[side].held);
	target->rechecked = true;
}

void
model_target_hold(ModelTarget *target, MfSide which)
{
	char	   *table = model_table_name(target->name, which);
	Oid			relid = get_relname_relid(table, target->schema);
	ModelSide	side;
	const char *problem;

	/* Event triggers may have done something to it. */
	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_RELATION ||
		!object_ownercheck(RelationRelationId, relid, GetUserId()) ||
		!model_side_inspect(relation_open(relid, RowExclusiveLock), &side, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is not as it was created",
						quote_qualified_identifier(target->schema_name, table)),
				 errhint("Look for an event trigger.")));
	CheckSameKey(target, which, &side);
	target->relid[which] = relid;
	target->held[which] = side.held;
}

/*
 * The record speaks of tables by their names, so they must have kept them. What was
 * written to a table is in it, whatever it is called by now.
 */
void
model_target_check(const ModelTarget *target)
{
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		if (target->held[side].rel != NULL)
			held_check(&target->held[side]);
}

void
model_target_close(ModelTarget *target)
{
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		held_close(&target->held[side]);
}

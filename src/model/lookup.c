/*
 * lookup.c: from a name, or none, to a model that can be served.
 *
 * A bare name is looked for along the search_path, as a table's is. No name
 * means the setting factor.model, or else the default model of the first
 * schema on the search_path that has one.
 *
 * mf_models holds names that anyone's DROP, RENAME or OWNER TO may have made
 * untrue, so a row counts only with its tables: rows whose tables are gone are
 * passed over while another schema has a model of that name, and the model is
 * served only if row and tables have one owner.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opfamily.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "model/catalog.h"

/* The search_path's schemas, but for pg_catalog and temporary ones. */
static List *
SearchPath(void)
{
	int			size = 16;
	Oid		   *schemas = palloc(size * sizeof(Oid));
	int			n = fetch_search_path_array(schemas, size);
	List	   *result = NIL;
	int			i;

	if (n > size)
	{
		size = n;
		schemas = repalloc(schemas, size * sizeof(Oid));
		n = fetch_search_path_array(schemas, size);
	}
	for (i = 0; i < n; i++)
	{
		char	   *name;

		if (schemas[i] == PG_CATALOG_NAMESPACE)
			continue;
		name = get_namespace_name(schemas[i]);
		if (name != NULL)
			result = lappend(result, name);
	}
	return result;
}

static bool
ResolveDefault(Oid extension_schema, Snapshot snapshot, CatalogRow *row)
{
	ListCell   *cell;

	foreach(cell, SearchPath())
	{
		CatalogRow *found = catalog_default(extension_schema, lfirst(cell), snapshot);

		if (found != NULL)
		{
			*row = *found;
			return true;
		}
	}
	return false;
}

bool
model_resolve(Oid extension_schema, const char *name, Snapshot snapshot, CatalogRow *row)
{
	ModelName	parsed;
	ListCell   *cell;
	bool		found = false;

	if (name == NULL && factor_model != NULL && factor_model[0] != '\0')
		name = factor_model;
	if (name == NULL)
		return ResolveDefault(extension_schema, snapshot, row);

	parsed = model_name_parse(name);
	if (parsed.schema != NULL)
	{
		/* For the right of USAGE; a row may outlive its schema. */
		(void) LookupExplicitNamespace(parsed.schema, true);
		return catalog_row_find(extension_schema, parsed.schema, parsed.name, snapshot, row);
	}

	foreach(cell, SearchPath())
	{
		CatalogRow	candidate;
		ModelTables tables;

		if (!catalog_row_find(extension_schema, lfirst(cell), parsed.name, snapshot, &candidate))
			continue;
		model_tables_find(candidate.schema, candidate.name, &tables);
		if (OidIsValid(tables.relid[MF_USERS]) || OidIsValid(tables.relid[MF_ITEMS]))
		{
			*row = candidate;
			return true;
		}
		if (!found)
			*row = candidate;
		found = true;
	}
	return found;
}

/* The name in quotes, if there is a model that is called so to the letter. */
static char *
QuotedModel(Oid extension_schema, const char *name)
{
	char	   *quoted = model_name_quoted(name);
	CatalogRow	row;

	if (quoted == NULL || !model_resolve(extension_schema, quoted, GetLatestSnapshot(), &row))
		return NULL;
	return quoted;
}

void
model_not_found(Oid extension_schema, const char *name)
{
	bool		set = (name == NULL && factor_model != NULL && factor_model[0] != '\0');
	char	   *quoted;

	if (name == NULL && !set)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no model is named, and there is no default model"),
				 errhint("Name a model in the call or in the setting \"factor.model\", choose a default with mf_default(), or train a model with mf_train().")));
	quoted = QuotedModel(extension_schema, set ? factor_model : name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("model \"%s\" does not exist", set ? factor_model : name),
			 quoted != NULL ?
			 errhint("There is a model that is called so to the letter: write its name in double quotes, %s.",
					 quote_literal_cstr(quoted)) :
			 set ? errhint("The setting \"factor.model\" names it.") :
			 errhint("The table mf_models lists the models that there are.")));
}

static void
TablesGone(const CatalogRow *row, const char *table)
{
	char	   *quoted = model_name_quote(row->schema, row->name);

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("model \"%s\" has lost its tables", quoted),
			 errdetail("There is no table \"%s\" in schema \"%s\".", table, row->schema),
			 errhint("Drop what is left of it with mf_drop(%s), and train it again.",
					 quote_literal_cstr(quoted))));
}

/* How to find a key by the primary key's index. */
static void
PrepareIndex(ModelSide *side)
{
	Relation	index = index_open(side->index, AccessShareLock);
	Oid			family = index->rd_opfamily[0];
	Oid			type = index->rd_opcintype[0];
	Oid			operator = get_opfamily_member(family, type, type, BTEqualStrategyNumber);

	if (!OidIsValid(operator))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify an equality operator for type %s",
						format_type_be(type)),
				 errdetail("The operator class of the primary key of table %s has none.",
						   side->table)));
	side->eq_function = get_opcode(operator);
	side->eq_collation = index->rd_indcollation[0];
	index_close(index, NoLock);
}

static void
OpenSide(const CatalogRow *row, MfSide which, ModelSide *side)
{
	char	   *table = model_table_name(row->name, which);
	RangeVar   *rv = makeRangeVar(unconstify(char *, row->schema), table, -1);
	Oid			relid = RangeVarGetRelid(rv, AccessShareLock, true);
	Relation	rel;
	const char *problem;

	if (!OidIsValid(relid))
		TablesGone(row, table);
	rel = relation_open(relid, NoLock);
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		TablesGone(row, table);
	if (rel->rd_rel->relowner != get_role_oid(row->owner, true))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" and its table \"%s\" have different owners",
						model_name_quote(row->schema, row->name), table),
				 errdetail("mf_models names \"%s\", the table belongs to \"%s\".",
						   row->owner, GetUserNameFromId(rel->rd_rel->relowner, true)),
				 errhint("Give both tables to one role, who then sets mf_models.owner by training again or by UPDATE.")));
	if (!model_side_inspect(rel, side, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the tables of model \"%s\" are not as training left them",
						model_name_quote(row->schema, row->name)),
				 errdetail_internal("%s", problem),
				 errhint("Put the table right, or train the model again under another name.")));
	PrepareIndex(side);
	model_check_parallel(side);
}

Model *
model_open(Oid extension_schema, const char *name)
{
	Model	   *model = palloc0(sizeof(Model));
	CatalogRow	row;

	if (!model_resolve(extension_schema, name, GetActiveSnapshot(), &row))
		model_not_found(extension_schema, name);

	model->extension_schema = extension_schema;
	model->schema = get_namespace_oid(row.schema, true);
	if (!OidIsValid(model->schema))
		TablesGone(&row, model_table_name(row.name, MF_USERS));
	model->schema_name = unconstify(char *, row.schema);
	model->name = unconstify(char *, row.name);
	catalog_row_record(&row, &model->record);
	model->owner = get_role_oid(row.owner, true);
	OpenSide(&row, MF_USERS, &model->side[MF_USERS]);
	OpenSide(&row, MF_ITEMS, &model->side[MF_ITEMS]);
	return model;
}

void
model_hold(Model *model)
{
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		held_reopen(&model->side[side].held);
}

void
model_release(Model *model)
{
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		held_close(&model->side[side].held);
}

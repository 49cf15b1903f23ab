/*
 * manage.c: mf_drop() and the default model.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "model/catalog.h"
#include "model/query.h"

PG_FUNCTION_INFO_V1(mf_drop);
PG_FUNCTION_INFO_V1(mf_set_default);
PG_FUNCTION_INFO_V1(mf_get_default);

/* ---- mf_drop ---- */

/*
 * The tables that are the model's, for DROP TABLE. Somebody may have dropped
 * the model by hand and made other tables of those names: such are left alone.
 */
static char *
TablesToDrop(const ModelTables *tables)
{
	StringInfoData list;
	MfSide		which;

	initStringInfo(&list);
	for (which = MF_USERS; which <= MF_ITEMS; which++)
	{
		Relation	rel;
		ModelSide	side;
		const char *problem;

		if (!OidIsValid(tables->relid[which]))
			continue;
		rel = try_relation_open(tables->relid[which], AccessShareLock);
		if (rel == NULL)
			continue;
		if (model_side_inspect(rel, &side, &problem))
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", side.table);
		else
			ereport(NOTICE,
					(errmsg("table %s is left alone", side.table),
					 errdetail("It is not as training made it. %s", problem)));
		relation_close(rel, NoLock);	/* locked: its name stays its own */
	}
	return list.len > 0 ? list.data : NULL;
}

/*
 * Drops the tables. Where something depends on them, DROP TABLE's error speaks of
 * a command that nobody gave and of CASCADE, which mf_drop() has not: its detail
 * and code stay, the rest is said in the model's terms.
 */
static void
DropTables(const CatalogRow *row, const char *tables)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		query_utility(psprintf("DROP TABLE %s", tables));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST)
		{
			error->message = psprintf("cannot drop model \"%s\" because other objects depend on its tables",
									  model_name_quote(row->schema, row->name));
			error->hint = psprintf("Drop these objects first, or all with DROP TABLE %s CASCADE and then mf_drop().",
								   tables);
		}
		FlushErrorState();
		ReThrowError(error);
	}
	PG_END_TRY();
}

Datum
mf_drop(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			extension_schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	CatalogRow	row;
	ModelTables tables;
	char	   *drop;

	PreventCommandDuringRecovery("mf_drop()");
	PreventCommandIfReadOnly("mf_drop()");

	if (!model_resolve(extension_schema, name, GetLatestSnapshot(), &row))
		model_not_found(extension_schema, name);
	model_tables_find(row.schema, row.name, &tables);
	if (OidIsValid(tables.schema))
		model_name_lock(tables.schema, row.name);

	/* While the tables still say whose the rows are. */
	catalog_row_delete(extension_schema, row.schema, row.name);

	drop = TablesToDrop(&tables);
	if (drop != NULL)
		DropTables(&row, drop);
	PG_RETURN_VOID();
}

/* ---- mf_default ---- */

/*
 * Gives the flag first, so that mf_guard sees from whom it is taken, then takes
 * it from the others. Rows of models that are gone keep theirs where they are
 * not the caller's to change; they count for nothing.
 */
Datum
mf_set_default(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			extension_schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	CatalogRow	row;
	ModelTables tables;
	ListCell   *cell;

	PreventCommandDuringRecovery("mf_default()");
	PreventCommandIfReadOnly("mf_default()");

	if (!model_resolve(extension_schema, name, GetLatestSnapshot(), &row))
		model_not_found(extension_schema, name);
	model_tables_find(row.schema, row.name, &tables);
	if (!catalog_row_valid(&row, &tables))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" cannot be the default",
						model_name_quote(row.schema, row.name)),
				 errdetail("One of its tables is gone or has another owner.")));

	catalog_row_flag(extension_schema, row.schema, row.name, true);
	foreach(cell, catalog_rows_flagged(extension_schema, row.schema, GetLatestSnapshot()))
	{
		CatalogRow *other = lfirst(cell);

		if (strcmp(other->name, row.name) != 0 &&
			model_row_removable(extension_schema, other->schema, other->name))
			catalog_row_flag(extension_schema, other->schema, other->name, false);
	}
	PG_RETURN_VOID();
}

Datum
mf_get_default(PG_FUNCTION_ARGS)
{
	Oid			extension_schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	CatalogRow	row;
	CatalogRow	plain;

	if (!model_resolve(extension_schema, NULL, GetActiveSnapshot(), &row))
		PG_RETURN_NULL();
	/* Qualified only if its bare name would mean another model. */
	if (model_resolve(extension_schema, quote_identifier(row.name),
					  GetActiveSnapshot(), &plain) &&
		strcmp(plain.schema, row.schema) == 0)
		PG_RETURN_TEXT_P(cstring_to_text(quote_identifier(row.name)));
	PG_RETURN_TEXT_P(cstring_to_text(model_name_quote(row.schema, row.name)));
}

/*
 * record.c: a row of mf_models, taken apart and checked.
 *
 * The table belongs to whoever installed the extension, and a row to the owner
 * of its model, who may UPDATE it: what is in it is what somebody wrote. So the
 * table's columns are compared by name and type whenever it is opened, since
 * they are read by position; and each value is looked at before it is used.
 * CHECK constraints say the same of the values (sql/factor--*.sql), and say it
 * at once to the one who writes; but they can be dropped, and a row may be of
 * before.
 *
 * A row concerns its model alone. Who owns it and whether it is the default is
 * asked of all rows of a schema, so those columns are read without complaint;
 * the rest is taken apart when the model is opened.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "model/catalog.h"
#include "numerics/als.h"

/* ---- What the columns are ---- */

#define MAX_ROWS 4294967295.0	/* ids have codes of 32 bits */
#define MAX_PAIRS 1e15
#define MAX_ITERATIONS 100000
#define MAX_SHOWN 40			/* bytes of a value, in a message */
#define ANY -DBL_MAX, DBL_MAX
#define WEIGHT 0, DBL_MAX

static const char *const feedbacks[] = {"explicit", "implicit", NULL};
static const char *const losses[] = {"squared", "logistic", "bpr", NULL};
static const char *const solvers[] = {"als", "sgd", NULL};

/* A column, and what its values have to be: numbers of a range, or one of some texts. */
typedef struct Column
{
	const char *name;
	Oid			type;
	bool		nullable;
	double		low;
	double		high;
	const char *const *choices;
} Column;

/* In the order of the SQL script, which has the same ranges as CHECK constraints. */
static const Column models_columns[Natts_models] = {
	{"schema", NAMEOID},
	{"model", NAMEOID},
	{"owner", NAMEOID},
	{"is_default", BOOLOID},
	{"created_at", TIMESTAMPTZOID},
	{"feedback", TEXTOID, .choices = feedbacks},
	{"biased", BOOLOID},
	{"factors", INT4OID, false, 1, ALS_MAX_FACTORS},
	{"mean", FLOAT8OID, false, ANY},
	{"rating_min", FLOAT8OID, false, ANY},
	{"rating_max", FLOAT8OID, false, ANY},
	{"source_schema", NAMEOID},
	{"source_table", NAMEOID},
	{"user_col", NAMEOID},
	{"item_col", NAMEOID},
	{"rating_col", NAMEOID, true},
	{"users", INT8OID, false, 0, MAX_ROWS},
	{"items", INT8OID, false, 0, MAX_ROWS},
	{"ratings", INT8OID, false, 0, MAX_PAIRS},
	{"skipped", INT8OID, false, 0, MAX_PAIRS},
	{"iterations", INT4OID, false, 0, MAX_ITERATIONS},
	{"regularization", FLOAT8OID, false, WEIGHT},
	{"reg_exponent", FLOAT8OID, false, 0, 1},
	{"bias_regularization", FLOAT8OID, false, WEIGHT},
	{"alpha", FLOAT8OID, false, WEIGHT},
	{"unobserved_weight", FLOAT8OID, false, WEIGHT},
	{"seed", INT8OID, false, ANY},
	{"gramian_users", FLOAT4ARRAYOID, true},
	{"gramian_items", FLOAT4ARRAYOID, true},
	{"objective", FLOAT8OID, false, ANY},
	{"error", FLOAT8OID, false, ANY},
	{"seconds", FLOAT8OID, false, WEIGHT},
	{"trained_at", TIMESTAMPTZOID},
	{"trained_by", NAMEOID},
	{"loss", TEXTOID, .choices = losses},
	{"solver", TEXTOID, .choices = solvers},
	{"link_low", FLOAT8OID, true, ANY},
	{"link_high", FLOAT8OID, true, ANY},
	{"held_out", INT8OID, false, 0, MAX_PAIRS},
	{"held_out_loss", FLOAT8OID, true, ANY},
	{"best_iteration", INT4OID, false, 0, MAX_ITERATIONS},
	{"options", JSONBOID},
	{"settings", JSONBOID},
};

static const Column history_columns[] = {
	{"schema", NAMEOID},
	{"model", NAMEOID},
	{"iteration", INT4OID},
	{"error", FLOAT8OID},
	{"objective", FLOAT8OID},
	{"seconds", FLOAT8OID},
	{"held_out_loss", FLOAT8OID},
};

/* ---- The tables themselves ---- */

Oid
catalog_relid(Oid extension_schema, const char *table)
{
	Oid			relid = get_relname_relid(table, extension_schema);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no table \"%s\" in schema \"%s\", where the extension is",
						table, get_namespace_name(extension_schema)),
				 errhint("Somebody has renamed or moved it. Put it back.")));
	return relid;
}

pg_noreturn static void
Altered(Relation rel, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" is not as the extension made it", RelationGetRelationName(rel)),
			 errdetail_internal("%s", detail),
			 errhint("Somebody has altered it. Put it right.")));
}

/* Columns that somebody has added behind are nobody's business. */
static void
CheckColumns(Relation rel, const Column *columns, int n)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int k = 0; k < n; k++)
	{
		Form_pg_attribute att;

		if (k >= desc->natts)
			Altered(rel, psprintf("It has no column \"%s\".", columns[k].name));
		att = TupleDescAttr(desc, k);
		if (att->attisdropped || strcmp(NameStr(att->attname), columns[k].name) != 0)
			Altered(rel, psprintf("Its column %d is not \"%s\".", k + 1, columns[k].name));
		if (att->atttypid != columns[k].type)
			Altered(rel, psprintf("Its column \"%s\" is of type %s, not %s.", columns[k].name,
								  format_type_be(att->atttypid), format_type_be(columns[k].type)));
		if (att->atttypid == NAMEOID && att->attcollation != C_COLLATION_OID)
			Altered(rel, psprintf("Its column \"%s\" has another collation than \"C\".",
								  columns[k].name));
	}
}

void
catalog_check_table(Relation rel, bool models)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		Altered(rel, "It is not a table.");
	if (models)
		CheckColumns(rel, models_columns, lengthof(models_columns));
	else
		CheckColumns(rel, history_columns, lengthof(history_columns));
}

/* The primary key's index, which must be of (schema, model). */
static void
CheckKey(Relation rel, Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	bool		good = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		good = form->indisvalid && form->indimmediate && form->indnkeyatts == 2 &&
			form->indkey.values[0] == Anum_models_schema &&
			form->indkey.values[1] == Anum_models_model;
		ReleaseSysCache(tuple);
	}
	if (!good)
		Altered(rel, "Its primary key is not (schema, model).");
}

Relation
catalog_open_models(Oid extension_schema, LOCKMODE lockmode, Oid *key)
{
	Relation	rel = table_open(catalog_relid(extension_schema, "mf_models"), lockmode);

	catalog_check_table(rel, true);
	*key = relation_primary_key(rel);
	CheckKey(rel, *key);
	return rel;
}

/* ---- A row ---- */

static const char *
NameValue(const CatalogRow *row, AttrNumber attno)
{
	return row->nulls[attno - 1] ? NULL : pstrdup(NameStr(*DatumGetName(row->values[attno - 1])));
}

void
catalog_row_read(HeapTuple tuple, TupleDesc desc, CatalogRow *row)
{
	HeapTuple	copy = heap_copytuple(tuple);

	memset(row, 0, sizeof(*row));
	row->values = palloc(desc->natts * sizeof(Datum));
	row->nulls = palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(copy, desc, row->values, row->nulls);

	/* What is stored out of line may be gone by the time it is asked for. */
	for (int k = 0; k < Natts_models; k++)
		if (!row->nulls[k] && (models_columns[k].type == TEXTOID ||
							   models_columns[k].type == JSONBOID))
			row->values[k] = PointerGetDatum(PG_DETOAST_DATUM(row->values[k]));

	row->schema = NameValue(row, Anum_models_schema);
	row->name = NameValue(row, Anum_models_model);
	/* No role has an empty name, so such a row is nobody's. */
	row->owner = row->nulls[Anum_models_owner - 1] ? "" : NameValue(row, Anum_models_owner);
	row->is_default = !row->nulls[Anum_models_is_default - 1] &&
		DatumGetBool(row->values[Anum_models_is_default - 1]);
	if (!row->nulls[Anum_models_created_at - 1])
		row->created_at = DatumGetTimestampTz(row->values[Anum_models_created_at - 1]);
}

pg_noreturn static void
Unusable(const CatalogRow *row, const char *detail)
{
	char	   *model = model_name_quote(row->schema, row->name);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("model \"%s\" has a row in mf_models that training did not write", model),
			 errdetail_internal("%s", detail),
			 errhint("Train the model again, or drop it with mf_drop(%s).",
					 quote_literal_cstr(model))));
}

static double
Number(const Column *column, Datum value)
{
	switch (column->type)
	{
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		default:
			return DatumGetFloat8(value);
	}
}

static void
CheckNumber(const CatalogRow *row, const Column *column, Datum value)
{
	double		number = Number(column, value);
	char	   *text;

	if (number >= column->low && number <= column->high)
		return;
	text = column->type == INT8OID ? psprintf(INT64_FORMAT, DatumGetInt64(value)) :
		float8out_internal(number);
	if (column->high < DBL_MAX)
		Unusable(row, psprintf("Its column \"%s\" is %s, outside its range of %.0f to %.0f.",
							   column->name, text, column->low, column->high));
	if (column->low == 0)
		Unusable(row, psprintf("Its column \"%s\" is %s, which is negative or not finite.",
							   column->name, text));
	Unusable(row, psprintf("Its column \"%s\" is %s, which is not finite.", column->name, text));
}

static void
CheckChoice(const CatalogRow *row, const Column *column, Datum value)
{
	char	   *chosen = TextDatumGetCString(value);

	for (int k = 0; column->choices[k] != NULL; k++)
		if (strcmp(chosen, column->choices[k]) == 0)
		{
			pfree(chosen);
			return;
		}
	Unusable(row, psprintf("Its column \"%s\" is \"%s\", which is not known.", column->name, chosen));
}

/* An option that the code reads as a number is one. */
static void
CheckOption(const CatalogRow *row, AttrNumber attno, const char *name)
{
	char	   *text = option_text(row->values[attno - 1], name);
	char	   *end;

	if (text == NULL)
		return;
	if (!isfinite(strtod(text, &end)) || end == text || *end != '\0')
		Unusable(row, psprintf("In its column \"%s\" %s is \"%.*s\", which is no number.",
							   models_columns[attno - 1].name, name,
							   pg_mbcliplen(text, strlen(text), MAX_SHOWN), text));
}

/* What several columns have to be together. */
static void
CheckTogether(const CatalogRow *row, const ModelRecord *record)
{
	bool		low = !row->nulls[Anum_models_link_low - 1];
	bool		high = !row->nulls[Anum_models_link_high - 1];

	if (record->rating_min > record->rating_max)
		Unusable(row, "Its column \"rating_min\" is greater than \"rating_max\".");
	if (low != high)
		Unusable(row, "Of its columns \"link_low\" and \"link_high\" one is null.");
	if (low && (!(record->link_low < record->link_high) ||
				!isfinite(record->link_high - record->link_low)))
		Unusable(row, "Its column \"link_low\" is not less than \"link_high\", or too far from it.");
	if (record->best_iteration > record->iterations)
		Unusable(row, "Its column \"best_iteration\" is greater than \"iterations\".");
	if (strcmp(record->solver, "als") == 0 && strcmp(record->loss, "squared") != 0)
		Unusable(row, "Its column \"solver\" does not go with \"loss\".");
}

static void
CheckValues(const CatalogRow *row)
{
	for (int k = 0; k < Natts_models; k++)
	{
		const Column *column = &models_columns[k];

		if (row->nulls[k])
		{
			if (!column->nullable)
				Unusable(row, psprintf("Its column \"%s\" is null.", column->name));
		}
		else if (column->choices != NULL)
			CheckChoice(row, column, row->values[k]);
		else if (column->type == INT4OID || column->type == INT8OID ||
				 column->type == FLOAT8OID)
			CheckNumber(row, column, row->values[k]);
		else if (column->type == JSONBOID &&
				 !JB_ROOT_IS_OBJECT(DatumGetJsonbP(row->values[k])))
			Unusable(row, psprintf("Its column \"%s\" is no JSON object.", column->name));
	}
	CheckOption(row, Anum_models_options, "min_rating");
	CheckOption(row, Anum_models_settings, "negatives");
	CheckOption(row, Anum_models_settings, "weight_decay");
}

void
catalog_row_record(const CatalogRow *row, ModelRecord *record)
{
	CheckValues(row);

#define GET(col) row->values[Anum_models_##col - 1]
#define GET_NAME(col) NameValue(row, Anum_models_##col)
#define GET_REAL(col) \
	(row->nulls[Anum_models_##col - 1] ? get_float8_nan() : DatumGetFloat8(GET(col)))

	memset(record, 0, sizeof(*record));
	record->implicit = strcmp(TextDatumGetCString(GET(feedback)), "implicit") == 0;
	record->biased = DatumGetBool(GET(biased));
	record->factors = DatumGetInt32(GET(factors));
	record->mean = DatumGetFloat8(GET(mean));
	record->rating_min = DatumGetFloat8(GET(rating_min));
	record->rating_max = DatumGetFloat8(GET(rating_max));
	record->source_schema = GET_NAME(source_schema);
	record->source_table = GET_NAME(source_table);
	record->user_col = GET_NAME(user_col);
	record->item_col = GET_NAME(item_col);
	record->rating_col = GET_NAME(rating_col);
	record->users = DatumGetInt64(GET(users));
	record->items = DatumGetInt64(GET(items));
	record->ratings = DatumGetInt64(GET(ratings));
	record->skipped = DatumGetInt64(GET(skipped));
	record->iterations = DatumGetInt32(GET(iterations));
	record->regularization = DatumGetFloat8(GET(regularization));
	record->reg_exponent = DatumGetFloat8(GET(reg_exponent));
	record->bias_regularization = DatumGetFloat8(GET(bias_regularization));
	record->alpha = DatumGetFloat8(GET(alpha));
	record->unobserved_weight = DatumGetFloat8(GET(unobserved_weight));
	record->seed = DatumGetInt64(GET(seed));
	record->objective = DatumGetFloat8(GET(objective));
	record->error = DatumGetFloat8(GET(error));
	record->seconds = DatumGetFloat8(GET(seconds));
	record->loss = TextDatumGetCString(GET(loss));
	record->solver = TextDatumGetCString(GET(solver));
	record->link_low = GET_REAL(link_low);
	record->link_high = GET_REAL(link_high);
	record->linked = !isnan(record->link_low) && !isnan(record->link_high);
	record->held_out = DatumGetInt64(GET(held_out));
	record->held_out_loss = GET_REAL(held_out_loss);
	record->best_iteration = DatumGetInt32(GET(best_iteration));
	filter_read(GET(options), &record->filter);
	if (record->rating_col == NULL)
		record->filter.min_rating = NULL;
	record->sampled = option_number(GET(settings), "negatives") > 0 ||
		option_number(GET(settings), "weight_decay") > 0;

#undef GET_REAL
#undef GET_NAME
#undef GET

	CheckTogether(row, record);
}

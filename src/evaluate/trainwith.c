/*
 * trainwith.c: calling mf_train with options given as data.
 *
 * Options that were found by a search, or are kept in a table, are a jsonb
 * object whose keys are names of mf_train's arguments. The call is composed with
 * named notation, from what pg_proc says of mf_train; so any option that it has
 * or gets can be given, with its own type and default.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "evaluate/trainwith.h"
#include "model/query.h"
#include "train/arguments.h"

PG_FUNCTION_INFO_V1(mf_train_with);

/* Arguments of mf_train that a caller gives otherwise; the last two in trials. */
static const char *const reserved[] = {
	"ratings", "user_col", "item_col", "rating_col", "model", "verbose", "index"
};

#define RESERVED_ALWAYS 5

static bool
IsReserved(const char *name, bool trial)
{
	for (int k = 0; k < (trial ? lengthof(reserved) : RESERVED_ALWAYS); k++)
		if (strcmp(reserved[k], name) == 0)
			return true;
	return false;
}

/* mf_train's input arguments. */
static int
TrainArguments(Oid extension_schema, Oid **types, char ***names)
{
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum("mf_train"));
	int			inputs = -1;

	for (int k = 0; k < list->n_members; k++)
	{
		HeapTuple	tuple = &list->members[k]->tuple;
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
		char	   *modes;

		if (form->pronamespace != extension_schema || form->pronargs <= inputs)
			continue;

		/* Inputs come first. */
		(void) get_func_arg_info(tuple, types, names, &modes);
		inputs = form->pronargs;
	}
	ReleaseCatCacheList(list);
	if (inputs < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("there is no function mf_train() in schema \"%s\", where the extension is",
						get_namespace_name(extension_schema)),
				 errhint("Somebody has renamed or moved it. Put it back.")));
	return inputs;
}

Oid
train_option_type(Oid extension_schema, const char *name, bool trial, const char *where)
{
	Oid		   *types = NULL;
	char	  **names = NULL;
	int			n = TrainArguments(extension_schema, &types, &names);
	StringInfoData known;

	initStringInfo(&known);
	for (int k = 0; k < n; k++)
	{
		if (IsReserved(names[k], trial))
			continue;
		if (strcmp(names[k], name) == 0)
			return types[k] == ANYOID ? TEXTOID : types[k];
		appendStringInfo(&known, "%s%s", known.len > 0 ? ", " : "", names[k]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized option \"%s\" in %s", name, where),
			 errhint("The options there are: %s.", known.data)));
}

/* ---- Values ---- */

typedef struct ValueContext
{
	const char *name;
	const char *text;
	const char *where;
} ValueContext;

static void
DescribeValue(void *arg)
{
	ValueContext *value = arg;

	errcontext("value \"%s\" of option \"%s\" in %s", value->text, value->name, value->where);
}

const char *
train_option_text(const char *name, Oid type, const char *text, const char *where)
{
	ValueContext value = {name, text, where};
	ErrorContextCallback callback = {error_context_stack, DescribeValue, &value};
	Oid			input;
	Oid			param;

	text = option_input_text(type, text);
	getTypeInputInfo(type, &input, &param);
	error_context_stack = &callback;
	(void) OidInputFunctionCall(input, unconstify(char *, text), param, -1);
	error_context_stack = callback.previous;
	return text;
}

/* ---- The call ---- */

static const char *
TextOrNull(const char *text)
{
	return text == NULL ? "NULL" : quote_literal_cstr(text);
}

static void
AppendOptions(StringInfo sql, const TrainCall *call, Jsonb *options, const char *where)
{
	const Oid	type = JSONBOID;
	const Datum value = JsonbPGetDatum(options);
	char	  **texts;
	int			n;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a JSON object", where)));
	texts = query_texts("SELECT key, value OPERATOR(pg_catalog.#>>) '{}', pg_catalog.jsonb_typeof(value) "
						"FROM pg_catalog.jsonb_each($1)", 1, &type, &value, NULL, 3, &n);
	for (int k = 0; k < n; k++)
	{
		const char *name = texts[3 * k];
		const char *text = texts[3 * k + 1];
		const char *kind = texts[3 * k + 2];
		Oid			option = train_option_type(call->extension_schema, name, call->quiet, where);

		if (strcmp(kind, "object") == 0 || strcmp(kind, "array") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" in %s must be a single value", name, where)));
		if (text != NULL)
			text = train_option_text(name, option, text, where);
		appendStringInfo(sql, ", %s => %s::%s", quote_identifier(name), TextOrNull(text),
						 format_type_be_qualified(option));
	}
}

char *
train_statement(const TrainCall *call, Jsonb *options, const char *where)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT * FROM %s.mf_train(ratings => %u::pg_catalog.regclass",
					 quote_identifier(get_namespace_name(call->extension_schema)), call->ratings);
	appendStringInfo(&sql, ", user_col => %s, item_col => %s",
					 quote_literal_cstr(call->user_col), quote_literal_cstr(call->item_col));
	appendStringInfo(&sql, ", rating_col => %s, model => %s",
					 TextOrNull(call->rating_col), TextOrNull(call->model));
	if (call->quiet)
		appendStringInfoString(&sql, ", verbose => false, index => false");
	AppendOptions(&sql, call, options, where);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

void
train_run(const char *sql, Datum *values, bool *nulls)
{
	static const Oid columns[TRAIN_RESULT] = {
		TEXTOID, INT8OID, INT8OID, INT8OID, INT4OID, FLOAT8OID, FLOAT8OID
	};
	SqlQuery	query = {.sql = sql, .ncolumns = TRAIN_RESULT, .columns = columns};

	(void) query_row(&query, values, nulls);
}

/* (ratings, options, user_col, item_col, rating_col, model) */
Datum
mf_train_with(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"ratings", "options", "user_col", "item_col"};
	TrainCall	call = {.extension_schema = get_func_namespace(fcinfo->flinfo->fn_oid)};
	TupleDesc	desc;
	Datum		values[TRAIN_RESULT];
	bool		nulls[TRAIN_RESULT];

	for (int arg = 0; arg < lengthof(arguments); arg++)
		if (PG_ARGISNULL(arg))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", arguments[arg])));
	call.ratings = PG_GETARG_OID(0);
	call.user_col = NameStr(*PG_GETARG_NAME(2));
	call.item_col = NameStr(*PG_GETARG_NAME(3));
	call.rating_col = PG_ARGISNULL(4) ? NULL : NameStr(*PG_GETARG_NAME(4));
	call.model = PG_ARGISNULL(5) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(5));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");	/* as it is declared */

	train_run(train_statement(&call, PG_GETARG_JSONB_P(1), "options"), values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

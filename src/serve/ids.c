/*
 * ids.c: ids as callers give and want them, and as a model's keys are.
 *
 * A function that takes ids is declared for bigint, uuid and text, and with a
 * witness for anything else; which of these a call means says nothing of the
 * type that the model's key has. Text stands for any type, since untyped
 * literals and parameters arrive as text; integers stand for each other, if
 * the value fits; other types only for themselves. To guess more would be to
 * look up '42' among keys of type text where 42 was asked for in error.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "serve/ids.h"

static bool
IsInteger(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

static bool
IsString(Oid type)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(type, &category, &preferred);
	return category == TYPCATEGORY_STRING || type == UNKNOWNOID;
}

static void
LookUpInput(IdConversion *conversion, MemoryContext context)
{
	Oid			function;

	getTypeInputInfo(conversion->to, &function, &conversion->in_param);
	fmgr_info_cxt(function, &conversion->in, context);
}

/* What both directions share; false if there is no way. */
static bool
Prepare(IdConversion *conversion, Oid from, Oid to)
{
	from = getBaseType(from);
	to = getBaseType(to);
	if (conversion->kind != ID_UNPREPARED &&
		conversion->from == from && conversion->to == to)
		return true;

	conversion->kind = ID_UNPREPARED;
	conversion->from = from;
	conversion->to = to;
	if (from == to)
		conversion->kind = ID_SAME;
	else if (IsInteger(from) && IsInteger(to))
		conversion->kind = ID_INTEGER;
	else if (IsBinaryCoercible(from, to))
		conversion->kind = ID_SAME;
	else
		return false;
	return true;
}

bool
id_column_suits(Oid type, const ModelKey *key)
{
	Oid			from = getBaseType(type);
	Oid			to = getBaseType(key->type);

	return from == to || (IsInteger(from) && IsInteger(to));
}

static const char *
SideName(MfSide side)
{
	return side == MF_USERS ? "user" : "item";
}

void
id_prepare_argument(IdConversion *conversion, Oid type, const Model *model, MfSide side,
					MemoryContext context)
{
	Oid			key = model->side[side].key.type;

	if (Prepare(conversion, type, key))
		return;
	if (!IsString(conversion->from))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("model \"%s\" has %s ids of type %s, not %s",
						quote_qualified_identifier(model->schema_name, model->name),
						SideName(side), format_type_be(key), format_type_be(type)),
				 errhint("Cast the %s id to %s, or to text, which is read as an id of any type.",
						 SideName(side), format_type_be(key))));
	idtext_prepare(&conversion->out, conversion->from, context);
	LookUpInput(conversion, context);
	conversion->kind = ID_FROM_TEXT;
}

void
id_prepare_result(IdConversion *conversion, Oid type, const Model *model, MfSide side,
				  const char *example, MemoryContext context)
{
	Oid			key = model->side[side].key.type;

	if (Prepare(conversion, key, type))
		return;
	if (conversion->to != TEXTOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("model \"%s\" has %s ids of type %s, not %s",
						quote_qualified_identifier(model->schema_name, model->name),
						SideName(side), format_type_be(key), format_type_be(type)),
				 errhint("Name the type that the result is to have: %s.",
						 psprintf(example, format_type_be(key)))));
	idtext_prepare(&conversion->out, conversion->from, context);
	conversion->kind = ID_TO_TEXT;
}

static int64
IntegerValue(Oid type, Datum value)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		default:
			return DatumGetInt64(value);
	}
}

static bool
ConvertInteger(const IdConversion *conversion, Datum id, Datum *result)
{
	int64		value = IntegerValue(conversion->from, id);

	switch (conversion->to)
	{
		case INT2OID:
			*result = Int16GetDatum((int16) value);
			return value >= PG_INT16_MIN && value <= PG_INT16_MAX;
		case INT4OID:
			*result = Int32GetDatum((int32) value);
			return value >= PG_INT32_MIN && value <= PG_INT32_MAX;
		default:
			*result = Int64GetDatum(value);
			return true;
	}
}

bool
id_convert(IdConversion *conversion, Datum id, Datum *result)
{
	char	   *text;

	switch (conversion->kind)
	{
		case ID_SAME:
			*result = id;
			return true;
		case ID_INTEGER:
			return ConvertInteger(conversion, id, result);
		case ID_FROM_TEXT:
			text = idtext_cstring(&conversion->out, id);
			*result = InputFunctionCall(&conversion->in, text, conversion->in_param, -1);
			return true;
		case ID_TO_TEXT:
			*result = idtext_datum(&conversion->out, id);
			return true;
		case ID_UNPREPARED:
			break;
	}
	elog(ERROR, "conversion of an id was not prepared");	/* by the code before it */
	return false;
}

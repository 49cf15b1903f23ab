/*
 * filter.c: which rows of its source a model was trained on.
 *
 * What a user has rated counts for a vector that is folded in as it counted in
 * training, or the fold-in of a training user would be another vector than the
 * stored one. So training, mf_refresh and the live reading of a user's rows make
 * their conditions here.
 *
 * A bound is compared as the column is stored. min_rating is a double by its
 * declaration, but 2.2 stands for the decimal, which the column may have as a
 * single, as a double or as it is; and what bounds integers from below is the
 * next integer.
 */
#include "postgres.h"

#include <math.h>

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "compat.h"
#include "model/filter.h"
#include "model/idsql.h"
#include "model/number.h"

/* The text of a value in the object; NULL where it is not there, or null. */
static char *
OptionText(Jsonb *options, const char *name)
{
	JsonbValue	space;
	JsonbValue *value = getKeyJsonValueFromContainer(&options->root, name, strlen(name), &space);

	if (value == NULL)
		return NULL;
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		case jbvBinary:
			return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		default:
			return NULL;
	}
}

void
filter_read(Datum options, RatingFilter *filter)
{
	Jsonb	   *object = DatumGetJsonbP(options);
	char	   *text;

	memset(filter, 0, sizeof(*filter));
	if (!JB_ROOT_IS_OBJECT(object))
		return;
	text = OptionText(object, "min_rating");
	/* All digits of a numeric column's bound count. */
	if (text != NULL && text[strspn(text, "-.0123456789")] == '\0')
		filter->min_rating = text;
	else if (text != NULL)
		filter->min_rating = number_text(DatumGetFloat8(DirectFunctionCall1(float8in,
																			CStringGetDatum(text))));
	filter->time_col = OptionText(object, "time_col");
	if (filter->time_col != NULL)
		filter->since = OptionText(object, "since");
}

char *
option_text(Datum options, const char *name)
{
	Jsonb	   *object = DatumGetJsonbP(options);

	return JB_ROOT_IS_OBJECT(object) ? OptionText(object, name) : NULL;
}

double
option_number(Datum options, const char *name)
{
	char	   *text = option_text(options, name);

	return text == NULL ? 0 : DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(text)));
}

bool
filter_is_there(const RatingFilter *filter)
{
	return filter->min_rating != NULL || filter->since != NULL;
}

/* The least rating, as the column compares with it. */
static char *
RatingBound(const char *bound, Oid type)
{
	double		number = strtod(bound, NULL);

	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return psprintf("'%.0f'::pg_catalog.%s", ceil(number),
							fabs(number) < 1e18 ? "int8" : "numeric");
		case FLOAT4OID:
			return psprintf("'%.9g'::pg_catalog.float4", number_as_real(number));
		default:
			return psprintf("'%s'::%s", bound, sql_type(type));
	}
}

/* Digits alone, and few enough for a bigint? */
static bool
IsBigint(const char *text)
{
	const char *digits = text + (*text == '-');
	size_t		n = strspn(digits, "0123456789");

	return n > 0 && n <= 18 && digits[n] == '\0';
}

/*
 * The first time that counts, as the column compares with it: an integer with
 * what lies between two, a date with a time of the day.
 */
static char *
TimeBound(const char *bound, Oid type)
{
	char	   *literal = quote_literal_cstr(bound);

	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			/* An index serves integers among each other only. */
			return psprintf("%s::pg_catalog.%s", literal, IsBigint(bound) ? "int8" : "numeric");
		case DATEOID:
			return psprintf("%s::%s", literal,
							strchr(bound, ':') ? "pg_catalog.timestamp" : "pg_catalog.date");
		default:
			return psprintf("%s::%s", literal, sql_type(type));
	}
}

/* The base type of a column, which was seen to be there. */
static Oid
ColumnType(Oid relid, const char *column)
{
	return getBaseType(get_atttype(relid, get_attnum(relid, column)));
}

const char *
filter_append(StringInfo sql, const char *word, Oid relid, const char *rating_col,
			  const RatingFilter *filter)
{
	Oid			type;

	if (filter->min_rating != NULL)
	{
		type = ColumnType(relid, rating_col);
		appendStringInfo(sql, " %s %s OPERATOR(pg_catalog.>=) %s", word,
						 sql_column(NULL, rating_col, type), RatingBound(filter->min_rating, type));
		word = "AND";
	}
	if (filter->since != NULL)
	{
		type = ColumnType(relid, filter->time_col);
		appendStringInfo(sql, " %s %s %s %s", word, sql_column(NULL, filter->time_col, type),
						 sql_operator(type, BTGreaterEqualStrategyNumber),
						 TimeBound(filter->since, type));
		word = "AND";
	}
	return word;
}

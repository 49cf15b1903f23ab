/*
 * filter.c: which rows of its source a model was trained on.
 *
 * What a user has rated counts for a vector that is folded in as it counted in
 * training, or the fold-in of a training user would be another vector than the
 * stored one. So training, mf_refresh and the live reading of a user's rows make
 * their conditions here.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "compat.h"
#include "model/filter.h"

/* The text of a value in the object; NULL where it is not there, or no scalar. */
static char *
OptionText(Jsonb *options, const char *name)
{
	JsonbValue	space;
	JsonbValue *value = getKeyJsonValueFromContainer(&options->root, name, strlen(name), &space);

	if (value == NULL)
		return NULL;
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	if (value->type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(value->val.numeric)));
	return NULL;
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
	if (text != NULL)
	{
		filter->has_min_rating = true;
		filter->min_rating = DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(text)));
	}
	filter->time_col = OptionText(object, "time_col");
	if (filter->time_col != NULL)
		filter->since = OptionText(object, "since");
}

double
option_number(Datum options, const char *name)
{
	Jsonb	   *object = DatumGetJsonbP(options);
	char	   *text = JB_ROOT_IS_OBJECT(object) ? OptionText(object, name) : NULL;

	return text == NULL ? 0 : DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(text)));
}

bool
filter_is_there(const RatingFilter *filter)
{
	return filter->has_min_rating || filter->since != NULL;
}

const char *
filter_append(StringInfo sql, const char *word, const char *rating_col,
			  const RatingFilter *filter)
{
	if (filter->has_min_rating)
	{
		appendStringInfo(sql, " %s %s OPERATOR(pg_catalog.>=) (%.17g)", word,
						 quote_identifier(rating_col), filter->min_rating);
		word = "AND";
	}
	if (filter->since != NULL)
	{
		appendStringInfo(sql, " %s %s OPERATOR(pg_catalog.>=) %s", word,
						 quote_identifier(filter->time_col), quote_literal_cstr(filter->since));
		word = "AND";
	}
	return word;
}

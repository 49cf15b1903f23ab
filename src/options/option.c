/*
 * option.c: reading options, from arguments and from jsonb.
 *
 * Every value goes through its text: that of the argument, as its type writes it,
 * or that of the JSON value. One function makes of a text what the option's
 * type has for it and checks the range, whoever the text came from; so an option
 * means the same in mf_train's arguments, in its `options`, in a search's grid
 * and in what mf_models has on record.
 *
 * JSON types are taken at their word: a string is no number, and a number no
 * string. But a number that is whole is an integer, however it is written:
 * clients write 2.0.
 */
#include "postgres.h"

#include <errno.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rangetypes.h"
#include "utils/typcache.h"
#include "utils/varlena.h"

#include "options/option.h"

/* A name that is further than this from all others is none of them misspelt. */
#define MAX_MISSPELT 3

/* ... unless it is the beginning of one. */
#define MIN_PREFIX 4

/* Of a value, in messages. */
#define MAX_SHOWN 60

bool
option_is_whole(const Option *option)
{
	return option->type == OPTION_INT || option->type == OPTION_BIGINT;
}

bool
option_is_number(const Option *option)
{
	return option_is_whole(option) || option->type == OPTION_REAL;
}

/* ---- Names ---- */

/* A name or a value as a message shows it: numbers may have thousands of digits. */
static const char *
Shown(const char *text)
{
	int			length = strlen(text);

	if (length <= MAX_SHOWN)
		return text;
	return psprintf("%.*s...", pg_mbcliplen(text, length, MAX_SHOWN), text);
}

const Option *
option_find(const OptionTable *table, const char *name)
{
	for (int k = 0; k < table->n; k++)
		if (strcmp(table->options[k].name, name) == 0)
			return &table->options[k];
	return NULL;
}

static const Option *
Find(const OptionTable *table, const char *name)
{
	const Option *option = option_find(table, name);

	if (option == NULL)
		elog(ERROR, "there is no option \"%s\"", name);	/* the code names it */
	return option;
}

/* The option of the nearest name, or that begins so; NULL if there is none. */
static const Option *
FindNearest(const OptionTable *table, const char *name)
{
	const Option *nearest = NULL;
	int			length = strlen(name);
	int			least = Min(MAX_MISSPELT, length / 2) + 1;

	for (int k = 0; k < table->n && length >= MIN_PREFIX; k++)
		if (strncmp(name, table->options[k].name, length) == 0)
			return &table->options[k];

	for (int k = 0; k < table->n && length < NAMEDATALEN; k++)
	{
		const Option *option = &table->options[k];
		int			distance = varstr_levenshtein_less_equal(name, length, option->name,
															 strlen(option->name), 1, 1, 1,
															 least - 1, true);

		if (distance >= least)
			continue;
		least = distance;
		nearest = option;
	}
	return nearest;
}

void
option_unknown(const OptionTable *table, const char *name, const char *where)
{
	const Option *nearest = FindNearest(table, name);
	StringInfoData list;

	initStringInfo(&list);
	for (int k = 0; k < table->n; k++)
		appendStringInfo(&list, "%s%s", k == 0 ? "" : ", ", table->options[k].name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized option \"%s\" in %s", Shown(name), where),
			 nearest != NULL ? errhint("Perhaps you meant the option \"%s\".", nearest->name) :
			 errhint("The options there are: %s.", list.data)));
}

/* ---- Texts ---- */

static void
CheckRange(const Option *option, double value, const char *text)
{
	double		min = option->limits.min;
	double		max = option->limits.max;
	const char *format = option_is_whole(option) ? "%.0f" : "%g";
	char		low[32];
	char		high[32];

	if ((min == 0 && max == 0) || (value >= min && value <= max))
		return;
	snprintf(low, sizeof(low), format, min);
	snprintf(high, sizeof(high), format, max);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s is %s, outside its range of %s to %s", option->name, Shown(text),
					low, high)));
}

static int64
ParseWhole(const Option *option, const char *text)
{
	char	   *end;
	int64		value;
	bool		overflow;

	errno = 0;
	value = strtoll(text, &end, 10);
	overflow = errno == ERANGE;
	if (*end == '.')
		end += 1 + strspn(end + 1, "0");
	if (*end != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be an integer, not %s", option->name, Shown(text))));
	if (overflow && option->limits.max == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %s, outside the range of type bigint", option->name, Shown(text))));
	CheckRange(option, overflow ? (text[0] == '-' ? -1 : 1) * get_float8_infinity() :
			   (double) value, text);
	return value;
}

static double
ParseReal(const Option *option, const char *text)
{
	double		value = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
														   DirectFunctionCall3(numeric_in,
																			   CStringGetDatum(text),
																			   ObjectIdGetDatum(InvalidOid),
																			   Int32GetDatum(-1))));

	CheckRange(option, value, text);
	return value;
}

static int
ParseChoice(const Option *option, const char *text)
{
	const char *const *choices = option->limits.choices;
	StringInfoData list;

	initStringInfo(&list);
	for (int k = 0; choices[k] != NULL; k++)
	{
		if (strcmp(text, choices[k]) == 0)
			return k;
		appendStringInfo(&list, "%s'%s'",
						 k == 0 ? "" : choices[k + 1] != NULL ? ", " : " or ", choices[k]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized %s \"%s\"", option->name, Shown(text)),
			 errhint("It is one of %s.", list.data)));
}

static void
DescribeOption(void *arg)
{
	errcontext("value of option \"%s\"", ((const Option *) arg)->name);
}

static void
ParseRange(const Option *option, const char *text, RangeOption *field)
{
	ErrorContextCallback callback = {error_context_stack, DescribeOption,
	unconstify(Option *, option)};
	RangeType  *range;
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	error_context_stack = &callback;
	range = DatumGetRangeTypeP(OidInputFunctionCall(F_RANGE_IN, unconstify(char *, text),
													NUMRANGEOID, -1));
	error_context_stack = callback.previous;
	range_deserialize(lookup_type_cache(NUMRANGEOID, TYPECACHE_RANGE_INFO), range,
					  &lower, &upper, &empty);
	if (!empty && !lower.infinite && !upper.infinite)
	{
		field->low = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, lower.val));
		field->high = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, upper.val));
		if (isfinite(field->low) && isfinite(field->high) && field->low < field->high)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s \"%s\" is not a range between two different numbers", option->name,
					Shown(text))));
}

/* Fills the option's field from a text of its type. */
static void
Parse(const Option *option, void *values, const char *text)
{
	void	   *field = OPTION_FIELD(option, values);

	switch (option->type)
	{
		case OPTION_BOOL:
			((BoolOption *) field)->value = strcmp(text, "true") == 0;
			break;
		case OPTION_INT:
			((IntOption *) field)->value = (int) ParseWhole(option, text);
			text = psprintf("%d", ((IntOption *) field)->value);
			break;
		case OPTION_BIGINT:
			((BigintOption *) field)->value = ParseWhole(option, text);
			text = psprintf(INT64_FORMAT, ((BigintOption *) field)->value);
			break;
		case OPTION_REAL:
			((RealOption *) field)->value = ParseReal(option, text);
			break;
		case OPTION_CHOICE:
			((ChoiceOption *) field)->value = ParseChoice(option, text);
			break;
		case OPTION_RANGE:
			ParseRange(option, text, field);
			break;
		case OPTION_TABLE:
			((TableOption *) field)->value =
				DatumGetObjectId(DirectFunctionCall1(regclassin, CStringGetDatum(text)));
			break;
		case OPTION_NAME:
			text = pnstrdup(text, pg_mbcliplen(text, strlen(text), NAMEDATALEN - 1));
			break;
		case OPTION_ANY:
			break;
	}
	*(const char **) field = text;
}

void
option_set(const OptionTable *table, void *values, const char *name, const char *text)
{
	Parse(Find(table, name), values, text);
}

/* ---- Arguments ---- */

/*
 * Makes texts of values such that any session reads them alike, until
 * AtEOXact_GUC(true, level) with the level returned: options are stored. The time
 * zone stays, which a column without one would be compared in.
 */
static int
FixSettings(void)
{
	static const char *const fixed[][2] = {
		{"DateStyle", "ISO, YMD"}, {"IntervalStyle", "postgres"}, {"extra_float_digits", "3"}
	};
	int			level = NewGUCNestLevel();

	for (int k = 0; k < lengthof(fixed); k++)
		(void) set_config_option(fixed[k][0], fixed[k][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/* The types of arguments; InvalidOid where it is the caller's choice. */
static const Oid argument_type[] = {
	[OPTION_BOOL] = BOOLOID,
	[OPTION_INT] = INT4OID,
	[OPTION_BIGINT] = INT8OID,
	[OPTION_REAL] = FLOAT8OID,
	[OPTION_CHOICE] = TEXTOID,
	[OPTION_NAME] = NAMEOID,
	[OPTION_RANGE] = NUMRANGEOID,
	[OPTION_TABLE] = REGCLASSOID,
	[OPTION_ANY] = InvalidOid
};

static bool
IsNumberType(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID ||
		type == FLOAT4OID || type == FLOAT8OID || type == NUMERICOID;
}

void
option_read_argument(const OptionTable *table, void *values, const char *name,
					 FunctionCallInfo fcinfo, int arg)
{
	const Option *option = Find(table, name);
	Oid			type = argument_type[option->type];
	Datum		value = fcinfo->args[arg].value;
	Oid			output;
	bool		is_varlena;
	char	   *text;
	int			level;

	if (fcinfo->args[arg].isnull)
		return;
	if (!OidIsValid(type))
		type = get_fn_expr_argtype(fcinfo->flinfo, arg);
	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("could not determine the type of %s", name)));
	if (type == UNKNOWNOID)
		text = pstrdup(DatumGetCString(value));
	else if (type == BOOLOID)
		text = pstrdup(DatumGetBool(value) ? "true" : "false");
	else
	{
		getTypeOutputInfo(type, &output, &is_varlena);
		level = FixSettings();
		text = OidOutputFunctionCall(output, value);
		AtEOXact_GUC(true, level);
	}
	if (option->type == OPTION_ANY)
	{
		/* JSON has no NaN. */
		AnyOption  *field = OPTION_FIELD(option, values);

		field->bare = type == BOOLOID ||
			(IsNumberType(getBaseType(type)) && strspn(text, "+-.0123456789eE") == strlen(text));
	}
	Parse(option, values, text);
}

/* ---- JSON ---- */

static const char *
DescribeKind(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return "a string";
		case jbvNumeric:
			return "a number";
		case jbvBool:
			return "a boolean";
		case jbvBinary:
			return JsonContainerIsArray(value->val.binary.data) ? "an array" : "an object";
		default:
			return "null";
	}
}

/* The option's type, if the value's is another; NULL if they agree. */
static const char *
WantedKind(const Option *option, const JsonbValue *value)
{
	switch (option->type)
	{
		case OPTION_BOOL:
			return value->type == jbvBool ? NULL : "true or false";
		case OPTION_INT:
		case OPTION_BIGINT:
			return value->type == jbvNumeric ? NULL : "an integer";
		case OPTION_REAL:
			return value->type == jbvNumeric ? NULL : "a number";
		case OPTION_ANY:
			return value->type == jbvNumeric || value->type == jbvString ||
				value->type == jbvBool ? NULL : "a single value";
		default:
			return value->type == jbvString ? NULL : "a string";
	}
}

static void
ReadValue(const Option *option, void *values, const JsonbValue *value)
{
	const char *wanted = WantedKind(option, value);
	const char *text;

	if (wanted != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be %s, not %s", option->name, wanted, DescribeKind(value))));
	if (value->type == jbvNumeric)
		text = DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(value->val.numeric)));
	else if (value->type == jbvBool)
		text = value->val.boolean ? "true" : "false";
	else
		text = pnstrdup(value->val.string.val, value->val.string.len);
	if (option->type == OPTION_ANY)
		((AnyOption *) OPTION_FIELD(option, values))->bare = value->type != jbvString;
	Parse(option, values, text);
}

const char *
option_check(const Option *option, const JsonbValue *value)
{
	union
	{
		BoolOption	flag;
		IntOption	integer;
		BigintOption bigint;
		RealOption	real;
		RangeOption range;
		TableOption table;
		AnyOption	any;
	}			field;

	Option		alone = *option;

	alone.offset = 0;
	if (value->type == jbvNull)
		return NULL;
	ReadValue(&alone, &field, value);
	return *(const char **) &field;
}

void
options_read(const OptionTable *table, void *values, Jsonb *json, const char *where)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	const Option *option = NULL;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a JSON object", where)));
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char	   *name = pnstrdup(value.val.string.val, value.val.string.len);

			option = option_find(table, name);
			if (option == NULL)
				option_unknown(table, name, where);
		}
		else if (token == WJB_VALUE && value.type != jbvNull)
		{
			if (*(const char **) OPTION_FIELD(option, values) != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("%s is given both as an argument and in %s", option->name, where)));
			ReadValue(option, values, &value);
		}
	}
}

char *
options_json(const OptionTable *table, const void *values)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int k = 0; k < table->n; k++)
	{
		const Option *option = &table->options[k];
		const void *field = (const char *) values + option->offset;
		const char *text = *(const char *const *) field;

		if (text == NULL || (option->flags & OPTION_OF_CALL) != 0)
			continue;
		if (json.len > 1)
			appendStringInfoString(&json, ", ");
		escape_json(&json, option->name);
		appendStringInfoString(&json, ": ");
		if (option_is_number(option) || option->type == OPTION_BOOL ||
			(option->type == OPTION_ANY && ((const AnyOption *) field)->bare))
			appendStringInfoString(&json, text);
		else
			escape_json(&json, text);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

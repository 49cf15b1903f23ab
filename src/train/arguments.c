/*
 * arguments.c: the arguments of mf_train by name.
 *
 * A training that is repeated reads its options the way mf_train does, from a
 * call that is made up of the texts that were stored. So what an option means
 * and what is checked are the same, whatever options there will be.
 */
#include "postgres.h"

#include <ctype.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rangetypes.h"

#include "model/number.h"
#include "train/arguments.h"

/* In the order of TrainArg. */
static const char *const names[] = {
	"ratings", "user_col", "item_col", "rating_col", "model",
	"feedback", "factors", "iterations", "regularization",
	"reg_exponent", "bias_regularization", "alpha",
	"unobserved_weight", "seed", "verbose", "index",
	"loss", "solver", "optimizer", "learning_rate", "batch_size",
	"weight_decay", "schedule", "negatives", "negative_sampling",
	"observed_negatives", "init_std", "rating_range", "bias",
	"center", "gravity", "holdout", "time_col", "patience",
	"min_user_ratings", "min_item_ratings", "min_rating", "since"
};

/* Likewise their types; InvalidOid where it is the caller's choice. */
static const Oid types[] = {
	REGCLASSOID, NAMEOID, NAMEOID, NAMEOID, TEXTOID,
	TEXTOID, INT4OID, INT4OID, FLOAT8OID,
	FLOAT8OID, FLOAT8OID, FLOAT8OID,
	FLOAT8OID, INT8OID, BOOLOID, BOOLOID,
	TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, INT4OID,
	FLOAT8OID, TEXTOID, INT4OID, TEXTOID,
	BOOLOID, FLOAT8OID, NUMRANGEOID, BOOLOID,
	BOOLOID, FLOAT8OID, InvalidOid, NAMEOID, INT4OID,
	INT4OID, INT4OID, FLOAT8OID, InvalidOid
};

/*
 * An argument's type. The call is asked only where the signature leaves it
 * open: another function may pass its own arguments on, at other places.
 */
static Oid
ArgType(FunctionCallInfo fcinfo, TrainArg arg)
{
	if (OidIsValid(types[arg]))
		return types[arg];
	return get_fn_expr_argtype(fcinfo->flinfo, arg);
}

bool
arg_given(FunctionCallInfo fcinfo, TrainArg arg)
{
	return !PG_ARGISNULL(arg);
}

const char *
arg_name(FunctionCallInfo fcinfo, TrainArg arg)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", names[arg])));
	return pstrdup(NameStr(*PG_GETARG_NAME(arg)));
}

int
arg_int(FunctionCallInfo fcinfo, TrainArg arg, int fallback, int min, int max)
{
	int			value;

	if (PG_ARGISNULL(arg))
		return fallback;
	value = PG_GETARG_INT32(arg);
	if (value < min || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %d, outside its range of %d to %d",
						names[arg], value, min, max)));
	return value;
}

double
arg_real(FunctionCallInfo fcinfo, TrainArg arg, double fallback, double min, double max)
{
	double		value;

	if (PG_ARGISNULL(arg))
		return fallback;
	value = PG_GETARG_FLOAT8(arg);
	if (!(value >= min && value <= max))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %s, outside its range of %g to %g",
						names[arg], number_text(value), min, max)));
	return value;
}

bool
arg_bool(FunctionCallInfo fcinfo, TrainArg arg, bool fallback)
{
	return PG_ARGISNULL(arg) ? fallback : PG_GETARG_BOOL(arg);
}

int
arg_choice(FunctionCallInfo fcinfo, TrainArg arg, int fallback,
		   const char *const *choices)
{
	char	   *value;
	StringInfoData list;

	if (PG_ARGISNULL(arg))
		return fallback;
	value = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	initStringInfo(&list);
	for (int k = 0; choices[k] != NULL; k++)
	{
		if (strcmp(value, choices[k]) == 0)
			return k;
		appendStringInfo(&list, "%s'%s'",
						 k == 0 ? "" : choices[k + 1] != NULL ? ", " : " or ", choices[k]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized %s \"%s\"", names[arg], value),
			 errhint("It is one of %s.", list.data)));
}

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

char *
arg_text(FunctionCallInfo fcinfo, TrainArg arg)
{
	Oid			type;
	Oid			output;
	bool		is_varlena;
	char	   *text;
	int			level;

	if (PG_ARGISNULL(arg))
		return NULL;
	type = ArgType(fcinfo, arg);
	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("could not determine the type of %s", names[arg])));
	if (type == UNKNOWNOID)
		return pstrdup(PG_GETARG_CSTRING(arg));
	getTypeOutputInfo(type, &output, &is_varlena);
	level = FixSettings();
	text = OidOutputFunctionCall(output, PG_GETARG_DATUM(arg));
	AtEOXact_GUC(true, level);
	return text;
}

void
arg_range(FunctionCallInfo fcinfo, TrainArg arg, double *low, double *high)
{
	RangeType  *range = PG_GETARG_RANGE_P(arg);
	TypeCacheEntry *typcache = range_get_typcache(fcinfo, RangeTypeGetOid(range));
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	range_deserialize(typcache, range, &lower, &upper, &empty);
	if (!empty && !lower.infinite && !upper.infinite)
	{
		*low = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, lower.val));
		*high = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, upper.val));
		if (isfinite(*low) && isfinite(*high) && *low < *high)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s \"%s\" has no two different ends", names[arg],
					arg_text(fcinfo, arg))));
}

void
arg_refuse(FunctionCallInfo fcinfo, TrainArg arg, const char *what, const char *remedy)
{
	if (!PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s does not apply to %s", names[arg], what),
				 remedy == NULL ? 0 : errhint("Use %s.", remedy)));
}

char *
arg_options_json(FunctionCallInfo fcinfo)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int arg = ARG_FEEDBACK; arg <= ARG_SINCE; arg++)
	{
		Oid			type = ArgType(fcinfo, arg);
		char	   *text;

		if (PG_ARGISNULL(arg) || arg == ARG_VERBOSE || arg == ARG_INDEX)
			continue;
		if (json.len > 1)
			appendStringInfoString(&json, ", ");
		escape_json(&json, names[arg]);
		appendStringInfoString(&json, ": ");
		text = arg_text(fcinfo, arg);
		if (type == BOOLOID)
			appendStringInfoString(&json, text[0] == 't' ? "true" : "false");
		else if ((type == INT4OID || type == INT8OID || type == FLOAT8OID || type == NUMERICOID) &&
				 (isdigit((unsigned char) text[0]) || isdigit((unsigned char) text[1])))
			appendStringInfoString(&json, text);
		else
			escape_json(&json, text);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* ---- A call made up ---- */

void
arg_call_begin(FunctionCallInfo train, FmgrInfo *flinfo)
{
	List	   *args = NIL;

	/* The types are looked for in the call's expression. */
	for (int arg = 0; arg < TRAIN_ARGS; arg++)
	{
		Oid			type = OidIsValid(types[arg]) ? types[arg] : TEXTOID;

		args = lappend(args, makeNullConst(type, -1, InvalidOid));
		train->args[arg].value = (Datum) 0;
		train->args[arg].isnull = true;
	}
	memset(flinfo, 0, sizeof(*flinfo));
	flinfo->fn_mcxt = CurrentMemoryContext;
	fmgr_info_set_expr((Node *) makeFuncExpr(InvalidOid, RECORDOID, args, InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL), flinfo);
	InitFunctionCallInfoData(*train, flinfo, TRAIN_ARGS, InvalidOid, NULL, NULL);
}

const char *
option_input_text(Oid type, const char *text)
{
	const char *whole = NULL;

	if (type == INT2OID || type == INT4OID || type == INT8OID)
		whole = number_whole_text(text);
	return whole != NULL ? whole : text;
}

void
arg_call_set(FunctionCallInfo train, TrainArg arg, const char *text)
{
	Oid			type = OidIsValid(types[arg]) ? types[arg] : TEXTOID;
	Oid			input;
	Oid			param;

	text = option_input_text(type, text);
	getTypeInputInfo(type, &input, &param);
	train->args[arg].value = OidInputFunctionCall(input, unconstify(char *, text), param, -1);
	train->args[arg].isnull = false;
}

bool
arg_call_set_named(FunctionCallInfo train, const char *name, const char *text)
{
	for (int arg = ARG_FEEDBACK; arg < TRAIN_ARGS; arg++)
		if (strcmp(names[arg], name) == 0)
		{
			arg_call_set(train, arg, text);
			return true;
		}
	return false;
}

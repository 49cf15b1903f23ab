/*
 * holdout.c: mf_holdout(): which pairs are held out, by a hash of the pair.
 *
 * A pair is held out or not by its ids, the seed and the fraction alone. So a
 * split is the same in every session and after every dump and restore, whatever
 * the order of the rows and whatever other rows there are, and it can be made
 * by a WHERE clause in SQL, by training, or by both, with one result. A pair
 * held out at a fraction is held out at every larger one too.
 *
 * An id is hashed by its text, so that 42 is the same id as an int, as a bigint
 * and as text. Some types' texts depend on settings, which are fixed meanwhile
 * (ids_fix_settings()); that is why mf_holdout() can be immutable.
 *
 * Training holds out pairs by the same function of the same hashes,
 * sampling_held_out(), with a seed of its own (HOLDOUT_SEED). Rejected: random(), which gives another split each time;
 * a hash of the concatenated texts, which takes (1, 23) for (12, 3).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "model/idtext.h"
#include "model/number.h"
#include "numerics/sampling.h"
#include "train/ids.h"

PG_FUNCTION_INFO_V1(mf_holdout);

/* How the texts of an argument are had; kept for the query. */
typedef struct ArgumentText
{
	IdText		text;
	bool		fix_settings;
} ArgumentText;

/* Can settings not change the type's texts? */
static bool
TextIsFixed(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case UUIDOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case NUMERICOID:
		case BOOLOID:
		case UNKNOWNOID:
			return true;
	}
	return false;
}

static ArgumentText *
PrepareArguments(FunctionCallInfo fcinfo)
{
	ArgumentText *texts = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, 2 * sizeof(ArgumentText));

	for (int arg = 0; arg < 2; arg++)
	{
		Oid			type = get_fn_expr_argtype(fcinfo->flinfo, arg);

		if (!OidIsValid(type))
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine the type of argument %d of function %s",
							arg + 1, "mf_holdout")));
		type = getBaseType(type);
		idtext_prepare(&texts[arg].text, type, fcinfo->flinfo->fn_mcxt);
		texts[arg].fix_settings = !TextIsFixed(type);
	}
	return texts;
}

static uint64
HashArgument(ArgumentText *text, Datum value)
{
	int			nestlevel = text->fix_settings ? ids_fix_settings() : 0;
	char	   *string = idtext_cstring(&text->text, value);
	uint64		hash = id_hash(string);

	if (text->fix_settings)
		AtEOXact_GUC(true, nestlevel);
	pfree(string);
	return hash;
}

/* (user, item, fraction, seed), strict */
Datum
mf_holdout(PG_FUNCTION_ARGS)
{
	ArgumentText *texts = fcinfo->flinfo->fn_extra;
	double		fraction = PG_GETARG_FLOAT8(2);

	if (!(fraction >= 0 && fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fraction is %s, outside its range of 0 to 1", number_text(fraction))));
	if (texts == NULL)
		fcinfo->flinfo->fn_extra = texts = PrepareArguments(fcinfo);
	PG_RETURN_BOOL(sampling_held_out(HashArgument(&texts[0], PG_GETARG_DATUM(0)),
									 HashArgument(&texts[1], PG_GETARG_DATUM(1)),
									 (uint64) PG_GETARG_INT64(3), fraction));
}

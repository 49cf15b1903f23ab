/*
 * idargument.c: an id that an SQL function is given, of whatever type, hashed.
 *
 * By its text, as training hashes the ids that it reads, so that 42 has one hash
 * as an int, as a bigint and as text. Some types' texts depend on settings, which
 * are fixed meanwhile; that is why functions that hash ids can be immutable.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "model/idtext.h"
#include "train/ids.h"

/* How the texts of an argument are had; kept for the query. */
struct IdArgument
{
	IdText		text;
	bool		fix_settings;
};

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

IdArgument *
id_argument(FunctionCallInfo fcinfo, int arg, const char *function)
{
	IdArgument *argument = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(IdArgument));
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, arg);

	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("could not determine the type of argument %d of function %s",
						arg + 1, function)));
	type = getBaseType(type);
	idtext_prepare(&argument->text, type, fcinfo->flinfo->fn_mcxt);
	argument->fix_settings = !TextIsFixed(type);
	return argument;
}

uint64
id_argument_hash(IdArgument *argument, Datum id)
{
	int			nestlevel = argument->fix_settings ? ids_fix_settings() : 0;
	char	   *string = idtext_cstring(&argument->text, id);
	uint64		hash = id_hash(string);

	if (argument->fix_settings)
		AtEOXact_GUC(true, nestlevel);
	pfree(string);
	return hash;
}

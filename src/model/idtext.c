/*
 * idtext.c: an id as text: what id::text gives.
 *
 * Text that stands for an id is joined with columns, compared and hashed, by us
 * and by users in SQL, so it has to be what a cast makes of the id. Mostly that is
 * what the type's output function gives, but not for all: of char(n) a cast takes
 * off the padding, of a boolean it writes "true" for "t", of an inet it shows the
 * netmask; and a type's owner may have declared any cast. The way is looked up as
 * the parser looks it up for an explicit cast.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "model/idtext.h"

/* The rights that the executor asks of whoever casts. */
static void
CheckCast(Oid function)
{
	AclResult	result = object_aclcheck(ProcedureRelationId, function, GetUserId(), ACL_EXECUTE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
	InvokeFunctionExecuteHook(function);
}

void
idtext_prepare(IdText *idtext, Oid type, MemoryContext context)
{
	Oid			function = InvalidOid;
	bool		varlena;

	memset(idtext, 0, sizeof(*idtext));
	idtext->type = getBaseType(type);
	switch (find_coercion_pathway(TEXTOID, idtext->type, COERCION_EXPLICIT, &function))
	{
		case COERCION_PATH_RELABELTYPE:
			idtext->kind = IDTEXT_SAME;
			return;
		case COERCION_PATH_FUNC:
			CheckCast(function);
			idtext->kind = IDTEXT_CAST;
			idtext->nargs = get_func_nargs(function);
			break;
		default:
			getTypeOutputInfo(idtext->type, &function, &varlena);
			idtext->kind = IDTEXT_OUTPUT;
			break;
	}
	fmgr_info_cxt(function, &idtext->function, context);
}

/* A cast's function may take the modifier of the target, and whether it is explicit. */
static Datum
Cast(IdText *idtext, Datum value)
{
	Datum		result;

	LOCAL_FCINFO(fcinfo, 3);

	InitFunctionCallInfoData(*fcinfo, &idtext->function, idtext->nargs, DEFAULT_COLLATION_OID,
							 NULL, NULL);
	fcinfo->args[0].value = value;
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = Int32GetDatum(-1);
	fcinfo->args[1].isnull = false;
	fcinfo->args[2].value = BoolGetDatum(true);
	fcinfo->args[2].isnull = false;
	result = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the cast of an id of type %s to text gave null",
						format_type_be(idtext->type))));
	return result;
}

Datum
idtext_datum(IdText *idtext, Datum value)
{
	switch (idtext->kind)
	{
		case IDTEXT_SAME:
			return value;
		case IDTEXT_CAST:
			return Cast(idtext, value);
		default:
			return CStringGetTextDatum(OutputFunctionCall(&idtext->function, value));
	}
}

char *
idtext_cstring(IdText *idtext, Datum value)
{
	if (idtext->kind == IDTEXT_OUTPUT)
		return OutputFunctionCall(&idtext->function, value);
	return TextDatumGetCString(idtext_datum(idtext, value));
}

char *
idtext_once(Oid type, Datum value)
{
	IdText		idtext;

	idtext_prepare(&idtext, type, CurrentMemoryContext);
	return idtext_cstring(&idtext, value);
}

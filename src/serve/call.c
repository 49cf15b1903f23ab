/*
 * call.c: what the serving functions share: their arguments, the model they
 * mean, and the rows they return.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "serve/call.h"

ServeCall *
serve_call(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	ServeCall  *call = flinfo->fn_extra;
	Oid		   *declared;
	int			nargs;
	int			i;

	if (call != NULL)
	{
		call->model = NULL;		/* whatever an error left behind */
		return call;
	}

	call = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(ServeCall));
	call->context = flinfo->fn_mcxt;
	call->models = model_cache_create(flinfo->fn_mcxt, get_func_namespace(flinfo->fn_oid));
	(void) get_func_signature(flinfo->fn_oid, &declared, &nargs);
	for (i = 0; i < 2 && i < nargs; i++)
	{
		call->type[i] = declared[i];
		if (IsPolymorphicType(declared[i]))
			call->type[i] = get_fn_expr_argtype(flinfo, i);
		if (!OidIsValid(call->type[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine the type of argument %d of function %s",
							i + 1, get_func_name(flinfo->fn_oid))));
	}
	flinfo->fn_extra = call;
	return call;
}

static char *
ModelName(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

Model *
serve_model(ServeCall *call, FunctionCallInfo fcinfo, int arg)
{
	return serve_model_named(call, ModelName(fcinfo, arg));
}

/*
 * Could the conversion of an id run code of the caller's, as a type's input function
 * may? What is not known yet could.
 */
static bool
ConversionRunsCode(const IdConversion *conversion)
{
	return conversion->kind != ID_SAME && conversion->kind != ID_INTEGER;
}

Model *
serve_model_briefly(ServeCall *call, FunctionCallInfo fcinfo, int arg)
{
	Model	   *model = model_cache_open(call->models, ModelName(fcinfo, arg));

	call->model = model;
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		if (ConversionRunsCode(&call->id[side]) || !model->side[side].access_checked ||
			model->side[side].row_security)
			model_hold(model);
	return model;
}

Model *
serve_model_to_collect(ServeCall *call, const char *name, int arg)
{
	call->model = model_cache_open(call->models, name);
	if (ConversionRunsCode(&call->id[arg]))
		model_hold(call->model);
	return call->model;
}

Model *
serve_model_named(ServeCall *call, const char *name)
{
	call->model = model_cache_open(call->models, name);
	model_hold(call->model);
	return call->model;
}

void
serve_end(ServeCall *call)
{
	if (call->model != NULL)
		model_release(call->model);
	call->model = NULL;
}

bool
serve_id(ServeCall *call, FunctionCallInfo fcinfo, int arg, const Model *model, MfSide side,
		 Datum *id)
{
	id_prepare_argument(&call->id[arg], call->type[arg], model, side, call->context);
	return id_convert(&call->id[arg], PG_GETARG_DATUM(arg), id);
}

void
serve_check_witness(FunctionCallInfo fcinfo, int arg, const char *name)
{
	Oid			id = get_fn_expr_argtype(fcinfo->flinfo, 0);

	if (PG_ARGISNULL(arg))
		return;
	if (get_fn_expr_argtype(fcinfo->flinfo, arg) == TEXTOID && id != TEXTOID && OidIsValid(id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be null, but is \"%s\"", name,
						text_to_cstring(PG_GETARG_TEXT_PP(arg))),
				 errdetail("Ids of type %s take the form of the function that has %s, which stands for its type alone, before the model.",
						   format_type_be(id), name),
				 errhint("Cast the id to bigint, uuid or text; or name both arguments: %s => NULL::bigint, say, model => %s.",
						 name, quote_literal_cstr(text_to_cstring(PG_GETARG_TEXT_PP(arg))))));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must be null", name),
			 errdetail("It stands for its type alone."),
			 errhint("Write %s => NULL::uuid, for instance, in its place, and name the arguments after it.", name)));
}

int
serve_count(FunctionCallInfo fcinfo, int arg, const char *name)
{
	int			n;

	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	n = PG_GETARG_INT32(arg);
	if (n < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative, but is %d", name, n)));
	return n;
}

int
serve_k(FunctionCallInfo fcinfo, int arg)
{
	return serve_count(fcinfo, arg, "k");
}

/*
 * The rows go into a tuplestore: they are few, and known at once.
 *
 * A query may call the function for each of a million rows, so nothing may stay
 * in its memory but what the executor takes over: the store, and one descriptor
 * that is not counted, which it frees. Finding the descriptor leaves pieces
 * behind, so that is done in the call's own context.
 */
void
serve_rows_begin(FunctionCallInfo fcinfo, ServeRows *rows, const char *id_type_arg)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	TupleDesc	desc;
	MemoryContext old;

	if (info == NULL || !IsA(info, ReturnSetInfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	if ((info->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("materialize mode required, but it is not allowed in this context")));

	/* Cannot happen: each function that comes here is declared RETURNS TABLE. */
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	old = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
	rows->desc = CreateTupleDescCopy(BlessTupleDesc(desc));
	rows->store = tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0,
										false, work_mem);
	MemoryContextSwitchTo(old);

	rows->id_type = TupleDescAttr(rows->desc, 0)->atttypid;
	rows->id_type_arg = id_type_arg;
	info->returnMode = SFRM_Materialize;
	info->setResult = rows->store;
	info->setDesc = rows->desc;
}

Model *
serve_begin(ServeCall *call, FunctionCallInfo fcinfo, int model_arg, MfSide side,
			ServeRows *rows)
{
	Model	   *model;

	serve_rows_begin(fcinfo, rows, side == MF_USERS ? "user_type" : "item_type");
	if (PG_ARGISNULL(0))
		return NULL;
	model = serve_model(call, fcinfo, model_arg);
	id_prepare_result(&call->result, rows->id_type, model, side,
					  side == MF_USERS ? "user_type => NULL::%s" : "item_type => NULL::%s",
					  call->context);
	return model;
}

Datum
serve_rows_id(const ServeRows *rows, ServeCall *call, Datum id)
{
	Datum		result;

	if (!id_convert(&call->result, id, &result))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("an id is out of range for type %s", format_type_be(rows->id_type)),
				 errhint("Give %s a wider type.", rows->id_type_arg)));
	return result;
}

void
serve_rows_add(ServeRows *rows, ServeCall *call, Datum id, double number)
{
	Datum		values[2];
	bool		nulls[2] = {false, false};

	values[0] = serve_rows_id(rows, call, id);
	values[1] = Float8GetDatum(number);
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
}

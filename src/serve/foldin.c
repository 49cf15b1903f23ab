/*
 * foldin.c: mf_fold_in(): an aggregate that makes a vector of rows.
 *
 * The state is a basket (basket.h), made with the first row that counts, which
 * also settles what model is meant. The transition and the final function each
 * keep a model open for the query (model_cache_open), which is the same one,
 * since both see one snapshot.
 *
 * There is no combine function: the work is one system to solve for each group,
 * and collecting a row is little beside reading it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "serve/basket.h"
#include "serve/call.h"

PG_FUNCTION_INFO_V1(mf_fold_in_add);
PG_FUNCTION_INFO_V1(mf_fold_in_final);

typedef struct FoldinState
{
	char	   *model_name;		/* NULL: the default */
	Basket		basket;
} FoldinState;

static MemoryContext
AggregateContext(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("aggregate function called in non-aggregate context")));
	return context;
}

/* The name in the model argument, if the aggregate has one. */
static char *
ModelName(FunctionCallInfo fcinfo)
{
	if (PG_NARGS() <= 3 || PG_ARGISNULL(3))
		return NULL;
	return text_to_cstring(PG_GETARG_TEXT_PP(3));
}

static bool
SameName(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static FoldinState *
BeginState(MemoryContext context, Model *model, char *name)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	FoldinState *state = palloc0(sizeof(FoldinState));

	state->model_name = name == NULL ? NULL : pstrdup(name);
	basket_init(&state->basket, model);
	MemoryContextSwitchTo(old);
	return state;
}

/* (state, item, rating[, model]) */
Datum
mf_fold_in_add(PG_FUNCTION_ARGS)
{
	MemoryContext context = AggregateContext(fcinfo);
	FoldinState *state = PG_ARGISNULL(0) ? NULL : (FoldinState *) PG_GETARG_POINTER(0);
	ServeCall  *call;
	Model	   *model;
	char	   *name;
	Datum		id;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}

	name = ModelName(fcinfo);
	if (state != NULL && !SameName(name, state->model_name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows of one aggregate name different models")));
	call = serve_call(fcinfo);
	model = serve_model_to_collect(call, name, 1);
	if (state == NULL)
		state = BeginState(context, model, name);
	basket_of_model(&state->basket, model);
	if (serve_id(call, fcinfo, 1, model, MF_ITEMS, &id))
		basket_add(&state->basket, id, PG_GETARG_FLOAT8(2));
	serve_end(call);
	PG_RETURN_POINTER(state);
}

static ArrayType *
FactorsArray(const ModelEntity *entity)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + (Size) entity->nfactors * sizeof(float4);
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = entity->nfactors;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), entity->factors, (Size) entity->nfactors * sizeof(float4));
	return array;
}

/* (state): an mf_vector */
Datum
mf_fold_in_final(PG_FUNCTION_ARGS)
{
	FoldinState *state;
	ServeCall  *call;
	ModelEntity entity;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	bool		found;

	(void) AggregateContext(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = (FoldinState *) PG_GETARG_POINTER(0);
	call = serve_call(fcinfo);
	basket_of_model(&state->basket, serve_model_named(call, state->model_name));
	found = basket_fold_in(&state->basket, &entity);
	serve_end(call);
	if (!found)
		PG_RETURN_NULL();

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");	/* as it is declared */
	values[0] = Float4GetDatum(entity.bias);
	values[1] = PointerGetDatum(FactorsArray(&entity));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

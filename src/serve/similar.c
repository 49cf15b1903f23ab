/*
 * similar.c: mf_similar_items() and mf_similar_users(): the nearest by the
 * cosine of their vectors.
 *
 * The biases play no part: they say how high an item is rated, not by whom. A
 * vector of zeros has no direction, so it is similar to nothing and nothing to
 * it: such rows are left out.
 */
#include "postgres.h"

#include "compat.h"
#include "serve/call.h"
#include "serve/rank.h"

PG_FUNCTION_INFO_V1(mf_similar_items);
PG_FUNCTION_INFO_V1(mf_similar_users);
PG_FUNCTION_INFO_V1(mf_similar_items_witness);
PG_FUNCTION_INFO_V1(mf_similar_users_witness);

/* Leaves out the entity itself. */
typedef struct Itself
{
	TypeCacheEntry *type;
	Oid			collation;
	Datum		id;
} Itself;

static bool
IsItself(void *arg, Datum id)
{
	const Itself *itself = arg;

	return rank_compare_ids(itself->type, itself->collation, itself->id, id) == 0;
}

static void
AddSimilar(ServeCall *call, FunctionCallInfo fcinfo, MfSide side, int model_arg)
{
	int			k = serve_k(fcinfo, 1);
	ServeRows	rows;
	RankRequest request;
	Itself		itself;
	Model	   *model;
	ModelEntity entity;
	Ranked	   *ranked;
	int			n;
	int			i;

	model = serve_begin(call, fcinfo, model_arg, side, &rows);
	if (model == NULL ||
		!serve_id(call, fcinfo, 0, model, side, &itself.id) ||
		!model_fetch(model, side, itself.id, &entity))
		return;

	itself.type = rank_id_type(&model->side[side].key);
	itself.collation = model->side[side].key.collation;
	memset(&request, 0, sizeof(request));
	request.model = model;
	request.side = side;
	request.by = RANK_BY_COSINE;
	request.query = &entity;
	request.k = k;
	request.skip = IsItself;
	request.skip_arg = &itself;
	request.nskip = 1;

	n = rank_side(&request, &ranked);
	for (i = 0; i < n; i++)
		serve_rows_add(&rows, call, ranked[i].id, ranked[i].score);
}

static Datum
Similar(FunctionCallInfo fcinfo, MfSide side, int model_arg)
{
	ServeCall  *call = serve_call(fcinfo);

	AddSimilar(call, fcinfo, side, model_arg);
	serve_end(call);
	return (Datum) 0;
}

/* (id, k, model) */
Datum
mf_similar_items(PG_FUNCTION_ARGS)
{
	return Similar(fcinfo, MF_ITEMS, 2);
}

Datum
mf_similar_users(PG_FUNCTION_ARGS)
{
	return Similar(fcinfo, MF_USERS, 2);
}

/* (id, k, witness, model) */
Datum
mf_similar_items_witness(PG_FUNCTION_ARGS)
{
	serve_check_witness(fcinfo, 2, "item_type");
	return Similar(fcinfo, MF_ITEMS, 3);
}

Datum
mf_similar_users_witness(PG_FUNCTION_ARGS)
{
	serve_check_witness(fcinfo, 2, "user_type");
	return Similar(fcinfo, MF_USERS, 3);
}

/*
 * topk.c: mf_topk(): the items that a user would like best.
 *
 * Items are ranked by the score before it is kept in the range of the
 * ratings, so that the favourites of a user who likes everything are not a list
 * of ties; the score shown is the one that mf_predict() gives.
 */
#include "postgres.h"

#include "compat.h"
#include "serve/call.h"
#include "serve/predict.h"
#include "serve/rank.h"
#include "serve/seen.h"

PG_FUNCTION_INFO_V1(mf_topk);
PG_FUNCTION_INFO_V1(mf_topk_witness);

typedef struct TopkArgs
{
	int			k;
	int			model_arg;
	bool		exclude_seen;
} TopkArgs;

static bool
ExcludeSeen(FunctionCallInfo fcinfo, int arg)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("exclude_seen must not be null")));
	return PG_GETARG_BOOL(arg);
}

static Datum
Topk(FunctionCallInfo fcinfo, const TopkArgs *args)
{
	ServeCall  *call = serve_call(fcinfo);
	ServeRows	rows;
	RankRequest request;
	Model	   *model;
	Datum		user_id;
	ModelEntity user;
	SeenItems	seen;
	Ranked	   *ranked;
	int			n;
	int			i;

	serve_rows_begin(fcinfo, &rows);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	model = serve_model(call, fcinfo, args->model_arg);
	id_prepare_result(&call->result, rows.id_type, model, MF_ITEMS, call->context);
	if (!serve_id(call, fcinfo, 0, model, MF_USERS, &user_id) ||
		!model_fetch(model, MF_USERS, user_id, &user) ||
		args->k == 0)
		return (Datum) 0;

	memset(&request, 0, sizeof(request));
	request.model = model;
	request.side = MF_ITEMS;
	request.by = RANK_BY_PREDICTION;
	request.query = &user;
	request.k = args->k;
	if (args->exclude_seen)
	{
		seen_read(model, user_id, &seen, &call->noticed);
		request.skip = seen_skip;
		request.skip_arg = &seen;
		request.nskip = seen.n;
	}

	n = rank_side(&request, &ranked);
	for (i = 0; i < n; i++)
		serve_rows_add(&rows, call, ranked[i].id,
					   predict_in_range(&model->record, ranked[i].score));
	return (Datum) 0;
}

/* (user_id, k, model, exclude_seen) */
Datum
mf_topk(PG_FUNCTION_ARGS)
{
	TopkArgs	args;

	args.k = serve_k(fcinfo, 1);
	args.model_arg = 2;
	args.exclude_seen = ExcludeSeen(fcinfo, 3);
	return Topk(fcinfo, &args);
}

/* (user_id, k, item_type, exclude_seen, model) */
Datum
mf_topk_witness(PG_FUNCTION_ARGS)
{
	TopkArgs	args;

	serve_check_witness(fcinfo, 2);
	args.k = serve_k(fcinfo, 1);
	args.exclude_seen = ExcludeSeen(fcinfo, 3);
	args.model_arg = 4;
	return Topk(fcinfo, &args);
}

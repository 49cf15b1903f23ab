/*
 * predict.c: mf_predict(): the rating that a user would give an item.
 */
#include "postgres.h"

#include "compat.h"
#include "serve/call.h"
#include "serve/predict.h"

PG_FUNCTION_INFO_V1(mf_predict);
PG_FUNCTION_INFO_V1(mf_predict_witness);

static Datum
Predict(FunctionCallInfo fcinfo, int model_arg)
{
	ServeCall  *call;
	Model	   *model;
	Datum		user_id;
	Datum		item_id;
	ModelEntity user;
	ModelEntity item;
	bool		found;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	call = serve_call(fcinfo);
	model = serve_model_briefly(call, fcinfo, model_arg);
	found = serve_id(call, fcinfo, 0, model, MF_USERS, &user_id) &&
		serve_id(call, fcinfo, 1, model, MF_ITEMS, &item_id) &&
		model_fetch(model, MF_USERS, user_id, &user) &&
		model_fetch(model, MF_ITEMS, item_id, &item);
	serve_end(call);
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(predict_in_range(&model->record,
									  predict_score(&model->record, user.bias, item.bias,
													user.factors, item.factors)));
}

/* (user_id, item_id, model) */
Datum
mf_predict(PG_FUNCTION_ARGS)
{
	return Predict(fcinfo, 2);
}

/* (user_id, item_id, item_type, model) */
Datum
mf_predict_witness(PG_FUNCTION_ARGS)
{
	serve_check_witness(fcinfo, 2, "item_type");
	return Predict(fcinfo, 3);
}

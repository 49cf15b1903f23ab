/*
 * topk.c: mf_topk(): the items that a user would like best; and mf_topk_for():
 * those that whoever has a basket would.
 *
 * Items are ranked by the score before it is kept in the range of the
 * ratings, so that the favourites of a user who likes everything are not a list
 * of ties; the score shown is the one that mf_predict() gives.
 *
 * A user's vector is the stored one, or folded in from the user's rows as they
 * are now: always where live is true, never where it is false, and where it is
 * NULL for users that the model does not know. The rows are read once, for the
 * vector and for what to leave out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

#include "compat.h"
#include "serve/basket.h"
#include "serve/call.h"
#include "serve/recommend.h"
#include "serve/seen.h"

PG_FUNCTION_INFO_V1(mf_topk);
PG_FUNCTION_INFO_V1(mf_topk_witness);
PG_FUNCTION_INFO_V1(mf_topk_witness_lists);
PG_FUNCTION_INFO_V1(mf_topk_for);

/* Which vector is wanted. */
typedef enum Live
{
	LIVE_NEVER,
	LIVE_IF_UNKNOWN,
	LIVE_ALWAYS
} Live;

static Live
LiveArgument(FunctionCallInfo fcinfo, int arg)
{
	if (PG_ARGISNULL(arg))
		return LIVE_IF_UNKNOWN;
	return PG_GETARG_BOOL(arg) ? LIVE_ALWAYS : LIVE_NEVER;
}

/*
 * Finds the user's vector, and fills recommendation->exclude with what the user
 * has seen if that is to be left out. False where there is no vector.
 */
static bool
FindUser(ServeCall *call, Recommendation *recommendation, Datum user_id, Live live,
		 ModelEntity *user)
{
	Model	   *model = recommendation->model;
	SeenRequest request;
	Basket		basket;

	memset(&request, 0, sizeof(request));
	request.noticed = &call->noticed;
	if (recommendation->exclude_seen)
		request.ids = &recommendation->exclude;

	if (live != LIVE_ALWAYS && model_fetch(model, MF_USERS, user_id, user))
	{
		if (request.ids != NULL)
			(void) seen_read(model, user_id, &request);
		return true;
	}
	if (live == LIVE_NEVER || (live != LIVE_ALWAYS && !basket_can_fold_in(model)))
		return false;

	basket_init(&basket, model);
	request.ratings = &basket;
	request.required = live == LIVE_ALWAYS;
	return seen_read(model, user_id, &request) && basket_fold_in(&basket, user);
}

static void
AddTopk(ServeCall *call, FunctionCallInfo fcinfo, const RecommendArgs *args, int live_arg)
{
	Live		live = LiveArgument(fcinfo, live_arg);
	Recommendation recommendation;
	ServeRows	rows;
	Datum		user_id;
	ModelEntity user;

	recommend_options(fcinfo, args, &recommendation);
	recommendation.model = serve_begin(call, fcinfo, args->model, MF_ITEMS, &rows);
	if (recommendation.model == NULL ||
		!serve_id(call, fcinfo, 0, recommendation.model, MF_USERS, &user_id))
		return;
	recommend_lists(fcinfo, args, call, &recommendation);
	if (recommendation.k == 0 || !FindUser(call, &recommendation, user_id, live, &user))
		return;
	recommendation.user = &user;
	recommend(&recommendation, call, &rows);
}

static Datum
Topk(FunctionCallInfo fcinfo, const RecommendArgs *args, int live_arg)
{
	ServeCall  *call = serve_call(fcinfo);

	AddTopk(call, fcinfo, args, live_arg);
	serve_end(call);
	return (Datum) 0;
}

/* (user_id, k, model, exclude_seen, candidates, exclude, live, diversity) */
Datum
mf_topk(PG_FUNCTION_ARGS)
{
	static const RecommendArgs args = {
		.k = 1, .model = 2, .exclude_seen = 3, .candidates = 4, .exclude = 5, .diversity = 7
	};

	return Topk(fcinfo, &args, 6);
}

/* (user_id, k, item_type, exclude_seen, model, live, diversity) */
Datum
mf_topk_witness(PG_FUNCTION_ARGS)
{
	static const RecommendArgs args = {
		.k = 1, .exclude_seen = 3, .model = 4, .candidates = -1, .exclude = -1, .diversity = 6
	};

	serve_check_witness(fcinfo, 2, "item_type");
	return Topk(fcinfo, &args, 5);
}

/* (user_id, k, item_type, candidates, exclude, exclude_seen, model, live, diversity) */
Datum
mf_topk_witness_lists(PG_FUNCTION_ARGS)
{
	static const RecommendArgs args = {
		.k = 1, .candidates = 3, .exclude = 4, .exclude_seen = 5, .model = 6, .diversity = 8
	};

	serve_check_witness(fcinfo, 2, "item_type");
	return Topk(fcinfo, &args, 7);
}

/* ---- A basket ---- */

/*
 * The rating of an item that came without one: once, for implicit feedback;
 * for explicit, the best there is, since a basket holds what someone wants.
 */
static double
DefaultRating(const Model *model)
{
	return model->record.implicit ? 1.0 : model->record.rating_max;
}

/* The ratings that go with n items; NULL where none were given. */
static Datum *
Ratings(FunctionCallInfo fcinfo, int arg, int n, bool **nulls)
{
	Datum	   *ratings;
	int			count;

	if (PG_ARGISNULL(arg))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), FLOAT8OID, sizeof(float8),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &ratings, nulls, &count);
	if (count != n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("items has %d elements, but ratings has %d", n, count),
				 errhint("Give a rating for each item, or none at all.")));
	return ratings;
}

/* Puts the items into the basket, and among the seen where `seen` is given. */
static void
FillBasket(FunctionCallInfo fcinfo, ServeCall *call, Basket *basket, IdList *seen)
{
	Model	   *model = basket->model;
	ArrayType  *items = PG_GETARG_ARRAYTYPE_P(0);
	ArrayIterator iterator = array_create_iterator(items, 0, NULL);
	bool	   *rating_nulls = NULL;
	Datum	   *ratings = Ratings(fcinfo, 1, ArrayGetNItems(ARR_NDIM(items), ARR_DIMS(items)),
								  &rating_nulls);
	Datum		item;
	Datum		id;
	bool		isnull;
	int			i;

	for (i = 0; array_iterate(iterator, &item, &isnull); i++)
	{
		if (isnull || !id_convert(&call->id[0], item, &id))
			continue;
		if (seen != NULL)
			idlist_add(seen, id);
		if (ratings == NULL)
			basket_add(basket, id, DefaultRating(model));
		else if (!rating_nulls[i])
			basket_add(basket, id, DatumGetFloat8(ratings[i]));
	}
	array_free_iterator(iterator);
}

/* (items, ratings, k, model, exclude_seen, candidates, exclude, diversity) */
static void
AddTopkFor(ServeCall *call, FunctionCallInfo fcinfo)
{
	static const RecommendArgs args = {
		.k = 2, .model = 3, .exclude_seen = 4, .candidates = 5, .exclude = 6, .diversity = 7
	};
	Recommendation recommendation;
	ServeRows	rows;
	Basket		basket;
	ModelEntity user;

	recommend_options(fcinfo, &args, &recommendation);
	serve_rows_begin(fcinfo, &rows, "items");
	if (PG_ARGISNULL(0))
		return;
	recommendation.model = serve_model(call, fcinfo, args.model);
	id_prepare_argument(&call->id[0], ARR_ELEMTYPE(PG_GETARG_ARRAYTYPE_P(0)),
						recommendation.model, MF_ITEMS, call->context);
	id_prepare_result(&call->result, rows.id_type, recommendation.model, MF_ITEMS,
					  "items => NULL::%s[]", call->context);
	recommend_lists(fcinfo, &args, call, &recommendation);
	basket_init(&basket, recommendation.model);
	FillBasket(fcinfo, call, &basket,
			   recommendation.exclude_seen ? &recommendation.exclude : NULL);
	if (recommendation.k == 0 || !basket_fold_in(&basket, &user))
		return;
	recommendation.user = &user;
	recommend(&recommendation, call, &rows);
}

Datum
mf_topk_for(PG_FUNCTION_ARGS)
{
	ServeCall  *call = serve_call(fcinfo);

	AddTopkFor(call, fcinfo);
	serve_end(call);
	return (Datum) 0;
}

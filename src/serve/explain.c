/*
 * explain.c: mf_explain(): which of a user's own items speak for another.
 *
 * A user's vector is linear in what the user's items say: with A the matrix of
 * the normal equations, x = A^-1 sum w t z, so the score of an item with z_i is
 *
 *	 base + sum over the user's items j of  w_j t_j  z_i' A^-1 z_j
 *
 * and each term is what item j contributes (Hu, Koren and Volinsky 2008,
 * section 5, for implicit feedback, where the base is 0). For explicit feedback
 * t_j = r_j - mu - b_j is how far the user's rating departs from what everyone
 * would give, and the user's bias is one of the unknowns, so what it adds is
 * shared out as well; the base is what the item gets from anyone, mu + b_i.
 *
 * The vector is that of the user's rows as they are now, as with live => true:
 * the stored one is the sum of rows that may be gone.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "serve/basket.h"
#include "serve/call.h"
#include "serve/rank.h"
#include "serve/seen.h"

PG_FUNCTION_INFO_V1(mf_explain);
PG_FUNCTION_INFO_V1(mf_explain_witness);

typedef struct Reason
{
	Datum		id;
	double		rating;
	double		contribution;
} Reason;

typedef struct Reasons
{
	const Basket *basket;
	Reason	   *reasons;
	int64		n;
	double		base;
	double		score;
} Reasons;

static int
CompareReasons(const void *a, const void *b, void *arg)
{
	const Reason *x = a;
	const Reason *y = b;
	const Basket *basket = ((const Reasons *) arg)->basket;

	if (x->contribution != y->contribution)
		return x->contribution > y->contribution ? -1 : 1;
	return rank_compare_ids(basket->type, basket->collation, x->id, y->id);
}

/* The contributions of all items of the basket that the model knows. */
static void
FindReasons(Basket *basket, Foldin *system, Reasons *reasons)
{
	ModelReader *reader = model_reader_begin(basket->model, MF_ITEMS);
	int64		i;

	reasons->basket = basket;
	reasons->reasons = MemoryContextAllocHuge(CurrentMemoryContext,
											  mul_size(basket->n, sizeof(Reason)));
	reasons->n = 0;
	reasons->score = reasons->base;
	for (i = 0; i < basket->n; i++)
	{
		Reason	   *reason = &reasons->reasons[reasons->n];
		ModelEntity item;

		CHECK_FOR_INTERRUPTS();
		if (!model_reader_fetch(reader, basket->items[i].id, &item))
			continue;
		reason->id = basket->items[i].id;
		reason->rating = basket_exact(basket, &basket->items[i]);
		reason->contribution = foldin_contribution(system, item.factors, item.bias,
												   basket_value(basket, &basket->items[i]));
		reasons->score += reason->contribution;
		reasons->n++;
	}
	model_reader_end(reader);
	qsort_arg(reasons->reasons, reasons->n, sizeof(Reason), CompareReasons, reasons);
}

static void
AddRows(const Reasons *reasons, int n, ServeCall *call, ServeRows *rows)
{
	int64		i;

	for (i = 0; i < Min(n, reasons->n); i++)
	{
		const Reason *reason = &reasons->reasons[i];
		Datum		values[5];
		bool		nulls[5] = {false};

		values[0] = serve_rows_id(rows, call, reason->id);
		values[1] = Float8GetDatum(reason->rating);
		values[2] = Float8GetDatum(reason->contribution);
		values[3] = Float8GetDatum(reasons->base);
		values[4] = Float8GetDatum(reasons->score);
		tuplestore_putvalues(rows->store, rows->desc, values, nulls);
	}
}

static void
AddReasons(ServeCall *call, FunctionCallInfo fcinfo, int model_arg)
{
	int			n = serve_count(fcinfo, 2, "n");
	ServeRows	rows;
	Model	   *model;
	Datum		user_id;
	Datum		item_id;
	ModelEntity item;
	SeenRequest request;
	Basket		basket;
	Foldin	   *system;
	Reasons		reasons;

	model = serve_begin(call, fcinfo, model_arg, MF_ITEMS, &rows);
	if (model == NULL || PG_ARGISNULL(1) ||
		!serve_id(call, fcinfo, 0, model, MF_USERS, &user_id) ||
		!serve_id(call, fcinfo, 1, model, MF_ITEMS, &item_id) ||
		!model_fetch(model, MF_ITEMS, item_id, &item))
		return;

	memset(&request, 0, sizeof(request));
	basket_init(&basket, model);
	request.ratings = &basket;
	request.required = true;
	request.noticed = &call->noticed;
	(void) seen_read(model, user_id, &request);
	system = basket_system(&basket);
	if (system == NULL)
		return;
	foldin_explain(system, item.factors);
	reasons.base = model->record.implicit ? 0.0 : model->record.mean + item.bias;
	FindReasons(&basket, system, &reasons);
	AddRows(&reasons, n, call, &rows);
}

static Datum
Explain(FunctionCallInfo fcinfo, int model_arg)
{
	ServeCall  *call = serve_call(fcinfo);

	AddReasons(call, fcinfo, model_arg);
	serve_end(call);
	return (Datum) 0;
}

/* (user_id, item_id, n, model) */
Datum
mf_explain(PG_FUNCTION_ARGS)
{
	return Explain(fcinfo, 3);
}

/* (user_id, item_id, n, item_type, model) */
Datum
mf_explain_witness(PG_FUNCTION_ARGS)
{
	serve_check_witness(fcinfo, 3, "item_type");
	return Explain(fcinfo, 4);
}

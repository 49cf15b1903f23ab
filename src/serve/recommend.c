/*
 * recommend.c: a list of items for a vector, given the caller's wishes:
 * candidates, exclusions, diversity.
 *
 * Few candidates are fetched one by one; of many, a share of all items, the
 * best come up soon in a ranking of all, which then passes over the others.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "compat.h"
#include "model/number.h"
#include "serve/predict.h"
#include "serve/recommend.h"

/* Fetched one by one: up to so many candidates, or this share of the items. */
#define FEW_CANDIDATES 64
#define FEW_SHARE 16

/* A varied list is chosen from so many for each of its rows, and at least: */
#define POOL_FACTOR 5
#define POOL_LEAST 100

static bool
Flag(FunctionCallInfo fcinfo, int arg)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("exclude_seen must not be null")));
	return PG_GETARG_BOOL(arg);
}

static double
Diversity(FunctionCallInfo fcinfo, int arg)
{
	double		diversity;

	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("diversity must not be null")));
	diversity = PG_GETARG_FLOAT8(arg);
	if (!(diversity >= 0 && diversity <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("diversity must be between 0 and 1, but is %s", number_text(diversity))));
	return diversity;
}

static ArrayType *
ListArgument(FunctionCallInfo fcinfo, int arg)
{
	return arg < 0 || PG_ARGISNULL(arg) ? NULL : PG_GETARG_ARRAYTYPE_P(arg);
}

void
recommend_options(FunctionCallInfo fcinfo, const RecommendArgs *args,
				  Recommendation *recommendation)
{
	memset(recommendation, 0, sizeof(*recommendation));
	recommendation->k = serve_k(fcinfo, args->k);
	recommendation->exclude_seen = Flag(fcinfo, args->exclude_seen);
	recommendation->diversity = Diversity(fcinfo, args->diversity);
}

void
recommend_lists(FunctionCallInfo fcinfo, const RecommendArgs *args, ServeCall *call,
				Recommendation *recommendation)
{
	const Model *model = recommendation->model;
	ArrayType  *candidates = ListArgument(fcinfo, args->candidates);
	ArrayType  *exclude = ListArgument(fcinfo, args->exclude);

	idlist_init(&recommendation->exclude, model, MF_ITEMS);
	if (exclude != NULL)
		idlist_add_array(&recommendation->exclude, exclude, &call->list[1], model, MF_ITEMS,
						call->context);
	idlist_init(&recommendation->candidates, model, MF_ITEMS);
	recommendation->restricted = candidates != NULL;
	if (candidates != NULL)
	{
		idlist_add_array(&recommendation->candidates, candidates, &call->list[0], model,
						MF_ITEMS, call->context);
		idlist_sort(&recommendation->candidates);
	}
}

static bool
IsExcluded(void *arg, Datum id)
{
	return idlist_contains(&((Recommendation *) arg)->exclude, id);
}

static bool
IsNotWanted(void *arg, Datum id)
{
	Recommendation *recommendation = arg;

	return !idlist_contains(&recommendation->candidates, id) ||
		idlist_contains(&recommendation->exclude, id);
}

/* The best `n`, in ranked. */
static int
Rank(Recommendation *recommendation, int n, Ranked **ranked)
{
	Model	   *model = recommendation->model;
	const IdList *candidates = &recommendation->candidates;
	RankRequest request;

	memset(&request, 0, sizeof(request));
	request.model = model;
	request.side = MF_ITEMS;
	request.by = RANK_BY_PREDICTION;
	request.query = recommendation->user;
	request.k = n;
	request.keep_factors = recommendation->diversity > 0;
	request.skip = IsExcluded;
	request.skip_arg = recommendation;
	request.nskip = recommendation->exclude.n;
	if (!recommendation->restricted)
		return rank_side(&request, ranked);
	if (candidates->n <= FEW_CANDIDATES ||
		candidates->n <= model->record.items / FEW_SHARE)
		return rank_among(&request, candidates, ranked);

	/* Candidates are taken to be spread over the ranking. */
	request.skip = IsNotWanted;
	request.nskip += Min((int64) n * (model->record.items / candidates->n), model->record.items);
	return rank_side(&request, ranked);
}

void
recommend(Recommendation *recommendation, ServeCall *call, ServeRows *rows)
{
	int64		k = recommendation->k;
	Ranked	   *ranked;
	int			n;
	int			i;

	if (k == 0)
		return;
	idlist_sort(&recommendation->exclude);
	if (recommendation->diversity > 0)
	{
		n = Rank(recommendation, Min(Max(k * POOL_FACTOR, POOL_LEAST), PG_INT32_MAX), &ranked);
		n = diversify(ranked, n, k, recommendation->model->record.factors,
					  recommendation->diversity);
	}
	else
		n = Rank(recommendation, k, &ranked);
	for (i = 0; i < n; i++)
		serve_rows_add(rows, call, ranked[i].id,
					   predict_in_range(&recommendation->model->record, ranked[i].score));
}

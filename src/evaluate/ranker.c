/*
 * ranker.c: what is judged: the model, and the baselines beside it.
 *
 * Each is brought into one form, an inner product of a user's vector and an
 * item's, so that one way of judging does for all:
 *
 *	 model		(1, p_u) . (b_i, q_i)	what is the same for all items of a user
 *										is left out
 *	 popular	(1) . (n_i)
 *	 biases		(1) . (b_i)
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "evaluate/biases.h"
#include "evaluate/ranker.h"
#include "serve/predict.h"

#define ITEMS_PER_CHECK 4096

/*
 * lambda_b of the baseline where the model has none, or one for biases behind a
 * sigmoid, which are on another scale: the default of mf_train.
 */
#define BIAS_REGULARIZATION 4.0

const char *
ranker_name(RankerKind kind)
{
	switch (kind)
	{
		case RANKER_MODEL:
			return "model";
		case RANKER_POPULAR:
			return "popular";
		case RANKER_BIASES:
			return "biases";
	}
	return NULL;
}

/* A side's fitted bias, 0 where training has none. */
static double
Bias(const Ranker *ranker, MfSide side, uint32 number)
{
	uint32		place = roster_train_place(&ranker->evidence->roster[side], number);

	return place == ROSTER_NONE ? 0 : ranker->bias[side][place];
}

static void
FillItem(const Ranker *ranker, uint32 item, float *vector)
{
	const Evidence *evidence = ranker->evidence;
	const RosterSide *items = &evidence->roster[MF_ITEMS];
	int			d = evidence->model->record.factors;
	uint32		place;

	switch (ranker->kind)
	{
		case RANKER_MODEL:
			vector[0] = items->bias[item];
			memcpy(vector + 1, items->factors + (Size) item * d, d * sizeof(float));
			break;
		case RANKER_POPULAR:
			place = roster_train_place(items, item);
			vector[0] = place == ROSTER_NONE ? 0 : evidence->train->ids[MF_ITEMS].ratings[place];
			break;
		case RANKER_BIASES:
			vector[0] = Bias(ranker, MF_ITEMS, item);
			break;
	}
}

static double
BiasRegularization(const ModelRecord *record)
{
	return record->biased && !record->linked ? record->bias_regularization :
		BIAS_REGULARIZATION;
}

Ranker *
ranker_begin(RankerKind kind, const Evidence *evidence, bool shared)
{
	Ranker	   *ranker = palloc0(sizeof(Ranker));
	const ModelRecord *record = &evidence->model->record;
	PanelShape	shape = {0};
	PanelRanker arrays;
	Size		stride;

	ranker->kind = kind;
	ranker->evidence = evidence;
	ranker->predicts = !record->implicit && kind != RANKER_POPULAR;
	ranker->length = kind == RANKER_MODEL ? record->factors + 1 : 1;
	ranker->unknown = palloc0(mul_size(record->factors, sizeof(float)));
	if (kind == RANKER_BIASES)
		biases_fit(evidence->train, BiasRegularization(record), ranker->bias);

	shape.nitems = evidence->roster[MF_ITEMS].nmodel;
	shape.length = ranker->length;
	(void) bigarray_alloc(&ranker->array, panel_ranker_layout(&arrays, &shape, NULL), shared,
						  CurrentMemoryContext);
	panel_ranker_layout(&arrays, &shape, ranker->array.data);
	stride = judge_stride(ranker->length);
	for (uint64 item = 0; item < shape.nitems; item++)
	{
		float	   *vector = arrays.vectors + item * stride;

		if (item % ITEMS_PER_CHECK == 0)
			CHECK_FOR_INTERRUPTS();
		FillItem(ranker, item, vector);
		arrays.norm[item] = judge_norm(vector, ranker->length);
	}
	return ranker;
}

void
ranker_user(const Ranker *ranker, uint32 user, float *vector)
{
	const Evidence *evidence = ranker->evidence;
	int			d = evidence->model->record.factors;

	vector[0] = 1;
	if (ranker->kind == RANKER_MODEL)
		memcpy(vector + 1, evidence->roster[MF_USERS].factors + (Size) user * d,
			   d * sizeof(float));
}

static double
PredictByModel(const Ranker *ranker, uint32 user, uint32 item)
{
	const ModelRecord *record = &ranker->evidence->model->record;
	const RosterSide *users = &ranker->evidence->roster[MF_USERS];
	const RosterSide *items = &ranker->evidence->roster[MF_ITEMS];
	bool		user_known = roster_known(users, user);
	bool		item_known = roster_known(items, item);
	Size		d = record->factors;

	return predict_in_range(record,
							predict_score(record,
										  user_known ? users->bias[user] : 0,
										  item_known ? items->bias[item] : 0,
										  user_known ? users->factors + user * d : ranker->unknown,
										  item_known ? items->factors + item * d : ranker->unknown));
}

double
ranker_predict(const Ranker *ranker, uint32 user, uint32 item)
{
	const RatingSet *train = ranker->evidence->train;
	double		score;

	if (ranker->kind == RANKER_MODEL)
		return PredictByModel(ranker, user, item);
	score = train->mean + Bias(ranker, MF_USERS, user) + Bias(ranker, MF_ITEMS, item);
	return Max(train->min, Min(train->max, score));
}

double
ranker_coverage(const Ranker *ranker)
{
	PanelShape	shape = {0};
	PanelRanker arrays;
	uint64		listed = 0;

	shape.nitems = ranker->evidence->roster[MF_ITEMS].nmodel;
	shape.length = ranker->length;
	panel_ranker_layout(&arrays, &shape, ranker->array.data);
	for (uint64 item = 0; item < shape.nitems; item++)
		listed += arrays.listed[item];
	return (double) listed / shape.nitems;
}

void
ranker_end(Ranker *ranker)
{
	bigarray_free(&ranker->array);
}

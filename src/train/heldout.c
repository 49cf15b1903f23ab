/*
 * heldout.c: the loss of the pairs held out.
 *
 *	 explicit, squared		the RMSE of what mf_predict says of them
 *	 implicit, squared		the objective's data part, a pair: the mean of
 *							c (1 - p.q)^2 plus alpha0 / pairs sum_all (p.q)^2
 *	 logistic, bpr			the mean loss of a pair with its negatives
 *
 * Negatives are drawn from all items but the pair's own, and are the same in
 * every iteration, so that iterations compare. They are measured over whole
 * lists of items, so one that the user has is not drawn again here.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "numerics/distance.h"
#include "train/fit.h"

/* Pairs between two looks for interrupts. */
#define INTERRUPT_MASK 1023

/* The key of the negatives' random numbers, whatever the training's seed. */
#define HELDOUT_KEY UINT64CONST(0x9ead0074)

typedef struct Measure
{
	const TrainOptions *options;
	const RatingSet *ratings;
	const AlsSide *users;
	const AlsSide *items;
	size_t		stride;
	int			negatives;
	float	   *score;			/* 1 + negatives */
	float	   *slope;
} Measure;

static float
Score(const Measure *measure, uint32 user, uint32 item)
{
	const AlsSpec *spec = &measure->options->spec;

	return (float) (spec->mean + measure->users->bias[user] + measure->items->bias[item] +
					vector_dot(measure->users->factors + user * measure->stride,
							   measure->items->factors + item * measure->stride,
							   spec->factors));
}

/* The square of an explicit rating's miss, as mf_predict sees it. */
static double
SquaredMiss(const Measure *measure, const HeldPair *pair)
{
	const LossSpec *loss = &measure->options->sgd.loss;
	double		prediction = loss_prediction(loss, Score(measure, pair->row[MF_USERS],
														 pair->row[MF_ITEMS]));

	if (!loss->linked)
		prediction = Max(measure->ratings->min, Min(measure->ratings->max, prediction));
	return (pair->value - prediction) * (pair->value - prediction);
}

/* The loss of a pair and its negatives, and the pair's weight. */
static double
SampleLoss(const Measure *measure, uint64 number, double *weight)
{
	const TrainOptions *options = measure->options;
	const HeldPair *pair = &measure->ratings->held[number];
	uint32		items = measure->ratings->ids[MF_ITEMS].n;
	bool		weighted = options->spec.implicit &&
		(options->solver == SOLVER_ALS || options->sgd.weighted);

	*weight = weighted ? options->spec.alpha * pair->value : 1;
	measure->score[0] = Score(measure, pair->row[MF_USERS], pair->row[MF_ITEMS]);
	for (int k = 0; k < measure->negatives; k++)
	{
		uint32		item = sampling_below(HELDOUT_KEY, number * measure->negatives + k,
										  items - 1);

		item += item >= pair->row[MF_ITEMS];
		measure->score[k + 1] = Score(measure, pair->row[MF_USERS], item);
	}
	return loss_sample(&options->sgd.loss, options->spec.implicit ? 1 : pair->value,
					   *weight, measure->negatives, measure->score, measure->slope);
}

double
heldout_loss(const TrainOptions *options, const RatingSet *ratings, Crew *crew)
{
	const AlsSpec *spec = &options->spec;
	bool		squared = options->sgd.loss.kind == LOSS_SQUARED;
	Measure		measure = {
		.options = options,
		.ratings = ratings,
		.users = crew_side(crew, MF_USERS),
		.items = crew_side(crew, MF_ITEMS),
		.stride = als_stride(spec->factors),
		.negatives = ratings->ids[MF_ITEMS].n > 1 ? options->sgd.negatives : 0,
	};
	double		sum = 0;
	double		weights = 0;

	measure.score = palloc((measure.negatives + 1) * sizeof(float));
	measure.slope = palloc((measure.negatives + 1) * sizeof(float));
	for (uint64 k = 0; k < ratings->nheld; k++)
	{
		double		weight = 1;

		if ((k & INTERRUPT_MASK) == 0)
			CHECK_FOR_INTERRUPTS();
		if (squared && !spec->implicit)
			sum += SquaredMiss(&measure, &ratings->held[k]);
		else
			sum += SampleLoss(&measure, k, &weight);
		weights += weight;
	}
	pfree(measure.score);
	pfree(measure.slope);

	if (weights <= 0)
		return 0;
	if (squared && !spec->implicit)
		return sqrt(sum / weights);
	sum /= weights;
	if (spec->unobserved_weight > 0)
		sum += spec->unobserved_weight / ratings->pairs *
			als_allpairs(crew_gramian(crew, MF_USERS), crew_gramian(crew, MF_ITEMS),
						 spec->factors);
	return sum;
}

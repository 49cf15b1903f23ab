/*
 * fit.c: the iterations of a training by alternating least squares.
 *
 * The users' first vectors are random, each from the seed and its id. An
 * iteration solves the items given the users, then the users given the items:
 * the users last, so that folding in a user's own ratings later gives the
 * stored vector. With unobserved pairs weighed (alpha0 > 0) each half needs
 * the Gramian of the side that is fixed, and the objective both:
 *
 *	 G_users; repeat { items; G_items; users; G_users; error and objective }
 *
 * The training error is the root of the weighted mean square,
 * sqrt(sum c (r - rhat)^2 / sum c) over the observed pairs; for explicit
 * feedback that is the RMSE.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/shmem.h"

#include "train/fit.h"
#include "train/progress.h"
#include "train/warm.h"

double
fit_seconds(const Fit *fit)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, fit->start);
	return INSTR_TIME_GET_DOUBLE(now);
}

static void
InitUsers(const TrainOptions *options, const IdSet *users, AlsSide *side)
{
	size_t		stride = als_stride(options->spec.factors);

	for (uint32 u = 0; u < users->n; u++)
	{
		if (u % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		als_init_row(&options->spec, (uint64) options->seed, users->hash[u],
					 FIT_INITIAL_SCALE, side->factors + u * stride);
	}
}

/* The error and the objective as they stand after the users' half. */
static void
Measure(const AlsSpec *spec, Crew *crew, ModelIteration *iteration)
{
	AlsSums		users = crew_sums(crew, MF_USERS);
	AlsSums		items = crew_sums(crew, MF_ITEMS);

	iteration->error = users.weight > 0 ?
		sqrt(users.weighted_squares / users.weight) : 0;
	iteration->loss = users.weighted_squares + users.penalty + items.penalty;
	if (spec->alpha0 > 0)
		iteration->loss += spec->alpha0 *
			als_allpairs(crew_gramian(crew, MF_USERS), crew_gramian(crew, MF_ITEMS),
						 spec->factors);
	if (!isfinite(iteration->error) || !isfinite(iteration->loss))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the training diverged in iteration %d", iteration->iteration),
				 errhint("Try a larger regularization, or ratings on a smaller scale.")));
}

static void
RunIteration(const TrainOptions *options, Crew *crew, ModelIteration *iteration)
{
	bool		gramians = options->spec.alpha0 > 0;

	progress_report("iteration %d of %d, items", iteration->iteration, options->iterations);
	crew_run(crew, CREW_SOLVE, MF_ITEMS);
	if (gramians)
		crew_run(crew, CREW_GRAMIAN, MF_ITEMS);

	progress_report("iteration %d of %d, users", iteration->iteration, options->iterations);
	crew_run(crew, CREW_SOLVE, MF_USERS);
	if (gramians)
		crew_run(crew, CREW_GRAMIAN, MF_USERS);

	Measure(&options->spec, crew, iteration);
}

/* Has the objective ceased to fall by more than the tolerance? */
static bool
HasSettled(const TrainOptions *options, const ModelIteration *before,
		   const ModelIteration *after)
{
	return options->tolerance >= 0 &&
		before->loss - after->loss <= options->tolerance * before->loss;
}

void
fit_run(Fit *fit, const TrainOptions *options, const RatingSet *ratings, Crew *crew)
{
	fit->history = palloc0(mul_size(options->iterations, sizeof(ModelIteration)));

	InitUsers(options, &ratings->ids[MF_USERS], crew_side(crew, MF_USERS));
	if (options->warm != NULL)
		warm_users(options->warm, &ratings->ids[MF_USERS], crew_side(crew, MF_USERS));
	if (options->spec.alpha0 > 0)
		crew_run(crew, CREW_GRAMIAN, MF_USERS);

	for (int k = 0; k < options->iterations; k++)
	{
		ModelIteration *iteration = &fit->history[k];

		iteration->iteration = k + 1;
		RunIteration(options, crew, iteration);
		iteration->seconds = fit_seconds(fit);
		fit->iterations = k + 1;
		if (options->verbose)
			ereport(NOTICE,
					(errmsg("iteration %d of %d: error %.6g, %.1f s",
							iteration->iteration, options->iterations,
							iteration->error, iteration->seconds)));
		if (k > 0 && HasSettled(options, &fit->history[k - 1], iteration))
			break;
	}
}

/*
 * fit_sgd.c: an epoch of stochastic gradient descent.
 *
 * Its error and its objective are those of the samples as they were drawn, each
 * before it moved its rows: a pass of its own to measure them would cost a third
 * of an epoch. The error is the mean loss of an observed pair with its
 * negatives, or its root where the loss is squared: for explicit feedback the
 * RMSE.
 *
 * A training that starts from an earlier one's vectors has not their optimizer's
 * state, without which the first steps would be as long as at a cold start and
 * undo much of it. So an epoch goes before in which nothing moves.
 */
#include "postgres.h"

#include <math.h>

#include "train/fit.h"
#include "train/progress.h"
#include "train/warm.h"

static void
Prepare(const TrainOptions *options, const RatingSet *ratings, Crew *crew)
{
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		fit_first_vectors(options, ratings, side, crew);
		if (options->warm != NULL)
			warm_side(options->warm, side, &ratings->ids[side], crew_side(crew, side));
	}
	crew_prepare_epochs(crew);
	if (options->warm != NULL && OPTIMIZER_STATES(options->sgd.optimizer) > 0)
	{
		progress_report("measuring gradients");
		(void) crew_run_epoch(crew, options->iterations, true);
	}
}

static void
Iterate(const TrainOptions *options, const RatingSet *ratings, Crew *crew,
		ModelIteration *iteration)
{
	const AlsSpec *spec = &options->spec;
	SgdSums		sums;

	progress_report("iteration %d of %d", iteration->iteration, options->iterations);
	sums = crew_run_epoch(crew, iteration->iteration - 1, false);

	iteration->error = sums.weight > 0 ? sums.loss / sums.weight : 0;
	if (options->sgd.loss.kind == LOSS_SQUARED)
		iteration->error = sqrt(iteration->error);
	iteration->objective = sums.loss + crew_epoch_penalty(crew);
	if (spec->unobserved_weight > 0)
		iteration->objective += spec->unobserved_weight *
			als_allpairs(crew_gramian(crew, MF_USERS), crew_gramian(crew, MF_ITEMS),
						 spec->factors);
}

const Solver solver_sgd = {Prepare, Iterate};

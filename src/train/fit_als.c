/*
 * fit_als.c: an iteration of alternating least squares.
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

#include "train/fit.h"
#include "train/progress.h"
#include "train/warm.h"

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
}

static void
Prepare(const TrainOptions *options, const RatingSet *ratings, Crew *crew)
{
	fit_first_vectors(options, ratings, MF_USERS, crew);
	if (options->warm != NULL)
		warm_side(options->warm, MF_USERS, &ratings->ids[MF_USERS], crew_side(crew, MF_USERS));
	if (options->spec.alpha0 > 0)
		crew_run(crew, CREW_GRAMIAN, MF_USERS);
}

static void
Iterate(const TrainOptions *options, Crew *crew, ModelIteration *iteration)
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

const Solver solver_als = {Prepare, Iterate};

/*
 * fit_als.c: an iteration of alternating least squares.
 *
 * The users' first vectors are random, each from the seed and its id. An
 * iteration solves the items given the users, then the users given the items:
 * the users last, so that folding in a user's own ratings later gives the
 * stored vector. With unobserved pairs weighed (unobserved_weight > 0) each half needs
 * the Gramian of the side that is fixed, and the objective both:
 *
 *	 G_users; repeat { items; G_items; users; G_users; error and objective }
 *
 * The training error is the root of the weighted mean square,
 * sqrt(sum c (r - rhat)^2 / sum c) over the observed pairs; for explicit
 * feedback that is the RMSE.
 *
 * A training that starts from an earlier one's vectors needs the users' alone.
 * But where the iteration with the least loss of the pairs held out is kept,
 * those vectors must be among the iterations: otherwise a model that was stopped
 * early would go one iteration further each time it is trained again. So the
 * first iteration then leaves the items that the model knows as they are. Its
 * users are solved given these, which changes nothing where the ratings have not
 * changed.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "train/fit.h"
#include "train/progress.h"
#include "train/warm.h"

/*
 * The error and the objective as they stand after the users' half;
 * `items_penalty` is the items' part of it.
 */
static void
Measure(const AlsSpec *spec, Crew *crew, double items_penalty, ModelIteration *iteration)
{
	AlsSums		users = crew_sums(crew, MF_USERS);

	iteration->error = users.weight > 0 ?
		sqrt(users.weighted_squares / users.weight) : 0;
	iteration->objective = users.weighted_squares + users.penalty + items_penalty;
	if (spec->unobserved_weight > 0)
		iteration->objective += spec->unobserved_weight *
			als_allpairs(crew_gramian(crew, MF_USERS), crew_gramian(crew, MF_ITEMS),
						 spec->factors);
}

static void
Prepare(const TrainOptions *options, const RatingSet *ratings, Crew *crew)
{
	fit_first_vectors(options, ratings, MF_USERS, crew);
	if (options->warm != NULL)
		warm_side(options->warm, MF_USERS, &ratings->ids[MF_USERS], crew_side(crew, MF_USERS));
	if (options->spec.unobserved_weight > 0)
		crew_run(crew, CREW_GRAMIAN, MF_USERS);
}

/* Gives the items that the model knows their vectors back; the penalty of all. */
static double
KeepItems(const TrainOptions *options, const RatingSet *ratings, Crew *crew)
{
	const IdSet *ids = &ratings->ids[MF_ITEMS];
	AlsSide    *items = crew_side(crew, MF_ITEMS);
	double		penalty = 0;

	warm_side(options->warm, MF_ITEMS, ids, items);
	for (uint32 row = 0; row < ids->n; row++)
	{
		uint64		offset[2] = {0, ids->ratings[row]};
		AlsBlock	block = {row, 1, offset, NULL};

		if (row % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		penalty += als_penalty(&options->spec, items, ratings->ids[MF_USERS].n, &block);
	}
	return penalty;
}

static void
Iterate(const TrainOptions *options, const RatingSet *ratings, Crew *crew,
		ModelIteration *iteration)
{
	bool		gramians = options->spec.unobserved_weight > 0;
	double		items_penalty;

	progress_report("iteration %d of %d, items", iteration->iteration, options->iterations);
	crew_run(crew, CREW_SOLVE, MF_ITEMS);
	items_penalty = crew_sums(crew, MF_ITEMS).penalty;
	if (options->warm != NULL && ratings->nheld > 0 && iteration->iteration == 1)
		items_penalty = KeepItems(options, ratings, crew);
	if (gramians)
		crew_run(crew, CREW_GRAMIAN, MF_ITEMS);

	progress_report("iteration %d of %d, users", iteration->iteration, options->iterations);
	crew_run(crew, CREW_SOLVE, MF_USERS);
	if (gramians)
		crew_run(crew, CREW_GRAMIAN, MF_USERS);

	Measure(&options->spec, crew, items_penalty, iteration);
}

const Solver solver_als = {Prepare, Iterate};

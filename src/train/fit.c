/*
 * fit.c: the iterations of a training, whichever solver makes them.
 *
 * Where pairs are held out, their loss is taken after each iteration, and the
 * vectors of the best iteration so far are kept: they are what is stored in the
 * end. With `patience` the training ends when so many iterations in a row were
 * no better.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "train/fit.h"
#include "train/progress.h"

/* By SolverKind. */
static const Solver *const solvers[] = {&solver_als, &solver_sgd};

/* Bytes to copy between two looks for interrupts. */
#define COPY_STRIDE ((Size) 16 * 1024 * 1024)

/* The vectors and biases of the best iteration. */
typedef struct Best
{
	float	   *factors[2];
	float	   *bias[2];
} Best;

double
fit_seconds(const Fit *fit)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, fit->start);
	return INSTR_TIME_GET_DOUBLE(now);
}

void
fit_first_vectors(const TrainOptions *options, const RatingSet *ratings,
				  MfSide which, Crew *crew)
{
	const IdSet *ids = &ratings->ids[which];
	AlsSide    *side = crew_side(crew, which);
	size_t		stride = als_stride(options->spec.factors);
	double		scale = options->sgd.init_std * sqrt(options->spec.factors);
	uint64		seed = (uint64) options->seed;

	/* A user and an item of one name shall not start as one. */
	if (which == MF_ITEMS)
		seed = sampling_key(seed, MF_ITEMS);
	for (uint32 row = 0; row < ids->n; row++)
	{
		if (row % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		als_init_row(&options->spec, seed, ids->hash[row], scale,
					 side->factors + row * stride);
	}
}

/* ---- The best iteration ---- */

static void
CopyFloats(float *to, const float *from, Size n)
{
	const char *source = (const char *) from;
	char	   *target = (char *) to;
	Size		size = n * sizeof(float);

	for (Size done = 0; done < size; done += COPY_STRIDE)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(target + done, source + done, Min(COPY_STRIDE, size - done));
	}
}

static void
KeepBest(Best *best, const TrainOptions *options, Crew *crew)
{
	size_t		stride = als_stride(options->spec.factors);

	for (MfSide which = MF_USERS; which <= MF_ITEMS; which++)
	{
		const AlsSide *side = crew_side(crew, which);

		if (best->factors[which] == NULL)
		{
			best->factors[which] =
				MemoryContextAllocHuge(CurrentMemoryContext,
									   mul_size(mul_size(side->n, stride), sizeof(float)));
			best->bias[which] = MemoryContextAllocHuge(CurrentMemoryContext,
													   mul_size(side->n, sizeof(float)));
		}
		CopyFloats(best->factors[which], side->factors, side->n * stride);
		CopyFloats(best->bias[which], side->bias, side->n);
	}
}

static void
RestoreBest(const Best *best, const TrainOptions *options, Crew *crew)
{
	size_t		stride = als_stride(options->spec.factors);

	for (MfSide which = MF_USERS; which <= MF_ITEMS; which++)
	{
		AlsSide    *side = crew_side(crew, which);

		CopyFloats(side->factors, best->factors[which], side->n * stride);
		CopyFloats(side->bias, best->bias[which], side->n);
		if (options->spec.unobserved_weight > 0)
			crew_run(crew, CREW_GRAMIAN, which);
	}
}

/* ---- Iterations ---- */

void
fit_check_finite(const TrainOptions *options, const RatingSet *ratings,
				 const ModelIteration *iteration, bool held_out)
{
	if (!isfinite(iteration->error) || !isfinite(iteration->objective) ||
		(held_out && !isfinite(iteration->held_out_loss)))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the training diverged in iteration %d", iteration->iteration),
				 options->solver == SOLVER_SGD ?
				 errhint("Try a smaller learning_rate, or a larger batch_size.") :
				 crew_scale_hint(ratings->mean_square)));
}

static void
Report(const TrainOptions *options, const RatingSet *ratings,
	   const ModelIteration *iteration)
{
	if (!options->verbose)
		return;
	if (ratings->nheld > 0)
		ereport(NOTICE,
				(errmsg("iteration %d of %d: error %.6g, held out %.6g, %.1f s",
						iteration->iteration, options->iterations, iteration->error,
						iteration->held_out_loss, iteration->seconds)));
	else
		ereport(NOTICE,
				(errmsg("iteration %d of %d: error %.6g, %.1f s",
						iteration->iteration, options->iterations,
						iteration->error, iteration->seconds)));
}

/* Has the objective ceased to fall by more than the tolerance? */
static bool
HasSettled(const TrainOptions *options, const ModelIteration *before,
		   const ModelIteration *after)
{
	return options->tolerance >= 0 &&
		before->objective - after->objective <= options->tolerance * before->objective;
}

void
fit_run(Fit *fit, const TrainOptions *options, const RatingSet *ratings, Crew *crew)
{
	const Solver *solver = solvers[options->solver];
	Best		best = {0};

	fit->history = palloc0(mul_size(options->iterations, sizeof(ModelIteration)));
	solver->prepare(options, ratings, crew);

	for (int k = 1; k <= options->iterations; k++)
	{
		ModelIteration *iteration = &fit->history[k - 1];

		iteration->iteration = k;
		solver->iterate(options, ratings, crew, iteration);
		fit_check_finite(options, ratings, iteration, false);
		iteration->held_out_loss = ratings->nheld == 0 ? NAN :
			heldout_loss(options, ratings, crew);
		fit_check_finite(options, ratings, iteration, ratings->nheld > 0);
		iteration->seconds = fit_seconds(fit);
		fit->iterations = k;
		Report(options, ratings, iteration);

		if (ratings->nheld == 0)
			fit->best = k;
		else if (k == 1 ||
				 iteration->held_out_loss < fit->history[fit->best - 1].held_out_loss)
		{
			fit->best = k;
			KeepBest(&best, options, crew);
		}
		else if (options->patience > 0 && k - fit->best >= options->patience)
			break;
		if (k > 1 && HasSettled(options, &fit->history[k - 2], iteration))
			break;
	}
	if (fit->best < fit->iterations)
	{
		RestoreBest(&best, options, crew);
		if (options->verbose)
			ereport(NOTICE,
					(errmsg("iteration %d of %d was the best on the pairs held out",
							fit->best, fit->iterations)));
	}
}

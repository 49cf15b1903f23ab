/*
 * fit.h: the iterations of a training.
 */
#ifndef FACTOR_FIT_H
#define FACTOR_FIT_H

#include "postgres.h"
#include "portability/instr_time.h"

#include "train/crew.h"
#include "train/options.h"

/*
 * The mean length of the first vectors. Small ones would start beside the
 * saddle at zero, where regularization holds explicit feedback for several
 * iterations.
 */
#define FIT_INITIAL_SCALE 1.0

typedef struct Fit
{
	instr_time	start;			/* of the training, set by the caller */
	int			iterations;		/* run */
	int			best;			/* the iteration whose vectors are kept */
	ModelIteration *history;	/* one an iteration */
} Fit;

/* A solver: what fit_run() does with it. */
typedef struct Solver
{
	/* Gives the rows what they start from. */
	void		(*prepare) (const TrainOptions *options, const RatingSet *ratings,
							Crew *crew);

	/* One iteration, from 1; fills its error and its objective. */
	void		(*iterate) (const TrainOptions *options, const RatingSet *ratings,
							Crew *crew, ModelIteration *iteration);
} Solver;

extern const Solver solver_als; /* fit_als.c */
extern const Solver solver_sgd; /* fit_sgd.c */

/* Seconds since the training began. */
extern double fit_seconds(const Fit *fit);

/*
 * Runs the iterations. Afterwards the crew's sides hold the factors, those of
 * the iteration with the least loss on the pairs held out, if any are; and with
 * unobserved_weight > 0 both Gramians are those of these vectors.
 */
extern void fit_run(Fit *fit, const TrainOptions *options,
					const RatingSet *ratings, Crew *crew);

/* First vectors of a side, from the seed and its ids. */
extern void fit_first_vectors(const TrainOptions *options, const RatingSet *ratings,
							  MfSide which, Crew *crew);

/* An error where a training's numbers are finite no more. */
extern void fit_check_finite(const TrainOptions *options, const RatingSet *ratings,
							 const ModelIteration *iteration, bool held_out);

/* The loss of the pairs held out, as mf_history keeps it. */
extern double heldout_loss(const TrainOptions *options, const RatingSet *ratings,
						   Crew *crew);

#endif							/* FACTOR_FIT_H */

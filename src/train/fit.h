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
	int			iterations;
	ModelIteration *history;	/* one an iteration */
} Fit;

/* Seconds since the training began. */
extern double fit_seconds(const Fit *fit);

/*
 * Gives the users their first vectors and runs the iterations. Afterwards the
 * crew's sides hold the factors, and with alpha0 > 0 both Gramians are those
 * of the final vectors.
 */
extern void fit_run(Fit *fit, const TrainOptions *options,
					const RatingSet *ratings, Crew *crew);

#endif							/* FACTOR_FIT_H */

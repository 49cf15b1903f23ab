/*
 * crew.h: the processes that train together, and the arrays they share.
 *
 * Usage, in the leader:
 *
 *	 crew = crew_begin(&spec, ratings, workers, fileset);
 *	 ... fill crew_side(crew, MF_USERS) ...
 *	 crew_run(crew, CREW_SOLVE, MF_ITEMS);	   as often as needed
 *	 crew_end(crew);
 *	 ... read crew_side(crew, ...) ...
 *	 crew_free(crew);
 *
 * crew_run() returns when the whole stage is done. The arrays live until
 * crew_free(), or an error.
 */
#ifndef FACTOR_CREW_H
#define FACTOR_CREW_H

#include "postgres.h"
#include "storage/sharedfileset.h"

#include "factor.h"
#include "numerics/als.h"
#include "numerics/sgd.h"
#include "train/ratings.h"

typedef enum CrewStage
{
	CREW_GRAMIAN,				/* of a side, from its vectors */
	CREW_SOLVE,					/* a side's vectors, from the other side's */
	CREW_DESCEND,				/* the blocks of a stratum of an epoch */
	CREW_STEP,					/* a side moved by the gradients of an epoch */
	CREW_DONE					/* go home */
} CrewStage;

typedef struct Crew Crew;

/*
 * Gathers the crew: up to `workers` parallel workers and this process. Where
 * there is no shared memory or no worker to be had, this process works alone,
 * says so in a NOTICE, and the result is the same. `fileset` is where ratings
 * that are in files lie, with the segment that holds it; both NULL if none.
 * `sgd` is for a stochastic training of so many epochs, and NULL for ALS.
 */
extern Crew *crew_begin(const AlsSpec *spec, const SgdSpec *sgd, int epochs,
						RatingSet *ratings, int workers,
						SharedFileSet *fileset, dsm_segment *fileset_segment);

/* An errhint() for numbers that have diverged, by the mean square of the ratings. */
extern int	crew_scale_hint(double mean_square);

/* Workers at work beside this process. */
extern int	crew_workers(const Crew *crew);

/* Runs a stage over all of a side. An ERROR if the numbers diverge. */
extern void crew_run(Crew *crew, CrewStage stage, MfSide side);

extern AlsSide *crew_side(Crew *crew, MfSide side);

/* The side's Gramian as of its last CREW_GRAMIAN: d x d. */
extern const double *crew_gramian(const Crew *crew, MfSide side);

/*
 * The sums over the side's blocks as of its last CREW_SOLVE: for the items the
 * penalty alone.
 */
extern AlsSums crew_sums(const Crew *crew, MfSide side);

/*
 * Loads OpenBLAS in this process, or errors with a hint. Solving calls it for long
 * vectors alone.
 */
extern void crew_load_blas(void);
extern void crew_load_blas_for(const AlsSpec *spec);

/*
 * Runs an epoch (from 0) of a stochastic training, its strata one after the
 * other, and returns its sums. With unobserved_weight > 0 the Gramians are formed on the
 * way, and are those of the vectors at the end afterwards. Where it is `still`,
 * gradients go to the optimizer's state, but nothing moves.
 */
extern SgdSums crew_run_epoch(Crew *crew, int epoch, bool still);

/* The penalties of a stochastic training's vectors as they are. */
extern double crew_epoch_penalty(Crew *crew);

/* Fills what a stochastic training needs beside the sides' first vectors. */
extern void crew_prepare_epochs(Crew *crew);

/* Sends the workers home; the arrays stay. */
extern void crew_end(Crew *crew);

/* Frees the arrays, in shared memory or not. */
extern void crew_free(Crew *crew);

#endif							/* FACTOR_CREW_H */

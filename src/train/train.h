/*
 * train.h: what the trainings have in common, whoever iterates.
 */
#ifndef FACTOR_TRAIN_H
#define FACTOR_TRAIN_H

#include "postgres.h"
#include "fmgr.h"

#include "train/fit.h"

/* An error in the course of another training of this session. */
extern void train_refuse_nested(void);

/* Around the work: progress, and what train_refuse_nested() looks at. */
extern void train_enter(const ModelTarget *target);
extern void train_leave(void);

/* All of a record but for the Gramians. */
extern void train_fill_record(ModelRecord *record, const RatingSource *source,
							  const TrainOptions *options,
							  const RatingSet *ratings, const Fit *fit);

/* A Gramian as mf_models keeps it. */
extern const float *train_stored_gramian(const double *gramian, int factors);

/* The row that a training returns. */
extern Datum train_result(FunctionCallInfo fcinfo, const ModelTarget *target,
						  const ModelRecord *record);

#endif							/* FACTOR_TRAIN_H */

/*
 * train.h: what all functions that make or change a model have in common.
 */
#ifndef FACTOR_TRAIN_H
#define FACTOR_TRAIN_H

#include "postgres.h"
#include "fmgr.h"

#include "train/fit.h"
#include "train/ratings.h"

/*
 * Between these the session is in the course of a training, which
 * pg_stat_activity shows; another one begun there is an error.
 */
extern void training_refuse_nested(const char *function);
extern void training_begin(const char *function, const char *model);
extern void training_end(void);

/*
 * An error if the function, which solves rows as alternating least squares does,
 * cannot do so for the model: it was trained otherwise, or with options that
 * choose among the ratings.
 */
extern void training_require_als(const Model *model, const char *function);

/* What model_open() leaves out of a record: the options as given and as used. */
extern void training_read_options(const Model *model, ModelRecord *record);

/* The table that a model was trained from, as it is now; an error if it is gone. */
extern void training_source(const Model *model, RatingSource *source);

/* A model's Gramian as mf_models keeps it. */
extern const float *training_gramian(const double *gramian, int factors);

/* All of a record but for the Gramians. */
extern void training_fill_record(ModelRecord *record, const RatingSource *source,
								 const TrainOptions *options,
								 const RatingSet *ratings, const Fit *fit);

/* The row that a training returns. */
extern Datum training_result(FunctionCallInfo fcinfo, const ModelTarget *target,
							 const ModelRecord *record);

#endif							/* FACTOR_TRAIN_H */

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
 * Opens the model that an argument names, or the default, as it is now, and keeps
 * its name locked, so that what is read of it stays so until it is written. It is
 * held; the snapshot that shows it is left active. An error where it is not the
 * caller's.
 */
extern Model *training_open_model(FunctionCallInfo fcinfo, int arg);

/* What model_open() leaves out of a record: the options as given and as used. */
extern void training_read_options(const Model *model, ModelRecord *record);

/*
 * The training that mf_models has on record, once more: the ratings it read,
 * chosen as they were, and its options, those in force where none was given. An
 * error if the table is gone. The source is locked, but not checked.
 */
extern void training_repeat(Model *model, RatingSource *source,
							TrainOptions *options);

/* An error where a name that was not given stands for a model of another table. */
extern void training_check_name(const ModelTarget *target, const RatingSource *source,
								const TrainOptions *options);

/* What mf_train and mf_retrain share, once the arguments are read. */
extern Datum training_run(FunctionCallInfo fcinfo, const char *function,
						  RatingSource *source, TrainOptions *options,
						  Fit *fit, MemoryContext outer);

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

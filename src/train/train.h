/*
 * train.h: what all functions that make or change a model have in common.
 */
#ifndef FACTOR_TRAIN_H
#define FACTOR_TRAIN_H

#include "train/ratings.h"

/*
 * Between these the session is in the course of a training, which
 * pg_stat_activity shows; another one begun there is an error.
 */
extern void training_refuse_nested(const char *function);
extern void training_begin(const char *function, const char *model);
extern void training_end(void);

/* The table that a model was trained from, as it is now; an error if it is gone. */
extern void training_source(const Model *model, RatingSource *source);

/* A model's Gramian as mf_models keeps it. */
extern const float *training_gramian(const double *gramian, int factors);

#endif							/* FACTOR_TRAIN_H */

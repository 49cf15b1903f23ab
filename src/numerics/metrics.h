/*
 * metrics.h: what a user's list and ranks are worth. Formulas and papers are in
 * doc/evaluation.md.
 */
#ifndef FACTOR_METRICS_H
#define FACTOR_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "numerics/judge.h"

/* Of one user; NaN where a metric has no value for the user. */
typedef struct UserMetrics
{
	double		precision;
	double		recall;
	double		ndcg;
	double		average_precision;
	double		reciprocal_rank;
	double		hit;
	double		auc;
	double		diversity;
	double		popularity;
	double		information;
} UserMetrics;

#define METRICS_COUNT (sizeof(UserMetrics) / sizeof(double))

/* What the metrics of a list need of its items. */
typedef struct MetricsItems
{
	const float *directions;	/* vectors of length one, or zero; d floats each */
	size_t		d;
	const double *share;		/* of the training's users who have the item */
} MetricsItems;

/*
 * Of a list of up to k items, the relevant items (`ntargets` > 0, ascending),
 * and their ranks among `candidates` items. `sum` is room for d doubles.
 */
extern void metrics_user(const JudgeUser *user, size_t k, size_t candidates,
						 const MetricsItems *items, double *sum, UserMetrics *metrics);

#endif							/* FACTOR_METRICS_H */

/*
 * biases.h: the baseline mu + b_u + b_i.
 */
#ifndef FACTOR_BIASES_H
#define FACTOR_BIASES_H

#include "train/ratings.h"

/*
 * The biases, by place in the ratings, that minimise
 *	 sum (r - mu - b_u - b_i)^2 + lambda (sum b_u^2 + sum b_i^2),
 * where mu is the ratings' mean. Allocated in the current memory context.
 */
extern void biases_fit(RatingSet *ratings, double lambda, double *bias[2]);

#endif							/* FACTOR_BIASES_H */

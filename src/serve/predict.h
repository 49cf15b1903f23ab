/*
 * predict.h: the formula of a prediction.
 */
#ifndef FACTOR_PREDICT_H
#define FACTOR_PREDICT_H

#include "model/model.h"
#include "numerics/distance.h"

/*
 * mean + b_u + b_i + p_u . q_i, summed from the left, so that it is to the bit
 * what SQL makes of mean + u.bias + i.bias - (u.factors <#> i.factors).
 * Implicit feedback has neither mean nor biases.
 */
static inline double
predict_score(const ModelRecord *record, float user_bias, float item_bias,
			  const float *user, const float *item)
{
	double		dot = vector_dot(user, item, record->factors);

	if (record->implicit)
		return dot;
	return record->mean + user_bias + item_bias + dot;
}

/* An explicit prediction, kept inside the range of the training ratings. */
static inline double
predict_in_range(const ModelRecord *record, double score)
{
	if (record->implicit)
		return score;
	if (score < record->rating_min)
		return record->rating_min;
	if (score > record->rating_max)
		return record->rating_max;
	return score;
}

#endif							/* FACTOR_PREDICT_H */

/*
 * predict.h: the formula of a prediction.
 */
#ifndef FACTOR_PREDICT_H
#define FACTOR_PREDICT_H

#include "model/model.h"
#include "numerics/distance.h"
#include "numerics/losses.h"

/*
 * mean + b_u + b_i + p_u . q_i, summed from the left, so that it is to the bit
 * what SQL makes of mean + u.bias + i.bias - (u.factors <#> i.factors).
 * Where a model has no mean or no biases, they are zero.
 */
static inline double
predict_score(const ModelRecord *record, float user_bias, float item_bias,
			  const float *user, const float *item)
{
	double		dot = vector_dot(user, item, record->factors);

	return record->mean + user_bias + item_bias + dot;
}

/*
 * The prediction that a score stands for: through the model's link, if it has
 * one; else an explicit one is kept inside the range of the training ratings.
 */
static inline double
predict_in_range(const ModelRecord *record, double score)
{
	if (record->linked)
		return record->link_low +
			(record->link_high - record->link_low) * loss_sigmoid(score);
	if (record->implicit)
		return score;
	if (score < record->rating_min)
		return record->rating_min;
	if (score > record->rating_max)
		return record->rating_max;
	return score;
}

#endif							/* FACTOR_PREDICT_H */

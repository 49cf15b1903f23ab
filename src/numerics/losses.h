/*
 * losses.h: what a sample costs, and how that changes with its scores.
 *
 * A sample is an observed pair and, for some losses, items that the user did
 * not choose (negatives). A score is mu + b_u + b_i + p_u . q_i.
 */
#ifndef FACTOR_LOSSES_H
#define FACTOR_LOSSES_H

#include <stdbool.h>

typedef enum LossKind
{
	LOSS_SQUARED,
	LOSS_LOGISTIC,
	LOSS_BPR
} LossKind;

typedef struct LossSpec
{
	LossKind	kind;
	bool		linked;			/* squared: predictions are low + (high - low)
								 * sigmoid(score), rather than the score */
	double		low;
	double		high;
} LossSpec;

extern double loss_sigmoid(double x);

/* The prediction that a score stands for. */
extern double loss_prediction(const LossSpec *spec, double score);

/* The score of a prediction that lies between low and high, kept off them. */
extern double loss_score(double prediction, double low, double high);

/*
 * The loss of a sample with the observed pair's target t and weight c, its
 * score[0] and the scores of n negatives behind it. gradient[k] becomes the
 * derivative by score[k].
 *
 *	 squared	c (t - prediction_0)^2 + sum_k prediction_k^2
 *	 logistic	c (ln(1 + exp(x_0)) - t x_0) + sum_k ln(1 + exp(x_k))
 *	 bpr		c sum_k ln(1 + exp(x_k - x_0))
 */
extern double loss_sample(const LossSpec *spec, double target, double weight,
						  int n, const float *score, float *gradient);

#endif							/* FACTOR_LOSSES_H */

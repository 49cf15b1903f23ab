/*
 * losses.c: the squared, the logistic and the pairwise ranking loss (BPR:
 * Rendle et al. 2009), with their derivatives by the scores.
 *
 * A derivative by a vector follows from those by the scores, as every score is
 * linear in each vector, so this is all that a solver has to know of a loss.
 * Exponentials are taken of negative numbers only: nothing overflows.
 */
#include <math.h>

#include "numerics/losses.h"

/* How near to its ends a range's mean may start. */
#define SHARE_MIN 1e-3

double
loss_sigmoid(double x)
{
	double		e = exp(-fabs(x));

	return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/*
 * ln(1 + exp(x)), and its derivative, the sigmoid of x. Not log1p(), which takes
 * several times as long: what it would add is below 1e-16.
 */
static inline double
Softplus(double x, double *sigmoid)
{
	double		e = exp(-fabs(x));

	*sigmoid = x >= 0 ? 1 / (1 + e) : e / (1 + e);
	return (x > 0 ? x : 0) + log(1 + e);
}

double
loss_prediction(const LossSpec *spec, double score)
{
	if (spec->kind == LOSS_LOGISTIC)
		return loss_sigmoid(score);
	if (spec->linked)
		return spec->low + (spec->high - spec->low) * loss_sigmoid(score);
	return score;
}

double
loss_score(double prediction, double low, double high)
{
	double		share = (prediction - low) / (high - low);

	share = fmin(fmax(share, SHARE_MIN), 1 - SHARE_MIN);
	return log(share / (1 - share));
}

/* c (t - prediction)^2 and its derivative. */
static inline double
Squared(const LossSpec *spec, double target, double weight, double score,
		float *gradient)
{
	double		slope = 1;
	double		miss;

	if (spec->linked)
	{
		double		sigmoid = loss_sigmoid(score);

		slope = (spec->high - spec->low) * sigmoid * (1 - sigmoid);
		score = spec->low + (spec->high - spec->low) * sigmoid;
	}
	miss = target - score;
	*gradient = (float) (-2 * weight * miss * slope);
	return weight * miss * miss;
}

static double
SquaredSample(const LossSpec *spec, double target, double weight,
			  int n, const float *score, float *gradient)
{
	double		sum = Squared(spec, target, weight, score[0], &gradient[0]);

	for (int k = 1; k <= n; k++)
		sum += Squared(spec, 0, 1, score[k], &gradient[k]);
	return sum;
}

static double
LogisticSample(double target, double weight, int n, const float *score,
			   float *gradient)
{
	double		sigmoid;
	double		sum = weight * (Softplus(score[0], &sigmoid) - target * score[0]);

	gradient[0] = (float) (weight * (sigmoid - target));
	for (int k = 1; k <= n; k++)
	{
		sum += Softplus(score[k], &sigmoid);
		gradient[k] = (float) sigmoid;
	}
	return sum;
}

static double
BprSample(double weight, int n, const float *score, float *gradient)
{
	double		sum = 0;
	double		total = 0;

	for (int k = 1; k <= n; k++)
	{
		double		sigmoid;

		sum += weight * Softplus((double) score[k] - score[0], &sigmoid);
		gradient[k] = (float) (weight * sigmoid);
		total += weight * sigmoid;
	}
	gradient[0] = (float) -total;
	return sum;
}

double
loss_sample(const LossSpec *spec, double target, double weight,
			int n, const float *score, float *gradient)
{
	switch (spec->kind)
	{
		case LOSS_SQUARED:
			return SquaredSample(spec, target, weight, n, score, gradient);
		case LOSS_LOGISTIC:
			return LogisticSample(target, weight, n, score, gradient);
		case LOSS_BPR:
			return BprSample(weight, n, score, gradient);
	}
	return NAN;
}

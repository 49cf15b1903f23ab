/*
 * losses.c: the squared, the logistic and the pairwise ranking loss (BPR:
 * Rendle et al. 2009), with their derivatives by the scores.
 *
 * A derivative by a vector follows from those by the scores, as every score is
 * linear in each vector, so this is all that a solver has to know of a loss.
 * Exponentials are taken of negative numbers only: nothing overflows. Those of a
 * ranking loss, one a negative, are polynomials of our own.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

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
 * exp(x) for x <= 0 to nine digits, which is more than the scores have, and in a
 * third of the time that the library takes for all digits. With
 * x = n ln 2 + r, |r| <= ln(2) / 2, exp(r) is its Taylor polynomial, grouped so
 * that the processor can compute its parts at the same time.
 */
static inline double
ExpNegative(double x)
{
	const double round = 0x1.8p52;	/* adding this leaves n in the lowest bits */
	double		shifted = (x > -700 ? x : -700) * 1.4426950408889634 + round;
	double		r = (x > -700 ? x : -700) - (shifted - round) * 0.6931471805599453;
	double		r2 = r * r;
	double		low = (1 + r) + r2 * (1.0 / 2 + r * (1.0 / 6));
	double		high = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
	double		power = low + r2 * r2 * high;
	uint64_t	bits;
	uint64_t	n;

	memcpy(&n, &shifted, sizeof(n));
	memcpy(&bits, &power, sizeof(bits));
	bits += n << 52;
	memcpy(&power, &bits, sizeof(power));
	return power;
}

/* ln(1 + e) for e from 0 to 1, to eight digits: a Chebyshev fit of ln(1 + e) / e. */
static inline double
LogOnePlus(double e)
{
	double		e2 = e * e;
	double		e4 = e2 * e2;
	double		a = (0.999999995385 - 0.499999039928 * e) +
		e2 * (0.333300040352 - 0.249545588712 * e);
	double		b = (0.196781172572 - 0.153118631046 * e) +
		e2 * (0.106142646912 - 0.0570642008046 * e);
	double		c = 0.0199071609501 - 0.0032563784785 * e;

	return e * (a + e4 * (b + e4 * c));
}

/* ln(1 + exp(x)), and its derivative, the sigmoid of x. */
static inline double
Softplus(double x, double *sigmoid)
{
	double		e = ExpNegative(-fabs(x));
	double		share = 1 / (1 + e);

	*sigmoid = x >= 0 ? share : e * share;
	return (x > 0 ? x : 0) + LogOnePlus(e);
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

/*
 * optimizer.c: plain descent, AdaGrad and Adam, with decoupled weight decay.
 *
 *	 sgd		x := (1 - r w) x - r g
 *	 adagrad	s := s + g^2;	x := (1 - r w) x - r g / (sqrt(s) + 1e-10)
 *	 adam		m := b1 m + (1 - b1) g;	 v := b2 v + (1 - b2) g^2
 *				x := (1 - r w) x - r m' / (sqrt(v') + 1e-8),
 *				m' = m / (1 - b1^t),  v' = v / (1 - b2^t)
 *
 * with r the learning rate and w the weight decay (Duchi et al. 2011; Kingma,
 * Ba 2015; Loshchilov, Hutter 2019: decay is not part of the gradient). Updates
 * are sparse: a row that no sample of a batch touches stays as it is, its
 * moments and its count of steps t too. So t is the row's own, and the powers
 * of b1 and b2 are kept with the row as products, which stay right while a
 * schedule moves b1.
 *
 * The one cycle (Smith 2018): the rate rises from 1/25 of the learning rate to
 * all of it over the first quarter of the training and falls to a
 * hundred-thousandth of it, both along half a cosine; adam's b1 goes from 0.95
 * to 0.85 and back.
 */
#include <math.h>

#include "numerics/optimizer.h"

#define PI 3.14159265358979323846

#define ADAM_BETA1 0.9
#define ADAM_BETA2 0.999

#define CYCLE_RISE 0.25
#define CYCLE_START (1.0 / 25)
#define CYCLE_END 1e-5
#define CYCLE_BETA_SLOW 0.95
#define CYCLE_BETA_FAST 0.85

/* From a to b along half a cosine, for t from 0 to 1. */
static double
Ease(double a, double b, double t)
{
	return b + (a - b) * (1 + cos(PI * t)) / 2;
}

void
optimizer_rates(OptimizerKind kind, ScheduleKind schedule,
				double learning_rate, double weight_decay, double progress,
				OptimizerRates *rates)
{
	double		rate = learning_rate;
	double		beta1 = ADAM_BETA1;

	if (schedule == SCHEDULE_ONE_CYCLE)
	{
		double		t = progress < CYCLE_RISE ? progress / CYCLE_RISE :
			(progress - CYCLE_RISE) / (1 - CYCLE_RISE);

		rate *= progress < CYCLE_RISE ?
			Ease(CYCLE_START, 1, t) : Ease(1, CYCLE_END, t);
		beta1 = progress < CYCLE_RISE ?
			Ease(CYCLE_BETA_SLOW, CYCLE_BETA_FAST, t) :
			Ease(CYCLE_BETA_FAST, CYCLE_BETA_SLOW, t);
	}
	rates->rate = (float) rate;
	rates->keep = (float) (1 - rate * weight_decay);
	rates->beta1 = kind == OPTIMIZER_ADAM ? (float) beta1 : 0;
	rates->beta2 = kind == OPTIMIZER_ADAM ? (float) ADAM_BETA2 : 0;
}

void
optimizer_hold(OptimizerRates *rates)
{
	rates->rate = 0;
	rates->keep = 1;
}

void
optimizer_step(OptimizerKind kind, const OptimizerRates *rates, float power[2],
			   OptimizerStep *step)
{
	step->rate = rates->rate;
	step->keep = rates->keep;
	if (kind == OPTIMIZER_ADAM)
	{
		power[0] *= rates->beta1;
		power[1] *= rates->beta2;
		step->beta1 = rates->beta1;
		step->beta2 = rates->beta2;
		step->rate = rates->rate / (1 - power[0]);
		step->root = 1 / sqrtf(1 - power[1]);
	}
}

void
optimizer_move(OptimizerKind kind, const OptimizerStep *step, float gradient,
			   float *x, float *state0, float *state1)
{
	float		move = gradient;

	switch (kind)
	{
		case OPTIMIZER_SGD:
			break;
		case OPTIMIZER_ADAGRAD:
			*state0 += gradient * gradient;
			move = gradient / (sqrtf(*state0) + ADAGRAD_EPSILON);
			break;
		case OPTIMIZER_ADAM:
			*state0 = step->beta1 * *state0 + (1 - step->beta1) * gradient;
			*state1 = step->beta2 * *state1 + (1 - step->beta2) * (gradient * gradient);
			move = *state0 / (sqrtf(*state1) * step->root + ADAM_EPSILON);
			break;
	}
	*x = step->keep * *x - step->rate * move;
}

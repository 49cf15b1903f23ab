/*
 * sgd_simd.h: a kernel of the stochastic solver as vector code, a template.
 *
 * A file that includes this is one kernel. Before, it defines LANES (4 or 8),
 * TARGET (the function attribute that admits the instructions), KERNEL, NAME
 * and SQRT(vector). Sums are kept in SGD_ALIGN lanes whatever the width of a
 * vector, and products are rounded before they are added, so that kernels agree
 * to the bit.
 */
#include <string.h>

#include "numerics/sgd_kernel.h"

#define PARTS (SGD_ALIGN / LANES)

typedef float Vec __attribute__((vector_size(4 * LANES), may_alias));

#define AT(x, k) (*(Vec *) ((x) + (k)))
#define CONST_AT(x, k) (*(const Vec *) ((x) + (k)))
#define ALL(value) ((Vec) {} + (value))

TARGET static float
Dot(const float *a, const float *b, size_t d)
{
	Vec			sum[PARTS];
	float		lane[SGD_ALIGN];

	for (int part = 0; part < PARTS; part++)
		sum[part] = ALL(0.0f);
	for (size_t k = 0; k < d; k += SGD_ALIGN)
		for (int part = 0; part < PARTS; part++)
			sum[part] += CONST_AT(a, k + part * LANES) * CONST_AT(b, k + part * LANES);
	memcpy(lane, sum, sizeof(lane));
	for (int half = SGD_ALIGN / 2; half > 0; half /= 2)
		for (int l = 0; l < half; l++)
			lane[l] += lane[l + half];
	return lane[0];
}

TARGET static void
Add(float a, const float *x, float *y, size_t d)
{
	for (size_t k = 0; k < d; k += LANES)
		AT(y, k) += ALL(a) * CONST_AT(x, k);
}

TARGET static void
Set(float a, const float *x, float *y, size_t d)
{
	for (size_t k = 0; k < d; k += LANES)
		AT(y, k) = ALL(a) * CONST_AT(x, k);
}

TARGET static void
MoveSgd(const OptimizerStep *step, float g, const float *y, float r,
		float *x, float *state0, float *state1, size_t d)
{
	(void) state0;
	(void) state1;
	for (size_t k = 0; k < d; k += LANES)
	{
		Vec			gradient = ALL(g) * CONST_AT(y, k) + ALL(r) * AT(x, k);

		AT(x, k) = ALL(step->keep) * AT(x, k) - ALL(step->rate) * gradient;
	}
}

TARGET static void
MoveAdagrad(const OptimizerStep *step, float g, const float *y, float r,
			float *x, float *state0, float *state1, size_t d)
{
	(void) state1;
	for (size_t k = 0; k < d; k += LANES)
	{
		Vec			gradient = ALL(g) * CONST_AT(y, k) + ALL(r) * AT(x, k);

		AT(state0, k) += gradient * gradient;
		AT(x, k) = ALL(step->keep) * AT(x, k) -
			ALL(step->rate) * (gradient / (SQRT(AT(state0, k)) + ALL(ADAGRAD_EPSILON)));
	}
}

TARGET static void
MoveAdam(const OptimizerStep *step, float g, const float *y, float r,
		 float *x, float *state0, float *state1, size_t d)
{
	for (size_t k = 0; k < d; k += LANES)
	{
		Vec			gradient = ALL(g) * CONST_AT(y, k) + ALL(r) * AT(x, k);

		AT(state0, k) = ALL(step->beta1) * AT(state0, k) + ALL(1 - step->beta1) * gradient;
		AT(state1, k) = ALL(step->beta2) * AT(state1, k) +
			ALL(1 - step->beta2) * (gradient * gradient);
		AT(x, k) = ALL(step->keep) * AT(x, k) -
			ALL(step->rate) * (AT(state0, k) /
							   (SQRT(AT(state1, k)) * ALL(step->root) + ALL(ADAM_EPSILON)));
	}
}

const SgdKernel KERNEL = {
	.name = NAME,
	.dot = Dot,
	.add = Add,
	.set = Set,
	.move = {MoveSgd, MoveAdagrad, MoveAdam},
};

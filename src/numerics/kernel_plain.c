/*
 * kernel_plain.c: the kernel as scalar loops, the reference for the others.
 *
 * It says in the plainest form what a kernel computes. Any processor and any
 * compiler run it, and the tests hold the vector kernels to it.
 */
#include <float.h>
#include <math.h>

#include "numerics/kernel.h"

static void
GatherPlain(const KernelGather *g)
{
	for (size_t k = 0; k < g->n; k++)
	{
		const float *row = g->rows + g->entries[k].index * g->stride;
		float	   *out = g->panel + k * g->stride;

		for (size_t j = 0; j < g->d; j++)
		{
			out[j] = g->scale != NULL ? g->scale[k] * row[j] : row[j];
			g->rhs[j] += g->target[k] * out[j];
			if (g->border != NULL)
				g->border[j] += out[j];
		}
	}
}

static void
SyrkPlain(float *a, size_t stride, size_t d, const float *panel, size_t n,
		  const KernelAhead *ahead)
{
	(void) ahead;
	for (size_t k = 0; k < n; k++)
	{
		const float *x = panel + k * stride;

		for (size_t i = 0; i < d; i++)
			for (size_t j = i; j < d; j++)
				a[i * stride + j] += x[i] * x[j];
	}
}

static bool
SolvePlain(KernelSystem *s)
{
	size_t		d = s->d;
	float	   *a = s->a;
	size_t		stride = s->stride;

	for (size_t i = 0; i < d; i++)
	{
		float	   *row = a + i * stride;
		float		floor = row[i] * (FLT_EPSILON * d);

		for (size_t k = 0; k < i; k++)
		{
			const float *above = a + k * stride;

			for (size_t j = i; j < d; j++)
				row[j] -= above[i] * above[j];
			s->rhs[i] -= above[i] * s->rhs[k];
			if (s->border != NULL)
				s->border[i] -= above[i] * s->border[k];
		}
		if (!(row[i] > floor))
			return false;
		row[i] = sqrtf(row[i]);
		for (size_t j = i + 1; j < d; j++)
			row[j] /= row[i];
		s->rhs[i] /= row[i];
		if (s->border != NULL)
			s->border[i] /= row[i];
	}

	if (s->border != NULL && !kernel_solve_corner(s))
		return false;

	for (size_t i = d; i-- > 0;)
	{
		for (size_t j = i + 1; j < d; j++)
			s->rhs[i] -= a[i * stride + j] * s->rhs[j];
		s->rhs[i] /= a[i * stride + i];
	}
	return true;
}

static void
MultiplyPlain(const float *panel, size_t stride, size_t d, size_t n,
			  const float *x, float *product)
{
	for (size_t k = 0; k < n; k++)
	{
		product[k] = 0.0f;
		for (size_t j = 0; j < d; j++)
			product[k] += panel[k * stride + j] * x[j];
	}
}

const Kernel kernel_plain = {
	.name = "plain",
	.gather = GatherPlain,
	.syrk = SyrkPlain,
	.solve = SolvePlain,
	.multiply = MultiplyPlain,
};

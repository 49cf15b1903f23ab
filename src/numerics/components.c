/*
 * components.c: the first two principal components of many vectors.
 *
 * The covariance is summed over centred vectors, a panel of them at a time in
 * single precision by ssyrk and the panels in double; eigen.c finds its two
 * largest eigenvectors. Centring first matters: the mean of item vectors is often
 * longer than their spread.
 */
#include <math.h>
#include <string.h>

#include "numerics/blas.h"
#include "numerics/components.h"
#include "numerics/eigen.h"

#define PANEL 256

size_t
components_work(size_t d)
{
	/* covariance; its part and a panel in floats; eigen's own */
	return d * d + (d * d + PANEL * d + 1) / 2 + 1 + eigen_work(d);
}

static void
FindMean(const float *vectors, size_t n, size_t d, double *mean, NumericsPoll poll, void *arg)
{
	memset(mean, 0, d * sizeof(double));
	for (size_t i = 0; i < n; i++)
	{
		if (poll != NULL && i % PANEL == 0)
			poll(arg);
		for (size_t k = 0; k < d; k++)
			mean[k] += vectors[i * d + k];
	}
	for (size_t k = 0; k < d; k++)
		mean[k] /= n;
}

static void
FindCovariance(const float *vectors, size_t n, size_t d, const double *mean,
			   double *covariance, float *part, float *panel, NumericsPoll poll, void *arg)
{
	memset(covariance, 0, d * d * sizeof(double));
	for (size_t from = 0; from < n; from += PANEL)
	{
		size_t		rows = n - from < PANEL ? n - from : PANEL;

		if (poll != NULL)
			poll(arg);
		for (size_t i = 0; i < rows; i++)
			for (size_t k = 0; k < d; k++)
				panel[i * d + k] = (float) (vectors[(from + i) * d + k] - mean[k]);
		memset(part, 0, d * d * sizeof(float));
		blas_syrk(1, panel, (int) d, (int) rows, (int) d, part, (int) d);
		for (size_t i = 0; i < d; i++)
			for (size_t k = i; k < d; k++)
				covariance[i * d + k] += part[i * d + k] / n;
	}
	for (size_t i = 0; i < d; i++)
		for (size_t k = 0; k < i; k++)
			covariance[i * d + k] = covariance[k * d + i];
}

/* Turns the axis so that its largest element is positive. */
static void
Orient(double *axis, size_t d)
{
	size_t		largest = 0;

	for (size_t k = 1; k < d; k++)
		if (fabs(axis[k]) > fabs(axis[largest]) * (1 + 1e-9))
			largest = k;
	if (axis[largest] < 0)
		for (size_t k = 0; k < d; k++)
			axis[k] = -axis[k];
}

NumericsStatus
components_find(const float *vectors, size_t n, size_t d, Components *components,
				double *work, NumericsPoll poll, void *arg)
{
	double	   *covariance = work;
	float	   *part = (float *) (covariance + d * d);
	float	   *panel = part + d * d;
	double	   *scratch = covariance + d * d + (d * d + PANEL * d + 1) / 2 + 1;

	FindMean(vectors, n, d, components->mean, poll, arg);
	FindCovariance(vectors, n, d, components->mean, covariance, part, panel, poll, arg);
	for (size_t k = 0; k < d; k++)
		if (!isfinite(covariance[k * d + k]))
			return NUMERICS_DIVERGED;

	if (d == 1)
	{
		components->axis[0][0] = 1;
		components->axis[1][0] = 0;
		components->variance[0] = covariance[0];
		components->variance[1] = 0;
		return NUMERICS_OK;
	}
	eigen_largest(covariance, d, components->variance, components->axis, scratch, poll, arg);
	Orient(components->axis[0], d);
	Orient(components->axis[1], d);
	return NUMERICS_OK;
}

double
components_place(const Components *components, int axis, const float *vector, size_t d)
{
	double		place = 0;

	for (size_t k = 0; k < d; k++)
		place += (vector[k] - components->mean[k]) * components->axis[axis][k];
	return place;
}

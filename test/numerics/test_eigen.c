/*
 * test_eigen.c: the largest eigenvalues, of matrices whose spectrum is known, and
 * principal components of points that were made along known axes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "numerics/components.h"
#include "numerics/eigen.h"

static long polls;

static void
CountPolls(void *arg)
{
	(void) arg;
	polls++;
}

/* A = H diag(values) H for a product of three random reflections H. */
static double *
MakeMatrix(size_t d, const double *values)
{
	double	   *a = allocate(d * d * sizeof(double));
	double	   *u = allocate(d * sizeof(double));
	double	   *au = allocate(d * sizeof(double));

	for (size_t k = 0; k < d; k++)
		a[k * d + k] = values[k];
	for (int round = 0; round < 3; round++)
	{
		double		square = 0;
		double		uau = 0;

		for (size_t k = 0; k < d; k++)
		{
			u[k] = random_normal();
			square += u[k] * u[k];
		}
		for (size_t i = 0; i < d; i++)
		{
			au[i] = 0;
			for (size_t k = 0; k < d; k++)
				au[i] += a[i * d + k] * u[k];
			uau += u[i] * au[i];
		}
		/* (I - 2 uu'/u'u) A (I - 2 uu'/u'u) */
		for (size_t i = 0; i < d; i++)
			for (size_t k = 0; k < d; k++)
				a[i * d + k] += -2 / square * (u[i] * au[k] + au[i] * u[k]) +
					4 * uau / (square * square) * u[i] * u[k];
	}
	for (size_t i = 0; i < d; i++)
		for (size_t k = 0; k < i; k++)
			a[i * d + k] = a[k * d + i];
	free(u);
	free(au);
	return a;
}

typedef struct Found
{
	double		value[2];
	double		residual;		/* the larger of |A x - value x| */
	double		skew;			/* from lengths of one and a right angle */
} Found;

static Found
Find(const double *a, size_t d)
{
	Found		found = {{0, 0}, 0, 0};
	double	   *work = allocate(eigen_work(d) * sizeof(double));
	double	   *x[2] = {allocate(d * sizeof(double)), allocate(d * sizeof(double))};
	double		product[3] = {0};

	eigen_largest(a, d, found.value, x, work, CountPolls, NULL);
	for (int j = 0; j < 2; j++)
	{
		double		square = 0;

		for (size_t i = 0; i < d; i++)
		{
			double		e = -found.value[j] * x[j][i];

			for (size_t k = 0; k < d; k++)
				e += a[i * d + k] * x[j][k];
			square += e * e;
		}
		found.residual = fmax(found.residual, sqrt(square));
	}
	for (size_t k = 0; k < d; k++)
	{
		product[0] += x[0][k] * x[0][k];
		product[1] += x[1][k] * x[1][k];
		product[2] += x[0][k] * x[1][k];
	}
	found.skew = fmax(fmax(fabs(product[0] - 1), fabs(product[1] - 1)), fabs(product[2]));
	free(work);
	free(x[0]);
	free(x[1]);
	return found;
}

typedef double (*Spectrum) (size_t k, size_t d);

static double
Distinct(size_t k, size_t d)
{
	return (double) (d - k) / d;
}

static double
Pairs(size_t k, size_t d)
{
	return 1.0 / (1 + k / 2) + 0 * d;
}

static double
Decaying(size_t k, size_t d)
{
	return exp(-0.2 * k) + 0 * d;
}

static double
AllSame(size_t k, size_t d)
{
	return 3 + 0.0 * k * d;
}

static double
RankOne(size_t k, size_t d)
{
	return k == 0 ? 7e20 : 0.0 * d;
}

static double
Zero(size_t k, size_t d)
{
	return 0.0 * k * d;
}

/* A bulk without gaps, as of random vectors, and two values that stand out a little. */
static double
Bulk(size_t k, size_t d)
{
	return k == 0 ? 1.05 : k == 1 ? 1.02 : 1 - pow((double) k / d, 2.0 / 3);
}

static void
TestSpectra(void)
{
	static const struct
	{
		const char *name;
		Spectrum	spectrum;
	}			kinds[] = {
		{"distinct", Distinct}, {"pairs", Pairs}, {"decaying", Decaying},
		{"all the same", AllSame}, {"rank one", RankOne}, {"zero", Zero}, {"a bulk", Bulk}
	};
	static const size_t sizes[] = {2, 3, 4, 5, 17, 63, 64, 65, 200, 401};

	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++)
	{
		double		worst_value = 0;
		double		worst_residual = 0;
		double		worst_skew = 0;

		for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++)
		{
			size_t		d = sizes[n];
			double	   *values = allocate(d * sizeof(double));
			double	   *a;
			double		scale;
			Found		found;

			for (size_t k = 0; k < d; k++)
				values[k] = kinds[kind].spectrum(k, d);
			a = MakeMatrix(d, values);
			scale = fmax(values[0], 1e-300);
			found = Find(a, d);
			for (int j = 0; j < 2; j++)
				worst_value = fmax(worst_value, fabs(found.value[j] - values[j]) / scale);
			worst_residual = fmax(worst_residual, found.residual / scale);
			worst_skew = fmax(worst_skew, found.skew);
			free(a);
			free(values);
		}
		check(worst_value < 1e-11, "eigenvalues, %s (%.1e)", kinds[kind].name, worst_value);
		check(worst_residual < 2 * EIGEN_TOLERANCE, "eigenvectors, %s (%.1e)",
			  kinds[kind].name, worst_residual);
		check(worst_skew < 1e-12, "orthonormal, %s (%.1e)", kinds[kind].name, worst_skew);
	}
}

/* Of the greatest length there is: it is polled often, and converges. */
static void
TestLarge(void)
{
	size_t		d = ALS_MAX_FACTORS;
	double	   *values = allocate(d * sizeof(double));
	double	   *a;
	Found		found;

	for (size_t k = 0; k < d; k++)
		values[k] = Bulk(k, d);
	a = MakeMatrix(d, values);
	polls = 0;
	found = Find(a, d);
	check(fabs(found.value[0] - 1.05) < 1e-11 && fabs(found.value[1] - 1.02) < 1e-11 &&
		  found.residual < 2 * EIGEN_TOLERANCE && found.skew < 1e-12,
		  "%zu dimensions: residual %.1e, polled %ld times", d, found.residual, polls);
	check(polls > 0 && polls % 8 == 0, "eight polls a product with the matrix");
	free(a);
	free(values);
}

/* Points spread by 3 along one direction, by 2 along another, by 1/2 elsewhere. */
static void
TestComponents(void)
{
	size_t		d = 24;
	size_t		n = 20000;
	float	   *vectors = allocate(n * d * sizeof(float));
	double	   *work = allocate(components_work(d) * sizeof(double));
	double	   *space = allocate(3 * d * sizeof(double));
	Components	components = {space, {space + d, space + 2 * d}, {0, 0}};
	double		sums[5] = {0};

	for (size_t i = 0; i < n; i++)
	{
		float		along = 3 * random_normal();
		float		across = 2 * random_normal();

		for (size_t k = 0; k < d; k++)
			vectors[i * d + k] = 100 + 0.5f * random_normal();
		vectors[i * d + 5] += 0.8f * along;
		vectors[i * d + 9] -= 0.6f * along;
		vectors[i * d + 20] -= across;
	}
	check(components_find(vectors, n, d, &components, work, CountPolls, NULL) == NUMERICS_OK,
		  "components are found");
	for (size_t i = 0; i < n; i++)
	{
		double		x = components_place(&components, 0, vectors + i * d, d);
		double		y = components_place(&components, 1, vectors + i * d, d);

		sums[0] += x / n;
		sums[1] += y / n;
		sums[2] += x * x / n;
		sums[3] += y * y / n;
		sums[4] += x * y / n;
	}
	check(fabs(sums[0]) < 1e-6 && fabs(sums[1]) < 1e-6, "places are seen from the mean");
	check(fabs(sums[2] / components.variance[0] - 1) < 1e-5 &&
		  fabs(sums[3] / components.variance[1] - 1) < 1e-5 && fabs(sums[4]) < 1e-4,
		  "their variances are the eigenvalues, and they are uncorrelated (%.1e)", sums[4]);
	check(components.axis[0][5] > 0.78 && components.axis[0][9] < -0.58 &&
		  components.axis[1][20] > 0.99, "the axes are those of the spread, the largest element positive");
	vectors[7] = NAN;
	check(components_find(vectors, n, d, &components, work, NULL, NULL) == NUMERICS_DIVERGED,
		  "vectors that are not finite are refused");
	free(vectors);
	free(work);
	free(space);
}

void
test_eigen(void)
{
	random_seed("eigenvalues", 41);
	TestSpectra();
	TestLarge();
	TestComponents();
}

/*
 * eigen.c: the two largest eigenvalues of a symmetric matrix, in steps.
 *
 * LAPACK finds them in one call of some 4/3 d^3 operations, seconds for 2000
 * factors, in which nothing can be polled. This is a block Krylov method instead,
 * thick-restart Lanczos with full orthogonalisation (Wu and Simon, SIAM J. Matrix
 * Anal. Appl. 22(2), 2000), whose steps read the matrix once each:
 *
 *	 V			an orthonormal basis of at most BASIS vectors, W = A V, T = V'W
 *	 values		T = S diag(theta) S' by Jacobi's method; the Ritz vectors V s are
 *				the best approximations that the basis has
 *	 done		when the residuals W s - theta V s of the first two are small
 *	 full		the basis becomes its KEPT best Ritz vectors
 *	 grow		by the residuals of the first BLOCK, made orthogonal to V
 *
 * The residuals of Ritz vectors of a Krylov space span its next block, so this
 * is block Lanczos; but computing T, rather than relying on its being banded,
 * forgives every rounding. A block rather than a vector, because the eigenvalues
 * of item vectors often come in pairs, of which a single vector sees one. Plain
 * power iteration was rejected: it needs 1 / gap steps where this needs the root
 * of that. A basis of all d dimensions leaves no residual, so that small matrices
 * are exact.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "numerics/eigen.h"
#include "numerics/sampling.h"

#define BLOCK 4
#define BASIS 64
#define KEPT 16

/* Rows of the matrix between two polls: 2 ms at 2000 columns. */
#define POLL_ROWS 256

#define JACOBI_SWEEPS 60
#define START_SEED 0x5eed

typedef struct Krylov
{
	const double *a;
	size_t		d;
	size_t		m;				/* vectors in the basis */
	double	   *v;				/* one a row, likewise below */
	double	   *w;
	double	   *residual;		/* BLOCK */
	double	   *t;				/* BASIS x BASIS */
	double	   *theta;			/* descending */
	double	   *s;				/* row i: Ritz vector i's coordinates */
	NumericsPoll poll;
	void	   *arg;
} Krylov;

size_t
eigen_work(size_t d)
{
	return (2 * BASIS + BLOCK) * d + 3 * BASIS * BASIS + BASIS;
}

static double
Dot(const double *x, const double *y, size_t d)
{
	double		part[4] = {0};
	size_t		k;

	for (k = 0; k + 4 <= d; k += 4)
		for (int l = 0; l < 4; l++)
			part[l] += x[k + l] * y[k + l];
	for (; k < d; k++)
		part[0] += x[k] * y[k];
	return (part[0] + part[1]) + (part[2] + part[3]);
}

static void
AddTimes(double *x, double factor, const double *y, size_t d)
{
	for (size_t k = 0; k < d; k++)
		x[k] += factor * y[k];
}

/* ---- The small problem ---- */

/* One rotation that makes t[p][q] zero; rows of s turn along. */
static void
Rotate(double *t, double *s, size_t m, size_t p, size_t q)
{
	double		tau = (t[q * BASIS + q] - t[p * BASIS + p]) / (2 * t[p * BASIS + q]);
	double		tangent = (tau >= 0 ? 1 : -1) / (fabs(tau) + sqrt(1 + tau * tau));
	double		cosine = 1 / sqrt(1 + tangent * tangent);
	double		sine = tangent * cosine;

	for (size_t k = 0; k < m; k++)
	{
		double		x = t[k * BASIS + p];
		double		y = t[k * BASIS + q];

		t[k * BASIS + p] = cosine * x - sine * y;
		t[k * BASIS + q] = sine * x + cosine * y;
	}
	for (size_t k = 0; k < m; k++)
	{
		double		x = t[p * BASIS + k];
		double		y = t[q * BASIS + k];

		t[p * BASIS + k] = cosine * x - sine * y;
		t[q * BASIS + k] = sine * x + cosine * y;
		x = s[p * BASIS + k];
		y = s[q * BASIS + k];
		s[p * BASIS + k] = cosine * x - sine * y;
		s[q * BASIS + k] = sine * x + cosine * y;
	}
}

/* Eigenvalues and vectors of T by cyclic rotations; T is left as it was. */
static void
Diagonalize(Krylov *krylov, double *t)
{
	size_t		m = krylov->m;
	double	   *s = krylov->s;
	double		all = 0;

	memcpy(t, krylov->t, sizeof(double) * BASIS * BASIS);
	memset(s, 0, sizeof(double) * BASIS * BASIS);
	for (size_t i = 0; i < m; i++)
	{
		s[i * BASIS + i] = 1;
		all += Dot(t + i * BASIS, t + i * BASIS, m);
	}
	for (int sweep = 0; sweep < JACOBI_SWEEPS; sweep++)
	{
		double		off = 0;

		for (size_t p = 0; p < m; p++)
			for (size_t q = p + 1; q < m; q++)
				off += t[p * BASIS + q] * t[p * BASIS + q];
		if (!(off > 1e-30 * all))
			break;
		for (size_t p = 0; p < m; p++)
			for (size_t q = p + 1; q < m; q++)
				if (t[p * BASIS + q] * t[p * BASIS + q] > 1e-34 * all)
					Rotate(t, s, m, p, q);
	}

	/* In descending order, by selection. */
	for (size_t i = 0; i < m; i++)
		krylov->theta[i] = t[i * BASIS + i];
	for (size_t i = 0; i < m; i++)
		for (size_t j = i + 1; j < m; j++)
			if (krylov->theta[j] > krylov->theta[i])
			{
				double		value = krylov->theta[i];

				krylov->theta[i] = krylov->theta[j];
				krylov->theta[j] = value;
				for (size_t k = 0; k < m; k++)
				{
					value = s[i * BASIS + k];
					s[i * BASIS + k] = s[j * BASIS + k];
					s[j * BASIS + k] = value;
				}
			}
}

/* ---- Growing and shrinking the basis ---- */

/*
 * Makes x orthogonal to the basis and adds it, unless the basis has it already.
 * Twice is enough: the second pass takes away what rounding left of the first.
 */
static void
AddToBasis(Krylov *krylov, double *x)
{
	size_t		d = krylov->d;
	double		before = sqrt(Dot(x, x, d));
	double		length = before;

	if (krylov->m == d || krylov->m == BASIS)
		return;
	for (int pass = 0; pass < 2; pass++)
	{
		if (!(length > 1e-10 * before) || !(before > 0))
			return;
		for (size_t k = 0; k < d; k++)
			x[k] /= length;
		before = 1;
		for (size_t i = 0; i < krylov->m; i++)
			AddTimes(x, -Dot(x, krylov->v + i * d, d), krylov->v + i * d, d);
		length = sqrt(Dot(x, x, d));
	}
	for (size_t k = 0; k < d; k++)
		krylov->v[krylov->m * d + k] = x[k] / length;
	krylov->m++;
}

/* W and T for the vectors from `first` on. */
static void
Multiply(Krylov *krylov, size_t first)
{
	size_t		d = krylov->d;

	memset(krylov->w + first * d, 0, (krylov->m - first) * d * sizeof(double));
	for (size_t row = 0; row < d; row++)
	{
		if (row % POLL_ROWS == 0 && krylov->poll != NULL)
			krylov->poll(krylov->arg);
		for (size_t j = first; j < krylov->m; j++)
			AddTimes(krylov->w + j * d, krylov->v[j * d + row], krylov->a + row * d, d);
	}
	for (size_t j = first; j < krylov->m; j++)
		for (size_t i = 0; i <= j; i++)
			krylov->t[i * BASIS + j] = krylov->t[j * BASIS + i] =
				Dot(krylov->v + i * d, krylov->w + j * d, d);
}

/* The basis becomes its best Ritz vectors, whose T is diagonal. */
static void
Restart(Krylov *krylov)
{
	size_t		d = krylov->d;

	for (int which = 0; which < 2; which++)
	{
		double	   *rows = which == 0 ? krylov->v : krylov->w;

		for (size_t k = 0; k < d; k++)
		{
			double		column[BASIS];

			for (size_t i = 0; i < krylov->m; i++)
				column[i] = rows[i * d + k];
			for (size_t i = 0; i < KEPT; i++)
				rows[i * d + k] = Dot(column, krylov->s + i * BASIS, krylov->m);
		}
	}
	krylov->m = KEPT;
	memset(krylov->t, 0, sizeof(double) * BASIS * BASIS);
	memset(krylov->s, 0, sizeof(double) * BASIS * BASIS);
	for (size_t i = 0; i < KEPT; i++)
	{
		krylov->t[i * BASIS + i] = krylov->theta[i];
		krylov->s[i * BASIS + i] = 1;
	}
}

/* The residual of a Ritz vector, and its length. */
static double
Residual(const Krylov *krylov, size_t which, double *residual)
{
	size_t		d = krylov->d;
	const double *s = krylov->s + which * BASIS;

	memset(residual, 0, d * sizeof(double));
	for (size_t i = 0; i < krylov->m; i++)
	{
		AddTimes(residual, s[i], krylov->w + i * d, d);
		AddTimes(residual, -krylov->theta[which] * s[i], krylov->v + i * d, d);
	}
	return sqrt(Dot(residual, residual, d));
}

/* ---- The whole ---- */

/* Any vectors do that have something of all directions. */
static void
Start(Krylov *krylov)
{
	for (int j = 0; j < BLOCK; j++)
	{
		for (size_t k = 0; k < krylov->d; k++)
			krylov->residual[k] = (double) (sampling_bits(START_SEED + j, k) >> 11) * 0x1.0p-53 - 0.5;
		AddToBasis(krylov, krylov->residual);
	}
	Multiply(krylov, 0);
}

/* One step; returns whether it was the last. */
static bool
Step(Krylov *krylov, double *scratch)
{
	size_t		first;
	size_t		block;
	bool		done = true;

	Diagonalize(krylov, scratch);
	block = krylov->m < BLOCK ? krylov->m : BLOCK;
	for (size_t j = 0; j < block; j++)
	{
		double		length = Residual(krylov, j, krylov->residual + j * krylov->d);

		if (j < 2 && !(length <= EIGEN_TOLERANCE * fabs(krylov->theta[0])))
			done = false;
	}
	if (done || krylov->m == krylov->d)
		return true;
	if (krylov->m + BLOCK > BASIS)
		Restart(krylov);
	first = krylov->m;
	for (size_t j = 0; j < block; j++)
		AddToBasis(krylov, krylov->residual + j * krylov->d);

	/* Nothing new: the basis is closed under the matrix. */
	if (krylov->m == first)
		return true;
	Multiply(krylov, first);
	return false;
}

void
eigen_largest(const double *a, size_t d, double value[2], double *vector[2],
			  double *work, NumericsPoll poll, void *arg)
{
	Krylov		krylov = {
		.a = a,
		.d = d,
		.v = work,
		.w = work + BASIS * d,
		.residual = work + 2 * BASIS * d,
		.poll = poll,
		.arg = arg,
	};
	double	   *scratch;

	krylov.t = krylov.residual + BLOCK * d;
	krylov.s = krylov.t + BASIS * BASIS;
	scratch = krylov.s + BASIS * BASIS;
	krylov.theta = scratch + BASIS * BASIS;
	memset(krylov.t, 0, sizeof(double) * BASIS * BASIS);

	Start(&krylov);
	for (int step = 0; step < EIGEN_STEPS; step++)
		if (Step(&krylov, scratch))
			break;
	for (int j = 0; j < 2; j++)
	{
		value[j] = krylov.theta[j];
		memset(vector[j], 0, d * sizeof(double));
		for (size_t i = 0; i < krylov.m; i++)
			AddTimes(vector[j], krylov.s[j * BASIS + i], krylov.v + i * d, d);
	}
}

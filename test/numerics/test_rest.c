/*
 * test_rest.c: distances, the heap of the best, Cholesky's factorisation, and
 * optimizers that hold still.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "numerics/cholesky.h"
#include "numerics/distance.h"
#include "numerics/optimizer.h"
#include "numerics/topheap.h"

/* ---- Distances ---- */

/* The documented order of operations, said once more in scalars. */
static double
DotInOrder(const float *a, const float *b, size_t n, bool squares)
{
	double		part[16] = {0};

	for (size_t k = 0; k < n; k++)
	{
		double		x = squares ? (double) a[k] - b[k] : a[k];
		double		y = squares ? x : b[k];

		part[k % 16] = part[k % 16] + x * y;
	}
	for (int half = 8; half > 0; half /= 2)
		for (int l = 0; l < half; l++)
			part[l] = part[l] + part[l + half];
	return part[0];
}

static void
TestDistances(void)
{
	float	   *a = allocate(3000 * sizeof(float));
	float	   *b = allocate(3000 * sizeof(float));
	bool		bits = true;
	double		worst = 0.0;

	for (size_t n = 0; n <= 2100; n += n < 100 ? 1 : 97)
		for (size_t shift = 0; shift < 3; shift++)
		{
			long double dot = 0.0L;
			long double square = 0.0L;
			long double magnitude = 0.0L;
			long double norms[2] = {0.0L, 0.0L};

			for (size_t k = 0; k < 3000; k++)
			{
				a[k] = random_normal();
				b[k] = random_normal();
			}
			for (size_t k = shift; k < shift + n; k++)
			{
				dot += (long double) a[k] * b[k];
				magnitude += fabsl((long double) a[k] * b[k]);
				square += ((long double) a[k] - b[k]) * ((long double) a[k] - b[k]);
				norms[0] += (long double) a[k] * a[k];
				norms[1] += (long double) b[k] * b[k];
			}
			bits = bits && vector_dot(a + shift, b + shift, n) == DotInOrder(a + shift, b + shift, n, false);
			bits = bits && vector_l2_distance(a + shift, b + shift, n) ==
				sqrt(DotInOrder(a + shift, b + shift, n, true));
			if (n == 0)
				continue;
			worst = fmax(worst, fabsl(vector_dot(a + shift, b + shift, n) - dot) / magnitude);
			worst = fmax(worst, fabsl(vector_l2_distance(a + shift, b + shift, n) - sqrtl(square)) / sqrtl(square));
			worst = fmax(worst, fabsl(vector_cosine_distance(a + shift, b + shift, n) -
									  (1.0L - dot / (sqrtl(norms[0]) * sqrtl(norms[1])))));
		}
	check(bits, "distances: the documented order of operations, to the bit");
	check(worst < 1e-14, "distances agree with long double (%.1e)", worst);
	free(a);
	free(b);
}

static void
TestDistanceLimits(void)
{
	float		zero[3] = {0.0f, 0.0f, 0.0f};
	float		one[3] = {1.0f, 2.0f, 3.0f};
	float		negative[3] = {-1.0f, -2.0f, -3.0f};
	float		huge[3] = {FLT_MAX, FLT_MAX, FLT_MAX};
	float		tiny[3] = {1e-45f, 0.0f, 1e-45f};
	bool		within = true;

	check(isnan(vector_cosine_distance(zero, one, 3)) && isnan(vector_cosine_distance(one, zero, 3)),
		  "cosine distance to a zero vector is NaN");
	check(isnan(vector_cosine_distance(one, one, 0)), "so is that of empty vectors");
	check(vector_dot(one, one, 0) == 0.0 && vector_l2_distance(one, one, 0) == 0.0,
		  "other distances of empty vectors are zero");
	check(fabs(vector_cosine_distance(huge, huge, 3)) < 1e-15 &&
		  fabs(vector_cosine_distance(tiny, tiny, 3)) < 1e-15 &&
		  fabs(vector_cosine_distance(huge, tiny, 3) - (1.0 - 2.0 / sqrt(6.0))) < 1e-15,
		  "cosine distance of the largest and the smallest floats");
	check(isfinite(vector_dot(huge, huge, 3)) && isfinite(vector_l2_distance(huge, negative, 3)),
		  "products of the largest floats are finite");
	check(vector_cosine_distance(one, negative, 3) <= 2.0 &&
		  vector_cosine_distance(one, negative, 3) > 2.0 - 1e-15, "opposite vectors are 2 apart");
	for (int k = 0; k < 10000; k++)
	{
		float		a[7];
		float		b[7];
		double		scale = random_normal();
		double		distance;

		for (int j = 0; j < 7; j++)
		{
			a[j] = random_normal();
			b[j] = scale * a[j];
		}
		distance = vector_cosine_distance(a, b, 7);
		within = within && distance >= 0.0 && distance <= 2.0;
	}
	check(within, "cosine distance stays within 0 and 2");
	one[1] = NAN;
	check(isnan(vector_dot(one, huge, 3)) && isnan(vector_l2_distance(one, huge, 3)) &&
		  isnan(vector_cosine_distance(one, huge, 3)), "NaN in, NaN out");
}

/* ---- The heap ---- */

static int
CompareEntries(const void *left, const void *right)
{
	const TopEntry *a = left;
	const TopEntry *b = right;

	if (isnan(a->score) != isnan(b->score))
		return isnan(a->score) ? 1 : -1;
	if (!isnan(a->score) && a->score != b->score)
		return a->score > b->score ? -1 : 1;
	return (a->index > b->index) - (a->index < b->index);
}

static void
TestHeap(void)
{
	bool		same = true;
	bool		wants = true;

	for (int round = 0; round < 3000; round++)
	{
		size_t		n = 60 * random_uniform();
		size_t		k = 20 * random_uniform();
		TopEntry	all[60];
		TopEntry	kept[20];
		TopHeap		heap;

		for (size_t i = 0; i < n; i++)
		{
			double		kind = random_uniform();

			all[i].index = i;
			all[i].score = kind < 0.1 ? NAN : kind < 0.15 ? -INFINITY :
				kind < 0.2 ? INFINITY : (int) (6 * random_uniform()) - 3;
		}
		for (size_t i = n; i > 1; i--)
		{
			size_t		other = i * random_uniform();
			TopEntry	held = all[i - 1];

			all[i - 1] = all[other];
			all[other] = held;
		}
		topheap_init(&heap, kept, k);
		for (size_t i = 0; i < n; i++)
		{
			bool		wanted = topheap_wants(&heap, all[i].score, all[i].index);
			bool		there = false;

			topheap_offer(&heap, all[i].score, all[i].index);
			for (size_t j = 0; j < heap.n; j++)
				there = there || heap.entries[j].index == all[i].index;
			wants = wants && wanted == there;
		}
		topheap_sort(&heap);
		qsort(all, n, sizeof(TopEntry), CompareEntries);
		same = same && heap.n == (n < k ? n : k);
		for (size_t j = 0; j < heap.n; j++)
			same = same && heap.entries[j].index == all[j].index;
	}
	check(same, "the heap keeps what a sort puts first, ties and NaN included");
	check(wants, "topheap_wants says whether an entry will be kept");
}

/* ---- Cholesky ---- */

static long polls;

static void
CountPolls(void *arg)
{
	(void) arg;
	polls++;
}

/* A = B B^T + I, its factor and the solution for a known x. */
static double
CholeskyError(size_t n)
{
	double	   *b = allocate(n * n * sizeof(double));
	double	   *a = allocate(n * n * sizeof(double));
	double	   *full = allocate(n * n * sizeof(double));
	double	   *x = allocate(n * sizeof(double));
	double		worst = 0.0;

	for (size_t k = 0; k < n * n; k++)
		b[k] = random_normal();
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
		{
			double		sum = i == j ? n : 0.0;

			for (size_t k = 0; k < n; k++)
				sum += b[i * n + k] * b[j * n + k];
			full[i * n + j] = sum;
			a[i * n + j] = j <= i ? sum : NAN;
		}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			x[i] += full[i * n + j] * (1.0 + j % 3);
	if (cholesky_factor(a, n, CountPolls, NULL) != NUMERICS_OK)
		return INFINITY;
	cholesky_solve(a, n, x);
	for (size_t i = 0; i < n; i++)
		worst = fmax(worst, fabs(x[i] - (1.0 + i % 3)));
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			if (!isnan(a[i * n + j]))
				worst = INFINITY;
	free(a);
	free(b);
	free(full);
	free(x);
	return worst;
}

static void
TestCholesky(void)
{
	double		worst = 0.0;
	double		indefinite[4] = {1.0, 0.0, 2.0, 1.0};
	double		singular[4] = {1.0, 0.0, 1.0, 1.0};
	double		bad[4] = {1.0, 0.0, NAN, 1.0};
	double		infinite[1] = {INFINITY};
	double		small[1] = {1e-300};

	for (size_t n = 1; n < 150; n += n < 20 ? 1 : 13)
		worst = fmax(worst, CholeskyError(n));
	check(worst < 1e-12, "Cholesky solves (%.1e), the upper triangle untouched", worst);
	polls = 0;
	worst = CholeskyError(401);
	check(worst < 1e-12 && polls >= 401 / 16, "a large system too, polling %ld times", polls);
	check(cholesky_factor(indefinite, 2, NULL, NULL) == NUMERICS_DIVERGED &&
		  cholesky_factor(singular, 2, NULL, NULL) == NUMERICS_DIVERGED &&
		  cholesky_factor(bad, 2, NULL, NULL) == NUMERICS_DIVERGED &&
		  cholesky_factor(infinite, 1, NULL, NULL) == NUMERICS_DIVERGED,
		  "indefinite, singular, NaN and infinite matrices are refused");
	check(cholesky_factor(small, 1, NULL, NULL) == NUMERICS_OK && small[0] == 1e-150,
		  "a small scale is not");
}

/* ---- Optimizers that hold still ---- */

/*
 * Gradients that go by while nothing moves leave the state that they leave while
 * numbers move, so that the next step is as long as after them.
 */
static void
TestHold(void)
{
	static const OptimizerKind kinds[] = {OPTIMIZER_SGD, OPTIMIZER_ADAGRAD, OPTIMIZER_ADAM};
	bool		still = true;
	bool		alike = true;
	bool		shorter = true;

	for (int k = 0; k < 3; k++)
	{
		float		power[2][2] = {{1, 1}, {1, 1}};
		float		state[2][2] = {{0, 0}, {0, 0}};
		float		x[2] = {0.5f, 0.5f};
		float		first = 0;
		OptimizerRates rates;
		OptimizerStep step;

		for (int t = 0; t < 20; t++)
		{
			float		gradient = random_normal();

			for (int held = 0; held < 2; held++)
			{
				optimizer_rates(kinds[k], SCHEDULE_CONSTANT, 0.1, 0.01, 0, &rates);
				if (held)
					optimizer_hold(&rates);
				optimizer_step(kinds[k], &rates, power[held], &step);
				optimizer_move(kinds[k], &step, gradient, &x[held], &state[held][0], &state[held][1]);
			}
			if (t == 0)
				first = fabsf(x[0] - 0.5f);
			still = still && x[1] == 0.5f;
			alike = alike && same_bytes(state[0], state[1], sizeof(state[0])) &&
				same_bytes(power[0], power[1], sizeof(power[0]));
		}

		/* A tenth of a gradient of the usual size, now against a cold start's. */
		optimizer_rates(kinds[k], SCHEDULE_CONSTANT, 0.1, 0, 0, &rates);
		optimizer_step(kinds[k], &rates, power[1], &step);
		optimizer_move(kinds[k], &step, 0.1f, &x[1], &state[1][0], &state[1][1]);
		shorter = shorter && (kinds[k] == OPTIMIZER_SGD || fabsf(x[1] - 0.5f) < 0.8f * first);
	}
	check(still, "an optimizer that holds moves nothing");
	check(alike, "its state is that of one that moves");
	check(shorter, "so its first step is shorter than a cold start's");
}

void
test_rest(void)
{
	random_seed("distances, heap, Cholesky, optimizers", 31);
	TestDistances();
	TestDistanceLimits();
	TestHeap();
	TestCholesky();
	TestHold();
}

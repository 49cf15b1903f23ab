/*
 * test_kernels.c: every kernel that runs here against the reference, for many
 * sizes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "numerics/blas.h"

/* Largest difference of n values, over the largest magnitude. */
static double
Deviation(const float *a, const float *b, size_t n)
{
	double		worst = 0.0;
	double		largest = 1e-30;

	for (size_t k = 0; k < n; k++)
	{
		double		difference = fabs((double) a[k] - b[k]);

		if (!(difference <= worst))
			worst = difference;
		if (fabs((double) b[k]) > largest)
			largest = fabs((double) b[k]);
	}
	return worst / largest;
}

/* The same over the upper triangles. */
static double
UpperDeviation(const float *a, const float *b, size_t d)
{
	double		worst = 0.0;

	for (size_t i = 0; i < d; i++)
	{
		double		deviation = Deviation(a + i * d + i, b + i * d + i, d - i);

		if (!(deviation <= worst))
			worst = deviation;
	}
	return worst;
}

typedef struct Outcome
{
	float	   *panel;
	float	   *a;
	float	   *rhs;
	float	   *border;
	float	   *product;
	float	   *scratch;
	bool		solved;
	double		corner;
} Outcome;

typedef struct Case
{
	size_t		d;
	size_t		n;
	bool		scaled;
	bool		bordered;
	const float *rows;
	const Rating *entries;
	const float *scale;
	const float *target;
} Case;

static Outcome
Prepare(size_t d, size_t n)
{
	Outcome		outcome = {
		.panel = allocate(n * d * sizeof(float)),
		.a = allocate(d * d * sizeof(float)),
		.rhs = allocate(d * sizeof(float)),
		.border = allocate(d * sizeof(float)),
		.product = allocate(n * sizeof(float)),
		.scratch = allocate(2 * d * sizeof(float)),
	};

	return outcome;
}

static void
Release(Outcome *outcome)
{
	free(outcome->panel);
	free(outcome->a);
	free(outcome->rhs);
	free(outcome->border);
	free(outcome->product);
	free(outcome->scratch);
}

static void
Gather(const Kernel *kernel, const Case *c, Outcome *out)
{
	KernelGather gather = {
		.rows = c->rows,.stride = c->d,.d = c->d,
		.entries = c->entries,.n = c->n,
		.scale = c->scaled ? c->scale : NULL,.target = c->target,
		.panel = out->panel,.rhs = out->rhs,
		.border = c->bordered ? out->border : NULL,
	};

	KernelAhead ahead = {
		.rows = c->rows,.stride = c->d,.entries = c->entries,.n = c->n,
	};

	kernel->gather(&gather);
	kernel->syrk(out->a, c->d, c->d, out->panel, c->n, c->scaled ? NULL : &ahead);
}

static void
Solve(const Kernel *kernel, const Case *c, Outcome *out)
{
	KernelSystem system = {
		.a = out->a,.stride = c->d,.d = c->d,.rhs = out->rhs,
		.border = c->bordered ? out->border : NULL,
		.corner = c->n + 2.0,.corner_rhs = 1.5,.scratch = out->scratch,
	};

	out->solved = kernel->solve(&system);
	out->corner = c->bordered ? system.corner_solution : 0.0;
}

/* Runs both kernels on the case; the worst deviations go into worst[]. */
static void
Compare(const Kernel *kernel, const Case *c, double worst[4], bool *solved)
{
	Outcome		expected = Prepare(c->d, c->n);
	Outcome		found = Prepare(c->d, c->n);
	double		deviation[4];

	Gather(&kernel_plain, c, &expected);
	Gather(kernel, c, &found);
	deviation[0] = fmax(Deviation(found.panel, expected.panel, c->n * c->d),
						Deviation(found.rhs, expected.rhs, c->d));
	if (c->bordered)
		deviation[0] = fmax(deviation[0],
							Deviation(found.border, expected.border, c->d));
	deviation[1] = UpperDeviation(found.a, expected.a, c->d);

	/* The same well-conditioned system for both. */
	for (size_t k = 0; k < c->d; k++)
		expected.a[k * c->d + k] += 0.25f * (c->n + c->d);
	memcpy(found.a, expected.a, c->d * c->d * sizeof(float));
	memcpy(found.rhs, expected.rhs, c->d * sizeof(float));
	memcpy(found.border, expected.border, c->d * sizeof(float));
	Solve(&kernel_plain, c, &expected);
	Solve(kernel, c, &found);
	*solved = *solved && expected.solved && found.solved;
	deviation[2] = fmax(Deviation(found.rhs, expected.rhs, c->d),
						fabs(found.corner - expected.corner));

	kernel_plain.multiply(expected.panel, c->d, c->d, c->n, expected.rhs,
						  expected.product);
	kernel->multiply(expected.panel, c->d, c->d, c->n, expected.rhs,
					 found.product);
	deviation[3] = Deviation(found.product, expected.product, c->n);

	for (int k = 0; k < 4; k++)
		if (!(deviation[k] <= worst[k]))
			worst[k] = deviation[k];
	Release(&expected);
	Release(&found);
}

#define NROWS 50

static void
CompareSize(const Kernel *kernel, size_t factors, double worst[4], bool *solved)
{
	static const size_t lengths[] = {1, 2, 3, 17, 96, 200};
	size_t		d = als_stride(factors);
	float	   *rows = allocate(NROWS * d * sizeof(float));
	Rating	   *entries = allocate(200 * sizeof(Rating));
	float	   *scale = allocate(200 * sizeof(float));
	float	   *target = allocate(200 * sizeof(float));

	for (size_t r = 0; r < NROWS; r++)
		for (size_t k = 0; k < factors; k++)
			rows[r * d + k] = random_normal();
	for (size_t k = 0; k < 200; k++)
	{
		entries[k].index = NROWS * random_uniform();
		scale[k] = random_uniform();
		target[k] = random_normal();
	}
	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++)
		for (int mode = 0; mode < 3; mode++)
		{
			Case		c = {d, lengths[l], mode == 2, mode == 1, rows, entries, scale, target};

			Compare(kernel, &c, worst, solved);
		}
	free(rows);
	free(entries);
	free(scale);
	free(target);
}

static void
TestKernel(const Kernel *kernel)
{
	double		worst[4] = {0};
	bool		solved = true;

	random_seed(kernel->name, 11);
	for (size_t factors = 1; factors <= 130; factors += factors < 20 ? 1 : 11)
		CompareSize(kernel, factors, worst, &solved);
	CompareSize(kernel, 257, worst, &solved);
	check(worst[0] < 1e-6, "%s gathers as the reference does (%.1e)", kernel->name, worst[0]);
	check(worst[1] < 2e-6, "%s sums outer products as the reference does (%.1e)",
		  kernel->name, worst[1]);
	check(solved && worst[2] < 1e-5, "%s solves as the reference does (%.1e)",
		  kernel->name, worst[2]);
	check(worst[3] < 2e-6, "%s multiplies as the reference does (%.1e)",
		  kernel->name, worst[3]);
}

/* A system with a zero, a negative or a NaN pivot must be refused. */
static void
TestRefusal(const Kernel *kernel)
{
	static const float pivots[] = {0.0f, -1.0f, NAN, 1e-9f};
	static const size_t at[] = {0, 5, 17, 31};
	int			refused = 0;

	for (int p = 0; p < 4; p++)
		for (int k = 0; k < 4; k++)
		{
			Outcome		out = Prepare(32, 1);
			Case		c = {.d = 32,.n = 1};

			for (size_t i = 0; i < 32; i++)
				out.a[i * 32 + i] = 2.0f;
			/* A row equal to the one before it, but for `pivot`. */
			out.a[at[k] * 32 + at[k]] = pivots[p];
			if (p == 3 && at[k] > 0)
			{
				out.a[(at[k] - 1) * 32 + at[k]] = 2.0f;
				out.a[at[k] * 32 + at[k]] = 2.0f + pivots[p];
			}
			else if (p == 3)
				out.a[0] = NAN;
			Solve(kernel, &c, &out);
			refused += !out.solved;
			Release(&out);
		}
	check(refused == 16, "%s refuses %d of 16 indefinite systems", kernel->name, refused);
}

void
test_kernels(void)
{
	for (const Kernel *const *kernel = kernel_list(); *kernel != NULL; kernel++)
	{
		if (*kernel != &kernel_plain)
			TestKernel(*kernel);
		TestRefusal(*kernel);
	}
	TestKernel(&kernel_blas);
	TestRefusal(&kernel_blas);
}

/*
 * test_losses.c: losses against finite differences, optimizers against their
 * formulas in double precision, and the kernels that move rows by them against
 * each other.
 */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "numerics/losses.h"
#include "numerics/optimizer.h"
#include "numerics/sgd_kernel.h"

/* ---- Losses ---- */

static void
check_loss(const char *name, const LossSpec *spec, double target, double weight, int n)
{
	double		worst = 0;
	float		score[8];
	float		slope[8];
	float		ignored[8];

	for (int trial = 0; trial < 200; trial++)
	{
		for (int k = 0; k <= n; k++)
			score[k] = 3 * random_normal();
		(void) loss_sample(spec, target, weight, n, score, slope);
		for (int k = 0; k <= n; k++)
		{
			float		x = score[k];
			float		up = x + 0.01f;
			float		down = x - 0.01f;
			double		difference;

			score[k] = up;
			difference = loss_sample(spec, target, weight, n, score, ignored);
			score[k] = down;
			difference -= loss_sample(spec, target, weight, n, score, ignored);
			score[k] = x;
			difference /= (double) up - down;
			worst = fmax(worst, fabs(difference - slope[k]) / (1 + fabs(difference)));
		}
	}
	check(worst < 2e-4, "losses: %s, %d negatives: derivatives are finite differences (%.1e)",
		  name, n, worst);
}

static void
check_losses(void)
{
	LossSpec	squared = {.kind = LOSS_SQUARED};
	LossSpec	linked = {.kind = LOSS_SQUARED, .linked = true, .low = 0, .high = 5.5};
	LossSpec	logistic = {.kind = LOSS_LOGISTIC, .high = 1};
	LossSpec	bpr = {.kind = LOSS_BPR};
	float		far[2] = {-800, 800};
	float		slope[2];
	double		worst = 0;
	double		worst_slope = 0;

	random_seed("losses", 71);
	check_loss("squared", &squared, 3.5, 1, 0);
	check_loss("squared", &squared, 1, 0.7, 3);
	check_loss("squared in a range", &linked, 4.5, 1, 0);
	check_loss("logistic", &logistic, 1, 1, 4);
	check_loss("logistic, label 0", &logistic, 0, 2, 0);
	check_loss("logistic, label 0.3", &logistic, 0.3, 1, 1);
	check_loss("bpr", &bpr, 1, 1, 1);
	check_loss("bpr", &bpr, 1, 2.5, 5);

	for (double x = -80; x < 80; x += 0.0137)
	{
		float		score[2] = {0, (float) x};
		double		loss = loss_sample(&bpr, 1, 1, 1, score, slope);
		double		exact = fmax(score[1], 0) + log1p(exp(-fabs(score[1])));

		worst = fmax(worst, fabs(loss - exact) / exact);
		worst_slope = fmax(worst_slope, fabs(slope[1] / (1 / (1 + exp(-(double) score[1]))) - 1));
	}
	check(worst < 2e-8 && worst_slope < 2e-7,
		  "losses: bpr's polynomials are exact to %.1e, their derivatives to %.1e",
		  worst, worst_slope);
	check(fabs(loss_sample(&bpr, 1, 1, 1, far, slope) - 1600) < 1e-9 &&
		  slope[0] == -1 && slope[1] == 1, "losses: bpr does not overflow");
	check(fabs(loss_sample(&logistic, 1, 1, 1, far, slope) - 1600) < 1e-9,
		  "losses: logistic does not overflow");
	check(fabs(loss_prediction(&linked, loss_score(3.1, 0, 5.5)) - 3.1) < 1e-12 &&
		  loss_prediction(&linked, 900) == 5.5 && loss_prediction(&linked, -900) == 0,
		  "losses: a prediction's score gives the prediction, and none leaves the range");
}

/* ---- Optimizers ---- */

/* Ten steps by the formulas, all in double precision. */
static double
reference_steps(OptimizerKind kind, const double *gradient, int n, double x,
				double rate, double decay)
{
	double		m = 0;
	double		v = 0;

	for (int t = 1; t <= n; t++)
	{
		double		g = gradient[t - 1];

		x -= rate * decay * x;
		if (kind == OPTIMIZER_SGD)
			x -= rate * g;
		else if (kind == OPTIMIZER_ADAGRAD)
		{
			v += g * g;
			x -= rate * g / (sqrt(v) + 1e-10);
		}
		else
		{
			m = 0.9 * m + 0.1 * g;
			v = 0.999 * v + 0.001 * g * g;
			x -= rate * (m / (1 - pow(0.9, t))) / (sqrt(v / (1 - pow(0.999, t))) + 1e-8);
		}
	}
	return x;
}

static void
check_optimizer(const char *name, OptimizerKind kind, const SgdKernel *kernel)
{
	enum {D = 32, STEPS = 50};
	float	   *x = allocate(D * sizeof(float));
	float	   *y = allocate(D * sizeof(float));
	float	   *state[2] = {allocate(D * sizeof(float)), allocate(D * sizeof(float))};
	double		gradient[D][STEPS];
	double		first[D];
	float		power[2] = {1, 1};
	float		scalar = 0;
	float		scalar_state[2] = {0, 0};
	double		worst = 0;

	for (int k = 0; k < D; k++)
		first[k] = x[k] = k == 0 ? scalar = 0.5 : random_normal();
	for (int t = 0; t < STEPS; t++)
	{
		OptimizerRates rates;
		OptimizerStep step;

		optimizer_rates(kind, SCHEDULE_CONSTANT, 0.02, 0.3, 0.5, &rates);
		optimizer_step(kind, &rates, power, &step);
		for (int k = 0; k < D; k++)
		{
			y[k] = random_normal();
			gradient[k][t] = 1.5 * y[k] + 0.25 * x[k];
		}
		optimizer_move(kind, &step, (float) gradient[0][t], &scalar,
					   &scalar_state[0], &scalar_state[1]);
		kernel->move[kind] (&step, 1.5f, y, 0.25f, x, state[0], state[1], D);
	}
	for (int k = 0; k < D; k++)
		worst = fmax(worst, fabs(x[k] - reference_steps(kind, gradient[k], STEPS, first[k],
														0.02, 0.3)));
	worst = fmax(worst, fabs(scalar - x[0]));
	check(worst < 2e-5, "optimizers: %s by kernel %s: %d steps are the formulas' (%.1e)",
		  name, kernel->name, STEPS, worst);
	free(x);
	free(y);
	free(state[0]);
	free(state[1]);
}

/*
 * Three rows moved at once are those moved one after the other by the reference
 * kernel, to the bit, their states too.
 */
static void
check_triples(const SgdKernel *kernel)
{
	enum {D = 80, ROWS = 3, STEPS = 20};
	float	   *at_once[ROWS][3];
	float	   *in_turn[ROWS][3];
	float	   *pull = allocate(D * sizeof(float));
	bool		same = true;

	for (OptimizerKind kind = OPTIMIZER_SGD; kind <= OPTIMIZER_ADAM; kind++)
	{
		float		power[ROWS][2] = {{1, 1}, {1, 1}, {1, 1}};

		for (int row = 0; row < ROWS; row++)
			for (int k = 0; k < 3; k++)
			{
				at_once[row][k] = allocate(D * sizeof(float));
				in_turn[row][k] = allocate(D * sizeof(float));
				for (int e = 0; e < D && k == 0; e++)
					at_once[row][0][e] = in_turn[row][0][e] = random_normal();
			}
		for (int t = 0; t < STEPS; t++)
		{
			float		g = random_normal();
			float		h = random_normal();
			float		r[ROWS] = {0.3f, 0.2f, 0.1f};
			float		result[2];
			OptimizerRates rates;
			OptimizerStep step[ROWS];
			SgdTriple	triple = {.g = g, .h = h};
			SgdRow	   *moved[ROWS] = {&triple.p, &triple.q, &triple.n};

			optimizer_rates(kind, SCHEDULE_CONSTANT, 0.05, 0.1, 0.5, &rates);
			for (int row = 0; row < ROWS; row++)
			{
				optimizer_step(kind, &rates, power[row], &step[row]);
				*moved[row] = (SgdRow) {.x = at_once[row][0],
					.state = {at_once[row][1], at_once[row][2]}, .step = &step[row],
					.penalty = r[row]};
			}
			kernel->dots(at_once[0][0], at_once[1][0], at_once[2][0], D, result);
			kernel->triple[kind] (&triple, D);

			same &= result[0] == sgd_kernel_base.dot(in_turn[0][0], in_turn[1][0], D) &&
				result[1] == sgd_kernel_base.dot(in_turn[0][0], in_turn[2][0], D);
			sgd_kernel_base.set(g, in_turn[1][0], pull, D);
			sgd_kernel_base.add(h, in_turn[2][0], pull, D);
			for (int row = 1; row < ROWS; row++)
				sgd_kernel_base.move[kind] (&step[row], row == 1 ? g : h, in_turn[0][0], r[row],
											in_turn[row][0], in_turn[row][1], in_turn[row][2], D);
			sgd_kernel_base.move[kind] (&step[0], 1, pull, r[0],
										in_turn[0][0], in_turn[0][1], in_turn[0][2], D);
		}
		for (int row = 0; row < ROWS; row++)
			for (int k = 0; k < 3; k++)
			{
				same &= same_bytes(at_once[row][k], in_turn[row][k], D * sizeof(float));
				free(at_once[row][k]);
				free(in_turn[row][k]);
			}
	}
	check(same, "kernel %s: three rows at once move as one after the other, to the bit",
		  kernel->name);
	free(pull);
}

static void
check_optimizers(void)
{
	OptimizerRates start;
	OptimizerRates top;
	OptimizerRates end;
	OptimizerRates halfway[2];

	random_seed("optimizers", 72);
	for (const SgdKernel *const *kernel = sgd_kernel_list(); *kernel != NULL; kernel++)
	{
		check_optimizer("sgd", OPTIMIZER_SGD, *kernel);
		check_optimizer("adagrad", OPTIMIZER_ADAGRAD, *kernel);
		check_optimizer("adam", OPTIMIZER_ADAM, *kernel);
		check_triples(*kernel);
	}
	optimizer_rates(OPTIMIZER_ADAM, SCHEDULE_ONE_CYCLE, 1, 0, 0, &start);
	optimizer_rates(OPTIMIZER_ADAM, SCHEDULE_ONE_CYCLE, 1, 0, 0.25, &top);
	optimizer_rates(OPTIMIZER_ADAM, SCHEDULE_ONE_CYCLE, 1, 0, 1, &end);
	optimizer_rates(OPTIMIZER_ADAM, SCHEDULE_ONE_CYCLE, 2, 0.1, 0.125, &halfway[0]);
	optimizer_rates(OPTIMIZER_ADAM, SCHEDULE_ONE_CYCLE, 2, 0.1, 0.625, &halfway[1]);
	check(fabs(halfway[0].rate - 1.04) < 1e-6 && fabs(halfway[1].rate - 1.00001) < 1e-6 &&
		  fabs(halfway[0].beta1 - 0.9) < 1e-6 && fabs(halfway[1].beta1 - 0.9) < 1e-6 &&
		  fabs(halfway[0].keep - (1 - 0.104)) < 1e-6,
		  "optimizers: halfway up and halfway down the cycle the rate is the mean of its ends");
	check(fabs(start.rate - 0.04) < 1e-6 && fabs(top.rate - 1) < 1e-6 &&
		  fabs(end.rate - 1e-5) < 1e-9 && fabs(top.beta1 - 0.85) < 1e-6,
		  "optimizers: the one cycle starts, peaks and ends where it should");
}

void
test_losses(void)
{
	check_losses();
	check_optimizers();
}

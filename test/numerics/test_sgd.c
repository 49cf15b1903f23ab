/*
 * test_sgd.c: the stochastic solver: its full-batch gradient against finite
 * differences of the objective, its samples, and that kernels and batches agree.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "numerics/sgd.h"
#include "numerics/sgd_kernel.h"

/* ---- Memory: given back when all tests are done ---- */

static void *kept[2000];
static int	nkept = 0;

static void *
keep(size_t size)
{
	return kept[nkept++] = allocate(size);
}

/* ---- The solver ---- */

typedef struct Training
{
	Problem    *problem;
	SgdSpec		sgd;
	SgdSide		side[2];
	SgdWorkspace *ws;
	void	   *scratch;		/* of block_loss() */
	uint32_t   *members;
	uint32_t   *offset;
	SgdSample  *samples;
	SgdBlock	block;
} Training;

static Problem *problems[100];
static int	nproblems = 0;

static Training *
training_make(const AlsSpec *spec, const SgdSpec *sgd, const SgdKernel *kernel)
{
	Training   *t = keep(sizeof(Training));
	AlsWorkspace *als = als_workspace_init(keep(als_workspace_size(spec)), spec);
	Problem    *p;

	random_seed("stochastic", 73);
	t->problem = p = problem_make(spec, 40, 30, 0.3);
	problems[nproblems++] = p;
	t->sgd = *sgd;
	for (int which = 0; which < 2; which++)
	{
		SgdSide    *side = &t->side[which];
		size_t		n = p->side[which].n;
		size_t		elements = n * p->stride * sizeof(float);

		side->n = n;
		side->factors = p->side[which].factors;
		side->bias = p->side[which].bias;
		for (size_t row = 0; row < n; row++)
		{
			als_init_row(spec, 5 + which, row, 0.8, side->factors + row * p->stride);
			side->bias[row] = spec->biased ? 0.1f * random_normal() : 0;
		}
		side->penalty = keep(n * sizeof(float));
		side->bias_penalty = keep(n * sizeof(float));
		side->share = keep(n * sizeof(float));
		side->power = keep(2 * n * sizeof(float));
		for (int k = 0; k < 2; k++)
		{
			side->state[k] = keep(elements);
			side->bias_state[k] = keep(n * sizeof(float));
		}
		side->gradient = keep(elements);
		side->bias_gradient = keep(n * sizeof(float));
		side->touched = keep(n * sizeof(uint32_t));
		sgd_init_rows(spec, side, p->side[1 - which].n, p->offset[which], 0, n);
		problem_gramian(p, als, which);
	}
	t->ws = sgd_workspace_init_with(keep(sgd_workspace_size(spec, sgd)), spec, sgd, kernel);
	if (spec->unobserved_weight > 0)
		sgd_set_gramians(t->ws, p->gramian[0], p->gramian[1]);
	t->members = keep(p->side[1].n * sizeof(uint32_t));
	for (uint32_t k = 0; k < p->side[1].n; k++)
		t->members[k] = k;
	t->offset = keep((p->side[0].n + 1) * sizeof(uint32_t));
	for (size_t k = 0; k <= p->side[0].n; k++)
		t->offset[k] = (uint32_t) p->offset[0][k];
	t->samples = keep(p->npairs * sizeof(SgdSample));
	t->block.nrows = (uint32_t) p->side[0].n;
	t->block.offset = t->offset;
	t->block.entries = p->entries[0];
	t->block.members = t->members;
	t->block.nmembers = (uint32_t) p->side[1].n;
	t->block.key = 99;
	t->block.progress_end = 0.1;
	t->block.samples = t->samples;
	t->block.filter = keep(sgd_filter_words((uint32_t) p->npairs) * sizeof(uint64_t));
	return t;
}

/* The loss of the block's samples at the present vectors, its negatives too. */
static double
block_loss(Training *t)
{
	SgdSpec		still = t->sgd;
	SgdWorkspace *ws;
	SgdSums		sums;

	still.batch_size = 0;
	if (t->scratch == NULL)
		t->scratch = keep(sgd_workspace_size(&t->problem->spec, &still));
	ws = sgd_workspace_init_with(t->scratch, &t->problem->spec, &still, &sgd_kernel_base);
	if (t->problem->spec.unobserved_weight > 0)
		sgd_set_gramians(ws, t->problem->gramian[0], t->problem->gramian[1]);
	(void) sgd_run_block(ws, t->side, &t->block, &sums, NULL, NULL);
	for (int which = 0; which < 2; which++)
	{
		size_t		n = t->side[which].n;

		memset(t->side[which].gradient, 0, n * t->problem->stride * sizeof(float));
		memset(t->side[which].bias_gradient, 0, n * sizeof(float));
		memset(t->side[which].touched, 0, n * sizeof(uint32_t));
	}
	return sums.loss;
}

/* The objective of sgd.h, the samples' loss and all the rest. */
static double
objective(Training *t)
{
	const AlsSpec *spec = &t->problem->spec;
	const Problem *p = t->problem;
	double		sum = block_loss(t);

	for (int which = 0; which < 2; which++)
		sum += sgd_penalty(spec, &t->side[which], p->offset[which], 0, t->side[which].n);
	for (size_t u = 0; u < p->side[0].n; u++)
		for (size_t i = 0; i < p->side[1].n; i++)
		{
			double		dot = 0;

			for (int k = 0; k < spec->factors; k++)
				dot += (double) p->side[0].factors[u * p->stride + k] *
					p->side[1].factors[i * p->stride + k];
			sum += spec->unobserved_weight * dot * dot;
		}
	return sum;
}

/*
 * A full batch of plain descent with rate 1 moves each element by its gradient
 * over the number of samples.
 */
static void
check_gradient(const char *name, const AlsSpec *spec, SgdSpec sgd)
{
	Training   *t;
	float	   *before[2];
	float	   *bias[2];
	double		worst = 0;
	SgdSums		sums;

	sgd.optimizer = OPTIMIZER_SGD;
	sgd.learning_rate = 1;
	sgd.batch_size = 0;
	t = training_make(spec, &sgd, sgd_kernel_choose());
	for (int which = 0; which < 2; which++)
	{
		SgdSide    *side = &t->side[which];

		before[which] = keep(side->n * t->problem->stride * sizeof(float));
		bias[which] = keep(side->n * sizeof(float));
		memcpy(before[which], side->factors, side->n * t->problem->stride * sizeof(float));
		memcpy(bias[which], side->bias, side->n * sizeof(float));
	}
	(void) sgd_run_block(t->ws, t->side, &t->block, &sums, NULL, NULL);
	for (int which = 0; which < 2; which++)
		sgd_step_rows(t->ws, t->side, which, 0, t->side[which].n,
					  (double) t->problem->npairs, 0, false, NULL, NULL);

	/* Back to where it started; what is kept instead is how far it moved. */
	for (int which = 0; which < 2; which++)
	{
		SgdSide    *side = &t->side[which];

		for (size_t k = 0; k < side->n * t->problem->stride; k++)
		{
			float		start = before[which][k];

			before[which][k] = start - side->factors[k];
			side->factors[k] = start;
		}
		for (size_t row = 0; row < side->n; row++)
		{
			float		start = bias[which][row];

			bias[which][row] = start - side->bias[row];
			side->bias[row] = start;
		}
	}
	for (int trial = 0; trial < 60; trial++)
	{
		int			which = trial % 2;
		size_t		row = random_below(t->side[which].n);
		size_t		at = row * t->problem->stride +
			random_below(spec->factors);
		bool		of_bias = trial % 5 == 0;
		float	   *x = of_bias ? &t->side[which].bias[row] : &t->side[which].factors[at];
		float		gradient = of_bias ? bias[which][row] : before[which][at];
		float		middle = *x;
		float		up = middle + 0.02f;
		float		down = middle - 0.02f;
		double		difference;

		*x = up;
		difference = objective(t);
		*x = down;
		difference -= objective(t);
		*x = middle;
		difference /= (double) up - down;
		worst = fmax(worst, fabs(difference - gradient * (double) t->problem->npairs) /
					 (1 + fabs(difference)));
	}
	check(worst < 5e-3, "stochastic: %s: the gradient is the objective's finite differences (%.1e)",
		  name, worst);
}

/* Trains for some epochs; returns the objective's fall. */
static double
train(Training *t, int epochs)
{
	double		before = objective(t);
	SgdSums		sums;

	for (int epoch = 0; epoch < epochs; epoch++)
	{
		t->block.key = 1000 + epoch;
		if (sgd_run_block(t->ws, t->side, &t->block, &sums, NULL, NULL) != NUMERICS_OK)
			return -1;
	}
	t->block.key = 99;
	return objective(t) / before;
}

/* Runs the block's samples as those of an epoch of its own. */
static void
run_epoch(Training *t, uint64_t key)
{
	SgdSums		sums;

	t->block.key = key;
	(void) sgd_run_block(t->ws, t->side, &t->block, &sums, NULL, NULL);
}

/*
 * Each user's vector is a unit vector of its own and all else is zero, so that every
 * score is 0, and every slope of the logistic loss -1/2 for an observed pair and 1/2
 * for a negative: what a full batch leaves in element u of an item's gradient
 * counts how often user u has had the item as a negative. Three in ten of the pairs
 * that there could be are observed, so draws meet observed pairs all the time.
 * Of a user's draws each item is to have its share: alike, or in proportion to
 * its pairs, among those that may be drawn.
 */
static void
check_negatives(const char *name, NegativeKind kind, bool observed)
{
	enum {EPOCHS = 300};
	AlsSpec		spec = {.factors = 40, .implicit = true, .biased = true, .alpha = 1};
	SgdSpec		sgd = {.loss = {.kind = LOSS_LOGISTIC, .high = 1}, .negatives = 3,
	.negative_kind = kind, .observed_negatives = observed, .batch_size = 0};
	Training   *t = training_make(&spec, &sgd, sgd_kernel_choose());
	const Problem *p = t->problem;
	size_t		users = p->side[0].n;
	size_t		items = p->side[1].n;
	double	   *drawn = keep(users * items * sizeof(double));
	bool	   *has = keep(users * items * sizeof(bool));
	size_t		wrong = 0;
	double		all = 0;
	double		worst = 0;

	for (int which = 0; which < 2; which++)
	{
		memset(t->side[which].factors, 0, t->side[which].n * p->stride * sizeof(float));
		memset(t->side[which].bias, 0, t->side[which].n * sizeof(float));
	}
	for (size_t u = 0; u < users; u++)
	{
		t->side[0].factors[u * p->stride + u] = 1;
		for (uint32_t k = t->offset[u]; k < t->offset[u + 1]; k++)
			has[u * items + p->entries[0][k].index] = true;
	}
	for (int epoch = 0; epoch < EPOCHS; epoch++)
	{
		run_epoch(t, 500 + epoch);
		for (size_t i = 0; i < items; i++)
			for (size_t u = 0; u < users; u++)
				drawn[u * items + i] += 2 * t->side[1].gradient[i * p->stride + u] + has[u * items + i];
		memset(t->side[1].gradient, 0, items * p->stride * sizeof(float));
	}
	for (size_t i = 0; i < items; i++)
	{
		double		expected = 0;
		double		found = 0;

		for (size_t u = 0; u < users; u++)
		{
			double		sum = 0;
			double		weights = 0;

			for (size_t j = 0; j < items; j++)
			{
				double		n = (double) (p->offset[1][j + 1] - p->offset[1][j]);

				sum += drawn[u * items + j];
				if (observed || !has[u * items + j])
					weights += kind == NEGATIVES_UNIFORM ? 1 : n;
			}
			if (has[u * items + i] && drawn[u * items + i] != 0)
				wrong++;
			if (observed || !has[u * items + i])
				expected += sum * (kind == NEGATIVES_UNIFORM ? 1 :
								   (double) (p->offset[1][i + 1] - p->offset[1][i])) / weights;
			found += drawn[u * items + i];
		}
		all += found;
		worst = fmax(worst, fabs(found - expected) / sqrt(expected));
	}
	check((wrong == 0) == !observed && all > 1.5 * EPOCHS * (double) p->npairs &&
		  all <= 3.0 * EPOCHS * (double) p->npairs,
		  "stochastic: negatives, %s: %zu observed pairs drawn in %.0f draws", name, wrong, all);
	check(worst < 5,
		  "stochastic: negatives, %s: every item has its share, within %.1f deviations",
		  name, worst);
}

/* Rows of which no sample is drawn stay as they are, decay or not. */
static void
check_sparse(const AlsSpec *spec, SgdSpec sgd)
{
	Training   *t;
	float	   *before[2];
	size_t		touched[2] = {0, 0};
	size_t		first;
	SgdSums		sums;

	sgd.weight_decay = 0.5;
	t = training_make(spec, &sgd, sgd_kernel_choose());
	first = t->problem->side[0].n / 2;
	for (int which = 0; which < 2; which++)
	{
		size_t		bytes = t->side[which].n * t->problem->stride * sizeof(float);

		before[which] = keep(bytes);
		memcpy(before[which], t->side[which].factors, bytes);
	}

	/* One user's pairs, with items of which there are three. */
	t->block.first = first;
	t->block.nrows = 1;
	t->block.nmembers = 3;
	t->block.entries = t->problem->entries[0] + t->offset[first];
	t->offset[1] = t->offset[first + 1] - t->offset[first] < 2 ? 1 : 2;
	t->offset[0] = 0;
	(void) sgd_run_block(t->ws, t->side, &t->block, &sums, NULL, NULL);
	for (int which = 0; which < 2; which++)
		for (size_t row = 0; row < t->side[which].n; row++)
			touched[which] += !same_bytes(before[which] + row * t->problem->stride,
										  t->side[which].factors + row * t->problem->stride,
										  t->problem->stride * sizeof(float));
	check(touched[0] == 1 && touched[1] >= t->offset[1] && touched[1] <= t->offset[1] + 3,
		  "stochastic: optimizer %d, batches of %u, weight decay: %zu user and %zu items move, no others",
		  (int) sgd.optimizer, sgd.batch_size, touched[0], touched[1]);
}

static void
test_solver(void)
{
	AlsSpec		ratings = {.factors = 5, .biased = true, .mean = 3, .regularization = 0.4,
	.reg_exponent = 0.5, .bias_regularization = 0.6};
	AlsSpec		unobserved = ratings;
	AlsSpec		choices = {.factors = 5, .implicit = true, .biased = true, .alpha = 0.5,
	.regularization = 0.02, .reg_exponent = 1, .bias_regularization = 0.1};
	SgdSpec		squared = {.loss = {.kind = LOSS_SQUARED}, .learning_rate = 0.02, .batch_size = 1};
	SgdSpec		linked = {.loss = {.kind = LOSS_SQUARED, .linked = true, .low = 0, .high = 6},
	.learning_rate = 0.02, .batch_size = 1};
	SgdSpec		logistic = {.loss = {.kind = LOSS_LOGISTIC, .high = 1}, .negatives = 3,
	.learning_rate = 0.05, .batch_size = 1};
	SgdSpec		bpr = {.loss = {.kind = LOSS_BPR}, .negatives = 2, .weighted = true,
	.negative_kind = NEGATIVES_POPULARITY, .learning_rate = 0.05, .batch_size = 1};
	SgdSpec		single = bpr;
	SgdSpec		batch = bpr;
	Training   *a;
	Training   *b;

	unobserved.unobserved_weight = 0.05;
	check_gradient("squared", &ratings, squared);
	check_gradient("squared with unobserved", &unobserved, squared);
	check_gradient("squared in a range, with unobserved", &unobserved, linked);
	check_gradient("logistic", &choices, logistic);
	check_gradient("bpr", &choices, bpr);
	batch.negative_kind = NEGATIVES_IN_BATCH;
	check_gradient("bpr, negatives in the batch", &choices, batch);

	check_negatives("uniform", NEGATIVES_UNIFORM, false);
	check_negatives("uniform, observed ones too", NEGATIVES_UNIFORM, true);
	check_negatives("popular", NEGATIVES_POPULARITY, false);
	check_negatives("popular, observed ones too", NEGATIVES_POPULARITY, true);
	check_negatives("in the batch", NEGATIVES_IN_BATCH, false);
	check_negatives("in the batch, observed ones too", NEGATIVES_IN_BATCH, true);

	for (OptimizerKind kind = OPTIMIZER_SGD; kind <= OPTIMIZER_ADAM; kind++)
		for (int size = 1; size <= 8; size += 7)
		{
			SgdSpec		sgd = logistic;
			double		fall;

			sgd.optimizer = kind;
			sgd.batch_size = size;
			fall = train(training_make(&choices, &sgd, sgd_kernel_choose()), 20);
			check(fall > 0 && fall < 0.9, "stochastic: optimizer %d, batches of %d: the objective falls to %.2f of it",
				  (int) kind, size, fall);
			check_sparse(&choices, sgd);
		}

	single.negatives = 1;
	single.optimizer = OPTIMIZER_ADAM;
	for (const SgdKernel *const *kernel = sgd_kernel_list(); kernel[1] != NULL; kernel++)
		for (int k = 0; k < 2; k++)
		{
			const AlsSpec *spec = k == 0 ? &unobserved : &choices;
			const SgdSpec *sgd = k == 0 ? &squared : &single;

			a = training_make(spec, sgd, kernel[0]);
			b = training_make(spec, sgd, kernel[1]);
			(void) train(a, 3);
			(void) train(b, 3);
			check(same_bytes(a->side[0].factors, b->side[0].factors,
							 a->side[0].n * a->problem->stride * sizeof(float)) &&
				  same_bytes(a->side[1].bias, b->side[1].bias, a->side[1].n * sizeof(float)),
				  "stochastic: %s: kernels %s and %s agree to the bit",
				  k == 0 ? "squared with unobserved" : "bpr", kernel[0]->name, kernel[1]->name);
		}

	/* Rows of a pair alone in its batch move as those of a pair by itself. */
	squared.batch_size = 1;
	a = training_make(&unobserved, &squared, sgd_kernel_choose());
	squared.batch_size = 2;
	b = training_make(&unobserved, &squared, sgd_kernel_choose());
	for (int k = 0; k < 2; k++)
	{
		Training   *t = k == 0 ? a : b;
		SgdSums		sums;

		t->block.nrows = 1;
		t->block.nmembers = 1;
		t->offset[1] = 1;
		(void) sgd_run_block(t->ws, t->side, &t->block, &sums, NULL, NULL);
	}
	{
		double		worst = 0;

		for (size_t k = 0; k < a->side[0].n * a->problem->stride; k++)
			worst = fmax(worst, fabs(a->side[0].factors[k] - b->side[0].factors[k]));
		check(worst < 1e-5, "stochastic: a batch of one sample is that sample (%.1e)", worst);
	}
}

/* ---- Sampling ---- */

static void
test_sampling(void)
{
	enum {N = 1003, GROUPS = 7};
	uint32_t	members[N];
	uint32_t	start[GROUPS + 1];
	uint8_t		group_of[N];
	int			seen[N] = {0};
	bool		whole = true;
	int			held = 0;
	bool		nested = true;

	sampling_deal(42, N, GROUPS, members, start, group_of, NULL, NULL);
	for (uint32_t g = 0; g < GROUPS; g++)
		for (uint32_t k = start[g]; k < start[g + 1]; k++)
		{
			seen[members[k]]++;
			whole &= group_of[members[k]] == g;
		}
	for (int k = 0; k < N; k++)
		whole &= seen[k] == 1;
	check(whole, "sampling: every item is dealt once, to the group that says so");

	for (uint64_t u = 0; u < 200; u++)
		for (uint64_t i = 0; i < 200; i++)
		{
			bool		tenth = sampling_held_out(u, i, 0, 0.1);

			held += tenth;
			nested &= !tenth || sampling_held_out(u, i, 0, 0.2);
		}
	check(held > 3800 && held < 4200 && nested,
		  "sampling: a tenth is held out (%d of 40000), within the fifth that would be", held);
}

void
test_sgd(void)
{
	test_sampling();
	test_solver();
	while (nproblems > 0)
		problem_free(problems[--nproblems]);
	while (nkept > 0)
		free(kept[--nkept]);
}

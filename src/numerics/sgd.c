/*
 * sgd.c: stochastic gradient descent, one block of samples after another.
 *
 * A sample is an observed pair (u, i) with m drawn items j: from the scores of
 * all of them the loss gives the derivatives g (losses.h), and with these
 *
 *	 d/dp_u = g_i q_i + sum_j g_j q_j + 2 penalty_u p_u + 2 alpha0 / n_u G_items p_u
 *	 d/dq_i = g_i p_u				  + 2 penalty_i q_i + 2 alpha0 / n_i G_users q_i
 *	 d/dq_j = g_j p_u
 *
 * Penalty and all-pairs term are shared out among a row's own pairs, so that
 * their sum over an epoch is the objective's gradient; negatives carry none.
 * The Gramians make the all-pairs term exact at the price of d^2 a row: they are
 * those of the stratum's start (of the epoch's, in full batches).
 *
 * Batches. With batch_size 1 every sample moves its rows at once, without a
 * gradient in memory. Otherwise gradients gather in rows beside the vectors,
 * and at the batch's end the rows that it touched move by their mean: cost grows
 * with the samples, never with users and items. A batch ends with its block; one
 * of everything goes on over all blocks, and sgd_step_rows() ends it.
 *
 * Rows are prefetched: a chunk of samples is drawn before its first is run. A
 * sample with one negative, BPR's usual case, moves its three rows in one pass
 * (SgdTriple), with the same result to the bit as one row after the other.
 *
 * Rejected: lock-free updates of shared rows (Hogwild: Niu et al. 2011): fast,
 * but never the same twice.
 */
#include <math.h>
#include <string.h>

#include "numerics/sgd_internal.h"

/* Multiply-adds between two polls: about 10 ms. */
#define POLL_WORK 4.0e6

/* In SgdSide.touched: the flag, beside the count of a batch's pairs. */
#define TOUCHED UINT32_C(0x80000000)

/* ---- Workspace ---- */

static void *
Carve(char *memory, size_t *used, size_t size)
{
	char	   *part = memory != NULL ? memory + *used : NULL;

	*used += (size + 63) / 64 * 64;
	return part;
}

static size_t
LayOut(SgdWorkspace *ws, char *memory, const AlsSpec *spec, const SgdSpec *sgd)
{
	size_t		d = als_stride(spec->factors);
	size_t		items = 1 + (size_t) sgd->negatives;
	size_t		square = spec->unobserved_weight > 0 ? d * d : 0;
	size_t		used = 0;

	Carve(memory, &used, sizeof(SgdWorkspace));
	ws->spec = *spec;
	ws->sgd = *sgd;
	ws->d = d;
	ws->work = 0.0;
	ws->pull = Carve(memory, &used, d * sizeof(float));
	ws->push = Carve(memory, &used, d * sizeof(float));
	ws->score = Carve(memory, &used, items * sizeof(float));
	ws->slope = Carve(memory, &used, items * sizeof(float));
	ws->item = Carve(memory, &used, SGD_CHUNK * items * sizeof(uint32_t));
	for (int which = 0; which < 2; which++)
		ws->gramian[which] = Carve(memory, &used, square * sizeof(float));
	return used;
}

size_t
sgd_workspace_size(const AlsSpec *spec, const SgdSpec *sgd)
{
	SgdWorkspace measured;

	return LayOut(&measured, NULL, spec, sgd);
}

SgdWorkspace *
sgd_workspace_init_with(void *memory, const AlsSpec *spec, const SgdSpec *sgd,
						const SgdKernel *kernel)
{
	SgdWorkspace *ws = memory;

	(void) LayOut(ws, memory, spec, sgd);
	ws->kernel = kernel;
	return ws;
}

SgdWorkspace *
sgd_workspace_init(void *memory, const AlsSpec *spec, const SgdSpec *sgd)
{
	return sgd_workspace_init_with(memory, spec, sgd, sgd_kernel_choose());
}

void
sgd_set_gramians(SgdWorkspace *ws, const double *users, const double *items)
{
	const double *gramian[2] = {users, items};
	size_t		factors = ws->spec.factors;

	for (int which = 0; which < 2; which++)
	{
		memset(ws->gramian[which], 0, ws->d * ws->d * sizeof(float));
		for (size_t i = 0; i < factors; i++)
			for (size_t j = 0; j < factors; j++)
				ws->gramian[which][i * ws->d + j] = (float) gramian[which][i * factors + j];
	}
}

/* ---- Rows ---- */

/* What multiplies |x|^2 for a row with n pairs. */
static double
RowPenalty(const AlsSpec *spec, double n, size_t n_other)
{
	return spec->regularization *
		pow(n + spec->unobserved_weight * (double) n_other, spec->reg_exponent);
}

void
sgd_init_rows(const AlsSpec *spec, SgdSide *side, size_t n_other,
			  const uint64_t *offset, size_t from, size_t to)
{
	for (size_t row = from; row < to; row++)
	{
		double		n = (double) (offset[row + 1] - offset[row]);

		n = n > 0 ? n : 1;
		side->penalty[row] = (float) (RowPenalty(spec, n, n_other) / n);
		side->bias_penalty[row] = (float) (spec->bias_regularization / n);
		if (side->share != NULL)
			side->share[row] = (float) (1 / n);
		if (side->power != NULL)
			side->power[2 * row] = side->power[2 * row + 1] = 1;
	}
}

double
sgd_penalty(const AlsSpec *spec, const SgdSide *side, const uint64_t *offset,
			size_t from, size_t to)
{
	const SgdKernel *kernel = sgd_kernel_choose();
	size_t		d = als_stride(spec->factors);
	double		sum = 0;

	for (size_t row = from; row < to; row++)
	{
		const float *x = side->factors + row * d;
		double		n = (double) (offset[row + 1] - offset[row]);
		double		squares = kernel->dot(x, x, d);

		sum += n * (side->penalty[row] * squares +
					(spec->biased ? side->bias_penalty[row] : 0) *
					side->bias[row] * side->bias[row]);
	}
	return sum;
}

/* Where an optimizer keeps its state of a row; NULL if it has none. */
static inline float *
State(const SgdWorkspace *ws, const SgdSide *side, int which, size_t row)
{
	return side->state[which] != NULL ? sgd_row(ws, side->state[which], row) : NULL;
}

static void
SetPace(const SgdSpec *sgd, double progress, bool still, SgdPace *pace)
{
	optimizer_rates(sgd->optimizer, sgd->schedule, sgd->learning_rate,
					sgd->weight_decay, progress, &pace->rates);
	if (still)
		optimizer_hold(&pace->rates);
	if (sgd->optimizer != OPTIMIZER_ADAM)
		optimizer_step(sgd->optimizer, &pace->rates, NULL, &pace->step);
}

/* The step of a row; `own` is room for it. */
static inline const OptimizerStep *
StepOf(const SgdWorkspace *ws, const SgdSide *side, const SgdPace *pace, size_t row,
	   OptimizerStep *own)
{
	if (ws->sgd.optimizer != OPTIMIZER_ADAM)
		return &pace->step;
	optimizer_step(OPTIMIZER_ADAM, &pace->rates, side->power + 2 * row, own);
	return own;
}

static inline void
MoveBias(const SgdWorkspace *ws, const SgdSide *side, const OptimizerStep *step,
		 size_t row, float gradient)
{
	if (ws->spec.biased)
		optimizer_move(ws->sgd.optimizer, step, gradient, &side->bias[row],
					   side->bias_state[0] != NULL ? &side->bias_state[0][row] : NULL,
					   side->bias_state[1] != NULL ? &side->bias_state[1][row] : NULL);
}

/* Moves a row by the gradient g y + r x, and its bias by another. */
static inline void
MoveRow(const SgdWorkspace *ws, const SgdSide *side, const SgdPace *pace,
		size_t row, float g, const float *y, float r, float bias_gradient)
{
	OptimizerStep own;
	const OptimizerStep *step = StepOf(ws, side, pace, row, &own);

	ws->kernel->move[ws->sgd.optimizer] (step, g, y, r, sgd_row(ws, side->factors, row),
										 State(ws, side, 0, row), State(ws, side, 1, row),
										 ws->d);
	MoveBias(ws, side, step, row, bias_gradient);
}

/* y += 2 alpha0 / n G x for a row of the side, `pairs` times. */
static void
AddAllPairs(SgdWorkspace *ws, const SgdSide side[2], int which, size_t row,
			float pairs, float *y)
{
	const float *x = sgd_row(ws, side[which].factors, row);
	const float *gramian = ws->gramian[1 - which];
	float		factor = (float) (2 * ws->spec.unobserved_weight) * side[which].share[row] * pairs;

	for (size_t k = 0; k < (size_t) ws->spec.factors; k++)
		y[k] += factor * ws->kernel->dot(gramian + k * ws->d, x, ws->d);
}

static void
CountWork(SgdWorkspace *ws, double work, NumericsPoll poll, void *arg)
{
	numerics_count_work(&ws->work, work, POLL_WORK, poll, arg);
}

/* ---- A sample ---- */

/* The scores of a sample's items, its loss, and the derivatives in ws->slope. */
static void
Evaluate(const SgdRun *run, const SgdDrawn *drawn)
{
	SgdWorkspace *ws = run->ws;
	const AlsSpec *spec = &ws->spec;
	const float *p = sgd_row(ws, run->side[0].factors, drawn->user);
	double		weight = 1;
	double		target = spec->implicit ? 1 : drawn->entry->value;

	if (ws->sgd.weighted)
		weight = spec->alpha * drawn->entry->value;
	if (drawn->n == 1)
		ws->kernel->dots(p, sgd_row(ws, run->side[1].factors, drawn->item[0]),
						 sgd_row(ws, run->side[1].factors, drawn->item[1]), ws->d, ws->score);
	else
		for (int k = 0; k <= drawn->n; k++)
			ws->score[k] = ws->kernel->dot(p, sgd_row(ws, run->side[1].factors, drawn->item[k]),
										   ws->d);
	for (int k = 0; k <= drawn->n; k++)
		ws->score[k] += (float) spec->mean +
			(spec->biased ? run->side[0].bias[drawn->user] + run->side[1].bias[drawn->item[k]] : 0);
	run->sums->loss += loss_sample(&ws->sgd.loss, target, weight, drawn->n,
								   ws->score, ws->slope);
	run->sums->weight += weight;
}

/* ws->pull = sum_k slope_k q_k; returns the derivative by the user's bias. */
static float
Pull(const SgdRun *run, const SgdDrawn *drawn)
{
	SgdWorkspace *ws = run->ws;
	float		sum = ws->slope[0];

	ws->kernel->set(ws->slope[0], sgd_row(ws, run->side[1].factors, drawn->item[0]),
					ws->pull, ws->d);
	for (int k = 1; k <= drawn->n; k++)
	{
		ws->kernel->add(ws->slope[k], sgd_row(ws, run->side[1].factors, drawn->item[k]),
						ws->pull, ws->d);
		sum += ws->slope[k];
	}
	return sum;
}

static inline void
SetRow(const SgdWorkspace *ws, const SgdSide *side, size_t row,
	   const OptimizerStep *step, float penalty, SgdRow *moved)
{
	moved->x = sgd_row(ws, side->factors, row);
	moved->state[0] = State(ws, side, 0, row);
	moved->state[1] = State(ws, side, 1, row);
	moved->step = step;
	moved->penalty = penalty;
}

/* Moves the three rows of a sample with one negative at once. */
static void
MoveTriple(const SgdRun *run, const SgdDrawn *drawn)
{
	SgdWorkspace *ws = run->ws;
	SgdSide    *users = &run->side[0];
	SgdSide    *items = &run->side[1];
	uint32_t	u = drawn->user;
	uint32_t	i = drawn->item[0];
	uint32_t	j = drawn->item[1];
	OptimizerStep own[3];
	SgdTriple	triple;

	SetRow(ws, items, i, StepOf(ws, items, &run->pace, i, &own[0]),
		   2 * items->penalty[i], &triple.q);
	SetRow(ws, items, j, StepOf(ws, items, &run->pace, j, &own[1]), 0, &triple.n);
	SetRow(ws, users, u, StepOf(ws, users, &run->pace, u, &own[2]),
		   2 * users->penalty[u], &triple.p);
	triple.g = ws->slope[0];
	triple.h = ws->slope[1];
	ws->kernel->triple[ws->sgd.optimizer] (&triple, ws->d);
	if (!ws->spec.biased)
		return;
	MoveBias(ws, items, triple.q.step, i,
			 ws->slope[0] + 2 * items->bias_penalty[i] * items->bias[i]);
	MoveBias(ws, items, triple.n.step, j, ws->slope[1]);
	MoveBias(ws, users, triple.p.step, u,
			 (ws->slope[0] + ws->slope[1]) + 2 * users->bias_penalty[u] * users->bias[u]);
}

/* Moves the sample's rows, one after the other. */
static void
MoveSample(const SgdRun *run, const SgdDrawn *drawn)
{
	SgdWorkspace *ws = run->ws;
	SgdSide    *users = &run->side[0];
	SgdSide    *items = &run->side[1];
	uint32_t	u = drawn->user;
	uint32_t	i = drawn->item[0];
	const float *p = sgd_row(ws, users->factors, u);
	float		bias_pull = Pull(run, drawn);
	const float *push = p;
	float		slope = ws->slope[0];

	if (ws->spec.unobserved_weight > 0)
	{
		ws->kernel->set(slope, p, ws->push, ws->d);
		AddAllPairs(ws, run->side, 1, i, 1, ws->push);
		AddAllPairs(ws, run->side, 0, u, 1, ws->pull);
		push = ws->push;
		slope = 1;
	}
	MoveRow(ws, items, &run->pace, i, slope, push, 2 * items->penalty[i],
			ws->slope[0] + 2 * items->bias_penalty[i] * items->bias[i]);
	for (int k = 1; k <= drawn->n; k++)
		MoveRow(ws, items, &run->pace, drawn->item[k], ws->slope[k], p, 0, ws->slope[k]);
	MoveRow(ws, users, &run->pace, u, 1, ws->pull, 2 * users->penalty[u],
			bias_pull + 2 * users->bias_penalty[u] * users->bias[u]);
}

/* Adds the sample's gradients to those of the batch. */
static void
GatherSample(const SgdRun *run, const SgdDrawn *drawn)
{
	SgdWorkspace *ws = run->ws;
	SgdSide    *users = &run->side[0];
	SgdSide    *items = &run->side[1];
	uint32_t	u = drawn->user;
	const float *p = sgd_row(ws, users->factors, u);
	float	   *gradient = sgd_row(ws, users->gradient, u);

	users->touched[u] = (users->touched[u] + 1) | TOUCHED;
	for (int k = 0; k <= drawn->n; k++)
	{
		uint32_t	item = drawn->item[k];

		ws->kernel->add(ws->slope[k], sgd_row(ws, items->factors, item), gradient, ws->d);
		ws->kernel->add(ws->slope[k], p, sgd_row(ws, items->gradient, item), ws->d);
		users->bias_gradient[u] += ws->slope[k];
		items->bias_gradient[item] += ws->slope[k];
		items->touched[item] = (items->touched[item] + (k == 0 ? 1 : 0)) | TOUCHED;
	}
}

/* ---- Batches ---- */

/* Moves a row by the mean of the gradients that a batch left it, if any. */
static void
StepRow(SgdWorkspace *ws, SgdSide side[2], int which, size_t row,
		const SgdPace *pace, float scale)
{
	SgdSide    *self = &side[which];
	float		pairs = (float) (self->touched[row] & ~TOUCHED);
	float	   *gradient = sgd_row(ws, self->gradient, row);

	if (self->touched[row] == 0)
		return;
	if (ws->spec.unobserved_weight > 0)
		AddAllPairs(ws, side, which, row, pairs, gradient);
	MoveRow(ws, self, pace, row, scale, gradient, scale * pairs * 2 * self->penalty[row],
			scale * (self->bias_gradient[row] +
					 pairs * 2 * self->bias_penalty[row] * self->bias[row]));
	memset(gradient, 0, ws->d * sizeof(float));
	self->bias_gradient[row] = 0;
	self->touched[row] = 0;
}

void
sgd_step_rows(SgdWorkspace *ws, SgdSide side[2], int which, size_t from, size_t to,
			  double samples, double progress, bool still, NumericsPoll poll, void *arg)
{
	SgdPace		pace;
	uint64_t	work = ws->d * (ws->spec.unobserved_weight > 0 ? ws->d : 8);

	SetPace(&ws->sgd, progress, still, &pace);
	for (size_t row = from; row < to; row++)
	{
		StepRow(ws, side, which, row, &pace, (float) (1 / samples));
		CountWork(ws, work, poll, arg);
	}
}

/*
 * Ends the block's batch: its samples and their negatives are drawn once more,
 * which is cheaper than a list of what they touched.
 */
static void
StepBatch(const SgdRun *run, uint64_t key)
{
	SgdWorkspace *ws = run->ws;
	float		scale = 1 / (float) (run->batch_end - run->batch);
	SgdDrawn		drawn[SGD_CHUNK];

	for (uint32_t start = run->batch; start < run->batch_end; start += SGD_CHUNK)
	{
		uint32_t	n = run->batch_end - start < SGD_CHUNK ? run->batch_end - start : SGD_CHUNK;

		sgd_draw(run, key, start, n, drawn);
		for (uint32_t c = 0; c < n; c++)
		{
			StepRow(ws, run->side, 0, drawn[c].user, &run->pace, scale);
			for (int k = 0; k <= drawn[c].n; k++)
				StepRow(ws, run->side, 1, drawn[c].item[k], &run->pace, scale);
			CountWork(ws, ws->d * (2 + drawn[c].n) * (ws->spec.unobserved_weight > 0 ? ws->d : 4),
					  run->poll, run->arg);
		}
	}
}

/* Runs the samples of the batch, a chunk at a time. */
static void
RunBatch(const SgdRun *run, uint64_t key)
{
	SgdWorkspace *ws = run->ws;
	bool		direct = ws->sgd.batch_size == 1;
	bool		plain = ws->spec.unobserved_weight == 0;
	SgdDrawn		drawn[SGD_CHUNK];

	for (uint32_t start = run->batch; start < run->batch_end; start += SGD_CHUNK)
	{
		uint32_t	n = run->batch_end - start < SGD_CHUNK ? run->batch_end - start : SGD_CHUNK;

		sgd_draw(run, key, start, n, drawn);
		for (uint32_t k = 0; k < n; k++)
		{
			Evaluate(run, &drawn[k]);
			if (!direct)
				GatherSample(run, &drawn[k]);
			else if (plain && drawn[k].n == 1 && drawn[k].item[0] != drawn[k].item[1])
				MoveTriple(run, &drawn[k]);
			else
				MoveSample(run, &drawn[k]);
			CountWork(ws, ws->d * (2 + drawn[k].n) * (direct && !plain ? ws->d : 8),
					  run->poll, run->arg);
		}
	}
}

NumericsStatus
sgd_run_block(SgdWorkspace *ws, SgdSide side[2], const SgdBlock *block,
			  SgdSums *sums, NumericsPoll poll, void *arg)
{
	const SgdSpec *sgd = &ws->sgd;
	SgdRun			run = {
		.ws = ws,
		.side = side,
		.block = block,
		.nsamples = block->offset[block->nrows],
		.sums = sums,
		.poll = poll,
		.arg = arg,
	};
	uint64_t	key = sampling_key(block->key, 1);

	/* Rates change with the batch; of single samples, with the chunk. */
	uint32_t	size = sgd->batch_size == 0 ? run.nsamples :
		sgd->batch_size == 1 ? SGD_CHUNK : sgd->batch_size;

	memset(sums, 0, sizeof(*sums));
	if (run.nsamples == 0)
		return NUMERICS_OK;
	sgd_shuffle(&run);
	for (run.batch = 0; run.batch < run.nsamples; run.batch = run.batch_end)
	{
		double		done = (double) run.batch / run.nsamples;

		run.batch_end = run.nsamples - run.batch > size ? run.batch + size : run.nsamples;
		SetPace(sgd, block->progress + (block->progress_end - block->progress) * done,
				block->still, &run.pace);
		RunBatch(&run, key);
		if (sgd->batch_size > 1)
			StepBatch(&run, key);
	}
	return isfinite(sums->loss) ? NUMERICS_OK : NUMERICS_DIVERGED;
}

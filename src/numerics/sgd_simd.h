/*
 * sgd_simd.h: a kernel of the stochastic solver as vector code, a template.
 *
 * A file that includes this is one kernel. Before, it defines LANES (4, 8 or 16),
 * TARGET (the function attribute that admits the instructions), KERNEL, NAME
 * and SQRT(vector). Sums are kept in SGD_ALIGN lanes whatever the width of a
 * vector, and products are rounded before they are added, so that kernels agree
 * to the bit.
 */
#include "numerics/sgd_kernel.h"

#define PARTS (SGD_ALIGN / LANES)

typedef float Vec __attribute__((vector_size(4 * LANES), may_alias));

#define AT(x, k) (*(Vec *) ((x) + (k)))
#define CONST_AT(x, k) (*(const Vec *) ((x) + (k)))
#define ALL(value) ((Vec) {} + (value))

#define INLINE TARGET static inline __attribute__((always_inline))

typedef float Quad __attribute__((vector_size(16)));

#define QUAD(v, k) ((Quad) {(v)[k], (v)[(k) + 1], (v)[(k) + 2], (v)[(k) + 3]})

/* The sum of SGD_ALIGN lanes: of halves, of their halves, and so on. */
INLINE float
Total(const Vec sum[PARTS])
{
#if PARTS == 4
	Quad		left = sum[0] + sum[2];
	Quad		right = sum[1] + sum[3];
#elif PARTS == 2
	Vec			half = sum[0] + sum[1];
	Quad		left = QUAD(half, 0);
	Quad		right = QUAD(half, 4);
#else
	Quad		left = QUAD(sum[0], 0) + QUAD(sum[0], 8);
	Quad		right = QUAD(sum[0], 4) + QUAD(sum[0], 12);
#endif
	left += right;
	return (left[0] + left[2]) + (left[1] + left[3]);
}

TARGET static float
Dot(const float *a, const float *b, size_t d)
{
	Vec			sum[PARTS] = {};

	for (size_t k = 0; k < d; k += SGD_ALIGN)
		for (int part = 0; part < PARTS; part++)
			sum[part] += CONST_AT(a, k + part * LANES) * CONST_AT(b, k + part * LANES);
	return Total(sum);
}

TARGET static void
Dots(const float *p, const float *q, const float *n, size_t d, float result[2])
{
	Vec			by_q[PARTS] = {};
	Vec			by_n[PARTS] = {};

	for (size_t k = 0; k < d; k += SGD_ALIGN)
		for (int part = 0; part < PARTS; part++)
		{
			Vec			x = CONST_AT(p, k + part * LANES);

			by_q[part] += x * CONST_AT(q, k + part * LANES);
			by_n[part] += x * CONST_AT(n, k + part * LANES);
		}
	result[0] = Total(by_q);
	result[1] = Total(by_n);
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

/* The elements of a row from k on, moved by their gradient. */
INLINE void
MoveAt(OptimizerKind kind, const OptimizerStep *step, Vec gradient,
	   float *x, float *state0, float *state1, size_t k)
{
	Vec			move = gradient;

	if (kind == OPTIMIZER_ADAGRAD)
	{
		AT(state0, k) += gradient * gradient;
		move = gradient / (SQRT(AT(state0, k)) + ALL(ADAGRAD_EPSILON));
	}
	else if (kind == OPTIMIZER_ADAM)
	{
		AT(state0, k) = ALL(step->beta1) * AT(state0, k) + ALL(1 - step->beta1) * gradient;
		AT(state1, k) = ALL(step->beta2) * AT(state1, k) +
			ALL(1 - step->beta2) * (gradient * gradient);
		move = AT(state0, k) / (SQRT(AT(state1, k)) * ALL(step->root) + ALL(ADAM_EPSILON));
	}
	AT(x, k) = ALL(step->keep) * AT(x, k) - ALL(step->rate) * move;
}

/* Steps are copied: nothing that is stored through a float * can change them. */
INLINE void
Move(OptimizerKind kind, const OptimizerStep *given, float g, const float *y, float r,
	 float *x, float *state0, float *state1, size_t d)
{
	OptimizerStep step = *given;

	for (size_t k = 0; k < d; k += LANES)
		MoveAt(kind, &step, ALL(g) * CONST_AT(y, k) + ALL(r) * AT(x, k), x, state0, state1, k);
}

INLINE void
MoveTriple(OptimizerKind kind, const SgdTriple *given, size_t d)
{
	SgdTriple	t = *given;
	OptimizerStep p_step = *t.p.step;
	OptimizerStep q_step = *t.q.step;
	OptimizerStep n_step = *t.n.step;

	for (size_t k = 0; k < d; k += LANES)
	{
		Vec			p = AT(t.p.x, k);
		Vec			q = AT(t.q.x, k);
		Vec			n = AT(t.n.x, k);

		MoveAt(kind, &p_step, (ALL(t.g) * q + ALL(t.h) * n) + ALL(t.p.penalty) * p,
			   t.p.x, t.p.state[0], t.p.state[1], k);
		MoveAt(kind, &q_step, ALL(t.g) * p + ALL(t.q.penalty) * q,
			   t.q.x, t.q.state[0], t.q.state[1], k);
		MoveAt(kind, &n_step, ALL(t.h) * p + ALL(t.n.penalty) * n,
			   t.n.x, t.n.state[0], t.n.state[1], k);
	}
}

#define MOVE(name, kind) \
	TARGET static void \
	Move##name(const OptimizerStep *step, float g, const float *y, float r, \
			   float *x, float *state0, float *state1, size_t d) \
	{ \
		Move(kind, step, g, y, r, x, state0, state1, d); \
	} \
	TARGET static void \
	Triple##name(const SgdTriple *triple, size_t d) \
	{ \
		MoveTriple(kind, triple, d); \
	}

MOVE(Sgd, OPTIMIZER_SGD)
MOVE(Adagrad, OPTIMIZER_ADAGRAD)
MOVE(Adam, OPTIMIZER_ADAM)

const SgdKernel KERNEL = {
	.name = NAME,
	.dot = Dot,
	.add = Add,
	.set = Set,
	.move = {MoveSgd, MoveAdagrad, MoveAdam},
	.dots = Dots,
	.triple = {TripleSgd, TripleAdagrad, TripleAdam},
};

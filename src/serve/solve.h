/*
 * solve.h: the state of the aggregates mf_solve and mf_gramian.
 */
#ifndef FACTOR_SOLVE_H
#define FACTOR_SOLVE_H

#include "postgres.h"
#include "fmgr.h"

#include "numerics/als.h"
#include "numerics/normal.h"

/*
 * An mf_options as the solver takes it: flat, so that two compare by memcmp.
 * spec.factors is 0.
 */
typedef struct SolveOptions
{
	Size		size;			/* of the whole */
	AlsSpec		spec;
	double		others;			/* rows of the other side, for alpha0 */
	int			gramian_factors;	/* 0: no Gramian */
	double		gramian[FLEXIBLE_ARRAY_MEMBER]; /* packed lower triangle */
} SolveOptions;

typedef struct SolveState
{
	const SolveOptions *options;	/* NULL: mf_gramian */
	NormalEquations *eq;
} SolveState;

/* Reads a value of type mf_options, checked, into the current context. */
extern SolveOptions *solve_options_read(Datum value);

/*
 * Those of a call without any: explicit feedback without mean and biases, and
 * what regularization mf_train() has for ratings of standard deviation 1.
 */
extern SolveOptions *solve_options_default(MemoryContext context);

/* The state as bytes, and back; for parts that another process has summed. */
extern bytea *solve_state_write(const SolveState *state);
extern SolveState *solve_state_read(bytea *bytes);

#endif							/* FACTOR_SOLVE_H */

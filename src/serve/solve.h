/*
 * solve.h: the state of the aggregates mf_solve and mf_gramian.
 */
#ifndef FACTOR_SOLVE_H
#define FACTOR_SOLVE_H

#include "postgres.h"
#include "access/tupdesc.h"
#include "fmgr.h"

#include "numerics/als.h"
#include "numerics/normal.h"
#include "options/option.h"

#define SOLVE_MAX_WEIGHT 1e9

/* The columns of mf_options, in the order of the SQL script. */
enum
{
	SOLVE_IMPLICIT, SOLVE_MEAN, SOLVE_REGULARIZATION, SOLVE_REG_EXPONENT,
	SOLVE_BIAS_REGULARIZATION, SOLVE_ALPHA, SOLVE_UNOBSERVED_WEIGHT, SOLVE_OTHERS,
	SOLVE_GRAMIAN, SOLVE_NATTS
};

/* The options of mf_solve_options() (solve_options.c). */
extern const OptionTable solve_options;

/*
 * An mf_options as the solver takes it: flat, so that two compare by memcmp.
 * spec.factors is 0.
 */
typedef struct SolveOptions
{
	Size		size;			/* of the whole */
	AlsSpec		spec;
	double		others;			/* rows of the other side, for unobserved_weight */
	int			gramian_factors;	/* 0: no Gramian */
	double		gramian[FLEXIBLE_ARRAY_MEMBER]; /* packed lower triangle */
} SolveOptions;

typedef struct SolveState
{
	const SolveOptions *options;	/* NULL: mf_gramian */
	NormalEquations *eq;
} SolveState;

/* The error about unobserved pairs that weigh something, but are not known. */
pg_noreturn extern void solve_refuse_unobserved(void);

/* An error if whoever owns the type mf_options has altered it. */
extern void solve_check_type(TupleDesc desc);

/* Reads a value of type mf_options, checked, into the current context. */
extern SolveOptions *solve_options_read(Datum value);

/*
 * Those of a call with NULL: explicit feedback without mean and biases, and
 * what regularization mf_train() has for ratings of standard deviation 1.
 */
extern SolveOptions *solve_options_default(MemoryContext context);

/* The state as bytes, and back; for parts that another process has summed. */
extern bytea *solve_state_write(const SolveState *state);
extern SolveState *solve_state_read(bytea *bytes);

#endif							/* FACTOR_SOLVE_H */

/*
 * als_internal.h: what als.c and als_row.c share: the workspace, and a row's
 * system.
 */
#ifndef FACTOR_ALS_INTERNAL_H
#define FACTOR_ALS_INTERNAL_H

#include <math.h>

#include "numerics/als.h"
#include "numerics/kernel.h"

/* Multiply-adds between two polls: 10 ms of a slow processor. */
#define ALS_POLL_WORK 1.0e7

struct AlsWorkspace
{
	AlsSpec		spec;
	const Kernel *kernel;
	size_t		d;				/* factors, padded: als_stride() */
	size_t		panel_rows;
	double		work;			/* since the last poll */
	float	   *panel;			/* panel_rows x d */
	float	   *scale;			/* panel_rows: sqrt(w) */
	float	   *target;			/* panel_rows: sqrt(w) t */
	float	   *product;		/* panel_rows */
	float	   *a;				/* d x d */
	float	   *base;			/* d x d: alpha0 G; zero but for the pad's
								 * diagonal where there is none */
	float	   *rhs;			/* d */
	float	   *border;			/* d */
	float	   *scratch;		/* 2 d */
	double	   *sum;			/* chunks: d x d, rhs, border; or the system in
								 * double precision with its right-hand side */
};

/* What als_solve_block() was called with. */
typedef struct AlsJob
{
	AlsWorkspace *ws;
	const AlsSide *other;
	const double *gramian;
	NumericsPoll poll;
	void	   *arg;
} AlsJob;

/* One row's entries. */
typedef struct AlsRowEntries
{
	const Rating *entries;
	size_t		n;
	size_t		ahead;			/* n and those of the rows that follow */
} AlsRowEntries;

static inline void
als_count_work(AlsWorkspace *ws, double work, NumericsPoll poll, void *arg)
{
	numerics_count_work(&ws->work, work, ALS_POLL_WORK, poll, arg);
}

/* What multiplies |x|^2 for a row with n entries. */
static inline double
als_row_regularization(const AlsSpec *spec, size_t n, size_t n_other)
{
	return spec->regularization *
		pow((double) n + spec->unobserved_weight * (double) n_other, spec->reg_exponent);
}

/* A row's part of the objective's penalties. */
extern double als_row_penalty(const AlsSpec *spec, const AlsSide *self, size_t row,
							  size_t n, size_t n_other);

/*
 * Solves row `number` of `self`; adds what it leaves of the objective to *sums,
 * which may be NULL.
 */
extern NumericsStatus als_solve_row(const AlsJob *job, AlsSide *self, size_t number,
									const AlsRowEntries *row, AlsSums *sums);

#endif							/* FACTOR_ALS_INTERNAL_H */

/*
 * status.h: how a numerical function says that it failed, and how it lets
 * itself be interrupted.
 */
#ifndef FACTOR_STATUS_H
#define FACTOR_STATUS_H

#include <stddef.h>

typedef enum NumericsStatus
{
	NUMERICS_OK = 0,
	NUMERICS_DIVERGED			/* not positive definite, or not finite */
} NumericsStatus;

/*
 * Called at least every ten milliseconds or so of work, never inside BLAS. It
 * need not return: nothing here holds anything that would have to be freed.
 * NULL where a function takes one: never called.
 */
typedef void (*NumericsPoll) (void *arg);

/* Adds to the work done since the last poll, and polls when that reaches the limit. */
static inline void
numerics_count_work(double *done, double work, double limit, NumericsPoll poll, void *arg)
{
	*done += work;
	if (*done >= limit)
	{
		*done = 0.0;
		if (poll != NULL)
			poll(arg);
	}
}

#endif							/* FACTOR_STATUS_H */

/*
 * status.h: how a numerical function says that it failed, and how it lets
 * itself be interrupted.
 */
#ifndef FACTOR_STATUS_H
#define FACTOR_STATUS_H

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

#endif							/* FACTOR_STATUS_H */

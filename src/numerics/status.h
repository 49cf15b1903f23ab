/*
 * status.h: how a numerical function says that it failed.
 */
#ifndef FACTOR_STATUS_H
#define FACTOR_STATUS_H

typedef enum NumericsStatus
{
	NUMERICS_OK = 0,
	NUMERICS_DIVERGED			/* not positive definite, or not finite */
} NumericsStatus;

#endif							/* FACTOR_STATUS_H */

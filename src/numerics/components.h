/*
 * components.h: the first two principal components of many vectors.
 */
#ifndef FACTOR_COMPONENTS_H
#define FACTOR_COMPONENTS_H

#include <stddef.h>

#include "numerics/status.h"

typedef struct Components
{
	double	   *mean;			/* d */
	double	   *axis[2];		/* d each, of length one */
	double		variance[2];	/* along them */
} Components;

/* Doubles of work space for vectors of length d. */
extern size_t components_work(size_t d);

/*
 * Finds them for n vectors of length d, one after the other. An axis points to
 * where its largest element is positive, so that the picture is the same each
 * time. With d = 1 the second axis is zero. OpenBLAS must be loaded.
 *
 * NUMERICS_DIVERGED where the vectors are not finite.
 */
extern NumericsStatus components_find(const float *vectors, size_t n, size_t d,
									  Components *components, double *work,
									  NumericsPoll poll, void *arg);

/* Where a vector lies along the axis, seen from the mean. */
extern double components_place(const Components *components, int axis,
							   const float *vector, size_t d);

#endif							/* FACTOR_COMPONENTS_H */

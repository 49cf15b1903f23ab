/*
 * vector.h: a real[] value seen as a vector of floats, checked.
 */
#ifndef FACTOR_VECTOR_H
#define FACTOR_VECTOR_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/array.h"

/*
 * A vector as the numerical functions take it.  The elements stay where the
 * array holds them; see vector_from_datum for how long that is.
 */
typedef struct Vector
{
	const float *elements;
	int			length;
	ArrayType  *array;			/* the array, detoasted if it had to be */
} Vector;

/* Why an array is not a vector. */
typedef enum VectorFault
{
	VECTOR_OK = 0,
	VECTOR_NOT_OF_REALS,
	VECTOR_NOT_ONE_DIMENSIONAL,
	VECTOR_HAS_NULLS
} VectorFault;

extern VectorFault vector_from_array(ArrayType *array, Vector *vector);
extern Vector vector_from_datum(Datum datum);
extern void vector_release(const Vector *vector, Datum datum);
extern void vector_check_fault(VectorFault fault);
extern const void *array_numbers(ArrayType *array, Oid element_type, int ndim);
extern void vector_check_same_length(const Vector *a, const Vector *b);

#endif							/* FACTOR_VECTOR_H */

/*
 * vector.c: the checks that make a vector of a real[].
 *
 * A vector is an array of at most one dimension without NULL elements; the
 * empty array is the vector of length 0, and the subscripts' lower bound does
 * not matter.  NaN and infinity are elements like any other.
 *
 * Whatever reads an array's elements as they lie in memory comes here or to
 * array_numbers() first: of arrays that come from SQL, from a table that others
 * write or from another server, nothing is known beforehand.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

#include "compat.h"
#include "rank/vector.h"

/*
 * Is this an array of such elements?  It is, unless a column has got another type
 * since it was looked at.
 */
static bool
IsArrayOf(const ArrayType *array, Oid element_type)
{
	return VARSIZE(array) >= sizeof(ArrayType) && ARR_ELEMTYPE(array) == element_type &&
		ARR_NDIM(array) >= 0 && ARR_NDIM(array) <= MAXDIM;
}

/* Are as many elements of that size in it as its dimensions say?  None is NULL. */
static bool
HoldsElements(const ArrayType *array, Size size)
{
	Size		n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	return VARSIZE(array) >= ARR_DATA_OFFSET(array) &&
		(VARSIZE(array) - ARR_DATA_OFFSET(array)) / size >= n;
}

/*
 * The array as a vector, or what is wrong with it; raises nothing, for callers
 * that keep such values apart (the index) as well as those that refuse them.
 */
VectorFault
vector_from_array(ArrayType *array, Vector *vector)
{
	if (!IsArrayOf(array, FLOAT4OID))
		return VECTOR_NOT_OF_REALS;
	if (ARR_NDIM(array) > 1)
		return VECTOR_NOT_ONE_DIMENSIONAL;
	if (array_contains_nulls(array))
		return VECTOR_HAS_NULLS;
	if (!HoldsElements(array, sizeof(float4)))
		return VECTOR_NOT_OF_REALS;

	vector->array = array;
	vector->elements = (const float *) ARR_DATA_PTR(array);
	vector->length = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
	return VECTOR_OK;
}

/*
 * The elements of an array of real or double precision, as they lie; NULL unless
 * it is one, has so many dimensions and no NULLs.  How long each dimension is
 * the caller compares.
 */
const void *
array_numbers(ArrayType *array, Oid element_type, int ndim)
{
	Size		size = element_type == FLOAT8OID ? sizeof(float8) : sizeof(float4);

	if (!IsArrayOf(array, element_type) || ARR_NDIM(array) != ndim ||
		array_contains_nulls(array) || !HoldsElements(array, size))
		return NULL;
	return ARR_DATA_PTR(array);
}

/* Raises the error that says what is wrong with an array. */
void
vector_check_fault(VectorFault fault)
{
	switch (fault)
	{
		case VECTOR_OK:
			break;
		case VECTOR_NOT_OF_REALS:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("vector must be an array of type %s", "real[]")));
			break;
		case VECTOR_NOT_ONE_DIMENSIONAL:
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("vector must be a one-dimensional array")));
			break;
		case VECTOR_HAS_NULLS:
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("vector must not contain nulls")));
			break;
	}
}

/*
 * The vector that an argument of type real[] holds, detoasted into the current
 * memory context if need be; an error if it is not a vector.  It is valid as
 * long as the datum and that context are.
 */
Vector
vector_from_datum(Datum datum)
{
	Vector		vector;

	vector_check_fault(vector_from_array(DatumGetArrayTypeP(datum), &vector));
	return vector;
}

/* Frees the detoasted copy of a vector's array, where one was made. */
void
vector_release(const Vector *vector, Datum datum)
{
	if ((void *) vector->array != DatumGetPointer(datum))
		pfree(vector->array);
}

void
vector_check_same_length(const Vector *a, const Vector *b)
{
	if (a->length != b->length)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("different vector lengths %d and %d",
						a->length, b->length)));
}

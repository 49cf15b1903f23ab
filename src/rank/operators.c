/*
 * operators.c: the distances <=>, <#> and <-> between vectors of type real[].
 *
 * All three are strict and give a float8 of which a smaller one means nearer,
 * so that ORDER BY ... LIMIT k lists the best first.  What a vector is, vector.c
 * says; the sums are in numerics/distance.c, the same to the bit everywhere.
 *
 * NaN and infinite elements are not errors: they propagate as float8
 * arithmetic has it, and a NaN distance sorts last, as NaN does in PostgreSQL.
 * So does the cosine distance to a zero vector, which has no direction; the
 * empty vector is a zero vector, at inner product and distance 0 of itself.
 */
#include "postgres.h"

#include "fmgr.h"

#include "compat.h"
#include "numerics/distance.h"
#include "rank/vector.h"

PG_FUNCTION_INFO_V1(factor_cosine_distance);
PG_FUNCTION_INFO_V1(factor_negative_inner_product);
PG_FUNCTION_INFO_V1(factor_l2_distance);

typedef double (*DistanceFunction) (const float *a, const float *b, size_t n);

/*
 * The distance between a function's two arguments.  Detoasted copies are freed
 * at once: an index scan's recheck calls this many times in one context.
 */
static double
ComputeDistance(FunctionCallInfo fcinfo, DistanceFunction distance)
{
	Vector		a = vector_from_datum(PG_GETARG_DATUM(0));
	Vector		b = vector_from_datum(PG_GETARG_DATUM(1));
	double		result;

	vector_check_same_length(&a, &b);
	result = distance(a.elements, b.elements, a.length);
	vector_release(&a, PG_GETARG_DATUM(0));
	vector_release(&b, PG_GETARG_DATUM(1));
	return result;
}

Datum
factor_cosine_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(ComputeDistance(fcinfo, vector_cosine_distance));
}

/* Subtracted from zero, not negated: an inner product of 0 gives 0, not -0. */
Datum
factor_negative_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(0.0 - ComputeDistance(fcinfo, vector_dot));
}

Datum
factor_l2_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(ComputeDistance(fcinfo, vector_l2_distance));
}

/*
 * solve.c: the aggregates mf_solve, mf_solve_error and mf_gramian: alternating
 * least squares in plain SQL.
 *
 *	 SELECT user_id, mf_solve(i.factors, r.rating, NULL)
 *	 FROM ratings r JOIN items i USING (item_id) GROUP BY user_id
 *
 * is half an iteration: each group is one row's least-squares problem, its
 * rows the entries (als.c gives the equations). Because it is an aggregate, all
 * that PostgreSQL and its relatives do with aggregates applies: parallel
 * workers sum parts of a group, the sums are combined; a query whose groups
 * lie on one shard each is sent there whole.
 *
 * A group's state is the sums of its normal equations (normal.c), of a size
 * that depends on the number of factors alone.
 *
 * The result is a real[]: with a bias, the bias first and the factors after
 * it, as (bias || factors) is what an index ranks by; else the factors. An
 * array rather than a row type, since every server, driver and proxy between
 * shards knows it, and subscripts take it apart: s[1], s[2:].
 *
 * Options, biases and the like are further arguments. The options are one of
 * every row, but constant: they are read once, for the first group, and later
 * groups only compare. What a group's own first
 * row says counts for the group, and parts with unlike options are an error.
 *
 * mf_solve_error gives the squares that the solution leaves. Aggregates with the
 * same arguments share their state, so asking for both costs one more solving a
 * group and no second sum.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "model/number.h"
#include "rank/vector.h"
#include "serve/solve.h"

PG_FUNCTION_INFO_V1(mf_solve_accum);
PG_FUNCTION_INFO_V1(mf_solve_biased_accum);
PG_FUNCTION_INFO_V1(mf_solve_combine);
PG_FUNCTION_INFO_V1(mf_solve_serialize);
PG_FUNCTION_INFO_V1(mf_solve_deserialize);
PG_FUNCTION_INFO_V1(mf_solve_final);
PG_FUNCTION_INFO_V1(mf_solve_error_final);
PG_FUNCTION_INFO_V1(mf_gramian_accum);
PG_FUNCTION_INFO_V1(mf_gramian_final);

/* The options last read, kept as long as the query's plan runs. */
typedef struct OptionsCache
{
	HeapTupleHeader row;		/* as they came; NULL in a combine function */
	const SolveOptions *options;
	const SolveOptions *defaults;	/* those of a NULL */
} OptionsCache;

static MemoryContext
AggregateContext(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("aggregate function called in non-aggregate context")));
	return context;
}

static void
Poll(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

/* ---- Options ---- */

static OptionsCache *
Cache(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
														  sizeof(OptionsCache));
	return fcinfo->flinfo->fn_extra;
}

/* Those of a NULL, made once. */
static const SolveOptions *
DefaultOptions(FunctionCallInfo fcinfo)
{
	OptionsCache *cache = Cache(fcinfo);

	if (cache->defaults == NULL)
		cache->defaults = solve_options_default(fcinfo->flinfo->fn_mcxt);
	return cache->defaults;
}

/*
 * The options of a group from its first row. The first group's are kept for the
 * others; where another group has its own, they live with its state.
 */
static const SolveOptions *
GroupOptions(FunctionCallInfo fcinfo, int arg, MemoryContext aggcontext)
{
	OptionsCache *cache = Cache(fcinfo);
	HeapTupleHeader row;
	MemoryContext oldcontext;
	const SolveOptions *options;
	Size		size;

	if (PG_ARGISNULL(arg))
		return DefaultOptions(fcinfo);
	row = PG_GETARG_HEAPTUPLEHEADER(arg);
	size = HeapTupleHeaderGetDatumLength(row);
	if (cache->row != NULL && HeapTupleHeaderGetDatumLength(cache->row) == size &&
		memcmp(cache->row, row, size) == 0)
		return cache->options;

	oldcontext = MemoryContextSwitchTo(cache->row == NULL ? fcinfo->flinfo->fn_mcxt :
									   aggcontext);
	options = solve_options_read(PointerGetDatum(row));
	if (cache->row == NULL)
	{
		HeapTupleHeader copy = palloc(size);

		memcpy(copy, row, size);
		cache->options = options;
		cache->row = copy;
	}
	MemoryContextSwitchTo(oldcontext);
	return options;
}

static bool
SameOptions(const SolveOptions *a, const SolveOptions *b)
{
	if (a == b)
		return true;
	return a != NULL && b != NULL && a->size == b->size && memcmp(a, b, a->size) == 0;
}

/* The same options where they outlive the call: once for all groups. */
static const SolveOptions *
KeepOptions(FunctionCallInfo fcinfo, const SolveOptions *options,
			MemoryContext aggcontext)
{
	OptionsCache *cache = Cache(fcinfo);
	SolveOptions *copy;

	if (options == NULL || SameOptions(cache->options, options))
		return options == NULL ? NULL : cache->options;
	copy = MemoryContextAlloc(cache->options == NULL ? fcinfo->flinfo->fn_mcxt :
							  aggcontext, options->size);
	memcpy(copy, options, options->size);
	if (cache->options == NULL)
		cache->options = copy;
	return copy;
}

/* ---- Summing ---- */

static SolveState *
MakeState(MemoryContext context, const SolveOptions *options, int factors, bool biased)
{
	SolveState *state;

	if (factors < 1 || factors > ALS_MAX_FACTORS)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("vector has %d elements, outside the range of 1 to %d",
						factors, ALS_MAX_FACTORS)));
	if (options != NULL && options->gramian_factors != 0 &&
		options->gramian_factors != factors)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("gramian is of vectors of length %d, not %d",
						options->gramian_factors, factors)));

	state = MemoryContextAlloc(context, sizeof(SolveState));
	state->options = options;
	state->eq = MemoryContextAlloc(context, normal_size(factors, biased));
	normal_init(state->eq, factors, biased);
	return state;
}

static void
CheckLength(const SolveState *state, int factors)
{
	if (state->eq->factors != factors)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("different vector lengths %d and %d",
						state->eq->factors, factors)));
}

static SolveState *
StateArgument(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : (SolveState *) PG_GETARG_POINTER(arg);
}

/* Bytes may be another aggregate's: mf_gramian() sums without options. */
static void
CheckKind(const SolveState *state, bool gramian)
{
	if ((state->options == NULL) == gramian)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 gramian ? errmsg("state of aggregate mf_gramian has options") :
			 errmsg("state of aggregate mf_solve has no options")));
}

static void
CheckRating(double rating, bool implicit)
{
	if (!isfinite(rating))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("rating is %s", isnan(rating) ? "NaN" : "infinite")));
	if (implicit && rating < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("rating is %s, but implicit feedback cannot be negative", number_text(rating))));
}

/*
 * A row of mf_solve, with a bias in argument 2 or without. Rows without a
 * vector or a rating do not count, as NULLs do not in other aggregates.
 */
static Datum
Accumulate(FunctionCallInfo fcinfo, bool biased)
{
	int			rating_arg = biased ? 3 : 2;
	MemoryContext context = AggregateContext(fcinfo);
	SolveState *state = StateArgument(fcinfo, 0);
	const AlsSpec *spec;
	Vector		vector;
	double		rating;
	double		weight;
	double		target;

	CHECK_FOR_INTERRUPTS();
	if (PG_ARGISNULL(1) || PG_ARGISNULL(rating_arg) || (biased && PG_ARGISNULL(2)))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}

	vector = vector_from_datum(PG_GETARG_DATUM(1));
	if (state == NULL)
	{
		const SolveOptions *options = GroupOptions(fcinfo, rating_arg + 1, context);

		if (biased && options->spec.implicit)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("implicit feedback has no biases"),
					 errhint("Call mf_solve(factors, rating, options).")));
		state = MakeState(context, options, vector.length, biased);
	}
	else
	{
		CheckKind(state, false);
		CheckLength(state, vector.length);
	}

	spec = &state->options->spec;
	rating = PG_GETARG_FLOAT8(rating_arg);
	CheckRating(rating, spec->implicit);
	weight = spec->implicit ? spec->alpha * rating : 1.0;
	target = spec->implicit ? 1.0 : rating - spec->mean;
	if (biased)
		target -= PG_GETARG_FLOAT4(2);
	normal_add(state->eq, vector.elements, weight, target);
	vector_release(&vector, PG_GETARG_DATUM(1));
	PG_RETURN_POINTER(state);
}

Datum
mf_solve_accum(PG_FUNCTION_ARGS)
{
	return Accumulate(fcinfo, false);
}

Datum
mf_solve_biased_accum(PG_FUNCTION_ARGS)
{
	return Accumulate(fcinfo, true);
}

Datum
mf_gramian_accum(PG_FUNCTION_ARGS)
{
	MemoryContext context = AggregateContext(fcinfo);
	SolveState *state = StateArgument(fcinfo, 0);
	Vector		vector;

	CHECK_FOR_INTERRUPTS();
	if (PG_ARGISNULL(1))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}
	vector = vector_from_datum(PG_GETARG_DATUM(1));
	if (state == NULL)
		state = MakeState(context, NULL, vector.length, false);
	else
	{
		CheckKind(state, true);
		CheckLength(state, vector.length);
	}
	normal_add(state->eq, vector.elements, 1.0, 0.0);
	vector_release(&vector, PG_GETARG_DATUM(1));
	PG_RETURN_POINTER(state);
}

/* ---- Parts ---- */

Datum
mf_solve_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = AggregateContext(fcinfo);
	SolveState *state = StateArgument(fcinfo, 0);
	SolveState *part = StateArgument(fcinfo, 1);

	CHECK_FOR_INTERRUPTS();
	if (part == NULL)
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}
	if (state == NULL)
		state = MakeState(context, KeepOptions(fcinfo, part->options, context),
						  part->eq->factors, part->eq->biased);
	CheckLength(state, part->eq->factors);
	if (state->eq->biased != part->eq->biased || !SameOptions(state->options, part->options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options of mf_solve differ within a group")));
	normal_merge(state->eq, part->eq);
	PG_RETURN_POINTER(state);
}

Datum
mf_solve_serialize(PG_FUNCTION_ARGS)
{
	(void) AggregateContext(fcinfo);
	PG_RETURN_BYTEA_P(solve_state_write((SolveState *) PG_GETARG_POINTER(0)));
}

/* Allocates in the caller's context: it needs no aggregate around it. */
Datum
mf_solve_deserialize(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(solve_state_read(PG_GETARG_BYTEA_PP(0)));
}

/* ---- Results ---- */

/*
 * Solves a group's equations: returns the unknowns, the factors first and the
 * bias last.
 */
static double *
Solve(const SolveState *state, double *squares)
{
	NormalEquations *eq = state->eq;
	const SolveOptions *options = state->options;
	Size		n = normal_unknowns(eq);
	double	   *work;
	double	   *x;
	NormalPenalty penalty = {0};

	CheckKind(state, false);
	work = palloc(mul_size(mul_size(n, n), sizeof(double)));
	x = palloc(n * sizeof(double));
	penalty.regularization = options->spec.regularization *
		pow((double) eq->count + options->spec.unobserved_weight * options->others,
			options->spec.reg_exponent);
	penalty.bias_regularization = options->spec.bias_regularization;
	penalty.unobserved_weight = options->spec.unobserved_weight;
	penalty.gramian = options->gramian_factors != 0 ? options->gramian : NULL;

	if (normal_solve(eq, &penalty, work, x, squares, Poll, NULL) != NUMERICS_OK)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("normal equations have no finite solution"),
				 errhint("Try a larger regularization.")));
	pfree(work);
	return x;
}

Datum
mf_solve_final(PG_FUNCTION_ARGS)
{
	SolveState *state = StateArgument(fcinfo, 0);
	const NormalEquations *eq;
	double	   *x;
	double		squares;
	Datum	   *elements;
	int			n;

	(void) AggregateContext(fcinfo);
	if (state == NULL)
		PG_RETURN_NULL();
	eq = state->eq;
	n = (int) normal_unknowns(eq);
	x = Solve(state, &squares);
	elements = palloc(n * sizeof(Datum));
	for (int k = 0; k < eq->factors; k++)
		elements[k + (eq->biased ? 1 : 0)] = Float4GetDatum((float4) x[k]);
	if (eq->biased)
		elements[0] = Float4GetDatum((float4) x[eq->factors]);
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, n, FLOAT4OID,
										  sizeof(float4), true, TYPALIGN_INT));
}

Datum
mf_solve_error_final(PG_FUNCTION_ARGS)
{
	SolveState *state = StateArgument(fcinfo, 0);
	double		squares;

	(void) AggregateContext(fcinfo);
	if (state == NULL)
		PG_RETURN_NULL();
	(void) Solve(state, &squares);
	PG_RETURN_FLOAT8(squares);
}

Datum
mf_gramian_final(PG_FUNCTION_ARGS)
{
	SolveState *state = StateArgument(fcinfo, 0);
	Size		square;
	Size		size;
	ArrayType  *array;

	(void) AggregateContext(fcinfo);
	if (state == NULL)
		PG_RETURN_NULL();
	CheckKind(state, true);
	square = normal_unknowns(state->eq) * normal_unknowns(state->eq);
	size = ARR_OVERHEAD_NONULLS(1) + square * sizeof(float8);
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = FLOAT8OID;
	ARR_DIMS(array)[0] = (int) square;
	ARR_LBOUND(array)[0] = 1;
	normal_square(state->eq, (double *) ARR_DATA_PTR(array));
	PG_RETURN_ARRAYTYPE_P(array);
}

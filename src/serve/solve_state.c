/*
 * solve_state.c: what the aggregate mf_solve keeps for a group, made of its
 * options and its sums, and how that travels between processes.
 *
 * The options travel with the sums, since the process that finishes a group
 * may have seen none of its rows. They are the same for all groups of a query
 * as a rule, the Gramian among them as large as the sums; solve.c keeps one
 * copy a process.
 *
 * The bytes come from another process of the same query as a rule, but some
 * systems let them pass through tables or a network: so they are in network
 * order, and nothing in them is believed before it was checked.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

#include "compat.h"
#include "model/number.h"
#include "rank/vector.h"
#include "serve/solve.h"
#include "train/options.h"

/* The first byte of a state; another layout takes another. */
#define STATE_VERSION 1

#define FLAG_BIASED		1
#define FLAG_OPTIONS	2
#define FLAG_IMPLICIT	4

/* ---- Options ---- */

static SolveOptions *
AllocOptions(int gramian_factors)
{
	Size		d = gramian_factors;
	Size		size = offsetof(SolveOptions, gramian) + d * (d + 1) / 2 * sizeof(double);
	SolveOptions *options = palloc0(size);

	options->size = size;
	options->gramian_factors = gramian_factors;
	return options;
}

/*
 * The row's attributes by number are what they were made as: whoever owns the type
 * may have altered it.
 */
void
solve_check_type(TupleDesc desc)
{
	static const Oid types[] = {
		BOOLOID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, INT8OID,
		FLOAT8ARRAYOID
	};

	for (int k = 0; k < lengthof(types); k++)
		if (k >= desc->natts || TupleDescAttr(desc, k)->attisdropped ||
			TupleDescAttr(desc, k)->atttypid != types[k])
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("type %s has been altered",
							format_type_be(desc->tdtypeid)),
					 errdetail("Its attribute %d is not of type %s.", k + 1,
							   format_type_be(types[k]))));
}

/* What options may be, whoever wrote them: a query or another process. */
static const struct
{
	const char *name;
	double		min;
	double		max;
}			limits[] =
{
	[SOLVE_MEAN] = {"mean", -SOLVE_MAX_WEIGHT, SOLVE_MAX_WEIGHT},
	[SOLVE_REGULARIZATION] = {"regularization", 0, SOLVE_MAX_WEIGHT},
	[SOLVE_REG_EXPONENT] = {"reg_exponent", 0, 1},
	[SOLVE_BIAS_REGULARIZATION] = {"bias_regularization", 0, SOLVE_MAX_WEIGHT},
	[SOLVE_ALPHA] = {"alpha", 0, SOLVE_MAX_WEIGHT},
	[SOLVE_UNOBSERVED_WEIGHT] = {"unobserved_weight", 0, SOLVE_MAX_WEIGHT},
};

static bool
InLimits(int field, double value)
{
	return value >= limits[field].min && value <= limits[field].max;
}

static double
NumberField(HeapTupleHeader row, int field)
{
	const char *name = limits[field].name;
	bool		isnull;
	Datum		datum = GetAttributeByNum(row, field + 1, &isnull);
	double		value;

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of mf_options must not be null", name),
				 errhint("mf_solve_options() makes them with their defaults.")));
	value = DatumGetFloat8(datum);
	if (!InLimits(field, value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %s, outside its range of %g to %g",
						name, number_text(value), limits[field].min, limits[field].max)));
	return value;
}

/* The length d of vectors of which `n` numbers are the Gramian. */
static int
GramianFactors(int n)
{
	int			d = (int) (sqrt((double) n) + 0.5);

	if (d < 1 || d > ALS_MAX_FACTORS || d * d != n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("gramian has %d elements, not the square of a number of factors", n),
				 errhint("mf_gramian() makes one of a table's vectors.")));
	return d;
}

static SolveOptions *
MakeOptions(const AlsSpec *spec, double others, int factors,
			const double *gramian)
{
	SolveOptions *options = AllocOptions(gramian != NULL ? factors : 0);
	double	   *row = options->gramian;

	/* Field by field: bytes between them stay zero, for memcmp. */
	options->spec.implicit = spec->implicit;
	options->spec.mean = spec->mean;
	options->spec.alpha = spec->alpha;
	options->spec.unobserved_weight = spec->unobserved_weight;
	options->spec.regularization = spec->regularization;
	options->spec.reg_exponent = spec->reg_exponent;
	options->spec.bias_regularization = spec->bias_regularization;
	options->others = others;
	if (gramian != NULL)
		for (Size i = 0; i < (Size) factors; i++)
		{
			memcpy(row, gramian + i * factors, (i + 1) * sizeof(double));
			row += i + 1;
		}
	return options;
}

void
solve_refuse_unobserved(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unobserved_weight needs others and gramian"),
			 errhint("They are the count of the other side's vectors and the mf_gramian() of them.")));
}

SolveOptions *
solve_options_read(Datum value)
{
	HeapTupleHeader row = DatumGetHeapTupleHeader(value);
	TupleDesc	desc;
	AlsSpec		spec = {0};
	double		others = 0;
	const double *numbers = NULL;
	int			factors = 0;
	bool		isnull;
	Datum		datum;

	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
	solve_check_type(desc);
	ReleaseTupleDesc(desc);
	datum = GetAttributeByNum(row, SOLVE_IMPLICIT + 1, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of mf_options must not be null", "implicit"),
				 errhint("mf_solve_options() makes them with their defaults.")));
	spec.implicit = DatumGetBool(datum);
	spec.mean = NumberField(row, SOLVE_MEAN);
	spec.regularization = NumberField(row, SOLVE_REGULARIZATION);
	spec.reg_exponent = NumberField(row, SOLVE_REG_EXPONENT);
	spec.bias_regularization = NumberField(row, SOLVE_BIAS_REGULARIZATION);
	spec.alpha = NumberField(row, SOLVE_ALPHA);
	spec.unobserved_weight = NumberField(row, SOLVE_UNOBSERVED_WEIGHT);

	datum = GetAttributeByNum(row, SOLVE_OTHERS + 1, &isnull);
	if (!isnull)
		others = (double) DatumGetInt64(datum);
	datum = GetAttributeByNum(row, SOLVE_GRAMIAN + 1, &isnull);
	if (spec.unobserved_weight > 0 && (isnull || others < 1))
		solve_refuse_unobserved();
	if (spec.unobserved_weight > 0)
	{
		ArrayType  *array = DatumGetArrayTypeP(datum);

		numbers = array_numbers(array, FLOAT8OID, 1);
		if (numbers == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("gramian must be a one-dimensional array without nulls")));
		factors = GramianFactors(ARR_DIMS(array)[0]);
	}
	return MakeOptions(&spec, others, factors, numbers);
}

SolveOptions *
solve_options_default(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SolveOptions *options = AllocOptions(0);

	MemoryContextSwitchTo(old);
	options->spec.alpha = 1;
	options->spec.regularization = EXPLICIT_REGULARIZATION;
	options->spec.reg_exponent = EXPLICIT_REG_EXPONENT;
	options->spec.bias_regularization = EXPLICIT_BIAS_REGULARIZATION;
	return options;
}

/* ---- Bytes ---- */

static void
WriteNumbers(StringInfo buf, const double *numbers, Size n)
{
	for (Size k = 0; k < n; k++)
		pq_sendfloat8(buf, numbers[k]);
}

static void
ReadNumbers(StringInfo buf, double *numbers, Size n)
{
	for (Size k = 0; k < n; k++)
		numbers[k] = pq_getmsgfloat8(buf);
}

static void
WriteOptions(StringInfo buf, const SolveOptions *options)
{
	Size		d = options->gramian_factors;

	pq_sendfloat8(buf, options->spec.mean);
	pq_sendfloat8(buf, options->spec.alpha);
	pq_sendfloat8(buf, options->spec.unobserved_weight);
	pq_sendfloat8(buf, options->spec.regularization);
	pq_sendfloat8(buf, options->spec.reg_exponent);
	pq_sendfloat8(buf, options->spec.bias_regularization);
	pq_sendfloat8(buf, options->others);
	pq_sendint32(buf, options->gramian_factors);
	WriteNumbers(buf, options->gramian, d * (d + 1) / 2);
}

bytea *
solve_state_write(const SolveState *state)
{
	NormalEquations *eq = state->eq;
	StringInfoData buf;
	int			flags = eq->biased ? FLAG_BIASED : 0;

	normal_flush(eq);
	if (state->options != NULL)
		flags |= FLAG_OPTIONS | (state->options->spec.implicit ? FLAG_IMPLICIT : 0);

	pq_begintypsend(&buf);
	pq_sendbyte(&buf, STATE_VERSION);
	pq_sendbyte(&buf, flags);
	pq_sendint32(&buf, eq->factors);
	if (state->options != NULL)
		WriteOptions(&buf, state->options);
	pq_sendint64(&buf, (int64) eq->count);
	pq_sendfloat8(&buf, eq->squares);
	WriteNumbers(&buf, eq->numbers, normal_numbers(eq));
	return pq_endtypsend(&buf);
}

static void
Refuse(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid state of aggregate mf_solve"),
			 errdetail_internal("%s", what)));
}

/* Are there as many numbers as are about to be read? Asked before allocating. */
static void
CheckLeft(StringInfo buf, Size numbers)
{
	if ((Size) (buf->len - buf->cursor) < numbers * sizeof(double))
		Refuse("It is cut short.");
}

static SolveOptions *
ReadOptions(StringInfo buf, int flags, int factors)
{
	SolveOptions *options;
	AlsSpec		spec = {0};
	double		others;
	Size		d;

	CheckLeft(buf, 8);			/* these, and what follows them */
	spec.implicit = (flags & FLAG_IMPLICIT) != 0;
	spec.mean = pq_getmsgfloat8(buf);
	spec.alpha = pq_getmsgfloat8(buf);
	spec.unobserved_weight = pq_getmsgfloat8(buf);
	spec.regularization = pq_getmsgfloat8(buf);
	spec.reg_exponent = pq_getmsgfloat8(buf);
	spec.bias_regularization = pq_getmsgfloat8(buf);
	others = pq_getmsgfloat8(buf);
	d = pq_getmsgint(buf, 4);
	if (d != 0 && d != (Size) factors)
		Refuse("Its Gramian has another number of factors.");
	if (!InLimits(SOLVE_MEAN, spec.mean) || !InLimits(SOLVE_ALPHA, spec.alpha) ||
		!InLimits(SOLVE_UNOBSERVED_WEIGHT, spec.unobserved_weight) ||
		!InLimits(SOLVE_REGULARIZATION, spec.regularization) ||
		!InLimits(SOLVE_REG_EXPONENT, spec.reg_exponent) ||
		!InLimits(SOLVE_BIAS_REGULARIZATION, spec.bias_regularization) ||
		!(others >= PG_INT64_MIN && others <= -(double) PG_INT64_MIN))
		Refuse("Its options are out of range.");
	if ((spec.unobserved_weight > 0) != (d != 0) || (spec.unobserved_weight > 0 && others < 1))
		Refuse("Its unobserved weight and its Gramian do not go together.");
	CheckLeft(buf, d * (d + 1) / 2);

	options = AllocOptions((int) d);
	options->spec.implicit = spec.implicit;
	options->spec.mean = spec.mean;
	options->spec.alpha = spec.alpha;
	options->spec.unobserved_weight = spec.unobserved_weight;
	options->spec.regularization = spec.regularization;
	options->spec.reg_exponent = spec.reg_exponent;
	options->spec.bias_regularization = spec.bias_regularization;
	options->others = others;
	ReadNumbers(buf, options->gramian, d * (d + 1) / 2);
	return options;
}

SolveState *
solve_state_read(bytea *bytes)
{
	StringInfoData buf;
	SolveState *state = palloc0(sizeof(SolveState));
	int			flags;
	int			factors;
	int64		count;
	Size		numbers;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));

	if (buf.len < 6 || pq_getmsgbyte(&buf) != STATE_VERSION)
		Refuse("It does not begin as one.");
	flags = pq_getmsgbyte(&buf);
	factors = (int) pq_getmsgint(&buf, 4);
	if (factors < 1 || factors > ALS_MAX_FACTORS)
		Refuse("Its number of factors is out of range.");
	if ((flags & ~(FLAG_BIASED | FLAG_OPTIONS | FLAG_IMPLICIT)) != 0 ||
		((flags & (FLAG_BIASED | FLAG_IMPLICIT)) != 0 && (flags & FLAG_OPTIONS) == 0) ||
		((flags & FLAG_BIASED) != 0 && (flags & FLAG_IMPLICIT) != 0))
		Refuse("Its flags are out of range.");
	if (flags & FLAG_OPTIONS)
		state->options = ReadOptions(&buf, flags, factors);

	numbers = (Size) factors + ((flags & FLAG_BIASED) ? 1 : 0);
	numbers = numbers * (numbers + 1) / 2 + numbers;
	CheckLeft(&buf, 2 + numbers);
	count = pq_getmsgint64(&buf);
	if (count < 1)
		Refuse("Its count is out of range.");
	state->eq = palloc(normal_size(factors, (flags & FLAG_BIASED) != 0));
	normal_init(state->eq, factors, (flags & FLAG_BIASED) != 0);
	state->eq->count = (uint64) count;
	state->eq->squares = pq_getmsgfloat8(&buf);
	ReadNumbers(&buf, state->eq->numbers, numbers);
	if (buf.cursor != buf.len)
		Refuse("There is more after its end.");
	pfree(buf.data);
	return state;
}

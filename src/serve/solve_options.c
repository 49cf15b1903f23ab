/*
 * solve_options.c: mf_solve_options(): what mf_solve is to minimise, from the
 * options that mf_train has by the same names.
 *
 * The result is a row, rather than the jsonb itself, so that a query reads the
 * options once and not for each of its rows: the function is immutable, and the
 * planner calls it where its arguments are constant. A Gramian has as many numbers
 * as the square of the factors; they stay an array.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "options/option.h"
#include "serve/solve.h"
#include "train/options.h"

PG_FUNCTION_INFO_V1(mf_solve_options);

#define FIELD(name) offsetof(SolveCall, name)

typedef struct SolveCall
{
	ChoiceOption feedback;
	RealOption	mean;
	RealOption	regularization;
	RealOption	reg_exponent;
	RealOption	bias_regularization;
	RealOption	alpha;
	RealOption	unobserved_weight;
	BigintOption others;
} SolveCall;

static const Option options[] = {
	{"feedback", OPTION_CHOICE, "`explicit`",
		{0, 0, train_feedbacks}, FOR_ALL, 0, FIELD(feedback),
	"as in `mf_train`"},
	{"mean", OPTION_REAL, "0",
		{-SOLVE_MAX_WEIGHT, SOLVE_MAX_WEIGHT}, FOR_EXPLICIT, 0, FIELD(mean),
	"of the ratings, which predictions start from"},
	{"regularization", OPTION_REAL, "1.25 explicit, 0.3 implicit",
		{0, SOLVE_MAX_WEIGHT}, FOR_ALL, 0, FIELD(regularization),
	"λ: weight of the vectors' squared lengths"},
	{"reg_exponent", OPTION_REAL, "0.5",
		{0, 1}, FOR_ALL, 0, FIELD(reg_exponent),
	"ν: how λ grows with the number of a row's pairs"},
	{"bias_regularization", OPTION_REAL, "4",
		{0, SOLVE_MAX_WEIGHT}, FOR_EXPLICIT, 0, FIELD(bias_regularization),
	"λ_b: weight of the squared biases"},
	{"alpha", OPTION_REAL, "1",
		{0, SOLVE_MAX_WEIGHT}, FOR_IMPLICIT, 0, FIELD(alpha),
	"weight of a pair for each unit of its value"},
	{"unobserved_weight", OPTION_REAL, "0",
		{0, SOLVE_MAX_WEIGHT}, FOR_ALL, 0, FIELD(unobserved_weight),
	"α₀: weight of every pair, observed or not; above 0 it needs `others` and the Gramian"},
	{"others", OPTION_BIGINT, NULL,
		{1, PG_UINT32_MAX}, FOR_ALL, 0, FIELD(others),
	"how many vectors the other side has"},
};

const OptionTable solve_options = {options, lengthof(options)};

/* (options jsonb, gramian double precision[]) */
Datum
mf_solve_options(PG_FUNCTION_ARGS)
{
	SolveCall	call = {0};
	bool		implicit;
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;

	if (!PG_ARGISNULL(0))
		options_read(&solve_options, &call, PG_GETARG_JSONB_P(0), "options");
	implicit = option_or(call.feedback, 0) == 1;
	options_refuse(&solve_options, &call, implicit ? FOR_ALS_IMPLICIT : FOR_ALS_EXPLICIT);
	if (option_or(call.unobserved_weight, 0) > 0 &&
		(!option_given(call.others) || PG_ARGISNULL(1)))
		solve_refuse_unobserved();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");	/* as it is declared */
	solve_check_type(desc);

	/* Attributes that somebody has added are null. */
	values = palloc0(desc->natts * sizeof(Datum));
	nulls = palloc(desc->natts * sizeof(bool));
	memset(nulls, true, desc->natts * sizeof(bool));
	memset(nulls, false, SOLVE_NATTS * sizeof(bool));
	values[SOLVE_IMPLICIT] = BoolGetDatum(implicit);
	values[SOLVE_MEAN] = Float8GetDatum(option_or(call.mean, 0));
	values[SOLVE_REGULARIZATION] =
		Float8GetDatum(option_or(call.regularization, implicit ? IMPLICIT_REGULARIZATION :
								 EXPLICIT_REGULARIZATION));
	values[SOLVE_REG_EXPONENT] =
		Float8GetDatum(option_or(call.reg_exponent, implicit ? IMPLICIT_REG_EXPONENT :
								 EXPLICIT_REG_EXPONENT));
	values[SOLVE_BIAS_REGULARIZATION] =
		Float8GetDatum(option_or(call.bias_regularization, implicit ? 0 :
								 EXPLICIT_BIAS_REGULARIZATION));
	values[SOLVE_ALPHA] = Float8GetDatum(option_or(call.alpha, 1));
	values[SOLVE_UNOBSERVED_WEIGHT] = Float8GetDatum(option_or(call.unobserved_weight, 0));
	values[SOLVE_OTHERS] = Int64GetDatum(option_or(call.others, 0));
	nulls[SOLVE_OTHERS] = !option_given(call.others);
	values[SOLVE_GRAMIAN] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	nulls[SOLVE_GRAMIAN] = PG_ARGISNULL(1);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

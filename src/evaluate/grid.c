/*
 * grid.c: the option sets of a search.
 *
 * A grid is a JSON object: for each option a value, an array of values, or a
 * range {"min": a, "max": b}, with "log": true to draw evenly on a logarithmic
 * scale. Without ranges all combinations can be tried, the last option changing
 * fastest; or a number of them is drawn at random, which finds good sets with
 * fewer trials where few of the options matter (Bergstra and Bengio 2012,
 * https://www.jmlr.org/papers/v13/bergstra12a.html).
 *
 * A draw depends on the seed, on its number and on the option's name alone, so
 * that a search that is resumed draws the same sets again and knows them.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "compat.h"
#include "evaluate/grid.h"
#include "model/number.h"
#include "train/options.h"

#define MAX_SETS 10000
#define DRAWS_PER_TRIAL 100		/* before a grid is taken for used up */

typedef struct GridOption
{
	const Option *option;
	int			n;				/* values; 0: a range */
	char	  **value;			/* JSON texts */
	double		min;
	double		max;
	bool		log;
} GridOption;

typedef struct Grid
{
	int			n;
	GridOption *options;
} Grid;

/* ---- Reading ---- */

static void
RefuseRange(const Option *option, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid range of option \"%s\" in grid", option->name),
			 errdetail("%s", why),
			 errhint("A range is an object such as {\"min\": 0.1, \"max\": 10, \"log\": true}.")));
}

static double
ReadEnd(const Option *option, const JsonbValue *value)
{
	if (value->type != jbvNumeric)
		RefuseRange(option, "It needs the numbers \"min\" and \"max\".");
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											  NumericGetDatum(value->val.numeric)));
}

/* An end must be a value of the option, but for whole numbers between two others. */
static void
CheckEnd(const Option *option, double end)
{
	JsonbValue	value = {
		.type = jbvNumeric,
		.val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric, Float8GetDatum(end)))
	};

	(void) option_check(option, &value);
}

static void
ReadRange(GridOption *range, JsonbContainer *json)
{
	const Option *option = range->option;
	JsonbIterator *it = JsonbIteratorInit(json);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;

	range->min = range->max = NAN;
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE)
			continue;
		if (strcmp(key, "min") == 0)
			range->min = ReadEnd(option, &value);
		else if (strcmp(key, "max") == 0)
			range->max = ReadEnd(option, &value);
		else if (strcmp(key, "log") != 0)
			RefuseRange(option, psprintf("It has a key \"%s\".", key));
		else if (value.type == jbvBool)
			range->log = value.val.boolean;
		else if (value.type != jbvNull)
			RefuseRange(option, "Its \"log\" must be true or false.");
	}
	if (isnan(range->min) || isnan(range->max))
		RefuseRange(option, "It needs the numbers \"min\" and \"max\".");
	if (!option_is_number(option))
		RefuseRange(option, "The option is not a number: list its values.");
	if (!(range->min <= range->max) || isinf(range->min) || isinf(range->max))
		RefuseRange(option, "Its \"min\" must not be above its \"max\".");
	if (option_is_whole(option) && ceil(range->min) > floor(range->max))
		RefuseRange(option, "There is no whole number between its \"min\" and \"max\".");
	if (range->log && range->min <= 0)
		RefuseRange(option, "On a logarithmic scale \"min\" must be above 0.");
	CheckEnd(option, option_is_whole(option) ? ceil(range->min) : range->min);
	CheckEnd(option, option_is_whole(option) ? floor(range->max) : range->max);
}

/* One value, as the text of JSON. */
static char *
ReadGridValue(const Option *option, JsonbValue *value)
{
	const char *text = option_check(option, value);
	Jsonb	   *json;

	/* A set is known by its text: 16.0 is the same as 16. */
	if (text != NULL && option_is_whole(option))
		return pstrdup(text);
	json = JsonbValueToJsonb(value);
	return JsonbToCString(NULL, &json->root, VARSIZE(json));
}

static void
ReadValues(GridOption *values, JsonbContainer *json)
{
	JsonbIterator *it = JsonbIteratorInit(json);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			size = JsonContainerSize(json);

	if (size == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" in grid has no values", values->option->name)));
	values->value = palloc(mul_size(size, sizeof(char *)));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			values->value[values->n++] = ReadGridValue(values->option, &value);
}

static void
ReadOption(GridOption *option, JsonbValue *value)
{
	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
		ReadRange(option, value->val.binary.data);
	else if (value->type == jbvBinary)
		ReadValues(option, value->val.binary.data);
	else
	{
		option->value = palloc(sizeof(char *));
		option->value[option->n++] = ReadGridValue(option->option, value);
	}
}

/* What a trial may set: not what the search says of each. */
static const Option *
FindOption(const char *name)
{
	const Option *option = option_find(&train_options, name);

	if (option == NULL)
		option_unknown(&train_options, name, "grid");
	if ((option->flags & OPTION_OF_CALL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s does not apply to the trials of a search", name)));
	return option;
}

static void
ReadGrid(Grid *grid, Jsonb *json)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("grid must be a JSON object"),
				 errhint("Its keys are options of mf_train: {\"factors\": [16, 32], \"regularization\": [0.5, 1, 2]}.")));
	grid->options = palloc0(mul_size(Max(JB_ROOT_COUNT(json), 1), sizeof(GridOption)));
	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			grid->options[grid->n].option = FindOption(pnstrdup(value.val.string.val,
																value.val.string.len));
		else if (token == WJB_VALUE)
			ReadOption(&grid->options[grid->n++], &value);
	}
}

/* ---- Sets ---- */

static void
AppendOption(StringInfo set, const GridOption *option, const char *value)
{
	appendStringInfoString(set, set->len > 1 ? ", " : "");
	escape_json(set, option->option->name);
	appendStringInfo(set, ": %s", value);
}

/* How many combinations there are, up to a limit; -1 with ranges. */
static int
CountSets(const Grid *grid)
{
	double		n = 1;

	for (int k = 0; k < grid->n; k++)
	{
		if (grid->options[k].n == 0)
			return -1;
		n *= grid->options[k].n;
	}
	return Min(n, MAX_SETS + 1);
}

static char *
Combination(const Grid *grid, int number)
{
	StringInfoData set;
	int			rest = number;
	int		   *choice = palloc(Max(grid->n, 1) * sizeof(int));

	for (int k = grid->n - 1; k >= 0; k--)
	{
		choice[k] = rest % grid->options[k].n;
		rest /= grid->options[k].n;
	}
	initStringInfo(&set);
	appendStringInfoChar(&set, '{');
	for (int k = 0; k < grid->n; k++)
		AppendOption(&set, &grid->options[k], grid->options[k].value[choice[k]]);
	appendStringInfoChar(&set, '}');
	return set.data;
}

/* From 0 up to 1: what the seed, the draw and the option make of it. */
static double
Draw(int64 seed, int number, const char *name)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) name, (int) strlen(name),
										   (uint64) seed);

	hash = hash_combine64(hash, hash_bytes_uint32_extended((uint32) number, (uint64) seed));
	hash = hash_bytes_extended((unsigned char *) &hash, sizeof(hash), 0);
	return ldexp((double) (hash >> 11), -53);
}

/* A number in an option's range, of few digits. */
static char *
DrawFromRange(const GridOption *option, double draw)
{
	double		value;
	char	   *text;

	if (option_is_whole(option->option))
	{
		/* Every whole number from min to max has its part of the scale. */
		double		low = ceil(option->min);
		double		high = floor(option->max) + 1;

		value = option->log ? low * pow(high / low, draw) : low + (high - low) * draw;

		return psprintf("%.0f", Min(floor(value), high - 1));
	}
	value = option->log ? option->min * pow(option->max / option->min, draw) :
		option->min + (option->max - option->min) * draw;
	text = psprintf("%.4g", value);
	value = strtod(text, NULL);

	/* Fewer digits may lie beyond the ends. */
	if (value < option->min || value > option->max)
		return number_text(value < option->min ? option->min : option->max);
	return text;
}

static char *
RandomSet(const Grid *grid, int64 seed, int number)
{
	StringInfoData set;

	initStringInfo(&set);
	appendStringInfoChar(&set, '{');
	for (int k = 0; k < grid->n; k++)
	{
		const GridOption *option = &grid->options[k];
		double		draw = Draw(seed, number, option->option->name);

		AppendOption(&set, option, option->n > 0 ?
					 option->value[Min((int) (draw * option->n), option->n - 1)] :
					 DrawFromRange(option, draw));
	}
	appendStringInfoChar(&set, '}');
	return set.data;
}

static int
DrawSets(const Grid *grid, int trials, int64 seed, char **sets)
{
	int			n = 0;

	for (int number = 0; number < trials * DRAWS_PER_TRIAL && n < trials; number++)
	{
		char	   *set = RandomSet(grid, seed, number);
		bool		known = false;

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < n && !known; k++)
			known = strcmp(sets[k], set) == 0;
		if (!known)
			sets[n++] = set;
	}
	return n;
}

char **
grid_sets(Jsonb *json, int trials, int64 seed, int *n)
{
	Grid		grid = {0};
	char	  **sets;
	int			all;

	ReadGrid(&grid, json);
	all = CountSets(&grid);
	if (trials == 0 && all < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a grid with ranges needs a number of trials"),
				 errhint("Say how many sets of options to draw: trials => 20.")));
	if (trials == 0 && all > MAX_SETS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("grid has more than %d combinations", MAX_SETS),
				 errhint("Draw some of them at random: trials => 20.")));

	if (trials > 0 && (all < 0 || trials < all))
	{
		sets = palloc(trials * sizeof(char *));
		*n = DrawSets(&grid, trials, seed, sets);
	}
	else
	{
		sets = palloc(all * sizeof(char *));
		for (*n = 0; *n < all; (*n)++)
			sets[*n] = Combination(&grid, *n);
	}
	return sets;
}

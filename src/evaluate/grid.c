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

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "compat.h"
#include "evaluate/grid.h"
#include "evaluate/trainwith.h"
#include "model/query.h"
#include "model/number.h"

#define MAX_SETS 10000
#define DRAWS_PER_TRIAL 100		/* before a grid is taken for used up */

typedef struct GridOption
{
	char	   *name;
	Oid			type;
	int			n;				/* values; 0: a range */
	char	  **value;			/* JSON texts */
	double		min;
	double		max;
	bool		log;
} GridOption;

typedef struct Grid
{
	Oid			extension_schema;
	int			n;
	GridOption *options;
} Grid;

/* ---- Reading ---- */

static void
RefuseRange(const char *name, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid range of option \"%s\" in grid", name),
			 errdetail("%s", why),
			 errhint("A range is an object such as {\"min\": 0.1, \"max\": 10, \"log\": true}.")));
}

static bool
IsWhole(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* The first row of a query on the option's value, as texts. */
static void
ReadRange(GridOption *option, Datum value)
{
	const Oid	type = JSONBOID;
	char	  **texts;
	int			n;

	texts = query_texts("SELECT CASE WHEN pg_catalog.jsonb_typeof($1 OPERATOR(pg_catalog.->) 'min') OPERATOR(pg_catalog.=) 'number' THEN $1 OPERATOR(pg_catalog.->>) 'min' END, "
						"CASE WHEN pg_catalog.jsonb_typeof($1 OPERATOR(pg_catalog.->) 'max') OPERATOR(pg_catalog.=) 'number' THEN $1 OPERATOR(pg_catalog.->>) 'max' END, "
						"$1 OPERATOR(pg_catalog.->>) 'log', "
						"(SELECT pg_catalog.min(key) FROM pg_catalog.jsonb_object_keys($1) key "
						"WHERE NOT key OPERATOR(pg_catalog.=) ANY ('{min,max,log}'))",
						1, &type, &value, NULL, 4, &n);
	if (texts[3] != NULL)
		RefuseRange(option->name, psprintf("It has a key \"%s\".", texts[3]));
	if (texts[0] == NULL || texts[1] == NULL)
		RefuseRange(option->name, "It needs the numbers \"min\" and \"max\".");
	if (texts[2] != NULL && strcmp(texts[2], "true") != 0 && strcmp(texts[2], "false") != 0)
		RefuseRange(option->name, "Its \"log\" must be true or false.");
	if (!IsWhole(option->type) && option->type != FLOAT8OID && option->type != FLOAT4OID)
		RefuseRange(option->name, "The option is not a number: list its values.");
	option->min = strtod(texts[0], NULL);
	option->max = strtod(texts[1], NULL);
	option->log = texts[2] != NULL && strcmp(texts[2], "true") == 0;
	if (!(option->min <= option->max) || isinf(option->min) || isinf(option->max))
		RefuseRange(option->name, "Its \"min\" must not be above its \"max\".");
	if (IsWhole(option->type) && ceil(option->min) > floor(option->max))
		RefuseRange(option->name, "There is no whole number between its \"min\" and \"max\".");
	if (option->log && option->min <= 0)
		RefuseRange(option->name, "On a logarithmic scale \"min\" must be above 0.");
}

static void
ReadValues(GridOption *option, Datum value, bool many, MemoryContext context)
{
	const Oid	type = JSONBOID;
	char	  **texts;
	const char *sql = many ?
		"SELECT v::pg_catalog.text, v OPERATOR(pg_catalog.#>>) '{}', pg_catalog.jsonb_typeof(v) FROM pg_catalog.jsonb_array_elements($1) v" :
		"SELECT $1::pg_catalog.text, $1 OPERATOR(pg_catalog.#>>) '{}', pg_catalog.jsonb_typeof($1)";

	texts = query_texts(sql, 1, &type, &value, NULL, 3, &option->n);
	if (option->n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" in grid has no values", option->name)));
	option->value = MemoryContextAlloc(context, option->n * sizeof(char *));
	for (int k = 0; k < option->n; k++)
	{
		const char *json = texts[3 * k];
		const char *text = texts[3 * k + 1];
		const char *kind = texts[3 * k + 2];

		if (strcmp(kind, "object") == 0 || strcmp(kind, "array") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a value of option \"%s\" in grid is an %s", option->name, kind)));
		if (text != NULL)
			text = train_option_text(option->name, option->type, text, "grid");

		/* A set is known by its text: 16.0 is the same as 16. */
		option->value[k] = MemoryContextStrdup(context,
											   text != NULL && strcmp(kind, "number") == 0 ? text : json);
	}
}

static void
ReadGrid(Grid *grid, Jsonb *json, MemoryContext context)
{
	const Oid	type = JSONBOID;
	Datum		value = JsonbPGetDatum(json);
	char	  **texts;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("grid must be a JSON object"),
				 errhint("Its keys are options of mf_train: {\"factors\": [16, 32], \"regularization\": [0.5, 1, 2]}.")));
	texts = query_texts("SELECT key, value::pg_catalog.text, pg_catalog.jsonb_typeof(value) "
						"FROM pg_catalog.jsonb_each($1)", 1, &type, &value, NULL, 3, &grid->n);
	grid->options = MemoryContextAllocZero(context, Max(grid->n, 1) * sizeof(GridOption));
	for (int k = 0; k < grid->n; k++)
	{
		GridOption *option = &grid->options[k];
		const char *kind = texts[3 * k + 2];

		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(texts[3 * k + 1]));
		option->name = MemoryContextStrdup(context, texts[3 * k]);
		option->type = train_option_type(grid->extension_schema, option->name, true, "grid");
		if (strcmp(kind, "object") == 0)
			ReadRange(option, value);
		else
			ReadValues(option, value, strcmp(kind, "array") == 0, context);
	}
}

/* ---- Sets ---- */

static void
AppendOption(StringInfo set, const GridOption *option, const char *value)
{
	appendStringInfoString(set, set->len > 1 ? ", " : "");
	escape_json(set, option->name);
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

	if (IsWhole(option->type))
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
		double		draw = Draw(seed, number, option->name);

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
grid_sets(Oid extension_schema, Jsonb *json, int trials, int64 seed, MemoryContext context, int *n)
{
	Grid		grid = {.extension_schema = extension_schema};
	MemoryContext old;
	char	  **sets;
	int			all;

	ReadGrid(&grid, json, context);
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

	old = MemoryContextSwitchTo(context);
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
	MemoryContextSwitchTo(old);
	return sets;
}

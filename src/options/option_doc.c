/*
 * option_doc.c: the tables of options as doc/reference.md has them.
 *
 * No function of the extension: test/t/090_option_tables.pl makes one of it, and
 * compares. So the page says what the code does, or a test fails.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "evaluate/tune.h"
#include "options/option.h"
#include "serve/solve.h"
#include "train/options.h"

PG_FUNCTION_INFO_V1(factor_option_table);

static const char *const type_name[] = {
	[OPTION_BOOL] = "boolean",
	[OPTION_INT] = "integer",
	[OPTION_BIGINT] = "bigint",
	[OPTION_REAL] = "double precision",
	[OPTION_CHOICE] = "text",
	[OPTION_NAME] = "name",
	[OPTION_RANGE] = "numrange",
	[OPTION_TABLE] = "regclass",
	[OPTION_ANY] = NULL
};

static const struct
{
	const char *function;
	const OptionTable *table;
}			tables[] =
{
	{"mf_train", &train_options},
	{"mf_solve_options", &solve_options},
	{"mf_tune", &tune_options},
};

/* 1e9 rather than 1e+09. */
static char *
Limit(double value)
{
	double		exponent = fabs(value) < 1e6 ? NAN : log10(fabs(value));

	if (exponent == floor(exponent))
		return psprintf("%s1e%.0f", value < 0 ? "−" : "", exponent);
	return psprintf("%.15g", value);
}

static void
AppendRange(StringInfo page, const OptionLimits *limits)
{
	if (limits->choices != NULL)
	{
		for (int k = 0; limits->choices[k] != NULL; k++)
			appendStringInfo(page, "%s`%s`", k == 0 ? "" : ", ", limits->choices[k]);
		appendStringInfoChar(page, ' ');
	}
	else if (limits->max > 1e10)
		return;
	else if (limits->max >= PG_INT32_MAX)
		appendStringInfo(page, "%s or more ", Limit(limits->min));
	else if (limits->min != 0 || limits->max != 0)
		appendStringInfo(page, "%s to %s ", Limit(limits->min), Limit(limits->max));
}

/* Words with "quoted" ones as code. */
static void
AppendWords(StringInfo page, const char *words)
{
	for (; words != NULL && *words != '\0'; words++)
		appendStringInfoChar(page, *words == '"' ? '`' : *words);
}

/* (function text): the table of its options, in Markdown */
Datum
factor_option_table(PG_FUNCTION_ARGS)
{
	char	   *function = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const OptionTable *table = NULL;
	StringInfoData page;

	for (int k = 0; k < lengthof(tables); k++)
		if (strcmp(tables[k].function, function) == 0)
			table = tables[k].table;
	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s has no options", function)));
	initStringInfo(&page);
	appendStringInfoString(&page, "| option | type | default | range | applies to | what |\n|---|---|---|---|---|---|\n");
	for (int k = 0; k < table->n; k++)
	{
		const Option *option = &table->options[k];
		const char *type = type_name[option->type];

		appendStringInfo(&page, "| `%s` | %s%s%s | %s%s| ", option->name, type ? "`" : "",
						 type ? type : "any", type ? "`" : "",
						 option->fallback ? option->fallback : "", option->fallback ? " " : "");
		AppendRange(&page, &option->limits);
		appendStringInfoString(&page, "| ");
		AppendWords(&page, option_kinds(option->applies));
		appendStringInfo(&page, "%s| %s |\n", option_kinds(option->applies) ? " " : "", option->what);
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(page.data, page.len));
}

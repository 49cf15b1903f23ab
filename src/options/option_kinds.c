/*
 * option_kinds.c: which options apply to which training.
 *
 * A training is one of seven: of a solver, a feedback and a loss. An option that
 * means nothing for the chosen one is an error that says what it does not apply
 * to and what to use instead: an option that was silently ignored would be
 * believed in. Why it does not apply follows from the rows of the table below:
 * the solver, if it applies to none of its trainings; else the feedback, else the
 * loss, else both together.
 *
 * False is what holds where an option does not apply, so it is never refused: a
 * search may try both values beside several losses.
 */
#include "postgres.h"

#include "options/option.h"

typedef struct TrainingKind
{
	unsigned	bit;
	const char *solver;
	const char *feedback;
	const char *loss;
} TrainingKind;

static const TrainingKind kinds[] = {
	{FOR_ALS_EXPLICIT, "als", "explicit", "squared"},
	{FOR_ALS_IMPLICIT, "als", "implicit", "squared"},
	{FOR_SGD_EXPLICIT, "sgd", "explicit", "squared"},
	{FOR_SGD_IMPLICIT, "sgd", "implicit", "squared"},
	{FOR_LOGISTIC_EXPLICIT, "sgd", "explicit", "logistic"},
	{FOR_LOGISTIC_IMPLICIT, "sgd", "implicit", "logistic"},
	{FOR_BPR, "sgd", "implicit", "bpr"},
};

static const struct
{
	unsigned	applies;
	const char *words;
}			sets[] =
{
	{FOR_EXPLICIT, "explicit feedback"},
	{FOR_IMPLICIT, "implicit feedback"},
	{FOR_SGD, "solver \"sgd\""},
	{FOR_SGD_EXPLICIT, "explicit feedback with loss \"squared\" and solver \"sgd\""},
	{FOR_NEGATIVES, "solver \"sgd\", but for explicit feedback with loss \"squared\""},
	{FOR_BIASES, "explicit feedback, and implicit with loss \"logistic\" or \"bpr\""},
};

const char *
option_kinds(unsigned applies)
{
	for (int k = 0; k < lengthof(sets); k++)
		if (sets[k].applies == applies)
			return sets[k].words;
	return NULL;
}

/* Which of the training's three an option does not apply to. */
static char *
WhyNot(unsigned applies, const TrainingKind *training)
{
	unsigned	solver = 0;
	unsigned	feedback = 0;
	unsigned	loss = 0;

	for (int k = 0; k < lengthof(kinds); k++)
	{
		if (strcmp(kinds[k].solver, training->solver) == 0)
			solver |= kinds[k].bit;
		if (strcmp(kinds[k].feedback, training->feedback) == 0)
			feedback |= kinds[k].bit;
		if (strcmp(kinds[k].loss, training->loss) == 0)
			loss |= kinds[k].bit;
	}
	if ((applies & solver) == 0)
		return psprintf("solver \"%s\"", training->solver);
	if ((applies & feedback) == 0)
		return psprintf("%s feedback", training->feedback);
	if ((applies & loss) == 0)
		return psprintf("loss \"%s\"", training->loss);
	return psprintf("%s feedback with loss \"%s\"", training->feedback, training->loss);
}

/* Would the option apply with the other solver? */
static bool
SolverAlone(unsigned applies, const TrainingKind *training)
{
	for (int k = 0; k < lengthof(kinds); k++)
		if ((applies & kinds[k].bit) != 0 &&
			strcmp(kinds[k].feedback, training->feedback) == 0 &&
			strcmp(kinds[k].loss, training->loss) == 0)
			return true;
	return false;
}

void
options_refuse(const OptionTable *table, const void *values, unsigned training)
{
	const TrainingKind *kind = kinds;

	while (kind->bit != training)
		kind++;
	for (int k = 0; k < table->n; k++)
	{
		const Option *option = &table->options[k];
		const void *field = (const char *) values + option->offset;

		if ((option->applies & training) != 0 || *(const char *const *) field == NULL ||
			(option->type == OPTION_BOOL && !((const BoolOption *) field)->value))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s does not apply to %s", option->name, WhyNot(option->applies, kind)),
				 SolverAlone(option->applies, kind) ? errhint("Use \"solver\": \"sgd\".") :
				 option_kinds(option->applies) == NULL ? 0 :
				 errhint("It applies to %s.", option_kinds(option->applies))));
	}
}

void
option_refuse(const char *name, const char *text, const char *what, const char *remedy)
{
	if (text != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s does not apply to %s", name, what),
				 remedy == NULL ? 0 : errhint("Use %s.", remedy)));
}

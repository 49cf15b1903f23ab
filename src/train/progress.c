/*
 * progress.c: what pg_stat_activity says of a training.
 *
 * PostgreSQL's progress views are for its own commands. What an extension can
 * do is what autovacuum does: put a description in place of the query. The
 * query's own text comes back when the training ends, however it ends.
 */
#include "postgres.h"

#include "pgstat.h"
#include "tcop/tcopprot.h"

#include "train/progress.h"

static char progress_model[2 * NAMEDATALEN];

void
progress_begin(const char *model)
{
	strlcpy(progress_model, model, sizeof(progress_model));
}

void
progress_report(const char *what,...)
{
	char		text[256];
	int			used;
	va_list		args;

	used = snprintf(text, sizeof(text), "mf_train %s: ", progress_model);
	va_start(args, what);
	vsnprintf(text + used, sizeof(text) - used, what, args);
	va_end(args);
	pgstat_report_activity(STATE_RUNNING, text);
}

void
progress_end(void)
{
	progress_model[0] = '\0';
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
}

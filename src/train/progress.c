/*
 * progress.c: what pg_stat_activity says of a training or a batch.
 *
 * PostgreSQL's progress views are for its own commands. What an extension can
 * do is what autovacuum does: put a description in place of the query. The
 * query's own text comes back when the training ends, however it ends.
 */
#include "postgres.h"

#include "pgstat.h"
#include "tcop/tcopprot.h"

#include "train/progress.h"

static char progress_of[3 * NAMEDATALEN];

void
progress_begin(const char *function, const char *model)
{
	snprintf(progress_of, sizeof(progress_of), "%s %s", function, model);
}

void
progress_report(const char *what,...)
{
	char		text[256];
	int			used;
	va_list		args;

	used = snprintf(text, sizeof(text), "%s: ", progress_of);
	va_start(args, what);
	vsnprintf(text + used, sizeof(text) - used, what, args);
	va_end(args);
	pgstat_report_activity(STATE_RUNNING, text);
}

void
progress_end(void)
{
	progress_of[0] = '\0';
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
}

/*
 * progress.h: how a training shows in pg_stat_activity how far it is.
 */
#ifndef FACTOR_PROGRESS_H
#define FACTOR_PROGRESS_H

#include "c.h"

/*
 * Between these, the session's query in pg_stat_activity reads
 * "<function> <model>: <what>". progress_end() puts the query back.
 */
extern void progress_begin(const char *function, const char *model);
extern void progress_report(const char *what,...) pg_attribute_printf(1, 2);
extern void progress_end(void);

#endif							/* FACTOR_PROGRESS_H */

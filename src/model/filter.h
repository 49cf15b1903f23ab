/*
 * filter.h: which rows of its source a model was trained on.
 */
#ifndef FACTOR_FILTER_H
#define FACTOR_FILTER_H

#include "postgres.h"
#include "lib/stringinfo.h"

/* Of mf_train's options, those that are conditions on a row. */
typedef struct RatingFilter
{
	const char *min_rating;		/* a decimal, as it was written; NULL: any */
	const char *time_col;		/* with `since` */
	const char *since;			/* NULL: always */
} RatingFilter;

/* Those of a model, from what mf_models has in the column `options`. */
extern void filter_read(Datum options, RatingFilter *filter);

/* An option of the columns `options` or `settings` as text; NULL where it is not there. */
extern char *option_text(Datum options, const char *name);

/* A number of the columns `options` or `settings`; 0 where it is not there. */
extern double option_number(Datum options, const char *name);

extern bool filter_is_there(const RatingFilter *filter);

/*
 * Appends the conditions on columns of the relation, the first after `word` and
 * the others after AND; returns the word for what may follow. In text that every
 * reader of the source shares, so that a row that counts here counts there.
 */
extern const char *filter_append(StringInfo sql, const char *word, Oid relid,
								 const char *rating_col, const RatingFilter *filter);

#endif							/* FACTOR_FILTER_H */

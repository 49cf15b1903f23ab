/*
 * trainwith.h: calling mf_train with options given as data.
 */
#ifndef FACTOR_TRAINWITH_H
#define FACTOR_TRAINWITH_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* What a call says beside the options. */
typedef struct TrainCall
{
	Oid			extension_schema;
	Oid			ratings;
	const char *user_col;
	const char *item_col;
	const char *rating_col;		/* NULL: every row counts 1 */
	const char *model;			/* NULL: the table's name */
	bool		quiet;			/* no notices, no indexes: a trial */
} TrainCall;

/*
 * The type of an option of mf_train that may be given as data, text where
 * mf_train takes any; an error that lists the options there are, if it is none.
 * `where` is what the name was found in, for messages.
 */
extern Oid	train_option_type(Oid extension_schema, const char *name, bool trial,
							  const char *where);

/*
 * An option's value in the way in which its type reads it; an error, with the
 * option's name, if the text is no value of the type.
 */
extern const char *train_option_text(const char *name, Oid type, const char *text,
									 const char *where);

/*
 * The statement, a SELECT * FROM mf_train(...).
 * Errors name options that there are not, and values of another type.
 */
extern char *train_statement(const TrainCall *call, Jsonb *options, const char *where);

/* Runs it: what mf_train returns. */
#define TRAIN_RESULT 7

extern void train_run(const char *sql, Datum *values, bool *nulls);

#endif							/* FACTOR_TRAINWITH_H */

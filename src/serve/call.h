/*
 * call.h: what the serving functions keep from one call to the next, and how
 * those that return rows return them.
 */
#ifndef FACTOR_CALL_H
#define FACTOR_CALL_H

#include "fmgr.h"
#include "utils/tuplestore.h"

#include "model/model.h"
#include "serve/ids.h"

/* Kept in fn_extra, so it lives as long as the query. */
typedef struct ServeCall
{
	MemoryContext context;
	Oid			type[2];		/* of the id arguments, by position */
	ModelCache *models;
	Model	   *model;			/* that this call holds (held.h) */
	IdConversion id[2];			/* of the id arguments, by position */
	IdConversion result;		/* of an id that is returned */
	IdConversion list[2];		/* of the elements of arrays of items: those
								 * asked for, those to be left out */
	bool		noticed;		/* that the source is gone */
} ServeCall;

extern ServeCall *serve_call(FunctionCallInfo fcinfo);

/*
 * The model that argument `arg` names; NULL there means the default. It is held
 * until serve_end(), which a call that returns must reach.
 */
extern Model *serve_model(ServeCall *call, FunctionCallInfo fcinfo, int arg);
extern Model *serve_model_named(ServeCall *call, const char *name);

/*
 * The same for a call that does nothing but convert two ids and fetch their rows:
 * not held where no code of the caller's can run in that, as it is in most calls
 * after the first.
 */
extern Model *serve_model_briefly(ServeCall *call, FunctionCallInfo fcinfo, int arg);

/* Likewise for a call that only converts the id of argument `arg`. */
extern Model *serve_model_to_collect(ServeCall *call, const char *name, int arg);
extern void serve_end(ServeCall *call);

/* Id argument `arg` as the side's key; false if it cannot be a key. */
extern bool serve_id(ServeCall *call, FunctionCallInfo fcinfo, int arg,
					 const Model *model, MfSide side, Datum *id);

/* A witness says a type, by a NULL of it; anything else is an error. */
extern void serve_check_witness(FunctionCallInfo fcinfo, int arg, const char *name);

/* How many rows to return: an error if NULL or negative. */
extern int	serve_k(FunctionCallInfo fcinfo, int arg);
extern int	serve_count(FunctionCallInfo fcinfo, int arg, const char *name);

/* The rows of a function that returns a table (id, number). */
typedef struct ServeRows
{
	Tuplestorestate *store;
	TupleDesc	desc;
	Oid			id_type;		/* declared for the first column */
	const char *id_type_arg;	/* the argument that says so */
} ServeRows;

extern void serve_rows_begin(FunctionCallInfo fcinfo, ServeRows *rows, const char *id_type_arg);

/*
 * The head of a function about what its first argument names: begins the rows,
 * whose ids are of `side`, and opens the model. NULL where the first argument
 * is null: there are no rows.
 */
extern Model *serve_begin(ServeCall *call, FunctionCallInfo fcinfo, int model_arg,
						  MfSide side, ServeRows *rows);

/* An id of the model's as the first column is declared. */
extern Datum serve_rows_id(const ServeRows *rows, ServeCall *call, Datum id);
extern void serve_rows_add(ServeRows *rows, ServeCall *call, Datum id, double number);

#endif							/* FACTOR_CALL_H */

/*
 * query.h: every SQL statement of ours goes through here.
 */
#ifndef FACTOR_QUERY_H
#define FACTOR_QUERY_H

#include "postgres.h"
#include "executor/tuptable.h"
#include "nodes/nodes.h"
#include "nodes/pg_list.h"
#include "utils/queryenvironment.h"

#include "model/held.h"

/* A plan for several executions: see query_prepare(). */
typedef struct QueryPlan QueryPlan;

#define QUERY_ANY (-1)

typedef struct SqlQuery
{
	const char *sql;			/* one statement, all names qualified */

	/*
	 * The first relation of FROM, or the one that is written, held open: an error
	 * where the statement has another one. NULL: none that anyone could replace.
	 */
	const Held *from;

	int			nargs;
	const Oid  *types;
	const Datum *values;
	const bool *nulls;			/* NULL: none is */

	/*
	 * The types of the columns that are returned, an error where they are others;
	 * a domain passes for its base type. Where their order is relied upon, the
	 * first column's collation.
	 */
	int			ncolumns;		/* QUERY_ANY: nothing is taken of the rows */
	const Oid  *columns;
	Oid			collation;

	/*
	 * Reads by the active snapshot. Else the statement has a new one, and sees what
	 * this transaction has written.
	 */
	bool		read_only;

	bool		keep;			/* the plan, for the session */
	bool		parallel;		/* may be done by parallel workers */
	bool		counted;		/* a rule that takes what is written is no error:
								 * whoever writes counts the rows */
	QueryPlan  *plan;			/* of query_prepare(); NULL: none */
	QueryEnvironment *environment;	/* named tuplestores; NULL: none */
} SqlQuery;

/*
 * Takes a row, all of whose columns are there, and says whether more are wanted.
 * It is called in the executor's memory context: what it allocates there stays
 * until the end of the query.
 */
typedef bool (*QueryRow) (TupleTableSlot *slot, void *arg);

/* Runs a SELECT, row by row into a function. */
extern void query_receive(const SqlQuery *query, QueryRow receive, void *arg);

/*
 * The first row of a SELECT, copied into the current memory context; false where
 * there is none.
 */
extern bool query_row(const SqlQuery *query, Datum *values, bool *nulls);

/*
 * All rows of a SELECT of `ncolumns` texts, which reads no table that anyone could
 * replace, one after the other in an array of n * ncolumns, NULL for null. Copied
 * into the current memory context.
 */
extern char **query_texts(const char *sql, int nargs, const Oid *types, const Datum *values,
						  const bool *nulls, int ncolumns, int *n);

/*
 * Runs an INSERT, UPDATE or DELETE with all its triggers and rules; returns how
 * many rows were written.
 */
extern uint64 query_write(const SqlQuery *query, CmdType command);

/* A SELECT that is read piece by piece, with other work in between. */
typedef struct QueryScan QueryScan;

extern QueryScan *query_scan_begin(const SqlQuery *query);

/* The next row, all of whose columns are there, until the next call; or NULL. */
extern TupleTableSlot *query_scan_next(QueryScan *scan);
extern void query_scan_end(QueryScan *scan);

/*
 * Gives the query a plan for several executions, which is gone with the current
 * memory context. PostgreSQL sees to it that it is made anew when what it stands
 * on changes.
 */
extern void query_prepare(SqlQuery *query);

/* A statement's trees, with views and policies put in. */
extern List *query_analyse(const SqlQuery *query);

/* Runs a statement without result: CREATE, DROP and the like. */
extern void query_utility(const char *sql);

#endif							/* FACTOR_QUERY_H */

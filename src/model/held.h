/*
 * held.h: a relation that was looked up, kept locked and open until a call ends.
 */
#ifndef FACTOR_HELD_H
#define FACTOR_HELD_H

#include "postgres.h"
#include "access/attnum.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

#include "compat.h"

/* As many columns as any caller relies on. */
#define HELD_COLUMNS 8

typedef struct HeldColumn
{
	AttrNumber	attno;
	const char *name;
	Oid			type;
} HeldColumn;

typedef struct Held
{
	Oid			relid;
	Relation	rel;			/* NULL: not open at the moment */
	Oid			schema;
	const char *name;
	const char *sql;			/* quoted and qualified, for SQL text */
	int			ncolumns;
	HeldColumn	column[HELD_COLUMNS];
} Held;

/*
 * Takes over a relation that its caller has opened and locked, and notes what it
 * is called. Strings are allocated in the current memory context.
 */
extern void held_take(Held *held, Relation rel);

/*
 * Notes a column that is relied upon; InvalidAttrNumber where there is none of
 * that name.
 */
extern AttrNumber held_column(Held *held, const char *name);

/* An error unless relation and columns are called what they were. */
extern void held_check(const Held *held);

/* The error for a relation that is not what was looked up any more. */
pg_noreturn extern void held_changed(const Held *held);

/*
 * Ends the reference, not the lock; and takes another one, of a relation that is
 * locked still. Nothing happens to one that is closed, or open.
 */
extern void held_close(Held *held);
extern void held_reopen(Held *held);

#endif							/* FACTOR_HELD_H */

/*
 * idtext.h: an id, or a value of another type, as text: what value::text gives.
 */
#ifndef FACTOR_IDTEXT_H
#define FACTOR_IDTEXT_H

#include "fmgr.h"

typedef enum IdTextKind
{
	IDTEXT_OUTPUT,				/* by the output function */
	IDTEXT_SAME,				/* it is stored as text is */
	IDTEXT_CAST					/* by the function of a cast */
} IdTextKind;

typedef struct IdText
{
	IdTextKind	kind;
	Oid			type;
	int			nargs;			/* of the cast's function */
	FmgrInfo	function;
} IdText;

/* How values of the type become text; `context` holds what is remembered. */
extern void idtext_prepare(IdText *idtext, Oid type, MemoryContext context);

extern Datum idtext_datum(IdText *idtext, Datum value);
extern char *idtext_cstring(IdText *idtext, Datum value);

/* The same for a single value. */
extern char *idtext_once(Oid type, Datum value);

#endif							/* FACTOR_IDTEXT_H */

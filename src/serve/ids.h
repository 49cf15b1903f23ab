/*
 * ids.h: ids as callers give and want them, and as a model's keys are.
 */
#ifndef FACTOR_SERVE_IDS_H
#define FACTOR_SERVE_IDS_H

#include "fmgr.h"

#include "model/idtext.h"
#include "model/model.h"

typedef enum IdConversionKind
{
	ID_UNPREPARED = 0,
	ID_SAME,					/* the same type, or one that is stored alike */
	ID_INTEGER,					/* between smallint, int and bigint */
	ID_FROM_TEXT,				/* by the input function of the target */
	ID_TO_TEXT					/* as a cast to text */
} IdConversionKind;

typedef struct IdConversion
{
	IdConversionKind kind;
	Oid			from;			/* base types */
	Oid			to;
	FmgrInfo	in;				/* of the target, ID_FROM_TEXT */
	Oid			in_param;
	IdText		out;			/* of the source, both textual kinds */
} IdConversion;

/*
 * May a column of type `type` hold ids of a key: the same base type, or both of
 * them integers? Its values are converted as arguments are.
 */
extern bool id_column_suits(Oid type, const ModelKey *key);

/*
 * From an argument of type `type` to the side's key; remembers what it found
 * (`context` holds that). Errors if there is no way.
 */
extern void id_prepare_argument(IdConversion *conversion, Oid type, const Model *model,
								MfSide side, MemoryContext context);

/*
 * From the side's key to a result of type `type`. The hint of the error shows
 * how to name another: `example`, with %s for the type.
 */
extern void id_prepare_result(IdConversion *conversion, Oid type, const Model *model,
							  MfSide side, const char *example, MemoryContext context);

/*
 * Converts; false if the value does not fit the target. In an argument that
 * is an id which the model does not know.
 */
extern bool id_convert(IdConversion *conversion, Datum id, Datum *result);

#endif							/* FACTOR_SERVE_IDS_H */

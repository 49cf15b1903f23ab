/*
 * values.h: a rating's value, whatever numeric type its column has.
 */
#ifndef FACTOR_VALUES_H
#define FACTOR_VALUES_H

#include "postgres.h"

typedef struct NumericCacheEntry NumericCacheEntry;

typedef struct RatingConverter
{
	Oid			type;			/* of the column; InvalidOid: there is none */
	NumericCacheEntry *numerics;
} RatingConverter;

/* For a column of this type; what it remembers lies in the current context. */
extern void converter_init(RatingConverter *converter, Oid type);
extern void converter_free(RatingConverter *converter);

/* The value of what is not NULL. */
extern double converter_value(RatingConverter *converter, Datum datum);

#endif							/* FACTOR_VALUES_H */

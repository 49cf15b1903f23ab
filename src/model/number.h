/*
 * number.h: numbers as users write them.
 */
#ifndef FACTOR_NUMBER_H
#define FACTOR_NUMBER_H

#include "postgres.h"

/* The shortest decimal that reads back as the number, whatever the settings. */
extern char *number_text(double number);

/* A bound of ratings, as a column of type real compares with it. */
extern float number_as_real(double bound);

/*
 * A rating as a column of this type shows it: where it was read in single
 * precision from a column of another type, the decimal that it comes from.
 */
extern double number_shown(double rating, Oid column_type);

#endif							/* FACTOR_NUMBER_H */

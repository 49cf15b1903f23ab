/*
 * number.c: numbers as users write them.
 *
 * Who writes 2.2 means the decimal, but what arrives is the double next to it,
 * 2.2000000000000001776. With all its digits it lies above the 2.2 of a numeric
 * column, and above or below the single next to 2.2, which is what a real column
 * has. The decimal is found again: it is the shortest that reads back as the
 * double, as float8out shows it. With a column of type real the bound is rounded
 * as the column's values were, and a rating that training has rounded is shown by
 * the shortest decimal of its single.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"

#include "compat.h"
#include "model/number.h"

char *
number_text(double number)
{
	char	   *text = palloc(DOUBLE_SHORTEST_DECIMAL_LEN);

	double_to_shortest_decimal_buf(number, text);
	return text;
}

/* A bound too small for the type stays on its side of zero. */
float
number_as_real(double bound)
{
	float		real = (float) bound;

	return real == 0 && bound > 0 ? nextafterf(0, 1) : real;
}

double
number_shown(double rating, Oid column_type)
{
	char		text[FLOAT_SHORTEST_DECIMAL_LEN];

	if (column_type == FLOAT4OID || rating != (float) rating)
		return rating;
	float_to_shortest_decimal_buf((float) rating, text);
	return strtod(text, NULL);
}

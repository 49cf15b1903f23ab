/*
 * columns.h: the columns of a rating table by what they are for.
 */
#ifndef FACTOR_COLUMNS_H
#define FACTOR_COLUMNS_H

#include "catalog/pg_attribute.h"
#include "utils/rel.h"

#include "train/ratings.h"

typedef enum ColumnRole
{
	COLUMN_USER,
	COLUMN_ITEM,
	COLUMN_RATING,
	COLUMN_TIME
} ColumnRole;

/*
 * The column that the source names for a role. Where there is none of that name,
 * an error whose hint has the columns that may be meant.
 */
extern Form_pg_attribute source_column(Relation rel, const RatingSource *source, ColumnRole role);

#endif							/* FACTOR_COLUMNS_H */

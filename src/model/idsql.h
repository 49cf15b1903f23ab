/*
 * idsql.h: ids, and values of other types, in SQL text.
 */
#ifndef FACTOR_IDSQL_H
#define FACTOR_IDSQL_H

#include "postgres.h"

/* A type's name, whatever the search_path, without a modifier. */
extern char *sql_type(Oid type);

/*
 * A type's btree operator of a strategy, BTEqualStrategyNumber say, as
 * OPERATOR(schema.name).
 */
extern char *sql_operator(Oid type, int strategy);

/*
 * A column, quoted, as a value of its base type: with that both sides of an
 * operator are of one type, and domains over enums have their operators too.
 * `alias` may be NULL. Where the column is of the type already the cast is none.
 */
extern char *sql_column(const char *alias, const char *column, Oid type);

#endif							/* FACTOR_IDSQL_H */

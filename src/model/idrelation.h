/*
 * idrelation.h: ids as a relation that SQL can look into.
 */
#ifndef FACTOR_IDRELATION_H
#define FACTOR_IDRELATION_H

#include "postgres.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#define ID_RELATIONS 2

/* Distinct ids of one type. */
typedef struct IdArray
{
	uint32		n;
	const Datum *ids;
} IdArray;

/* Some relations of ids, for the environments of queries. */
typedef struct IdRelations
{
	QueryEnvironment *environment;
	int			n;
	Tuplestorestate *store[ID_RELATIONS];
} IdRelations;

/* Adds one by a name, in the current memory context; `relations` is zero at first. */
extern void id_relations_add(IdRelations *relations, const char *name, Oid type,
							 const IdArray *ids);

/*
 * A condition: is the column's value, of relation `alias` of the query, among the
 * ids of a relation of this name?
 */
extern char *id_relation_condition(const char *alias, const char *column, Oid type,
								   const char *name);

extern void id_relations_end(IdRelations *relations);

#endif							/* FACTOR_IDRELATION_H */

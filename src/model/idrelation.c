/*
 * idrelation.c: ids as a relation that SQL can look into.
 *
 * Which rows are wanted is often told by a list of ids. They go into a tuplestore
 * with a name that is known to the query alone, as a trigger's transition table
 * is, and a condition asks whether a column's value is among them, by the
 * equality of its type. The planner makes a semijoin of that: through an index
 * on the column where the ids are few, else by one pass over the table.
 *
 * Rejected: column = ANY ($1), since there is no array of arrays, nor one of some
 * other types. A join, which would return a row twice where the column's
 * collation takes two of the ids for one.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/tupdesc.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "model/idrelation.h"
#include "model/idsql.h"

void
id_relations_add(IdRelations *relations, const char *name, Oid type, const IdArray *ids)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	TupleDesc	desc = CreateTemplateTupleDesc(1);
	bool		isnull = false;

	Assert(relations->n < ID_RELATIONS);

	/* Its collation is the type's own: that of the column has precedence. */
	TupleDescInitEntry(desc, 1, "id", getBaseType(type), -1, 0);
	for (uint32 k = 0; k < ids->n; k++)
	{
		if (k % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(store, desc, unconstify(Datum *, &ids->ids[k]), &isnull);
	}

	enr->md.name = pstrdup(name);
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = ids->n;
	enr->reldata = store;
	if (relations->environment == NULL)
		relations->environment = create_queryEnv();
	register_ENR(relations->environment, enr);
	relations->store[relations->n++] = store;
}

char *
id_relation_condition(const char *alias, const char *column, Oid type, const char *name)
{
	return psprintf("EXISTS (SELECT FROM %s ids WHERE %s %s ids.id)", quote_identifier(name),
					sql_column(alias, column, type), sql_operator(type, BTEqualStrategyNumber));
}

void
id_relations_end(IdRelations *relations)
{
	while (relations->n > 0)
		tuplestore_end(relations->store[--relations->n]);
}

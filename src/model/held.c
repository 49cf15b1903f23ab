/*
 * held.c: a relation that was looked up, kept locked and open until a call ends.
 *
 * A name is looked up once, and what is then read or written is that relation.
 * But the caller's own code runs in between, in a view, a policy, a default or a
 * trigger, and may do any DDL; a session's locks do not stop its own. What does
 * is an open reference: with one, CheckTableNotInUse() refuses ALTER, DROP and
 * TRUNCATE as it refuses them to a cursor's table (55006). So relations are held
 * open, and what was noted of their columns stays true.
 *
 * RENAME and SET SCHEMA are let through even then. Names in SQL text would lead
 * elsewhere after them, so held_check() compares them right before a statement is
 * analysed, and query.c compares the relation that the planned statement reads.
 *
 * References belong to the current resource owner: an error ends them, a call
 * that returns must. Models that are kept from call to call (cache.c) are kept
 * closed. The lock lasts until the end of the transaction.
 */
#include "postgres.h"

#include "access/relation.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "model/held.h"

void
held_take(Held *held, Relation rel)
{
	memset(held, 0, sizeof(*held));
	held->rel = rel;
	held->relid = RelationGetRelid(rel);
	held->schema = RelationGetNamespace(rel);
	held->name = pstrdup(RelationGetRelationName(rel));
	held->sql = quote_qualified_identifier(get_namespace_name(held->schema), held->name);
}

AttrNumber
held_column(Held *held, const char *name)
{
	TupleDesc	desc = RelationGetDescr(held->rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		HeldColumn *column;

		if (att->attisdropped || strcmp(NameStr(att->attname), name) != 0)
			continue;
		Assert(held->ncolumns < HELD_COLUMNS);
		column = &held->column[held->ncolumns++];
		column->attno = att->attnum;
		column->name = pstrdup(name);
		column->type = att->atttypid;
		return att->attnum;
	}
	return InvalidAttrNumber;
}

void
held_changed(const Held *held)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("relation %s was renamed or replaced while it was in use", held->sql),
			 errdetail("Its names do not lead to what was looked up at first."),
			 errhint("Try again. If that does not help, look for a function in a view, a policy or a trigger that changes tables.")));
}

void
held_check(const Held *held)
{
	TupleDesc	desc;

	if (held->rel == NULL)		/* whoever holds it has let it go too early */
		elog(ERROR, "relation %s is not open", held->sql);
	desc = RelationGetDescr(held->rel);
	if (RelationGetNamespace(held->rel) != held->schema ||
		strcmp(RelationGetRelationName(held->rel), held->name) != 0)
		held_changed(held);
	for (int k = 0; k < held->ncolumns; k++)
	{
		const HeldColumn *column = &held->column[k];
		Form_pg_attribute att;

		if (column->attno > desc->natts)
			held_changed(held);
		att = TupleDescAttr(desc, column->attno - 1);
		if (att->attisdropped || att->atttypid != column->type ||
			strcmp(NameStr(att->attname), column->name) != 0)
			held_changed(held);
	}
}

void
held_close(Held *held)
{
	if (held->rel == NULL)
		return;
	relation_close(held->rel, NoLock);
	held->rel = NULL;
}

void
held_reopen(Held *held)
{
	if (held->rel != NULL)
		return;
	held->rel = try_relation_open(held->relid, NoLock);
	if (held->rel == NULL)
		held_changed(held);
}

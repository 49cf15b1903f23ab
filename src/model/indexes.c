/*
 * indexes.c: the indexes that answer rankings of a model's items.
 *
 * mf_similar_items and ORDER BY factors <=> $1 want one on (factors); mf_topk
 * of a biased model ranks by (bias || factors), whose inner product with
 * (1, the user's factors) is the prediction but for a constant, and wants one
 * on that. They are made after the rows of a new table were written, which is
 * much faster than to insert into them one by one.
 *
 * An index is recognised by what it indexes, not by its name, so that one made
 * by hand counts.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/index.h"
#include "commands/defrem.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "model/catalog.h"
#include "model/query.h"

static bool
IsColumn(const Node *node, AttrNumber attno)
{
	return IsA(node, Var) && ((const Var *) node)->varattno == attno;
}

/* Is the expression bias || factors? */
static bool
IsBiasAndFactors(const Node *node, AttrNumber bias, AttrNumber factors)
{
	const OpExpr *expr = (const OpExpr *) node;

	return IsA(node, OpExpr) && expr->opfuncid == F_ARRAY_PREPEND &&
		IsColumn(linitial(expr->args), bias) && IsColumn(lsecond(expr->args), factors);
}

/* Does the index rank all rows by factors, or by (bias || factors)? */
static bool
Ranks(Relation index, bool with_bias, AttrNumber bias, AttrNumber factors)
{
	const FormData_pg_index *form = index->rd_index;
	List	   *expressions = RelationGetIndexExpressions(index);

	if (!form->indisvalid || form->indnatts != 1 || RelationGetIndexPredicate(index) != NIL)
		return false;
	if (!with_bias)
		return form->indkey.values[0] == factors;
	return expressions != NIL &&
		IsBiasAndFactors(linitial(expressions), bias, factors);
}

static bool
HasIndex(Oid relid, Oid method, bool with_bias)
{
	Relation	rel = table_open(relid, AccessShareLock);
	AttrNumber	bias = get_attnum(relid, "bias");
	AttrNumber	factors = get_attnum(relid, "factors");
	ListCell   *cell;
	bool		found = false;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		found |= index->rd_rel->relam == method && Ranks(index, with_bias, bias, factors);
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	return found;
}

/*
 * CREATE INDEX refuses a table that the session has open elsewhere, so it is let
 * go for the time; no code of the caller's runs before its lock is taken.
 */
static void
CreateIndex(ModelTarget *target, const char *columns)
{
	Held	   *items = &target->held[MF_ITEMS];

	held_check(items);
	held_close(items);
	query_utility(psprintf("CREATE INDEX ON %s USING topk (%s)", items->sql, columns));
	held_reopen(items);
}

void
model_write_indexes(ModelTarget *target, bool biased)
{
	Oid			method = get_index_am_oid("topk", false);
	Oid			relid = target->relid[MF_ITEMS];

	if (!HasIndex(relid, method, false))
		CreateIndex(target, "factors");
	if (biased && !HasIndex(relid, method, true))
		CreateIndex(target, "(bias OPERATOR(pg_catalog.||) factors)");
}

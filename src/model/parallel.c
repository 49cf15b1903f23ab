/*
 * parallel.c: may a model's table be read in a parallel query?
 *
 * Functions that read the model alone are PARALLEL SAFE, which is worth having:
 * a million predictions take all cores. But where row security applies to the
 * caller they run what the policies of the model's tables call, and a label
 * cannot follow that. So when a model is opened in parallel mode, the statement
 * that reads its table is analysed and rewritten, which puts the policies in, and
 * looked through for functions as the planner does for a whole query: a worker
 * may call what is safe, the leader what is safe or restricted.
 *
 * Rejected: to plan the statement and look whether the plan is parallel safe
 * (a worker plans nothing in parallel, so the planner does not look); to
 * refuse every policy (most are a comparison with current_user or a setting).
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "compat.h"
#include "model/catalog.h"
#include "model/query.h"

static bool
IsUnsafeFunction(Oid function, void *context)
{
	char		label = func_parallel(function);

	return label == PROPARALLEL_UNSAFE ||
		(label == PROPARALLEL_RESTRICTED && IsParallelWorker());
}

/* A table that a worker may not read: a temporary one, or another server's. */
static bool
IsUnsafeTable(const RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && IsParallelWorker() &&
		(rte->relkind == RELKIND_FOREIGN_TABLE ||
		 get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP);
}

static bool
FindHazard(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, IsUnsafeFunction, context) || IsA(node, NextValueExpr))
		return true;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *cell;

		if (query->commandType != CMD_SELECT || query->hasModifyingCTE || query->rowMarks != NIL)
			return true;
		foreach(cell, query->rtable)
			if (IsUnsafeTable(lfirst(cell)))
				return true;
		return query_tree_walker(query, FindHazard, context, 0);
	}
	return expression_tree_walker(node, FindHazard, context);
}

static bool
HasHazard(List *queries)
{
	ListCell   *query;

	foreach(query, queries)
		if (FindHazard(lfirst(query), NULL))
			return true;
	return false;
}

void
model_check_parallel(const ModelSide *side)
{
	SqlQuery	query = {.from = &side->held};

	if (!IsInParallelMode() ||
		check_enable_rls(side->relid, InvalidOid, true) != RLS_ENABLED)
		return;

	query.sql = psprintf("SELECT FROM ONLY %s", side->table);
	if (HasHazard(query_analyse(&query)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot read table %s in a parallel query", side->table),
				 errdetail("Its row security policies do what is not parallel safe."),
				 errhint("Set max_parallel_workers_per_gather = 0.")));
}

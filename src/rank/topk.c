/*
 * topk.c: the handler of the access method topk, and its cost.
 *
 * The cost of a scan is that of its start, reading codes until the first row is
 * certain, and of every row: fetching it from the table in no order, which the
 * planner adds, and its way through the candidates and through the queue in
 * which the executor holds rows back.  The first is what the method exists to
 * make small, but it is never nothing: a filter that leaves few rows, found by
 * another index, is cheaper to sort.  The second makes a scan of everything
 * dearer than a sort (four times, measured).
 *
 * A scan that is not asked for an order, or by conditions, does not exist: it
 * could only return all rows, in no order, which the table does better.  The
 * planner offers such scans all the same, since scans for ORDER BY need no
 * condition (amoptionalkey), so that count(*) might read the index alone.  They
 * get a prohibitive cost, and topk_rescan refuses them.  So do scans by several
 * distances where the executor might not put them in order (CanBeOrdered).
 *
 * Pages that vacuum has emptied are no part of a scan's cost.  How many of the others
 * the start reads depends on the operator.  The cosine distance reads all.  The
 * others stop by norms, and how soon depends on how the norms are spread, which
 * is not known here; the shares below are those measured on log-normal norms and
 * on trained factors, rounded up generously.
 */
#include "postgres.h"

#include <math.h>

#include "access/amapi.h"
#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "rank/topk.h"

PG_FUNCTION_INFO_V1(topk_handler);

/* Shares of the pages that a scan reads before it returns its first row */
#define COSINE_SHARE			1.0
#define INNER_PRODUCT_SHARE		0.05
#define EUCLIDEAN_SHARE			0.5

/*
 * Beyond what enable_* settings add.  Finite, as the planner subtracts costs;
 * and more disabled nodes than any other way to read a table has.
 */
#define PROHIBITIVE_COST		1e30
#define PROHIBITIVE_NODES		10

/* An entry's bound, in units of cpu_operator_cost: vectors of them at a time */
#define BOUND_COST				0.25

static relopt_kind topk_relopt_kind;

void
topk_init(void)
{
	topk_relopt_kind = add_reloption_kind();
}

/* There are no options, so any is refused. */
static bytea *
ParseOptions(Datum reloptions, bool validate)
{
	return (bytea *) build_reloptions(reloptions, validate, topk_relopt_kind,
									  0, NULL, 0);
}

/* Any column can be ordered by distance; the rest is as the server thinks. */
static bool
Property(Oid index, int column, IndexAMProperty property, const char *name,
		 bool *result, bool *isnull)
{
	if (property != AMPROP_DISTANCE_ORDERABLE || column == 0)
		return false;
	*result = true;
	*isnull = false;
	return true;
}

static char *
PhaseName(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case TOPK_PHASE_SCAN:
			return "scanning table";
		case TOPK_PHASE_SORT:
			return "sorting by norm";
		case TOPK_PHASE_WRITE:
			return "writing pages";
		default:
			return NULL;
	}
}

/*
 * The pages in use.  Vacuum may have left as many free ones again, for the next
 * rewriting of all rows, which no scan reads.
 */
static double
PagesInUse(const IndexOptInfo *info)
{
	double		pages = info->pages;
	Relation	index;
	Buffer		buffer;
	uint32		free;

	if (info->hypothetical)
		return pages;
	index = index_open(info->indexoid, NoLock);
	buffer = topk_read(index, TOPK_META_BLOCK, BUFFER_LOCK_SHARE);
	free = TopkPageMeta(BufferGetPage(buffer))->free;
	UnlockReleaseBuffer(buffer);
	index_close(index, NoLock);
	return Max(pages - free, 1.0);
}

/* The share of pages that the scan's first ORDER BY operator reads. */
static double
ShareOfPages(IndexPath *path)
{
	Expr	   *order = (Expr *) linitial(path->indexorderbys);
	double		share = COSINE_SHARE;
	HeapTuple	tuple = NULL;

	if (IsA(order, OpExpr))
		tuple = SearchSysCache3(AMOPOPID,
								ObjectIdGetDatum(((OpExpr *) order)->opno),
								CharGetDatum(AMOP_ORDER),
								ObjectIdGetDatum(path->indexinfo->opfamily[0]));
	if (HeapTupleIsValid(tuple))
	{
		switch (((Form_pg_amop) GETSTRUCT(tuple))->amopstrategy)
		{
			case TOPK_INNER_PRODUCT_STRATEGY:
				share = INNER_PRODUCT_SHARE;
				break;
			case TOPK_EUCLIDEAN_STRATEGY:
				share = EUCLIDEAN_SHARE;
				break;
		}
		ReleaseSysCache(tuple);
	}
	return share;
}

/*
 * Of several distances, where one is NULL for two rows, the executor looks at none
 * of those behind it (cmp_orderbyvals).  So a query that may turn out to be NULL
 * must not be followed by another.
 */
static bool
CanBeOrdered(const IndexPath *path)
{
	ListCell   *cell;

	foreach(cell, path->indexorderbys)
	{
		Node	   *order = (Node *) lfirst(cell);
		Node	   *query = IsA(order, OpExpr) ? lsecond(((OpExpr *) order)->args) : NULL;

		if (lnext(path->indexorderbys, cell) != NULL &&
			!(query != NULL && IsA(query, Const) && !((Const *) query)->constisnull))
			return false;
	}
	return path->indexorderbys != NIL;
}

void
topk_cost_estimate(struct PlannerInfo *root, struct IndexPath *path,
				   double loop_count, Cost *startup_cost, Cost *total_cost,
				   Selectivity *selectivity, double *correlation,
				   double *pages)
{
	IndexOptInfo *index = path->indexinfo;
	double		random_page;
	double		seq_page;
	double		share;
	double		read;

	*selectivity = 1.0;
	*correlation = 0.0;
	if (!CanBeOrdered(path) || path->indexclauses != NIL)
	{
		*startup_cost = PROHIBITIVE_COST;
		*total_cost = PROHIBITIVE_COST;
		*pages = index->pages;
		ADD_DISABLED_NODES(&path->path, PROHIBITIVE_NODES);
		return;
	}
	get_tablespace_page_costs(index->reltablespace, &random_page, &seq_page);
	share = ShareOfPages(path);
	read = ceil(PagesInUse(index) * share);

	*startup_cost = random_page + (read - 1) * seq_page +
		index->tuples * share * BOUND_COST * cpu_operator_cost;
	if (read < 1)
		*startup_cost = 0;
	*total_cost = *startup_cost + index->tuples * cpu_index_tuple_cost +
		index->tuples * 2.0 * cpu_operator_cost * log2(Max(index->tuples, 2.0));
	*pages = read;
}

/* Is an operator family's member one of the distances, for ordering only? */
static bool
MemberIsValid(Form_pg_amop member, const char *opclass)
{
	if (member->amopstrategy < 1 || member->amopstrategy > TOPK_STRATEGIES)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s contains operator %s with invalid strategy number %d",
						opclass, "topk", format_operator(member->amopopr),
						member->amopstrategy)));
		return false;
	}
	if (member->amoppurpose != AMOP_ORDER ||
		get_op_rettype(member->amopopr) != FLOAT8OID ||
		!check_amop_signature(member->amopopr, FLOAT8OID,
							  FLOAT4ARRAYOID, FLOAT4ARRAYOID))
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s contains invalid ORDER BY specification for operator %s",
						opclass, "topk", format_operator(member->amopopr))));
		return false;
	}
	return true;
}

static bool
Validate(Oid opclass)
{
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass form;
	CatCList   *members;
	bool		result = true;

	/* As amvalidate functions have it: amvalidate() has looked the class up. */
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	form = (Form_pg_opclass) GETSTRUCT(tuple);

	if (form->opcintype != FLOAT4ARRAYOID)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" of access method %s is not for type real[]",
						NameStr(form->opcname), "topk")));
		result = false;
	}
	members = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(form->opcfamily));
	for (int i = 0; i < members->n_members; i++)
		if (!MemberIsValid((Form_pg_amop) GETSTRUCT(&members->members[i]->tuple),
						   NameStr(form->opcname)))
			result = false;
	ReleaseCatCacheList(members);
	ReleaseSysCache(tuple);
	return result;
}

Datum
topk_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *am = makeNode(IndexAmRoutine);

	am->amstrategies = TOPK_STRATEGIES;
	am->amsupport = 0;
	am->amoptsprocnum = 0;
	am->amcanorder = false;
	am->amcanorderbyop = true;
	am->amcanbackward = false;
	am->amcanunique = false;
	am->amcanmulticol = false;
	am->amoptionalkey = true;
	am->amsearcharray = false;
	am->amsearchnulls = false;
	am->amstorage = false;
	am->amclusterable = false;
	am->ampredlocks = false;
	am->amcanparallel = false;
	am->amcaninclude = false;
	am->amusemaintenanceworkmem = false;
	SET_AMSUMMARIZING(am, false);
	am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	am->amkeytype = InvalidOid;

	am->ambuild = topk_build;
	am->ambuildempty = topk_build_empty;
	am->aminsert = topk_insert;
	am->ambulkdelete = topk_bulk_delete;
	am->amvacuumcleanup = topk_vacuum_cleanup;
	am->amcanreturn = NULL;
	am->amcostestimate = topk_cost_estimate;
	am->amoptions = ParseOptions;
	am->amproperty = Property;
	am->ambuildphasename = PhaseName;
	am->amvalidate = Validate;
	am->amadjustmembers = NULL;
	am->ambeginscan = topk_begin_scan;
	am->amrescan = topk_rescan;
	am->amgettuple = topk_get_tuple;
	am->amgetbitmap = NULL;
	am->amendscan = topk_end_scan;
	am->ammarkpos = NULL;
	am->amrestrpos = NULL;
	am->amestimateparallelscan = NULL;
	am->aminitparallelscan = NULL;
	am->amparallelrescan = NULL;

	PG_RETURN_POINTER(am);
}

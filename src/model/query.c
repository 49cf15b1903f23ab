/*
 * query.c: every SQL statement of ours goes through here.
 *
 * SQL text says names, and is resolved anew whenever it is planned. Between the
 * moment when a table was looked at and that of its reading other code may have
 * run, the caller's own among it, so that a name leads to another relation, or a
 * column has another type. Rows are then taken apart by position, as Datums of
 * the types that were noted at first: an integer read as a pointer, at worst. So
 * each execution is checked, as COPY (query) TO is:
 *
 *	 before analysis	the relation is called what it was, and its columns too
 *						(held_check)
 *	 planned			the statement reads or writes that relation: it is the
 *						first of its range table, and the origin of its columns
 *	 started			the columns that it returns have the types expected
 *
 * What is checked is the very PlannedStmt that runs. That is why SPI will not do:
 * it plans and runs at one go, or checks its plan again, with a look for
 * invalidations, between a question about it and its execution. The executor is
 * called directly instead, as COPY, CREATE TABLE AS and SQL functions do. That
 * also saves SPI's contexts, and the copies that its cursors make.
 *
 * From the start of the executor on, the relations of a plan are open there, and
 * nothing can be done to them.
 *
 * Plans. Most statements are planned for their one execution. Those of serving
 * are few, and kept by the session (`keep`): some models, each with a handful of
 * statements, so a short array searched from its start will do. When it is full,
 * further ones are planned for the one call, and at the end of the transaction
 * everything is thrown away: only then is it certain that none of the plans is
 * being made further up the stack. Their parameters are ids and vectors, of which
 * one is like another, so the generic plan serves all.
 *
 * Rejected: hooks into the executor (all other queries would pass through them);
 * the check in a receiver's rStartup alone, where the plan is not to be had.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/execdesc.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "parser/parser.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "model/query.h"

#define MAX_KEPT 64
#define MAX_KEPT_ARGS 2
#define ROWS_PER_FETCH 1000

struct QueryPlan
{
	CachedPlanSource *source;
};

/* A statement on its way from planning to its end. */
typedef struct Run
{
	const SqlQuery *query;
	MemoryContext context;		/* of all that it needs */
	ErrorContextCallback callback;
	ParamListInfo params;
	CachedPlan *cached;			/* NULL: planned for this execution */
	ResourceOwner owner;		/* of the reference to it */
	List	   *statements;
	bool		pushed;			/* a snapshot is active that is ours */
	QueryDesc  *desc;
} Run;

/* ---- Errors ---- */

/* As SPI says it. */
static void
DescribeStatement(void *arg)
{
	const SqlQuery *query = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(query->sql);
	}
	else
		errcontext("SQL statement \"%s\"", query->sql);
}

static void
BeginErrors(Run *run)
{
	run->callback.callback = DescribeStatement;
	run->callback.arg = unconstify(SqlQuery *, run->query);
	run->callback.previous = error_context_stack;
	error_context_stack = &run->callback;
}

static void
EndErrors(Run *run)
{
	error_context_stack = run->callback.previous;
}

/* ---- Plans ---- */

static RawStmt *
ParseStatement(const SqlQuery *query)
{
	return linitial_node(RawStmt, raw_parser(query->sql, RAW_PARSE_DEFAULT));
}

static List *
Analyse(const SqlQuery *query, RawStmt *raw)
{
	return pg_analyze_and_rewrite_fixedparams(raw, query->sql, query->types, query->nargs,
											  query->environment);
}

/* The statement, saved, in a context of its own. */
static CachedPlanSource *
MakePlan(const SqlQuery *query, int options)
{
	RawStmt    *raw = ParseStatement(query);
	CachedPlanSource *source = CreateCachedPlan(raw, query->sql, CreateCommandTag(raw->stmt));

	CompleteCachedPlan(source, Analyse(query, raw), NULL, unconstify(Oid *, query->types),
					   query->nargs, NULL, NULL, options, false);
	SaveCachedPlan(source);
	return source;
}

static CachedPlanSource *Kept[MAX_KEPT];
static int	KeptCount = 0;

static void
EmptyWhenFull(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (KeptCount < MAX_KEPT)
		return;
	while (KeptCount > 0)
		DropCachedPlan(Kept[--KeptCount]);
}

/* The session's plan of the statement; NULL where there is no room for one. */
static CachedPlanSource *
KeptPlan(const SqlQuery *query)
{
	static bool registered = false;
	CachedPlanSource *source;

	Assert(query->nargs <= MAX_KEPT_ARGS);
	for (int i = 0; i < KeptCount; i++)
		if (strcmp(Kept[i]->query_string, query->sql) == 0 &&
			Kept[i]->num_params == query->nargs &&
			memcmp(Kept[i]->param_types, query->types, query->nargs * sizeof(Oid)) == 0)
			return Kept[i];
	if (KeptCount == MAX_KEPT)
		return NULL;
	if (!registered)
	{
		RegisterXactCallback(EmptyWhenFull, NULL);
		registered = true;
	}
	source = MakePlan(query, CURSOR_OPT_GENERIC_PLAN);
	if (KeptCount == MAX_KEPT)	/* filled meanwhile, further down */
	{
		DropCachedPlan(source);
		return NULL;
	}
	Kept[KeptCount++] = source;
	return source;
}

static void
DropPlan(void *arg)
{
	DropCachedPlan(((QueryPlan *) arg)->source);
}

void
query_prepare(SqlQuery *query)
{
	QueryPlan  *plan = palloc(sizeof(QueryPlan));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "factor query",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(scratch);
	Run			run = {.query = query};

	if (query->from != NULL)
		held_check(query->from);
	BeginErrors(&run);
	plan->source = MakePlan(query, 0);
	EndErrors(&run);
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(scratch);
	callback->func = DropPlan;
	callback->arg = plan;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	query->plan = plan;
}

List *
query_analyse(const SqlQuery *query)
{
	if (query->from != NULL)
		held_check(query->from);
	return Analyse(query, ParseStatement(query));
}

/* The planned statements; more than one where there are rules. */
static List *
PlanStatements(Run *run)
{
	const SqlQuery *query = run->query;
	CachedPlanSource *source = query->plan ? query->plan->source :
		query->keep ? KeptPlan(query) : NULL;

	if (source != NULL)
	{
		run->owner = CurrentResourceOwner;
		run->cached = GetCachedPlan(source, run->params, run->owner, query->environment);
		return run->cached->stmt_list;
	}
	return pg_plan_queries(Analyse(query, ParseStatement(query)), query->sql,
						   query->parallel ? CURSOR_OPT_PARALLEL_OK : 0, run->params);
}

/* ---- Checks ---- */

/* Is the relation what the statement reads or writes? */
static bool
IsOf(const PlannedStmt *statement, Oid relid)
{
	RangeTblEntry *first;
	ListCell   *cell;

	if (!list_member_oid(statement->relationOids, relid))
		return false;

	/* A view, or a subquery in FROM, has no entry of its own in older versions. */
	first = rt_fetch(1, statement->rtable);
	if (first->rtekind == RTE_RELATION && first->relid != relid)
		return false;
	if (statement->commandType == CMD_SELECT)
		foreach(cell, statement->planTree->targetlist)
		{
			TargetEntry *entry = lfirst_node(TargetEntry, cell);

			if (OidIsValid(entry->resorigtbl) && entry->resorigtbl != relid)
				return false;
		}
	return true;
}

static void
CheckColumns(const SqlQuery *query, TupleDesc desc)
{
	int			k = 0;

	if (query->ncolumns == QUERY_ANY)
		return;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (k == query->ncolumns ||
			(att->atttypid != query->columns[k] && getBaseType(att->atttypid) != query->columns[k]) ||
			(k == 0 && OidIsValid(query->collation) && att->attcollation != query->collation))
			break;
		k++;
	}
	if (k == query->ncolumns && k == desc->natts)
		return;
	if (query->from != NULL)
		held_changed(query->from);
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("a query returns other columns than expected"),
			 errdetail("Column %d is not there or of another type.", k + 1)));
}

/* ---- Running ---- */

static ParamListInfo
MakeParams(const SqlQuery *query)
{
	ParamListInfo params;

	/* As SPI's own: hooks into the executor may not expect an empty list. */
	if (query->nargs == 0)
		return NULL;
	params = makeParamList(query->nargs);
	for (int i = 0; i < query->nargs; i++)
	{
		params->params[i].value = query->values[i];
		params->params[i].isnull = query->nulls != NULL && query->nulls[i];
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = query->types[i];
	}
	return params;
}

static void
PushSnapshot(Run *run)
{
	if (run->query->read_only)
	{
		Assert(ActiveSnapshotSet());
		return;
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	run->pushed = true;
}

static void
PopSnapshot(Run *run)
{
	if (run->pushed)
		PopActiveSnapshot();
	run->pushed = false;
}

/* Plans; afterwards the snapshot for the execution is active. */
static void
PlanRun(Run *run, const SqlQuery *query)
{
	MemoryContext outer;

	memset(run, 0, sizeof(*run));
	run->query = query;
	run->context = AllocSetContextCreate(CurrentMemoryContext, "factor query",
										 ALLOCSET_SMALL_SIZES);
	outer = MemoryContextSwitchTo(run->context);
	run->params = MakeParams(query);
	BeginErrors(run);
	if (!query->read_only)
		CommandCounterIncrement();
	PushSnapshot(run);
	if (query->from != NULL)
		held_check(query->from);
	run->statements = PlanStatements(run);

	/* Planning may have waited for locks, and run functions. */
	PopSnapshot(run);
	if (!query->read_only)
		CommandCounterIncrement();
	PushSnapshot(run);
	MemoryContextSwitchTo(outer);
}

/* Starts one of the statements. */
static void
Start(Run *run, PlannedStmt *statement, DestReceiver *dest)
{
	const SqlQuery *query = run->query;
	MemoryContext outer = MemoryContextSwitchTo(run->context);

	run->desc = CreateQueryDesc(statement, query->sql, GetActiveSnapshot(), InvalidSnapshot,
								dest, run->params, query->environment, 0);
	ExecutorStart(run->desc, 0);
	MemoryContextSwitchTo(outer);
}

static void
Stop(Run *run)
{
	ExecutorFinish(run->desc);
	ExecutorEnd(run->desc);
	FreeQueryDesc(run->desc);
	run->desc = NULL;
}

/* The end of everything but a scan's own struct. */
static void
End(Run *run)
{
	bool		read_only = run->query->read_only;

	if (run->cached != NULL)
		ReleaseCachedPlan(run->cached, run->owner);
	MemoryContextDelete(run->context);

	/* What it did is seen from now on, as SPI sees to it. */
	if (!read_only)
		CommandCounterIncrement();
}

/* Plans and starts a SELECT. */
static void
StartSelect(Run *run, const SqlQuery *query, DestReceiver *dest)
{
	PlannedStmt *statement;

	PlanRun(run, query);
	statement = linitial_node(PlannedStmt, run->statements);
	if (list_length(run->statements) != 1 || statement->commandType != CMD_SELECT)
		elog(ERROR, "not a SELECT");	/* the text is ours */
	if (query->from != NULL && !IsOf(statement, query->from->relid))
		held_changed(query->from);
	Start(run, statement, dest);
	CheckColumns(query, run->desc->tupDesc);
}

/* ---- Row by row into a function ---- */

typedef struct Receiver
{
	DestReceiver pub;
	QueryRow	receive;
	void	   *arg;
} Receiver;

static void
Startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
Nothing(DestReceiver *self)
{
}

static bool
Receive(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *receiver = (Receiver *) self;

	slot_getallattrs(slot);
	return receiver->receive(slot, receiver->arg);
}

static void
InitReceiver(Receiver *receiver, QueryRow receive, void *arg)
{
	receiver->pub.receiveSlot = Receive;
	receiver->pub.rStartup = Startup;
	receiver->pub.rShutdown = Nothing;
	receiver->pub.rDestroy = Nothing;
	receiver->pub.mydest = DestTuplestore;
	receiver->receive = receive;
	receiver->arg = arg;
}

void
query_receive(const SqlQuery *query, QueryRow receive, void *arg)
{
	Receiver	receiver;
	Run			run;

	InitReceiver(&receiver, receive, arg);
	StartSelect(&run, query, &receiver.pub);
	run_executor(run.desc, 0, true);
	Stop(&run);
	PopSnapshot(&run);
	EndErrors(&run);
	End(&run);
}

typedef struct RowCopy
{
	MemoryContext context;
	Datum	   *values;
	bool	   *nulls;
	bool		found;
} RowCopy;

static bool
CopyRow(TupleTableSlot *slot, void *arg)
{
	RowCopy    *copy = arg;
	MemoryContext outer = MemoryContextSwitchTo(copy->context);
	TupleDesc	desc = slot->tts_tupleDescriptor;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		copy->nulls[i] = slot->tts_isnull[i];
		copy->values[i] = copy->nulls[i] ? (Datum) 0 :
			datumCopy(slot->tts_values[i], att->attbyval, att->attlen);
	}
	MemoryContextSwitchTo(outer);
	copy->found = true;
	return false;
}

bool
query_row(const SqlQuery *query, Datum *values, bool *nulls)
{
	RowCopy		copy = {CurrentMemoryContext, values, nulls, false};

	query_receive(query, CopyRow, &copy);
	return copy.found;
}

typedef struct Texts
{
	MemoryContext context;
	int			ncolumns;
	int			n;
	Size		space;
	char	  **text;
} Texts;

static bool
CopyTexts(TupleTableSlot *slot, void *arg)
{
	Texts	   *texts = arg;
	MemoryContext outer = MemoryContextSwitchTo(texts->context);

	if (texts->n == texts->space)
	{
		texts->space *= 2;
		texts->text = repalloc_huge(texts->text, mul_size(mul_size(texts->space, texts->ncolumns),
														  sizeof(char *)));
	}
	for (int c = 0; c < texts->ncolumns; c++)
		texts->text[(Size) texts->n * texts->ncolumns + c] = slot->tts_isnull[c] ? NULL :
			TextDatumGetCString(slot->tts_values[c]);
	texts->n++;
	MemoryContextSwitchTo(outer);
	return true;
}

char **
query_texts(const char *sql, int nargs, const Oid *types, const Datum *values,
			const bool *nulls, int ncolumns, int *n)
{
	Texts		texts = {CurrentMemoryContext, ncolumns, 0, 16, NULL};
	Oid		   *columns = palloc(ncolumns * sizeof(Oid));
	SqlQuery	query = {
		.sql = sql,
		.nargs = nargs,
		.types = types,
		.values = values,
		.nulls = nulls,
		.ncolumns = ncolumns,
		.columns = columns,
	};

	for (int c = 0; c < ncolumns; c++)
		columns[c] = TEXTOID;
	texts.text = palloc(texts.space * ncolumns * sizeof(char *));
	query_receive(&query, CopyTexts, &texts);
	pfree(columns);
	*n = texts.n;
	return texts.text;
}

/* ---- Writing ---- */

/* Where rules leave nothing of the command that was given. */
static void
RefuseRules(const SqlQuery *query)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s cannot be written", query->from->sql),
			 errdetail("A rule puts something else in the place of what is to be done."),
			 errhint("Drop the rule, or use a trigger in its stead.")));
}

uint64
query_write(const SqlQuery *query, CmdType command)
{
	Run			run;
	ListCell   *cell;
	uint64		written = 0;
	bool		done = false;

	PlanRun(&run, query);
	foreach(cell, run.statements)
	{
		PlannedStmt *statement = lfirst_node(PlannedStmt, cell);

		CommandCounterIncrement();
		UpdateActiveSnapshotCommandId();
		if (statement->commandType == CMD_UTILITY)
		{
			/* A rule's NOTIFY */
			ProcessUtility(statement, query->sql, true, PROCESS_UTILITY_QUERY, run.params,
						   query->environment, None_Receiver, NULL);
			continue;
		}
		if (statement->canSetTag && statement->commandType == command)
		{
			if (!IsOf(statement, query->from->relid))
				held_changed(query->from);
			done = true;
		}
		Start(&run, statement, None_Receiver);
		run_executor(run.desc, 0, true);
		if (statement->canSetTag && statement->commandType == command)
			written = run.desc->estate->es_processed;
		Stop(&run);
	}
	PopSnapshot(&run);
	EndErrors(&run);
	if (!done && !query->counted)
		RefuseRules(query);
	End(&run);
	return written;
}

/* ---- Piece by piece ---- */

struct QueryScan
{
	SqlQuery	query;
	Run			run;
	Receiver	receiver;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	MemoryContext batch_context;
	MinimalTuple batch[ROWS_PER_FETCH];
	int			n;
	int			next;
	bool		done;
};

static bool
KeepRow(TupleTableSlot *slot, void *arg)
{
	QueryScan  *scan = arg;
	MemoryContext outer = MemoryContextSwitchTo(scan->batch_context);

	scan->batch[scan->n++] = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(outer);
	return true;
}

QueryScan *
query_scan_begin(const SqlQuery *query)
{
	QueryScan  *scan = palloc0(sizeof(QueryScan));
	MemoryContext outer;

	scan->query = *query;
	InitReceiver(&scan->receiver, KeepRow, scan);
	StartSelect(&scan->run, &scan->query, &scan->receiver.pub);
	PopSnapshot(&scan->run);
	EndErrors(&scan->run);
	outer = MemoryContextSwitchTo(scan->run.context);
	scan->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(scan->run.desc->tupDesc),
										  &TTSOpsMinimalTuple);
	scan->batch_context = AllocSetContextCreate(scan->run.context, "factor query rows",
												ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(outer);
	return scan;
}

/* Reads the next rows of the query. */
static void
Fetch(QueryScan *scan)
{
	CHECK_FOR_INTERRUPTS();
	ExecClearTuple(scan->slot);
	MemoryContextReset(scan->batch_context);
	scan->n = scan->next = 0;
	BeginErrors(&scan->run);
	PushActiveSnapshot(scan->run.desc->snapshot);
	run_executor(scan->run.desc, ROWS_PER_FETCH, false);
	PopActiveSnapshot();
	EndErrors(&scan->run);
	scan->done = scan->n < ROWS_PER_FETCH;
}

TupleTableSlot *
query_scan_next(QueryScan *scan)
{
	if (scan->next == scan->n)
	{
		if (scan->done)
			return NULL;
		Fetch(scan);
		if (scan->n == 0)
			return NULL;
	}
	ExecStoreMinimalTuple(scan->batch[scan->next++], scan->slot, false);
	slot_getallattrs(scan->slot);
	return scan->slot;
}

void
query_scan_end(QueryScan *scan)
{
	ExecClearTuple(scan->slot);
	Stop(&scan->run);
	End(&scan->run);
	pfree(scan);
}

/* ---- Utility statements ---- */

void
query_utility(const char *sql)
{
	int			status;

	SPI_connect();
	status = SPI_execute(sql, false, 0);
	if (status != SPI_OK_UTILITY)
		elog(ERROR, "could not execute \"%s\": %s", sql, SPI_result_code_string(status)); /* it is one */
	SPI_finish();
}

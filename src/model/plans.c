/*
 * plans.c: SPI plans that a session keeps.
 *
 * A few models, each with a handful of statements, make up what a session asks
 * for, so a short array searched from its start will do. When it is full,
 * further statements are planned for the one call, and at the end of the
 * transaction everything is thrown away: only then is it certain that none of
 * the plans is running further up the stack.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "model/plans.h"

#define MAX_PLANS 64
#define MAX_ARGS 2

typedef struct KeptPlan
{
	char	   *sql;
	int			nargs;
	Oid			types[MAX_ARGS];
	SPIPlanPtr	plan;
} KeptPlan;

static KeptPlan Plans[MAX_PLANS];
static int	PlanCount = 0;
static bool CallbackRegistered = false;

static void
EmptyWhenFull(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (PlanCount < MAX_PLANS)
		return;
	while (PlanCount > 0)
	{
		KeptPlan   *kept = &Plans[--PlanCount];

		SPI_freeplan(kept->plan);
		pfree(kept->sql);
	}
}

SPIPlanPtr
plan_get(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan;
	int			i;

	Assert(nargs <= MAX_ARGS);
	for (i = 0; i < PlanCount; i++)
		if (strcmp(Plans[i].sql, sql) == 0 && Plans[i].nargs == nargs &&
			memcmp(Plans[i].types, types, nargs * sizeof(Oid)) == 0)
			return Plans[i].plan;

	/*
	 * The parameters are ids and vectors, of which one is like another: plan
	 * once for all rather than for each.
	 */
	plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	if (PlanCount < MAX_PLANS)
	{
		KeptPlan   *kept = &Plans[PlanCount];

		if (!CallbackRegistered)
		{
			RegisterXactCallback(EmptyWhenFull, NULL);
			CallbackRegistered = true;
		}
		kept->sql = MemoryContextStrdup(TopMemoryContext, sql);
		kept->nargs = nargs;
		memcpy(kept->types, types, nargs * sizeof(Oid));
		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "could not keep the plan of \"%s\"", sql);
		kept->plan = plan;
		PlanCount++;
	}
	return plan;
}

/*
 * receive.c: the rows of a query, one by one into a function of ours.
 *
 * SPI would keep all of them in memory, and a cursor would fetch them in
 * batches of copies. A destination sees each row where the executor has it, and
 * can end the query by saying that it wants no more.
 */
#include "postgres.h"

#include "nodes/params.h"

#include "compat.h"
#include "model/receive.h"

static void
Startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
Nothing(DestReceiver *self)
{
}

void
receiver_init(DestReceiver *receiver, RowReceiver receive)
{
	receiver->receiveSlot = receive;
	receiver->rStartup = Startup;
	receiver->rShutdown = Nothing;
	receiver->rDestroy = Nothing;
	receiver->mydest = DestTuplestore;	/* not SPI's own */
}

void
receive_rows(DestReceiver *receiver, SPIPlanPtr plan, int nargs,
			 const Oid *types, const Datum *values)
{
	/* As SPI's own: hooks into the executor may not expect an empty list. */
	ParamListInfo params = nargs > 0 ? makeParamList(nargs) : NULL;
	SPIExecuteOptions options = {0};
	int			status;

	for (int i = 0; i < nargs; i++)
	{
		params->params[i].value = values[i];
		params->params[i].isnull = false;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = types[i];
	}
	options.params = params;
	options.read_only = true;
	options.dest = receiver;
	status = SPI_execute_plan_extended(plan, &options);
	if (status != SPI_OK_SELECT)
		elog(ERROR, "could not read rows: %s", SPI_result_code_string(status));
}

/*
 * team.c: parallel workers for a piece of work, where they are to be had.
 *
 * Everything here that works in parallel does so in the same way: numbered pieces,
 * taken from a shared counter by this process and by workers, whose results do not
 * depend on who takes which. So none of it needs a worker, and where none is to be
 * had this process works alone, with the same result.
 *
 * Workers are not to be had where background workers are all in use, which
 * PostgreSQL says by launching none; and where dynamic shared memory is short, for
 * the arrays (bigarray.c) or for the parallel context. Of the latter PostgreSQL
 * raises an error, in the middle of making it, after all arrays may just have
 * fitted. Only a subtransaction can catch that, and a parallel context cannot
 * outlive the subtransaction that it was made in. So the context is made twice:
 * once to see whether it can be, in a subtransaction that it ends with, and if so
 * again. That is some hundred microseconds, where work for workers is seconds.
 * What another session takes between the two is an error still.
 *
 * Rejected: to allocate as much as a context is thought to take (it depends on the
 * number of workers, on settings and libraries, and on whether the session has had
 * a context before); a subtransaction around all of the work (an error would leave
 * it open, and its end would free what the work has made).
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"
#include "train/ratings.h"
#include "train/team.h"

int
team_workers_allowed(void)
{
	if (!IsUnderPostmaster || IsInParallelMode())
		return 0;
	return max_parallel_maintenance_workers;
}

/* ---- What is said ---- */

void
team_no_room(TeamNotes *notes, const char *what)
{
	if (notes->noticed)
		return;
	notes->noticed = true;
	ereport(NOTICE,
			(errmsg("%s without parallel workers", notes->doing),
			 errdetail("There is not enough dynamic shared memory for %s.", what),
			 errhint("On Linux, enlarge /dev/shm; in a container, set its shared memory size.")));
}

static void
NoWorker(TeamNotes *notes)
{
	if (notes->noticed)
		return;
	notes->noticed = true;
	ereport(NOTICE,
			(errmsg("%s without parallel workers", notes->doing),
			 errdetail("No background worker was free."),
			 errhint("You might need to raise max_worker_processes or "
					 "max_parallel_workers.")));
}

/* ---- The context ---- */

static ParallelContext *
MakeContext(const char *worker, int workers, const Size *chunks, int nchunks)
{
	ParallelContext *context;

	EnterParallelMode();
	context = CreateParallelContext("factor", worker, workers);
	for (int k = 0; k < nchunks; k++)
		shm_toc_estimate_chunk(&context->estimator, chunks[k]);
	shm_toc_estimate_keys(&context->estimator, nchunks);
	InitializeParallelDSM(context);
	return context;
}

static void
EndContext(ParallelContext *context)
{
	DestroyParallelContext(context);
	ExitParallelMode();
}

/* Makes a context and ends it; false where there is no room for one. */
static bool
CanMakeContext(const char *worker, int workers, const Size *chunks, int nchunks)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	volatile bool made = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);
	PG_TRY();
	{
		errno = 0;				/* see bigarray_was_no_room() */
		EndContext(MakeContext(worker, workers, chunks, nchunks));
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcontext);
		CurrentResourceOwner = oldowner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(oldcontext);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcontext);
		CurrentResourceOwner = oldowner;

		if (!bigarray_was_no_room(error))
			ReThrowError(error);
		FreeErrorData(error);
		made = false;
	}
	PG_END_TRY();
	return made;
}

ParallelContext *
team_gather(TeamNotes *notes, const char *worker, int workers, const Size *chunks, int nchunks)
{
	if (!CanMakeContext(worker, workers, chunks, nchunks))
	{
		team_no_room(notes, "parallel workers");
		return NULL;
	}
	return MakeContext(worker, workers, chunks, nchunks);
}

void
team_launch(TeamNotes *notes, ParallelContext *context)
{
	LaunchParallelWorkers(context);
	if (context->nworkers == 0)
		team_no_room(notes, "parallel workers");	/* no more segments */
	else if (context->nworkers_launched == 0)
		NoWorker(notes);
}

void
team_dismiss(ParallelContext *context)
{
	WaitForParallelWorkersToFinish(context);
	EndContext(context);
}

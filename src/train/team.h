/*
 * team.h: parallel workers for a piece of work, where they are to be had.
 *
 * Usage, in the leader:
 *
 *	 context = team_gather(&notes, "factor_some_worker", workers, chunks, n);
 *	 if (context == NULL)
 *		 ... do it all here ...
 *	 else
 *	 {
 *		 ... shm_toc_allocate(), shm_toc_insert() ...
 *		 team_launch(&notes, context);
 *		 ... take part ...
 *		 team_dismiss(context);
 *	 }
 *
 * Where there are none the work is done all the same, by this process, and a NOTICE
 * says so: one for a call of a function, however many pieces it has.
 */
#ifndef FACTOR_TEAM_H
#define FACTOR_TEAM_H

#include "postgres.h"

#include "access/parallel.h"

/* What a function has said of its workers. */
typedef struct TeamNotes
{
	const char *doing;			/* "training", say */
	bool		noticed;
} TeamNotes;

/* How many workers anything may have here and now, before its size is known. */
extern int	team_workers_allowed(void);

/*
 * Parallel mode, and a context with room for so many chunks of shared memory, each
 * under a key of its own; NULL, and neither, where dynamic shared memory is short.
 */
extern ParallelContext *team_gather(TeamNotes *notes, const char *worker, int workers,
									const Size *chunks, int nchunks);

extern void team_launch(TeamNotes *notes, ParallelContext *context);

/* Waits until the workers are done; parallel mode ends. */
extern void team_dismiss(ParallelContext *context);

/* Says that there is no room for `what` the workers would have to see. */
extern void team_no_room(TeamNotes *notes, const char *what);

#endif							/* FACTOR_TEAM_H */

/*
 * crew.c: training in parallel workers.
 *
 * Work is done in stages: the Gramian of a side, or the vectors of a side
 * given the other's. A stage is a list of numbered pieces (blocks of rows);
 * the processes take the next number from a shared counter until none is left.
 * A piece's result depends on its number alone, and what is summed over pieces
 * is stored per piece and added up in order by the leader. So the result is
 * the same to the bit however many processes there are and whoever does what.
 *
 * The processes keep in step by one Barrier. An even phase is for the leader
 * to prepare the next stage while the workers wait; an odd phase is for work:
 *
 *	 phase 0   leader: stage := items' vectors		workers: wait
 *	 phase 1   everyone: pieces until none is left
 *	 phase 2   leader: sums, notices, next stage	workers: wait
 *	 ...
 *
 * A worker that starts late attaches to the barrier in whatever phase it
 * finds and joins in; one that never starts is never waited for. A worker
 * that fails reports its error through the parallel context, which the leader
 * notices in any wait, since waits check for interrupts.
 *
 * All vectors, biases, sums and Gramians are in one big array (StateLayout), in
 * dynamic shared memory of its own rather than in the parallel context's, so
 * that where shared memory is short the leader can work alone in local memory
 * (containers often give /dev/shm 64 MB).
 *
 * Rejected: a work queue through shm_mq (a block is milliseconds of work, a
 * counter costs nothing); launching workers anew for each stage (a fork and a
 * library load each); threads (PostgreSQL's backends are single-threaded).
 */
#include "postgres.h"

#include "access/parallel.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/barrier.h"
#include "storage/dsm.h"
#include "storage/shm_toc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "compat.h"
#include "numerics/blas.h"
#include "train/crew_internal.h"
#include "train/team.h"

#define CREW_KEY_SHARED UINT64CONST(0xFAC7000000000001)

/* A Gramian is summed in parts, at most so many and so large together. */
#define GRAMIAN_PARTS_MAX 32
#define GRAMIAN_PARTS_BYTES (32 * 1024 * 1024)
#define GRAMIAN_PART_ROWS 1024

/* Rows between two looks for interrupts. */
#define PENALTY_ROWS 1024

struct Crew
{
	CrewMember	member;
	BigArray	state;
	ParallelContext *parallel;	/* NULL: alone */
	double		mean_square;	/* of the ratings */
};

PGDLLEXPORT void factor_train_worker(dsm_segment *seg, shm_toc *toc);

/* Below this mean square, ratings' products get lost in single precision. */
#define TINY_RATINGS 1e-20

int
crew_scale_hint(double mean_square)
{
	return mean_square < TINY_RATINGS ?
		errhint("Try ratings on a larger scale: train on a view that multiplies them.") :
		errhint("Try a larger regularization, or ratings on a smaller scale.");
}

void
crew_poll(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

/* ---- Layout ---- */

/* Into how many parts a side's Gramian is summed: by its size alone. */
static uint32
GramianParts(const AlsSpec *spec, size_t nrows)
{
	size_t		bytes = sizeof(double) * spec->factors * spec->factors;
	size_t		parts = Min(GRAMIAN_PARTS_MAX, GRAMIAN_PARTS_BYTES / bytes);

	parts = Min(parts, nrows / GRAMIAN_PART_ROWS);
	return Max(parts, 1);
}

/*
 * Lays the member's arrays out from `base` on, and returns the bytes they
 * take; with a NULL base it only measures.
 */
static Size
StateLayout(CrewMember *member, const AlsSpec *spec, const SgdSpec *sgd, char *base)
{
	Size		used = 0;
	Size		square = mul_size(spec->factors, spec->factors);
	uint32		parts = 1;

	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		Size		n = member->matrix[side]->nrows;

		member->side[side].n = n;
		member->side[side].factors =
			bigarray_take(base, &used, mul_size(n, als_stride(spec->factors)), sizeof(float));
		member->side[side].bias = bigarray_take(base, &used, n, sizeof(float));
		member->sums[side] =
			bigarray_take(base, &used, member->matrix[side]->nblocks, sizeof(AlsSums));
		member->gramian[side] = bigarray_take(base, &used, square, sizeof(double));
		parts = Max(parts, GramianParts(spec, n));
	}
	member->part = bigarray_take(base, &used, mul_size(parts, square), sizeof(double));
	if (sgd != NULL)
		epoch_layout(member, spec, sgd, base, &used);
	return used;
}

static AlsWorkspace *
MakeWorkspace(const AlsSpec *spec)
{
	char	   *memory = MemoryContextAllocHuge(CurrentMemoryContext,
												add_size(als_workspace_size(spec), 64));

	return als_workspace_init((void *) TYPEALIGN(64, memory), spec);
}

/* ---- Work ---- */

/*
 * The error is wanted after the users' half, which ends an iteration; after
 * the items' the penalty alone is, which costs no second look at the pairs.
 */
static void
SolvePiece(CrewMember *member, MfSide side, uint32 number)
{
	const AlsSpec *spec = &member->shared->spec;
	MfSide		other = MF_OTHER_SIDE(side);
	AlsSums    *sums = &member->sums[side][number];
	AlsBlock	block;

	rating_matrix_block(member->matrix[side], number, &block);
	if (als_solve_block(member->workspace, &member->side[side], &member->side[other],
						spec->unobserved_weight > 0 ? member->gramian[other] : NULL,
						&block, side == MF_USERS ? sums : NULL, crew_poll, NULL) != NUMERICS_OK)
		pg_atomic_write_u32(&member->shared->diverged, 1);
	if (side == MF_ITEMS)
		sums->penalty = als_penalty(spec, &member->side[side], member->side[other].n, &block);
}

static void
GramianPiece(CrewMember *member, MfSide side, uint32 number, uint32 parts)
{
	const AlsSpec *spec = &member->shared->spec;
	Size		square = (Size) spec->factors * spec->factors;
	double	   *part = member->part + number * square;
	uint64		n = member->side[side].n;

	memset(part, 0, sizeof(double) * square);
	als_gramian(member->workspace, &member->side[side],
				n * number / parts, n * (number + 1) / parts, part, crew_poll, NULL);
}

static uint32
CountPieces(const CrewMember *member)
{
	const CrewShared *shared = member->shared;

	switch (shared->stage)
	{
		case CREW_GRAMIAN:
			return GramianParts(&shared->spec, member->side[shared->side].n);
		case CREW_SOLVE:
			return member->matrix[shared->side]->nblocks;
		case CREW_DESCEND:
		case CREW_STEP:
			return epoch_pieces(member);
		case CREW_DONE:
			break;
	}
	return 0;
}

/* Pieces of the present stage, until none is left. */
static void
WorkStage(CrewMember *member)
{
	CrewShared *shared = member->shared;
	uint32		pieces = CountPieces(member);
	uint32		number;

	while ((number = pg_atomic_fetch_add_u32(&shared->next, 1)) < pieces &&
		   pg_atomic_read_u32(&shared->diverged) == 0)
	{
		CHECK_FOR_INTERRUPTS();
		if (shared->stage == CREW_SOLVE)
			SolvePiece(member, shared->side, number);
		else if (shared->stage == CREW_GRAMIAN)
			GramianPiece(member, shared->side, number, pieces);
		else
			epoch_piece(member, number);
	}
}

/* ---- Workers ---- */

void
crew_load_blas(void)
{
	const char *why = "";
	int			megabytes = (int) (blas_buffer_size() / (1024 * 1024));

	switch (blas_load(&why))
	{
		case BLAS_READY:
			break;
		case BLAS_NO_MEMORY:
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory for OpenBLAS"),
					 errdetail("Each process that computes with it needs its library and %d MB or, with newer versions, %d MB: %s.",
							   megabytes, 2 * megabytes, why),
					 errhint("Raise what the server's processes may map (ulimit -v, vm.overcommit_memory), "
							 "or lower max_parallel_maintenance_workers.")));
			break;
		case BLAS_MISSING:
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FILE),
					 errmsg("could not load OpenBLAS"),
					 errdetail("%s", why),
					 errhint("Install OpenBLAS on the database server, "
							 "for example the package libopenblas0.")));
			break;
		case BLAS_UNUSABLE:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("could not load OpenBLAS"),
					 errdetail("%s", why)));
			break;
	}
}

void
crew_load_blas_for(const AlsSpec *spec)
{
	if (als_needs_blas(spec))
		crew_load_blas();
}

/* What a worker does from its start to its end. */
void
factor_train_worker(dsm_segment *seg, shm_toc *toc)
{
	CrewShared *shared = shm_toc_lookup(toc, CREW_KEY_SHARED, false);
	const SgdSpec *sgd = shared->stochastic ? &shared->epoch.sgd : NULL;
	CrewMember	member = {.shared = shared};
	RatingMatrix matrix[2];
	BigArray	state;
	BigArray	fileset_array = {0};
	SharedFileSet *fileset = NULL;
	int			phase;

	crew_load_blas_for(&shared->spec);
	if (shared->fileset != DSM_HANDLE_INVALID)
	{
		bigarray_attach(&fileset_array, shared->fileset, sizeof(SharedFileSet));
		fileset = fileset_array.data;
		SharedFileSetAttach(fileset, fileset_array.segment);
	}
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		rating_matrix_attach(&shared->matrix[side], fileset, &matrix[side]);
		member.matrix[side] = &matrix[side];
	}
	bigarray_attach(&state, shared->state, shared->state_size);
	StateLayout(&member, &shared->spec, sgd, state.data);
	member.workspace = MakeWorkspace(&shared->spec);
	if (sgd != NULL)
		epoch_member_init(&member, &shared->spec, sgd);

	phase = BarrierAttach(&shared->barrier);
	for (;;)
	{
		if (phase % 2 == 0)
			BarrierArriveAndWait(&shared->barrier, PG_WAIT_EXTENSION);
		if (shared->stage == CREW_DONE)
			break;
		WorkStage(&member);
		BarrierArriveAndWait(&shared->barrier, PG_WAIT_EXTENSION);
		phase = 0;
	}
	BarrierDetach(&shared->barrier);

	/* A worker's end is a commit, which complains of what is still attached. */
	bigarray_free(&state);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		rating_matrix_free(&matrix[side]);
	bigarray_free(&fileset_array);
}

/* ---- The leader ---- */

static void
InitShared(CrewShared *shared, const CrewMember *member, const AlsSpec *spec,
		   const SgdSpec *sgd, int epochs)
{
	memset(shared, 0, sizeof(*shared));
	shared->spec = *spec;
	shared->stochastic = sgd != NULL;
	if (sgd != NULL)
		epoch_shared_init(&shared->epoch, member, sgd, epochs);
	shared->fileset = DSM_HANDLE_INVALID;
	BarrierInit(&shared->barrier, 0);
	BarrierAttach(&shared->barrier);
	pg_atomic_init_u32(&shared->next, 0);
	pg_atomic_init_u32(&shared->diverged, 0);
}

/* False where there is no room for workers: nothing is launched then. */
static bool
Launch(Crew *crew, TeamNotes *notes, const AlsSpec *spec, const SgdSpec *sgd, int epochs,
	   int workers, dsm_segment *fileset_segment)
{
	Size		size = sizeof(CrewShared);
	ParallelContext *parallel = team_gather(notes, "factor_train_worker", workers, &size, 1);
	CrewShared *shared;

	if (parallel == NULL)
		return false;
	shared = shm_toc_allocate(parallel->toc, size);
	InitShared(shared, &crew->member, spec, sgd, epochs);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		rating_matrix_describe(crew->member.matrix[side], side, &shared->matrix[side]);
	shared->state = dsm_segment_handle(crew->state.segment);
	shared->state_size = crew->state.size;
	if (fileset_segment)
		shared->fileset = dsm_segment_handle(fileset_segment);
	shm_toc_insert(parallel->toc, CREW_KEY_SHARED, shared);

	crew->member.shared = shared;
	crew->parallel = parallel;
	team_launch(notes, parallel);
	return true;
}

Crew *
crew_begin(const AlsSpec *spec, const SgdSpec *sgd, int epochs,
		   RatingSet *ratings, int workers, SharedFileSet *fileset,
		   dsm_segment *fileset_segment)
{
	Crew	   *crew = palloc0(sizeof(Crew));
	TeamNotes	notes = {.doing = "training"};
	Size		size;
	bool		shared;
	bool		together = false;

	crew->mean_square = ratings->mean_square;
	crew_load_blas_for(spec);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		crew->member.matrix[side] = &ratings->by[side];

	size = StateLayout(&crew->member, spec, sgd, NULL);
	shared = bigarray_alloc(&crew->state, size, workers > 0 && ratings->shared,
							CurrentMemoryContext);
	StateLayout(&crew->member, spec, sgd, crew->state.data);
	crew->member.workspace = MakeWorkspace(spec);
	if (sgd != NULL)
		epoch_member_init(&crew->member, spec, sgd);

	if (workers > 0 && !(shared && ratings->shared))
		team_no_room(&notes, "the ratings and the factors");
	else if (workers > 0)
		together = Launch(crew, &notes, spec, sgd, epochs, workers, fileset_segment);
	if (!together)
	{
		crew->member.shared = palloc(sizeof(CrewShared));
		InitShared(crew->member.shared, &crew->member, spec, sgd, epochs);
	}
	return crew;
}

int
crew_workers(const Crew *crew)
{
	return crew->parallel ? crew->parallel->nworkers_launched : 0;
}

/* Adds up the parts of a Gramian, in order. */
static void
AddGramianParts(CrewMember *member, MfSide side)
{
	const AlsSpec *spec = &member->shared->spec;
	Size		square = (Size) spec->factors * spec->factors;
	uint32		parts = GramianParts(spec, member->side[side].n);
	double	   *gramian = member->gramian[side];

	memcpy(gramian, member->part, sizeof(double) * square);
	for (uint32 number = 1; number < parts; number++)
		for (Size k = 0; k < square; k++)
			gramian[k] += member->part[number * square + k];
}

void
crew_run(Crew *crew, CrewStage stage, MfSide side)
{
	CrewShared *shared = crew->member.shared;

	shared->stage = stage;
	shared->side = side;
	pg_atomic_write_u32(&shared->next, 0);
	BarrierArriveAndWait(&shared->barrier, PG_WAIT_EXTENSION);
	WorkStage(&crew->member);
	BarrierArriveAndWait(&shared->barrier, PG_WAIT_EXTENSION);

	if (pg_atomic_read_u32(&shared->diverged) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the training diverged"),
				 shared->stochastic ?
				 errdetail("The loss is no longer a finite number.") :
				 errdetail("The vectors of some %s could not be solved for.",
						   side == MF_USERS ? "users" : "items"),
				 shared->stochastic ?
				 errhint("Try a smaller learning_rate, or a larger batch_size.") :
				 crew_scale_hint(crew->mean_square)));
	if (stage == CREW_GRAMIAN)
		AddGramianParts(&crew->member, side);
}

void
crew_prepare_epochs(Crew *crew)
{
	epoch_sides_init(&crew->member, &crew->member.shared->spec);
}

static void
RunGramians(Crew *crew)
{
	crew_run(crew, CREW_GRAMIAN, MF_USERS);
	crew_run(crew, CREW_GRAMIAN, MF_ITEMS);
}

SgdSums
crew_run_epoch(Crew *crew, int epoch, bool still)
{
	CrewShared *shared = crew->member.shared;
	EpochShared *plan = &shared->epoch;
	EpochMember *member = &crew->member.epoch;
	bool		full = plan->sgd.batch_size == 0;
	bool		gramians = shared->spec.unobserved_weight > 0;
	SgdSums		total = {0};

	plan->epoch = epoch;
	plan->still = still;
	sampling_deal(sampling_key(plan->sgd.seed, epoch), member->side[MF_ITEMS].n,
				  plan->nblocks, member->members, member->start, member->group_of,
				  crew_poll, NULL);
	for (plan->stratum = 0; plan->stratum < plan->nblocks; plan->stratum++)
	{
		if (gramians && !full)
			RunGramians(crew);
		crew_run(crew, CREW_DESCEND, MF_USERS);
	}
	if (full)
	{
		if (gramians)
			RunGramians(crew);
		crew_run(crew, CREW_STEP, MF_USERS);
		crew_run(crew, CREW_STEP, MF_ITEMS);
	}
	if (gramians)
		RunGramians(crew);

	for (uint32 k = 0; k < plan->nblocks * plan->nblocks; k++)
	{
		total.loss += member->sums[k].loss;
		total.weight += member->sums[k].weight;
	}
	return total;
}

double
crew_epoch_penalty(Crew *crew)
{
	double		sum = 0;

	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		const SgdSide *rows = &crew->member.epoch.side[side];
		const uint64 *offset = crew->member.matrix[side]->offset.data;

		for (Size from = 0; from < rows->n; from += PENALTY_ROWS)
		{
			CHECK_FOR_INTERRUPTS();
			sum += sgd_penalty(&crew->member.shared->spec, rows, offset, from,
							   Min(from + PENALTY_ROWS, rows->n));
		}
	}
	return sum;
}

AlsSide *
crew_side(Crew *crew, MfSide side)
{
	return &crew->member.side[side];
}

const double *
crew_gramian(const Crew *crew, MfSide side)
{
	return crew->member.gramian[side];
}

AlsSums
crew_sums(const Crew *crew, MfSide side)
{
	AlsSums		total = {0};

	for (uint32 block = 0; block < crew->member.matrix[side]->nblocks; block++)
	{
		const AlsSums *sums = &crew->member.sums[side][block];

		total.weighted_squares += sums->weighted_squares;
		total.weight += sums->weight;
		total.penalty += sums->penalty;
	}
	return total;
}

void
crew_end(Crew *crew)
{
	CrewShared *shared = crew->member.shared;

	shared->stage = CREW_DONE;
	BarrierArriveAndWait(&shared->barrier, PG_WAIT_EXTENSION);
	BarrierDetach(&shared->barrier);
	if (crew->parallel)
	{
		team_dismiss(crew->parallel);
		crew->parallel = NULL;
	}
	crew->member.shared = NULL;
}

void
crew_free(Crew *crew)
{
	bigarray_free(&crew->state);
}

/*
 * epoch.c: the crew's work in a stochastic training (numerics/sgd.h).
 *
 * A block of a stratum is made when its turn comes: the range's users are read
 * from their matrix, wherever that lies, and the pairs with items of the group
 * are kept. So an epoch reads the pairs B times in sequence, at a few
 * nanoseconds a pair, and needs no second copy of them: only one block is in
 * memory for each process, 1/B^2 of the pairs. Sorting the pairs by block once an
 * epoch was rejected for that copy, and so were groups that stay the same from
 * epoch to epoch: with negatives drawn within a group, items of different groups
 * would never be compared.
 *
 * How many ranges there are, where they are cut and what every random number
 * is depend on the data, the options and the seed: never on the processes.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "train/crew_internal.h"

/*
 * There are as many blocks as have so many pairs each, so that the processes,
 * which wait for each other at the end of a stratum, do so seldom.
 */
#define BLOCK_PAIRS UINT64CONST(8192)
#define MIN_BLOCKS 2

/* A group has at least so many items, to draw negatives from. */
#define GROUP_ITEMS 32

/* Rows between two looks for interrupts. */
#define INIT_ROWS 65536

/* ---- Layout ---- */

static uint32
CountBlocks(const CrewMember *member)
{
	const RatingMatrix *users = member->matrix[MF_USERS];
	uint64		pairs = ((const uint64 *) users->offset.data)[users->nrows];
	uint32		blocks = MIN_BLOCKS;

	while (blocks < SGD_MAX_BLOCKS && BLOCK_PAIRS * (blocks + 1) * (blocks + 1) <= pairs)
		blocks++;
	blocks = Min(blocks, users->nblocks);
	return Max(1, Min(blocks, member->matrix[MF_ITEMS]->nrows / GROUP_ITEMS));
}

void
epoch_layout(CrewMember *member, const AlsSpec *spec, const SgdSpec *sgd,
			 char *base, Size *used)
{
	EpochMember *epoch = &member->epoch;
	uint32		blocks = CountBlocks(member);
	Size		items = member->matrix[MF_ITEMS]->nrows;

	for (MfSide which = MF_USERS; which <= MF_ITEMS; which++)
	{
		SgdSide    *side = &epoch->side[which];
		Size		n = member->side[which].n;
		Size		elements = mul_size(n, als_stride(spec->factors));

		memset(side, 0, sizeof(*side));
		side->n = n;
		side->factors = member->side[which].factors;
		side->bias = member->side[which].bias;
		side->penalty = bigarray_take(base, used, n, sizeof(float));
		side->bias_penalty = bigarray_take(base, used, n, sizeof(float));
		if (spec->unobserved_weight > 0)
			side->share = bigarray_take(base, used, n, sizeof(float));
		if (sgd->optimizer == OPTIMIZER_ADAM)
			side->power = bigarray_take(base, used, n, 2 * sizeof(float));
		for (int k = 0; k < OPTIMIZER_STATES(sgd->optimizer); k++)
		{
			side->state[k] = bigarray_take(base, used, elements, sizeof(float));
			side->bias_state[k] = bigarray_take(base, used, n, sizeof(float));
		}
		if (sgd->batch_size != 1)
		{
			side->gradient = bigarray_take(base, used, elements, sizeof(float));
			side->bias_gradient = bigarray_take(base, used, n, sizeof(float));
			side->touched = bigarray_take(base, used, n, sizeof(uint32));
		}
	}
	epoch->sums = bigarray_take(base, used, blocks * blocks, sizeof(SgdSums));
	epoch->members = bigarray_take(base, used, items, sizeof(uint32));
	epoch->start = bigarray_take(base, used, blocks + 1, sizeof(uint32));
	epoch->group_of = bigarray_take(base, used, items, sizeof(uint8));
}

void
epoch_member_init(CrewMember *member, const AlsSpec *spec, const SgdSpec *sgd)
{
	char	   *memory = MemoryContextAllocHuge(CurrentMemoryContext,
												add_size(sgd_workspace_size(spec, sgd), 64));

	member->epoch.workspace = sgd_workspace_init((void *) TYPEALIGN(64, memory), spec, sgd);
	member->epoch.context = CurrentMemoryContext;
}

/* Cuts the users' blocks into ranges of about the same number of pairs. */
void
epoch_shared_init(EpochShared *shared, const CrewMember *member,
				  const SgdSpec *sgd, int epochs)
{
	const RatingMatrix *matrix = member->matrix[MF_USERS];
	const uint64 *offset = matrix->offset.data;
	const uint32 *start = matrix->block_start.data;
	uint32		block = 0;

	shared->sgd = *sgd;
	shared->epochs = epochs;
	shared->pairs = offset[matrix->nrows];
	shared->nblocks = CountBlocks(member);
	for (uint32 b = 0; b < shared->nblocks; b++)
	{
		uint64		target = shared->pairs / shared->nblocks * b;

		/* Every range gets a block at least, and leaves one for each behind. */
		while (block < matrix->nblocks - (shared->nblocks - b) &&
			   offset[start[block]] < target)
			block++;
		shared->range[b] = block;
		block = Min(block + 1, matrix->nblocks);
	}
	shared->range[shared->nblocks] = matrix->nblocks;
}

void
epoch_sides_init(CrewMember *member, const AlsSpec *spec)
{
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		SgdSide    *rows = &member->epoch.side[side];

		for (Size from = 0; from < rows->n; from += INIT_ROWS)
		{
			CHECK_FOR_INTERRUPTS();
			sgd_init_rows(spec, rows, member->side[MF_OTHER_SIDE(side)].n,
						  member->matrix[side]->offset.data,
						  from, Min(from + INIT_ROWS, rows->n));
		}
	}
}

/* ---- A block ---- */

static void *
Grow(MemoryContext context, void *array, Size count, Size size)
{
	if (array != NULL)
		pfree(array);
	return MemoryContextAllocHuge(context, mul_size(count, size));
}

static void
ReserveRows(EpochMember *epoch, uint32 rows)
{
	if (rows <= epoch->rows_space)
		return;
	epoch->rows_space = rows;
	epoch->offset = Grow(epoch->context, epoch->offset, (Size) rows + 1, sizeof(uint32));
}

/* Room for so many entries, those that are there kept. */
static void
ReserveEntries(EpochMember *epoch, uint64 entries)
{
	if (entries <= epoch->entries_space)
		return;
	entries += entries / 4;
	if (entries > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many ratings for stochastic training")));
	if (epoch->entries == NULL)
		epoch->entries = Grow(epoch->context, NULL, entries, sizeof(Rating));
	else
		epoch->entries = repalloc_huge(epoch->entries, mul_size(entries, sizeof(Rating)));
	epoch->samples = Grow(epoch->context, epoch->samples, entries, sizeof(SgdSample));
	epoch->filter = Grow(epoch->context, epoch->filter, sgd_filter_words(entries),
						 sizeof(uint64_t));
	epoch->entries_space = (uint32) entries;
}

/* Adds the rows of one block of the matrix, entries of the group alone. */
static uint32
TakeRows(EpochMember *epoch, const AlsBlock *block, uint8 group, uint32 row, uint32 n)
{
	const uint8 *group_of = epoch->group_of;

	ReserveEntries(epoch, n + block->offset[block->nrows] - block->offset[0]);
	for (size_t k = 0; k < block->nrows; k++)
	{
		const Rating *entry = block->entries + (block->offset[k] - block->offset[0]);
		const Rating *end = block->entries + (block->offset[k + 1] - block->offset[0]);

		epoch->offset[row + k] = n;
		for (; entry < end; entry++)
		{
			/* Without a branch: which group comes next is anyone's guess. */
			epoch->entries[n] = *entry;
			n += group_of[entry->index] == group;
		}
	}
	return n;
}

static void
DescendPiece(CrewMember *member, uint32 range)
{
	const EpochShared *plan = &member->shared->epoch;
	EpochMember *epoch = &member->epoch;
	RatingMatrix *matrix = member->matrix[MF_USERS];
	const uint32 *start = matrix->block_start.data;
	uint32		first = start[plan->range[range]];
	uint32		rows = start[plan->range[range + 1]] - first;
	uint32		group = (range + plan->stratum) % plan->nblocks;
	uint32		n = 0;
	double		strata = (double) plan->epochs * plan->nblocks;
	double		stratum = (double) plan->epoch * plan->nblocks + plan->stratum;
	SgdSums    *sums = &epoch->sums[plan->stratum * plan->nblocks + range];
	SgdBlock	block = {
		.first = first,
		.nrows = rows,
		.members = epoch->members + epoch->start[group],
		.nmembers = epoch->start[group + 1] - epoch->start[group],
		.key = sampling_key(sampling_key(sampling_key(plan->sgd.seed, plan->epoch),
										 plan->stratum), range),
		.progress = stratum / strata,
		.progress_end = (stratum + 1) / strata,
		.still = plan->still,
	};

	ReserveRows(epoch, rows);
	for (uint32 number = plan->range[range]; number < plan->range[range + 1]; number++)
	{
		AlsBlock	part;

		CHECK_FOR_INTERRUPTS();
		rating_matrix_block(matrix, number, &part);
		n = TakeRows(epoch, &part, (uint8) group, (uint32) part.first - first, n);
	}
	epoch->offset[rows] = n;
	block.offset = epoch->offset;
	block.entries = epoch->entries;
	block.samples = epoch->samples;
	block.filter = epoch->filter;

	if (sgd_run_block(epoch->workspace, epoch->side, &block, sums,
					  crew_poll, NULL) != NUMERICS_OK)
		pg_atomic_write_u32(&member->shared->diverged, 1);
}

/* Moves the rows of one block of a side by the gradients of the whole epoch. */
static void
StepPiece(CrewMember *member, MfSide side, uint32 number)
{
	const EpochShared *plan = &member->shared->epoch;
	const uint32 *start = member->matrix[side]->block_start.data;

	sgd_step_rows(member->epoch.workspace, member->epoch.side, side,
				  start[number], start[number + 1], (double) plan->pairs,
				  (double) plan->epoch / plan->epochs, plan->still, crew_poll, NULL);
}

uint32
epoch_pieces(const CrewMember *member)
{
	return member->shared->stage == CREW_DESCEND ? member->shared->epoch.nblocks :
		member->matrix[member->shared->side]->nblocks;
}

void
epoch_piece(CrewMember *member, uint32 number)
{
	if (member->shared->spec.unobserved_weight > 0)
		sgd_set_gramians(member->epoch.workspace, member->gramian[MF_USERS],
						 member->gramian[MF_ITEMS]);
	if (member->shared->stage == CREW_DESCEND)
		DescendPiece(member, number);
	else
		StepPiece(member, member->shared->side, number);
}

/*
 * refresh_solve.c: the rows of a refresh solved, with the kernels of training.
 *
 * The order is that of refresh.c's essay. Pairs whose other end has no vector are
 * left out. Rows that are to be solved are mostly few and scattered, so they are
 * gathered in batches, which the solver takes as the blocks it knows.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "serve/refresh.h"
#include "train/crew.h"
#include "train/progress.h"

/* Rows that are solved together. */
#define BATCH_ROWS 256

static void
Poll(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

static void
SumGramian(Refresh *refresh, MfSide which)
{
	RefreshSide *side = &refresh->side[which];
	Size		square = (Size) refresh->spec.factors * refresh->spec.factors;

	if (side->gramian == NULL)
		return;
	memset(side->gramian, 0, square * sizeof(double));
	side->vectors.n = side->n;
	als_gramian(refresh->workspace, &side->vectors, 0, side->n, side->gramian, Poll, NULL);
	if (side->unread_gramian != NULL)
		for (Size k = 0; k < square; k++)
			side->gramian[k] += side->unread_gramian[k];
}

/* Rows that wait to be solved together, and their pairs. */
typedef struct Batch
{
	uint32		n;
	uint32		row[BATCH_ROWS];
	uint64		offset[BATCH_ROWS + 1];
	Rating	   *entries;
	uint64		capacity;
	AlsSide		solved;
} Batch;

static void
AddRow(Batch *batch, uint32 row, const Rating *entries, uint64 n, const bool *known)
{
	uint64		used = batch->offset[batch->n];

	if (used + n > batch->capacity)
	{
		batch->capacity = Max(2 * batch->capacity, used + n);
		batch->entries = repalloc_huge(batch->entries, mul_size(batch->capacity, sizeof(Rating)));
	}
	for (uint64 k = 0; k < n; k++)
		if (known[entries[k].index])
			batch->entries[used++] = entries[k];
	batch->row[batch->n++] = row;
	batch->offset[batch->n] = used;
}

static void
SolveBatch(Refresh *refresh, MfSide which, uint32 nother, Batch *batch)
{
	RefreshSide *side = &refresh->side[which];
	RefreshSide *other = &refresh->side[MF_OTHER_SIDE(which)];
	size_t		stride = als_stride(refresh->spec.factors);
	AlsBlock	block = {0, batch->n, batch->offset, batch->entries};

	if (batch->n == 0)
		return;
	other->vectors.n = nother;
	if (als_solve_block(refresh->workspace, &batch->solved, &other->vectors, other->gramian,
						&block, NULL, Poll, NULL) != NUMERICS_OK)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the vectors of some %s could not be solved for",
						which == MF_USERS ? "users" : "items"),
				 errhint("Train the model again, with a larger regularization.")));
	for (uint32 k = 0; k < batch->n; k++)
	{
		memcpy(side->vectors.factors + batch->row[k] * stride,
			   batch->solved.factors + k * stride, stride * sizeof(float));
		side->vectors.bias[batch->row[k]] = batch->solved.bias[k];
		side->known[batch->row[k]] = true;
	}
	batch->n = 0;
}

/* Solves the rows that are touched, or of them only those without a vector. */
static void
SolveSide(Refresh *refresh, MfSide which, bool only_new)
{
	RefreshSide *side = &refresh->side[which];
	const RefreshSide *other = &refresh->side[MF_OTHER_SIDE(which)];
	RatingMatrix *matrix = &refresh->ratings->by[which];
	size_t		stride = als_stride(refresh->spec.factors);
	uint32		nother = refresh_count(other) + other->nunread;
	Batch	   *batch = palloc0(sizeof(Batch));
	BigArray	array;

	progress_report("solving %s", which == MF_USERS ? "users" : "items");
	bigarray_alloc(&array, mul_size(BATCH_ROWS, stride * sizeof(float)), false, CurrentMemoryContext);
	batch->solved.factors = array.data;
	batch->solved.bias = palloc0(BATCH_ROWS * sizeof(float));
	batch->solved.n = BATCH_ROWS;
	batch->capacity = 1024;
	batch->entries = palloc(batch->capacity * sizeof(Rating));

	for (uint32 b = 0; b < matrix->nblocks; b++)
	{
		AlsBlock	block;

		CHECK_FOR_INTERRUPTS();
		rating_matrix_block(matrix, b, &block);
		for (size_t k = 0; k < block.nrows; k++)
		{
			uint32		row = block.first + k;

			if (!side->touched[row] || (only_new && side->known[row]))
				continue;
			AddRow(batch, row, block.entries + (block.offset[k] - block.offset[0]),
				   block.offset[k + 1] - block.offset[k], other->known);
			if (batch->n == BATCH_ROWS)
				SolveBatch(refresh, which, nother, batch);
		}
	}
	SolveBatch(refresh, which, nother, batch);
	pfree(batch->entries);
	pfree(batch->solved.bias);
	bigarray_free(&array);
	pfree(batch);
}

void
refresh_solve(Refresh *refresh)
{
	char	   *memory = MemoryContextAllocHuge(CurrentMemoryContext,
												add_size(als_workspace_size(&refresh->spec), 64));

	crew_load_blas_for(&refresh->spec);
	refresh->workspace = als_workspace_init((void *) TYPEALIGN(64, memory), &refresh->spec);
	SumGramian(refresh, MF_ITEMS);
	SolveSide(refresh, MF_USERS, true);
	SumGramian(refresh, MF_USERS);
	SolveSide(refresh, MF_ITEMS, false);
	SumGramian(refresh, MF_ITEMS);
	SolveSide(refresh, MF_USERS, false);
	SumGramian(refresh, MF_USERS);
}

/*
 * matrix.c: a side's pairs in blocks, in this process and in workers.
 *
 * Blocks are cut by the data alone, so that whatever is summed block by block
 * is the same with much memory or little and with any number of workers.
 */
#include "postgres.h"

#include <fcntl.h>

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "compat.h"
#include "train/matrix.h"

/*
 * A block has at most so many pairs, unless one row has more, and at most so
 * many rows: 1 MB of entries stays in a second-level cache. Small data is cut
 * finer, so that there is something to share out.
 */
#define BLOCK_PAIRS_MAX	((uint64) 131072)
#define BLOCK_PAIRS_MIN	((uint64) 4096)
#define BLOCK_ROWS		16384
#define BLOCKS_WANTED	128

/* A temporary file is a sequence of files of this size. */
#define BUFFILE_SEGMENT	((uint64) 1 << 30)

static inline const uint64 *
Offsets(const RatingMatrix *matrix)
{
	return (const uint64 *) matrix->offset.data;
}

/* The end of the block that starts at a row. */
static uint32
BlockEnd(const RatingMatrix *matrix, uint32 start, uint64 target)
{
	const uint64 *offset = Offsets(matrix);
	uint32		end = start + 1;

	while (end < matrix->nrows && end - start < BLOCK_ROWS &&
		   offset[end + 1] - offset[start] <= target)
		end++;
	return end;
}

bool
matrix_cut_blocks(RatingMatrix *matrix, bool shared, MemoryContext context)
{
	const uint64 *offset = Offsets(matrix);
	uint64		target = offset[matrix->nrows] / BLOCKS_WANTED;
	uint32	   *start;
	bool		given;

	target = Min(Max(target, BLOCK_PAIRS_MIN), BLOCK_PAIRS_MAX);

	matrix->nblocks = 0;
	for (uint32 row = 0; row < matrix->nrows; row = BlockEnd(matrix, row, target))
	{
		CHECK_FOR_INTERRUPTS();
		matrix->nblocks++;
	}

	given = bigarray_alloc(&matrix->block_start,
						   mul_size((Size) matrix->nblocks + 1, sizeof(uint32)),
						   shared, context);
	start = (uint32 *) matrix->block_start.data;
	matrix->max_block_pairs = 0;
	for (uint32 block = 0; block < matrix->nblocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		start[block + 1] = BlockEnd(matrix, start[block], target);
		matrix->max_block_pairs = Max(matrix->max_block_pairs,
									  offset[start[block + 1]] - offset[start[block]]);
	}
	return given;
}

const char *
matrix_file_name(MfSide side)
{
	return side == MF_USERS ? "factor_by_user" : "factor_by_item";
}

void
matrix_set_file(RatingMatrix *matrix, BufFile *file, MemoryContext context)
{
	matrix->file = file;
	matrix->buffer = MemoryContextAllocHuge(context,
											mul_size(matrix->max_block_pairs,
													 sizeof(Rating)));
}

/* Entries of a block, out of the file. */
static const Rating *
ReadEntries(RatingMatrix *matrix, uint64 from, uint64 to)
{
	uint64		byte = from * sizeof(Rating);

	if (BufFileSeek(matrix->file, (int) (byte / BUFFILE_SEGMENT),
					(off_t) (byte % BUFFILE_SEGMENT), SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in temporary file of ratings")));
	BufFileReadExact(matrix->file, matrix->buffer,
					 (to - from) * sizeof(Rating));
	return matrix->buffer;
}

void
rating_matrix_block(RatingMatrix *matrix, uint32 number, AlsBlock *block)
{
	const uint32 *start = (const uint32 *) matrix->block_start.data;
	const uint64 *offset = Offsets(matrix);
	uint32		first = start[number];
	uint32		end = start[number + 1];

	block->first = first;
	block->nrows = end - first;
	block->offset = offset + first;
	if (matrix->file != NULL)
		block->entries = ReadEntries(matrix, offset[first], offset[end]);
	else
		block->entries = (const Rating *) matrix->entries.data + offset[first];
}

/* ---- Workers ---- */

void
rating_matrix_describe(const RatingMatrix *matrix, MfSide side,
					   RatingMatrixHandle *handle)
{
	memset(handle, 0, sizeof(*handle));
	handle->nrows = matrix->nrows;
	handle->nblocks = matrix->nblocks;
	handle->max_block_pairs = matrix->max_block_pairs;
	handle->offset = dsm_segment_handle(matrix->offset.segment);
	handle->offset_size = matrix->offset.size;
	handle->block_start = dsm_segment_handle(matrix->block_start.segment);
	handle->block_start_size = matrix->block_start.size;
	if (matrix->file != NULL)
	{
		handle->entries = DSM_HANDLE_INVALID;
		strlcpy(handle->file, matrix_file_name(side), sizeof(handle->file));
	}
	else
	{
		handle->entries = dsm_segment_handle(matrix->entries.segment);
		handle->entries_size = matrix->entries.size;
	}
}

void
rating_matrix_attach(const RatingMatrixHandle *handle, SharedFileSet *fileset,
					 RatingMatrix *matrix)
{
	memset(matrix, 0, sizeof(*matrix));
	matrix->nrows = handle->nrows;
	matrix->nblocks = handle->nblocks;
	matrix->max_block_pairs = handle->max_block_pairs;
	bigarray_attach(&matrix->offset, handle->offset, handle->offset_size);
	bigarray_attach(&matrix->block_start, handle->block_start,
					handle->block_start_size);
	if (handle->entries == DSM_HANDLE_INVALID)
		matrix_set_file(matrix,
						BufFileOpenFileSet(SharedFileSetFiles(fileset),
										   handle->file, O_RDONLY, false),
						CurrentMemoryContext);
	else
		bigarray_attach(&matrix->entries, handle->entries,
						handle->entries_size);
}

void
rating_matrix_free(RatingMatrix *matrix)
{
	bigarray_free(&matrix->offset);
	bigarray_free(&matrix->block_start);
	bigarray_free(&matrix->entries);
	if (matrix->file != NULL)
		BufFileClose(matrix->file);
	if (matrix->buffer != NULL)
		pfree(matrix->buffer);
	memset(matrix, 0, sizeof(*matrix));
}

void
ratings_free(RatingSet *set)
{
	rating_matrix_free(&set->by[MF_USERS]);
	rating_matrix_free(&set->by[MF_ITEMS]);
}

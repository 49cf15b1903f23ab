/*
 * stream.c: triples as batches, from wherever they are.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "train/matrix.h"

/* Triples of a batch that is copied: they stay in the first-level cache. */
#define BATCH	2048

/* Codes become places in the sorted order. */
static inline void
RankTriples(const TripleSource *source, Triple *triples, uint32 n)
{
	for (uint32 k = 0; k < n; k++)
	{
		triples[k].row = source->row_rank[triples[k].row];
		triples[k].index = source->index_rank[triples[k].index];
	}
}

static const Triple *
NextOfList(TripleSource *source, uint32 *n)
{
	if (source->chunk != NULL)
		triple_chunk_free(source->pool, source->chunk);
	source->chunk = triple_list_pop(source->list);
	if (source->chunk == NULL)
		return NULL;

	*n = source->chunk->n;
	RankTriples(source, source->chunk->triples, *n);
	return source->chunk->triples;
}

static const Triple *
NextOfFile(TripleSource *source, uint32 *n)
{
	if (source->left == 0)
		return NULL;

	*n = (uint32) Min(source->left, BATCH);
	BufFileReadExact(source->file, source->batch, *n * sizeof(Triple));
	source->left -= *n;
	if (source->row_rank != NULL)
		RankTriples(source, source->batch, *n);
	return source->batch;
}

static const Triple *
NextOfMatrix(TripleSource *source, uint32 *n)
{
	uint32		filled = 0;

	while (filled < BATCH)
	{
		const AlsBlock *block = &source->current;
		uint64		end;

		if (source->row == block->nrows)
		{
			if (source->block == source->matrix->nblocks)
				break;
			rating_matrix_block(source->matrix, source->block++,
								&source->current);
			source->row = 0;
			source->entry = 0;
			continue;
		}

		end = block->offset[source->row + 1] - block->offset[0];
		for (; source->entry < end && filled < BATCH; source->entry++, filled++)
		{
			const Rating *entry = &block->entries[source->entry];

			source->batch[filled].row = entry->index;
			source->batch[filled].index = (uint32) (block->first + source->row);
			source->batch[filled].value = entry->value;
		}
		if (source->entry == end)
			source->row++;
	}
	*n = filled;
	return filled > 0 ? source->batch : NULL;
}

/* The ratings as read, ranked, as the users see them. */
void
stream_raw(TripleSource *source, RawRatings *raw, const IdRanks ranks[2])
{
	if (raw->file != NULL)
	{
		if (BufFileSeek(raw->file, 0, 0, SEEK_SET) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not rewind temporary file")));
		stream_file(source, raw->file, raw->n);
	}
	else
	{
		memset(source, 0, sizeof(*source));
		source->next = NextOfList;
		source->pool = &raw->pool;
		source->list = &raw->list;
	}
	source->row_rank = ranks[MF_USERS].rank;
	source->index_rank = ranks[MF_ITEMS].rank;
}

/* The next n triples of a file. */
void
stream_file(TripleSource *source, BufFile *file, uint64 n)
{
	memset(source, 0, sizeof(*source));
	source->next = NextOfFile;
	source->file = file;
	source->left = n;
	source->batch = palloc(BATCH * sizeof(Triple));
}

/* A matrix's pairs as the other side sees them, sorted by index. */
void
stream_transposed(TripleSource *source, RatingMatrix *matrix)
{
	memset(source, 0, sizeof(*source));
	source->next = NextOfMatrix;
	source->matrix = matrix;
	source->batch = palloc(BATCH * sizeof(Triple));
}

void
stream_end(TripleSource *source)
{
	if (source->batch != NULL)
		pfree(source->batch);
	memset(source, 0, sizeof(*source));
}

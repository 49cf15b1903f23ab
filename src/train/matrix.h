/*
 * matrix.h: from ratings as read to a RatingSet's two matrices.
 */
#ifndef FACTOR_MATRIX_H
#define FACTOR_MATRIX_H

#include "train/ids.h"
#include "train/triples.h"

/*
 * The ratings as read: row and index of a triple are the codes of the user
 * and the item. In memory, or in a file once they have outgrown it.
 */
typedef struct RawRatings
{
	TriplePool	pool;
	TripleList	list;
	BufFile    *file;			/* NULL: all in the list */
	uint64		n;
} RawRatings;

/*
 * Bytes that a rating needs at most when all stays in memory: while the
 * second matrix is made, a triple and an entry of each matrix.
 */
#define BYTES_PER_RATING	(sizeof(Triple) + 2 * sizeof(Rating))

/*
 * A stream of triples, batch after batch, each valid until the next call;
 * NULL at the end.
 */
typedef struct TripleSource TripleSource;
struct TripleSource
{
	const Triple *(*next) (TripleSource *source, uint32 *n);

	TriplePool *pool;			/* a list, whose chunks are freed on the way */
	TripleList *list;
	TripleChunk *chunk;

	BufFile    *file;			/* or a file's next triples */
	uint64		left;

	RatingMatrix *matrix;		/* or a matrix, transposed */
	uint32		block;
	AlsBlock	current;
	size_t		row;
	uint64		entry;

	const uint32 *row_rank;		/* NULL: rows and indexes are ranks already */
	const uint32 *index_rank;
	Triple	   *batch;
};

/*
 * The ratings as read, ranked, as the users see them; the next n triples of a
 * file; a matrix's pairs as the other side sees them, sorted by index.
 */
extern void stream_raw(TripleSource *source, RawRatings *raw,
					   const IdRanks ranks[2]);
extern void stream_file(TripleSource *source, BufFile *file, uint64 n);
extern void stream_transposed(TripleSource *source, RatingMatrix *matrix);
extern void stream_end(TripleSource *source);

/* Everything that making the matrices needs. */
typedef struct MatrixSpec
{
	const RatingSource *source;
	const IdRanks *ranks;		/* of both sides */
	bool		shared;			/* workers shall be able to attach them */
	bool		in_file;		/* entries go to files */
	SharedFileSet *fileset;		/* for files that are shared */
	Size		memory;			/* bytes that may be used, as a rule */
} MatrixSpec;

/*
 * Makes set->by[], and what of the set depends on the pairs, in the current
 * memory context; consumes `raw`.
 */
extern void matrices_build(const MatrixSpec *spec, RawRatings *raw,
						   RatingSet *set);

/* Cuts a matrix whose offsets are known into blocks. */
extern bool matrix_cut_blocks(RatingMatrix *matrix, bool shared,
							  MemoryContext context);

/* The entries are in this file; max_block_pairs is known. */
extern void matrix_set_file(RatingMatrix *matrix, BufFile *file,
							MemoryContext context);

/* The name of a side's file in the file set. */
extern const char *matrix_file_name(MfSide side);

#endif							/* FACTOR_MATRIX_H */

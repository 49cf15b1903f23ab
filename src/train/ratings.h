/*
 * ratings.h: a rating table, read once and indexed both ways.
 *
 * ratings_read() runs one SELECT as the caller and streams its rows into a
 * receiver that gives every id a dense index. Afterwards the ids are sorted,
 * pairs that occur twice are merged, and the pairs are kept twice, by user and
 * by item, cut into blocks of whole rows. Blocks are the unit of work of the
 * parallel workers, and what is read at once when the pairs lie in a file.
 */
#ifndef FACTOR_RATINGS_H
#define FACTOR_RATINGS_H

#include "postgres.h"
#include "storage/dsm.h"
#include "storage/sharedfileset.h"

#include "factor.h"
#include "model/idrelation.h"
#include "model/model.h"
#include "numerics/als.h"

/* ---- A big array (bigarray.c) ---- */

/*
 * In a dynamic shared memory segment of its own, so that workers can attach
 * it, or in local memory; of any size, beyond 1 GB too; 64-byte aligned and
 * zeroed.
 */
typedef struct BigArray
{
	void	   *data;
	Size		size;
	dsm_segment *segment;		/* NULL: local */
	void	   *local;			/* what to pfree, when local */
} BigArray;

/*
 * Allocates in shared memory if `shared`, and returns true; where there is no
 * shared memory to be had, or `shared` is false, allocates in `context`
 * (kept huge-safe) and returns whether what was asked for was given. Shared
 * arrays are freed by the current resource owner, at an error for instance;
 * they cannot be made in parallel mode.
 */
extern bool bigarray_alloc(BigArray *array, Size size, bool shared,
						   MemoryContext context);
extern void bigarray_attach(BigArray *array, dsm_handle handle, Size size);
extern void bigarray_free(BigArray *array);

/* Is this what dsm_create() raises where there is no room? */
extern bool bigarray_was_no_room(const ErrorData *error);

/*
 * To lay several arrays out in one: the next `count` elements from *used on,
 * 64-byte aligned. With a NULL base, *used alone is counted up.
 */
extern void *bigarray_take(char *base, Size *used, Size count, Size size);

/* ---- Ratings ---- */

typedef enum HoldoutKind
{
	HOLDOUT_NONE,
	HOLDOUT_RANDOM,				/* pairs by a hash of their ids */
	HOLDOUT_TIME				/* each user's last pairs */
} HoldoutKind;

/*
 * The seed of mf_holdout() that training holds out by. Not one that people
 * split with themselves: what such a split leaves shall have pairs to hold out.
 */
#define HOLDOUT_SEED INT64CONST(-1)

typedef struct RatingSource
{
	Oid			relid;
	Held		held;			/* open from ratings_open() to ratings_close() */
	const char *user_col;
	const char *item_col;
	const char *rating_col;		/* NULL: every row counts 1 */
	const char *time_col;		/* NULL: none */
	bool		recorded;		/* named by a model, not by the caller */
	bool		implicit;		/* a pair's values are summed, not averaged;
								 * negative ones are errors */

	/* Which rows count, and which pairs of them. */
	const char *min_rating;		/* a decimal, as it was written; NULL: any */
	const char *since;			/* of time_col's type; NULL: always */
	int			min_ratings[2]; /* pairs that an id must have; 0: any */
	HoldoutKind holdout;
	double		holdout_fraction;

	/*
	 * With `restricted` only the pairs of these users or of these items are read.
	 * Not together with min_ratings or holdout, which need all pairs.
	 */
	bool		restricted;
	IdArray		only[2];
} RatingSource;

/* The ids of one side, sorted by their type's btree order. */
typedef struct IdSet
{
	ModelKey	key;
	uint32		n;
	Datum	   *ids;
	uint64	   *hash;			/* of the id's text, for its first vector */
	uint32	   *ratings;		/* pairs an id has */
	double	   *rating_sum;		/* sum of its pairs' values, in order */
	uint64	   *digest;			/* of its rows (digest.h) */
} IdSet;

/* The pairs as one side's rows see them. */
typedef struct RatingMatrix
{
	uint32		nrows;
	uint32		nblocks;
	uint64		max_block_pairs;
	BigArray	offset;			/* uint64[nrows + 1] */
	BigArray	block_start;	/* uint32[nblocks + 1], first rows */
	BigArray	entries;		/* Rating[pairs]; data NULL: in a file */
	struct BufFile *file;		/* open for reading, or NULL */
	Rating	   *buffer;			/* one block, when in a file */
} RatingMatrix;

/* A pair that is kept from the training, to measure it by. */
typedef struct HeldPair
{
	uint32		row[2];			/* user, item */
	float		value;
} HeldPair;

typedef struct RatingSet
{
	IdSet		ids[2];
	RatingMatrix by[2];
	bool		shared;			/* everything big is in shared memory or
								 * shared files, so workers can attach */
	uint64		rows;			/* read */
	uint64		skipped;		/* of them, for a NULL */
	uint64		pairs;			/* distinct */
	struct HeldPair *held;		/* held out, in the order of users and items */
	uint64		nheld;
	uint64		held_unknown;	/* held out, of ids without other pairs */
	double		mean;			/* of the pairs' values, in sorted order */
	double		mean_square;	/* of their squares */
	double		lowest;			/* of the rows' values, as they are */
	double		highest;
	double		min;			/* of the pairs', as the column shows it */
	double		max;
} RatingSet;

/*
 * The names, types, typmods and collations of the source's key columns, with
 * every check that can be made before reading: the relation's kind, the
 * columns (hint: those that are there), the right to read them, the ordering of
 * the id types, a numeric rating column. A column of a domain makes a key of the
 * domain's base type. The relation stays locked (ACCESS SHARE) and open (held.h)
 * until ratings_close().
 */
extern void ratings_open(RatingSource *source, ModelKey key[2]);
extern void ratings_close(RatingSource *source);

/*
 * Reads the ratings of an open source and indexes them. `want_shared` asks for memory that
 * workers can attach; `fileset` is for pairs that go to files that workers
 * read. Everything is allocated in the current memory context.
 */
extern RatingSet *ratings_read(const RatingSource *source, bool want_shared,
							   SharedFileSet *fileset);

/* A NOTICE of the rows of a table that were left out for a NULL, if there are any. */
extern void ratings_report_skipped(const char *name, uint64 skipped);

/*
 * One side of all ratings as read: its ids without their `ratings` and
 * `rating_sum`, and by their places in order the digest of each id's rows, and
 * whether its pairs are wanted, false at first.
 */
typedef struct RatingTotals
{
	const IdSet *ids;
	const uint64 *digest;
	bool	   *wanted;
} RatingTotals;

typedef void (*RatingChooser) (void *arg, const RatingTotals totals[2]);

/*
 * The same in local memory, of the pairs with a wanted user or item alone. The
 * set has all ids, but counts, sums and digests, the mean and the extremes speak of these
 * pairs. Where there are none, there are no blocks either. Not for a source that
 * selects among pairs.
 */
extern RatingSet *ratings_read_some(const RatingSource *source, RatingChooser choose,
									void *arg);

/*
 * Gives back shared memory and files, in the process that read the ratings.
 * Without an error it must be called, or the server warns of leaks; at an
 * error they are freed by themselves.
 */
extern void ratings_free(RatingSet *set);

/* ---- Sharing a matrix with workers: plain data for the DSM ---- */

typedef struct RatingMatrixHandle
{
	uint32		nrows;
	uint32		nblocks;
	uint64		max_block_pairs;
	dsm_handle	offset;
	dsm_handle	block_start;
	dsm_handle	entries;		/* DSM_HANDLE_INVALID: in a file */
	Size		offset_size;
	Size		block_start_size;
	Size		entries_size;
	char		file[64];
} RatingMatrixHandle;

extern void rating_matrix_describe(const RatingMatrix *matrix, MfSide side,
								   RatingMatrixHandle *handle);
extern void rating_matrix_attach(const RatingMatrixHandle *handle,
								 SharedFileSet *fileset, RatingMatrix *matrix);

/*
 * In a worker: detaches what rating_matrix_attach() attached.
 */
extern void rating_matrix_free(RatingMatrix *matrix);

/*
 * Block `number` as the solver takes it. From a file it is read into the
 * matrix's buffer, so it is valid until the next call.
 */
extern void rating_matrix_block(RatingMatrix *matrix, uint32 number,
								AlsBlock *block);

#endif							/* FACTOR_RATINGS_H */

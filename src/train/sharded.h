/*
 * sharded.h: what the files of mf_train_sharded share.
 *
 * In reading order: sharded.c has the idea and the iterations, sharded_sources.c
 * the tables and the queries' parts, sharded_count.c what comes before the first
 * iteration, sharded_half.c half an iteration.
 */
#ifndef FACTOR_SHARDED_H
#define FACTOR_SHARDED_H

#include "postgres.h"
#include "access/tupdesc.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/snapshot.h"
#include "utils/tuplestore.h"

#include "rank/vector.h"
#include "train/options.h"
#include "train/ratings.h"

/* The columns of a side's rows. */
enum
{
	ROW_ID, ROW_BIAS, ROW_FACTORS, ROW_ERROR, ROW_RATINGS, ROW_SUM, ROW_DIGEST, ROW_NATTS
};

/* One side: where it is solved, where its vectors go, and the last of them. */
typedef struct ShardedSide
{
	RatingSource source;		/* partitioned by this side's ids */
	ModelKey	key;
	int			ncopies;
	Held	   *copies;			/* open while they are written */
	TupleDesc	desc;
	Tuplestorestate *rows;
	uint32		n;
	double		squares;		/* sum of c (r - rhat)^2 */
	double		penalty;
	double	   *gramian;		/* d x d, where unobserved pairs count */
} ShardedSide;

typedef struct Sharded
{
	const char *schema;			/* of the extension, quoted */
	MemoryContext context;
	TrainOptions options;
	Snapshot	snapshot;		/* of every query */
	RatingSet	ratings;		/* counts and moments only */
	double		rating_sum;
	ShardedSide side[2];
} Sharded;

/* ---- Tables, and queries of them (sharded_sources.c) ---- */

/* The arguments: four of its own, then as in mf_train. */
extern void sharded_read_options(FunctionCallInfo fcinfo, Sharded *sharded);

/* Checks the tables of ratings and the copies; returns the model's keys. */
extern void sharded_check_sources(Sharded *sharded, ModelKey key[2]);

/* The value of a rating. */
extern const char *sharded_rating_text(const RatingSource *source);

/* " FROM ... WHERE <all there> GROUP BY <the side's ids>" */
extern void sharded_append_groups(StringInfo sql, const ShardedSide *side);

/* " FROM ... WHERE <not all there>" */
extern void sharded_append_skipped(StringInfo sql, const ShardedSide *side);

/*
 * Runs a query of a side's ratings, its rows, of these types, into a tuplestore of
 * the training's. It sees what was there when the training began, and what the
 * training has written.
 */
extern Tuplestorestate *sharded_query(const Sharded *sharded, const ShardedSide *side,
									  const char *sql, TupleDesc desc);

/* Likewise, a query of one row of numbers. */
extern void sharded_query_numbers(const Sharded *sharded, const ShardedSide *side,
								  const char *sql, int n, int64 *numbers);

/* How many ratings there are in a side's table by now. */
extern uint64 sharded_ratings(const Sharded *sharded, MfSide side);

/* May rows of the two tables have been read at different moments? */
extern bool sharded_several_moments(const Sharded *sharded);

extern void sharded_empty_copies(const ShardedSide *side);

/* ---- Before the first iteration (sharded_count.c) ---- */

/*
 * Settles what is seen: the snapshot of this server, and with the first query,
 * which counts the rows that are left out, that of every other.
 */
extern void sharded_begin(Sharded *sharded);

/*
 * Fills in the counts and moments of the ratings, and with the users' ids; an
 * error where the two tables cannot hold the same ratings, or none. The copies
 * have been emptied.
 */
extern void sharded_count(Sharded *sharded);

/* The users' first vectors, as mf_train makes them. */
extern void sharded_first_users(Sharded *sharded);

/* ---- Half an iteration (sharded_half.c) ---- */

/* The vector in a row of a side, which another server may have made: checked. */
extern Vector sharded_vector(const Sharded *sharded, const ShardedSide *side, Datum factors);

/* Counts a side's rows and forms its sums; returns the ratings they stand for. */
extern uint64 sharded_summarize(Sharded *sharded, ShardedSide *side, uint32 others);

/* Writes a side's rows into all its copies. */
extern void sharded_write_copies(const ShardedSide *side);

/*
 * Solves a side from the other side's copies; in the last iteration with the
 * digests of the ratings, which are the same in each.
 */
extern void sharded_run_half(Sharded *sharded, MfSide side, bool last);

#endif							/* FACTOR_SHARDED_H */

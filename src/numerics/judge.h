/*
 * judge.h: where a user's relevant items come among all items, and the k best,
 * for many users at once, exactly.
 *
 * Items are ranked for a user by the inner product of their vectors, as
 * vector_dot() gives it: equal products by the item's place.
 */
#ifndef FACTOR_JUDGE_H
#define FACTOR_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numerics/status.h"
#include "numerics/topheap.h"

/* Users that are judged together. */
#define JUDGE_TILE 256

/* Floats from one vector to the next, for vectors of this length. */
extern size_t judge_stride(size_t length);

/* Vectors are finite, `stride` floats each, zero beyond `length`. */
typedef struct JudgeItems
{
	const float *vectors;
	const float *norm;			/* of each, by judge_norm() */
	size_t		n;
	size_t		length;
	size_t		stride;
} JudgeItems;

/* A relevant item, and how many candidates come before it. */
typedef struct JudgeTarget
{
	uint32_t	item;
	double		score;			/* out: its product */
	uint64_t	above;			/* out: candidates of a larger product */
	uint64_t	tied;			/* out: of the same, itself included */
} JudgeTarget;

typedef struct JudgeUser
{
	const float *vector;
	const uint32_t *skip;		/* items that are no candidates, ascending */
	size_t		nskip;
	JudgeTarget *targets;		/* none of them skipped */
	size_t		ntargets;
	TopHeap		best;			/* an empty heap; out: sorted, best first */
} JudgeUser;

/* A vector's norm, rounded up. */
extern float judge_norm(const float *vector, size_t length);

/* Memory for judge_users(): its size, and its making in memory given. */
typedef struct JudgeWork JudgeWork;
extern size_t judge_work_size(size_t length);
extern JudgeWork *judge_work_init(void *memory, size_t length);

/* Judges up to JUDGE_TILE users. OpenBLAS must be loaded. */
extern void judge_users(JudgeWork *work, const JudgeItems *items, JudgeUser *users,
						size_t n, NumericsPoll poll, void *arg);

#endif							/* FACTOR_JUDGE_H */

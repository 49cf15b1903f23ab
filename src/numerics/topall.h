/*
 * topall.h: the k best rows for each of many vectors, exactly.
 *
 * Rows (items) are ranked for queries (users) by their inner product as
 * vector_dot() gives it, equal products by the row's place. Single precision
 * finds what may be among the best; double precision decides.
 */
#ifndef FACTOR_TOPALL_H
#define FACTOR_TOPALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numerics/status.h"
#include "numerics/topheap.h"

/* Queries that are ranked for together. */
#define TOPALL_TILE 256

/* Floats from one row to the next, for vectors of this length. */
extern size_t topall_stride(size_t length);

/*
 * The rows: `regular` ones in the order of decreasing norms, then those whose
 * norms are beyond what single precision can multiply.
 */
typedef struct TopAllRows
{
	const float *vectors;		/* n rows of `stride` floats, zero beyond length */
	const float *norm;			/* of the regular ones, rounded up */
	const uint32_t *place;		/* of a row: ties go to the lower */
	size_t		n;
	size_t		regular;
	size_t		length;
	size_t		stride;
} TopAllRows;

typedef struct TopAllQuery
{
	const float *vector;		/* `stride` floats, zero beyond length */
	const uint32_t *skip;		/* rows to leave out, ascending */
	size_t		nskip;
	TopHeap		best;			/* an empty heap; out: sorted, best first, each
								 * row by its place */
} TopAllQuery;

/* The norm of a vector for TopAllRows, and whether it makes the row regular. */
extern bool topall_norm(const float *vector, size_t length, float *norm);

/* Memory for topall_rank(): its size, and its making in memory given. */
typedef struct TopAllWork TopAllWork;
extern size_t topall_work_size(size_t length);
extern TopAllWork *topall_work_init(void *memory, size_t length);

/*
 * Ranks the rows for up to TOPALL_TILE queries. Rows whose product is NaN are
 * left out. OpenBLAS must be loaded.
 */
extern void topall_rank(TopAllWork *work, const TopAllRows *rows,
						TopAllQuery *queries, size_t n,
						NumericsPoll poll, void *arg);

#endif							/* FACTOR_TOPALL_H */

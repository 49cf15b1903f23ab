/*
 * topall.h: the k best rows for each of many vectors, exactly.
 *
 * Rows (items) are ranked for queries (users) by their inner product as
 * vector_dot() gives it, equal products by the row's place. Codes of 8 bits
 * (screen.h) tell what may be among the best; double precision decides.
 */
#ifndef FACTOR_TOPALL_H
#define FACTOR_TOPALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numerics/screen.h"
#include "numerics/status.h"
#include "numerics/topheap.h"

/* Queries that are ranked for together. */
#define TOPALL_TILE SCREEN_MAX_QUERIES

/* Of more rows to leave out than this the list has to be in order. */
#define TOPALL_UNSORTED 1024

/* Floats from one row to the next, for vectors of this length. */
extern size_t topall_stride(size_t length);

/*
 * The rows: `regular` ones in the order of decreasing norms, then those whose
 * norms are beyond what can be coded.
 */
typedef struct TopAllRows
{
	const float *vectors;		/* n rows of `stride` floats, zero beyond length */
	const uint32_t *place;		/* of a row: ties go to the lower */
	size_t		n;
	size_t		regular;
	size_t		length;
	size_t		stride;
	uint8_t    *codes;			/* topall_codes_size() bytes, aligned to 64 */
	ScreenBlock *blocks;		/* topall_blocks() */
} TopAllRows;

typedef struct TopAllQuery
{
	const float *vector;		/* `stride` floats, zero beyond length */
	const uint32_t *skip;		/* rows to leave out, in any order; ascending
								 * if more than TOPALL_UNSORTED */
	size_t		nskip;
	TopHeap		best;			/* an empty heap; out: sorted, best first, each
								 * row by its place */
} TopAllQuery;

/* Is the vector regular? Sets its norm, if so. */
extern bool topall_norm(const float *vector, size_t length, double *norm);

/* Blocks of so many regular rows, and bytes of their codes. */
extern size_t topall_blocks(size_t regular);
extern size_t topall_codes_size(size_t regular, size_t length);

/* Codes the rows' block `number`: each of them before rows are ranked. */
extern void topall_code(const TopAllRows *rows, size_t number);

/* Memory for topall_rank(): its size, and its making in memory given. */
typedef struct TopAllWork TopAllWork;
extern size_t topall_work_size(size_t length);
extern TopAllWork *topall_work_init(void *memory, size_t length);

/*
 * Ranks the rows for up to TOPALL_TILE queries. Rows whose product is NaN are
 * left out.
 */
extern void topall_rank(TopAllWork *work, const TopAllRows *rows,
						TopAllQuery *queries, size_t n,
						NumericsPoll poll, void *arg);

#endif							/* FACTOR_TOPALL_H */

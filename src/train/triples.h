/*
 * triples.h: (row, index, value) triples on their way from the rating table
 * to the matrices, in lists of chunks in memory or in temporary files.
 */
#ifndef FACTOR_TRIPLES_H
#define FACTOR_TRIPLES_H

#include "postgres.h"
#include "storage/buffile.h"

/* A pair as a row of one side sees it: the row, the other side's row, value. */
typedef struct Triple
{
	uint32		row;
	uint32		index;
	float		value;
} Triple;

#define TRIPLES_PER_CHUNK	5456

/* 64 kB less room for a header. */
typedef struct TripleChunk
{
	struct TripleChunk *next;
	uint32		n;
	Triple		triples[TRIPLES_PER_CHUNK];
} TripleChunk;

/* Where chunks come from and go back to. */
typedef struct TriplePool
{
	MemoryContext context;
	TripleChunk *free;
	Size		size;			/* bytes of all chunks */
} TriplePool;

/* A sequence of triples, appended at the end, taken from the start. */
typedef struct TripleList
{
	TripleChunk *head;
	TripleChunk *tail;
	Triple	   *pos;			/* where the next one goes in the tail */
	Triple	   *end;			/* where the tail is full */
} TripleList;

extern void triple_pool_init(TriplePool *pool, MemoryContext parent);
extern void triple_pool_free(TriplePool *pool);
extern void triple_list_grow(TriplePool *pool, TripleList *list);

/*
 * Takes the first chunk off the list; NULL where there is none. The caller
 * gives it back by triple_chunk_free().
 */
extern TripleChunk *triple_list_pop(TripleList *list);
extern void triple_chunk_free(TriplePool *pool, TripleChunk *chunk);

static inline void
triple_list_add(TriplePool *pool, TripleList *list,
				uint32 row, uint32 index, float value)
{
	if (list->pos == list->end)
		triple_list_grow(pool, list);
	list->pos->row = row;
	list->pos->index = index;
	list->pos->value = value;
	list->pos++;
}

#endif							/* FACTOR_TRIPLES_H */

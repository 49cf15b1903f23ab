/*
 * triples.c: lists of triples in chunks of one size.
 *
 * Triples are moved twice, from the list as read to parts by row and from
 * there to their places. Chunks are freed one by one as a list is read, and
 * taken up again by the lists that are written meanwhile, so that a list and
 * its partition never need memory for two. Chunks are carved from slabs, which
 * spares the system a map and unmap for each.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "train/triples.h"

/* Slabs grow with the pool, from one to this many chunks. */
#define MAX_SLAB_CHUNKS	64

void
triple_pool_init(TriplePool *pool, MemoryContext parent)
{
	pool->context = AllocSetContextCreate(parent, "factor triples",
										  ALLOCSET_SMALL_SIZES);
	pool->free = NULL;
	pool->size = 0;
}

void
triple_pool_free(TriplePool *pool)
{
	MemoryContextDelete(pool->context);
	memset(pool, 0, sizeof(*pool));
}

void
triple_chunk_free(TriplePool *pool, TripleChunk *chunk)
{
	chunk->next = pool->free;
	pool->free = chunk;
}

/* An eighth of what the pool has, so that little of it lies idle. */
static void
AddSlab(TriplePool *pool)
{
	Size		n = pool->size / sizeof(TripleChunk) / 8;
	TripleChunk *slab;

	n = Min(Max(n, 1), MAX_SLAB_CHUNKS);
	slab = MemoryContextAlloc(pool->context, n * sizeof(TripleChunk));
	pool->size += n * sizeof(TripleChunk);
	while (n-- > 0)
		triple_chunk_free(pool, &slab[n]);
}

void
triple_list_grow(TriplePool *pool, TripleList *list)
{
	TripleChunk *chunk;

	if (pool->free == NULL)
		AddSlab(pool);
	chunk = pool->free;
	pool->free = chunk->next;

	chunk->next = NULL;
	chunk->n = TRIPLES_PER_CHUNK;
	if (list->tail != NULL)
		list->tail->next = chunk;
	else
		list->head = chunk;
	list->tail = chunk;
	list->pos = chunk->triples;
	list->end = chunk->triples + TRIPLES_PER_CHUNK;
}

TripleChunk *
triple_list_pop(TripleList *list)
{
	TripleChunk *chunk = list->head;

	if (chunk == NULL)
		return NULL;
	if (chunk == list->tail)
	{
		chunk->n = (uint32) (list->pos - chunk->triples);
		memset(list, 0, sizeof(*list));
	}
	else
		list->head = chunk->next;
	return chunk;
}

/*
 * topheap.h: the k best of a stream of (score, index), in a bounded heap.
 *
 * Higher scores are better; of equal scores the lower index is. NaN ranks
 * below everything. Usage:
 *
 *	 TopHeap heap;
 *	 topheap_init(&heap, array_of_k, k);
 *	 for each candidate: topheap_offer(&heap, score, index);
 *	 topheap_sort(&heap);      best first in heap.entries[0 .. heap.n - 1]
 */
#ifndef FACTOR_TOPHEAP_H
#define FACTOR_TOPHEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TopEntry
{
	double		score;
	uint64_t	index;
} TopEntry;

typedef struct TopHeap
{
	TopEntry   *entries;
	size_t		k;
	size_t		n;
} TopHeap;

extern void topheap_init(TopHeap *heap, TopEntry *entries, size_t k);

/* Would the candidate enter the heap? (For work that only then pays.) */
extern bool topheap_wants(const TopHeap *heap, double score, uint64_t index);
extern void topheap_offer(TopHeap *heap, double score, uint64_t index);
extern void topheap_sort(TopHeap *heap);

#endif							/* FACTOR_TOPHEAP_H */

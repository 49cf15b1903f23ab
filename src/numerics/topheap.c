/*
 * topheap.c: the k best of a stream, in a bounded binary heap.
 *
 * The root is the worst entry kept, so a candidate that does not make it is
 * turned away by one comparison. Sorting takes the worst entry from the root
 * to the end of the array, again and again, which leaves the best first.
 *
 * Entries are ordered totally, NaN included, so the result depends on the set
 * of candidates alone and not on the order in which they came.
 */
#include "numerics/topheap.h"

/* Does a rank below b? NaN below all numbers; of equals the higher index. */
static inline bool
RanksBelow(double score_a, uint64_t index_a, double score_b, uint64_t index_b)
{
	bool		nan_a = score_a != score_a;
	bool		nan_b = score_b != score_b;

	if (nan_a || nan_b)
	{
		if (nan_a != nan_b)
			return nan_a;
	}
	else if (score_a != score_b)
		return score_a < score_b;
	return index_a > index_b;
}

/* Puts the entry into the hole at `at`, or below it, among the first n. */
static void
SiftDown(TopEntry *entries, size_t n, size_t at, TopEntry entry)
{
	for (;;)
	{
		size_t		child = 2 * at + 1;

		if (child >= n)
			break;
		if (child + 1 < n &&
			RanksBelow(entries[child + 1].score, entries[child + 1].index,
					   entries[child].score, entries[child].index))
			child++;
		if (!RanksBelow(entries[child].score, entries[child].index,
						entry.score, entry.index))
			break;
		entries[at] = entries[child];
		at = child;
	}
	entries[at] = entry;
}

/* Puts the entry into the hole at `at`, or above it. */
static void
SiftUp(TopEntry *entries, size_t at, TopEntry entry)
{
	while (at > 0)
	{
		size_t		parent = (at - 1) / 2;

		if (!RanksBelow(entry.score, entry.index,
						entries[parent].score, entries[parent].index))
			break;
		entries[at] = entries[parent];
		at = parent;
	}
	entries[at] = entry;
}

/* Makes `heap` an empty heap for the k best; `entries` has room for k. */
void
topheap_init(TopHeap *heap, TopEntry *entries, size_t k)
{
	heap->entries = entries;
	heap->k = k;
	heap->n = 0;
}

bool
topheap_wants(const TopHeap *heap, double score, uint64_t index)
{
	if (heap->n < heap->k)
		return true;
	return heap->k > 0 &&
		RanksBelow(heap->entries[0].score, heap->entries[0].index,
				   score, index);
}

void
topheap_offer(TopHeap *heap, double score, uint64_t index)
{
	TopEntry	entry = {score, index};

	if (!topheap_wants(heap, score, index))
		return;
	if (heap->n < heap->k)
		SiftUp(heap->entries, heap->n++, entry);
	else
		SiftDown(heap->entries, heap->n, 0, entry);
}

/* Sorts the entries, best first. They are no heap afterwards. */
void
topheap_sort(TopHeap *heap)
{
	for (size_t n = heap->n; n > 1; n--)
	{
		TopEntry	last = heap->entries[n - 1];

		heap->entries[n - 1] = heap->entries[0];
		SiftDown(heap->entries, n - 1, 0, last);
	}
}

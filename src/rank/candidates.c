/*
 * candidates.c: the least bounds of a stream, in order, in bounded memory.
 *
 * A binary heap of up to 2 m candidates, the least on top.  When it is full, a
 * quickselect keeps the best m and sets the ceiling, above which nothing more
 * enters: so of n candidates in random order only about m (1 + log(n / m)) are
 * ever stored, and each costs a few comparisons.  A heap of m with the greatest
 * on top would need no selection, but has to be turned round before the first
 * candidate can be taken, and scans by inner product take and offer by turns.
 */
#include "postgres.h"

#include <math.h>

#include "storage/shmem.h"
#include "utils/memutils.h"

#include "compat.h"
#include "rank/candidates.h"

static inline void
Swap(Candidate *a, Candidate *b)
{
	Candidate	c = *a;

	*a = *b;
	*b = c;
}

static void
SiftDown(Candidate *heap, Size n, Size i)
{
	Candidate	c = heap[i];

	for (;;)
	{
		Size		child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && candidate_less(&heap[child + 1], &heap[child]))
			child++;
		if (!candidate_less(&heap[child], &c))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = c;
}

static void
Heapify(Candidate *heap, Size n)
{
	for (Size i = n / 2; i > 0; i--)
		SiftDown(heap, n, i - 1);
}

/* The last of n candidates finds its place. */
static void
SiftUp(Candidate *heap, Size n)
{
	Size		i = n - 1;
	Candidate	c = heap[i];

	while (i > 0 && candidate_less(&c, &heap[(i - 1) / 2]))
	{
		heap[i] = heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	heap[i] = c;
}

/* Takes the first of n candidates away. */
static void
Pop(Candidate *heap, Size n)
{
	heap[0] = heap[n - 1];
	if (n > 1)
		SiftDown(heap, n - 1, 0);
}

/*
 * Reorders n candidates so that the least m come first, the greatest of them
 * last (Hoare's selection).  The middle one of three is the pivot: input may be
 * sorted already.
 */
static void
Select(Candidate *c, Size n, Size m)
{
	Size		low = 0;
	Size		high = n - 1;

	while (low < high)
	{
		Size		middle = low + (high - low) / 2;
		Size		i = low;
		Size		j = high;
		Candidate	pivot;

		if (candidate_less(&c[middle], &c[low]))
			Swap(&c[middle], &c[low]);
		if (candidate_less(&c[high], &c[low]))
			Swap(&c[high], &c[low]);
		if (candidate_less(&c[high], &c[middle]))
			Swap(&c[high], &c[middle]);
		pivot = c[middle];
		for (;;)
		{
			while (candidate_less(&c[i], &pivot))
				i++;
			while (candidate_less(&pivot, &c[j]))
				j--;
			if (i >= j)
				break;
			Swap(&c[i++], &c[j--]);
		}
		/* c[low .. j] <= pivot <= c[j + 1 .. high] */
		if (m - 1 <= j)
			high = j;
		else
			low = j + 1;
	}
}

/* Starts a look with room for m, beyond the floor if there is one. */
void
candidates_begin(CandidateSet *set, Size m)
{
	if (set->heap == NULL || set->m != m)
	{
		if (set->heap != NULL)
			pfree(set->heap);
		set->heap = MemoryContextAllocHuge(CurrentMemoryContext,
										   mul_size(2 * m, sizeof(Candidate)));
	}
	set->n = 0;
	set->m = m;
	set->has_ceiling = false;
}

void
candidates_offer(CandidateSet *set, const Candidate *candidate)
{
	if (set->has_floor && !candidate_less(&set->floor, candidate))
		return;
	if (set->has_ceiling && !candidate_less(candidate, &set->ceiling))
		return;

	set->heap[set->n++] = *candidate;
	SiftUp(set->heap, set->n);

	if (set->n == 2 * set->m)
	{
		Select(set->heap, set->n, set->m + 1);
		set->ceiling = set->heap[set->m];
		set->has_ceiling = true;
		set->n = set->m;
		Heapify(set->heap, set->n);
	}
}

/* The least candidate; there must be one.  It becomes the floor. */
Candidate
candidates_take(CandidateSet *set)
{
	Assert(set->n > 0);
	set->floor = set->heap[0];
	set->has_floor = true;
	Pop(set->heap, set->n);
	set->n--;
	return set->floor;
}

/*
 * candidates.c: the least bounds of a stream, in order, in bounded memory.
 *
 * An array of some 2 m candidates.  When it is full, about the worse half goes,
 * and the ceiling is set, above which nothing more enters: so of n candidates in
 * random order only about m (1 + log(n / m)) are ever stored, and each costs a
 * few comparisons.  Where to cut is guessed from a sample, which nearly always
 * leaves no fewer than m and makes room for a quarter of that; if not, a
 * quickselect finds the best m.  Taking a candidate makes the array a binary
 * heap, the least on top, which it remains until it is cut: scans by inner product
 * take and offer by turns.  Before that, the least bound is all that is asked for.
 * A heap of m with the greatest on top would need no selection, but has to be
 * turned round before the first candidate can be taken.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "compat.h"
#include "rank/candidates.h"
#include "rank/topk.h"

/* So many of a set are looked at to cut it. */
#define SAMPLES 15

/* With a large work_mem, a set may be millions. */
#define CHECK_EVERY 65536

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
	{
		CHECK_FOR_INTERRUPTS();
		SiftDown(heap, n, i - 1);
	}
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
			CHECK_FOR_INTERRUPTS();
			Swap(&c[i++], &c[j--]);
		}
		/* c[low .. j] <= pivot <= c[j + 1 .. high] */
		if (m - 1 <= j)
			high = j;
		else
			low = j + 1;
	}
}

/*
 * A candidate below which nine of ten times between a half and seven eighths of
 * all lie: the eleventh of fifteen.
 */
static Candidate
GuessCut(const Candidate *c, Size n)
{
	Candidate	sample[SAMPLES];

	for (int i = 0; i < SAMPLES; i++)
	{
		const Candidate *next = &c[n / SAMPLES * i];
		int			j;

		for (j = i; j > 0 && candidate_less(next, &sample[j - 1]); j--)
			sample[j] = sample[j - 1];
		sample[j] = *next;
	}
	return sample[SAMPLES * 2 / 3];
}

/*
 * Moves the candidates that are not behind the cut to the front, and returns how
 * many there are.  Every one is moved, which is faster than to guess a branch.
 */
static Size
Partition(Candidate *c, Size n, const Candidate *cut)
{
	Size		kept = 0;

	for (Size i = 0; i < n; i++)
	{
		Candidate	next = c[i];

		if (i % CHECK_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		c[i] = c[kept];
		c[kept] = next;
		kept += !candidate_less(cut, &next);
	}
	return kept;
}

/* Drops some of the worst of a full set, and remembers that it did. */
static void
Shrink(CandidateSet *set)
{
	Candidate	cut = GuessCut(set->heap, set->n);
	Size		kept = Partition(set->heap, set->n, &cut);

	if (kept < set->m || kept > set->n - set->m / 4)
	{
		Select(set->heap, set->n, set->m + 1);
		kept = set->m;
		cut = set->heap[set->m];
	}
	set->ceiling = cut;
	set->has_ceiling = true;
	set->n = kept;
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
										   mul_size(2 * m + TOPK_MAX_ENTRIES, sizeof(Candidate)));
	}
	set->n = 0;
	set->m = m;
	set->is_heap = false;
	set->least = INFINITY;
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
	if (set->is_heap)
		SiftUp(set->heap, set->n);
	else if (candidate->bound < set->least)
		set->least = candidate->bound;
}

/*
 * Makes room for a page's entries.  To be called before the page is locked, as
 * nobody can interrupt who holds a lock.
 */
void
candidates_make_room(CandidateSet *set)
{
	while (set->n >= 2 * set->m)
	{
		set->least = candidates_least(set);
		set->is_heap = false;
		Shrink(set);
	}
}

/* The least candidate; there must be one.  It becomes the floor. */
Candidate
candidates_take(CandidateSet *set)
{
	Assert(set->n > 0);
	if (!set->is_heap)
		Heapify(set->heap, set->n);
	set->is_heap = true;
	set->floor = set->heap[0];
	set->has_floor = true;
	Pop(set->heap, set->n);
	set->n--;
	return set->floor;
}

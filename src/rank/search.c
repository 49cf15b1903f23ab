/*
 * search.c: the ranked stage of a scan of the topk index, best first.
 *
 * Pages are read in the order of the bound of their range of norms, and an entry
 * is returned when its bound is below those of all pages not yet read.  An inner
 * product so reads the pages of the largest norms only; the Euclidean distance
 * those with a norm near the query's; the cosine distance does not know norms,
 * and reads all pages, once.
 *
 * The method is never told the LIMIT.  Keeping all bounds, a heap of a million
 * entries, would cost several times the scan itself, so a set of the best m is
 * kept (candidates.c); when the executor wants more, the search starts over with
 * four times as many.  Four rather than two, because reading the pages again
 * costs more than the memory does; m stays within work_mem.
 *
 * A search of all codes runs at the speed of memory, and next to that the way to
 * a page matters: so the next page is pinned and fetched into the processor's
 * cache while the last one is searched, and its buffer is found by where it was
 * the last time (topk_pin).
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "rank/scan.h"

#define FIRST_CANDIDATES	512
#define GROWTH				4

/* A cache line, or less */
#define PREFETCH_LINE		64

PageKey
topk_page_key(BlockNumber block, double bound)
{
	float		rounded = (float) bound;
	uint32		bits;

	memcpy(&bits, &rounded, sizeof(bits));
	bits = bits & 0x80000000 ? ~bits : bits | 0x80000000;
	if ((double) rounded > bound)
		bits--;					/* the next smaller float */
	return (PageKey) bits << 32 | block;
}

/* The bound in a key, which is the true one rounded down. */
static double
KeyBound(PageKey key)
{
	uint32		bits = key >> 32;
	float		bound;

	bits = bits & 0x80000000 ? bits & 0x7FFFFFFF : ~bits;
	memcpy(&bound, &bits, sizeof(bound));
	return bound;
}

/* Moves the key at i down to its place in a heap of n, the least on top. */
static void
SiftDownPage(PageKey *heap, Size n, Size i)
{
	PageKey		key = heap[i];

	for (;;)
	{
		Size		child = 2 * i + 1;

		if (child >= n)
			break;
		child += child + 1 < n && heap[child + 1] < heap[child];
		if (key <= heap[child])
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = key;
}

/* Begins to read the ranked pages, from the best. */
static void
BeginRanked(TopkScan *state, Size m)
{
	PageList   *ranked = &state->lists[STAGE_RANKED];

	candidates_begin(&state->candidates, m);
	state->next_page = 0;
	if (ranked->n == 0)
		return;
	state->prefetch_end = TOPK_CONTENTS +
		topk_capacity(TOPK_GROUP(TOPK_CODED, state->query_length, 0)) *
		(code_bytes(state->query_length) + sizeof(CodeScalars));
	if (state->sorted)
		return;
	if (state->page_heap == NULL)
		state->page_heap = MemoryContextAllocHuge(CurrentMemoryContext,
												  ranked->n * sizeof(PageKey));
	memcpy(state->page_heap, ranked->pages, ranked->n * sizeof(PageKey));
	state->page_heap_n = ranked->n;
	for (Size i = ranked->n / 2; i > 0; i--)
		SiftDownPage(state->page_heap, ranked->n, i - 1);
}

/* The best page not yet read; false if there is none. */
static bool
PeekPage(const TopkScan *state, PageKey *key)
{
	const PageList *ranked = &state->lists[STAGE_RANKED];

	if (state->sorted ? state->next_page == ranked->n : state->page_heap_n == 0)
		return false;
	*key = state->sorted ? ranked->pages[state->next_page] : state->page_heap[0];
	return true;
}

/* Takes it, if its bound is not above the limit. */
static bool
NextRankedPage(TopkScan *state, double limit, BlockNumber *block)
{
	PageKey		key;

	if (!PeekPage(state, &key) || KeyBound(key) > limit)
		return false;
	*block = PAGE_KEY_BLOCK(key);
	if (state->sorted)
		state->next_page++;
	else
	{
		state->page_heap[0] = state->page_heap[--state->page_heap_n];
		if (state->page_heap_n > 1)
			SiftDownPage(state->page_heap, state->page_heap_n, 0);
	}
	return true;
}

/*
 * Pins the page that will be read next, and asks the processor to bring it
 * nearer meanwhile: its pages lie anywhere in shared buffers, so the hardware
 * does not foresee them.
 */
static void
PinAhead(IndexScanDesc scan, TopkScan *state)
{
	PageKey		key;
	const char *page;

	if (!PeekPage(state, &key))
		return;
	state->ahead = topk_pin(scan->indexRelation, PAGE_KEY_BLOCK(key));
	page = BufferGetPage(state->ahead);
	prefetch_memory(page);
	for (int i = TOPK_CONTENTS; i < state->prefetch_end; i += PREFETCH_LINE)
		prefetch_memory(page + i);
}

void
topk_release_ahead(TopkScan *state)
{
	if (BufferIsValid(state->ahead))
		ReleaseBuffer(state->ahead);
	state->ahead = InvalidBuffer;
}

/* The ranked page, locked; and begins to fetch the one after it. */
static Buffer
TakePage(IndexScanDesc scan, TopkScan *state, BlockNumber block)
{
	Buffer		buffer = state->ahead;

	if (BufferIsValid(buffer) && BufferGetBlockNumber(buffer) == block)
		state->ahead = InvalidBuffer;
	else
	{
		topk_release_ahead(state);
		buffer = topk_pin(scan->indexRelation, block);
	}
	PinAhead(scan, state);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	topk_check_page(scan->indexRelation, buffer);
	return buffer;
}

/* The bounds of all entries of a ranked page. */
static void
ComputeBounds(const TopkScan *state, const TopkOpaque *opaque,
			  const TopkParts *parts, double *bounds)
{
	CodeBlock	codes;

	if (TOPK_GROUP_KIND(opaque->group) == TOPK_ZERO)
	{
		for (int i = 0; i < opaque->count; i++)
			bounds[i] = code_zero_bound(state->query, state->distance);
		return;
	}
	if (state->query_kind == CODE_ZERO)
	{
		for (int i = 0; i < opaque->count; i++)
			bounds[i] = code_norm_bound(state->query, state->distance,
										parts->norm[i], parts->norm[i]);
		return;
	}
	codes.capacity = opaque->capacity;
	codes.count = opaque->count;
	codes.length = TOPK_GROUP_LENGTH(opaque->group);
	codes.bytes = parts->codes;
	codes.norm = parts->norm;
	codes.scale = parts->scale;
	codes.error = parts->error;
	code_bounds(state->query, state->distance, &codes, bounds);
}

/* Offers the entries of a page to the candidates. */
static void
RankPage(IndexScanDesc scan, TopkScan *state, BlockNumber block)
{
	Buffer		buffer = TakePage(scan, state, block);
	Page		page = BufferGetPage(buffer);
	TopkOpaque *opaque = TopkPageOpaque(page);
	TopkParts	parts = topk_parts(page);
	double		lowest = candidates_lowest(&state->candidates);
	double		highest = candidates_highest(&state->candidates);
	int			count = opaque->count;
	double		bounds[TOPK_MAX_ENTRIES];

	/*
	 * A page that vacuum freed after the directory was read may hold anything
	 * now, but nothing that this scan's snapshot sees.
	 */
	if (TOPK_GROUP_LENGTH(opaque->group) != state->query_length ||
		(TOPK_GROUP_KIND(opaque->group) != TOPK_CODED &&
		 TOPK_GROUP_KIND(opaque->group) != TOPK_ZERO))
	{
		UnlockReleaseBuffer(buffer);
		return;
	}

	ComputeBounds(state, opaque, &parts, bounds);
	for (int i = 0; i < count; i++)
	{
		Candidate	candidate;

		if (bounds[i] > highest || bounds[i] < lowest ||
			(scan->ignore_killed_tuples && parts.killed[i]))
			continue;
		candidate.bound = bounds[i];
		candidate.block = block;
		candidate.removals = opaque->removals;
		candidate.place = i;
		candidate.tid = parts.tids[i];
		candidates_offer(&state->candidates, &candidate);
		highest = candidates_highest(&state->candidates);
	}
	UnlockReleaseBuffer(buffer);
}

/* m, kept within work_mem. */
static Size
LimitCandidates(Size m)
{
	Size		most = (Size) work_mem * 1024 / (2 * sizeof(Candidate));

	return Max(Min(m, most), FIRST_CANDIDATES);
}

/*
 * The next entry by bound.  One is certain to be the least when its bound is
 * below those of all pages yet to read; equal ones have to meet first, to be
 * taken in the order of their TIDs.
 */
bool
topk_next_ranked(IndexScanDesc scan, TopkScan *state, Candidate *next)
{
	CandidateSet *set = &state->candidates;

	for (;;)
	{
		double		limit = set->n > 0 ? set->heap[0].bound : candidates_highest(set);
		BlockNumber block;

		CHECK_FOR_INTERRUPTS();
		if (NextRankedPage(state, limit, &block))
			RankPage(scan, state, block);
		else if (set->n > 0)
		{
			*next = candidates_take(set);
			return true;
		}
		else if (set->has_ceiling)
			BeginRanked(state, LimitCandidates(set->m * GROWTH));
		else
			return false;
	}
}

void
topk_begin_ranked(TopkScan *state)
{
	BeginRanked(state, FIRST_CANDIDATES);
}

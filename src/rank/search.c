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
 * a page matters: so the next page is pinned early and fetched into the
 * processor's cache while the last one is searched, and its buffer is found by
 * where it was the last time (topk_pin).
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "rank/scan.h"

#define FIRST_CANDIDATES	512
#define GROWTH				4

/* Digits of the radix sort; two make a bound */
#define DIGIT_BITS			(PAGE_KEY_BITS / 2)
#define DIGITS				(1 << DIGIT_BITS)

PageKey
topk_page_key(BlockNumber block, double bound)
{
	float		rounded = (float) bound;
	uint32		bits;

	memcpy(&bits, &rounded, sizeof(bits));
	bits = bits & 0x80000000 ? ~bits : bits | 0x80000000;
	if ((double) rounded > bound)
		bits--;					/* the next smaller float */
	bits &= ~(((uint32) 1 << (32 - PAGE_KEY_BITS)) - 1);
	return (PageKey) bits << 32 | block;
}

/*
 * The bound in a key, which is the true one rounded down.  Of those below all
 * floats it is NaN, which is above no limit either.
 */
static double
KeyBound(PageKey key)
{
	uint32		bits = PAGE_KEY_BOUND(key);
	float		bound;

	bits = bits & 0x80000000 ? bits & 0x7FFFFFFF : ~bits;
	memcpy(&bound, &bits, sizeof(bound));
	return bound;
}

/*
 * Sorts the ranked pages by their bounds, equal ones as they were: from the last
 * digit of the bound to the first.  A heap would give the first pages sooner, but
 * costs more by the time that a tenth of them are taken, and does not say which
 * ones come after the next.
 */
static void
SortPages(TopkScan *state)
{
	PageList   *ranked = &state->lists[STAGE_RANKED];
	PageKey    *from = ranked->pages;
	PageKey    *to = MemoryContextAllocHuge(CurrentMemoryContext,
											mul_size(ranked->n, sizeof(PageKey)));

	for (int shift = 64 - PAGE_KEY_BITS; shift < 64; shift += DIGIT_BITS)
	{
		Size		places[DIGITS] = {0};
		Size		before = 0;
		PageKey    *swap = from;

		for (Size i = 0; i < ranked->n; i++)
			places[from[i] >> shift & (DIGITS - 1)]++;
		for (int digit = 0; digit < DIGITS; digit++)
		{
			Size		n = places[digit];

			places[digit] = before;
			before += n;
		}
		for (Size i = 0; i < ranked->n; i++)
			to[places[from[i] >> shift & (DIGITS - 1)]++] = from[i];
		from = to;
		to = swap;
	}
	pfree(to);
	ranked->pages = from;
	ranked->allocated = ranked->n;
}

/* Begins to read the ranked pages, from the best. */
static void
BeginRanked(TopkScan *state, Size m)
{
	candidates_begin(&state->candidates, m);
	state->next_page = 0;
}

/* Takes the best page not yet read, if its bound is not above the limit. */
static bool
NextRankedPage(TopkScan *state, double limit, BlockNumber *block)
{
	const PageList *ranked = &state->lists[STAGE_RANKED];

	if (state->next_page == ranked->n ||
		KeyBound(ranked->pages[state->next_page]) > limit)
		return false;
	*block = PAGE_KEY_BLOCK(ranked->pages[state->next_page++]);
	return true;
}

/*
 * Pins the page that will be read next, so that its codes can be fetched from
 * memory while this page's are searched.
 */
static void
PinAhead(IndexScanDesc scan, TopkScan *state)
{
	const PageList *ranked = &state->lists[STAGE_RANKED];

	if (state->next_page == ranked->n)
		return;
	state->ahead = topk_pin(scan->indexRelation,
							PAGE_KEY_BLOCK(ranked->pages[state->next_page]));
	prefetch_memory(BufferGetPage(state->ahead));
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
ComputeBounds(const TopkScan *state, Page page, const TopkParts *parts,
			  double *bounds)
{
	TopkOpaque *opaque = TopkPageOpaque(page);
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
	codes.ahead = 0;
	if (BufferIsValid(state->ahead))
		codes.ahead = (char *) BufferGetPage(state->ahead) - (char *) page;
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

	ComputeBounds(state, page, &parts, bounds);
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
	if (!state->sorted)
		SortPages(state);
	BeginRanked(state, FIRST_CANDIDATES);
}

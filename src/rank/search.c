/*
 * search.c: a stage of a scan of the topk index, best first.
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
 * Vacuum may move entries to other pages while the scan is on its way (pack.c).
 * A page that it has cleared or used again since the scan read the directory
 * says so; then the search starts over with the directory that there is now.
 * That is safe wherever it happens, because entries are returned in the order of
 * (bound, TID), neither of which ever changes: what was returned lies before the
 * floor, and all the rest behind it.  For that reason the other stages, in which
 * all entries have the same bound, go this way too.
 *
 * A search of all codes runs at the speed of memory, and next to that the way to
 * a page matters: so the next page is pinned early and fetched into the
 * processor's cache while the last one is searched, and its buffer is found by
 * where it was the last time, which is looked up earlier still (cache.c).
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "compat.h"
#include "rank/scan.h"

/*
 * m of the first look.  One by inner product reads few pages, where fewer
 * candidates cost less than another look now and then; others read many.
 */
#define FIRST_CANDIDATES	512
#define FIRST_BY_NORM		128
#define GROWTH				4

/* topk_prefetch is for the page that will be pinned after so many others. */
#define FETCH_PAGES			2

PageKey
topk_page_key(BlockNumber block, double bound)
{
	float		rounded = (float) bound;
	uint32		bits;

	/* rounding to nearest may go up, so the next smaller float in any case */
	memcpy(&bits, &rounded, sizeof(bits));
	bits = (bits & 0x80000000 ? ~bits : bits | 0x80000000) - 1;
	return (PageKey) bits << 32 | block;
}

/*
 * The bound of a page.  One that is kept itself is the true one rounded down; of
 * those below all floats it is NaN, which is above no limit either.
 */
static double
KeyBound(const TopkScan *state, const PageList *list, PageKey key)
{
	uint32		bits = (uint32) (key >> 32);
	float		bound;

	if (list->by_norm)
		return code_norm_bound(state->query, state->distance, 0.0f, topk_key_norm(key));
	bits = bits & 0x80000000 ? bits & 0x7FFFFFFF : ~bits;
	memcpy(&bound, &bits, sizeof(bound));
	return bound;
}

/* Begins to read the stage's pages, from the best. */
static void
BeginLook(TopkScan *state, Size m)
{
	PageList   *list = &state->lists[state->stage];

	if (!list->sorted)
		topk_sort_keys(list->pages, list->n);
	list->sorted = true;
	candidates_begin(&state->candidates, m);
	state->next_page = 0;
}

/* Takes the best page not yet read, if its bound is not above the limit. */
static bool
NextPage(TopkScan *state, double limit, BlockNumber *block)
{
	const PageList *list = &state->lists[state->stage];

	if (state->next_page == list->n ||
		KeyBound(state, list, list->pages[state->next_page]) > limit)
		return false;
	*block = PAGE_KEY_BLOCK(list->pages[state->next_page++]);
	return true;
}

/*
 * Pins the page that will be read next, so that its codes can be fetched from
 * memory while this page's are searched.
 */
static void
PinAhead(IndexScanDesc scan, TopkScan *state)
{
	const PageList *list = &state->lists[state->stage];

	if (state->next_page == list->n)
		return;
	state->ahead = topk_pin(scan->indexRelation,
							PAGE_KEY_BLOCK(list->pages[state->next_page]));
	if (state->next_page + FETCH_PAGES < list->n)
		topk_prefetch(scan->indexRelation,
					  PAGE_KEY_BLOCK(list->pages[state->next_page + FETCH_PAGES]));
}

void
topk_release_ahead(TopkScan *state)
{
	if (BufferIsValid(state->ahead))
		ReleaseBuffer(state->ahead);
	state->ahead = InvalidBuffer;
}

/* The page, locked; and begins to fetch the one after it. */
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

/* The bounds of all entries of a page; outside of the ranked stage, the same. */
static void
ComputeBounds(const TopkScan *state, Page page, const TopkParts *parts,
			  double *bounds)
{
	TopkOpaque *opaque = TopkPageOpaque(page);
	CodeBlock	codes;

	if (state->stage != STAGE_RANKED)
	{
		memset(bounds, 0, opaque->count * sizeof(double));
		return;
	}
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

/* Offers the entries of a page of the stage to the candidates. */
static void
SearchPage(IndexScanDesc scan, TopkScan *state, BlockNumber block, Page page)
{
	TopkOpaque *opaque = TopkPageOpaque(page);
	TopkParts	parts = topk_parts(page);
	double		lowest = candidates_lowest(&state->candidates);
	double		highest = candidates_highest(&state->candidates);
	int			count = opaque->count;
	int			chosen = 0;
	double		bounds[TOPK_MAX_ENTRIES];
	uint16		choice[TOPK_MAX_ENTRIES];

	/* few are low enough; to pick them without branches costs next to nothing */
	ComputeBounds(state, page, &parts, bounds);
	for (int i = 0; i < count; i++)
	{
		choice[chosen] = i;
		chosen += !(bounds[i] > highest);
	}
	for (int j = 0; j < chosen; j++)
	{
		Candidate	candidate;
		int			i = choice[j];

		if (bounds[i] < lowest ||
			(scan->ignore_killed_tuples && parts.killed[i]))
			continue;
		/* of what a code can be, any bound is finite */
		if (!isfinite(bounds[i]))
			topk_report_damage(scan->indexRelation, block,
							   "An entry has a norm, a scale or an error that cannot be.");
		candidate.bound = bounds[i];
		candidate.block = block;
		candidate.removals = opaque->removals;
		candidate.place = i;
		candidate.tid = parts.tids[i];
		candidates_offer(&state->candidates, &candidate);
	}
}

/*
 * Reads a page.  False if it got another use with a later directory than the
 * scan's, so that its entries may be elsewhere now.  With the same directory, it
 * may have got another use too, but then nothing was on it that this scan's
 * snapshot sees, and nothing is.
 */
static bool
ReadPage(IndexScanDesc scan, TopkScan *state, BlockNumber block)
{
	Buffer		buffer = TakePage(scan, state, block);
	Page		page = BufferGetPage(buffer);
	TopkOpaque *opaque = TopkPageOpaque(page);
	bool		valid = opaque->epoch <= state->epoch;

	TestForOldSnapshot(scan->xs_snapshot, scan->indexRelation, page);
	if (valid && topk_stage_of(state, opaque->group) == state->stage)
		SearchPage(scan, state, block, page);
	UnlockReleaseBuffer(buffer);
	return valid;
}

/*
 * Starts a stage's look over with the directory that there is now.  There must be
 * a new one, or a change of it, as it has led to a page that has another use.
 */
static void
LookAgain(IndexScanDesc scan, TopkScan *state, BlockNumber block)
{
	uint32		epoch = state->epoch;
	uint32		changes = state->changes;

	topk_list_pages(scan, state);
	if (state->epoch == epoch && state->changes == changes)
		topk_report_damage(scan->indexRelation, block,
						   "It is of an epoch that has not begun.");
	BeginLook(state, state->candidates.m);
}

/* m, kept within work_mem. */
static Size
LimitCandidates(Size m)
{
	Size		most = (Size) work_mem * 1024 / (2 * sizeof(Candidate));

	return Max(Min(m, most), (Size) FIRST_CANDIDATES);
}

/*
 * The next entry by bound.  One is certain to be the least when its bound is
 * below those of all pages yet to read; equal ones have to meet first, to be
 * taken in the order of their TIDs.
 */
bool
topk_next_of_stage(IndexScanDesc scan, TopkScan *state, Candidate *next)
{
	CandidateSet *set = &state->candidates;

	for (;;)
	{
		double		limit = set->n > 0 ? candidates_least(set) : candidates_highest(set);
		BlockNumber block;

		CHECK_FOR_INTERRUPTS();
		if (NextPage(state, limit, &block))
		{
			candidates_make_room(set);
			if (!ReadPage(scan, state, block))
				LookAgain(scan, state, block);
		}
		else if (set->n > 0)
		{
			*next = candidates_take(set);
			return true;
		}
		else if (set->has_ceiling)
			BeginLook(state, LimitCandidates(set->m * GROWTH));
		else
			return false;
	}
}

void
topk_begin_stage(TopkScan *state)
{
	state->candidates.has_floor = false;
	BeginLook(state, state->lists[state->stage].by_norm ? FIRST_BY_NORM : FIRST_CANDIDATES);
}

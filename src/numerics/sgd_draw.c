/*
 * sgd_draw.c: which samples a block of the stochastic solver runs, in which
 * order, and with which negatives.
 *
 * Negatives are drawn from the block's group of items, which keeps their rows
 * private to the block. Since the groups are dealt out anew each epoch, any two
 * items meet. Uniform draws are uniform over the group. Popular draws take the
 * item of a random pair of the block: over all blocks, item j is then drawn in
 * proportion to n_j, since a block draws as often as it has pairs. A drawn item
 * that the user has is drawn again, TRIES times at most. Whether the user has it
 * is looked up among the row's entries in the block; but first in a filter of
 * one bit for each pair of the block (Bloom 1970), which says no at once for nine
 * draws of ten and spares them a search that no processor can predict.
 */
#include <string.h>

#include "numerics/sgd_internal.h"

/* Draws of a negative before the sample goes without. */
#define TRIES 8

size_t
sgd_filter_words(uint32_t samples)
{
	size_t		words = 1;

	while (words * 8 < samples)
		words *= 2;
	return words;
}

/* The filter's bit of a pair. */
static inline uint64_t
FilterBit(const SgdRun *run, uint32_t row, uint32_t item)
{
	uint64_t	bits = row * UINT64_C(0x9e3779b97f4a7c15) + item * UINT64_C(0xd6e8feb86659fd93);

	return (bits >> 32) & run->filter_mask;
}

void
sgd_shuffle(SgdRun *run)
{
	const SgdBlock *block = run->block;
	SgdSample  *samples = block->samples;
	uint64_t	key = sampling_key(block->key, 0);
	uint32_t	n = 0;

	run->filter_mask = sgd_filter_words(run->nsamples) * 64 - 1;
	memset(block->filter, 0, sgd_filter_words(run->nsamples) * sizeof(uint64_t));
	for (uint32_t row = 0; row < block->nrows; row++)
		for (uint32_t entry = block->offset[row]; entry < block->offset[row + 1]; entry++)
		{
			/* Inside out: each goes to a random place among those so far. */
			uint32_t	place = sampling_below(key, n, n + 1);
			uint64_t	bit = FilterBit(run, row, block->entries[entry].index);

			block->filter[bit / 64] |= UINT64_C(1) << (bit % 64);
			samples[n] = samples[place];
			samples[place].row = row;
			samples[place].entry = entry;
			n++;
			if ((n & 0xffff) == 0 && run->poll != NULL)
				run->poll(run->arg);
		}
}

/* Has the row of the block an entry for the item? */
static inline bool
Observed(const SgdRun *run, uint32_t row, uint32_t item)
{
	const SgdBlock *block = run->block;
	uint64_t	bit = FilterBit(run, row, item);
	uint32_t	from = block->offset[row];
	uint32_t	to = block->offset[row + 1];

	if ((block->filter[bit / 64] >> (bit % 64) & 1) == 0)
		return false;
	while (from < to)
	{
		uint32_t	middle = from + (to - from) / 2;

		if (block->entries[middle].index < item)
			from = middle + 1;
		else
			to = middle;
	}
	return from < block->offset[row + 1] && block->entries[from].index == item;
}

/* The item that an attempt at negative k of a sample draws. */
static inline uint32_t
Candidate(const SgdRun *run, uint64_t key, uint32_t number, int k, int attempt)
{
	const SgdBlock *block = run->block;
	const SgdSpec *sgd = &run->ws->sgd;
	uint64_t	count = ((uint64_t) number * sgd->negatives + k) * TRIES + attempt;
	uint32_t	size;
	uint32_t	other;

	switch (sgd->negative_kind)
	{
		case NEGATIVES_UNIFORM:
			return block->members[sampling_below(key, count, block->nmembers)];
		case NEGATIVES_POPULARITY:
			return block->entries[sampling_below(key, count, run->nsamples)].index;
		case NEGATIVES_IN_BATCH:
			break;
	}
	size = run->batch_end - run->batch;
	other = (number - run->batch + 1 + k) % size + run->batch;
	return block->entries[block->samples[other].entry].index;
}

/* Negative k of the sample, after a first candidate; false: there is none. */
static inline bool
FindNegative(const SgdRun *run, uint64_t key, uint32_t number, int k, uint32_t *item)
{
	const SgdSpec *sgd = &run->ws->sgd;
	uint32_t	row = run->block->samples[number].row;
	int			tries = sgd->negative_kind == NEGATIVES_IN_BATCH ? 1 : TRIES;

	for (int attempt = 1; !sgd->observed_negatives && Observed(run, row, *item); attempt++)
	{
		if (attempt == tries)
			return false;
		*item = Candidate(run, key, number, k, attempt);
	}
	return true;
}

/* In three loops, so that the misses of many samples are under way at once. */
void
sgd_draw(const SgdRun *run, uint64_t key, uint32_t start, uint32_t n, SgdDrawn *drawn)
{
	SgdWorkspace *ws = run->ws;
	const SgdBlock *block = run->block;
	int			wanted = ws->sgd.negatives;

	if (ws->sgd.negative_kind == NEGATIVES_IN_BATCH &&
		(uint32_t) wanted >= run->batch_end - run->batch)
		wanted = (int) (run->batch_end - run->batch) - 1;

	for (uint32_t c = 0; c < n; c++)
	{
		SgdSample	sample = block->samples[start + c];
		uint32_t   *item = ws->item + c * (1 + (size_t) ws->sgd.negatives);

		drawn[c].user = (uint32_t) block->first + sample.row;
		drawn[c].entry = &block->entries[sample.entry];
		drawn[c].item = item;
		item[0] = drawn[c].entry->index;
		for (int k = 0; k < wanted; k++)
			item[k + 1] = Candidate(run, key, start + c, k, 0);
	}
	for (uint32_t c = 0; c < n; c++)
	{
		uint32_t   *item = drawn[c].item;
		int			found = 0;

		for (int k = 0; k < wanted; k++)
		{
			item[found + 1] = item[k + 1];
			if (FindNegative(run, key, start + c, k, &item[found + 1]))
				found++;
		}
		drawn[c].n = found;
	}
	for (uint32_t c = 0; c < n; c++)
		for (size_t k = 0; k < ws->d; k += 16)
		{
			__builtin_prefetch(sgd_row(ws, run->side[0].factors, drawn[c].user) + k, 1);
			for (int i = 0; i <= drawn[c].n; i++)
				__builtin_prefetch(sgd_row(ws, run->side[1].factors, drawn[c].item[i]) + k, 1);
		}
}

/*
 * cache.h: what a backend remembers of a topk index.
 */
#ifndef FACTOR_CACHE_H
#define FACTOR_CACHE_H

#include "postgres.h"

#include "rank/topk.h"

/*
 * A page and what it is ordered by, in one number that sorts: in the upper half
 * a float, in the lower one the block.  The float is the bound of the page's
 * range of norms, or the largest norm, the sign turned.
 */
typedef uint64 PageKey;

#define PAGE_KEY_BLOCK(key) ((BlockNumber) (key))

/* The pages that the directory had after so many changes in this epoch */
typedef struct TopkPageTable
{
	uint32		epoch;
	uint32		changes;
	int			length;
	Size		n;				/* pages in use, in the order of the directory */
	Size		nkeys;			/* pages of codes of the length, by norm */
	/* the keys, with room for n, and the entries follow */
} TopkPageTable;

static inline PageKey *
topk_table_keys(const TopkPageTable *table)
{
	return (PageKey *) (table + 1);
}

static inline TopkDirEntry *
topk_table_entries(const TopkPageTable *table)
{
	return (TopkDirEntry *) (topk_table_keys(table) + table->n);
}

/* A key in decreasing order of norms, which are not negative, and the norm */
static inline PageKey
topk_norm_key(BlockNumber block, float norm)
{
	uint32		bits;

	memcpy(&bits, &norm, sizeof(bits));
	return (PageKey) ~bits << 32 | block;
}

static inline float
topk_key_norm(PageKey key)
{
	uint32		bits = ~(uint32) (key >> 32);
	float		norm;

	memcpy(&norm, &bits, sizeof(norm));
	return norm;
}

extern Buffer topk_pin(Relation index, BlockNumber block);
extern void topk_prefetch(Relation index, BlockNumber block);
extern void topk_sort_keys(PageKey *keys, Size n);
extern const TopkPageTable *topk_page_table(Relation index, Snapshot snapshot,
											 int length);

#endif							/* FACTOR_CACHE_H */

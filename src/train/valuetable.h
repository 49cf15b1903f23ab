/*
 * valuetable.h: a hash table of ids that are passed by value, by linear probing.
 *
 * Not simplehash.h: that cannot prefetch, nor lie in shared memory, and here the
 * count of an id's rows is in the cache line that finds it. Whoever has such a
 * table allocates and fills it: entries are zero at first, and at most
 * value_table_limit() of them may be taken, so that each search meets a free one.
 */
#ifndef FACTOR_VALUETABLE_H
#define FACTOR_VALUETABLE_H

typedef struct ValueEntry
{
	uint64		value;
	uint32		code_plus_1;	/* 0: free */
	uint32		rows;			/* for those who count */
} ValueEntry;

typedef struct ValueTable
{
	ValueEntry *entries;
	uint64		mask;			/* entries less 1; a power of 2 less 1 */
} ValueTable;

/* How many of `size` entries may be taken. */
static inline uint64
value_table_limit(uint64 size)
{
	return size / 3 * 2;
}

/* Where a search for the value begins: the entry to prefetch. */
static inline uint64
value_table_start(const ValueTable *table, uint64 value)
{
	value ^= value >> 32;
	value *= UINT64CONST(0x9E3779B97F4A7C15);
	return (value ^ (value >> 32)) & table->mask;
}

/* The entry that has the value, or the free one where it belongs. */
static inline ValueEntry *
value_table_find(const ValueTable *table, uint64 value)
{
	uint64		at = value_table_start(table, value);

	while (table->entries[at].code_plus_1 != 0 && table->entries[at].value != value)
		at = (at + 1) & table->mask;
	return &table->entries[at];
}

#endif							/* FACTOR_VALUETABLE_H */

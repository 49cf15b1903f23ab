/*
 * writer.h: entries sorted by norm and laid out on pages, for builds and for
 * vacuum's packing.
 */
#ifndef FACTOR_WRITER_H
#define FACTOR_WRITER_H

#include "postgres.h"

#include "utils/tuplesort.h"

#include "rank/topk.h"

typedef struct TopkWriter TopkWriter;

/* Puts a finished page into the file and returns its block. */
typedef BlockNumber (*TopkPutPage) (TopkWriter *writer, Page page);

struct TopkWriter
{
	Relation	index;
	TopkPutPage put_page;
	TopkItem	item;			/* the one to be put */
	double		entries;
	double		pages;			/* that they will fill, about */

	uint32		bucket_shift;	/* to be set before the pages are written */
	TopkDirEntry *directory;	/* of the pages written, in their order */
	Size		npages;

	/* the writer's own */
	MemoryContext row_context;	/* reset for every entry */
	Tuplesortstate *sort;
	TupleTableSlot *slot;		/* (sort key, TopkItem) to and from the sort */
	PGAlignedBlock page;		/* the one being filled */
	bool		filling;
	Size		allocated;
};

extern void topk_writer_begin(TopkWriter *writer, Relation index,
							  TopkPutPage put_page);
extern void topk_writer_put(TopkWriter *writer);
extern void topk_writer_sort(TopkWriter *writer);
extern bool topk_writer_step(TopkWriter *writer);
extern void topk_writer_end(TopkWriter *writer);

#endif							/* FACTOR_WRITER_H */

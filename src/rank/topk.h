/*
 * topk.h: the access method topk: its pages, and what its files share.
 *
 * The index holds an entry per row: the heap TID, and where the vector is a
 * regular one, its 8-bit code, norm, scale and code error (numerics/codes.h).
 * src/README, "The topk index", says how scans use them; this is how they lie.
 *
 * Groups.  Entries are kept apart by group, and a page holds entries of one
 * group only.  A group is a kind, and for the kinds that have them a length and
 * a bucket:
 *
 *	 coded		 a regular vector of a length, with the norm in a bucket; the
 *				 buckets split each doubling of the norm in 8, in large indexes in
 *				 up to 64
 *	 zero		 a zero vector of a length
 *	 irregular	 a vector of a length that has no code: NaN, infinity, extreme
 *				 norms and lengths; or an array that is no vector
 *	 null		 NULL
 *
 * So an index needs no declared length (a table's vectors may change theirs,
 * as those of a model trained again do), and a scan learns from the group of a
 * page what it may expect there, without reading it.
 *
 * Pages.  Block 0 is the meta page.  The others are data pages and directory
 * pages.  The directory, a chain, has one entry per data page: block, group and
 * the range of norms.  The meta page counts its changes, so that backends can
 * keep it in mind (cache.c).  CREATE INDEX sorts, so that its pages have narrow
 * ranges, in decreasing order of norm; pages filled by later inserts have
 * their bucket's range.  A scan reads the directory first, and then only the
 * data pages whose range may hold what it looks for.
 *
 * That is why inserts need no sorted place, and never move an entry: a B-tree
 * on the norm would keep the order exact, at the price of page splits, which
 * a scan that reads pages out of order could not bear without locking out
 * writers.  Buckets cost a scan by inner product some more pages once all rows
 * came by insert; and scans by any operator, that these pages lie in no order,
 * until vacuum packs them (pack.c).
 *
 * A data page lays out its entries as arrays, each of `capacity` places (fixed
 * by the group, topk_capacity):
 *
 *	 header, opaque | codes, in groups of 16 | scales | errors | norms | TIDs | killed
 *
 * "Killed" are hints that a row is dead to everyone, a byte each, in the page's
 * hole, which WAL neither logs nor keeps: any change of the page clears them.
 *
 * The directory also is the free space map: an entry of group "free" is an
 * empty page for any group, and the flag ROOM says that a page is worth opening
 * again for its own group.  The meta page lists, for recently used groups, the
 * page that takes their inserts ("open"); the list is but a cache of the
 * directory, so that an entry may fall out of it at any time.
 *
 * Epochs.  Vacuum may move entries of coded pages to others, and then replaces
 * the directory as a whole, in one step, and counts up the index's epoch.  Each
 * page has the epoch in which it got its present use.  So who reads a page that
 * a directory led him to, and finds a later epoch there than that directory's,
 * knows that it no longer holds: entries may have gone elsewhere.
 *
 * Locks.  A buffer's lock guards its page; who takes several goes meta page,
 * directory page, data page.  The directory, and the meta page, change only
 * under the exclusive lock of the meta page.  An insert with an open page reads
 * the meta page, lets go of it, and locks the data page alone: if that has
 * meanwhile become full, sealed, another group's, or another page of its own
 * group, packed by vacuum in a later epoch, its opaque area says so.
 *
 * No scan keeps a pin.  It remembers TIDs, of which vacuum may remove the
 * entries and the rows meanwhile, so that another row takes the TID: but that
 * row is invisible to the scan's snapshot, which is an MVCC one.  The same
 * holds for pages that a scan knows from the directory and that vacuum finds
 * empty and frees before it comes to read them: all entries there are then
 * either invisible to it or of rows that it has to see and that the page says
 * how to read.  Of pages freed because their entries moved, the epoch tells.
 *
 * Every change but the build is one generic WAL record of at most four pages.
 */
#ifndef FACTOR_TOPK_H
#define FACTOR_TOPK_H

#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/generic_xlog.h"
#include "access/relscan.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"

#include "numerics/codes.h"

/* Ordering operators' strategy numbers in the operator class */
#define TOPK_COSINE_STRATEGY			1
#define TOPK_INNER_PRODUCT_STRATEGY		2
#define TOPK_EUCLIDEAN_STRATEGY			3
#define TOPK_STRATEGIES					3

/* Phases of a build, for pg_stat_progress_create_index */
#define TOPK_PHASE_SCAN		2	/* 1 is PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE */
#define TOPK_PHASE_SORT		3
#define TOPK_PHASE_WRITE	4

/* Kinds of pages; those of data pages in the order that a build writes them. */
typedef enum TopkKind
{
	TOPK_FREE = 0,
	TOPK_IRREGULAR,
	TOPK_CODED,
	TOPK_ZERO,
	TOPK_NULL,
	TOPK_DIRECTORY,
	TOPK_META,
	TOPK_RESERVED				/* in the directory only: free, but vacuum's */
} TopkKind;

/* A group: kind, length and bucket in one number, of which 0 is "free". */
typedef uint32 TopkGroup;

#define TOPK_GROUP(kind, length, bucket) \
	((TopkGroup) (kind) << 27 | (TopkGroup) (length) << 14 | (TopkGroup) (bucket))
#define TOPK_GROUP_KIND(group)		((TopkKind) ((group) >> 27 & 0x7))
#define TOPK_GROUP_LENGTH(group)	((int) ((group) >> 14 & 0x1FFF))
#define TOPK_GROUP_BUCKET(group)	((uint32) ((group) & 0x3FFF))

/*
 * Irregular vectors have no bucket, and lengths of as many bits as an array's
 * may have.  What is no vector has none; nor has the empty vector, which is a
 * zero vector.
 */
#define TOPK_IRREGULAR_GROUP(length) \
	((TopkGroup) TOPK_IRREGULAR << 27 | (TopkGroup) (length))
#define TOPK_IRREGULAR_LENGTH(group)	((int) ((group) & 0x7FFFFFF))
#define TOPK_NO_LENGTH				0

/*
 * A norm's bucket is the leading bits of its float: the exponent and, of the
 * mantissa, 3 bits in small indexes and up to 6 in large ones.  An index keeps
 * how many are cut off, 20 to 17; a bucket's number has the bits that it does not
 * use as zeros.
 */
#define TOPK_BUCKET_BITS			17
#define TOPK_COARSEST_SHIFT			20
#define TOPK_FINEST_SHIFT			TOPK_BUCKET_BITS

/*
 * What each page says of itself, right after the page header: in the same cache
 * line, which a special space at the page's end would not be.
 */
typedef struct TopkOpaque
{
	TopkGroup	group;
	uint16		count;			/* entries */
	uint16		capacity;		/* places for entries */
	uint32		removals;		/* times that vacuum took entries away */
	BlockNumber next;			/* directory: the next page of the chain */
	uint32		epoch;			/* the index's, when the page got its use */
	uint16		sealed;			/* true: takes no more entries */
	uint16		page_id;		/* TOPK_PAGE_ID, for tools that look at files */
} TopkOpaque;

#define TOPK_PAGE_ID	0xFA70
#define TopkPageOpaque(page) \
	((TopkOpaque *) ((char *) (page) + MAXALIGN(SizeOfPageHeaderData)))

/* One data page, as the directory knows it */
typedef struct TopkDirEntry
{
	BlockNumber block;
	TopkGroup	group;			/* and TOPK_ROOM */
	float4		norm_low;		/* of coded pages: the norms lie within */
	float4		norm_high;
} TopkDirEntry;

#define TOPK_ROOM	((TopkGroup) 0x80000000)

/* A group's page for inserts */
typedef struct TopkOpen
{
	TopkGroup	group;
	BlockNumber block;
} TopkOpen;

typedef struct TopkMeta
{
	uint32		magic;
	uint32		version;
	BlockNumber blocks;			/* in use, this one included; the file may have more */
	BlockNumber first_directory;
	BlockNumber last_directory;
	uint32		bucket_shift;	/* bits of a norm that its bucket leaves out */
	uint32		free;			/* entries of group "free" in the directory */
	uint32		epoch;			/* times that a new directory took over */
	uint32		changes;		/* of the directory, that scans have to know */
	uint32		next_eviction;	/* place in `open` that is given up next */
	uint32		opens;
	TopkOpen	open[FLEXIBLE_ARRAY_MEMBER];
} TopkMeta;

#define TOPK_MAGIC		0x746F706B
#define TOPK_VERSION	4
#define TOPK_META_BLOCK	0

/* Contents begin on a cache line. */
#define TOPK_CONTENTS	64
#define TOPK_CONTENTS_SIZE	(BLCKSZ - TOPK_CONTENTS)

#define TopkPageMeta(page) ((TopkMeta *) ((char *) (page) + TOPK_CONTENTS))
#define TopkPageEntries(page) ((TopkDirEntry *) ((char *) (page) + TOPK_CONTENTS))

#define TOPK_MAX_OPENS \
	((TOPK_CONTENTS_SIZE - offsetof(TopkMeta, open)) / sizeof(TopkOpen))
#define TOPK_DIRECTORY_CAPACITY (TOPK_CONTENTS_SIZE / sizeof(TopkDirEntry))

/* No data page has more entries: those without codes have a TID and a byte. */
#define TOPK_MAX_ENTRIES \
	(TOPK_CONTENTS_SIZE / (sizeof(ItemPointerData) + 1))

/* The arrays of a data page */
typedef struct TopkParts
{
	uint8	   *codes;			/* these four of coded pages only */
	float	   *scale;
	float	   *error;
	float	   *norm;
	ItemPointerData *tids;
	uint8	   *killed;			/* hints: the row is dead to everyone */
} TopkParts;

/* An entry outside of a page */
typedef struct TopkItem
{
	TopkGroup	group;
	ItemPointerData tid;
	CodeScalars scalars;
	uint8		bytes[CODE_MAX_LENGTH];
} TopkItem;

#define TopkItemSize(item) \
	(offsetof(TopkItem, bytes) + \
	 (TOPK_GROUP_KIND((item)->group) == TOPK_CODED ? \
	  code_bytes(TOPK_GROUP_LENGTH((item)->group)) : 0))

/* page.c: entries and pages */
extern void topk_form_item(TopkItem *item, Datum value, bool isnull,
						   ItemPointer tid);
extern int	topk_capacity(TopkGroup group);
extern TopkGroup topk_coarsen(TopkGroup group, uint32 bucket_shift);
extern void topk_bucket_range(TopkGroup group, uint32 bucket_shift,
							  float4 *low, float4 *high);
extern void topk_init_page(Page page, TopkGroup group);
extern void topk_init_meta(Page page);
extern void topk_init_directory(Page page, const TopkDirEntry *entries, int n,
								BlockNumber next);
extern TopkParts topk_parts(Page page);
extern void topk_add_item(Page page, const TopkItem *item);
extern void topk_check_opclass(Relation index);

/* damage.c: what is read from the file is looked at before it is used */
pg_noreturn extern void topk_report_damage(Relation index, BlockNumber block,
										   const char *detail);
extern void topk_check_page(Relation index, Buffer buffer);
extern Buffer topk_read(Relation index, BlockNumber block, int lock);
extern Buffer topk_read_directory(Relation index, BlockNumber block, int lock);
extern void topk_check_directory(Relation index, Buffer buffer,
								 BlockNumber *pages);
extern void topk_check_chain(Relation index, Buffer buffer, BlockNumber *pages);
extern void topk_check_entry(Relation index, Buffer buffer, int i);
extern void topk_check_tid(Relation index, BlockNumber block,
						   const ItemPointerData *tid);
extern void topk_check_row(Relation index, BlockNumber block, Relation heap,
						   const ItemPointerData *tid);
extern void topk_check_code(Relation index, BlockNumber block, TopkGroup group,
							float4 norm, float4 scale, float4 error);

/* directory.c: pages for inserts, and reading the directory */
extern BlockNumber topk_open_page(Relation index, TopkGroup *group, uint32 *epoch);
extern void topk_make_room(Relation index, TopkGroup group, BlockNumber full);
extern BlockNumber topk_reserve_page(Relation index);
extern uint32 topk_first_entries(Relation index, Snapshot snapshot,
								 BlockNumber *next, uint32 *changes);
extern bool topk_next_entries(Relation index, uint32 epoch, BlockNumber *next,
							  BlockNumber *pages, TopkDirEntry *entries,
							  int *count);
extern void topk_forget_open(TopkMeta *meta, BlockNumber block);

/* pack.c, for vacuum */
extern void topk_pack(IndexVacuumInfo *info);
extern void topk_clear_page(Relation index, BlockNumber block, uint32 epoch,
							bool if_older);

/* the access method's functions, one file each */
extern IndexBuildResult *topk_build(Relation heap, Relation index,
									struct IndexInfo *info);
extern void topk_build_empty(Relation index);
extern bool topk_insert(Relation index, Datum *values, bool *isnull,
						ItemPointer tid, Relation heap,
						IndexUniqueCheck check_unique, bool index_unchanged,
						struct IndexInfo *info);
extern IndexBulkDeleteResult *topk_bulk_delete(IndexVacuumInfo *info,
											   IndexBulkDeleteResult *stats,
											   IndexBulkDeleteCallback callback,
											   void *callback_state);
extern IndexBulkDeleteResult *topk_vacuum_cleanup(IndexVacuumInfo *info,
												  IndexBulkDeleteResult *stats);
extern IndexScanDesc topk_begin_scan(Relation index, int nkeys, int norderbys);
extern void topk_rescan(IndexScanDesc scan, ScanKey keys, int nkeys,
						ScanKey orderbys, int norderbys);
extern bool topk_get_tuple(IndexScanDesc scan, ScanDirection direction);
extern void topk_end_scan(IndexScanDesc scan);
extern void topk_cost_estimate(struct PlannerInfo *root, struct IndexPath *path,
							   double loop_count, Cost *startup_cost,
							   Cost *total_cost, Selectivity *selectivity,
							   double *correlation, double *pages);

/* topk.c, at module load */
extern void topk_init(void);

#endif							/* FACTOR_TOPK_H */

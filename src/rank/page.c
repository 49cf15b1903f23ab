/*
 * page.c: entries and pages of the topk index; topk.h has the layout.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/bufpage.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "rank/topk.h"
#include "rank/vector.h"

/* The operator class must be over real[], whatever a superuser declared. */
void
topk_check_opclass(Relation index)
{
	if (index->rd_opcintype[0] != FLOAT4ARRAYOID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access method \"topk\" supports type real[] only")));
}

static uint32
FloatBits(float f)
{
	uint32		bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

static float
FloatFromBits(uint32 bits)
{
	float		f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

/*
 * The entry for a value, in any case: values that no operator accepts are
 * indexed too, for the operator itself to refuse when a scan returns them.  Its
 * group has the finest bucket (see topk_coarsen).
 */
void
topk_form_item(TopkItem *item, Datum value, bool isnull, ItemPointer tid)
{
	Vector		vector;
	ArrayType  *array;

	memset(item, 0, offsetof(TopkItem, bytes));
	item->tid = *tid;
	if (isnull)
	{
		item->group = TOPK_GROUP(TOPK_NULL, 0, 0);
		return;
	}

	StaticAssertStmt(MaxArraySize <= 0x7FFFFFF, "an irregular vector's length needs more bits");
	item->group = TOPK_IRREGULAR_GROUP(TOPK_NO_LENGTH);
	array = DatumGetArrayTypeP(value);
	if (vector_from_array(array, &vector) == VECTOR_OK)
	{
		switch (code_vector(vector.elements, vector.length,
							item->bytes, &item->scalars))
		{
			case CODE_REGULAR:
				item->group = TOPK_GROUP(TOPK_CODED, vector.length,
										 FloatBits(item->scalars.norm) >> TOPK_BUCKET_BITS);
				break;
			case CODE_ZERO:
				item->group = TOPK_GROUP(TOPK_ZERO, vector.length, 0);
				break;
			case CODE_IRREGULAR:
				item->group = TOPK_IRREGULAR_GROUP(vector.length);
				break;
		}
	}
	if ((void *) array != DatumGetPointer(value))
		pfree(array);
}

/* The group in an index whose buckets leave out so many bits. */
TopkGroup
topk_coarsen(TopkGroup group, uint32 bucket_shift)
{
	if (TOPK_GROUP_KIND(group) != TOPK_CODED)
		return group;
	return group & ~((1u << (bucket_shift - TOPK_BUCKET_BITS)) - 1);
}

/* The norms that a bucket holds. */
void
topk_bucket_range(TopkGroup group, uint32 bucket_shift,
				  float4 *low, float4 *high)
{
	uint32		bits = TOPK_GROUP_BUCKET(group) << TOPK_BUCKET_BITS;

	*low = FloatFromBits(bits);
	*high = FloatFromBits(bits | ((1u << bucket_shift) - 1));
}

/*
 * Entries that a page of the group takes.  A last, partial group of codes costs
 * a scan as much as a whole one, so it is given up where it is small, and is of
 * whole fours otherwise.
 */
int
topk_capacity(TopkGroup group)
{
	int			capacity;

	switch (TOPK_GROUP_KIND(group))
	{
		case TOPK_CODED:
			capacity = TOPK_CONTENTS_SIZE /
				(code_bytes(TOPK_GROUP_LENGTH(group)) +
				 sizeof(CodeScalars) + sizeof(ItemPointerData) + 1);
			if (capacity % CODE_GROUP <= capacity / CODE_GROUP)
				return capacity - capacity % CODE_GROUP;
			return capacity < 4 ? capacity : capacity - capacity % 4;
		case TOPK_DIRECTORY:
			return TOPK_DIRECTORY_CAPACITY;
		case TOPK_FREE:
		case TOPK_META:
		case TOPK_RESERVED:
			return 0;
		default:
			return TOPK_MAX_ENTRIES;
	}
}

/*
 * An empty page of the group.  Of a data page, the hints about killed entries
 * are the "hole" in the middle that WAL leaves out of page images and clears
 * when it changes a page.  (It does not clear it where there is no WAL, so who
 * moves entries has to.)  Of a free page, all is hole.  Other than that pages have
 * none, as what is in use of the arrays is not in one piece.
 */
void
topk_init_page(Page page, TopkGroup group)
{
	TopkOpaque *opaque;

	StaticAssertStmt(MAXALIGN(SizeOfPageHeaderData) + sizeof(TopkOpaque) <= TOPK_CONTENTS,
					 "page contents begin too early");
	PageInit(page, BLCKSZ, 0);
	((PageHeader) page)->pd_lower = ((PageHeader) page)->pd_upper;
	opaque = TopkPageOpaque(page);
	opaque->group = group;
	opaque->capacity = topk_capacity(group);
	opaque->next = InvalidBlockNumber;
	opaque->page_id = TOPK_PAGE_ID;
	if (group == TOPK_FREE)
		((PageHeader) page)->pd_lower = TOPK_CONTENTS;
	else if (TOPK_GROUP_KIND(group) < TOPK_DIRECTORY)
		((PageHeader) page)->pd_lower = (char *) topk_parts(page).killed - (char *) page;
}

/* A page of the directory with these entries. */
void
topk_init_directory(Page page, const TopkDirEntry *entries, int n, BlockNumber next)
{
	topk_init_page(page, TOPK_GROUP(TOPK_DIRECTORY, 0, 0));
	memcpy(TopkPageEntries(page), entries, n * sizeof(TopkDirEntry));
	TopkPageOpaque(page)->count = n;
	TopkPageOpaque(page)->next = next;
}

void
topk_init_meta(Page page)
{
	TopkMeta   *meta;

	topk_init_page(page, TOPK_GROUP(TOPK_META, 0, 0));
	meta = TopkPageMeta(page);
	meta->magic = TOPK_MAGIC;
	meta->version = TOPK_VERSION;
	meta->blocks = TOPK_META_BLOCK + 1;
	meta->bucket_shift = TOPK_COARSEST_SHIFT;
	meta->first_directory = InvalidBlockNumber;
	meta->last_directory = InvalidBlockNumber;
}

TopkParts
topk_parts(Page page)
{
	TopkOpaque *opaque = TopkPageOpaque(page);
	int			capacity = opaque->capacity;
	char	   *place = (char *) page + TOPK_CONTENTS;
	TopkParts	parts = {0};

	if (TOPK_GROUP_KIND(opaque->group) == TOPK_CODED)
	{
		parts.codes = (uint8 *) place;
		place += capacity * code_bytes(TOPK_GROUP_LENGTH(opaque->group));
		parts.scale = (float *) place;
		parts.error = parts.scale + capacity;
		parts.norm = parts.error + capacity;
		place = (char *) (parts.norm + capacity);
	}
	parts.tids = (ItemPointerData *) place;
	parts.killed = (uint8 *) (parts.tids + capacity);
	return parts;
}

/* Appends an entry to a page of its group with room. */
void
topk_add_item(Page page, const TopkItem *item)
{
	TopkOpaque *opaque = TopkPageOpaque(page);
	TopkParts	parts = topk_parts(page);
	int			i = opaque->count;

	Assert(opaque->group == item->group && i < opaque->capacity);

	if (TOPK_GROUP_KIND(item->group) == TOPK_CODED)
	{
		code_put(parts.codes, opaque->capacity,
				 TOPK_GROUP_LENGTH(item->group), i, item->bytes);
		parts.norm[i] = item->scalars.norm;
		parts.scale[i] = item->scalars.scale;
		parts.error[i] = item->scalars.error;
	}
	parts.tids[i] = item->tid;
	parts.killed[i] = 0;
	opaque->count++;
}

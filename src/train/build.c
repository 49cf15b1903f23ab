/*
 * build.c: the two matrices of a RatingSet, out of ratings in any order.
 *
 * Users first. The ratings are dealt out to parts, ranges of users with some
 * ten thousand ratings each, few enough parts that each one's end stays in the
 * cache. A part is then sorted where it fits in a second-level cache: by item,
 * a digit at a time, and by user at last, each a stable counting sort. Ratings
 * of one pair now stand side by side and become one: their values are sorted
 * and summed, or averaged, so that the result does not depend on the order in
 * which they came.
 *
 * Then items: the users' matrix, read from its start, has the pairs in the
 * order of users, so that after dealing out only a counting sort by item is
 * left. Everything is linear in the number of ratings. A comparison sort of
 * the whole (tuplesort) was rejected: it takes ten times as long. So was a
 * counting sort without parts: it misses the cache at every rating.
 *
 * Ratings that do not fit in memory take the same way with one more step: they
 * are first dealt out to temporary files, each a range of rows that does fit,
 * and the matrices are written to files as well. Every step keeps the order of
 * equals, and sums are formed in the final order, so the result is the same.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/shmem.h"
#include "utils/float.h"
#include "utils/memutils.h"

#include "compat.h"
#include "train/digest.h"
#include "train/matrix.h"
#include "train/progress.h"
#include "train/source.h"

/* Ratings of a part: with its copy for sorting 768 kB. */
#define PART_RATINGS	((uint64) 32768)

/* The most parts, and the most files, that are written at a time. */
#define MAX_PARTS		512
#define MAX_FILES		256

/* Digits of the sort by index have at most so many bits. */
#define DIGIT_BITS		11

/* Loops over ratings look for interrupts this often. */
#define INTERRUPT_MASK	0xffff

typedef struct Builder
{
	const MatrixSpec *spec;
	RatingSet  *set;
	MfSide		side;
	RatingMatrix *matrix;
	const uint64 *rows;			/* ratings of a row, at most */
	bool		sorted;			/* triples come sorted by index */
	TriplePool *pool;

	uint64		done;			/* entries made */
	uint64	   *offset;
	Rating	   *entries;		/* the matrix's, unless it goes to a file */
	BufFile    *file;

	uint64		space;			/* of the arrays for a part */
	Triple	   *work[2];
	Rating	   *output;
	float	   *values;			/* of one pair */
	uint64		values_space;
} Builder;

/* Rows cut into ranges: start[k] up to start[k + 1]. */
typedef struct Ranges
{
	uint32		n;
	uint32	   *start;
	uint16	   *of_row;			/* of row first + k */
	uint32		first;
} Ranges;

#define ST_SORT SortValues
#define ST_ELEMENT_TYPE float
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : (*(a) > *(b) ? 1 : 0))
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE static
#define ST_DECLARE
#define ST_DEFINE
#include "lib/sort_template.h"

static void *
AllocArray(uint64 n, Size size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext,
								  mul_size((Size) Max(n, 1), size));
}

/* ---- Ranges of rows ---- */

/*
 * Cuts the rows first up to end into ranges of about `target` ratings, at most
 * 2 * limit + 1 of them.
 */
static void
CutRanges(const Builder *builder, uint32 first, uint32 end,
		  uint64 target, int limit, Ranges *ranges)
{
	uint64		total = 0;
	uint64		filled = 0;

	for (uint32 row = first; row < end; row++)
		total += builder->rows[row];
	target = Max(target, total / limit);

	ranges->n = 0;
	ranges->first = first;
	ranges->start = AllocArray(2 * limit + 2, sizeof(uint32));
	ranges->of_row = AllocArray(end - first, sizeof(uint16));
	for (uint32 row = first; row < end; row++)
	{
		if ((row & INTERRUPT_MASK) == 0)
			CHECK_FOR_INTERRUPTS();

		/* A range starts anew where this row would be too much for it. */
		if (row == first || filled + builder->rows[row] > target)
		{
			ranges->start[ranges->n++] = row;
			filled = 0;
		}
		filled += builder->rows[row];
		ranges->of_row[row - first] = (uint16) (ranges->n - 1);
	}
	ranges->start[ranges->n] = end;
}

static void
FreeRanges(Ranges *ranges)
{
	pfree(ranges->start);
	pfree(ranges->of_row);
}

/* ---- Sorting a part ---- */

static void
ReserveWork(Builder *builder, uint64 n)
{
	if (n <= builder->space)
		return;
	for (int k = 0; k < 2; k++)
	{
		if (builder->work[k] != NULL)
			pfree(builder->work[k]);
		builder->work[k] = NULL;
	}
	if (builder->output != NULL)
		pfree(builder->output);

	n += n / 8;
	builder->work[0] = AllocArray(n, sizeof(Triple));
	builder->work[1] = AllocArray(n, sizeof(Triple));
	builder->output = builder->file != NULL ? AllocArray(n, sizeof(Rating)) : NULL;
	builder->space = n;
}

/* Moves a part's triples into builder->work[0]. */
static uint64
Unload(Builder *builder, TripleList *list)
{
	uint64		n = 0;
	TripleChunk *chunk;

	for (chunk = list->head; chunk != NULL; chunk = chunk->next)
		n += chunk == list->tail ? list->pos - chunk->triples : chunk->n;
	ReserveWork(builder, n);

	n = 0;
	while ((chunk = triple_list_pop(list)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(builder->work[0] + n, chunk->triples, chunk->n * sizeof(Triple));
		n += chunk->n;
		triple_chunk_free(builder->pool, chunk);
	}
	return n;
}

/* One pass of the sort by index: a stable counting sort by some of its bits. */
static void
SortByDigit(const Triple *from, Triple *to, uint64 n, int shift, int bits)
{
	uint64		place[1 << DIGIT_BITS] = {0};
	uint32		mask = (1U << bits) - 1;
	uint64		sum = 0;

	for (uint64 k = 0; k < n; k++)
	{
		if ((k & INTERRUPT_MASK) == 0)
			CHECK_FOR_INTERRUPTS();
		place[(from[k].index >> shift) & mask]++;
	}
	for (uint32 digit = 0; digit <= mask; digit++)
	{
		uint64		count = place[digit];

		place[digit] = sum;
		sum += count;
	}
	for (uint64 k = 0; k < n; k++)
	{
		if ((k & INTERRUPT_MASK) == 0)
			CHECK_FOR_INTERRUPTS();
		to[place[(from[k].index >> shift) & mask]++] = from[k];
	}
}

/* Sorts builder->work[0] by index; afterwards work[0] is the sorted one. */
static void
SortByIndex(Builder *builder, uint64 n)
{
	uint32		largest = builder->set->ids[MF_OTHER_SIDE(builder->side)].n - 1;
	int			bits = largest == 0 ? 0 : pg_leftmost_one_pos32(largest) + 1;
	int			passes = (bits + DIGIT_BITS - 1) / DIGIT_BITS;

	for (int pass = 0; pass < passes; pass++)
	{
		int			shift = bits * pass / passes;
		Triple	   *sorted = builder->work[1];

		SortByDigit(builder->work[0], sorted, n,
					shift, bits * (pass + 1) / passes - shift);
		builder->work[1] = builder->work[0];
		builder->work[0] = sorted;
	}
}

/*
 * The last counting sort, by row: places entries into `to` and leaves in
 * end[k] where row first + k ends.
 */
static void
PlaceByRow(const Triple *from, uint64 n, uint32 first, uint32 nrows,
		   uint64 *end, Rating *to)
{
	uint64		sum = 0;

	memset(end, 0, nrows * sizeof(uint64));
	for (uint64 k = 0; k < n; k++)
	{
		if ((k & INTERRUPT_MASK) == 0)
			CHECK_FOR_INTERRUPTS();
		end[from[k].row - first]++;
	}
	for (uint32 row = 0; row < nrows; row++)
	{
		uint64		count = end[row];

		end[row] = sum;
		sum += count;
	}
	for (uint64 k = 0; k < n; k++)
	{
		Rating	   *entry;

		if ((k & INTERRUPT_MASK) == 0)
			CHECK_FOR_INTERRUPTS();
		entry = &to[end[from[k].row - first]++];
		entry->index = from[k].index;
		entry->value = from[k].value;
	}
}

/* ---- Merging ---- */

/* One value for the n ratings of a pair. */
static float
MergeValues(Builder *builder, uint32 row, const Rating *entries, uint64 n)
{
	double		sum = 0;
	float		value;

	if (n > builder->values_space)
	{
		if (builder->values != NULL)
			pfree(builder->values);
		builder->values_space = n + n / 2;
		builder->values = AllocArray(builder->values_space, sizeof(float));
	}
	for (uint64 k = 0; k < n; k++)
		builder->values[k] = entries[k].value;
	SortValues(builder->values, n);
	for (uint64 k = 0; k < n; k++)
		sum += builder->values[k];

	if (!builder->spec->source->implicit)
		return (float) (sum / n);

	value = (float) sum;
	if (isinf(value))
	{
		const IdSet *users = &builder->set->ids[MF_USERS];
		const IdSet *items = &builder->set->ids[MF_ITEMS];

		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("sum of the ratings of user \"%s\" and item \"%s\" is out of range for type real",
						id_text(&users->key, users->ids[row]),
						id_text(&items->key, items->ids[entries->index]))));
	}
	return value;
}

/*
 * Merges ratings of the same pair in a row's n entries, in place; returns how
 * many are left.
 */
static uint64
MergeRow(Builder *builder, uint32 row, Rating *entries, uint64 n)
{
	uint64		kept = 0;
	uint64		run;

	for (uint64 k = 0; k < n; k += run)
	{
		float		value = entries[k].value;

		for (run = 1; k + run < n && entries[k + run].index == entries[k].index;)
			run++;
		if (run > 1)
			value = MergeValues(builder, row, &entries[k], run);
		entries[kept].index = entries[k].index;
		entries[kept].value = value;
		kept++;
	}
	return kept;
}

/*
 * Adds a user's rows, before equal pairs are merged, to the digests of both ends.
 * An item's rows come one by one, wherever its users are.
 */
static void
AddToDigests(Builder *builder, uint32 row, const Rating *entries, uint64 n)
{
	const IdSet *users = &builder->set->ids[MF_USERS];
	const IdSet *items = &builder->set->ids[MF_ITEMS];
	uint64		digest = 0;

	for (uint64 k = 0; k < n; k++)
	{
		uint32		item = entries[k].index;

		digest += digest_mix(items->hash[item], entries[k].value);
		items->digest[item] += digest_mix(users->hash[row], entries[k].value);
	}
	users->digest[row] = digest;
}

/* What the set knows of a row, from its entries. */
static void
SummarizeRow(Builder *builder, uint32 row, const Rating *entries, uint64 n)
{
	RatingSet  *set = builder->set;
	double		sum = 0;

	for (uint64 k = 0; k < n; k++)
		sum += entries[k].value;
	set->ids[builder->side].ratings[row] = (uint32) n;
	set->ids[builder->side].rating_sum[row] = sum;

	if (builder->side == MF_USERS)
	{
		double		squares = 0;

		for (uint64 k = 0; k < n; k++)
		{
			squares += (double) entries[k].value * entries[k].value;
			set->min = Min(set->min, entries[k].value);
			set->max = Max(set->max, entries[k].value);
		}
		set->mean_square += squares;
	}
}

/* ---- Making rows ---- */

/* Turns a part, the rows first up to end, into entries of the matrix. */
static void
FinishPart(Builder *builder, TripleList *list, uint32 first, uint32 end)
{
	uint64		n = Unload(builder, list);
	uint64	   *row_end = AllocArray(end - first, sizeof(uint64));
	Rating	   *entries;
	uint64		from = 0;
	uint64		kept = 0;

	if (!builder->sorted)
		SortByIndex(builder, n);
	entries = builder->file != NULL ? builder->output :
		builder->entries + builder->done;
	PlaceByRow(builder->work[0], n, first, end - first, row_end, entries);

	for (uint32 row = first; row < end; row++)
	{
		uint64		count = row_end[row - first] - from;

		/* Pairs are distinct already where they come from the other matrix. */
		if (builder->side == MF_USERS)
		{
			if (builder->set->ids[MF_USERS].digest != NULL)
				AddToDigests(builder, row, entries + from, count);
			count = MergeRow(builder, row, entries + from, count);
		}
		if (kept != from)
			memmove(entries + kept, entries + from, count * sizeof(Rating));
		SummarizeRow(builder, row, entries + kept, count);
		from = row_end[row - first];
		kept += count;
		builder->offset[row + 1] = builder->done + kept;
		if ((row & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
	}
	if (builder->file != NULL)
		BufFileWrite(builder->file, entries, kept * sizeof(Rating));
	builder->done += kept;
	pfree(row_end);
}

/* Makes the rows first up to end of the triples that the source gives. */
static void
MakeRows(Builder *builder, TripleSource *source, uint32 first, uint32 end)
{
	Ranges		parts;
	TripleList *lists;
	const Triple *batch;
	uint32		n;

	CutRanges(builder, first, end, PART_RATINGS, MAX_PARTS, &parts);
	lists = palloc0(parts.n * sizeof(TripleList));

	while ((batch = source->next(source, &n)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		for (uint32 k = 0; k < n; k++)
			triple_list_add(builder->pool,
							&lists[parts.of_row[batch[k].row - first]],
							batch[k].row, batch[k].index, batch[k].value);
	}
	for (uint32 part = 0; part < parts.n; part++)
		FinishPart(builder, &lists[part],
				   parts.start[part], parts.start[part + 1]);

	pfree(lists);
	FreeRanges(&parts);
}

/* The same for all rows by way of files, each of rows that fit in memory. */
static void
MakeRowsByFiles(Builder *builder, TripleSource *source)
{
	uint64		target = Max(builder->spec->memory / (3 * sizeof(Triple)),
							 2 * PART_RATINGS);
	Ranges		ranges;
	BufFile   **files;
	uint64	   *counts;
	const Triple *batch;
	uint32		n;

	CutRanges(builder, 0, builder->matrix->nrows, target, MAX_FILES, &ranges);
	files = palloc(ranges.n * sizeof(BufFile *));
	counts = palloc0(ranges.n * sizeof(uint64));
	for (uint32 k = 0; k < ranges.n; k++)
		files[k] = BufFileCreateTemp(false);

	while ((batch = source->next(source, &n)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		for (uint32 k = 0; k < n; k++)
		{
			uint16		range = ranges.of_row[batch[k].row];

			BufFileWrite(files[range], unconstify(Triple *, &batch[k]),
						 sizeof(Triple));
			counts[range]++;
		}
	}
	for (uint32 k = 0; k < ranges.n; k++)
	{
		TripleSource part;

		if (BufFileSeek(files[k], 0, 0, SEEK_SET) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not rewind temporary file")));
		stream_file(&part, files[k], counts[k]);
		MakeRows(builder, &part, ranges.start[k], ranges.start[k + 1]);
		stream_end(&part);
		BufFileClose(files[k]);
	}
	pfree(files);
	pfree(counts);
	FreeRanges(&ranges);
}

/* ---- A matrix ---- */

/*
 * Gives back what merging left unused of the entries, if that is much of it.
 */
static void
ShrinkEntries(Builder *builder, MemoryContext context)
{
	BigArray   *entries = &builder->matrix->entries;
	Size		size = builder->done * sizeof(Rating);
	BigArray	small;

	if (size > entries->size / 4 * 3)
		return;
	if (!bigarray_alloc(&small, size, entries->segment != NULL, context))
		builder->set->shared = false;
	memcpy(small.data, entries->data, size);
	bigarray_free(entries);
	*entries = small;
}

/* Makes one side's matrix of at most n pairs in the current memory context. */
static void
BuildMatrix(const MatrixSpec *spec, RatingSet *set, MfSide side,
			TripleSource *source, TriplePool *pool, uint64 n)
{
	Builder		builder = {0};
	RatingMatrix *matrix = &set->by[side];
	IdSet	   *ids = &set->ids[side];
	bool		shared = spec->shared;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(context, "factor matrix building",
											   ALLOCSET_DEFAULT_SIZES);

	matrix->nrows = ids->n;
	if (!bigarray_alloc(&matrix->offset,
						mul_size((Size) ids->n + 1, sizeof(uint64)),
						shared, context))
		set->shared = false;
	ids->ratings = MemoryContextAllocHuge(context,
										  mul_size(ids->n, sizeof(uint32)));
	ids->rating_sum = MemoryContextAllocHuge(context,
											 mul_size(ids->n, sizeof(double)));

	builder.spec = spec;
	builder.set = set;
	builder.side = side;
	builder.matrix = matrix;
	builder.rows = spec->ranks[side].rows;
	builder.sorted = side == MF_ITEMS;
	builder.pool = pool;
	builder.offset = (uint64 *) matrix->offset.data;

	if (spec->in_file)
	{
		builder.file = shared ?
			BufFileCreateFileSet(SharedFileSetFiles(spec->fileset),
								 matrix_file_name(side)) :
			BufFileCreateTemp(false);
		MemoryContextSwitchTo(work);
		MakeRowsByFiles(&builder, source);
		if (shared)
			BufFileExportFileSet(builder.file);
	}
	else
	{
		if (!bigarray_alloc(&matrix->entries, mul_size(n, sizeof(Rating)),
							shared, context))
			set->shared = false;
		builder.entries = (Rating *) matrix->entries.data;
		MemoryContextSwitchTo(work);
		MakeRows(&builder, source, 0, matrix->nrows);
		ShrinkEntries(&builder, context);
	}
	MemoryContextSwitchTo(context);
	MemoryContextDelete(work);

	if (!matrix_cut_blocks(matrix, shared, context))
		set->shared = false;
	if (spec->in_file)
		matrix_set_file(matrix, builder.file, context);
}

void
matrices_build(const MatrixSpec *spec, RawRatings *raw, RatingSet *set)
{
	TripleSource source;

	progress_report("indexing " UINT64_FORMAT " ratings", raw->n);

	set->shared = spec->shared;
	set->min = get_float8_infinity();
	set->max = -get_float8_infinity();
	set->mean_square = 0;
	/* Values that are no ratings but places in time come with ids without hashes. */
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		set->ids[side].digest = set->ids[side].hash == NULL ? NULL :
			MemoryContextAllocExtended(CurrentMemoryContext,
									   mul_size((Size) set->ids[side].n + 1, sizeof(uint64)),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	stream_raw(&source, raw, spec->ranks);
	BuildMatrix(spec, set, MF_USERS, &source, &raw->pool, raw->n);
	stream_end(&source);
	if (raw->file != NULL)
		BufFileClose(raw->file);

	set->pairs = ((uint64 *) set->by[MF_USERS].offset.data)[set->by[MF_USERS].nrows];
	stream_transposed(&source, &set->by[MF_USERS]);
	BuildMatrix(spec, set, MF_ITEMS, &source, &raw->pool, set->pairs);
	stream_end(&source);
	triple_pool_free(&raw->pool);

	set->mean = 0;
	for (uint32 row = 0; row < set->ids[MF_USERS].n; row++)
		set->mean += set->ids[MF_USERS].rating_sum[row];
	set->mean /= set->pairs;
	set->mean_square /= set->pairs;
}

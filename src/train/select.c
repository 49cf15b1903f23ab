/*
 * select.c: least numbers of ratings, and pairs held out.
 *
 * min_user_ratings and min_item_ratings: an id with too few pairs goes, with its
 * pairs, which may leave another with too few, and so on until nothing changes.
 * What is left does not depend on the order in which ids go: it is the largest
 * set in which each id has enough.
 *
 * holdout: by a hash of the pair's ids, or the last of each user's pairs in
 * time. A user's n pairs give floor(n * fraction) of them, latest first.
 *
 * All of that is decided on distinct pairs, so the ratings are first made into
 * matrices, and what is left is made into new ones. Only a training that asks
 * for any of it pays for that.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/float.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/number.h"
#include "numerics/sampling.h"
#include "train/progress.h"
#include "train/select.h"

#define NO_RANK PG_UINT32_MAX

typedef struct Selection
{
	const RatingSource *source;
	MatrixSpec *spec;
	RatingSet  *all;
	RatingMatrix *order;
	bool	   *gone[2];		/* ids that have too few */
	uint64	   *rows[2];		/* pairs that training keeps, by id of `all` */
	RawRatings	raw;

	HeldPair   *held;			/* rows are those of `all` */
	uint64		nheld;
	uint64		held_space;

	float	   *places;			/* of one user's pairs in time */
	uint64		places_space;
} Selection;

#define ST_SORT SortPlaces
#define ST_ELEMENT_TYPE float
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : (*(a) > *(b) ? 1 : 0))
#define ST_SCOPE static
#define ST_DECLARE
#define ST_DEFINE
#include "lib/sort_template.h"

bool
selection_wanted(const RatingSource *source)
{
	return source->min_ratings[MF_USERS] > 0 || source->min_ratings[MF_ITEMS] > 0 ||
		source->holdout != HOLDOUT_NONE;
}

static void *
AllocArray(Size n, Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, mul_size(Max(n, 1), size),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* ---- Least numbers of ratings ---- */

static void
CountPairs(const Selection *s)
{
	RatingMatrix *matrix = &s->all->by[MF_USERS];

	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		memset(s->rows[side], 0, s->all->ids[side].n * sizeof(uint64));
	for (uint32 number = 0; number < matrix->nblocks; number++)
	{
		AlsBlock	block;

		CHECK_FOR_INTERRUPTS();
		rating_matrix_block(matrix, number, &block);
		for (size_t row = 0; row < block.nrows; row++)
		{
			uint64		user = block.first + row;

			if (s->gone[MF_USERS][user])
				continue;
			for (uint64 k = block.offset[row]; k < block.offset[row + 1]; k++)
			{
				uint32		item = block.entries[k - block.offset[0]].index;

				if (s->gone[MF_ITEMS][item])
					continue;
				s->rows[MF_USERS][user]++;
				s->rows[MF_ITEMS][item]++;
			}
		}
	}
}

/* Takes away the ids that have too few pairs; returns whether there were any. */
static bool
DropRare(const Selection *s)
{
	bool		dropped = false;

	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		for (uint32 row = 0; row < s->all->ids[side].n; row++)
			if (!s->gone[side][row] &&
				s->rows[side][row] < (uint64) s->source->min_ratings[side])
				s->gone[side][row] = dropped = true;
	return dropped;
}

/* ---- Holding out ---- */

static void
HoldOut(Selection *s, uint32 user, const Rating *entry)
{
	if (s->nheld == s->held_space)
	{
		s->held_space = s->held_space == 0 ? 4096 : s->held_space * 2;
		s->held = s->held == NULL ? AllocArray(s->held_space, sizeof(HeldPair)) :
			repalloc_huge(s->held, mul_size(s->held_space, sizeof(HeldPair)));
	}
	s->held[s->nheld].row[MF_USERS] = user;
	s->held[s->nheld].row[MF_ITEMS] = entry->index;
	s->held[s->nheld].value = entry->value;
	s->nheld++;
}

static void
KeepForTraining(Selection *s, uint32 user, const Rating *entry)
{
	RawRatings *raw = &s->raw;

	if (raw->list.pos == raw->list.end && raw->file != NULL)
	{
		TripleChunk *chunk;

		while ((chunk = triple_list_pop(&raw->list)) != NULL)
		{
			BufFileWrite(raw->file, chunk->triples, chunk->n * sizeof(Triple));
			triple_chunk_free(&raw->pool, chunk);
		}
	}
	triple_list_add(&raw->pool, &raw->list, user, entry->index, entry->value);
	raw->n++;
	s->rows[MF_USERS][user]++;
	s->rows[MF_ITEMS][entry->index]++;
}

/*
 * The place in time from which on the user's pairs are held out: of n pairs
 * whose items are still there, the last floor(n * fraction). Pairs that were
 * rated more than once may share a place: the first *staying of those at the one
 * returned, by item, are not held out.
 */
static float
FirstHeldPlace(Selection *s, const Rating *entries, const Rating *places, uint64 n,
			   uint64 *staying)
{
	uint64		kept = 0;
	uint64		held;
	float		first;

	*staying = 0;
	if (n > s->places_space)
	{
		s->places_space = n + n / 2;
		s->places = AllocArray(s->places_space, sizeof(float));
	}
	for (uint64 k = 0; k < n; k++)
		if (!s->gone[MF_ITEMS][entries[k].index])
			s->places[kept++] = places[k].value;

	/* 30 * 0.1 is 3, whatever binary fractions make of it. */
	held = (uint64) floor(kept * s->source->holdout_fraction * (1 + 1e-12));
	if (held == 0)
		return get_float4_infinity();
	SortPlaces(s->places, kept);
	first = s->places[kept - held];
	while (*staying < kept - held && s->places[kept - held - *staying - 1] == first)
		(*staying)++;
	return first;
}

static void
DivideRow(Selection *s, uint32 user, const Rating *entries, const Rating *places, uint64 n)
{
	const RatingSource *source = s->source;
	uint64		staying = 0;
	float		first = places != NULL ?
		FirstHeldPlace(s, entries, places, n, &staying) : 0;

	for (uint64 k = 0; k < n; k++)
	{
		uint32		item = entries[k].index;
		bool		held = false;

		if (s->gone[MF_ITEMS][item])
			continue;
		if (source->holdout == HOLDOUT_RANDOM)
			held = sampling_held_out(s->all->ids[MF_USERS].hash[user],
									 s->all->ids[MF_ITEMS].hash[item],
									 (uint64) HOLDOUT_SEED, source->holdout_fraction);
		else if (places != NULL)
		{
			held = places[k].value > first;
			if (places[k].value == first)
			{
				held = staying == 0;
				staying -= !held;
			}
		}
		if (held)
			HoldOut(s, user, &entries[k]);
		else
			KeepForTraining(s, user, &entries[k]);
	}
}

/* Every pair goes to the training, to the pairs held out, or away. */
static void
DividePairs(Selection *s)
{
	RatingMatrix *matrix = &s->all->by[MF_USERS];

	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		memset(s->rows[side], 0, s->all->ids[side].n * sizeof(uint64));
	for (uint32 number = 0; number < matrix->nblocks; number++)
	{
		AlsBlock	block;
		AlsBlock	places = {0};

		CHECK_FOR_INTERRUPTS();
		rating_matrix_block(matrix, number, &block);
		if (s->order != NULL)
			rating_matrix_block(s->order, number, &places);
		for (size_t row = 0; row < block.nrows; row++)
		{
			uint64		from = block.offset[row] - block.offset[0];

			if ((row & 255) == 0)
				CHECK_FOR_INTERRUPTS();
			if (!s->gone[MF_USERS][block.first + row])
				DivideRow(s, (uint32) (block.first + row), block.entries + from,
						  s->order != NULL ? places.entries + from : NULL,
						  block.offset[row + 1] - block.offset[row]);
		}
	}
	if (s->raw.file != NULL)
	{
		TripleChunk *chunk;

		while ((chunk = triple_list_pop(&s->raw.list)) != NULL)
		{
			BufFileWrite(s->raw.file, chunk->triples, chunk->n * sizeof(Triple));
			triple_chunk_free(&s->raw.pool, chunk);
		}
	}
}

/* ---- The new set ---- */

/* The ids that have pairs left, and where each old one has gone. */
static void
KeepIds(const Selection *s, MfSide side, IdSet *ids, IdRanks *ranks)
{
	const IdSet *all = &s->all->ids[side];
	uint32		n = 0;

	ranks->rank = AllocArray(all->n, sizeof(uint32));
	ranks->rows = AllocArray(all->n, sizeof(uint64));
	ids->key = all->key;
	ids->ids = AllocArray(all->n, sizeof(Datum));
	ids->hash = AllocArray(all->n, sizeof(uint64));
	for (uint32 row = 0; row < all->n; row++)
	{
		ranks->rank[row] = NO_RANK;
		if (s->rows[side][row] == 0)
			continue;
		ranks->rank[row] = n;
		ranks->rows[n] = s->rows[side][row];
		ids->ids[n] = all->ids[row];
		ids->hash[n] = all->hash[row];
		n++;
	}
	ids->n = n;
}

/* Pairs held out of ids that training does not know cannot be measured. */
static void
KeepHeld(const Selection *s, const IdRanks *ranks, RatingSet *set)
{
	set->held = s->held;
	for (uint64 k = 0; k < s->nheld; k++)
	{
		HeldPair	pair = s->held[k];

		pair.row[MF_USERS] = ranks[MF_USERS].rank[pair.row[MF_USERS]];
		pair.row[MF_ITEMS] = ranks[MF_ITEMS].rank[pair.row[MF_ITEMS]];
		if (pair.row[MF_USERS] == NO_RANK || pair.row[MF_ITEMS] == NO_RANK)
			set->held_unknown++;
		else
			set->held[set->nheld++] = pair;
	}
}

static void
CheckLeft(const Selection *s, const RatingSet *set)
{
	if (s->raw.n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no ratings are left to train on"),
				 errdetail("Of " UINT64_FORMAT " pairs, " UINT64_FORMAT " were held out; the others are of users or items with too few pairs.",
						   s->all->pairs, s->nheld),
				 s->nheld == 0 ? 0 : errhint("Hold out less, or train without holdout.")));
	if (s->source->holdout != HOLDOUT_NONE && set->nheld == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a holdout of %s leaves no pair to measure by",
						number_text(s->source->holdout_fraction)),
				 errhint(s->source->holdout == HOLDOUT_RANDOM ?
						 "Hold out more, or train without holdout. What the ratings lack of "
						 "mf_holdout() with seed -1 cannot be held out again." :
						 "Hold out more, or train without holdout.")));
}

RatingSet *
ratings_select(MatrixSpec *spec, RatingSet *all, RatingMatrix *order)
{
	RatingSet  *set = palloc0(sizeof(RatingSet));
	IdRanks		ranks[2];
	Selection	s = {
		.source = spec->source,
		.spec = spec,
		.all = all,
		.order = order,
	};

	progress_report("selecting among " UINT64_FORMAT " pairs", all->pairs);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		s.gone[side] = AllocArray(all->ids[side].n, sizeof(bool));
		s.rows[side] = AllocArray(all->ids[side].n, sizeof(uint64));
	}
	if (s.source->min_ratings[MF_USERS] > 0 || s.source->min_ratings[MF_ITEMS] > 0)
		do
			CountPairs(&s);
		while (DropRare(&s));

	triple_pool_init(&s.raw.pool, CurrentMemoryContext);
	if (spec->in_file)
		s.raw.file = BufFileCreateTemp(false);
	DividePairs(&s);

	set->lowest = all->lowest;
	set->highest = all->highest;
	set->rows = all->rows;
	set->skipped = all->skipped;
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		KeepIds(&s, side, &set->ids[side], &ranks[side]);
	KeepHeld(&s, ranks, set);
	CheckLeft(&s, set);

	ratings_free(all);
	spec->ranks = ranks;
	matrices_build(spec, &s.raw, set);
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		pfree(s.gone[side]);
		pfree(s.rows[side]);
		pfree(ranks[side].rank);
		pfree(ranks[side].rows);
	}
	return set;
}

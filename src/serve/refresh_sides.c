/*
 * refresh_sides.c: which users and items a refresh solves, and from what.
 *
 * Three ways to the ratings:
 *
 *	 named		only the pairs of what is named are read, by a condition that an
 *				index of the rating table may serve
 *	 default	all rows are read, but only their digests are formed by user and by
 *				item; then the pairs of those that differ from the model's tables,
 *				and of new ones, are kept and indexed, and the others forgotten
 *	 either, of a model whose training chose among pairs by how many there are, or
 *				held some out: all is read and chosen as training does, since
 *				every pair may decide about every other
 *
 * The model's rows are read whole, or, where only some are named, those that the
 * ratings speak of. The Gramians take all vectors: of those that are not read it
 * is the one on record less what was read. It is stored in single precision, so
 * each such refresh adds that much rounding; one without names sums anew.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/query.h"
#include "model/scan.h"
#include "serve/refresh.h"
#include "train/ids.h"
#include "train/select.h"

/* Of more ids than this the model's tables are rather read whole. */
#define PARTIAL_IDS 100000

/* ---- The model's rows ---- */

static uint64
CountRows(const ModelSide *side)
{
	const Oid	type = INT8OID;
	SqlQuery	query = {
		.sql = psprintf("SELECT pg_catalog.count(*) FROM ONLY %s", side->table),
		.from = &side->held,
		.ncolumns = 1,
		.columns = &type,
	};
	Datum		count = (Datum) 0;
	bool		isnull;

	(void) query_row(&query, &count, &isnull);
	return DatumGetInt64(count);
}

static void *
AllocZero(Size n, Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, mul_size(n, size),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static void
AllocSide(Refresh *refresh, MfSide which, const IdSet *ids)
{
	RefreshSide *side = &refresh->side[which];
	Size		rows = (Size) ids->n + 1 +
		(refresh->partial ? side->named.n : CountRows(&refresh->model->side[which]));
	BigArray	array;

	if (rows >= PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("the model has too many rows")));
	side->ids = ids;
	side->type = lookup_type_cache(ids->key.type, TYPECACHE_CMP_PROC_FINFO);
	side->n = ids->n;
	side->space = (uint32) rows;
	bigarray_alloc(&array, mul_size(rows, mul_size(als_stride(refresh->spec.factors), sizeof(float))),
				   false, CurrentMemoryContext);
	side->vectors.factors = array.data;
	side->vectors.bias = AllocZero(rows, sizeof(float));
	side->known = AllocZero(rows, 3 * sizeof(bool));
	side->was_known = side->known + rows;
	side->touched = side->was_known + rows;
	side->recorded = AllocZero(rows, sizeof(int32));
	side->recorded_digest = AllocZero(rows, sizeof(uint64));
	side->extra = AllocZero(rows, sizeof(Datum));
	if (refresh->spec.unobserved_weight > 0)
		side->gramian = AllocZero(mul_size(refresh->spec.factors, refresh->spec.factors),
								  sizeof(double));
}

/* The ids of a partial read: those in the ratings, and what is named. */
static IdArray
IdsToRead(const RefreshSide *side)
{
	Size		n = side->ids->n + side->named.n;
	Datum	   *ids = palloc((n + 1) * sizeof(Datum));

	memcpy(ids, side->ids->ids, side->ids->n * sizeof(Datum));
	memcpy(ids + side->ids->n, side->named.ids, side->named.n * sizeof(Datum));
	return (IdArray) {(uint32) n, ids};
}

/* What is not read, to begin with all; each row that is read is taken away. */
static void
BeginUnread(Refresh *refresh, MfSide which)
{
	const ModelRecord *record = &refresh->model->record;
	RefreshSide *side = &refresh->side[which];
	const float *stored = model_gramian(refresh->model, which);
	Size		square = (Size) record->factors * record->factors;

	side->unread_gramian = MemoryContextAllocHuge(CurrentMemoryContext,
												  mul_size(square, sizeof(double)));
	for (Size k = 0; k < square; k++)
		side->unread_gramian[k] = stored[k];
	side->nunread = which == MF_USERS ? record->users : record->items;
}

static void
TakeFromUnread(RefreshSide *side, const float *x, int d)
{
	for (int i = 0; i < d; i++)
		for (int j = 0; j < d; j++)
			side->unread_gramian[(Size) i * d + j] -= (double) x[i] * x[j];
	if (side->nunread > 0)
		side->nunread--;
}

/*
 * Reads the model's rows, and looks for the id of each among those of the ratings.
 * Those that the ratings do not have follow, in the order of reading; of them what
 * is named is to be solved, that is to say removed.
 */
static void
LoadSide(Refresh *refresh, MfSide which, const IdSet *ids)
{
	RefreshSide *side = &refresh->side[which];
	const ModelSide *table = &refresh->model->side[which];
	size_t		stride = als_stride(refresh->spec.factors);
	MemoryContext context = CurrentMemoryContext;
	IdArray		only = {0};
	IdSearch	search;
	SideScan   *scan;
	SideRow		row;

	AllocSide(refresh, which, ids);
	id_search_init(&search, ids);
	if (refresh->partial)
		only = IdsToRead(side);
	if (refresh->partial && side->gramian != NULL)
		BeginUnread(refresh, which);
	scan = side_scan_begin(refresh->model, which, SIDE_SCAN_LATEST, refresh->partial ? &only : NULL);
	while (side_scan_next(scan, &row))
	{
		uint32		k = id_search_find(&search, row.id);

		side_scan_check_finite(scan, &row);
		if (k == ids->n)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			/* Counted by an earlier snapshot than the one it is read by. */
			if (side->n == side->space)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_IN_USE),
						 errmsg("rows are being added to table %s meanwhile", table->table)));
			k = side->n++;
			side->extra[k - ids->n] = datumCopy(row.id, table->key_byval, table->key_length);
			side->touched[k] = idlist_contains(&side->named, row.id);
			MemoryContextSwitchTo(old);
		}
		memcpy(side->vectors.factors + k * stride, row.factors,
			   refresh->spec.factors * sizeof(float));
		if (side->unread_gramian != NULL)
			TakeFromUnread(side, row.factors, refresh->spec.factors);
		side->vectors.bias[k] = row.bias;
		side->known[k] = side->was_known[k] = true;
		side->recorded[k] = row.ratings;
		side->recorded_digest[k] = row.digest;
	}
	side_scan_end(scan);
}

/* ---- What is named ---- */

/*
 * Marks what is named of the ratings; what neither they nor the model know is
 * passed over.
 */
static void
TouchNamed(RefreshSide *side)
{
	IdSearch	search;

	id_search_init(&search, side->ids);
	for (int64 i = 0; i < side->named.n; i++)
	{
		uint32		k = id_search_find(&search, side->named.ids[i]);

		CHECK_FOR_INTERRUPTS();
		if (k < side->ids->n)
			side->touched[k] = true;
	}
}

/*
 * Whether to read some of the model's rows only. Where Gramians are wanted these
 * must be few of all, too: what is left of a sum after most of it was taken away
 * is mostly rounding.
 */
static bool
IsPartial(const Refresh *refresh)
{
	const ModelRecord *record = &refresh->model->record;
	double		ids = 0;

	for (MfSide which = MF_USERS; which <= MF_ITEMS; which++)
		ids += refresh->ratings->ids[which].n + refresh->side[which].named.n;
	return ids < PARTIAL_IDS &&
		(refresh->spec.unobserved_weight == 0 || 4 * ids < (double) record->users + record->items);
}

static void
ReadNamed(Refresh *refresh, RatingSource *source)
{
	source->restricted = true;
	for (MfSide which = MF_USERS; which <= MF_ITEMS; which++)
	{
		const IdList *named = &refresh->side[which].named;

		if (named->n > PG_INT32_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many ids are named")));
		source->only[which] = (IdArray) {(uint32) named->n, named->ids};
	}
	refresh->ratings = ratings_read(source, false, NULL);
	refresh->partial = IsPartial(refresh);
	for (MfSide which = MF_USERS; which <= MF_ITEMS; which++)
	{
		LoadSide(refresh, which, &refresh->ratings->ids[which]);
		TouchNamed(&refresh->side[which]);
	}
}

/* ---- What has changed ---- */

static bool
HasChanged(const RefreshSide *side, uint32 k, const uint64 *digest)
{
	return k >= side->ids->n || !side->known[k] || digest[k] != side->recorded_digest[k];
}

/* Chooses what has changed, and what is new; what is gone is known by now. */
static void
ChooseChanged(void *arg, const RatingTotals totals[2])
{
	Refresh    *refresh = arg;

	for (MfSide which = MF_USERS; which <= MF_ITEMS; which++)
	{
		const RatingTotals *total = &totals[which];
		RefreshSide *side = &refresh->side[which];

		LoadSide(refresh, which, total->ids);
		for (uint32 k = 0; k < side->n; k++)
			side->touched[k] = HasChanged(side, k, total->digest);
		memcpy(total->wanted, side->touched, side->ids->n * sizeof(bool));
	}
}

static void
ReadChanged(Refresh *refresh, const RatingSource *source)
{
	refresh->ratings = ratings_read_some(source, ChooseChanged, refresh);
	for (MfSide which = MF_USERS; which <= MF_ITEMS; which++)
		refresh->side[which].ids = &refresh->ratings->ids[which];
}

/* All pairs, chosen as training does. */
static void
ReadSelected(Refresh *refresh, const RatingSource *source)
{
	refresh->ratings = ratings_read(source, false, NULL);
	for (MfSide which = MF_USERS; which <= MF_ITEMS; which++)
	{
		RefreshSide *side = &refresh->side[which];

		LoadSide(refresh, which, &refresh->ratings->ids[which]);
		if (refresh->named)
			TouchNamed(side);
		else
			for (uint32 k = 0; k < side->n; k++)
				side->touched[k] = HasChanged(side, k, side->ids->digest);
	}
}

/* ---- The whole ---- */

void
refresh_read(Refresh *refresh, RatingSource *source)
{
	if (selection_wanted(source))
		ReadSelected(refresh, source);
	else if (refresh->named)
		ReadNamed(refresh, source);
	else
		ReadChanged(refresh, source);
}

uint32
refresh_forget(Refresh *refresh, MfSide which)
{
	RefreshSide *side = &refresh->side[which];
	size_t		stride = als_stride(refresh->spec.factors);
	uint32		gone = 0;

	for (uint32 k = side->ids->n; k < side->n; k++)
	{
		if (!side->touched[k])
			continue;
		memset(side->vectors.factors + k * stride, 0, stride * sizeof(float));
		side->known[k] = false;
		gone++;
	}
	return gone;
}

uint32
refresh_count(const RefreshSide *side)
{
	uint32		n = 0;

	for (uint32 k = 0; k < side->n; k++)
		n += side->known[k];
	return n;
}

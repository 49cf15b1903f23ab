/*
 * roster.c: a model's users and items, and which of them the pairs of training
 * and of the test speak of.
 *
 * Three sources name users and items: the model's own tables, the pairs it was
 * trained on, and those it is tested on. They are matched by a dictionary of
 * ids as training uses it, of the model's type; a test table may well hold
 * bigint where the model has int. The model's ids are put first, so that their
 * numbers are their places in the order of ids, which is the order that breaks
 * ties in a ranking.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"
#include "evaluate/roster.h"
#include "model/scan.h"
#include "serve/ids.h"
#include "train/ids.h"

/* ---- The model's own ---- */

static void
Grow(RosterSide *roster, uint32 *space, int d)
{
	if (roster->nmodel < *space)
		return;
	if (*space >= PG_INT32_MAX / 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many ids in a model to judge it")));
	*space *= 2;
	roster->bias = repalloc_huge(roster->bias, mul_size(*space, sizeof(float)));
	roster->factors = repalloc_huge(roster->factors, mul_size(mul_size(*space, d), sizeof(float)));
}

static void
ReadModel(Model *model, MfSide side, RosterSide *roster, IdDict *dict)
{
	MemoryContext context = CurrentMemoryContext;
	int			d = model->record.factors;
	uint32		space = 1024;
	SideScan   *scan;
	SideRow		row;

	roster->bias = MemoryContextAllocHuge(context, space * sizeof(float));
	roster->factors = MemoryContextAllocHuge(context, mul_size(space, d * sizeof(float)));
	scan = side_scan_begin(model, side, SIDE_SCAN_VECTORS, NULL);
	while (side_scan_next(scan, &row))
	{
		side_scan_check_finite(scan, &row);
		Grow(roster, &space, d);
		roster->bias[roster->nmodel] = row.bias;
		memcpy(roster->factors + (Size) roster->nmodel * d, row.factors, d * sizeof(float));
		id_dict_put(dict, row.id);
		if (++roster->nmodel % ID_BATCH == 0)
			id_dict_take(dict);
	}
	side_scan_end(scan);
	id_dict_take(dict);
}

/* ---- Those of training and of the test ---- */

static uint32 *
NumberIds(const Model *model, MfSide side, const IdSet *set, IdDict *dict)
{
	uint32	   *number = MemoryContextAllocHuge(CurrentMemoryContext,
												mul_size(Max(set->n, 1), sizeof(uint32)));
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "factor roster batch",
												ALLOCSET_DEFAULT_SIZES);
	IdConversion conversion = {0};
	uint32		place[ID_BATCH];
	uint32		n = 0;

	id_prepare_argument(&conversion, set->key.type, model, side, CurrentMemoryContext);
	for (uint32 k = 0; k < set->n; k++)
	{
		MemoryContext old = MemoryContextSwitchTo(batch);
		Datum		id;
		bool		possible = id_convert(&conversion, set->ids[k], &id);

		MemoryContextSwitchTo(old);
		number[k] = ROSTER_NONE;
		if (possible)
		{
			place[n++] = k;
			id_dict_put(dict, id);
		}
		if (n == ID_BATCH || k == set->n - 1)
		{
			const uint32 *code = id_dict_take(dict);

			CHECK_FOR_INTERRUPTS();
			for (uint32 j = 0; j < n; j++)
				number[place[j]] = code[j];
			n = 0;
			MemoryContextReset(batch);
		}
	}
	MemoryContextDelete(batch);
	return number;
}

static void
PlaceTraining(RosterSide *roster, uint32 n)
{
	roster->nplaces = roster->nmodel;
	for (uint32 k = 0; k < n; k++)
		if (roster->train[k] != ROSTER_NONE)
			roster->nplaces = Max(roster->nplaces, roster->train[k] + 1);
	roster->train_place = MemoryContextAllocHuge(CurrentMemoryContext,
												 mul_size(Max(roster->nplaces, 1), sizeof(uint32)));
	for (uint32 k = 0; k < roster->nplaces; k++)
		roster->train_place[k] = ROSTER_NONE;
	for (uint32 k = 0; k < n; k++)
		if (roster->train[k] != ROSTER_NONE)
			roster->train_place[roster->train[k]] = k;
}

void
roster_read(Model *model, MfSide side, const IdSet *train, const IdSet *test, RosterSide *roster)
{
	MemoryContext ids = AllocSetContextCreate(CurrentMemoryContext, "factor roster ids",
											  ALLOCSET_DEFAULT_SIZES);
	IdDict	   *dict = id_dict_create(&model->side[side].key, ids);

	memset(roster, 0, sizeof(*roster));
	ReadModel(model, side, roster, dict);
	roster->train = NumberIds(model, side, train, dict);
	PlaceTraining(roster, train->n);
	roster->test = NumberIds(model, side, test, dict);
	MemoryContextDelete(ids);
}

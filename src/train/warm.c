/*
 * warm.c: a training that starts where an earlier one ended.
 *
 * Alternating least squares solves the items from the users first, so the users'
 * vectors are all that has to be carried over; stochastic training moves both
 * sides from where they are. Both the ids and the model's rows are in the order
 * of the ids' type, so one pass over both brings them together.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/typcache.h"

#include "compat.h"
#include "model/scan.h"
#include "train/warm.h"

void
warm_side(const Model *model, MfSide which, const IdSet *ids, AlsSide *side)
{
	TypeCacheEntry *type = lookup_type_cache(ids->key.type, TYPECACHE_CMP_PROC_FINFO);
	size_t		stride = als_stride(model->record.factors);
	uint32		k = 0;
	SideScan   *scan;
	SideRow		row;

	SPI_connect();
	scan = side_scan_begin(model, which, SIDE_SCAN_VECTORS, false, (Datum) 0);
	while (side_scan_next(scan, &row))
	{
		int			order = -1;

		while (k < ids->n &&
			   (order = DatumGetInt32(FunctionCall2Coll(&type->cmp_proc_finfo, ids->key.collation,
														ids->ids[k], row.id))) < 0)
			k++;
		if (k == ids->n)
			break;
		if (order > 0)
			continue;
		memcpy(side->factors + k * stride, row.factors, model->record.factors * sizeof(float));
		side->bias[k] = row.bias;
	}
	side_scan_end(scan);
	SPI_finish();
}

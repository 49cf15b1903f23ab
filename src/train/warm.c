/*
 * warm.c: a training that starts where an earlier one ended.
 *
 * An iteration solves the items from the users first, so the users' vectors are
 * all that has to be carried over. Both the ids and the model's rows are in the
 * order of the ids' type, so one pass over both brings them together.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/typcache.h"

#include "compat.h"
#include "model/scan.h"
#include "train/warm.h"

void
warm_users(const Model *model, const IdSet *users, AlsSide *side)
{
	TypeCacheEntry *type = lookup_type_cache(users->key.type, TYPECACHE_CMP_PROC_FINFO);
	size_t		stride = als_stride(model->record.factors);
	uint32		u = 0;
	SideScan   *scan;
	SideRow		row;

	SPI_connect();
	scan = side_scan_begin(model, MF_USERS, SIDE_SCAN_VECTORS, false, (Datum) 0);
	while (side_scan_next(scan, &row))
	{
		int			order = -1;

		while (u < users->n &&
			   (order = DatumGetInt32(FunctionCall2Coll(&type->cmp_proc_finfo, users->key.collation,
														users->ids[u], row.id))) < 0)
			u++;
		if (u == users->n)
			break;
		if (order > 0)
			continue;
		memcpy(side->factors + u * stride, row.factors, model->record.factors * sizeof(float));
		side->bias[u] = row.bias;
	}
	side_scan_end(scan);
	SPI_finish();
}

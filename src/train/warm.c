/*
 * warm.c: a training that starts where an earlier one ended.
 *
 * Alternating least squares solves the items from the users first, so the users'
 * vectors are all that has to be carried over; stochastic training moves both
 * sides from where they are. Each of the model's rows is looked for among the ids
 * of the ratings.
 */
#include "postgres.h"


#include "compat.h"
#include "model/scan.h"
#include "train/ids.h"
#include "train/warm.h"

void
warm_side(const Model *model, MfSide which, const IdSet *ids, AlsSide *side)
{
	size_t		stride = als_stride(model->record.factors);
	IdSearch	search;
	SideScan   *scan;
	SideRow		row;

	id_search_init(&search, ids);
	scan = side_scan_begin(model, which, SIDE_SCAN_VECTORS, NULL);
	while (side_scan_next(scan, &row))
	{
		uint32		k = id_search_find(&search, row.id);

		if (k == ids->n)
			continue;
		side_scan_check_finite(scan, &row);
		memcpy(side->factors + k * stride, row.factors, model->record.factors * sizeof(float));
		side->bias[k] = row.bias;
	}
	side_scan_end(scan);
}

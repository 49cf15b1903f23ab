/*
 * map.c: mf_map(): the vectors of a side on their first two principal
 * components, for any tool that draws points.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/scan.h"
#include "numerics/components.h"
#include "serve/call.h"
#include "serve/map.h"
#include "train/crew.h"

PG_FUNCTION_INFO_V1(mf_map);
PG_FUNCTION_INFO_V1(mf_map_witness);

static void
Poll(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

MfSide
map_side(FunctionCallInfo fcinfo, int arg)
{
	char	   *side;

	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("side must not be null")));
	side = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	if (strcmp(side, "items") == 0)
		return MF_ITEMS;
	if (strcmp(side, "users") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized side \"%s\"", side),
				 errdetail("A map shows 'items' or 'users'."),
				 errhint("To name a model whose ids are text, write mf_map(id_type => NULL::text, model => ...).")));
	return MF_USERS;
}

/* Reads ids and vectors. */
static uint32
ReadSide(const Model *model, MfSide which, MapPoint **points, float **vectors)
{
	const ModelSide *side = &model->side[which];
	Size		d = model->record.factors;
	MemoryContext context = CurrentMemoryContext;
	Size		capacity = 1024;
	uint32		n = 0;
	SideScan   *scan;
	SideRow		row;

	*points = palloc(capacity * sizeof(MapPoint));
	*vectors = MemoryContextAllocHuge(context, mul_size(capacity, d * sizeof(float)));
	scan = side_scan_begin(model, which, SIDE_SCAN_COUNTS, NULL);
	while (side_scan_next(scan, &row))
	{
		MemoryContext old;

		if (n == capacity)
		{
			capacity *= 2;
			*points = repalloc_huge(*points, mul_size(capacity, sizeof(MapPoint)));
			*vectors = repalloc_huge(*vectors, mul_size(capacity, d * sizeof(float)));
		}
		old = MemoryContextSwitchTo(context);
		(*points)[n].id = datumCopy(row.id, side->key_byval, side->key_length);
		MemoryContextSwitchTo(old);
		(*points)[n].ratings = row.ratings;
		memcpy(*vectors + n * d, row.factors, d * sizeof(float));
		n++;
	}
	side_scan_end(scan);
	return n;
}

/* The whole variance: what the two axes show is a part of it. */
static double
Variance(const float *vectors, uint32 n, size_t d, const double *mean)
{
	double		sum = 0;

	for (uint32 i = 0; i < n; i++)
	{
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		for (size_t k = 0; k < d; k++)
			sum += (vectors[i * d + k] - mean[k]) * (vectors[i * d + k] - mean[k]);
	}
	return sum / n;
}

uint32
map_points(const Model *model, MfSide side, MapPoint **points, double share[2])
{
	size_t		d = model->record.factors;
	float	   *vectors;
	double	   *work;
	Components	components;
	uint32		n = ReadSide(model, side, points, &vectors);
	double		variance;

	share[0] = share[1] = 0;
	if (n == 0)
		return 0;
	crew_load_blas();
	work = MemoryContextAllocHuge(CurrentMemoryContext,
								  mul_size(components_work(d) + 3 * d, sizeof(double)));
	components.mean = work + components_work(d);
	components.axis[0] = components.mean + d;
	components.axis[1] = components.axis[0] + d;
	if (components_find(vectors, n, d, &components, work, Poll, NULL) != NUMERICS_OK)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("table %s has vectors that are not finite or too large for a map",
						model->side[side].table)));
	for (uint32 i = 0; i < n; i++)
	{
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		(*points)[i].x = components_place(&components, 0, vectors + i * d, d);
		(*points)[i].y = components_place(&components, 1, vectors + i * d, d);
	}
	variance = Variance(vectors, n, d, components.mean);
	for (int axis = 0; axis < 2 && variance > 0; axis++)
		share[axis] = Max(components.variance[axis], 0) / variance;
	pfree(work);
	pfree(vectors);
	return n;
}

static Datum
Map(FunctionCallInfo fcinfo, int model_arg)
{
	MfSide		side = map_side(fcinfo, model_arg + 1);
	ServeCall  *call = serve_call(fcinfo);
	MemoryContext context;
	MemoryContext row_context;
	MemoryContext outer;
	ServeRows	rows;
	Model	   *model;
	MapPoint   *points;
	double		share[2];
	uint32		n;

	serve_rows_begin(fcinfo, &rows, "id_type");
	model = serve_model(call, fcinfo, model_arg);
	id_prepare_result(&call->result, rows.id_type, model, side, "id_type => NULL::%s",
					  call->context);

	context = AllocSetContextCreate(CurrentMemoryContext, "mf_map", ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(context);
	n = map_points(model, side, &points, share);
	row_context = AllocSetContextCreate(context, "mf_map row", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(row_context);
	for (uint32 i = 0; i < n; i++)
	{
		Datum		values[3];
		bool		nulls[3] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = serve_rows_id(&rows, call, points[i].id);
		values[1] = Float8GetDatum(points[i].x);
		values[2] = Float8GetDatum(points[i].y);
		tuplestore_putvalues(rows.store, rows.desc, values, nulls);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
	serve_end(call);
	return (Datum) 0;
}

/* (model, side) */
Datum
mf_map(PG_FUNCTION_ARGS)
{
	return Map(fcinfo, 0);
}

/* (id_type, model, side) */
Datum
mf_map_witness(PG_FUNCTION_ARGS)
{
	serve_check_witness(fcinfo, 0, "id_type");
	return Map(fcinfo, 1);
}

/*
 * map.h: the vectors of a side on their first two principal components.
 */
#ifndef FACTOR_MAP_H
#define FACTOR_MAP_H

#include "model/model.h"

typedef struct MapPoint
{
	Datum		id;
	int32		ratings;
	double		x;
	double		y;
} MapPoint;

/* 'items' or 'users', from argument `arg`. */
extern MfSide map_side(FunctionCallInfo fcinfo, int arg);

/*
 * The points of a side, in the order of the ids, in the current memory
 * context; `share` gets the parts of the variance that the two axes show.
 */
extern uint32 map_points(const Model *model, MfSide side, MapPoint **points, double share[2]);

#endif							/* FACTOR_MAP_H */

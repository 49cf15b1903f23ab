/*
 * grid.h: the option sets of a search.
 */
#ifndef FACTOR_GRID_H
#define FACTOR_GRID_H

#include "postgres.h"

#include "utils/jsonb.h"

/*
 * The sets to try, each the text of a JSON object, in order: every combination
 * of the grid's values, or with `trials` > 0 so many different ones, drawn by
 * the seed. Errors name the option that is wrong. Allocated in `context`.
 */
extern char **grid_sets(Oid extension_schema, Jsonb *grid, int trials, int64 seed,
						MemoryContext context, int *n);

#endif							/* FACTOR_GRID_H */

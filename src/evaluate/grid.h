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
 * the seed. Errors name the option that is wrong. Allocated in the current
 * memory context.
 */
extern char **grid_sets(Jsonb *grid, int trials, int64 seed, int *n);

#endif							/* FACTOR_GRID_H */

/*
 * biases.c: the baseline mu + b_u + b_i, what is known without any taste.
 *
 * Given the items' biases, the best of each user is the sum of what they leave
 * over, divided by their number plus lambda, and the other way round; so the two
 * sides take turns until nothing moves. It is a convex problem, and each
 * turn solves its half exactly.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "evaluate/biases.h"

#define MAX_TURNS 200
#define CLOSE_ENOUGH 1e-7		/* of the ratings' range */
#define PAIRS_PER_CHECK 65536

/* One side's biases given the other's; returns the largest change. */
static double
FitSide(RatingSet *ratings, MfSide side, double lambda, double *bias[2])
{
	const double *other = bias[MF_OTHER_SIDE(side)];
	RatingMatrix *matrix = &ratings->by[side];
	double		largest = 0;
	uint64		checked = 0;

	for (uint32 number = 0; number < matrix->nblocks; number++)
	{
		AlsBlock	block;

		CHECK_FOR_INTERRUPTS();
		rating_matrix_block(matrix, number, &block);
		for (size_t row = 0; row < block.nrows; row++)
		{
			uint64		from = block.offset[row] - block.offset[0];
			uint64		to = block.offset[row + 1] - block.offset[0];
			double		sum = 0;
			double		fitted;

			for (uint64 k = from; k < to; k++)
				sum += block.entries[k].value - ratings->mean - other[block.entries[k].index];
			fitted = sum / (to - from + lambda);
			largest = Max(largest, fabs(fitted - bias[side][block.first + row]));
			bias[side][block.first + row] = fitted;
			checked += to - from;
			if (checked >= PAIRS_PER_CHECK)
			{
				CHECK_FOR_INTERRUPTS();
				checked = 0;
			}
		}
	}
	return largest;
}

void
biases_fit(RatingSet *ratings, double lambda, double *bias[2])
{
	double		close = CLOSE_ENOUGH * (ratings->max - ratings->min);

	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
		bias[side] = MemoryContextAllocExtended(CurrentMemoryContext,
												mul_size(Max(ratings->ids[side].n, 1), sizeof(double)),
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int turn = 0; turn < MAX_TURNS; turn++)
	{
		double		largest = FitSide(ratings, MF_ITEMS, lambda, bias);

		largest = Max(largest, FitSide(ratings, MF_USERS, lambda, bias));
		if (largest <= close)
			break;
	}
}

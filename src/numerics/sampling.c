/*
 * sampling.c: items dealt out to groups.
 */
#include "numerics/sampling.h"

/* Items between two polls. */
#define POLL_MASK 0xfffff

void
sampling_deal(uint64_t key, uint32_t n, uint32_t groups,
			  uint32_t *members, uint32_t *start, uint8_t *group_of,
			  NumericsPoll poll, void *arg)
{
	for (uint32_t k = 0; k < n; k++)
		members[k] = k;
	for (uint32_t k = n; k > 1; k--)
	{
		uint32_t	other = sampling_below(key, k, k);
		uint32_t	swap = members[k - 1];

		members[k - 1] = members[other];
		members[other] = swap;
		if ((k & POLL_MASK) == 0 && poll != NULL)
			poll(arg);
	}
	for (uint32_t g = 0; g <= groups; g++)
		start[g] = (uint32_t) ((uint64_t) n * g / groups);
	for (uint32_t g = 0; g < groups; g++)
		for (uint32_t k = start[g]; k < start[g + 1]; k++)
			group_of[members[k]] = (uint8_t) g;
}

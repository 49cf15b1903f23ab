/*
 * sampling.h: random choices that count rather than step.
 *
 * Number k of a sequence is a hash of the sequence's key and k (the finaliser
 * of splitmix64: Steele, Lea, Flood 2014). So what is drawn for a sample depends
 * on the seed and the sample's place alone, whoever draws it and when.
 */
#ifndef FACTOR_SAMPLING_H
#define FACTOR_SAMPLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numerics/status.h"

static inline uint64_t
sampling_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return x;
}

/* The key of a sequence that belongs to `key` and to one more number. */
static inline uint64_t
sampling_key(uint64_t key, uint64_t number)
{
	return sampling_mix(sampling_mix(key + UINT64_C(0x632be59bd9b4e019)) ^
						(number + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

/* 64 random bits: number `count` of the sequence `key`. */
static inline uint64_t
sampling_bits(uint64_t key, uint64_t count)
{
	return sampling_mix(key + (count + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

/* Number `count` of the sequence, uniform in 0 .. n - 1 (n < 2^32). */
static inline uint32_t
sampling_below(uint64_t key, uint64_t count, uint32_t n)
{
	return (uint32_t) (((sampling_bits(key, count) >> 32) * n) >> 32);
}

/*
 * Is the pair one of the share `fraction` that is held out? By the hashes of
 * the two ids' texts and a seed: the same pairs every time, whatever else there
 * is, and of a smaller fraction a subset of those of a larger one.
 */
static inline bool
sampling_held_out(uint64_t user_hash, uint64_t item_hash, uint64_t seed,
				  double fraction)
{
	uint64_t	bits = sampling_key(sampling_key(sampling_key(0, seed), user_hash),
									item_hash);

	return (double) (bits >> 11) * 0x1.0p-53 < fraction;
}

/*
 * Deals `n` items out to `groups` groups of the same size, give or take one, in
 * an order that depends on the key alone. Group g has the items members[k] for
 * k from start[g] up to start[g + 1]; group_of is the same the other way round.
 */
extern void sampling_deal(uint64_t key, uint32_t n, uint32_t groups,
						  uint32_t *members, uint32_t *start, uint8_t *group_of,
						  NumericsPoll poll, void *arg);

#endif							/* FACTOR_SAMPLING_H */

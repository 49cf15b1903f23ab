/*
 * digest.h: 64 bits that tell whether an id's ratings are still the same.
 *
 * The sum, modulo 2^64, over the id's rows of a mix of the other end's id, as
 * text, and the value's bits, as training keeps it. Rows may come in any order
 * and from any number of places. Not an exclusive or, in which a row that is
 * there twice leaves no trace; nor counts and sums of the values, which stay as
 * they are where an item is replaced by another.
 *
 * Rows are counted as they are read, before equal pairs are merged. Where training
 * chose among the pairs (min_user_ratings, holdout and the like), it is the pairs
 * chosen, since others than one's own decide about them.
 */
#ifndef FACTOR_DIGEST_H
#define FACTOR_DIGEST_H

#include "postgres.h"

/* What a row adds; `other` is the hash of the other end's text (id_hash()). */
static inline uint64
digest_mix(uint64 other, float value)
{
	uint32		bits;
	uint64		x;

	value += 0.0f;				/* minus zero is zero */
	memcpy(&bits, &value, sizeof(bits));
	/* The finalizer of splitmix64 (Steele, Lea and Flood 2014). */
	x = other + bits * UINT64CONST(0x9E3779B97F4A7C15);
	x = (x ^ (x >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

#endif							/* FACTOR_DIGEST_H */

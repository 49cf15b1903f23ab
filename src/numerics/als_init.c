/*
 * als_init.c: the vectors that training starts from.
 *
 * A generator that counts rather than steps: value k of a row is a hash of
 * (seed, id, k). So a row's first vector depends on its own id alone, not on
 * which other rows there are or who asks first; retraining with a few new ids
 * starts all the old ones where they started before.
 *
 * The hash is the finaliser of splitmix64 (Steele, Lea, Flood 2014) over a
 * Weyl sequence; two uniform values make two normal ones (Box and Muller
 * 1958). Rejection methods are faster but use a varying number of values, and
 * this is a thousandth of an iteration's time.
 */
#include <math.h>

#include "numerics/als.h"

#define TWO_PI 6.28318530717958647692

static uint64_t
Mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return x;
}

/* Value `count` of the sequence `key`: uniform in (0, 1]. */
static double
Uniform(uint64_t key, uint64_t count)
{
	uint64_t	bits = Mix(key + (count + 1) * UINT64_C(0x9e3779b97f4a7c15));

	return ((double) (bits >> 11) + 1.0) * 0x1.0p-53;
}

void
als_init_row(const AlsSpec *spec, uint64_t seed, uint64_t id_hash,
			 double scale, float *row)
{
	size_t		d = spec->factors;
	uint64_t	key = Mix(Mix(seed + UINT64_C(0x632be59bd9b4e019)) ^ id_hash);
	double		deviation = scale / sqrt((double) d);

	for (size_t k = 0; k < d; k += 2)
	{
		double		radius = deviation * sqrt(-2.0 * log(Uniform(key, k)));
		double		angle = TWO_PI * Uniform(key, k + 1);

		row[k] = (float) (radius * cos(angle));
		if (k + 1 < d)
			row[k + 1] = (float) (radius * sin(angle));
	}
	for (size_t k = d; k < als_stride(spec->factors); k++)
		row[k] = 0.0f;
}

/*
 * distance.c: inner products, norms and distances of float vectors.
 *
 * A sum of n products in double rounds, and the result depends on the order of
 * the additions; a compiler may not change that order, so a plain loop with
 * one sum runs at the latency of an addition, and a loop left to
 * -ffast-math gives other bits on each processor.  The loops here keep
 * sixteen sums side by side instead: element k goes to sum k mod 16, in
 * order, and the sums are then added pairwise (i with i + 8, then + 4, + 2,
 * + 1).  That order is part of the contract (distance.h).  It fills the vector
 * registers of any processor, two doubles wide or eight, and as every lane
 * does the same IEEE operations, with no contraction (-ffp-contract=off), the
 * result is the same to the bit whichever of them the compiler uses.
 *
 * On x86 the loops are compiled three times, for the baseline, AVX2 and
 * AVX-512, and the processor picks at the first call.  The bodies are inlined
 * from one source: there is no second formula that could differ.
 */
#include "numerics/distance.h"

#include <math.h>
#include <stdint.h>

#define LANES 16

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define DISPATCH_X86 1
#endif

#define INLINE static inline __attribute__((always_inline))

/* The three sums from which every distance is formed; some go unused. */
typedef struct Sums
{
	double		dot;			/* sum a_k b_k */
	double		aa;				/* sum a_k^2 */
	double		bb;				/* sum b_k^2 */
} Sums;

typedef double (*SumFunction) (const float *a, const float *b, size_t n);
typedef void (*SumsFunction) (const float *a, const float *b, size_t n,
							  Sums *sums);

INLINE double
AddPairwise(double *sum)
{
	for (int width = LANES / 2; width > 0; width /= 2)
		for (int k = 0; k < width; k++)
			sum[k] += sum[k + width];
	return sum[0];
}

INLINE double
DotBody(const float *a, const float *b, size_t n)
{
	double		sum[LANES] = {0};
	size_t		i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++)
			sum[k] += (double) a[i + k] * (double) b[i + k];
	for (int k = 0; i + k < n; k++)
		sum[k] += (double) a[i + k] * (double) b[i + k];
	return AddPairwise(sum);
}

INLINE double
SquaredDistanceBody(const float *a, const float *b, size_t n)
{
	double		sum[LANES] = {0};
	size_t		i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++)
		{
			double		diff = (double) a[i + k] - (double) b[i + k];

			sum[k] += diff * diff;
		}
	for (int k = 0; i + k < n; k++)
	{
		double		diff = (double) a[i + k] - (double) b[i + k];

		sum[k] += diff * diff;
	}
	return AddPairwise(sum);
}

INLINE void
SumsBody(const float *a, const float *b, size_t n, Sums *sums)
{
	double		dot[LANES] = {0};
	double		aa[LANES] = {0};
	double		bb[LANES] = {0};
	size_t		i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++)
		{
			double		x = a[i + k];
			double		y = b[i + k];

			dot[k] += x * y;
			aa[k] += x * x;
			bb[k] += y * y;
		}
	for (int k = 0; i + k < n; k++)
	{
		double		x = a[i + k];
		double		y = b[i + k];

		dot[k] += x * y;
		aa[k] += x * x;
		bb[k] += y * y;
	}
	sums->dot = AddPairwise(dot);
	sums->aa = AddPairwise(aa);
	sums->bb = AddPairwise(bb);
}

/* One set of the three loops, compiled for one instruction set. */
#define DEFINE_LOOPS(suffix, attribute) \
	attribute static double \
	Dot##suffix(const float *a, const float *b, size_t n) \
	{ \
		return DotBody(a, b, n); \
	} \
	attribute static double \
	SquaredDistance##suffix(const float *a, const float *b, size_t n) \
	{ \
		return SquaredDistanceBody(a, b, n); \
	} \
	attribute static void \
	Sums##suffix(const float *a, const float *b, size_t n, Sums *sums) \
	{ \
		SumsBody(a, b, n, sums); \
	}

DEFINE_LOOPS(Plain, )
#ifdef DISPATCH_X86
DEFINE_LOOPS(Avx2, __attribute__((target("avx2"))))
DEFINE_LOOPS(Avx512, __attribute__((target("avx512f,avx512dq,avx512vl"))))
#endif

static double DotFirst(const float *a, const float *b, size_t n);
static double SquaredDistanceFirst(const float *a, const float *b, size_t n);
static void SumsFirst(const float *a, const float *b, size_t n, Sums *sums);

/* At the first call these choose; afterwards they point to the choice. */
static SumFunction dot = DotFirst;
static SumFunction squared_distance = SquaredDistanceFirst;
static SumsFunction all_sums = SumsFirst;

static void
ChooseLoops(void)
{
	dot = DotPlain;
	squared_distance = SquaredDistancePlain;
	all_sums = SumsPlain;
#ifdef DISPATCH_X86
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") &&
		__builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl"))
	{
		dot = DotAvx512;
		squared_distance = SquaredDistanceAvx512;
		all_sums = SumsAvx512;
	}
	else if (__builtin_cpu_supports("avx2"))
	{
		dot = DotAvx2;
		squared_distance = SquaredDistanceAvx2;
		all_sums = SumsAvx2;
	}
#endif
}

static double
DotFirst(const float *a, const float *b, size_t n)
{
	ChooseLoops();
	return dot(a, b, n);
}

static double
SquaredDistanceFirst(const float *a, const float *b, size_t n)
{
	ChooseLoops();
	return squared_distance(a, b, n);
}

static void
SumsFirst(const float *a, const float *b, size_t n, Sums *sums)
{
	ChooseLoops();
	all_sums(a, b, n, sums);
}

double
vector_dot(const float *a, const float *b, size_t n)
{
	return dot(a, b, n);
}

double
vector_l2_distance(const float *a, const float *b, size_t n)
{
	return sqrt(squared_distance(a, b, n));
}

/*
 * The product of the two squared norms stays between 1e-180 and 1e160 for
 * finite floats, so one square root serves both norms.  Rounding may push the
 * quotient a little beyond one; it is clamped, but a NaN is left alone.
 */
double
vector_cosine_distance(const float *a, const float *b, size_t n)
{
	Sums		sums;
	double		cosine;

	all_sums(a, b, n, &sums);
	cosine = sums.dot / sqrt(sums.aa * sums.bb);
	if (cosine > 1.0)
		cosine = 1.0;
	else if (cosine < -1.0)
		cosine = -1.0;
	return 1.0 - cosine;
}

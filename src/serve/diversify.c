/*
 * diversify.c: a list whose items are good and unlike each other, by maximal
 * marginal relevance (Carbonell and Goldstein, SIGIR 1998).
 *
 * From a pool of the best items, one after another is chosen that has the
 * greatest
 *
 *	 (1 - diversity) rel(i) - diversity max over chosen j of cos(q_i, q_j)
 *
 * where rel(i) = (s_i - s_min) / (s_max - s_min) brings the scores of the pool
 * to the scale of a cosine (1 where all scores are equal). The first has none
 * chosen before it and so is the best of all. Of equals the better ranked is
 * taken. The cosine with a vector of zeros counts as 0.
 *
 * Each item's greatest similarity is kept and compared only with the one chosen
 * last, so that the work is k times the pool, not k squared times.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "compat.h"
#include "numerics/distance.h"
#include "serve/recommend.h"

typedef struct Choice
{
	double		relevance;
	double		similarity;		/* the greatest to any that is chosen */
	bool		chosen;
} Choice;

static double
Similarity(const Ranked *a, const Ranked *b, int nfactors)
{
	double		distance = vector_cosine_distance(a->factors, b->factors, nfactors);

	return isnan(distance) ? 0.0 : 1.0 - distance;
}

static Choice *
Prepare(const Ranked *ranked, int n)
{
	Choice	   *choices = MemoryContextAllocHuge(CurrentMemoryContext,
												 mul_size(n, sizeof(Choice)));
	double		best = ranked[0].score;
	double		range = best - ranked[n - 1].score;
	int			i;

	for (i = 0; i < n; i++)
	{
		choices[i].relevance = range > 0 ? 1.0 - (best - ranked[i].score) / range : 1.0;
		choices[i].similarity = -1.0;
		choices[i].chosen = false;
	}
	return choices;
}

static int
Choose(const Choice *choices, int n, double diversity)
{
	double		most = 0.0;
	int			best = -1;
	int			i;

	for (i = 0; i < n; i++)
	{
		double		value = (1.0 - diversity) * choices[i].relevance -
			diversity * choices[i].similarity;

		if (!choices[i].chosen && (best < 0 || value > most))
		{
			best = i;
			most = value;
		}
	}
	return best;
}

int
diversify(Ranked *ranked, int n, int k, int nfactors, double diversity)
{
	Choice	   *choices;
	Ranked	   *result;
	int			count = Min(n, k);
	int			i;
	int			j;

	if (count == 0)
		return 0;
	choices = Prepare(ranked, n);
	result = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(count, sizeof(Ranked)));
	for (i = 0; i < count; i++)
	{
		int			best = i == 0 ? 0 : Choose(choices, n, diversity);

		choices[best].chosen = true;
		result[i] = ranked[best];
		for (j = 0; j < n; j++)
		{
			if ((j & 0xfff) == 0)
				CHECK_FOR_INTERRUPTS();
			if (!choices[j].chosen)
				choices[j].similarity = Max(choices[j].similarity,
											Similarity(&ranked[best], &ranked[j], nfactors));
		}
	}
	memcpy(ranked, result, (Size) count * sizeof(Ranked));
	pfree(result);
	pfree(choices);
	return count;
}

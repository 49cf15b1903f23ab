/*
 * metrics.c: what a user's list and ranks are worth.
 *
 * R is the set of the user's relevant items, L the list of the k best
 * candidates, rel_j whether its j-th is relevant:
 *
 *	 precision	  sum rel_j / k
 *	 recall		  sum rel_j / min(k, |R|)
 *	 NDCG		  sum rel_j / log2(j + 1), over the same of a perfect list
 *				  (Jarvelin and Kekalainen 2002)
 *	 AP			  sum rel_j (sum rel_1 .. rel_j) / j, over min(k, |R|)
 *	 RR			  1 / the first j with rel_j
 *	 AUC		  the share of pairs of a relevant candidate and another that
 *				  are in the right order, ties counting half
 *	 diversity	  the mean of 1 - cosine over the pairs in L
 *	 popularity	  the mean over L of the share s_i of users who have the item
 *	 information  the mean over L of - log2 s_i (Zhou et al. 2010)
 *
 * AUC needs no list of the other candidates. Over R the candidates before an
 * item, ties counting half, sum to those that are not relevant plus the pairs
 * within R, of which each counts once whatever its order.
 *
 * Diversity needs no pairs: with x_i the vectors of length one, the sum of the
 * cosines over all ordered pairs is |sum x_i|^2 - sum |x_i|^2, in time k d.
 */
#include <math.h>
#include <string.h>

#include "numerics/metrics.h"

static int
IsRelevant(const JudgeUser *user, uint64_t item)
{
	size_t		low = 0;
	size_t		high = user->ntargets;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (user->targets[middle].item < item)
			low = middle + 1;
		else
			high = middle;
	}
	return low < user->ntargets && user->targets[low].item == item;
}

static void
MeasureHits(const JudgeUser *user, size_t k, UserMetrics *metrics)
{
	size_t		possible = k < user->ntargets ? k : user->ntargets;
	size_t		hits = 0;
	double		ideal = 0;

	for (size_t j = 1; j <= possible; j++)
		ideal += 1 / log2(j + 1.0);
	for (size_t j = 1; j <= user->best.n; j++)
	{
		if (!IsRelevant(user, user->best.entries[j - 1].index))
			continue;
		if (++hits == 1)
			metrics->reciprocal_rank = 1.0 / j;
		metrics->ndcg += 1 / log2(j + 1.0);
		metrics->average_precision += (double) hits / j;
	}
	metrics->precision = (double) hits / k;
	metrics->recall = (double) hits / possible;
	metrics->ndcg /= ideal;
	metrics->average_precision /= possible;
	metrics->hit = hits > 0;
}

static double
MeasureAuc(const JudgeUser *user, size_t candidates)
{
	double		relevant = user->ntargets;
	double		others = candidates - relevant;
	double		before = 0;

	if (others <= 0)
		return NAN;
	for (size_t t = 0; t < user->ntargets; t++)
		before += user->targets[t].above + 0.5 * ((double) user->targets[t].tied - 1);
	before -= relevant * (relevant - 1) / 2;
	return 1 - before / (relevant * others);
}

static double
MeasureDiversity(const TopHeap *best, const MetricsItems *items, double *sum)
{
	double		square = 0;
	double		own = 0;
	double		n = 0;

	memset(sum, 0, sizeof(double) * items->d);
	for (size_t j = 0; j < best->n; j++)
	{
		const float *x = items->directions + best->entries[j].index * items->d;
		double		length = 0;

		for (size_t c = 0; c < items->d; c++)
		{
			sum[c] += x[c];
			length += (double) x[c] * x[c];
		}
		own += length;
		n += length > 0;
	}
	if (n < 2)
		return NAN;
	for (size_t c = 0; c < items->d; c++)
		square += sum[c] * sum[c];
	return 1 - (square - own) / (n * (n - 1));
}

void
metrics_user(const JudgeUser *user, size_t k, size_t candidates, const MetricsItems *items,
			 double *sum, UserMetrics *metrics)
{
	const TopHeap *best = &user->best;

	memset(metrics, 0, sizeof(*metrics));
	MeasureHits(user, k, metrics);
	metrics->auc = MeasureAuc(user, candidates);
	metrics->diversity = MeasureDiversity(best, items, sum);
	for (size_t j = 0; j < best->n; j++)
	{
		double		share = items->share[best->entries[j].index];

		metrics->popularity += share / best->n;
		metrics->information -= log2(share) / best->n;
	}
}

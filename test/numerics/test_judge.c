/*
 * test_judge.c: ranks, lists and metrics against their definitions, in double
 * precision and without blocks, thresholds or margins.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "numerics/blas.h"
#include "numerics/distance.h"
#include "numerics/judge.h"
#include "numerics/metrics.h"

typedef struct Case
{
	size_t		users;
	size_t		items;
	size_t		length;
	size_t		k;
	size_t		targets;
	size_t		skip;
	double		scale;			/* of the vectors */
	bool		ties;			/* small whole numbers, so that products tie */
} Case;

static float
RandomNumber(const Case *c)
{
	if (c->ties)
		return floor(random_uniform() * 3) - 1;
	return c->scale * random_normal();
}

/* `count` different items, ascending, without those that are taken. */
static void
Choose(const Case *c, bool *taken, size_t count, uint32_t *chosen)
{
	bool	   *mine = allocate(c->items);
	size_t		n = 0;

	while (n < count)
	{
		size_t		item = random_below(c->items);

		if (taken[item])
			continue;
		taken[item] = mine[item] = true;
		n++;
	}
	n = 0;
	for (size_t item = 0; item < c->items; item++)
		if (mine[item])
			chosen[n++] = item;
	free(mine);
}

static bool
Skipped(const JudgeUser *user, size_t item)
{
	for (size_t s = 0; s < user->nskip; s++)
		if (user->skip[s] == item)
			return true;
	return false;
}

/* The ranks of a user's targets and the list, by the definition. */
static bool
SameAsNaive(const Case *c, const JudgeItems *items, const JudgeUser *user)
{
	TopEntry   *entries = allocate(sizeof(TopEntry) * (c->k + 1));
	TopHeap		best;
	bool		same;

	topheap_init(&best, entries, c->k);
	for (size_t item = 0; item < c->items; item++)
		if (!Skipped(user, item))
			topheap_offer(&best, vector_dot(user->vector, items->vectors + item * items->stride,
											items->length), item);
	topheap_sort(&best);
	same = best.n == user->best.n &&
		same_bytes(best.entries, user->best.entries, best.n * sizeof(TopEntry));

	for (size_t t = 0; t < user->ntargets && same; t++)
	{
		const JudgeTarget *target = &user->targets[t];
		uint64_t	above = 0;
		uint64_t	tied = 0;

		for (size_t item = 0; item < c->items; item++)
		{
			double		score;

			if (Skipped(user, item))
				continue;
			score = vector_dot(user->vector, items->vectors + item * items->stride, items->length);
			above += score > target->score;
			tied += score == target->score;
		}
		same = above == target->above && tied == target->tied;
	}
	free(entries);
	return same;
}

/* The share of pairs of a target and another candidate in the right order. */
static double
NaiveAuc(const Case *c, const JudgeItems *items, const JudgeUser *user)
{
	double		right = 0;
	double		pairs = 0;

	for (size_t item = 0; item < c->items; item++)
	{
		bool		relevant = false;
		double		score = vector_dot(user->vector, items->vectors + item * items->stride,
									   items->length);

		for (size_t t = 0; t < user->ntargets; t++)
			relevant = relevant || user->targets[t].item == item;
		if (relevant || Skipped(user, item))
			continue;
		for (size_t t = 0; t < user->ntargets; t++)
		{
			pairs++;
			right += user->targets[t].score > score ? 1 :
				user->targets[t].score == score ? 0.5 : 0;
		}
	}
	return right / pairs;
}

static double
NaiveDiversity(const JudgeUser *user, const float *vectors, size_t stride, size_t d)
{
	double		sum = 0;
	double		pairs = 0;

	for (size_t a = 0; a < user->best.n; a++)
		for (size_t b = a + 1; b < user->best.n; b++)
		{
			double		distance = vector_cosine_distance(vectors + user->best.entries[a].index * stride,
														  vectors + user->best.entries[b].index * stride, d);

			if (isnan(distance))
				continue;
			sum += distance;
			pairs++;
		}
	return sum / pairs;
}

static void
TestCase(const char *name, const Case *c)
{
	size_t		stride = judge_stride(c->length);
	float	   *vectors = allocate(sizeof(float) * c->items * stride);
	float	   *directions = allocate(sizeof(float) * c->items * c->length);
	float	   *norm = allocate(sizeof(float) * c->items);
	double	   *share = allocate(sizeof(double) * c->items);
	double	   *sum = allocate(sizeof(double) * c->length);
	float	   *queries = allocate(sizeof(float) * c->users * stride);
	JudgeUser  *users = allocate(sizeof(JudgeUser) * c->users);
	JudgeWork  *work = judge_work_init(allocate(judge_work_size(c->length)), c->length);
	JudgeItems	items = {vectors, norm, c->items, c->length, stride};
	MetricsItems measured = {directions, c->length, share};
	bool		ranks = true;
	double		auc = 0;
	double		diversity = 0;

	random_seed(name, 7);
	for (size_t item = 0; item < c->items; item++)
	{
		double		length;

		for (size_t f = 0; f < c->length; f++)
			vectors[item * stride + f] = RandomNumber(c);
		length = sqrt(vector_dot(vectors + item * stride, vectors + item * stride, c->length));
		for (size_t f = 0; f < c->length && length > 0; f++)
			directions[item * c->length + f] = vectors[item * stride + f] / length;
		norm[item] = judge_norm(vectors + item * stride, c->length);
		share[item] = 0.5;
	}
	for (size_t u = 0; u < c->users; u++)
	{
		bool	   *taken = allocate(c->items);
		uint32_t   *chosen = allocate(sizeof(uint32_t) * (c->targets + c->skip + 1));

		for (size_t f = 0; f < c->length; f++)
			queries[u * stride + f] = RandomNumber(c);
		users[u].vector = queries + u * stride;
		users[u].ntargets = c->targets;
		users[u].targets = allocate(sizeof(JudgeTarget) * (c->targets + 1));
		Choose(c, taken, c->targets, chosen);
		for (size_t t = 0; t < c->targets; t++)
			users[u].targets[t].item = chosen[t];
		users[u].nskip = c->skip;
		Choose(c, taken, c->skip, chosen);
		users[u].skip = chosen;
		topheap_init(&users[u].best, allocate(sizeof(TopEntry) * (c->k + 1)), c->k);
		free(taken);
	}

	judge_users(work, &items, users, c->users, NULL, NULL);
	for (size_t u = 0; u < c->users; u++)
	{
		UserMetrics metrics;

		ranks = ranks && SameAsNaive(c, &items, &users[u]);
		metrics_user(&users[u], c->k, c->items - c->skip, &measured, sum, &metrics);
		auc = fmax(auc, fabs(metrics.auc - NaiveAuc(c, &items, &users[u])));
		if (users[u].best.n > 1 && !isnan(metrics.diversity))
			diversity = fmax(diversity, fabs(metrics.diversity -
											 NaiveDiversity(&users[u], vectors, stride, c->length)));
	}
	check(ranks, "judge, %s: ranks and lists of %zu users are exact", name, c->users);
	check(auc < 1e-12, "judge, %s: AUC is the share of ordered pairs (%.1e)", name, auc);
	check(diversity < 1e-5, "judge, %s: diversity is the mean over pairs (%.1e)", name, diversity);

	for (size_t u = 0; u < c->users; u++)
	{
		free(users[u].targets);
		free((void *) users[u].skip);
		free(users[u].best.entries);
	}
	free(vectors);
	free(directions);
	free(norm);
	free(share);
	free(sum);
	free(queries);
	free(users);
	free(work);
}

/* A list of five by hand: of a, b, c, d, e the relevant ones are b, e and z. */
static void
TestByHand(void)
{
	TopEntry	entries[5] = {{5, 10}, {4, 11}, {3, 12}, {2, 13}, {1, 14}};
	JudgeTarget targets[3] = {{11, 4, 1, 1}, {14, 1, 4, 1}, {20, 0, 7, 1}};
	float		directions[21] = {0};
	double		share[21];
	double		sum[1];
	JudgeUser	user = {0};
	MetricsItems items = {directions, 1, share};
	UserMetrics m;
	double		ideal = 1 + 1 / log2(3) + 0.5;

	for (int k = 0; k < 21; k++)
		share[k] = 0.25;
	share[10] = 0.5;
	directions[10] = directions[11] = 1;
	directions[12] = -1;
	user.targets = targets;
	user.ntargets = 3;
	user.best.entries = entries;
	user.best.k = user.best.n = 5;
	metrics_user(&user, 5, 10, &items, sum, &m);
	check(m.precision == 2.0 / 5 && m.recall == 2.0 / 3 && m.hit == 1 && m.reciprocal_rank == 0.5,
		  "metrics by hand: precision, recall, hit, reciprocal rank");
	check(fabs(m.average_precision - (1.0 / 2 + 2.0 / 5) / 3) < 1e-15 &&
		  fabs(m.ndcg - (1 / log2(3) + 1 / log2(6)) / ideal) < 1e-15,
		  "metrics by hand: average precision, NDCG");

	/* Of seven others, one comes before b, three before e, five before z. */
	check(fabs(m.auc - (6 + 4 + 2) / 21.0) < 1e-15, "metrics by hand: AUC");

	/* Three vectors have a direction: cosines 1, -1, -1. */
	check(fabs(m.diversity - 4.0 / 3) < 1e-15 && fabs(m.popularity - 0.3) < 1e-15 &&
		  fabs(m.information - 1.8) < 1e-15, "metrics by hand: diversity, popularity, information");
}

void
test_judge(void)
{
	const char *why;
	Case		plain = {37, 1500, 9, 10, 12, 40, 1, false};
	Case		tied = {20, 700, 3, 25, 30, 50, 1, true};
	Case		large = {7, 300, 17, 300, 2, 5, 1e17, false};
	Case		tiny = {7, 300, 5, 400, 1, 299, 1e-30, false};

	Case		single = {200, 1100, 1, 10, 5, 20, 1, true};

	TestByHand();
	if (blas_load(&why) != BLAS_READY)
	{
		check(false, "OpenBLAS: %s", why);
		return;
	}
	TestCase("random vectors", &plain);
	TestCase("ties", &tied);
	TestCase("vectors of length one", &single);
	TestCase("norms beyond single precision", &large);
	TestCase("one candidate, and a list longer than all", &tiny);
}

/*
 * recommend.h: a list of items for a vector: what mf_topk() and mf_topk_for()
 * share once they have the vector.
 */
#ifndef FACTOR_RECOMMEND_H
#define FACTOR_RECOMMEND_H

#include "serve/call.h"
#include "serve/idlist.h"
#include "serve/rank.h"

/* Where the options that both functions have are among their arguments. */
typedef struct RecommendArgs
{
	int			k;
	int			model;
	int			exclude_seen;
	int			candidates;		/* -1: there is no such argument */
	int			exclude;		/* likewise */
	int			diversity;
} RecommendArgs;

typedef struct Recommendation
{
	Model	   *model;
	const ModelEntity *user;
	int			k;
	bool		exclude_seen;
	IdList		exclude;		/* items left out */
	bool		restricted;		/* to the candidates */
	IdList		candidates;
	double		diversity;		/* 0: a plain list */
} Recommendation;

/* Reads what is no array: before anything else, for its errors. */
extern void recommend_options(FunctionCallInfo fcinfo, const RecommendArgs *args,
							  Recommendation *recommendation);

/* Reads the arrays, for recommendation->model. */
extern void recommend_lists(FunctionCallInfo fcinfo, const RecommendArgs *args,
							ServeCall *call, Recommendation *recommendation);

/* Adds the rows. recommendation->exclude need not be sorted. */
extern void recommend(Recommendation *recommendation, ServeCall *call, ServeRows *rows);

/*
 * Puts the k best by maximal marginal relevance first, in the order of their
 * choice, out of n that are ranked, with factors, best first. Returns how many
 * there are, at most k.
 */
extern int	diversify(Ranked *ranked, int n, int k, int nfactors, double diversity);

#endif							/* FACTOR_RECOMMEND_H */

/*
 * rank.h: the best rows of a side for a vector.
 */
#ifndef FACTOR_RANK_H
#define FACTOR_RANK_H

#include "utils/typcache.h"

#include "model/model.h"

typedef enum RankBy
{
	RANK_BY_PREDICTION,			/* of the items for a user */
	RANK_BY_COSINE				/* similarity: 1 - cosine distance */
} RankBy;

/* Is this id to be left out? */
typedef bool (*RankSkip) (void *arg, Datum id);

typedef struct RankRequest
{
	Model	   *model;
	MfSide		side;			/* whose rows are ranked */
	RankBy		by;
	const ModelEntity *query;
	int			k;
	RankSkip	skip;			/* NULL: none is left out */
	void	   *skip_arg;
	int64		nskip;			/* how many it may leave out */
	bool		keep_factors;	/* return those too */
} RankRequest;

typedef struct Ranked
{
	double		score;
	Datum		id;
	const float *factors;		/* NULL unless kept */
} Ranked;

/*
 * Ranks, best first, equal scores in the order of the ids; rows whose score is
 * NaN are left out. Returns how many there are, at most k, in *ranked, which
 * is allocated in the current memory context. Reads as the caller, in the
 * active snapshot.
 */
extern int	rank_side(const RankRequest *request, Ranked **ranked);

struct IdList;

/*
 * The same of the items in `candidates` alone, each fetched by its key: for few
 * of them. Ids that the model does not know are passed over.
 */
extern int	rank_among(const RankRequest *request, const struct IdList *candidates,
					   Ranked **ranked);

/* Compares two ids of a side in their btree order. */
extern int	rank_compare_ids(const TypeCacheEntry *type, Oid collation, Datum a, Datum b);
extern TypeCacheEntry *rank_id_type(const ModelKey *key);

#endif							/* FACTOR_RANK_H */

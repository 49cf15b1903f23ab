/*
 * ranker.h: what is judged: the model, and the baselines beside it.
 */
#ifndef FACTOR_RANKER_H
#define FACTOR_RANKER_H

#include "evaluate/panel.h"
#include "evaluate/roster.h"

/* The pairs, and what they are about. */
typedef struct Evidence
{
	Model	   *model;
	RatingSet  *train;
	RatingSet  *test;
	RosterSide	roster[2];
} Evidence;

typedef enum RankerKind
{
	RANKER_MODEL,				/* its own scores */
	RANKER_POPULAR,				/* the items with the most training pairs first */
	RANKER_BIASES				/* mu + b_u + b_i */
} RankerKind;

#define RANKER_KINDS 3

typedef struct Ranker
{
	RankerKind	kind;
	const Evidence *evidence;
	bool		predicts;		/* ratings, not only an order */
	uint64		length;			/* of its vectors */
	BigArray	array;			/* laid out by panel_ranker_layout() */
	double	   *bias[2];		/* RANKER_BIASES: by place in training */
	float	   *unknown;		/* a vector of zeros */
} Ranker;

/* `shared` asks for memory that workers can attach. */
extern Ranker *ranker_begin(RankerKind kind, const Evidence *evidence, bool shared);

/* What the method is called in results. */
extern const char *ranker_name(RankerKind kind);

/* The vector of a user of the model, judge_stride(length) floats that are zero. */
extern void ranker_user(const Ranker *ranker, uint32 user, float *vector);

/*
 * The predicted rating for a pair of numbers (see roster.h): what is not known
 * of a user or an item counts zero.
 */
extern double ranker_predict(const Ranker *ranker, uint32 user, uint32 item);

/* The share of the model's items that are in any list. */
extern double ranker_coverage(const Ranker *ranker);

extern void ranker_end(Ranker *ranker);

#endif							/* FACTOR_RANKER_H */

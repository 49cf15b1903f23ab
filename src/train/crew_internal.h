/*
 * crew_internal.h: what the files of the crew share: crew.c, which has the
 * processes and the work of ALS, and epoch.c, which has that of the stochastic
 * solver.
 */
#ifndef FACTOR_CREW_INTERNAL_H
#define FACTOR_CREW_INTERNAL_H

#include "postgres.h"

#include "access/parallel.h"
#include "storage/barrier.h"

#include "train/crew.h"

/* What the processes share of a stochastic training. */
typedef struct EpochShared
{
	SgdSpec		sgd;
	uint32		nblocks;		/* B: ranges of users, and groups of items */
	uint32		range[SGD_MAX_BLOCKS + 1];	/* range b: the users' blocks from
											 * range[b] up to range[b + 1] */
	uint64		pairs;
	int			epochs;
	int			epoch;			/* written by the leader in even phases */
	bool		still;			/* likewise: nothing moves */
	uint32		stratum;
} EpochShared;

/* What the processes share beside the big arrays. */
typedef struct CrewShared
{
	AlsSpec		spec;
	bool		stochastic;
	EpochShared epoch;			/* if stochastic */
	RatingMatrixHandle matrix[2];
	dsm_handle	state;
	Size		state_size;
	dsm_handle	fileset;		/* DSM_HANDLE_INVALID: none */

	Barrier		barrier;
	CrewStage	stage;			/* written by the leader in even phases */
	MfSide		side;
	pg_atomic_uint32 next;		/* the next piece */
	pg_atomic_uint32 diverged;	/* a piece failed: the stage is given up */
} CrewShared;

/* A process's view of a stochastic training. */
typedef struct EpochMember
{
	SgdSide		side[2];
	SgdSums    *sums;			/* B x B */
	uint32	   *members;		/* the items, group after group */
	uint32	   *start;			/* B + 1: where a group starts */
	uint8	   *group_of;		/* an item's group */
	SgdWorkspace *workspace;

	/* The block at work. */
	MemoryContext context;
	uint32		rows_space;
	uint32	   *offset;
	uint32		entries_space;
	Rating	   *entries;
	SgdSample  *samples;
	uint64_t   *filter;
} EpochMember;

/* One process's view of the work. */
typedef struct CrewMember
{
	CrewShared *shared;
	RatingMatrix *matrix[2];
	AlsSide		side[2];
	AlsSums    *sums[2];		/* per block */
	double	   *gramian[2];		/* d x d */
	double	   *part;			/* GramianParts() of d x d */
	AlsWorkspace *workspace;
	EpochMember epoch;
} CrewMember;

/* ---- crew.c ---- */

/* The numerics' poll. */
extern void crew_poll(void *arg);

/* ---- epoch.c ---- */

/* Lays out the arrays of a stochastic training, as crew.c does its own. */
extern void epoch_layout(CrewMember *member, const AlsSpec *spec,
						 const SgdSpec *sgd, char *base, Size *used);

/* What a process needs of its own, in the current memory context. */
extern void epoch_member_init(CrewMember *member, const AlsSpec *spec,
							  const SgdSpec *sgd);

/* Leader: cuts the users into ranges; fills what depends on the data. */
extern void epoch_shared_init(EpochShared *shared, const CrewMember *member,
							  const SgdSpec *sgd, int epochs);
extern void epoch_sides_init(CrewMember *member, const AlsSpec *spec);

extern uint32 epoch_pieces(const CrewMember *member);
extern void epoch_piece(CrewMember *member, uint32 number);

#endif							/* FACTOR_CREW_INTERNAL_H */

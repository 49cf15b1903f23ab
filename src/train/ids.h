/*
 * ids.h: dense codes for the ids of one side while ratings are read.
 */
#ifndef FACTOR_TRAIN_IDS_H
#define FACTOR_TRAIN_IDS_H

#include "train/ratings.h"

typedef struct IdDict IdDict;

/*
 * What the dictionary holds lies in a child of `context`; the ids stay there
 * after id_dict_finish().
 */
extern IdDict *id_dict_create(const ModelKey *key, MemoryContext context);

/*
 * Ids are put one by one, at most ID_BATCH of them, and their codes are taken
 * all at once: code k is that of the k-th id put since codes were last taken.
 * Codes are 0, 1, 2 ... in the order in which ids are first put. A row is
 * counted for each id put.
 */
#define ID_BATCH	512

extern void id_dict_put(IdDict *dict, Datum id);
extern const uint32 *id_dict_take(IdDict *dict);

/*
 * Are ids of this key passed by value, and equal where the values are? Then
 * they may be looked up without the functions of their type.
 */
extern bool ids_are_values(const ModelKey *key);

/* Bytes held. */
extern Size id_dict_memory(const IdDict *dict);

/* Frees a dictionary that is not wanted any more, with its ids. */
extern void id_dict_free(IdDict *dict);

/* What the codes become once every row has been read. */
typedef struct IdRanks
{
	uint32	   *rank;			/* of a code: its place in the sorted order */
	uint64	   *rows;			/* of a place: rows read with this id */
} IdRanks;

/*
 * Sorts the ids into `set` (key, n, ids and hash) and frees what only coding
 * needed. The set and the ranks are allocated in the current memory context.
 */
extern void id_dict_finish(IdDict *dict, IdSet *set, IdRanks *ranks);

/*
 * What id_dict_finish() does with the n ids and their rows, both by code: the
 * set refers to the ids, it does not copy them.
 */
extern void ids_sort(const ModelKey *key, uint32 n, const Datum *ids,
					 const uint64 *rows, IdSet *set, IdRanks *ranks);

/*
 * Finds ids in a set, by the comparison and the collation that the set was sorted
 * by and by no other order: whatever comes, and however it is sorted, an id is
 * found or it is not there. Ids that do come in the set's order cost a comparison
 * each, others as many as halving takes.
 */
typedef struct IdSearch
{
	const IdSet *set;
	struct TypeCacheEntry *type;
	uint32		next;			/* the place that is tried first */
} IdSearch;

extern void id_search_init(IdSearch *search, const IdSet *set);

/* The id's place, or set->n where it is not in the set. */
extern uint32 id_search_find(IdSearch *search, Datum id);

/*
 * Fills in set->hash from set->ids; what it needs for that is allocated in the
 * context.
 */
extern void ids_hash(IdSet *set, MemoryContext context);

/*
 * Fixes the settings that ids' texts depend on, until AtEOXact_GUC(true, level)
 * with the level returned; and the hash of an id's text.
 */
extern int	ids_fix_settings(void);
extern uint64 id_hash(const char *text);

/*
 * The same hash of an argument of an SQL function that takes ids of any type; for
 * as long as the function is called by one expression.
 */
typedef struct IdArgument IdArgument;

extern IdArgument *id_argument(FunctionCallInfo fcinfo, int arg, const char *function);
extern uint64 id_argument_hash(IdArgument *argument, Datum id);

/* An id, or another value of a key's type, as messages show it: cut if long. */
extern char *id_text(const ModelKey *key, Datum id);

#endif							/* FACTOR_TRAIN_IDS_H */

/*
 * model.h: a model as it is stored: its row in mf_models, its history, and its
 * two tables <name>_users and <name>_items.
 *
 * Vocabulary. A *model* is known by (schema, name). A *target* is a model that
 * a training is about to create or replace. A *record* is what mf_models keeps
 * of it. A *side* is one of the two tables. Names, never OIDs, are stored.
 *
 * The extension's own tables are found in the schema of the calling function
 * (`extension_schema`, from fcinfo->flinfo->fn_oid), so the extension may be
 * installed anywhere and moved.
 */
#ifndef FACTOR_MODEL_H
#define FACTOR_MODEL_H

#include "access/attnum.h"
#include "fmgr.h"
#include "utils/timestamp.h"

#include "factor.h"
#include "model/filter.h"
#include "model/held.h"

#define MODEL_NAME_MAX 57		/* bytes; leaves room for "_users" */

/* The key column of a side: the rating table's own name and type. */
typedef struct ModelKey
{
	const char *column;
	Oid			type;
	int32		typmod;
	Oid			collation;
} ModelKey;

/* One row of mf_models, but for its key, owner and default flag. */
typedef struct ModelRecord
{
	bool		implicit;
	bool		biased;
	int			factors;
	double		mean;			/* 0 for implicit */
	double		rating_min;		/* the range of the training ratings */
	double		rating_max;
	const char *source_schema;
	const char *source_table;
	const char *user_col;
	const char *item_col;
	const char *rating_col;		/* NULL: every row counted 1 */
	int64		users;
	int64		items;
	int64		ratings;		/* distinct pairs */
	int64		skipped;		/* rows left out for a NULL */
	int			iterations;
	double		regularization;
	double		reg_exponent;
	double		bias_regularization;
	double		alpha;
	double		unobserved_weight;
	int64		seed;
	const float *gramian[2];	/* factors x factors each; NULL: none kept */
	double		objective;		/* at the end */
	double		error;			/* the training error at the end */
	double		seconds;
	const char *loss;			/* squared, logistic or bpr */
	const char *solver;			/* als or sgd */
	bool		linked;			/* predictions are link_low + (link_high -
								 * link_low) * sigmoid(score), not the score */
	double		link_low;
	double		link_high;
	int64		held_out;		/* pairs kept from training */
	double		held_out_loss;	/* their loss; NaN: none were */
	int			best_iteration; /* whose vectors are stored */
	RatingFilter filter;		/* of the options; not written */
	bool		sampled;		/* by negatives or weight decay, which are not of
								 * the objective; of the settings, not written */
	const char *options;		/* as given, text of a JSON object; not read */
	const char *settings;		/* as used, likewise; not read */
} ModelRecord;

/* One row of mf_history, but for the model's key. */
typedef struct ModelIteration
{
	int			iteration;		/* from 1 */
	double		error;
	double		objective;
	double		held_out_loss;	/* NaN: no pairs held out */
	double		seconds;		/* since the training began */
} ModelIteration;

/* ---- Training writes a model (tables.c, catalog.c) ---- */

typedef struct ModelTarget
{
	Oid			extension_schema;
	Oid			schema;
	const char *schema_name;
	const char *name;
	ModelKey	key[2];
	bool		exists;			/* both tables are there already */
	Oid			relid[2];		/* valid when exists, and once written */
	Oid			source;			/* what the model was trained from, if it is there */
	Oid			caller;			/* who trains */
	Oid			owner;			/* of both tables, where they exist */
	bool		rechecked;		/* looked at again before the first write */
	Held		held[2];		/* from then on until model_target_close() */
	const struct Model *model;	/* what was read of it, or NULL */
} ModelTarget;

/*
 * Finds out, before the long work, whether the model may be created or
 * replaced here by the caller, and takes the lock on its name until the end
 * of the transaction. `name` is as the user gave it, optionally qualified;
 * unqualified means the current creation schema. Errors: bad or too long
 * name, no CREATE right on the schema, another training under way, tables in
 * the way that are no model, another's model, another key column or type, a
 * key column called as another column of the tables.
 */
extern ModelTarget *model_target_open(Oid extension_schema, const char *name,
									  const ModelKey key[2]);

/* ---- Acting as a model's owner (owner.c) ---- */

typedef struct ActingOwner
{
	bool		switched;		/* the caller is another role */
	const char *name;			/* of the owner */
	const char *what;			/* is owned, for messages */
	Oid			caller;
	int			caller_context;
	int			guc_level;
	ErrorContextCallback callback;
} ActingOwner;

/*
 * Between these two everything happens with the rights of `owner`, of `what` as
 * messages call it, and in a security-restricted operation; nothing changes where
 * that is the current user, or no valid role. At an error the end of the
 * transaction does what owner_end() does. `acting` lives as long as that.
 */
extern void owner_begin(ActingOwner *acting, Oid owner, const char *what);
extern void owner_end(ActingOwner *acting);

/* The same for the owner of the target's tables, if there are any yet. */
extern void model_owner_begin(ActingOwner *acting, const ModelTarget *target);

/* ---- Training writes rows (write.c, indexes.c, catalog.c) ---- */

/* One row of a side as training writes it. */
typedef struct ModelRow
{
	Datum		id;
	float		bias;
	const float *factors;
	int32		ratings;
	double		rating_sum;
	uint64		digest;			/* of its ratings (train/digest.h) */
} ModelRow;

/* Gives row k (0 .. n - 1, in the order of the ids). */
typedef void (*ModelRowGetter) (void *arg, uint32 k, ModelRow *row);

/*
 * Creates the side's table or replaces its rows: INSERT ... ON CONFLICT DO
 * UPDATE, then DELETE of the ids that are no longer there.
 */
extern void model_write_side(ModelTarget *target, MfSide side, int factors,
							 uint32 n, ModelRowGetter get, void *arg);

/* Lets the tables go: at the end of a call that wrote. */
extern void model_target_close(ModelTarget *target);

/* Inserts or updates n rows of a model that is there, and leaves the others. */
extern void model_write_rows(ModelTarget *target, MfSide side, int factors,
							 uint32 n, ModelRowGetter get, void *arg);

/* Deletes the rows with these ids. */
extern void model_delete_rows(ModelTarget *target, MfSide side, uint32 n, Datum *ids);

/*
 * Makes the indexes that rank the items, by factors and, for a biased model, by
 * (bias || factors), where they are not there already.
 */
extern void model_write_indexes(ModelTarget *target, bool biased);

/* Writes the row of mf_models and the rows of mf_history. */
extern void model_write_record(ModelTarget *target, const ModelRecord *record,
							   int niterations, const ModelIteration *iterations);

/* Updates counts and Gramians in a row of mf_models that is there. */
extern void model_update_record(ModelTarget *target, const ModelRecord *record);

/* ---- Serving reads a model (lookup.c, rows.c) ---- */

typedef struct ModelSide
{
	Oid			relid;
	char	   *table;			/* its quoted, qualified name */
	Held		held;			/* open from model_hold() to model_release() */
	ModelKey	key;
	AttrNumber	key_attno;
	AttrNumber	bias_attno;
	AttrNumber	factors_attno;
	Oid			index;			/* of the primary key */
	Oid			eq_function;	/* equality of the key type, for index scans */
	Oid			eq_collation;
	bool		access_checked; /* the caller's rights, once a model_open() */
	bool		row_security;	/* policies apply to the caller */
	bool		key_byval;
	int16		key_length;		/* as pg_type.typlen */
	struct TupleTableSlot *slot;	/* of the first model_fetch(), for the next */
	uint64		fetches;		/* of rows that were not kept */
	struct RecentRows *recent;	/* rows that were read (recent.c) */
	struct RowTids *tids;		/* where rows were found (tids.c) */
} ModelSide;

typedef struct Model
{
	Oid			extension_schema;
	Oid			schema;
	char	   *schema_name;
	char	   *name;
	Oid			owner;			/* of both tables */
	ModelRecord record;			/* gramians by model_gramian() only */
	ModelSide	side[2];
} Model;

/*
 * The model called `name`, or with NULL the one that DESIGN's rules choose
 * (factor.model, else the default of the first schema on the search_path that
 * has one). Checks that catalogue row and tables have one owner. Everything is
 * allocated in the current memory context. Errors, with hints, where there is
 * none. It reads the active snapshot, so that the record and the rows of the
 * tables are of one training. Both tables are held open.
 */
extern Model *model_open(Oid extension_schema, const char *name);

/* An error, with a hint, where the caller does not own the model's tables. */
extern void model_require_owner(const Model *model);

/*
 * While the caller's code may run, both tables are held open (held.h); a call
 * that returns releases them. What is noted of a model that is not held is true
 * only until other code runs.
 */
extern void model_hold(Model *model);
extern void model_release(Model *model);

/*
 * A model kept between calls (cache.c), for as long as what model_open() would
 * find cannot have changed. It is not held. Lives in `parent`.
 */
typedef struct ModelCache ModelCache;

extern ModelCache *model_cache_create(MemoryContext parent, Oid extension_schema);
extern Model *model_cache_open(ModelCache *cache, const char *name);

/* A user's or item's own row. */
typedef struct ModelEntity
{
	float		bias;
	int			nfactors;
	const float *factors;
} ModelEntity;

/*
 * Reads one row of a side by its id, which is of the key's own type. Returns
 * false where there is no such id. The caller's privileges and row security
 * hold. The factors are valid until the next row of this side is read, or the
 * current memory context is reset.
 */
extern bool model_fetch(Model *model, MfSide side, Datum id,
						ModelEntity *entity);

/*
 * The same for many rows, one after another: opens what is needed once. The
 * factors are valid until the next row is read.
 */
typedef struct ModelReader ModelReader;

extern ModelReader *model_reader_begin(Model *model, MfSide side);
extern bool model_reader_fetch(ModelReader *reader, Datum id, ModelEntity *entity);
extern void model_reader_end(ModelReader *reader);

/*
 * The numbers of a row's array of factors, detoasted; an error if they are not
 * as many as the model has.
 */
extern const float *model_factors(const Model *model, const ModelSide *side,
								  Datum factors);

/*
 * A side's Gramian as training stored it, factors x factors; an error where
 * there is none. Read in the active snapshot, and kept with the model.
 */
extern const float *model_gramian(Model *model, MfSide side);

#endif							/* FACTOR_MODEL_H */

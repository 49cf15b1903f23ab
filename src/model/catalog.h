/*
 * catalog.h: inside the model layer: names, the tables behind a name, and the
 * rows of mf_models. Callers outside src/model/ use model.h.
 */
#ifndef FACTOR_CATALOG_H
#define FACTOR_CATALOG_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "model/model.h"

/* Columns of mf_models, in the order of the SQL script. */
enum
{
	Anum_models_schema = 1,
	Anum_models_model,
	Anum_models_owner,
	Anum_models_is_default,
	Anum_models_created_at,
	Anum_models_feedback,
	Anum_models_biased,
	Anum_models_factors,
	Anum_models_mean,
	Anum_models_rating_min,
	Anum_models_rating_max,
	Anum_models_source_schema,
	Anum_models_source_table,
	Anum_models_user_col,
	Anum_models_item_col,
	Anum_models_rating_col,
	Anum_models_users,
	Anum_models_items,
	Anum_models_ratings,
	Anum_models_skipped,
	Anum_models_iterations,
	Anum_models_regularization,
	Anum_models_reg_exponent,
	Anum_models_bias_regularization,
	Anum_models_alpha,
	Anum_models_unobserved_weight,
	Anum_models_seed,
	Anum_models_gramian_users,
	Anum_models_gramian_items,
	Anum_models_objective,
	Anum_models_error,
	Anum_models_seconds,
	Anum_models_trained_at,
	Anum_models_trained_by,
	Anum_models_loss,
	Anum_models_solver,
	Anum_models_link_low,
	Anum_models_link_high,
	Anum_models_held_out,
	Anum_models_held_out_loss,
	Anum_models_best_iteration,
	Anum_models_options,
	Anum_models_settings,
	Natts_models = Anum_models_settings
};

/* ---- Names (name.c) ---- */

typedef struct ModelName
{
	const char *schema;			/* NULL: not qualified */
	const char *name;
} ModelName;

/* Splits an optionally qualified name as SQL would; errors as model.h says. */
extern ModelName model_name_parse(const char *text);

/* A text that lacks quotes, if that is what it lacks, with them; else NULL. */
extern char *model_name_quoted(const char *text);

/* The name as a user may write it: qualified, quoted where it must be. */
extern char *model_name_quote(const char *schema, const char *name);

/* "<model>_users" or "<model>_items" */
extern char *model_table_name(const char *model, MfSide side);

/* Takes the lock on a model's name until the transaction ends, or errors. */
extern void model_name_lock(Oid schema, const char *name);

/* ---- The tables behind a name (tables.c) ---- */

typedef struct ModelTables
{
	Oid			schema;			/* invalid: there is no such schema */
	Oid			relid[2];		/* invalid: no such ordinary table */
	Oid			owner[2];
} ModelTables;

/* What is there now, by name; takes no lock. */
extern void model_tables_find(const char *schema, const char *model,
							  ModelTables *tables);

/* Is the role the owner of every table that is there, and is one there? */
extern bool model_tables_owned(const ModelTables *tables, Oid role);

/*
 * Finds a side's columns and primary key in its open table, which it takes over.
 * Returns false, and says what is amiss, if it is not as training made it.
 * Strings are allocated in the current memory context.
 */
extern bool model_side_inspect(Relation rel, ModelSide *side, const char **problem);

/* " COLLATE ..." for a type that has collations, else "". */
extern char *model_collate_clause(Oid collation);

/*
 * Looks at the target again, and locks its tables, before the first write;
 * they were not locked while training went on.
 */
extern void model_target_recheck(ModelTarget *target);

/* An error where the tables that were written are not called what they were. */
extern void model_target_check(const ModelTarget *target);

/* Opens a table of a model that is being made, and keeps it open. */
extern void model_target_hold(ModelTarget *target, MfSide side);

/* ---- What is in mf_models (record.c) ---- */

typedef struct CatalogRow
{
	const char *schema;
	const char *name;
	const char *owner;
	bool		is_default;
	TimestampTz created_at;
	Datum	   *values;			/* all columns, not looked at yet */
	bool	   *nulls;
} CatalogRow;

/* mf_models or mf_history, in the extension's schema. */
extern Oid	catalog_relid(Oid extension_schema, const char *table);

/* An error unless the columns are there that the code reads by position. */
extern void catalog_check_table(Relation rel, bool models);

/* Opens mf_models, checked so; gives the primary key's index too. */
extern Relation catalog_open_models(Oid extension_schema, LOCKMODE lockmode, Oid *key);

/* Reads a row; everything in it is a copy. */
extern void catalog_row_read(HeapTuple tuple, TupleDesc desc, CatalogRow *row);

/* What the row says of its model, each value checked; Gramians are not read. */
extern void catalog_row_record(const CatalogRow *row, ModelRecord *record);

/* ---- Rows of mf_models (catalog.c) ---- */

extern bool catalog_row_find(Oid extension_schema, const char *schema,
							 const char *model, Snapshot snapshot, CatalogRow *row);

/* The rows of a schema's models that are flagged as its default. */
extern List *catalog_rows_flagged(Oid extension_schema, const char *schema,
								  Snapshot snapshot);

/* Are both tables there, and do row and tables have one owner? */
extern bool catalog_row_valid(const CatalogRow *row, const ModelTables *tables);

/* The valid default of a schema, or NULL. */
extern CatalogRow *catalog_default(Oid extension_schema, const char *schema,
								   Snapshot snapshot);

/* Deletes a model's row and its history, as the caller. */
extern void catalog_row_delete(Oid extension_schema, const char *schema,
							   const char *model);

/* Makes a model its schema's default, or not, as the caller. */
extern void catalog_row_flag(Oid extension_schema, const char *schema,
							 const char *model, bool flag);

/* Would mf_guard let the caller delete the row, or take its flag? (guard.c) */
extern bool model_row_removable(Oid extension_schema, const char *schema,
								const char *model);

/*
 * In parallel mode, an error where the side's table has policies for the caller
 * that are not parallel safe. (parallel.c)
 */
extern void model_check_parallel(const ModelSide *side);

/* ---- Which model a name means (lookup.c) ---- */

/*
 * Finds the row that a name, or NULL, stands for. Returns false where there is
 * none. Rows whose tables are both gone are taken only if no other is found.
 */
extern bool model_resolve(Oid extension_schema, const char *name,
						  Snapshot snapshot, CatalogRow *row);

/* The error for a name that model_resolve() did not find. */
pg_noreturn extern void model_not_found(Oid extension_schema, const char *name);

#endif							/* FACTOR_CATALOG_H */

/*
 * source.c: checks of a rating table before it is read.
 *
 * What is wrong with the arguments of a training is said before minutes of
 * reading, and in the user's terms: a message about a column of the caller's
 * table, not about a query that the caller never wrote.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "compat.h"
#include "train/columns.h"
#include "train/source.h"

static void
CheckKind(Relation rel)
{
	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot read ratings from \"%s\"",
					RelationGetRelationName(rel)),
			 errdetail("It is not a table, view, materialized view or foreign table.")));
}

static void
CheckDistinctColumns(const RatingSource *source)
{
	const char *twice = NULL;

	if (strcmp(source->user_col, source->item_col) == 0)
		twice = source->user_col;
	else if (source->rating_col != NULL &&
			 (strcmp(source->rating_col, source->user_col) == 0 ||
			  strcmp(source->rating_col, source->item_col) == 0))
		twice = source->rating_col;

	if (twice != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_COLUMN),
				 errmsg("column \"%s\" specified more than once", twice),
				 errhint("Users, items and ratings must be different columns.")));
}

/* The right to read, as the executor will check it too. */
static void
CheckPrivileges(Relation rel, int n, const AttrNumber *attnums)
{
	Oid			relid = RelationGetRelid(rel);

	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return;

	for (int i = 0; i < n; i++)
		if (pg_attribute_aclcheck(relid, attnums[i], GetUserId(),
								  ACL_SELECT) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV,
						   get_relkind_objtype(rel->rd_rel->relkind),
						   RelationGetRelationName(rel));
}

/* An id column as a model's key: domains give way to their base types. */
static void
MakeKey(Form_pg_attribute att, ModelKey *key)
{
	key->column = pstrdup(NameStr(att->attname));
	key->typmod = att->atttypmod;
	key->type = getBaseTypeAndTypmod(att->atttypid, &key->typmod);
	key->collation = att->attcollation;

	if (!OidIsValid(lookup_type_cache(key->type, TYPECACHE_LT_OPR)->lt_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify an ordering operator for type %s",
						format_type_be(key->type)),
				 errdetail("Column \"%s\" holds ids, which must be of a type with a btree operator class.",
						   key->column)));
}

static Oid
CheckRatingType(Form_pg_attribute att)
{
	Oid			type = getBaseType(att->atttypid);

	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return type;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("rating column \"%s\" is of type %s, not a number",
					NameStr(att->attname), format_type_be(att->atttypid)),
			 type == BOOLOID ?
			 errhint("Train on a view that has %s::integer, or on the rows where it is true, with rating_col => NULL.",
					 quote_identifier(NameStr(att->attname))) : 0));
}

/* A column that says when: anything that has an order does. */
static void
CheckTimeType(Form_pg_attribute att)
{
	Oid			type = getBaseType(att->atttypid);

	if (!OidIsValid(lookup_type_cache(type, TYPECACHE_LT_OPR)->lt_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify an ordering operator for type %s",
						format_type_be(type)),
				 errdetail("Column \"%s\" is to say when ratings were given.",
						   NameStr(att->attname))));
}

void
source_check(const RatingSource *source, ModelKey key[2], Oid *rating_type)
{
	Relation	rel = source->held.rel;
	Form_pg_attribute user;
	Form_pg_attribute item;
	Form_pg_attribute rating = NULL;
	AttrNumber	attnums[4];
	int			n = 0;

	CheckKind(rel);
	CheckDistinctColumns(source);
	user = source_column(rel, source, COLUMN_USER);
	item = source_column(rel, source, COLUMN_ITEM);
	attnums[n++] = user->attnum;
	attnums[n++] = item->attnum;
	if (source->rating_col != NULL)
	{
		rating = source_column(rel, source, COLUMN_RATING);
		attnums[n++] = rating->attnum;
	}
	if (source->time_col != NULL)
	{
		Form_pg_attribute time = source_column(rel, source, COLUMN_TIME);

		attnums[n++] = time->attnum;
		CheckTimeType(time);
	}
	CheckPrivileges(rel, n, attnums);
	MakeKey(user, &key[MF_USERS]);
	MakeKey(item, &key[MF_ITEMS]);
	*rating_type = rating != NULL ? CheckRatingType(rating) : InvalidOid;
}

void
ratings_open(RatingSource *source, ModelKey key[2])
{
	Relation	rel = try_relation_open(source->relid, AccessShareLock);
	Oid			rating_type;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", source->relid)));
	held_take(&source->held, rel);
	source_check(source, key, &rating_type);
	(void) held_column(&source->held, source->user_col);
	(void) held_column(&source->held, source->item_col);
	if (source->rating_col != NULL)
		(void) held_column(&source->held, source->rating_col);
	if (source->time_col != NULL)
		(void) held_column(&source->held, source->time_col);
}

void
ratings_close(RatingSource *source)
{
	held_close(&source->held);
}

void
ratings_report_skipped(const char *name, uint64 skipped)
{
	if (skipped > 0)
		ereport(NOTICE,
				(errmsg_plural("skipped %llu row of \"%s\" with a null",
							   "skipped %llu rows of \"%s\" with a null",
							   skipped, (unsigned long long) skipped, name)));
}

/*
 * A rating's place in time among its user's, ties in the order of the items;
 * NULL, which skips the row, where the time is.
 */
static void
AppendPlace(StringInfo query, const RatingSource *source)
{
	const char *time = quote_identifier(source->time_col);

	appendStringInfo(query, ", CASE WHEN %s IS NOT NULL THEN (pg_catalog.row_number() OVER "
					 "(PARTITION BY %s ORDER BY %s, %s))::pg_catalog.float4 END",
					 time, quote_identifier(source->user_col), time,
					 quote_identifier(source->item_col));
}

/* Those of the side that are wanted, but for what is read of the other side. */
static void
AppendRestriction(StringInfo query, const RatingSource *source, const ModelKey key[2],
				  MfSide side, const char *word)
{
	appendStringInfo(query, " %s %s", word,
					 id_relation_condition("r", key[side].column, key[side].type,
										   source_only_name(side)));
	if (side == MF_ITEMS && source->only[MF_USERS].n > 0)
		appendStringInfo(query, " AND NOT %s",
						 id_relation_condition("r", key[MF_USERS].column, key[MF_USERS].type,
											   source_only_name(MF_USERS)));
}

static void
AppendConditions(StringInfo query, const RatingSource *source, const ModelKey key[2], MfSide side)
{
	const RatingFilter filter = {
		.min_rating = source->min_rating,
		.time_col = source->time_col,
		.since = source->since,
	};
	const char *word = filter_append(query, "WHERE", source->relid, source->rating_col, &filter);

	if (source->restricted)
		AppendRestriction(query, source, key, side, word);
}

const char *
source_only_name(MfSide side)
{
	return side == MF_USERS ? "mf_only_users" : "mf_only_items";
}

char *
source_query(const RatingSource *source, const ModelKey key[2], MfSide side)
{
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query, "SELECT %s", quote_identifier(source->user_col));
	appendStringInfo(&query, ", %s", quote_identifier(source->item_col));
	if (source->rating_col != NULL)
		appendStringInfo(&query, ", %s", quote_identifier(source->rating_col));
	if (source->holdout == HOLDOUT_TIME)
		AppendPlace(&query, source);
	appendStringInfo(&query, " FROM %s r", source->held.sql);
	AppendConditions(&query, source, key, side);
	return query.data;
}

const char *
source_name(const RatingSource *source)
{
	return source->held.name;
}

/*
 * columns.c: the columns of a rating table by what they are for.
 *
 * Whoever leaves a column's name to its default, or misspells it, is told which
 * columns may be meant: of those that have a suitable type and are not named for
 * something else, the ones whose names are near to what was looked for or have a
 * word in them that the field uses for it; and if no name tells, all of them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "train/columns.h"

/* A hint lists no more columns than this. */
#define HINT_COLUMNS	10

static const char *const arguments[] = {"user_col", "item_col", "rating_col", "time_col"};

/* What else users, items, ratings and times are called. */
static const char *const words[][16] = {
	[COLUMN_USER] = {"user", "customer", "client", "member", "account", "person", "visitor",
		"viewer", "reader", "listener", "buyer", "subscriber", "author", "uid", NULL},
	[COLUMN_ITEM] = {"item", "product", "movie", "film", "title", "song", "track", "artist",
		"book", "article", "place", "business", "game", "sku", "iid", NULL},
	[COLUMN_RATING] = {"rating", "star", "score", "grade", "value", "weight", "count", "quantity",
		"amount", "plays", "clicks", "views", NULL},
	[COLUMN_TIME] = {"time", "date", "when", "created", "rated", "stamp", "ts", "at", NULL},
};

static const char *
NameOf(const RatingSource *source, ColumnRole role)
{
	switch (role)
	{
		case COLUMN_USER:
			return source->user_col;
		case COLUMN_ITEM:
			return source->item_col;
		case COLUMN_RATING:
			return source->rating_col;
		default:
			return source->time_col;
	}
}

/* Might a column of this type be of use? */
static bool
TypeSuits(Oid type, ColumnRole role)
{
	type = getBaseType(type);
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
			return true;
		case FLOAT4OID:
		case FLOAT8OID:
			return role == COLUMN_RATING || role == COLUMN_TIME;
		case BOOLOID:
			return false;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case DATEOID:
			return role == COLUMN_TIME;
		default:
			return (role == COLUMN_USER || role == COLUMN_ITEM) &&
				OidIsValid(lookup_type_cache(type, TYPECACHE_LT_OPR)->lt_opr);
	}
}

/* Is the column there for something else? */
static bool
IsTaken(const char *name, const RatingSource *source, ColumnRole role)
{
	for (ColumnRole other = COLUMN_USER; other <= COLUMN_TIME; other++)
		if (other != role && NameOf(source, other) != NULL && strcmp(NameOf(source, other), name) == 0)
			return true;
	return false;
}

/* Does the name tell that this column may be meant? */
static bool
NameSuits(const char *name, const char *wanted, ColumnRole role)
{
	char	   *folded = downcase_identifier(name, strlen(name), false, false);
	char	   *target = downcase_identifier(wanted, strlen(wanted), false, false);
	int			most = (int) Max(strlen(target), strlen(folded)) / 3;

	for (int k = 0; words[role][k] != NULL; k++)
	{
		const char *at = strstr(folded, words[role][k]);

		/* A word of two letters says something only where it stands alone, or last. */
		if (at != NULL && (strlen(words[role][k]) > 2 ||
						   (at[2] == '\0' && (at == folded || at[-1] == '_'))))
			return true;
	}
	return varstr_levenshtein_less_equal(folded, (int) strlen(folded), target,
										 (int) strlen(target), 1, 1, 1, most, true) <= most;
}

/* The columns that may be meant, by their names or, failing that, their types alone. */
static List *
FindLikely(Relation rel, const RatingSource *source, ColumnRole role, bool by_name)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *likely = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char	   *name = NameStr(att->attname);

		if (!att->attisdropped && TypeSuits(att->atttypid, role) && !IsTaken(name, source, role) &&
			(!by_name || NameSuits(name, NameOf(source, role), role)))
			likely = lappend(likely, name);
	}
	return likely;
}

static char *
ListNames(const List *names)
{
	StringInfoData list;
	ListCell   *cell;

	initStringInfo(&list);
	foreach(cell, names)
	{
		if (foreach_current_index(cell) == HINT_COLUMNS)
		{
			appendStringInfoString(&list, ", ...");
			break;
		}
		appendStringInfo(&list, "%s\"%s\"", foreach_current_index(cell) > 0 ? ", " : "",
						 (char *) lfirst(cell));
	}
	return list.data;
}

static void
NoSuchColumn(Relation rel, const RatingSource *source, ColumnRole role)
{
	List	   *likely = FindLikely(rel, source, role, true);
	const char *first;

	if (likely == NIL)
		likely = FindLikely(rel, source, role, false);
	first = likely == NIL ? "" : linitial(likely);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of relation \"%s\" does not exist",
					NameOf(source, role), RelationGetRelationName(rel)),
			 source->recorded ?
			 errhint("It was there when the model was trained: train it again with mf_train().") :
			 likely == NIL ?
			 (role == COLUMN_RATING ?
			  errhint("No other column is a number. Where rows have no ratings, say rating_col => NULL.") :
			  errhint("No other column has a type that would do for %s.", arguments[role])) :
			 list_length(likely) == 1 ?
			 errhint("Perhaps you meant the column \"%s\": %s => %s.", first, arguments[role],
					 quote_literal_cstr(first)) :
			 errhint("Perhaps you meant one of the columns %s: %s => %s, say.", ListNames(likely),
					 arguments[role], quote_literal_cstr(first))));
}

Form_pg_attribute
source_column(Relation rel, const RatingSource *source, ColumnRole role)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), NameOf(source, role)) == 0)
			return att;
	}
	NoSuchColumn(rel, source, role);
	return NULL;
}

/*
 * name.c: the names of models.
 *
 * A model's name is written as a table's name is: folded to lower case unless
 * quoted, and qualified by a schema or not. Its two tables are called after
 * it, with a suffix; a name so long that PostgreSQL would cut a table's name
 * off is refused, since two models might then share a table.
 *
 * The lock on a name keeps two trainings of one model apart. It cannot be a
 * lock on a table, because a first training has none yet, nor may it conflict
 * with what readers take. So it is a lock of its own: an advisory lock in a
 * space of its own, which no SQL function reaches (those use 1 and 2 as the
 * fourth field). It is on a hash of the name; two names with one hash would
 * merely keep each other's trainings apart.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "model/catalog.h"

/* The fourth field of the lock's tag: "mf" */
#define MODEL_LOCK_SPACE 0x6d66

/*
 * The text as it would be written for a model that is called so to the letter:
 * schema and name, if there are two, each in the quotes it needs; NULL where that
 * is what it is already, or what is wrong is no lack of quotes.
 */
char *
model_name_quoted(const char *text)
{
	char	   *name = pstrdup(text);
	char	   *dot = strchr(name, '.');
	char	   *quoted;

	if (strchr(text, '"') != NULL || text[strspn(text, " ")] == '\0' || dot == name ||
		(dot != NULL && (dot[1] == '\0' || strchr(dot + 1, '.') != NULL)))
		return NULL;
	if (dot != NULL)
		*dot = '\0';
	quoted = dot == NULL ? pstrdup(quote_identifier(name)) :
		quote_qualified_identifier(name, dot + 1);
	return strcmp(quoted, text) == 0 ? NULL : quoted;
}

static void
InvalidName(const char *text)
{
	char	   *quoted = model_name_quoted(text);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_NAME),
			 errmsg("invalid model name \"%s\"", text),
			 quoted == NULL ? 0 :
			 errhint("A model's name is written as a table's is, in double quotes where it has blanks or capital letters: %s.",
					 quote_literal_cstr(quoted))));
}

ModelName
model_name_parse(const char *text)
{
	ModelName	result = {NULL, NULL};
	List	   *parts = NIL;
	ListCell   *cell;

	if (!SplitIdentifierString(pstrdup(text), '.', &parts) || parts == NIL)
		InvalidName(text);
	foreach(cell, parts)
		if (((char *) lfirst(cell))[0] == '\0')
			InvalidName(text);
	if (list_length(parts) > 2)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("improper model name (too many dotted names): %s", text)));

	if (list_length(parts) == 2)
		result.schema = linitial(parts);
	result.name = llast(parts);

	if (strlen(result.name) > MODEL_NAME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("model name \"%s\" is too long", text),
				 errdetail("A model's name has at most %d bytes, so that the names of its tables are not cut off.",
						   MODEL_NAME_MAX)));
	return result;
}

char *
model_name_quote(const char *schema, const char *name)
{
	return quote_qualified_identifier(schema, name);
}

char *
model_table_name(const char *model, MfSide side)
{
	return psprintf("%s_%s", model, side == MF_USERS ? "users" : "items");
}

void
model_name_lock(Oid schema, const char *name)
{
	LOCKTAG		tag;
	uint32		hash = DatumGetUInt32(hash_any((const unsigned char *) name,
											   strlen(name)));

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, schema, hash, MODEL_LOCK_SPACE);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("model \"%s\" is being trained or dropped by another session",
						model_name_quote(get_namespace_name(schema), name))));
}

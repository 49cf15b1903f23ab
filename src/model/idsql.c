/*
 * idsql.c: ids, and values of other types, in SQL text.
 *
 * Any type with a btree operator class may be that of an id or of a time, so SQL
 * that compares them takes the operator from the operator class, by its schema
 * and name, and never relies on "=" or on pg_catalog. Operands are of the base
 * type: the parser takes a domain for its base type where an operator is
 * declared for that, but finds no operator of anyenum for a domain over an enum.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_operator.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "model/idsql.h"

char *
sql_type(Oid type)
{
	/* With TYPEMOD_GIVEN, or "character" would mean character(1). */
	return format_type_extended(getBaseType(type), -1,
								FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

char *
sql_operator(Oid type, int strategy)
{
	TypeCacheEntry *entry = lookup_type_cache(getBaseType(type), TYPECACHE_BTREE_OPFAMILY);
	Oid			operator = InvalidOid;
	HeapTuple	tuple;
	Form_pg_operator form;
	char	   *text;

	if (OidIsValid(entry->btree_opf))
		operator = get_opfamily_member(entry->btree_opf, entry->btree_opintype,
									   entry->btree_opintype, strategy);
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify a comparison operator for type %s",
						format_type_be(type))));
	form = (Form_pg_operator) GETSTRUCT(tuple);
	text = psprintf("OPERATOR(%s.%s)",
					quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return text;
}

char *
sql_column(const char *alias, const char *column, Oid type)
{
	/* quote_identifier() may return what it was given. */
	return psprintf("%s%s%s::%s", alias ? alias : "", alias ? "." : "",
					quote_identifier(column), sql_type(type));
}

/*
 * compat.h: the only place that knows PostgreSQL's versions (14 to 18).
 *
 * Each entry gives the newest spelling of a facility where an older server
 * spells it otherwise; the rest of the code uses the newest spelling alone.
 */
#ifndef FACTOR_COMPAT_H
#define FACTOR_COMPAT_H

#include "postgres.h"

/* add_size() and mul_size(), which other headers bring along since 15. */
#include "storage/shmem.h"

#if PG_VERSION_NUM < 140000
#error "factor needs PostgreSQL 14 or newer"
#endif

#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#define TUPLESORT_NONE false

/* Parse analysis with parameters of known types. */
#define pg_analyze_and_rewrite_fixedparams(raw, sql, types, ntypes, environment) \
	pg_analyze_and_rewrite(raw, sql, unconstify(Oid *, types), ntypes, environment)

/* Temporary files shared by name. */
#define SharedFileSetFiles(fileset) (fileset)
#define BufFileCreateFileSet(files, name) BufFileCreateShared(files, name)
#define BufFileExportFileSet(file) BufFileExportShared(file)
#define BufFileOpenFileSet(files, name, mode, missing_ok) \
	BufFileOpenShared(files, name, mode)
#else
#define SharedFileSetFiles(fileset) (&(fileset)->fs)
#endif

/* What an access method may say of itself since 16 */
#if PG_VERSION_NUM < 160000
#define SET_AMSUMMARIZING(routine, value) ((void) 0)
#else
#define SET_AMSUMMARIZING(routine, value) ((routine)->amsummarizing = (value))
#endif

#if PG_VERSION_NUM < 170000
#define RestrictSearchPath() ((void) 0)
#endif

/* A function that does not return: said before the declaration since 18 */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* What a btree page of the usual size has room for; a constant since 18 */
#if PG_VERSION_NUM < 180000
#define btree_max_item_size(page) BTMaxItemSize(page)
#else
#define btree_max_item_size(page) BTMaxItemSize
#endif

/* The next `count` rows of a query, 0 for all; `once` if it is the only call */
#if PG_VERSION_NUM < 180000
#define run_executor(desc, count, once) \
	ExecutorRun(desc, ForwardScanDirection, count, once)
#else
#define run_executor(desc, count, once) \
	ExecutorRun(desc, ForwardScanDirection, count)
#endif

/* The number of index searches, shown by EXPLAIN ANALYZE since 18 */
#if PG_VERSION_NUM < 180000
#define count_index_search(scan) ((void) 0)
#define vacuum_delay_point(is_analyze) vacuum_delay_point()
#else
#define count_index_search(scan) \
	do { \
		if ((scan)->instrument) \
			(scan)->instrument->nsearches++; \
	} while (0)
#endif

/* Disabled nodes count before costs since 18 */
#if PG_VERSION_NUM < 180000
#define ADD_DISABLED_NODES(path, n) ((void) 0)
#else
#define ADD_DISABLED_NODES(path, n) ((path)->disabled_nodes += (n))
#endif

/* old_snapshot_threshold let vacuum take rows from old snapshots until 16 */
#if PG_VERSION_NUM >= 170000
#define TestForOldSnapshot(snapshot, relation, page) ((void) 0)
#endif

/* A hint to the processor, where the compiler has it */
#if defined(__GNUC__)
#define prefetch_memory(address) __builtin_prefetch((address), 0, 2)
#else
#define prefetch_memory(address) ((void) (address))
#endif

#if PG_VERSION_NUM < 160000
#define rd_locator rd_node
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "storage/buffile.h"
#include "utils/acl.h"

static inline void
BufFileReadExact(BufFile *file, void *data, size_t size)
{
	if (BufFileRead(file, data, size) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file")));
}

static inline bool
object_ownercheck(Oid classid, Oid objectid, Oid roleid)
{
	return classid == NamespaceRelationId ?
		pg_namespace_ownercheck(objectid, roleid) :
		pg_class_ownercheck(objectid, roleid);
}

static inline AclResult
object_aclcheck(Oid classid, Oid objectid, Oid roleid, AclMode mode)
{
	return classid == NamespaceRelationId ?
		pg_namespace_aclcheck(objectid, roleid, mode) :
		classid == ProcedureRelationId ?
		pg_proc_aclcheck(objectid, roleid, mode) :
		pg_class_aclcheck(objectid, roleid, mode);
}
#endif

/* What a variable-length value looks like; in postgres.h before 16. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* The primary key's index, never a deferrable one where that is told. */
#if PG_VERSION_NUM < 180000
#define relation_primary_key(rel) RelationGetPrimaryKeyIndex(rel)
#define begin_index_scan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#else
#define relation_primary_key(rel) RelationGetPrimaryKeyIndex(rel, false)
#define begin_index_scan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#endif

/* The backend's local transaction id. */
#if PG_VERSION_NUM < 170000
#define my_local_xid() (MyProc->lxid)
#else
#define my_local_xid() (MyProc->vxid.lxid)
#endif

#endif							/* FACTOR_COMPAT_H */

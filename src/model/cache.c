/*
 * cache.c: a model kept open from one call of a function to the next.
 *
 * Opening a model costs tens of microseconds, using it a few. A query that
 * predicts for each of a million rows calls with the same arguments and the
 * same snapshot every time, so what model_open() found may be used again if
 * nothing it depends on can have changed:
 *
 *	 the snapshot's contents: then the rows of mf_models and of the tables are
 *	   those that it sees (comparing addresses would not do, they are reused);
 *	 the transaction and subtransaction: the locks taken are still held;
 *	 the user, the name asked for, factor.model and the search_path;
 *	 no message of invalidation that concerns any relation, schema or role has
 *	   come in since. That is coarse, but such messages are rare in a query.
 *
 * Between calls its tables are not held open (held.h): nothing would close them at
 * the end of a query. A reference that an error has ended is forgotten here.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "model/model.h"

#define MAX_PATH 16

struct ModelCache
{
	Oid			extension_schema;
	MemoryContext context;		/* holds the model and the copies below */
	Model	   *model;			/* NULL: none open */

	char	   *name;			/* NULL: none named */
	char	   *setting;		/* factor.model */
	int			npath;
	Oid			path[MAX_PATH];
	Oid			user;
	uint64		invalidations;
	LocalTransactionId transaction;
	SubTransactionId subtransaction;
	SnapshotData snapshot;
};

/* Counts the messages that may concern a model. */
static uint64 Invalidations = 0;
static bool CallbacksRegistered = false;

static void
CountRelcache(Datum arg, Oid relid)
{
	Invalidations++;
}

static void
CountSyscache(Datum arg, int cacheid, uint32 hashvalue)
{
	Invalidations++;
}

ModelCache *
model_cache_create(MemoryContext parent, Oid extension_schema)
{
	ModelCache *cache;

	if (!CallbacksRegistered)
	{
		CacheRegisterRelcacheCallback(CountRelcache, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, CountSyscache, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, CountSyscache, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, CountSyscache, (Datum) 0);
		CallbacksRegistered = true;
	}
	cache = MemoryContextAllocZero(parent, sizeof(ModelCache));
	cache->extension_schema = extension_schema;
	cache->context = AllocSetContextCreate(parent, "factor open model",
										   ALLOCSET_SMALL_SIZES);
	return cache;
}

static bool
SameSnapshot(const SnapshotData *a, const SnapshotData *b)
{
	return a->snapshot_type == SNAPSHOT_MVCC && b->snapshot_type == SNAPSHOT_MVCC &&
		a->xmin == b->xmin && a->xmax == b->xmax && a->curcid == b->curcid &&
		a->xcnt == b->xcnt && a->subxcnt == b->subxcnt &&
		a->suboverflowed == b->suboverflowed &&
		a->takenDuringRecovery == b->takenDuringRecovery &&
		(a->xcnt == 0 ||
		 memcmp(a->xip, b->xip, a->xcnt * sizeof(TransactionId)) == 0) &&
		(a->subxcnt <= 0 ||
		 memcmp(a->subxip, b->subxip, a->subxcnt * sizeof(TransactionId)) == 0);
}

static bool
SameString(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static char *
CopyString(const char *string)
{
	return string == NULL ? NULL : pstrdup(string);
}

static TransactionId *
CopyXids(const TransactionId *xids, int n)
{
	TransactionId *copy;

	if (n <= 0)
		return NULL;
	copy = palloc(n * sizeof(TransactionId));
	memcpy(copy, xids, n * sizeof(TransactionId));
	return copy;
}

static bool
StillGood(ModelCache *cache, const char *name)
{
	Oid			path[MAX_PATH];
	int			npath;

	if (cache->model == NULL ||
		cache->invalidations != Invalidations ||
		cache->transaction != my_local_xid() ||
		cache->subtransaction != GetCurrentSubTransactionId() ||
		cache->user != GetUserId() ||
		!SameString(cache->name, name) ||
		!SameString(cache->setting, factor_model) ||
		!SameSnapshot(&cache->snapshot, GetActiveSnapshot()))
		return false;
	npath = fetch_search_path_array(path, MAX_PATH);
	return npath == cache->npath && npath <= MAX_PATH &&
		memcmp(path, cache->path, npath * sizeof(Oid)) == 0;
}

Model *
model_cache_open(ModelCache *cache, const char *name)
{
	MemoryContext old;
	Snapshot	snapshot = GetActiveSnapshot();
	Model	   *model;

	if (StillGood(cache, name))
	{
		cache->model->side[MF_USERS].held.rel = NULL;
		cache->model->side[MF_ITEMS].held.rel = NULL;
		return cache->model;
	}

	cache->model = NULL;
	MemoryContextReset(cache->context);
	old = MemoryContextSwitchTo(cache->context);
	/* Counted before: what comes in while it is being opened counts too. */
	cache->invalidations = Invalidations;
	model = model_open(cache->extension_schema, name);

	cache->name = CopyString(name);
	cache->setting = CopyString(factor_model);
	cache->npath = fetch_search_path_array(cache->path, MAX_PATH);
	cache->user = GetUserId();
	cache->transaction = my_local_xid();
	cache->subtransaction = GetCurrentSubTransactionId();
	cache->snapshot = *snapshot;
	cache->snapshot.xip = CopyXids(snapshot->xip, snapshot->xcnt);
	cache->snapshot.subxip = CopyXids(snapshot->subxip, snapshot->subxcnt);
	MemoryContextSwitchTo(old);
	model_release(model);

	cache->model = model;
	return model;
}

/*
 * ids.c: dense codes for ids of any type that has a btree order.
 *
 * While ratings are read, every id gets a code in the order of appearance.
 * Afterwards the distinct ids, far fewer than the ratings, are sorted by their
 * type's btree order and the column's collation, and a code becomes the place
 * of its id. Places depend on the set of ids alone, not on the order of the
 * rows.
 *
 * How an id is looked up depends on what its type promises:
 *
 * 1. A type whose equality is equality of the stored bytes says so by the
 *	  btree support function "equalimage" (integers, dates, uuid, text under a
 *	  deterministic collation). If it is passed by value, a hash table on the
 *	  value itself serves it. With many ids nearly every lookup misses the
 *	  cache, so lookups are collected and each one's place is prefetched while
 *	  those before it are served: a third of the time of one after the other.
 * 2. If such a type is passed by reference, its bytes are hashed and compared.
 * 3. Any other type with a hash operator class that agrees with the btree one
 *	  (numeric, citext, text under a nondeterministic collation) is hashed and
 *	  compared by its own functions.
 * 4. A type with a btree class alone (tsvector) gets a red-black tree.
 *
 * In the last two an id may come in several spellings (1.0 and 1.00). One of
 * them is kept: the one whose bytes are the least, whatever came first.
 *
 * Sorting all rows by id, as an executor's Sort node would, was rejected: it
 * compares n log n rows, where the hash tables touch each row once and only
 * distinct ids are sorted.
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lib/rbtree.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "compat.h"
#include "train/ids.h"
#include "train/valuetable.h"

/* The most ids a side may have: counts of them fit SQL's integer. */
#define MAX_IDS			PG_INT32_MAX

/* Ids passed by reference are copied into blocks of this size. */
#define ARENA_BLOCK		((Size) 64 * 1024)

/* Stands for the id that is being looked up. */
#define CODE_PROBE		PG_UINT32_MAX

typedef enum IdKind
{
	ID_VALUE,					/* by value, equal when the same */
	ID_IMAGE,					/* by reference, equal when the same bytes */
	ID_HASHED,					/* hash and equality functions */
	ID_ORDERED					/* comparison function only */
} IdKind;

/* Lookups between a prefetch and the use of what it brings. */
#define PREFETCH_AHEAD	32

#if defined(__GNUC__) || defined(__clang__)
#define PREFETCH(address) __builtin_prefetch(address, 1)
#else
#define PREFETCH(address) ((void) 0)
#endif

/* Hash table on ids elsewhere (kinds 2 and 3). */
typedef struct CodeEntry
{
	uint32		code;
	uint32		hash;
	char		status;
} CodeEntry;

static bool IdsEqual(IdDict *dict, uint32 a, uint32 b);

#define SH_PREFIX		codetable
#define SH_ELEMENT_TYPE CodeEntry
#define SH_KEY_TYPE		uint32
#define SH_KEY			code
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)		((a)->hash)
#define SH_HASH_KEY(tb, key)	((uint32) (key))
#define SH_EQUAL(tb, a, b)		IdsEqual((IdDict *) (tb)->private_data, a, b)
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Tree node (kind 4). */
typedef struct CodeNode
{
	RBTNode		node;
	uint32		code;
} CodeNode;

struct IdDict
{
	ModelKey	key;
	TypeCacheEntry *type;
	IdKind		kind;

	MemoryContext context;		/* ids */
	MemoryContext lookup;		/* tables and trees */
	MemoryContext scratch;		/* what a type's functions leave behind */

	ValueTable	values;			/* kind 1; rows: the lower half of the count */
	uint64		values_limit;	/* grow beyond so many ids */
	codetable_hash *codes;
	RBTree	   *tree;

	Datum		probe;			/* what CODE_PROBE stands for */

	uint32		nbatch;			/* ids put and not taken yet */
	Datum		batch[ID_BATCH];	/* kind 1: themselves */
	uint32		code[ID_BATCH];

	uint32		n;
	uint32		space;
	Datum	   *ids;
	uint64	   *rows;

	char	   *arena;
	Size		arena_left;
};

/* ---- Bytes of an id ---- */

/* The bytes of an id passed by reference, not toasted. */
static inline const char *
IdBytes(const IdDict *dict, Datum id, Size *len)
{
	int			typlen = dict->type->typlen;

	if (typlen == -1)
	{
		*len = VARSIZE_ANY_EXHDR(DatumGetPointer(id));
		return VARDATA_ANY(DatumGetPointer(id));
	}
	*len = typlen > 0 ? (Size) typlen : strlen(DatumGetCString(id));
	return DatumGetPointer(id);
}

/* Any total order of the stored bytes. */
static int
CompareImages(const IdDict *dict, Datum a, Datum b)
{
	const char *abytes;
	const char *bbytes;
	Size		alen;
	Size		blen;
	int			cmp;

	if (dict->type->typbyval)
		return a < b ? -1 : (a > b ? 1 : 0);

	abytes = IdBytes(dict, a, &alen);
	bbytes = IdBytes(dict, b, &blen);
	cmp = memcmp(abytes, bbytes, Min(alen, blen));
	if (cmp != 0)
		return cmp;
	return alen < blen ? -1 : (alen > blen ? 1 : 0);
}

/* A copy that lives as long as the dictionary's ids. */
static Datum
CopyId(IdDict *dict, Datum id)
{
	Size		size;
	char	   *copy;

	if (dict->type->typbyval)
		return id;

	size = datumGetSize(id, false, dict->type->typlen);
	if (size > ARENA_BLOCK / 8)
		return datumCopy(id, false, dict->type->typlen);

	if (MAXALIGN(size) > dict->arena_left)
	{
		dict->arena = MemoryContextAlloc(dict->context, ARENA_BLOCK);
		dict->arena_left = ARENA_BLOCK;
	}
	copy = dict->arena;
	dict->arena += MAXALIGN(size);
	dict->arena_left -= MAXALIGN(size);
	memcpy(copy, DatumGetPointer(id), size);
	return PointerGetDatum(copy);
}

/* ---- Looking up ---- */

static inline Datum
IdOfCode(const IdDict *dict, uint32 code)
{
	return code == CODE_PROBE ? dict->probe : dict->ids[code];
}

static bool
IdsEqual(IdDict *dict, uint32 a, uint32 b)
{
	Datum		x = IdOfCode(dict, a);
	Datum		y = IdOfCode(dict, b);

	if (CompareImages(dict, x, y) == 0)
		return true;
	if (dict->kind == ID_IMAGE)
		return false;
	return DatumGetBool(FunctionCall2Coll(&dict->type->eq_opr_finfo,
										  dict->key.collation, x, y));
}

static int
CompareNodes(const RBTNode *a, const RBTNode *b, void *arg)
{
	IdDict	   *dict = (IdDict *) arg;

	return DatumGetInt32(FunctionCall2Coll(&dict->type->cmp_proc_finfo,
										   dict->key.collation,
										   IdOfCode(dict, ((const CodeNode *) a)->code),
										   IdOfCode(dict, ((const CodeNode *) b)->code)));
}

static void
CombineNodes(RBTNode *existing, const RBTNode *newdata, void *arg)
{
	/* The node there stands for both. */
}

static RBTNode *
AllocNode(void *arg)
{
	return MemoryContextAlloc(((IdDict *) arg)->lookup, sizeof(CodeNode));
}

/* Gives an id the next code. */
static uint32
AddId(IdDict *dict, Datum id)
{
	uint32		code = dict->n;
	MemoryContext oldcontext;

	if (code == MAX_IDS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column \"%s\" has more than %d distinct values",
						dict->key.column, MAX_IDS)));

	oldcontext = MemoryContextSwitchTo(dict->context);
	if (code == dict->space)
	{
		dict->space *= 2;
		dict->ids = repalloc_huge(dict->ids, mul_size(dict->space, sizeof(Datum)));
		dict->rows = repalloc_huge(dict->rows, mul_size(dict->space, sizeof(uint64)));
	}
	dict->ids[code] = CopyId(dict, id);
	dict->rows[code] = 0;
	dict->n++;
	MemoryContextSwitchTo(oldcontext);
	return code;
}

static uint32
CodeByHash(IdDict *dict)
{
	uint32		hash;
	bool		found;
	CodeEntry  *entry;

	if (dict->kind == ID_IMAGE)
	{
		Size		len;
		const char *bytes = IdBytes(dict, dict->probe, &len);

		hash = hash_bytes((const unsigned char *) bytes, (int) len);
	}
	else
		hash = DatumGetUInt32(FunctionCall1Coll(&dict->type->hash_proc_finfo,
												dict->key.collation,
												dict->probe));

	entry = codetable_insert_hash(dict->codes, CODE_PROBE, hash, &found);
	if (!found)
		entry->code = AddId(dict, dict->probe);
	return entry->code;
}

static uint32
CodeByOrder(IdDict *dict)
{
	CodeNode	probe;
	CodeNode   *node;
	bool		isnew;

	probe.code = CODE_PROBE;
	node = (CodeNode *) rbt_insert(dict->tree, (RBTNode *) &probe, &isnew);
	if (isnew)
		node->code = AddId(dict, dict->probe);
	return node->code;
}

/* The code of an id that is passed by reference or needs its type's functions. */
static uint32
CodeOfOther(IdDict *dict, Datum id)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(dict->scratch);
	uint32		code;

	if (dict->type->typlen == -1)
		id = PointerGetDatum(PG_DETOAST_DATUM_PACKED(id));
	dict->probe = id;

	code = dict->kind == ID_ORDERED ? CodeByOrder(dict) : CodeByHash(dict);

	if (dict->kind != ID_IMAGE && CompareImages(dict, id, dict->ids[code]) < 0)
	{
		MemoryContextSwitchTo(dict->context);
		dict->ids[code] = CopyId(dict, id);
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextReset(dict->scratch);
	return code;
}

/* ---- Looking up values ---- */

/* Makes the table anew with `size` entries, a power of 2. */
static void
ResizeValueTable(IdDict *dict, uint64 size)
{
	ValueTable	old = dict->values;
	ValueTable *table = &dict->values;

	table->entries = MemoryContextAllocExtended(dict->lookup,
												mul_size(size, sizeof(ValueEntry)),
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	table->mask = size - 1;
	dict->values_limit = value_table_limit(size);
	if (old.entries == NULL)
		return;

	for (uint64 k = 0; k <= old.mask; k++)
	{
		if ((k & 0xffff) == 0)
			CHECK_FOR_INTERRUPTS();
		if (old.entries[k].code_plus_1 != 0)
			*value_table_find(table, old.entries[k].value) = old.entries[k];
	}
	pfree(old.entries);
}

static uint32
CodeOfValue(IdDict *dict, Datum value)
{
	ValueEntry *entry = value_table_find(&dict->values, (uint64) value);

	if (entry->code_plus_1 == 0)
	{
		if (dict->n == dict->values_limit)
		{
			ResizeValueTable(dict, 2 * (dict->values.mask + 1));
			entry = value_table_find(&dict->values, (uint64) value);
		}
		entry->value = (uint64) value;
		entry->code_plus_1 = AddId(dict, value) + 1;
	}

	if (++entry->rows == 0)
		dict->rows[entry->code_plus_1 - 1] += (uint64) 1 << 32;
	return entry->code_plus_1 - 1;
}

static void
CodeBatch(IdDict *dict)
{
	for (uint32 k = 0; k < dict->nbatch; k++)
	{
		if (k + PREFETCH_AHEAD < dict->nbatch)
			PREFETCH(&dict->values.entries[value_table_start(&dict->values,
															 (uint64) dict->batch[k + PREFETCH_AHEAD])]);
		dict->code[k] = CodeOfValue(dict, dict->batch[k]);
	}
}

/* Adds what the table has counted to the dictionary's own counts. */
static void
CollectRows(IdDict *dict)
{
	for (uint64 k = 0; k <= dict->values.mask; k++)
	{
		const ValueEntry *entry = &dict->values.entries[k];

		if (k % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
		if (entry->code_plus_1 != 0)
			dict->rows[entry->code_plus_1 - 1] += entry->rows;
	}
}

/* ---- Batches ---- */

void
id_dict_put(IdDict *dict, Datum id)
{
	Assert(dict->nbatch < ID_BATCH);

	if (dict->kind == ID_VALUE)
		dict->batch[dict->nbatch++] = id;
	else
	{
		uint32		code = CodeOfOther(dict, id);

		dict->rows[code]++;
		dict->code[dict->nbatch++] = code;
	}
}

const uint32 *
id_dict_take(IdDict *dict)
{
	if (dict->kind == ID_VALUE)
		CodeBatch(dict);
	dict->nbatch = 0;
	return dict->code;
}

/* ---- Making one ---- */

/* Is equality equality of the stored bytes, under this collation? */
static bool
EqualMeansEqualImage(const TypeCacheEntry *type, Oid collation)
{
	Oid			proc = get_opfamily_proc(type->btree_opf, type->btree_opintype,
										 type->btree_opintype,
										 BTEQUALIMAGE_PROC);

	/*
	 * bpchar says so too, since columns of char(n) pad their values alike. But
	 * those of plain bpchar keep blanks that count for nothing, and two columns
	 * may have another n.
	 */
	if (type->type_id == BPCHAROID)
		return false;
	return OidIsValid(proc) &&
		DatumGetBool(OidFunctionCall1Coll(proc, collation,
										  ObjectIdGetDatum(type->btree_opintype)));
}

static IdKind
ChooseKind(const ModelKey *key, const TypeCacheEntry *type)
{
	if (EqualMeansEqualImage(type, key->collation))
		return type->typbyval ? ID_VALUE : ID_IMAGE;
	if (OidIsValid(type->hash_proc_finfo.fn_oid) &&
		OidIsValid(type->eq_opr_finfo.fn_oid))
		return ID_HASHED;
	return ID_ORDERED;
}

bool
ids_are_values(const ModelKey *key)
{
	const TypeCacheEntry *type = lookup_type_cache(key->type, TYPECACHE_BTREE_OPFAMILY);

	return type->typbyval && EqualMeansEqualImage(type, key->collation);
}

IdDict *
id_dict_create(const ModelKey *key, MemoryContext context)
{
	MemoryContext ids = AllocSetContextCreate(context, "factor ids",
											  ALLOCSET_DEFAULT_SIZES);
	IdDict	   *dict = MemoryContextAllocZero(ids, sizeof(IdDict));

	dict->key = *key;
	dict->context = ids;
	dict->lookup = AllocSetContextCreate(ids, "factor id lookup",
										 ALLOCSET_DEFAULT_SIZES);
	dict->scratch = AllocSetContextCreate(ids, "factor id scratch",
										  ALLOCSET_DEFAULT_SIZES);
	dict->type = lookup_type_cache(key->type,
								   TYPECACHE_BTREE_OPFAMILY | TYPECACHE_LT_OPR |
								   TYPECACHE_EQ_OPR_FINFO | TYPECACHE_CMP_PROC_FINFO |
								   TYPECACHE_HASH_PROC_FINFO);
	dict->kind = ChooseKind(key, dict->type);

	dict->space = 1024;
	dict->ids = MemoryContextAlloc(ids, dict->space * sizeof(Datum));
	dict->rows = MemoryContextAlloc(ids, dict->space * sizeof(uint64));

	switch (dict->kind)
	{
		case ID_VALUE:
			ResizeValueTable(dict, 4096);
			break;
		case ID_IMAGE:
		case ID_HASHED:
			dict->codes = codetable_create(dict->lookup, dict->space, dict);
			break;
		case ID_ORDERED:
			{
				MemoryContext oldcontext = MemoryContextSwitchTo(dict->lookup);

				dict->tree = rbt_create(sizeof(CodeNode), CompareNodes,
										CombineNodes, AllocNode, NULL, dict);
				MemoryContextSwitchTo(oldcontext);
				break;
			}
	}
	return dict;
}

Size
id_dict_memory(const IdDict *dict)
{
	return MemoryContextMemAllocated(dict->context, true);
}

/* ---- The end of it ---- */

void
id_dict_free(IdDict *dict)
{
	MemoryContextDelete(dict->context);
}

void
id_dict_finish(IdDict *dict, IdSet *set, IdRanks *ranks)
{
	/* The tables are no longer needed, and the sort needs room. */
	if (dict->kind == ID_VALUE)
		CollectRows(dict);
	MemoryContextDelete(dict->lookup);
	MemoryContextDelete(dict->scratch);

	ids_sort(&dict->key, dict->n, dict->ids, dict->rows, set, ranks);

	pfree(dict->ids);
	pfree(dict->rows);
}

/*
 * sharded_half.c: half an iteration of a sharded training: one query that solves
 * a side, and the statements that write its vectors into all copies.
 *
 * The options of mf_solve() stand in the query as constants, the Gramian too, for
 * a foreign server is sent text: numbers with seventeen digits arrive as they
 * were. Where a server lacks a copy, or has an old one, ratings meet no vector or
 * a wrong one; the number of ratings that met one must be that of all.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/query.h"
#include "numerics/normal.h"
#include "train/sharded.h"

/* Vectors that one INSERT writes into a copy. */
#define INSERT_ROWS 500

/* ---- The query ---- */

static void
AppendOptions(StringInfo sql, const Sharded *sharded, const ShardedSide *other)
{
	const AlsSpec *spec = &sharded->options.spec;
	Size		square = (Size) spec->factors * spec->factors;

	appendStringInfo(sql, "%s.mf_solve_options('{\"regularization\": %.17g, \"reg_exponent\": %.17g, ",
					 sharded->schema, spec->regularization, spec->reg_exponent);
	if (spec->implicit)
		appendStringInfo(sql, "\"feedback\": \"implicit\", \"alpha\": %.17g", spec->alpha);
	else
		appendStringInfo(sql, "\"mean\": %.17g, \"bias_regularization\": %.17g",
						 spec->mean, spec->bias_regularization);
	if (other->gramian == NULL)
		appendStringInfoString(sql, "}')");
	else
	{
		appendStringInfo(sql, ", \"unobserved_weight\": %.17g, \"others\": %u}', ",
						 spec->unobserved_weight, other->n);
		for (Size k = 0; k < square; k++)
		{
			if (k % spec->factors == 0)
				CHECK_FOR_INTERRUPTS();
			appendStringInfo(sql, "%s%.17g", k == 0 ? "'{" : ",", other->gramian[k]);
		}
		appendStringInfoString(sql, "}')");
	}
}

/* Half an iteration: the rows of a side. */
static char *
HalfQuery(const Sharded *sharded, MfSide side, bool last)
{
	const ShardedSide *self = &sharded->side[side];
	bool		biased = sharded->options.spec.biased;
	const char *rating = sharded_rating_text(&self->source);
	StringInfoData options;
	StringInfoData sql;

	initStringInfo(&options);
	AppendOptions(&options, sharded, &sharded->side[MF_OTHER_SIDE(side)]);
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT id::%s, %s, error, ratings, rating_sum, digest FROM (SELECT %s AS id",
					 format_type_extended(self->key.type, self->key.typmod,
										  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY),
					 biased ? "solution[1], solution[2:]" : "0::pg_catalog.float4, solution",
					 quote_identifier(self->key.column));
	for (int k = 0; k < 2; k++)
		appendStringInfo(&sql, ", %s.%s(factors, %s%s, %s) AS %s",
						 sharded->schema, k == 0 ? "mf_solve" : "mf_solve_error",
						 biased ? "bias, " : "", rating, options.data,
						 k == 0 ? "solution" : "error");
	appendStringInfo(&sql, ", pg_catalog.count(factors) AS ratings, pg_catalog.sum(%s) AS rating_sum",
					 rating);
	if (last)
		appendStringInfo(&sql, ", %s.mf_digest(%s, %s) AS digest", sharded->schema,
						 quote_identifier(sharded->side[MF_OTHER_SIDE(side)].key.column), rating);
	else
		appendStringInfoString(&sql, ", 0::pg_catalog.int8 AS digest");
	sharded_append_groups(&sql, self);
	appendStringInfoString(&sql, ") s");
	return sql.data;
}


/* ---- What it returned ---- */

/*
 * Grouping may have been done elsewhere, by a query over views of anyone's: that an
 * array is as long as the factors are many is for us to see.
 */
Vector
sharded_vector(const Sharded *sharded, const ShardedSide *side, Datum factors)
{
	int			expected = sharded->options.spec.factors;
	Vector		vector = vector_from_datum(factors);

	if (vector.length != expected)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("a vector of \"%s\" has %d elements, not %d",
						get_rel_name(side->source.relid), vector.length, expected),
				 errdetail("The vectors of this training have %d factors.", expected),
				 errhint("\"%s\" must show factors as they are in the copies.",
						 get_rel_name(side->source.relid))));
	return vector;
}

/* What one row adds to its side's sums. */
static void
AddRow(const Sharded *sharded, ShardedSide *side, uint32 others, const Datum *values,
	   NormalEquations *gramian)
{
	const AlsSpec *spec = &sharded->options.spec;
	Vector		vector = sharded_vector(sharded, side, values[ROW_FACTORS]);
	const float *x = vector.elements;
	double		bias = DatumGetFloat4(values[ROW_BIAS]);
	double		n = (double) DatumGetInt64(values[ROW_RATINGS]);
	double		squares = 0;

	for (int k = 0; k < spec->factors; k++)
		squares += (double) x[k] * x[k];
	if (!isfinite(squares) || !isfinite(bias))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a vector of \"%s\" is not finite", get_rel_name(side->source.relid))));
	side->penalty += spec->bias_regularization * bias * bias + squares *
		spec->regularization * pow(n + spec->unobserved_weight * others, spec->reg_exponent);
	side->squares += DatumGetFloat8(values[ROW_ERROR]);
	if (gramian != NULL)
		normal_add(gramian, x, 1.0, 0.0);
	vector_release(&vector, values[ROW_FACTORS]);
}

static bool
HasNull(TupleTableSlot *slot)
{
	for (int k = 0; k < ROW_NATTS; k++)
		if (slot->tts_isnull[k])
			return true;
	return false;
}

uint64
sharded_summarize(Sharded *sharded, ShardedSide *side, uint32 others)
{
	const AlsSpec *spec = &sharded->options.spec;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(side->desc, &TTSOpsMinimalTuple);
	NormalEquations *gramian = NULL;
	uint64		ratings = 0;

	if (spec->unobserved_weight > 0)
	{
		gramian = palloc(normal_size(spec->factors, false));
		normal_init(gramian, spec->factors, false);
	}
	side->n = 0;
	side->squares = side->penalty = 0;
	tuplestore_rescan(side->rows);
	while (tuplestore_gettupleslot(side->rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		side->n++;
		/* No vector: none of the row's ratings met one; sharded_run_half complains. */
		if (HasNull(slot))
			continue;
		ratings += DatumGetInt64(slot->tts_values[ROW_RATINGS]);
		AddRow(sharded, side, others, slot->tts_values, gramian);
	}
	ExecDropSingleTupleTableSlot(slot);
	if (gramian != NULL)
	{
		if (side->gramian == NULL)
			side->gramian = MemoryContextAlloc(sharded->context,
											   mul_size((Size) spec->factors * spec->factors,
														sizeof(double)));
		normal_square(gramian, side->gramian);
		pfree(gramian);
	}
	return ratings;
}

/* ---- Copies ---- */

/* A statement that inserts `n` vectors, given as parameters. */
static char *
InsertStatement(const ShardedSide *side, const Held *copy, int n)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s (%s, bias, factors) VALUES ", copy->sql,
					 quote_identifier(side->key.column));
	for (int k = 0; k < n; k++)
		appendStringInfo(&sql, "%s($%d, $%d, $%d)", k == 0 ? "" : ", ",
						 3 * k + 1, 3 * k + 2, 3 * k + 3);
	return sql.data;
}

/*
 * Writes a side's rows into one copy. Many rows a statement, as parameters:
 * plain enough for whatever the copy is, and sent in batches where it is remote.
 */
static void
WriteCopy(const ShardedSide *side, Held *copy)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(side->desc, &TTSOpsMinimalTuple);
	MemoryContext plans = AllocSetContextCreate(CurrentMemoryContext,
												"mf_train_sharded copy",
												ALLOCSET_DEFAULT_SIZES);
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext,
												"mf_train_sharded batch",
												ALLOCSET_DEFAULT_SIZES);
	Datum		values[3 * INSERT_ROWS];
	Oid			types[3 * INSERT_ROWS];
	SqlQuery	query = {.from = copy, .types = types, .values = values, .counted = true};
	int			planned = 0;
	uint64		written = 0;
	int16		typlen;
	bool		typbyval;

	held_reopen(copy);
	for (int k = 0; k < INSERT_ROWS; k++)
	{
		types[3 * k] = side->key.type;
		types[3 * k + 1] = FLOAT4OID;
		types[3 * k + 2] = FLOAT4ARRAYOID;
	}
	get_typlenbyval(side->key.type, &typlen, &typbyval);
	tuplestore_rescan(side->rows);
	for (uint32 from = 0; from < side->n; from += planned)
	{
		int			n = (int) Min(side->n - from, INSERT_ROWS);
		MemoryContext outer = MemoryContextSwitchTo(batch);

		for (int k = 0; k < n; k++)
		{
			if (!tuplestore_gettupleslot(side->rows, true, false, slot))
				elog(ERROR, "row %u of a side is missing", from + k);	/* side->n were counted */
			slot_getallattrs(slot);
			values[3 * k] = datumCopy(slot->tts_values[ROW_ID], typbyval, typlen);
			values[3 * k + 1] = slot->tts_values[ROW_BIAS];
			values[3 * k + 2] = datumCopy(slot->tts_values[ROW_FACTORS], false, -1);
		}
		if (n != planned)
		{
			MemoryContextSwitchTo(plans);
			query.nargs = 3 * n;
			query.sql = InsertStatement(side, copy, n);
			query_prepare(&query);
		}
		MemoryContextSwitchTo(batch);
		planned = n;
		written += query_write(&query, CMD_INSERT);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(batch);
	}
	held_close(copy);
	MemoryContextDelete(batch);
	MemoryContextDelete(plans);
	ExecDropSingleTupleTableSlot(slot);
	if (written != side->n)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not write all vectors to \"%s\"", copy->name),
				 errdetail("Of %u vectors, %llu were written.", side->n,
						   (unsigned long long) written),
				 errhint("Look for a trigger or a rule on the table that keeps rows out.")));
}

void
sharded_write_copies(const ShardedSide *side)
{
	sharded_empty_copies(side);
	for (int k = 0; k < side->ncopies; k++)
		WriteCopy(side, &side->copies[k]);
}

/* ---- The half ---- */

/* Not all ratings met a vector: because a copy is missing, or because others came. */
static void
RefuseRatings(const Sharded *sharded, MfSide side, uint64 met)
{
	const char *name = get_rel_name(sharded->side[side].source.relid);
	uint64		now = sharded_ratings(sharded, side);

	if (now != sharded->ratings.pairs)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("ratings of \"%s\" changed in the course of the training", name),
				 errdetail("There were %llu of them at its start, and are %llu now.",
						   (unsigned long long) sharded->ratings.pairs, (unsigned long long) now),
				 errhint("Try again. A server that shows a transaction one snapshot, as postgres_fdw has it, keeps later ratings out.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("only %llu of %llu ratings of \"%s\" have a vector of the other side",
					(unsigned long long) met, (unsigned long long) sharded->ratings.pairs, name),
			 errhint("Each server needs a copy of the other side's vectors, and all copies must be in %s.",
					 side == MF_USERS ? "item_copies" : "user_copies")));
}

void
sharded_run_half(Sharded *sharded, MfSide side, bool last)
{
	ShardedSide *self = &sharded->side[side];
	char	   *sql = HalfQuery(sharded, side, last);
	uint64		ratings;

	if (self->rows != NULL)
		tuplestore_end(self->rows);
	self->rows = sharded_query(sharded, self, sql, self->desc);
	pfree(sql);
	ratings = sharded_summarize(sharded, self, sharded->side[MF_OTHER_SIDE(side)].n);
	if (ratings != sharded->ratings.pairs)
		RefuseRatings(sharded, side, ratings);
}

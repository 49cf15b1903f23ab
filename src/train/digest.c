/*
 * digest.c: mf_digest(): the digest of a group's ratings, in SQL.
 *
 * mf_train forms digests of what it reads (build.c). Where the ratings lie on
 * several servers they are formed there, by an aggregate whose sums add up; with
 * one result for one set of rows, so that mf_refresh can compare the two.
 */
#include "postgres.h"

#include "fmgr.h"

#include "compat.h"
#include "train/digest.h"
#include "train/ids.h"

PG_FUNCTION_INFO_V1(mf_digest_add);
PG_FUNCTION_INFO_V1(mf_digest_combine);

/* (state, id of the other end, rating), strict */
Datum
mf_digest_add(PG_FUNCTION_ARGS)
{
	IdArgument *id = fcinfo->flinfo->fn_extra;
	uint64		state = (uint64) PG_GETARG_INT64(0);

	if (id == NULL)
		fcinfo->flinfo->fn_extra = id = id_argument(fcinfo, 1, "mf_digest");
	state += digest_mix(id_argument_hash(id, PG_GETARG_DATUM(1)), (float) PG_GETARG_FLOAT8(2));
	PG_RETURN_INT64((int64) state);
}

/* (state, state), strict */
Datum
mf_digest_combine(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) ((uint64) PG_GETARG_INT64(0) + (uint64) PG_GETARG_INT64(1)));
}

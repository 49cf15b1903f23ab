/*
 * holdout.c: mf_holdout(): which pairs are held out, by a hash of the pair.
 *
 * A pair is held out or not by its ids, the seed and the fraction alone. So a
 * split is the same in every session and after every dump and restore, whatever
 * the order of the rows and whatever other rows there are, and it can be made
 * by a WHERE clause in SQL, by training, or by both, with one result. A pair
 * held out at a fraction is held out at every larger one too.
 *
 * An id is hashed by its text (idargument.c), so that 42 is the same id as an
 * int, as a bigint and as text.
 *
 * Training holds out pairs by the same function of the same hashes,
 * sampling_held_out(), with a seed of its own (HOLDOUT_SEED). Rejected: random(),
 * which gives another split each time; a hash of the concatenated texts, which
 * takes (1, 23) for (12, 3).
 */
#include "postgres.h"

#include "fmgr.h"

#include "compat.h"
#include "model/number.h"
#include "numerics/sampling.h"
#include "train/ids.h"

PG_FUNCTION_INFO_V1(mf_holdout);

/* (user, item, fraction, seed), strict */
Datum
mf_holdout(PG_FUNCTION_ARGS)
{
	IdArgument **ids = fcinfo->flinfo->fn_extra;
	double		fraction = PG_GETARG_FLOAT8(2);

	if (!(fraction >= 0 && fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fraction is %s, outside its range of 0 to 1", number_text(fraction))));
	if (ids == NULL)
	{
		ids = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, 2 * sizeof(IdArgument *));
		for (int arg = 0; arg < 2; arg++)
			ids[arg] = id_argument(fcinfo, arg, "mf_holdout");
		fcinfo->flinfo->fn_extra = ids;
	}
	PG_RETURN_BOOL(sampling_held_out(id_argument_hash(ids[0], PG_GETARG_DATUM(0)),
									 id_argument_hash(ids[1], PG_GETARG_DATUM(1)),
									 (uint64) PG_GETARG_INT64(3), fraction));
}

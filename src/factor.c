/*
 * factor.c: module load and settings.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "compat.h"
#include "factor.h"
#include "rank/topk.h"

PG_MODULE_MAGIC;

char	   *factor_model = NULL;

void		_PG_init(void);

void
_PG_init(void)
{
	DefineCustomStringVariable("factor.model",
							   "Model that the mf_ functions use when none is named.",
							   "Optionally schema-qualified. Empty: the default model of the first schema "
							   "on the search_path that has one.",
							   &factor_model,
							   "",
							   PGC_USERSET,
							   0,
							   NULL, NULL, NULL);

	MarkGUCPrefixReserved("factor");

	topk_init();
}

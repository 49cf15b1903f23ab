/*
 * owner.c: acting as a model's owner.
 *
 * Whoever may write a model's tables, a member of the role that owns them or a
 * superuser, may be allowed to read more than that role is. What he read would
 * then stand where the owner can read it; and the owner decides, by a row of
 * mf_models, a view and the triggers on the tables, what is read and which
 * functions are called. So a training that replaces rows of another's model, a
 * refresh, a row of trials in another's table read and write as the owner, as
 * REFRESH MATERIALIZED VIEW does: in a security-restricted operation, in which
 * the owner's functions can leave nothing behind that would run with the
 * caller's rights afterwards, and with a safe search_path where the server has
 * that. The caller's own rights have been checked before.
 *
 * Where the caller is the owner there is nothing to lend and nothing to protect:
 * everything is as in any statement of his, deferred constraints included.
 *
 * An error needs no clean-up: the end of the (sub)transaction gives the caller's
 * identity back.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "compat.h"
#include "model/catalog.h"

static void
SayWhoActs(void *arg)
{
	ActingOwner *acting = arg;

	errcontext("acting as role \"%s\", the owner of %s", acting->name, acting->what);
}

void
owner_begin(ActingOwner *acting, Oid owner, const char *what)
{
	memset(acting, 0, sizeof(*acting));
	if (!OidIsValid(owner) || owner == GetUserId())
		return;
	acting->switched = true;
	acting->name = GetUserNameFromId(owner, false);
	acting->what = what;
	GetUserIdAndSecContext(&acting->caller, &acting->caller_context);
	SetUserIdAndSecContext(owner, acting->caller_context | SECURITY_RESTRICTED_OPERATION);
	acting->guc_level = NewGUCNestLevel();
	RestrictSearchPath();
	acting->callback.callback = SayWhoActs;
	acting->callback.arg = acting;
	acting->callback.previous = error_context_stack;
	error_context_stack = &acting->callback;
}

void
owner_end(ActingOwner *acting)
{
	if (!acting->switched)
		return;
	error_context_stack = acting->callback.previous;
	AtEOXact_GUC(false, acting->guc_level);
	SetUserIdAndSecContext(acting->caller, acting->caller_context);
	acting->switched = false;
}

void
model_owner_begin(ActingOwner *acting, const ModelTarget *target)
{
	owner_begin(acting, target->owner,
				psprintf("model \"%s\"", model_name_quote(target->schema_name, target->name)));
}

void
model_require_owner(const Model *model)
{
	for (MfSide side = MF_USERS; side <= MF_ITEMS; side++)
	{
		Oid			relid = model->side[side].relid;
		char	   *quoted = model_name_quote(model->schema_name, model->name);

		if (!object_ownercheck(RelationRelationId, relid, GetUserId()))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of model \"%s\"", quoted),
					 errdetail("Table %s belongs to role \"%s\".", model->side[side].table,
							   GetUserNameFromId(model->owner, true)),
					 errhint("Members of that role may do this too. To learn from the same ratings yourself, call mf_train() on them with a model name of your own.")));
	}
}

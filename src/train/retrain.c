/*
 * retrain.c: mf_retrain(): the training that mf_models has on record once more,
 * started from the vectors there are.
 *
 * The options are those that were given, read as mf_train reads its own: filters,
 * pairs held out, patience and the stochastic solver are repeated like everything
 * else. What was not given and follows the data, the weight of regularization for
 * instance, stays what the first training made of it: a warm start is worth most
 * where the objective is the same. Pairs are held out by a hash, or as the last of
 * each user's, so that what was held out is held out again, and the vectors that
 * training starts from have not seen it.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "model/catalog.h"
#include "model/number.h"
#include "model/query.h"
#include "train/train.h"

PG_FUNCTION_INFO_V1(mf_retrain);

/* ---- What mf_models has on record ---- */

/*
 * Only the name is learnt before it is locked: what another session commits until
 * then is to be seen.
 */
Model *
training_open_model(FunctionCallInfo fcinfo, int arg)
{
	Oid			extension_schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	char	   *name = PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));
	CatalogRow	row;
	ModelTables tables;
	Model	   *model;

	if (!model_resolve(extension_schema, name, GetLatestSnapshot(), &row))
		model_not_found(extension_schema, name);
	model_tables_find(row.schema, row.name, &tables);
	if (OidIsValid(tables.schema))
		model_name_lock(tables.schema, row.name);

	PushActiveSnapshot(GetLatestSnapshot());
	model = model_open(extension_schema, model_name_quote(row.schema, row.name));
	model_require_owner(model);
	return model;
}

typedef struct TakeRecord
{
	MemoryContext context;
	ModelRecord *record;
	bool		found;
} TakeRecord;

static bool
TakeOptions(TupleTableSlot *slot, void *arg)
{
	TakeRecord *take = arg;
	MemoryContext old = MemoryContextSwitchTo(take->context);

	take->record->options = slot->tts_isnull[0] ? "{}" : TextDatumGetCString(slot->tts_values[0]);
	take->record->settings = slot->tts_isnull[1] ? "{}" : TextDatumGetCString(slot->tts_values[1]);
	take->found = true;
	MemoryContextSwitchTo(old);
	return false;
}

void
training_read_options(const Model *model, ModelRecord *record)
{
	const Oid	types[] = {NAMEOID, NAMEOID};
	const Oid	texts[] = {TEXTOID, TEXTOID};
	TakeRecord	take = {CurrentMemoryContext, record, false};
	NameData	schema_name;
	NameData	model_name;
	Datum		values[2];
	Held		models;
	SqlQuery	query = {
		.from = &models,
		.nargs = lengthof(types),
		.types = types,
		.values = values,
		.ncolumns = lengthof(texts),
		.columns = texts,
		.read_only = true,
	};

	namestrcpy(&schema_name, model->schema_name);
	namestrcpy(&model_name, model->name);
	values[0] = NameGetDatum(&schema_name);
	values[1] = NameGetDatum(&model_name);
	held_take(&models, table_open(catalog_relid(model->extension_schema, "mf_models"),
								  AccessShareLock));
	query.sql = psprintf("SELECT m.options::pg_catalog.text, m.settings::pg_catalog.text FROM %s m "
						 "WHERE m.schema OPERATOR(pg_catalog.=) $1 "
						 "AND m.model OPERATOR(pg_catalog.=) $2", models.sql);
	query_receive(&query, TakeOptions, &take);
	held_close(&models);
	if (!take.found)
		model_not_found(model->extension_schema, model_name_quote(model->schema_name, model->name));
}

/* The options that were given, which are to be options still. */
static void
ReadOptions(const Model *model, TrainCall *call)
{
	ModelRecord record;
	Jsonb	   *options;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key;

	training_read_options(model, &record);
	options = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(record.options)));
	it = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			char	   *name = pnstrdup(key.val.string.val, key.val.string.len);

			if (option_find(&train_options, name) == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("model \"%s\" was trained with an option that is not known: \"%s\"",
								quote_qualified_identifier(model->schema_name, model->name), name),
						 errhint("Train it again with mf_train().")));
		}
	options_read(&train_options, call, options, "options of mf_models");
}

/* The table that a model was trained from, as it is now. */
static Oid
FindSource(const Model *model)
{
	const ModelRecord *record = &model->record;
	RangeVar   *rv = makeRangeVar(unconstify(char *, record->source_schema),
								  unconstify(char *, record->source_table), -1);
	Oid			relid = RangeVarGetRelid(rv, AccessShareLock, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s, which model \"%s\" was trained from, does not exist",
						quote_qualified_identifier(record->source_schema, record->source_table),
						quote_qualified_identifier(model->schema_name, model->name)),
				 errhint("Train the model from another table with mf_train().")));
	return relid;
}

void
training_repeat(Model *model, RatingSource *source, TrainOptions *options)
{
	const ModelRecord *record = &model->record;
	TrainCall	call = {0};

	ReadOptions(model, &call);
	call.ratings = FindSource(model);
	call.user_col = record->user_col;
	call.item_col = record->item_col;
	call.rating_col = record->rating_col;
	call.model = quote_qualified_identifier(model->schema_name, model->name);
	option_set(&train_options, &call, "feedback", record->implicit ? "implicit" : "explicit");
	option_set(&train_options, &call, "loss", record->loss);
	option_set(&train_options, &call, "solver", record->solver);
	option_set(&train_options, &call, "factors", psprintf("%d", record->factors));
	option_set(&train_options, &call, "seed", psprintf(INT64_FORMAT, record->seed));

	options_from_call(&call, source, options);
	source->recorded = true;
	options_keep(&call, model, options);
	if (options->spec.biased != record->biased)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" cannot be trained as it was", options->model),
				 errdetail("Its row in mf_models contradicts itself."),
				 errhint("Train it again with mf_train().")));
}

/* ---- mf_retrain ---- */

/* (model, iterations, tolerance, verbose), after training_repeat() */
static void
ReadArguments(FunctionCallInfo fcinfo, TrainOptions *options)
{
	for (int arg = 1; arg <= 3; arg++)
		if (PG_ARGISNULL(arg))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null",
							arg == 1 ? "iterations" : arg == 2 ? "tolerance" : "verbose")));
	options->iterations = PG_GETARG_INT32(1);
	options->tolerance = PG_GETARG_FLOAT8(2);
	options->verbose = PG_GETARG_BOOL(3);
	if (options->iterations < 1 || options->iterations > TRAIN_MAX_ITERATIONS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("iterations is %d, outside its range of 1 to %d",
						options->iterations, TRAIN_MAX_ITERATIONS)));
	if (!(options->tolerance >= 0 && options->tolerance <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tolerance is %s, outside its range of 0 to 1", number_text(options->tolerance))));
}

/* (model, iterations, tolerance, verbose) */
Datum
mf_retrain(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	MemoryContext outer;
	Model	   *model;
	RatingSource source;
	TrainOptions options;
	Fit			fit = {0};
	Datum		result;

	PreventCommandDuringRecovery("mf_retrain()");
	PreventCommandIfReadOnly("mf_retrain()");
	training_refuse_nested("mf_retrain()");

	INSTR_TIME_SET_CURRENT(fit.start);
	context = AllocSetContextCreate(CurrentMemoryContext, "mf_train",
									ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(context);

	model = training_open_model(fcinfo, 0);
	training_repeat(model, &source, &options);
	ReadArguments(fcinfo, &options);
	training_read_options(model, &model->record);
	options.given = model->record.options;
	result = training_run(fcinfo, "mf_retrain", &source, &options, &fit, outer);
	PopActiveSnapshot();
	model_release(model);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(result);
}

/*
 * basket.c: from items with values to a vector.
 *
 * Training takes an item that a user has several times as one, with the mean of
 * its values or their sum, so values are collected an item at a time before
 * anything is solved. The array is merged whenever it is full and grows only if
 * that did not make room. From MANY items on, those that the model does not
 * know are dropped too, so that no stream of ids makes it larger than about the
 * model's number of items.
 *
 * Items are folded in in the order of their ids: the result does not depend on
 * the order of the rows, but for the rounding in sums of one item's values.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "model/idtext.h"
#include "model/number.h"
#include "serve/basket.h"
#include "serve/rank.h"

#define FIRST_CAPACITY 32
#define MANY 8192

/*
 * A squared loss of the score itself, whichever solver made it small, is least
 * where the user solves the normal equations. Descent ends near there, so that
 * the vectors it stored are of one kind with those that are folded in.
 */
static bool
IsSquared(const ModelRecord *record)
{
	return strcmp(record->loss, "squared") == 0 && !record->linked;
}

bool
basket_can_fold_in(const Model *model)
{
	return IsSquared(&model->record) && !model->record.sampled;
}

static void
CheckModel(const Model *model)
{
	const ModelRecord *record = &model->record;

	if (basket_can_fold_in(model))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot fold in users of model \"%s\"",
					quote_qualified_identifier(model->schema_name, model->name)),
			 IsSquared(record) ?
			 errdetail("It was trained with negatives or weight decay, which are in no normal equations.") :
			 record->linked && strcmp(record->loss, "squared") == 0 ?
			 errdetail("It was trained with rating_range, for which no normal equations give a vector.") :
			 errdetail("It was trained with loss \"%s\", for which no normal equations give a vector.",
					   record->loss),
			 errhint("mf_retrain() takes in new users and what has changed; folding in needs a model of solver \"als\".")));
}

void
basket_init(Basket *basket, Model *model)
{
	CheckModel(model);
	memset(basket, 0, sizeof(*basket));
	basket->model = model;
	basket->items_table = model->side[MF_ITEMS].relid;
	basket->type = rank_id_type(&model->side[MF_ITEMS].key);
	basket->collation = model->side[MF_ITEMS].key.collation;
	basket->context = CurrentMemoryContext;
	basket->capacity = FIRST_CAPACITY;
	basket->items = palloc(basket->capacity * sizeof(BasketItem));
}

void
basket_of_model(Basket *basket, Model *model)
{
	const ModelSide *items = &model->side[MF_ITEMS];

	if (items->relid != basket->items_table || items->key.type != basket->type->type_id ||
		items->key.collation != basket->collation)
		held_changed(&items->held);
	basket->model = model;
}

/* As training refuses it. */
static void
CheckValue(const Basket *basket, Datum id, double value)
{
	bool		negative = basket->model->record.implicit && value < 0;

	if (isfinite((float) value) && !negative)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 isnan(value) ?
			 errmsg("the rating of item \"%s\" is not a number", idtext_once(basket->type->type_id, id)) :
			 negative ?
			 errmsg("rating \"%s\" of item \"%s\" is negative", number_text(value), idtext_once(basket->type->type_id, id)) :
			 errmsg("rating \"%s\" of item \"%s\" is out of range for type real",
					number_text(value), idtext_once(basket->type->type_id, id)),
			 negative ? errdetail("Implicit feedback takes counts or other weights of at least 0.") : 0));
}

static int
CompareItems(const void *a, const void *b, void *arg)
{
	const Basket *basket = arg;

	return rank_compare_ids(basket->type, basket->collation,
							((const BasketItem *) a)->id, ((const BasketItem *) b)->id);
}

static void
FreeId(const Basket *basket, Datum id)
{
	if (!basket->type->typbyval)
		pfree(DatumGetPointer(id));
}

void
basket_merge(Basket *basket)
{
	BasketItem *items = basket->items;
	int64		last = 0;
	int64		i;

	if (basket->merged == basket->n)
		return;
	qsort_arg(items, basket->n, sizeof(BasketItem), CompareItems, basket);
	for (i = 1; i < basket->n; i++)
	{
		if (CompareItems(&items[last], &items[i], basket) == 0)
		{
			items[last].sum += items[i].sum;
			items[last].exact += items[i].exact;
			items[last].n += items[i].n;
			FreeId(basket, items[i].id);
		}
		else
			items[++last] = items[i];
	}
	basket->n = last + 1;
	basket->merged = basket->n;
}

static void
DropUnknown(Basket *basket)
{
	ModelReader *reader;
	ModelEntity item;
	int64		n = 0;
	int64		i;

	model_hold(basket->model);	/* policies may call anything */
	reader = model_reader_begin(basket->model, MF_ITEMS);
	for (i = 0; i < basket->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (model_reader_fetch(reader, basket->items[i].id, &item))
			basket->items[n++] = basket->items[i];
		else
			FreeId(basket, basket->items[i].id);
	}
	basket->n = n;
	basket->merged = n;
	model_reader_end(reader);
}

static void
MakeRoom(Basket *basket)
{
	basket_merge(basket);
	if (basket->n >= MANY && basket->n > basket->capacity / 2)
		DropUnknown(basket);
	if (basket->n <= basket->capacity / 2)
		return;
	basket->capacity *= 2;
	basket->items = repalloc_huge(basket->items,
								  mul_size(basket->capacity, sizeof(BasketItem)));
}

void
basket_add(Basket *basket, Datum id, double value)
{
	BasketItem *item;
	MemoryContext old;

	CheckValue(basket, id, value);
	old = MemoryContextSwitchTo(basket->context);
	if (basket->n == basket->capacity)
		MakeRoom(basket);
	item = &basket->items[basket->n++];
	item->id = datumCopy(id, basket->type->typbyval, basket->type->typlen);
	item->sum = (float) value;
	item->exact = value;
	item->n = 1;
	MemoryContextSwitchTo(old);
}

float
basket_value(const Basket *basket, const BasketItem *item)
{
	if (basket->model->record.implicit)
		return (float) item->sum;
	return (float) (item->sum / item->n);
}

double
basket_exact(const Basket *basket, const BasketItem *item)
{
	return basket->model->record.implicit ? item->exact : item->exact / item->n;
}

/* ---- Solving ---- */

static void
Poll(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

static AlsSpec
Spec(const ModelRecord *record)
{
	AlsSpec		spec;

	memset(&spec, 0, sizeof(spec));
	spec.factors = record->factors;
	spec.implicit = record->implicit;
	spec.biased = record->biased;
	spec.mean = record->mean;
	spec.alpha = record->alpha;
	spec.unobserved_weight = record->unobserved_weight;
	spec.regularization = record->regularization;
	spec.reg_exponent = record->reg_exponent;
	spec.bias_regularization = record->bias_regularization;
	return spec;
}

static void
NoSolution(const Basket *basket)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("model \"%s\" has no unique vector for these ratings",
					quote_qualified_identifier(basket->model->schema_name,
											   basket->model->name)),
			 errhint("Train the model with more regularization.")));
}

Foldin *
basket_system(Basket *basket)
{
	Model	   *model = basket->model;
	AlsSpec		spec = Spec(&model->record);
	const float *gramian = spec.unobserved_weight > 0 ? model_gramian(model, MF_ITEMS) : NULL;
	Foldin	   *system;
	ModelReader *reader;
	ModelEntity item;
	bool		any = false;
	int64		i;

	basket_merge(basket);
	if (basket->n == 0)
		return NULL;
	system = foldin_init(MemoryContextAllocHuge(CurrentMemoryContext, foldin_size(&spec)),
						 &spec, gramian);
	reader = model_reader_begin(model, MF_ITEMS);
	for (i = 0; i < basket->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!model_reader_fetch(reader, basket->items[i].id, &item))
			continue;
		foldin_add(system, item.factors, item.bias,
				   basket_value(basket, &basket->items[i]), Poll, NULL);
		any = true;
	}
	model_reader_end(reader);
	if (!any)
	{
		pfree(system);
		return NULL;
	}
	if (foldin_factor(system, model->record.items, Poll, NULL) != NUMERICS_OK)
		NoSolution(basket);
	return system;
}

bool
basket_fold_in(Basket *basket, ModelEntity *entity)
{
	Foldin	   *system = basket_system(basket);
	float	   *factors;

	if (system == NULL)
		return false;
	factors = palloc(basket->model->record.factors * sizeof(float));
	foldin_solution(system, factors, &entity->bias);
	entity->nfactors = basket->model->record.factors;
	entity->factors = factors;
	pfree(system);
	return true;
}

/*
 * basket.h: items with values, as a user's history or a visitor's basket, and
 * the vector that a model gives whoever they belong to.
 */
#ifndef FACTOR_BASKET_H
#define FACTOR_BASKET_H

#include "utils/typcache.h"

#include "model/model.h"
#include "numerics/foldin.h"

typedef struct BasketItem
{
	Datum		id;
	double		sum;			/* of its values in single precision, as trained */
	double		exact;			/* of them as they are */
	int64		n;				/* how many they are */
} BasketItem;

typedef struct Basket
{
	Model	   *model;			/* the caller's; see basket_of_model() */
	Oid			items_table;
	TypeCacheEntry *type;
	Oid			collation;
	MemoryContext context;		/* holds the items */
	BasketItem *items;
	int64		n;
	int64		capacity;
	int64		merged;			/* the first so many are sorted and distinct */
} Basket;

/* Do normal equations give a user's vector? Of the squared loss by itself alone. */
extern bool basket_can_fold_in(const Model *model);

/* Begins an empty basket in the current memory context. */
extern void basket_init(Basket *basket, Model *model);

/*
 * In a later call: the model as that call has it open. An error where its items
 * are another table than those that the basket was begun for, or have other ids.
 */
extern void basket_of_model(Basket *basket, Model *model);

/*
 * Adds a value of an item, of the model's item key type; the same item may come
 * again. An error where training would refuse the value. Takes memory in
 * proportion to the distinct items, of those that the model knows once there
 * are many.
 */
extern void basket_add(Basket *basket, Datum id, double value);

/* Equal items become one; all are sorted by id. */
extern void basket_merge(Basket *basket);

/* What training makes of an item's values: their sum, or mean. */
extern float basket_value(const Basket *basket, const BasketItem *item);

/* The same of the values as they are, to be shown. */
extern double basket_exact(const Basket *basket, const BasketItem *item);

/*
 * The factored system of the basket, allocated in the current memory context;
 * NULL where it has no item that the model knows.
 */
extern Foldin *basket_system(Basket *basket);

/* The vector and bias; false where there is no item that the model knows. */
extern bool basket_fold_in(Basket *basket, ModelEntity *entity);

#endif							/* FACTOR_BASKET_H */

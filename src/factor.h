/*
 * factor.h: what the whole extension shares: the two sides of a model, and
 * the settings.
 */
#ifndef FACTOR_H
#define FACTOR_H

/* A model has two sides; arrays over them are indexed by these. */
typedef enum MfSide
{
	MF_USERS = 0,
	MF_ITEMS = 1
} MfSide;

#define MF_OTHER_SIDE(side) ((MfSide) (1 - (side)))

/* factor.model: the model that functions use when none is named; "" is none. */
extern char *factor_model;

#endif							/* FACTOR_H */

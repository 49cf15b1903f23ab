/*
 * plans.h: SPI plans that a session keeps.
 */
#ifndef FACTOR_PLANS_H
#define FACTOR_PLANS_H

#include "executor/spi.h"

/*
 * The plan of a statement, prepared or kept from an earlier call; within an
 * SPI connection, and for use until it ends. The text must qualify every name,
 * for it alone identifies the plan; PostgreSQL sees to it that a plan is made
 * anew when what it stands on changes.
 */
extern SPIPlanPtr plan_get(const char *sql, int nargs, Oid *types);

#endif							/* FACTOR_PLANS_H */

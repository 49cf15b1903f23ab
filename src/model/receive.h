/*
 * receive.h: the rows of a query, one by one into a function of ours.
 */
#ifndef FACTOR_RECEIVE_H
#define FACTOR_RECEIVE_H

#include "executor/spi.h"
#include "executor/tuptable.h"
#include "tcop/dest.h"

/* Takes a row, and says whether more are wanted. */
typedef bool (*RowReceiver) (TupleTableSlot *slot, DestReceiver *self);

/*
 * Makes a destination of which only receiveSlot does anything; the struct that
 * it is the head of is the caller's.
 */
extern void receiver_init(DestReceiver *receiver, RowReceiver receive);

/*
 * Runs a SELECT in the active snapshot, read-only, within an SPI connection. It
 * has nargs parameters, of these types and values.
 */
extern void receive_rows(DestReceiver *receiver, SPIPlanPtr plan, int nargs,
						 const Oid *types, const Datum *values);

#endif							/* FACTOR_RECEIVE_H */

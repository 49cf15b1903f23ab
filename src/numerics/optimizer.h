/*
 * optimizer.h: how far a gradient moves a row, and how fast the rate changes.
 */
#ifndef FACTOR_OPTIMIZER_H
#define FACTOR_OPTIMIZER_H

typedef enum OptimizerKind
{
	OPTIMIZER_SGD,				/* no state */
	OPTIMIZER_ADAGRAD,			/* one number of state an element */
	OPTIMIZER_ADAM				/* two */
} OptimizerKind;

typedef enum ScheduleKind
{
	SCHEDULE_CONSTANT,
	SCHEDULE_ONE_CYCLE
} ScheduleKind;

#define OPTIMIZER_STATES(kind) ((int) (kind))

/* Added to the root that a gradient is divided by. */
#define ADAM_EPSILON 1e-8f
#define ADAGRAD_EPSILON 1e-10f

/* The rates of a step, from the schedule; the same for all rows. */
typedef struct OptimizerRates
{
	float		rate;			/* learning rate */
	float		keep;			/* 1 - rate * weight decay */
	float		beta1;			/* adam */
	float		beta2;
} OptimizerRates;

/* Those of one row's step, from its own count of steps. */
typedef struct OptimizerStep
{
	float		rate;			/* of adam: corrected for the early steps */
	float		keep;
	float		beta1;
	float		beta2;
	float		root;			/* 1 / sqrt(1 - beta2^t) */
} OptimizerStep;

/* The schedule at `progress`, 0 at the start of the training and 1 at its end. */
extern void optimizer_rates(OptimizerKind kind, ScheduleKind schedule,
							double learning_rate, double weight_decay,
							double progress, OptimizerRates *rates);

/* Steps that move nothing, but the optimizer's state. */
extern void optimizer_hold(OptimizerRates *rates);

/*
 * The next step of a row. `power` holds beta1^t and beta2^t, both 1 at first,
 * and is moved on.
 */
extern void optimizer_step(OptimizerKind kind, const OptimizerRates *rates,
						   float power[2], OptimizerStep *step);

/* One number moved by its gradient; the vectors' kernels do the same. */
extern void optimizer_move(OptimizerKind kind, const OptimizerStep *step,
						   float gradient, float *x, float *state0, float *state1);

#endif							/* FACTOR_OPTIMIZER_H */

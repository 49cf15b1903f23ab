/*
 * option.h: options by name, each described once.
 *
 * What takes options, mf_train for one, has a table that says of each its name,
 * type, default, range, to which trainings it applies, which field its value
 * goes to, and what it means. From that table come the reading of named
 * arguments and of jsonb into one struct, all checks of a single value, the
 * errors about what does not apply or is misspelt, the JSON that mf_models
 * keeps, the values that a search may try, and the table in doc/reference.md.
 * What depends on several options or on the data is plain code, which reads the
 * struct.
 *
 * To add an option: a field in the struct, a row in the table, and the code that
 * reads the field; then doc/reference.md, as its test says.
 */
#ifndef FACTOR_OPTION_H
#define FACTOR_OPTION_H

#include "postgres.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "compat.h"

/* ---- Values ---- */

/*
 * A field of the struct that a table fills: the text of what was given, NULL if
 * nothing was, and what it means. Texts stay as the user wrote them, for what has
 * to be compared or kept exactly; but 2.0 is 2 where it is an integer.
 */
typedef struct BoolOption
{
	const char *text;
	bool		value;
} BoolOption;

typedef struct IntOption
{
	const char *text;
	int			value;
} IntOption;

/* The place among the option's choices. */
typedef IntOption ChoiceOption;

typedef struct BigintOption
{
	const char *text;
	int64		value;
} BigintOption;

typedef struct RealOption
{
	const char *text;
	double		value;
} RealOption;

typedef struct NameOption
{
	const char *text;
} NameOption;

/* A range between two different, finite numbers. */
typedef struct RangeOption
{
	const char *text;
	double		low;
	double		high;
} RangeOption;

typedef struct TableOption
{
	const char *text;
	Oid			value;
} TableOption;

/* A value of whatever type: its text alone. */
typedef struct AnyOption
{
	const char *text;
	bool		bare;			/* JSON writes it without quotes */
} AnyOption;

#define option_given(option) ((option).text != NULL)
#define option_or(option, fallback) \
	((option).text != NULL ? (option).value : (fallback))

/* ---- Which trainings an option applies to ---- */

/* Solver, feedback and loss; the squared loss where none is named. */
#define FOR_ALS_EXPLICIT		0x01
#define FOR_ALS_IMPLICIT		0x02
#define FOR_SGD_EXPLICIT		0x04
#define FOR_SGD_IMPLICIT		0x08
#define FOR_LOGISTIC_EXPLICIT	0x10
#define FOR_LOGISTIC_IMPLICIT	0x20
#define FOR_BPR					0x40

#define FOR_LOGISTIC	(FOR_LOGISTIC_EXPLICIT | FOR_LOGISTIC_IMPLICIT)
#define FOR_EXPLICIT	(FOR_ALS_EXPLICIT | FOR_SGD_EXPLICIT | FOR_LOGISTIC_EXPLICIT)
#define FOR_IMPLICIT	(FOR_ALS_IMPLICIT | FOR_SGD_IMPLICIT | FOR_LOGISTIC_IMPLICIT | FOR_BPR)
#define FOR_SGD			(FOR_SGD_EXPLICIT | FOR_SGD_IMPLICIT | FOR_LOGISTIC | FOR_BPR)
#define FOR_NEGATIVES	(FOR_SGD_IMPLICIT | FOR_LOGISTIC | FOR_BPR)
#define FOR_BIASES		(FOR_EXPLICIT | FOR_LOGISTIC_IMPLICIT | FOR_BPR)
#define FOR_ALL			(FOR_EXPLICIT | FOR_IMPLICIT)

/* ---- Tables ---- */

typedef enum OptionType
{
	OPTION_BOOL,
	OPTION_INT,
	OPTION_BIGINT,
	OPTION_REAL,
	OPTION_CHOICE,
	OPTION_NAME,
	OPTION_RANGE,
	OPTION_TABLE,
	OPTION_ANY
} OptionType;

/* Of numbers, unless both are 0; or a list that ends with a NULL. */
typedef struct OptionLimits
{
	double		min;
	double		max;
	const char *const *choices;
} OptionLimits;

#define OPTION_OF_CALL	0x1		/* of a call, not of the model that it makes */
#define OPTION_SHARDED	0x2		/* mf_train_sharded has it, too */

typedef struct Option
{
	const char *name;
	OptionType	type;
	const char *fallback;		/* what holds where it is not given, in words */
	OptionLimits limits;
	unsigned	applies;		/* FOR_..., of options of a training */
	unsigned	flags;			/* OPTION_... */
	size_t		offset;			/* of its field */
	const char *what;
} Option;

typedef struct OptionTable
{
	const Option *options;
	int			n;
} OptionTable;

#define OPTION_FIELD(option, values) ((void *) ((char *) (values) + (option)->offset))

/* ---- Reading (option.c) ---- */

/* NULL if there is none of that name. */
extern const Option *option_find(const OptionTable *table, const char *name);

/* The error about it, with the nearest name there is. */
pg_noreturn extern void option_unknown(const OptionTable *table, const char *name,
									   const char *where);

/*
 * Reads a JSON object into the struct: an error for what is no option, a value of
 * another type or out of range, and an option that the struct has already. A null
 * is as if the option were not there. `where` is the object's own name.
 */
extern void options_read(const OptionTable *table, void *values, Jsonb *json,
						 const char *where);

/* A function's argument, as one of the options; a NULL is not given. */
extern void option_read_argument(const OptionTable *table, void *values, const char *name,
								 FunctionCallInfo fcinfo, int arg);

/* Sets an option, given or not, from the text of a value. */
extern void option_set(const OptionTable *table, void *values, const char *name,
					   const char *text);

/* The errors of options_read() about one value, and its text; NULL for a null. */
extern const char *option_check(const Option *option, const JsonbValue *value);

extern bool option_is_number(const Option *option);
extern bool option_is_whole(const Option *option);

/* The options given that are the model's, as the text of a JSON object. */
extern char *options_json(const OptionTable *table, const void *values);

/* ---- What applies (option_kinds.c) ---- */

/*
 * An error if an option is given that does not apply to the training, one of
 * FOR_...: "<name> does not apply to ...", with what to use instead. What is false
 * holds of any.
 */
extern void options_refuse(const OptionTable *table, const void *values, unsigned training);

/* The same of one, said by the caller: nothing if it was not given. */
extern void option_refuse(const char *name, const char *text, const char *what,
						  const char *remedy);

/* To which trainings an option applies, in words; NULL: to all. */
extern const char *option_kinds(unsigned applies);

#endif							/* FACTOR_OPTION_H */

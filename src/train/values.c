/*
 * values.c: a rating's value, whatever numeric type its column has.
 *
 * Converted here rather than by a cast in the query, for the speed and because a
 * value that is refused can then be told with its user and item.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "compat.h"
#include "train/values.h"

/*
 * Numerics are converted by way of their text, slowly; but ratings are mostly
 * few distinct short values, whose conversions a small cache remembers.
 */
#define NUMERIC_CACHE				256

struct NumericCacheEntry
{
	uint64		key;			/* the bytes; 0: none */
	double		value;
};

void
converter_init(RatingConverter *converter, Oid type)
{
	converter->type = type;
	converter->numerics = palloc0(NUMERIC_CACHE * sizeof(NumericCacheEntry));
}

void
converter_free(RatingConverter *converter)
{
	pfree(converter->numerics);
}

static double
ConvertNumeric(RatingConverter *converter, Datum datum)
{
	NumericCacheEntry *entry = NULL;
	char		bytes[8] = {0};
	uint64		key = 0;
	Size		len;
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(datum);
	Numeric		numeric;
	double		value;

	len = VARSIZE_ANY_EXHDR(packed);
	if (len < sizeof(bytes))
	{
		memcpy(bytes, VARDATA_ANY(packed), len);
		bytes[7] = (char) (len + 1);
		memcpy(&key, bytes, sizeof(key));
		entry = &converter->numerics[(key * UINT64CONST(0x9E3779B97F4A7C15)) >> 56];
		if (entry->key == key)
			return entry->value;
	}

	numeric = DatumGetNumeric(datum);
	value = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											   NumericGetDatum(numeric)));
	if ((Pointer) numeric != DatumGetPointer(datum))
		pfree(numeric);
	if ((Pointer) packed != DatumGetPointer(datum))
		pfree(packed);
	if (entry != NULL)
	{
		entry->key = key;
		entry->value = value;
	}
	return value;
}

double
converter_value(RatingConverter *converter, Datum datum)
{
	switch (converter->type)
	{
		case INT2OID:
			return DatumGetInt16(datum);
		case INT4OID:
			return DatumGetInt32(datum);
		case INT8OID:
			return (double) DatumGetInt64(datum);
		case FLOAT4OID:
			return DatumGetFloat4(datum);
		case FLOAT8OID:
			return DatumGetFloat8(datum);
		case NUMERICOID:
			return ConvertNumeric(converter, datum);
	}
	/* Cannot happen: other types are refused when the table is checked. */
	elog(ERROR, "unexpected type of rating: %u", converter->type);
}

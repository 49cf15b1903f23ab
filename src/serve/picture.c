/*
 * picture.c: mf_map_svg() and mf_history_svg(): a model to look at.
 *
 * The map shows the entities with the most ratings. Labels are placed one by
 * one, those with more ratings first, beside, above or below their point,
 * wherever a label meets no other label and no point and stays in the frame; a
 * label that has no such place is left out. The full label of every point is
 * there as its title, which browsers show when it is pointed at.
 *
 * The history shows the error on training, beside the loss of the pairs held
 * out where there were any: they part where a model begins to learn by heart.
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "model/catalog.h"
#include "model/idsql.h"
#include "model/idtext.h"
#include "model/query.h"
#include "serve/call.h"
#include "serve/map.h"
#include "serve/svg.h"

#define MAX_POINTS 5000
#define RADIUS 3.5
#define LABEL_SIZE 11
#define LABEL_GAP 6				/* pixels from a label to the next */
#define MAP_WIDTH 1000
#define MAP_HEIGHT 760
#define HISTORY_WIDTH 800
#define HISTORY_HEIGHT 650
#define MANY_ITERATIONS 100		/* whose points would hide the line */

PG_FUNCTION_INFO_V1(mf_map_svg);
PG_FUNCTION_INFO_V1(mf_history_svg);

/* Where labels come from. */
typedef struct LabelSource
{
	const char *sql;			/* NULL: the ids are the labels */
	Oid			key_type;
	Held		held;			/* the table that has them */
} LabelSource;

/* ---- Labels ---- */

static Datum
NameOr(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (!PG_ARGISNULL(arg))
		return PG_GETARG_DATUM(arg);
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("label_col must not be null")));
	return DirectFunctionCall1(namein, CStringGetDatum(name));
}

/* The type of a column of the table of labels. */
static Oid
LabelColumnType(Held *table, const char *column)
{
	AttrNumber	attno = held_column(table, column);

	if (attno == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						column, table->name),
				 errhint("label_col is the column with the labels, label_key the one with the ids.")));
	return TupleDescAttr(RelationGetDescr(table->rel), attno - 1)->atttypid;
}

static void
CheckLabelKey(Held *table, const char *column, Oid id_type)
{
	Oid			type = LabelColumnType(table, column);

	if (!can_coerce_type(1, &type, &id_type, COERCION_IMPLICIT) &&
		!can_coerce_type(1, &id_type, &type, COERCION_IMPLICIT))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, but the ids are of type %s",
						column, table->name, format_type_be(type),
						format_type_be(id_type)),
				 errhint("Name the column with the ids as label_key.")));
}

static void
FindLabels(FunctionCallInfo fcinfo, const Model *model, MfSide which, LabelSource *labels)
{
	const ModelSide *side = &model->side[which];
	Relation	rel;
	const char *key;
	const char *column;

	memset(labels, 0, sizeof(*labels));
	labels->key_type = side->key.type;
	if (PG_ARGISNULL(2))
		return;
	column = NameStr(*DatumGetName(NameOr(fcinfo, 3, NULL)));
	key = NameStr(*DatumGetName(NameOr(fcinfo, 4, side->key.column)));
	rel = try_relation_open(PG_GETARG_OID(2), AccessShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", PG_GETARG_OID(2))));
	held_take(&labels->held, rel);
	(void) LabelColumnType(&labels->held, column);
	CheckLabelKey(&labels->held, key, side->key.type);
	labels->sql = psprintf("SELECT %s::pg_catalog.text FROM %s WHERE %s %s $1 LIMIT 1",
						   quote_identifier(pstrdup(column)), labels->held.sql,
						   sql_column(NULL, key, LabelColumnType(&labels->held, key)),
						   sql_operator(side->key.type, BTEqualStrategyNumber));
}

/* Whether the labels' table has an entity; its label, or NULL. */
static bool
FindLabel(const LabelSource *labels, Datum id, char **label)
{
	const Oid	type = TEXTOID;
	SqlQuery	query = {
		.sql = labels->sql,
		.from = &labels->held,
		.nargs = 1,
		.types = &labels->key_type,
		.values = &id,
		.ncolumns = 1,
		.columns = &type,
		.read_only = true,
		.keep = true,
	};
	Datum		value;
	bool		isnull = true;
	bool		found = query_row(&query, &value, &isnull);

	*label = NULL;
	if (!isnull)
	{
		*label = TextDatumGetCString(value);
		pfree(DatumGetPointer(value));
	}
	return found;
}

/* An entity's label, or its id where it has none. */
static char *
Label(const LabelSource *labels, Datum id)
{
	char	   *label;

	if (labels->sql != NULL && FindLabel(labels, id, &label) && label != NULL)
		return label;
	return idtext_once(labels->key_type, id);
}

/* ---- The map ---- */

static int
CompareByRatings(const void *a, const void *b)
{
	const MapPoint *left = a;
	const MapPoint *right = b;

	if (left->ratings != right->ratings)
		return left->ratings > right->ratings ? -1 : 1;
	if (left->x != right->x)
		return left->x < right->x ? -1 : 1;
	return left->y < right->y ? -1 : left->y > right->y;
}

/* Moves the first `wanted` points that the labels' table has to the front; how many. */
static uint32
KeepLabelled(const LabelSource *labels, MapPoint *points, uint32 n, uint32 wanted)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < n && kept < wanted; i++)
	{
		char	   *label;

		CHECK_FOR_INTERRUPTS();
		if (FindLabel(labels, points[i].id, &label))
			points[kept++] = points[i];
		if (label != NULL)
			pfree(label);
	}
	return kept;
}

static bool
Meets(const SvgBox *a, const SvgBox *b)
{
	return a->left < b->right && b->left < a->right && a->top < b->bottom && b->top < a->bottom;
}

/* Is the box within the panel, and clear of what is there? */
static bool
IsFree(const SvgBox *box, const SvgPanel *panel, const SvgBox *taken, int ntaken)
{
	if (box->left < panel->left + 2 || box->right > panel->right - 2 ||
		box->top < panel->top + 2 || box->bottom > panel->bottom - 2)
		return false;
	for (int i = 0; i < ntaken; i++)
		if (Meets(box, &taken[i]))
			return false;
	return true;
}

/* Draws the label of a point where there is room; its box is then taken. */
static void
PlaceLabel(StringInfo svg, const SvgPanel *panel, double x, double y, const char *label,
		   SvgBox *taken, int *ntaken)
{
	double		width = svg_width(label) + LABEL_GAP;
	double		height = LABEL_SIZE + 2;
	double		gap = RADIUS + 2.5;
	SvgBox		places[4] = {
		{x + gap, y - height / 2, x + gap + width, y + height / 2},
		{x - gap - width, y - height / 2, x - gap, y + height / 2},
		{x - width / 2, y - gap - height, x + width / 2, y - gap},
		{x - width / 2, y + gap, x + width / 2, y + gap + height},
	};
	static const char *const anchor[4] = {"start", "end", "middle", "middle"};

	for (int i = 0; i < 4; i++)
	{
		const SvgBox *box = &places[i];
		double		at = i == 0 ? box->left : i == 1 ? box->right : x;

		if (!IsFree(box, panel, taken, *ntaken))
			continue;
		svg_label(svg, at, box->bottom - 3.5, anchor[i], LABEL_SIZE, label);
		taken[(*ntaken)++] = *box;
		return;
	}
}

static void
MapRange(const MapPoint *points, uint32 n, SvgPanel *panel)
{
	for (uint32 i = 0; i < n; i++)
	{
		panel->x_min = i == 0 ? points[i].x : Min(panel->x_min, points[i].x);
		panel->x_max = i == 0 ? points[i].x : Max(panel->x_max, points[i].x);
		panel->y_min = i == 0 ? points[i].y : Min(panel->y_min, points[i].y);
		panel->y_max = i == 0 ? points[i].y : Max(panel->y_max, points[i].y);
	}
	svg_widen(&panel->x_min, &panel->x_max);
	svg_widen(&panel->y_min, &panel->y_max);
}

static void
DrawPoints(StringInfo svg, const SvgPanel *panel, const LabelSource *labels,
		   const MapPoint *points, uint32 n)
{
	SvgBox	   *taken = palloc((2 * (Size) n + 1) * sizeof(SvgBox));
	char	  **label = palloc(((Size) n + 1) * sizeof(char *));
	int			ntaken = 0;

	for (uint32 i = 0; i < n; i++)
	{
		double		x = svg_x(panel, points[i].x);
		double		y = svg_y(panel, points[i].y);

		CHECK_FOR_INTERRUPTS();
		label[i] = Label(labels, points[i].id);
		appendStringInfo(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"#2b6cb0\" fill-opacity=\"0.65\"><title>",
						 x, y, RADIUS);
		svg_text(svg, label[i]);
		appendStringInfoString(svg, "</title></circle>\n");
		taken[ntaken++] = (SvgBox) {x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS};
	}
	for (uint32 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		PlaceLabel(svg, panel, svg_x(panel, points[i].x), svg_y(panel, points[i].y),
				   svg_cut(label[i]), taken, &ntaken);
	}
}

static int
PointsArgument(FunctionCallInfo fcinfo, int arg)
{
	int			n;

	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("n must not be null")));
	n = PG_GETARG_INT32(arg);
	if (n < 1 || n > MAX_POINTS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("n is %d, outside its range of 1 to %d", n, MAX_POINTS)));
	return n;
}

static char *
MapTitle(const Model *model, MfSide side, uint32 shown, uint32 n, bool only_labelled)
{
	const char *noun = side == MF_ITEMS ? "items" : "users";

	if (shown == n)
		return psprintf("%s: %u %s", model->name, n, noun);
	if (only_labelled)
		return psprintf("%s: %u of %u %s", model->name, shown, n, noun);
	return psprintf("%s: the %u %s with the most ratings of %u", model->name, shown, noun, n);
}

/* (model, side, labels, label_col, label_key, n, only_labelled) */
Datum
mf_map_svg(PG_FUNCTION_ARGS)
{
	ServeCall  *call = serve_call(fcinfo);
	Model	   *model = serve_model(call, fcinfo, 0);
	MfSide		side = map_side(fcinfo, 1);
	int			wanted = PointsArgument(fcinfo, 5);
	SvgPanel	panel = {100, 50, MAP_WIDTH - 30, MAP_HEIGHT - 60};
	bool		only_labelled = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);
	LabelSource labels;
	StringInfoData svg;
	MapPoint   *points;
	double		share[2];
	uint32		n;
	uint32		shown;

	FindLabels(fcinfo, model, side, &labels);
	if (only_labelled && labels.sql == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("only_labelled needs labels"),
				 errhint("Name the table that has the %s to be shown.",
						 side == MF_ITEMS ? "items" : "users")));
	n = map_points(model, side, &points, share);
	shown = Min(n, (uint32) wanted);
	if (n > 0)
		qsort(points, n, sizeof(MapPoint), CompareByRatings);
	if (only_labelled)
		shown = KeepLabelled(&labels, points, n, shown);
	MapRange(points, shown, &panel);

	initStringInfo(&svg);
	svg_begin(&svg, MAP_WIDTH, MAP_HEIGHT, MapTitle(model, side, shown, n, only_labelled));
	svg_axes(&svg, &panel,
			 psprintf("first principal component (%.0f%% of the variance)", 100 * share[0]),
			 psprintf("second (%.0f%%)", 100 * share[1]));
	DrawPoints(&svg, &panel, &labels, points, shown);
	svg_end(&svg);
	held_close(&labels.held);
	serve_end(call);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(svg.data, svg.len));
}

/* ---- The history ---- */

enum
{
	CURVE_ERROR, CURVE_LOSS, CURVE_HELD_OUT, CURVES
};

static const char *const curve_name[CURVES] = {"error", "objective", "held out"};
static const char *const curve_color[CURVES] = {"#2b6cb0", "#2b6cb0", "#c05621"};

typedef struct History
{
	bool		broken;			/* an error or a loss is not a finite number */
	int			n;
	int			space;
	bool		held_out;		/* were pairs held out? */
	double	   *iteration;
	double	   *value[CURVES];
} History;

/* Keeps an iteration's row, in arrays that grow. */
static bool
TakeIteration(TupleTableSlot *slot, void *arg)
{
	History    *history = arg;
	double	   *to[CURVES + 1] = {history->iteration};

	if (history->n == history->space)
	{
		history->space *= 2;
		history->iteration = repalloc(history->iteration, history->space * sizeof(double));
		for (int k = 0; k < CURVES; k++)
			history->value[k] = repalloc(history->value[k], history->space * sizeof(double));
		to[0] = history->iteration;
	}
	memcpy(&to[1], history->value, sizeof(history->value));
	for (int k = 0; k <= CURVES; k++)
	{
		to[k][history->n] = slot->tts_isnull[k] ? 0 : DatumGetFloat8(slot->tts_values[k]);
		if (!slot->tts_isnull[k] && isfinite(to[k][history->n]))
			continue;
		history->broken |= k < CURVES;
		history->held_out = false;
	}
	history->n++;
	return true;
}

static void
ReadHistory(const Model *model, History *history)
{
	const Oid	types[] = {TEXTOID, TEXTOID};
	const Oid	columns[] = {FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID};
	Datum		values[2];
	Held		table;
	SqlQuery	query = {
		.from = &table,
		.nargs = lengthof(types),
		.types = types,
		.values = values,
		.ncolumns = lengthof(columns),
		.columns = columns,
		.read_only = true,
	};

	values[0] = CStringGetTextDatum(model->schema_name);
	values[1] = CStringGetTextDatum(model->name);
	history->broken = false;
	history->n = 0;
	history->space = 64;
	history->held_out = true;
	history->iteration = palloc(history->space * sizeof(double));
	for (int k = 0; k < CURVES; k++)
		history->value[k] = palloc(history->space * sizeof(double));
	held_take(&table, table_open(catalog_relid(model->extension_schema, "mf_history"),
								 AccessShareLock));
	query.sql = psprintf("SELECT iteration::pg_catalog.float8, error::pg_catalog.float8, "
						 "objective::pg_catalog.float8, held_out_loss::pg_catalog.float8 FROM %s "
						 "WHERE schema OPERATOR(pg_catalog.=) $1 AND model OPERATOR(pg_catalog.=) $2 "
						 "ORDER BY iteration", table.sql);
	query_receive(&query, TakeIteration, history);
	held_close(&table);
	if (history->broken)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mf_history has an error or a loss of model \"%s\" that is not finite",
						quote_qualified_identifier(model->schema_name, model->name)),
				 errhint("Train the model again.")));
	history->held_out &= history->n > 0;
}

/* Takes a curve into the range of a panel. */
static void
CurveRange(const History *history, int which, SvgPanel *panel)
{
	for (int i = 0; i < history->n; i++)
	{
		panel->y_min = Min(panel->y_min, history->value[which][i]);
		panel->y_max = Max(panel->y_max, history->value[which][i]);
	}
}

static void
DrawCurve(StringInfo svg, const History *history, int which, const SvgPanel *panel)
{
	const double *value = history->value[which];

	appendStringInfo(svg, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"",
					 curve_color[which]);
	for (int i = 0; i < history->n; i++)
		appendStringInfo(svg, "%s%.1f,%.1f", i > 0 ? " " : "",
						 svg_x(panel, history->iteration[i]), svg_y(panel, value[i]));
	appendStringInfoString(svg, "\"/>\n");
	for (int i = 0; i < history->n; i++)
		appendStringInfo(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\"><title>%s %d: %.6g</title></circle>\n",
						 svg_x(panel, history->iteration[i]), svg_y(panel, value[i]),
						 history->n > MANY_ITERATIONS ? 1 : 3, curve_color[which],
						 curve_name[which], (int) history->iteration[i], value[i]);
}

/* Which curve is which, and a line where the one of what was held out is least. */
static void
DrawHeldOut(StringInfo svg, const History *history, const SvgPanel *panel)
{
	static const int shown[] = {CURVE_ERROR, CURVE_HELD_OUT};
	const double *value = history->value[CURVE_HELD_OUT];
	int			best = 0;
	double		x;

	for (int i = 1; i < history->n; i++)
		if (value[i] < value[best])
			best = i;
	x = svg_x(panel, history->iteration[best]);
	appendStringInfo(svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-dasharray=\"4 4\"/>\n",
					 x, panel->top, x, panel->bottom, curve_color[CURVE_HELD_OUT]);
	DrawCurve(svg, history, CURVE_HELD_OUT, panel);

	x = panel->left;
	for (int k = 0; k < lengthof(shown); k++)
	{
		const char *label = k == 0 ? curve_name[CURVE_ERROR] :
			psprintf("%s, least after iteration %d", curve_name[CURVE_HELD_OUT],
					 (int) history->iteration[best]);

		appendStringInfo(svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\"/>\n",
						 x, panel->top - 10, x + 20, panel->top - 10, curve_color[shown[k]]);
		svg_label(svg, x + 26, panel->top - 6, "start", 12, label);
		x += 26 + svg_width(label) + 20;
	}
}

static void
DrawPanel(StringInfo svg, const History *history, int which, SvgPanel *panel, const char *x_name)
{
	bool		held_out = which == CURVE_ERROR && history->held_out;

	panel->x_min = history->n > 0 ? history->iteration[0] : 0;
	panel->x_max = history->n > 0 ? history->iteration[history->n - 1] : 1;
	panel->y_min = panel->y_max = history->n > 0 ? history->value[which][0] : 0;
	CurveRange(history, which, panel);
	if (held_out)
		CurveRange(history, CURVE_HELD_OUT, panel);
	svg_widen(&panel->x_min, &panel->x_max);
	svg_widen(&panel->y_min, &panel->y_max);
	panel->x_integer = true;
	svg_axes(svg, panel, x_name, held_out ? "error, held-out loss" : curve_name[which]);
	DrawCurve(svg, history, which, panel);
	if (held_out)
		DrawHeldOut(svg, history, panel);
}

/* (model) */
Datum
mf_history_svg(PG_FUNCTION_ARGS)
{
	ServeCall  *call = serve_call(fcinfo);
	Model	   *model = serve_model(call, fcinfo, 0);
	SvgPanel	above = {100, 65, HISTORY_WIDTH - 30, 310};
	SvgPanel	below = {100, 350, HISTORY_WIDTH - 30, HISTORY_HEIGHT - 55};
	History		history;
	StringInfoData svg;

	ReadHistory(model, &history);
	initStringInfo(&svg);
	svg_begin(&svg, HISTORY_WIDTH, HISTORY_HEIGHT, psprintf("%s: training", model->name));
	DrawPanel(&svg, &history, CURVE_ERROR, &above, "");
	DrawPanel(&svg, &history, CURVE_LOSS, &below, "iteration");
	svg_end(&svg);
	serve_end(call);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(svg.data, svg.len));
}

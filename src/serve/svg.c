/*
 * svg.c: a small vocabulary for pictures in SVG.
 *
 * What a picture needs is little, and a library for it would be one more thing
 * to install on a database server. Widths of text are estimated, on the wide
 * side, since who will draw it with which fonts is not known here.
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"

#include "compat.h"
#include "serve/svg.h"

#define LABEL_CELLS 26			/* longer labels are cut */
#define CELL_WIDTH 7.1			/* pixels a character takes at LABEL_SIZE */
#define TICKS_WANTED 6

void
svg_begin(StringInfo svg, int width, int height, const char *title)
{
	appendStringInfo(svg,
					 "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
					 "font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n"
					 "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
					 width, height, width, height);
	svg_label(svg, width / 2.0, 26, "middle", 16, title);
}

void
svg_end(StringInfo svg)
{
	appendStringInfoString(svg, "</svg>\n");
}

void
svg_widen(double *min, double *max)
{
	double		range = *max - *min;

	/* One value, or nothing at all, still needs a range. */
	if (!(range > 1e-12 * Max(fabs(*min), fabs(*max))))
		range = Max(fabs(*min), 1) * 0.1;
	*min -= range * 0.05;
	*max += range * 0.05;
}

double
svg_x(const SvgPanel *panel, double x)
{
	return panel->left + (x - panel->x_min) / (panel->x_max - panel->x_min) *
		(panel->right - panel->left);
}

double
svg_y(const SvgPanel *panel, double y)
{
	return panel->bottom - (y - panel->y_min) / (panel->y_max - panel->y_min) *
		(panel->bottom - panel->top);
}

/* ---- Text ---- */

/* Is this a character that XML does not admit even by its number? */
static bool
IsForbidden(const char *text, int length)
{
	if (length == 1)
		return (unsigned char) *text < ' ' || *text == '\177';

	/* U+FFFE and U+FFFF */
	return GetDatabaseEncoding() == PG_UTF8 && length == 3 &&
		memcmp(text, "\xef\xbf", 2) == 0 && (unsigned char) text[2] >= 0xbe;
}

void
svg_text(StringInfo svg, const char *text)
{
	while (*text != '\0')
	{
		int			length = pg_mblen(text);

		if (IsForbidden(text, length))
			appendStringInfoChar(svg, ' ');
		else if (length > 1)
			appendBinaryStringInfo(svg, text, length);
		else if (*text == '&')
			appendStringInfoString(svg, "&amp;");
		else if (*text == '<')
			appendStringInfoString(svg, "&lt;");
		else if (*text == '>')
			appendStringInfoString(svg, "&gt;");
		else if (*text == '"')
			appendStringInfoString(svg, "&quot;");
		else
			appendStringInfoChar(svg, *text);
		text += length;
	}
}

/* Cells of a terminal are the best guess there is at how wide a text will be. */
static int
Cells(const char *text)
{
	int			cells = 0;

	for (; *text != '\0'; text += pg_mblen(text))
		cells += Max(pg_dsplen(text), 0);
	return cells;
}

char *
svg_cut(const char *label)
{
	StringInfoData cut;
	int			cells = 0;

	if (Cells(label) <= LABEL_CELLS)
		return pstrdup(label);
	initStringInfo(&cut);
	while (cells < LABEL_CELLS - 3)
	{
		appendBinaryStringInfo(&cut, label, pg_mblen(label));
		cells += Max(pg_dsplen(label), 0);
		label += pg_mblen(label);
	}
	while (cut.len > 0 && cut.data[cut.len - 1] == ' ')
		cut.data[--cut.len] = '\0';
	appendStringInfoString(&cut, "...");
	return cut.data;
}

double
svg_width(const char *label)
{
	return Cells(label) * CELL_WIDTH;
}

void
svg_label(StringInfo svg, double x, double y, const char *anchor, int size, const char *label)
{
	appendStringInfo(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%d\" fill=\"#222\">",
					 x, y, anchor, size);
	svg_text(svg, label);
	appendStringInfoString(svg, "</text>\n");
}

/* ---- Axes ---- */

/* A step of 1, 2 or 5 times a power of ten that gives about TICKS_WANTED. */
static double
TickStep(double min, double max, bool integer)
{
	double		rough = (max - min) / TICKS_WANTED;
	double		power = pow(10, floor(log10(rough)));
	double		step;

	if (rough / power < 1.5)
		step = power;
	else if (rough / power < 3.5)
		step = 2 * power;
	else if (rough / power < 7.5)
		step = 5 * power;
	else
		step = 10 * power;
	return integer ? Max(ceil(step), 1) : step;
}

/* As many digits as tell one tick from the next, and alike for all of an axis. */
static const char *
TickText(double value, double step, double largest)
{
	int			power = (int) floor(log10(step) + 1e-9);
	int			digits = (int) floor(log10(largest)) - power + 1;

	if (fabs(value) < step / 1000)
		return "0";
	if (largest < 1e7 && power >= -6)
		return psprintf("%.*f", Max(-power, 0), value);
	return psprintf("%.*g", Max(digits, 3), value);
}

static void
Line(StringInfo svg, double x1, double y1, double x2, double y2)
{
	appendStringInfo(svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#e4e4e4\"/>\n",
					 x1, y1, x2, y2);
}

void
svg_axes(StringInfo svg, const SvgPanel *panel, const char *x_name, const char *y_name)
{
	double		step = TickStep(panel->x_min, panel->x_max, panel->x_integer);
	double		largest = Max(fabs(panel->x_min), fabs(panel->x_max));
	double		middle = (panel->top + panel->bottom) / 2;
	int			tick;

	for (tick = 0; (ceil(panel->x_min / step) + tick) * step <= panel->x_max; tick++)
	{
		double		value = (ceil(panel->x_min / step) + tick) * step;
		double		x = svg_x(panel, value);

		/* What is counted begins with 1, even where the panel has a margin. */
		if (panel->x_integer && value < 1)
			continue;
		Line(svg, x, panel->top, x, panel->bottom);
		svg_label(svg, x, panel->bottom + 17, "middle", 12, TickText(value, step, largest));
	}

	step = TickStep(panel->y_min, panel->y_max, false);
	largest = Max(fabs(panel->y_min), fabs(panel->y_max));
	for (tick = 0; (ceil(panel->y_min / step) + tick) * step <= panel->y_max; tick++)
	{
		double		value = (ceil(panel->y_min / step) + tick) * step;
		double		y = svg_y(panel, value);

		Line(svg, panel->left, y, panel->right, y);
		svg_label(svg, panel->left - 8, y + 4, "end", 12, TickText(value, step, largest));
	}
	appendStringInfo(svg, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#888\"/>\n",
					 panel->left, panel->top, panel->right - panel->left, panel->bottom - panel->top);

	svg_label(svg, (panel->left + panel->right) / 2, panel->bottom + 38, "middle", 13, x_name);
	appendStringInfo(svg, "<g transform=\"translate(%.1f %.1f) rotate(-90)\">",
					 panel->left - 84, middle);
	svg_label(svg, 0, 0, "middle", 13, y_name);
	appendStringInfoString(svg, "</g>\n");
}

/*
 * svg.h: a small vocabulary for pictures in SVG: a panel with axes, points,
 * lines, and labels where there is room for them.
 */
#ifndef FACTOR_SVG_H
#define FACTOR_SVG_H

#include "lib/stringinfo.h"

/* A rectangle with axes: pixels, and the data's range along each. */
typedef struct SvgPanel
{
	double		left;
	double		top;
	double		right;
	double		bottom;
	double		x_min;
	double		x_max;
	double		y_min;
	double		y_max;
	bool		x_integer;		/* ticks at whole numbers from 1 only */
} SvgPanel;

typedef struct SvgBox
{
	double		left;
	double		top;
	double		right;
	double		bottom;
} SvgBox;

extern void svg_begin(StringInfo svg, int width, int height, const char *title);
extern void svg_end(StringInfo svg);

/* Widens a range a little, so that nothing lies on the frame. */
extern void svg_widen(double *min, double *max);

/* Frame, grid, ticks, and the names of the axes. */
extern void svg_axes(StringInfo svg, const SvgPanel *panel, const char *x_name,
					 const char *y_name);

extern double svg_x(const SvgPanel *panel, double x);
extern double svg_y(const SvgPanel *panel, double y);

/* Text as XML needs it: escaped, without control characters. */
extern void svg_text(StringInfo svg, const char *text);

/* The label, cut to a length that can be read at a glance. */
extern char *svg_cut(const char *label);

/* About how many pixels wide a label is. */
extern double svg_width(const char *label);

extern void svg_label(StringInfo svg, double x, double y, const char *anchor, int size,
					  const char *label);

#endif							/* FACTOR_SVG_H */

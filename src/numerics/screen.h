/*
 * screen.h: which rows of a block may reach a score, for many queries, from
 * 8-bit codes of both.
 *
 * Rows come in blocks of 64. A row x is near A c, where the bytes c_k lie in
 * -127 .. 127 and A, the block's scale, is one for all of its rows; a query q is
 * near B d likewise, with a scale of its own. With W >= |x - A c| for all rows of
 * the block and V >= |q - B d|, both measured, Cauchy and Schwarz give
 *
 *	 q . x  <=	A B (d . c) + V (|x| + W) + |q| W
 *
 * so that a row can reach a score s only where the integer d . c is at least
 *
 *	 (s - V (X + W) - |q| W) / (A B),			X >= |x| for all rows of the block
 *
 * which is one number for a query and a block. A screen compares the integers
 * with it and leaves a bit for each row. What passes is for the caller to
 * compute exactly; what does not pass is certain.
 *
 * The bytes of a block: byte of row i, element k is (k / 4 * 64 + i) * 4 + k % 4,
 * so that one load brings four elements of 16 rows (see codes.h). A byte holds
 * c + 128; rows and elements that are not there are 128, that is, zero.
 */
#ifndef FACTOR_SCREEN_H
#define FACTOR_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCREEN_ROWS 64			/* of a block: a mask has a bit for each */
#define SCREEN_MAX_LENGTH 8000	/* d . c stays far from 32 bits' end */
#define SCREEN_MAX_QUERIES 128	/* to one screen */
#define SCREEN_MAX_NORM 1e15	/* of rows and of queries */

/* A block of rows: what all of its rows have in common. */
typedef struct ScreenBlock
{
	double		inverse;		/* 1 / A */
	double		norm;			/* X */
	double		error;			/* W, and room for all roundings */
} ScreenBlock;

/* The queries of a screen, each array with room for SCREEN_MAX_QUERIES. */
typedef struct ScreenQueries
{
	size_t		length;
	int8_t	   *digits;			/* screen_bytes(length) for each query */
	double	   *inverse;		/* 1 / B */
	double	   *norm;			/* |q| */
	double	   *error;			/* V, and room for all roundings */
	double	   *offset;			/* 128 sum d_k */
	double	   *least;			/* the caller's: the score to reach */
} ScreenQueries;

/* Bytes of a code: its length, to a multiple of 4. */
static inline size_t
screen_bytes(size_t length)
{
	return (length + 3) / 4 * 4;
}

/*
 * Codes up to SCREEN_ROWS rows, `stride` floats apart, with norms of at most
 * SCREEN_MAX_NORM, into SCREEN_ROWS * screen_bytes(length) bytes, aligned to 64.
 */
extern void screen_code_block(const float *rows, size_t stride, size_t n, size_t length,
							  uint8_t *bytes, ScreenBlock *block);

/* Codes a query, of such a norm too, into a place. */
extern void screen_code_query(const float *query, const ScreenQueries *queries, size_t place);

/*
 * Sets bit i of mask[q] where row i of the block may reach least[q] by its
 * product with query q as vector_dot() gives it; rows that are not there are
 * zero vectors. -INFINITY lets all rows pass.
 */
extern void screen_rows(const ScreenQueries *queries, size_t n, const ScreenBlock *block,
						const uint8_t *bytes, uint64_t *mask);

/* Instruction sets; all give the same bits. The rest is for tests. */
typedef enum ScreenIsa
{
	SCREEN_PLAIN,				/* the reference: plain loops */
	SCREEN_AVX2,
	SCREEN_AVX512_VNNI
} ScreenIsa;

#define SCREEN_ISAS 3

extern bool screen_isa_supported(ScreenIsa isa);
extern void screen_rows_isa(ScreenIsa isa, const ScreenQueries *queries, size_t n,
							const ScreenBlock *block, const uint8_t *bytes, uint64_t *mask);

#endif							/* FACTOR_SCREEN_H */

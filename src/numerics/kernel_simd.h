/*
 * kernel_simd.h: the kernel as vector code, a template.
 *
 * A file that includes this is one kernel. Before, it defines
 *
 *	 LANES			floats in a vector: 4, 8 or 16
 *	 TILE_ROWS, TILE_COLS	a register tile, in rows and vectors
 *	 TARGET			the function attribute that admits the instructions
 *	 KERNEL, NAME	the table's C name and its name as text
 *	 BROADCAST(x), FMA(a, b, c) = a b + c, FNMA(a, b, c) = c - a b, SQRT(a)
 *
 *	 HALVES			optionally, with BROADCAST_HALF and FMA_HALF on vectors
 *					of half the size
 *	 SOLVE_SMALL, SOLVE_SMALL_BY	optionally, up to which d another solves
 *
 * Everything else is GCC's vector extension, which clang has too.
 *
 * The sum of outer products (syrk). A tile of the result stays in registers
 * while a whole panel passes: each row of it gives TILE_ROWS broadcast values
 * and TILE_COLS vectors, hence TILE_ROWS * TILE_COLS multiply-adds, from two
 * stretches of the same row, so the panel needs no packing and no transposed
 * copy. Only tiles that touch the upper triangle are formed. Between tiles the
 * rows that the next panel will want are fetched into the second-level cache,
 * which hides most of their latency: 70 down to 62 ns an entry where they come
 * from 35 MB, 59 to 54 from 7 MB (d = 64, measured on a busy machine).
 *
 * The factorisation A = U^T U. Rows are taken LANES at a time. What the rows
 * above take out of them is again a sum of outer products, with a minus sign:
 * the same tiles, U being the panel. Within the block of rows the square on
 * the diagonal is factored in registers, in the root-free form, because there
 * the chain from pivot to pivot decides: a division and two multiply-adds
 * rather than those and a square root. Then all pivots' roots are taken at
 * once. The right-hand side and the border ride along as two more rows, so
 * that the forward substitution costs no pass of its own.
 */
#include <float.h>
#include <string.h>

#include "numerics/kernel.h"

#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float Vec __attribute__((vector_size(4 * LANES), may_alias));
#ifdef HALVES
typedef float HalfVec __attribute__((vector_size(2 * LANES), may_alias));
#endif

INLINE Vec
Load(const float *x)
{
	return *(const Vec *) x;
}

INLINE void
Store(float *x, Vec v)
{
	*(Vec *) x = v;
}

/* The sum of a vector's lanes, pairwise. */
INLINE float
AddLanes(Vec v)
{
	float		lane[LANES];

	memcpy(lane, &v, sizeof(v));
	for (int half = LANES / 2; half > 0; half /= 2)
		for (int l = 0; l < half; l++)
			lane[l] += lane[l + half];
	return lane[0];
}

/*
 * c += or -= a^T b over n rows, for `rows` values of a and `cols` vectors of
 * b; rows and cols are constants where this is inlined.
 */
INLINE void
Tile(float *c, size_t ldc, const float *a, const float *b, size_t stride,
	 size_t n, bool subtract, const int rows, const int cols)
{
	Vec			acc[TILE_ROWS][TILE_COLS];

#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int v = 0; v < cols; v++)
			acc[r][v] = Load(c + r * ldc + v * LANES);

	for (size_t k = 0; k < n; k++)
	{
		Vec			bv[TILE_COLS];

#pragma GCC unroll 16
		for (int v = 0; v < cols; v++)
			bv[v] = Load(b + v * LANES);
#pragma GCC unroll 16
		for (int r = 0; r < rows; r++)
		{
			Vec			av = BROADCAST(a[r]);

#pragma GCC unroll 16
			for (int v = 0; v < cols; v++)
				acc[r][v] = subtract ? FNMA(av, bv[v], acc[r][v])
					: FMA(av, bv[v], acc[r][v]);
		}
		a += stride;
		b += stride;
	}

#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
		for (int v = 0; v < cols; v++)
			Store(c + r * ldc + v * LANES, acc[r][v]);
}

/* Rows i .. i + TILE_ROWS - 1, columns j .. d - 1 of a += or -= panel's. */
INLINE void
TileStrip(float *a, size_t stride, size_t i, size_t j, size_t d,
		  const float *panel, size_t n, bool subtract)
{
	while (j < d)
	{
		size_t		left = (d - j) / LANES;
		size_t		cols = left < TILE_COLS ? left : TILE_COLS;
		float	   *c = a + i * stride + j;

#if TILE_COLS > 2
		if (left == 4)
			cols = 2;			/* 2 + 2 runs better than 3 + 1 */
#endif
		switch (cols)
		{
#if TILE_COLS > 2
			case 3:
				Tile(c, stride, panel + i, panel + j, stride, n, subtract,
					 TILE_ROWS, 3);
				break;
#endif
			case 2:
				Tile(c, stride, panel + i, panel + j, stride, n, subtract,
					 TILE_ROWS, 2);
				break;
			default:
				Tile(c, stride, panel + i, panel + j, stride, n, subtract,
					 TILE_ROWS, 1);
				break;
		}
		j += cols * LANES;
	}
}

/* Asks for rows [from, to) of those ahead, into the second-level cache. */
INLINE void
FetchAhead(const KernelAhead *ahead, size_t from, size_t to)
{
	for (size_t k = from; k < to; k++)
	{
		const float *row = ahead->rows + ahead->entries[k].index * ahead->stride;

		for (size_t j = 0; j < ahead->stride; j += 16)
			__builtin_prefetch(row + j, 0, 2);
	}
}

#ifdef HALVES
/* The half of a square on the diagonal that lies below its first half. */
INLINE void
HalfTile(float *c, size_t ldc, const float *x, size_t stride, size_t n)
{
	HalfVec		acc[LANES / 2];

#pragma GCC unroll 16
	for (int r = 0; r < LANES / 2; r++)
		acc[r] = *(HalfVec *) (c + r * ldc);
	for (size_t k = 0; k < n; k++)
	{
		HalfVec		xv = *(const HalfVec *) x;

#pragma GCC unroll 16
		for (int r = 0; r < LANES / 2; r++)
			acc[r] = FMA_HALF(BROADCAST_HALF(x[r]), xv, acc[r]);
		x += stride;
	}
#pragma GCC unroll 16
	for (int r = 0; r < LANES / 2; r++)
		*(HalfVec *) (c + r * ldc) = acc[r];
}
#endif

TARGET static void
SyrkSimd(float *a, size_t stride, size_t d, const float *panel, size_t n,
		 const KernelAhead *ahead)
{
	for (size_t i = 0; i < d; i += TILE_ROWS)
	{
		if (ahead != NULL)
			FetchAhead(ahead, ahead->n * i / d, ahead->n * (i + TILE_ROWS) / d);
#ifdef HALVES
		if (i % LANES != 0)
		{
			HalfTile(a + i * stride + i, stride, panel + i, stride, n);
			TileStrip(a, stride, i, i + LANES / 2, d, panel, n, false);
			continue;
		}
#endif
		TileStrip(a, stride, i, i - i % LANES, d, panel, n, false);
	}
}

/* ---- Gathering ---- */

#define GATHER_COLS 4			/* vectors of a row taken together */
#define PREFETCH_AHEAD 4		/* entries, from the second-level cache */

INLINE void
Prefetch(const float *row, size_t nbytes)
{
	for (size_t at = 0; at < nbytes; at += 64)
		__builtin_prefetch((const char *) row + at);
}

/* Columns j .. j + cols * LANES - 1 of what KernelGather asks for. */
INLINE void
GatherStrip(const KernelGather *g, size_t j, bool scaled, bool bordered,
			const int cols)
{
	Vec			rhs[GATHER_COLS];
	Vec			border[GATHER_COLS];

#pragma GCC unroll 4
	for (int v = 0; v < cols; v++)
	{
		rhs[v] = Load(g->rhs + j + v * LANES);
		if (bordered)
			border[v] = Load(g->border + j + v * LANES);
	}

	for (size_t k = 0; k < g->n; k++)
	{
		const float *row = g->rows + g->entries[k].index * g->stride + j;
		float	   *out = g->panel + k * g->stride + j;
		Vec			target = BROADCAST(g->target[k]);

		if (k + PREFETCH_AHEAD < g->n)
			Prefetch(g->rows +
					 g->entries[k + PREFETCH_AHEAD].index * g->stride + j,
					 cols * sizeof(Vec));
#pragma GCC unroll 4
		for (int v = 0; v < cols; v++)
		{
			Vec			x = Load(row + v * LANES);

			if (scaled)
				x *= BROADCAST(g->scale[k]);
			Store(out + v * LANES, x);
			rhs[v] = FMA(target, x, rhs[v]);
			if (bordered)
				border[v] += x;
		}
	}

#pragma GCC unroll 4
	for (int v = 0; v < cols; v++)
	{
		Store(g->rhs + j + v * LANES, rhs[v]);
		if (bordered)
			Store(g->border + j + v * LANES, border[v]);
	}
}

INLINE void
GatherAll(const KernelGather *g, bool scaled, bool bordered)
{
	size_t		j = 0;

	for (; j + GATHER_COLS * LANES <= g->d; j += GATHER_COLS * LANES)
		GatherStrip(g, j, scaled, bordered, GATHER_COLS);
	for (; j < g->d; j += LANES)
		GatherStrip(g, j, scaled, bordered, 1);
}

TARGET static void
GatherSimd(const KernelGather *g)
{
	if (g->scale != NULL)
		GatherAll(g, true, false);
	else if (g->border != NULL)
		GatherAll(g, false, true);
	else
		GatherAll(g, false, false);
}

/* ---- Solving ---- */

/*
 * Factors the square of LANES rows on the diagonal in registers. On return
 * `factor` holds what the rows of the block must take out of one another in
 * the other columns, M_ri = A_ri / A_rr; the square itself has the unscaled
 * rows, and the right-hand sides' values are as they stood when their row was
 * the pivot.
 */
INLINE void
FactorSquare(float *a, size_t stride, float *rhs, float *border, float *factor,
			 bool bordered)
{
	Vec			u[LANES];
	Vec			y = Load(rhs);
	Vec			z = bordered ? Load(border) : y;
	float		forward[LANES] __attribute__((aligned(64)));
	float		forward_z[LANES] __attribute__((aligned(64)));

#pragma GCC unroll 16
	for (int r = 0; r < LANES; r++)
		u[r] = Load(a + r * stride);

#pragma GCC unroll 16
	for (int r = 0; r < LANES; r++)
	{
		float	   *row = a + r * stride;
		Vec			scaled;

		Store(row, u[r]);
		Store(forward, y);
		scaled = u[r] * BROADCAST(1.0f / row[r]);
		Store(factor + r * LANES, scaled);
#pragma GCC unroll 16
		for (int i = r + 1; i < LANES; i++)
			u[i] = FNMA(BROADCAST(row[i]), scaled, u[i]);
		rhs[r] = forward[r];
		y = FNMA(BROADCAST(forward[r]), scaled, y);
		if (bordered)
		{
			Store(forward_z, z);
			border[r] = forward_z[r];
			z = FNMA(BROADCAST(forward_z[r]), scaled, z);
		}
	}
}

/* The same elimination in another vector of columns, then the scaling. */
INLINE void
FactorColumn(float *a, size_t stride, const float *factor, const float *inverse,
			 float *rhs, const float *y, float *border, const float *z,
			 bool bordered)
{
	Vec			u[LANES];
	Vec			right = Load(rhs);
	Vec			right_z = bordered ? Load(border) : right;

#pragma GCC unroll 16
	for (int r = 0; r < LANES; r++)
		u[r] = Load(a + r * stride);
#pragma GCC unroll 16
	for (int r = 0; r < LANES; r++)
	{
#pragma GCC unroll 16
		for (int i = r + 1; i < LANES; i++)
			u[i] = FNMA(BROADCAST(factor[r * LANES + i]), u[r], u[i]);
		u[r] *= BROADCAST(inverse[r]);
		Store(a + r * stride, u[r]);
		right = FNMA(BROADCAST(y[r]), u[r], right);
		if (bordered)
			right_z = FNMA(BROADCAST(z[r]), u[r], right_z);
	}
	Store(rhs, right);
	if (bordered)
		Store(border, right_z);
}

/*
 * a becomes U, rhs and border U^-T times themselves, inverse 1 / U_kk. False
 * where a pivot is not above d units of rounding of its diagonal element.
 */
INLINE bool
Factor(KernelSystem *s, float *inverse, bool bordered)
{
	float		factor[LANES * LANES] __attribute__((aligned(64)));
	size_t		stride = s->stride;

	for (size_t i = 0; i < s->d; i += LANES)
	{
		float	   *square = s->a + i * stride + i;
		float		floor[LANES];

		if (s->poll != NULL && i % 256 == 0 && i > 0)
			s->poll(s->arg);
		for (int l = 0; l < LANES; l++)
			floor[l] = square[l * stride + l] * (FLT_EPSILON * s->d);
		for (int r = 0; r < LANES; r += TILE_ROWS)
			TileStrip(s->a, stride, i + r, i, s->d, s->a, i, true);

		FactorSquare(square, stride, s->rhs + i,
					 bordered ? s->border + i : NULL, factor, bordered);

		for (int l = 0; l < LANES; l++)
		{
			inverse[i + l] = square[l * stride + l];
			if (!(inverse[i + l] > floor[l]))
				return false;
		}
		Store(inverse + i, BROADCAST(1.0f) / SQRT(Load(inverse + i)));

		/* Scale the square and the solved parts of the right-hand sides. */
		for (int l = 0; l < LANES; l++)
			Store(square + l * stride,
				  Load(square + l * stride) * BROADCAST(inverse[i + l]));
		Store(s->rhs + i, Load(s->rhs + i) * Load(inverse + i));
		if (bordered)
			Store(s->border + i, Load(s->border + i) * Load(inverse + i));

		for (size_t j = i + LANES; j < s->d; j += LANES)
			FactorColumn(s->a + i * stride + j, stride, factor, inverse + i,
						 s->rhs + j, s->rhs + i,
						 bordered ? s->border + j : NULL,
						 bordered ? s->border + i : NULL, bordered);
	}
	return true;
}

/* x := U^-1 x. Vectors above the squares, scalars within. */
INLINE void
SubstituteBack(const float *u, size_t stride, size_t d, const float *inverse,
			   float *x)
{
	for (size_t i = d; i > 0;)
	{
		i -= LANES;
		if (i + LANES < d)
			for (int r = 0; r < LANES; r++)
			{
				const float *row = u + (i + r) * stride;
				Vec			sum = Load(row + i + LANES) * Load(x + i + LANES);

				for (size_t j = i + 2 * LANES; j < d; j += LANES)
					sum = FMA(Load(row + j), Load(x + j), sum);
				x[i + r] -= AddLanes(sum);
			}
#pragma GCC unroll 16
		for (int k = LANES - 1; k >= 0; k--)
		{
			x[i + k] *= inverse[i + k];
#pragma GCC unroll 16
			for (int r = 0; r < k; r++)
				x[i + r] -= u[(i + r) * stride + i + k] * x[i + k];
		}
	}
}

TARGET static bool
SolveSimd(KernelSystem *s)
{
	float	   *inverse = s->scratch;

#ifdef SOLVE_SMALL
	if (s->d <= SOLVE_SMALL)
		return SOLVE_SMALL_BY(s);
#endif
	if (s->border != NULL)
	{
		if (!Factor(s, inverse, true) || !kernel_solve_corner(s))
			return false;
	}
	else if (!Factor(s, inverse, false))
		return false;
	SubstituteBack(s->a, s->stride, s->d, inverse, s->rhs);
	return true;
}

TARGET static void
MultiplySimd(const float *panel, size_t stride, size_t d, size_t n,
			 const float *x, float *product)
{
	for (size_t k = 0; k < n; k++)
	{
		const float *row = panel + k * stride;
		Vec			sum = Load(row) * Load(x);

		for (size_t j = LANES; j < d; j += LANES)
			sum = FMA(Load(row + j), Load(x + j), sum);
		product[k] = AddLanes(sum);
	}
}

const Kernel KERNEL = {
	.name = NAME,
	.gather = GatherSimd,
	.syrk = SyrkSimd,
	.solve = SolveSimd,
	.multiply = MultiplySimd,
};

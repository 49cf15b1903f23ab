/*
 * vectors.c: random vectors for test/bench/topk.sh, one COPY line each: a number
 * from 1 and an array of reals.
 *
 * Directions are uniform; norms are log-normal.
 *
 * Usage: vectors COUNT LENGTH SIGMA SEED
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state;

/* splitmix64, in (0, 1) */
static double
Uniform(void)
{
	uint64_t	z = (state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	z ^= z >> 31;
	return ((double) (z >> 11) + 0.5) * 0x1p-53;
}

static double
Normal(void)
{
	return sqrt(-2.0 * log(Uniform())) * cos(2.0 * M_PI * Uniform());
}

int
main(int argc, char **argv)
{
	long		count;
	int			length;
	double		sigma;
	double	   *x;

	if (argc != 5)
	{
		fprintf(stderr, "usage: %s count length sigma seed\n", argv[0]);
		return 2;
	}
	count = atol(argv[1]);
	length = atoi(argv[2]);
	sigma = atof(argv[3]);
	state = strtoull(argv[4], NULL, 10);
	x = malloc(length * sizeof(double));

	for (long i = 1; i <= count; i++)
	{
		double		squares = 0.0;
		double		scale;

		for (int k = 0; k < length; k++)
		{
			x[k] = Normal();
			squares += x[k] * x[k];
		}
		scale = exp(sigma * Normal()) / sqrt(squares);
		printf("%ld\t{", i);
		for (int k = 0; k < length; k++)
			printf("%s%.7g", k > 0 ? "," : "", x[k] * scale);
		printf("}\n");
	}
	return 0;
}

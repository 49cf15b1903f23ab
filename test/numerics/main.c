/*
 * main.c: runs the tests of the numerics; see check.h for what they share.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

#include "check.h"

static int	passed = 0;
static int	failed = 0;
static uint64_t state = 1;

void
check(bool good, const char *words,...)
{
	va_list		args;

	if (good)
		passed++;
	else
		failed++;
	printf(good ? "ok      " : "not ok  ");
	va_start(args, words);
	vprintf(words, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

void
random_seed(const char *what, uint64_t seed)
{
	printf("# %s: seed %llu\n", what, (unsigned long long) seed);
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

double
random_uniform(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (double) (state >> 11) * 0x1.0p-53;
}

size_t
random_below(size_t n)
{
	return (size_t) (random_uniform() * (double) n);
}

float
random_normal(void)
{
	double		sum = 0.0;

	for (int k = 0; k < 12; k++)
		sum += random_uniform();
	return (float) (sum - 6.0);
}

void *
allocate(size_t size)
{
	void	   *memory = NULL;

	size = (size + 63) / 64 * 64 + 64;
	if (posix_memalign(&memory, 64, size) != 0)
	{
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	memset(memory, 0, size);
	return memory;
}

bool
same_bytes(const void *a, const void *b, size_t size)
{
	return memcmp(a, b, size) == 0;
}

int
main(void)
{
	test_blas();				/* first, while nothing has made a thread */
	test_kernels();
	test_als();
	test_als_limits();
	test_rest();
	test_eigen();
	test_codes();
	test_judge();
	test_foldin();
	test_screen();
	test_topall();
	test_normal();
	test_losses();
	test_sgd();
	printf("%d passed, %d failed\n", passed, failed);
	return failed == 0 ? 0 : 1;
}

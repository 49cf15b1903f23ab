/*
 * test_blas.c: OpenBLAS's threads, and the memory it takes: at once when it is
 * loaded, or it is not loaded. Where it cannot have its buffer it never returns,
 * so each limit is tried in a process of its own, which an alarm ends.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "numerics/blas.h"

#define MEGABYTE ((size_t) 1024 * 1024)
#define SECONDS 60

/* Threads of this process; negative where the system does not show them. */
static int
CountThreads(void)
{
	DIR		   *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	int			n = 0;

	if (tasks == NULL)
		return -1;
	while ((entry = readdir(tasks)) != NULL)
		if (entry->d_name[0] != '.')
			n++;
	closedir(tasks);
	return n;
}

/* Bytes that this process has mapped; 0 where the system does not say. */
static size_t
Mapped(void)
{
	FILE	   *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages * (size_t) sysconf(_SC_PAGESIZE);
}

static bool
Limit(size_t bytes)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_AS, &limit) != 0)
		return false;
	limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
	return setrlimit(RLIMIT_AS, &limit) == 0;
}

/* A product that needs the buffer. */
static bool
Multiply(size_t n)
{
	float	   *x = calloc(n * n, sizeof(float));
	float	   *y = calloc(n * n, sizeof(float));
	bool		right;

	if (x == NULL || y == NULL)
	{
		free(x);
		free(y);
		return true;			/* the limit leaves no room for that */
	}
	for (size_t k = 0; k < n; k++)
		x[k * n + k] = 2;
	blas_syrk(1, x, (int) n, (int) n, (int) n, y, (int) n);
	right = y[0] == 4 && blas_potrf(y, (int) n, (int) n) && y[0] == 2;
	blas_trsm(y, (int) n, (int) n, x, (int) n, (int) n);
	blas_trsv(true, y, (int) n, (int) n, x);
	blas_gemm_subtract(x, (int) n, x, (int) n, (int) n, (int) n, (int) n, y, (int) n);
	blas_gemm_transposed(x, (int) n, (int) n, x, (int) n, (int) n, (int) n, y, (int) n);
	free(x);
	free(y);
	return right;
}

enum
{
	WORKS, REFUSED_THEN_WORKS, WRONG
};

/* In a process of its own: so much memory beyond what is mapped, then all of it. */
static int
LoadWithin(size_t bytes)
{
	const char *why = "";

	alarm(SECONDS);
	if (!Limit(Mapped() + bytes))
		return WRONG;
	switch (blas_load(&why))
	{
		case BLAS_READY:
			return Multiply(300) ? WORKS : WRONG;
		case BLAS_NO_MEMORY:
			if (blas_load(&why) != BLAS_NO_MEMORY || why[0] == '\0' || !Limit(0) ||
				blas_load(&why) != BLAS_READY)
				return WRONG;
			return Multiply(300) ? REFUSED_THEN_WORKS : WRONG;
		default:
			return WRONG;
	}
}

static void
TestLimits(void)
{
	int			refused = 0;
	int			worked = 0;

#if defined(__SANITIZE_ADDRESS__)
	printf("# limits of memory are not tried with the address sanitizer\n");
	return;
#endif
	if (Mapped() == 0)
	{
		printf("# no /proc to measure memory in\n");
		return;
	}
	for (size_t megabytes = 8; megabytes <= 520; megabytes += 16)
	{
		int			status = 0;
		pid_t		child;

		fflush(stdout);
		child = fork();
		if (child == 0)
			_exit(LoadWithin(megabytes * MEGABYTE));
		waitpid(child, &status, 0);
		refused += WIFEXITED(status) && WEXITSTATUS(status) == REFUSED_THEN_WORKS;
		worked += WIFEXITED(status) && WEXITSTATUS(status) == WORKS;
		if (!WIFEXITED(status) || WEXITSTATUS(status) == WRONG)
			check(false, "%zu MB: OpenBLAS is loaded or refused, not %s", megabytes,
				  WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "waited for" : "lost");
	}
	check(refused > 0 && worked > 0, "OpenBLAS within limits: %d refused and loaded later, %d loaded",
		  refused, worked);
}

void
test_blas(void)
{
	const char *why = "";
	size_t		mapped;
	bool		loaded;

	unsetenv("OPENBLAS_NUM_THREADS");
	TestLimits();
	loaded = blas_load(&why) == BLAS_READY;
	check(loaded, "OpenBLAS loads %s", why);
	if (!loaded)
		exit(1);
	if (CountThreads() < 0)
		printf("# no /proc to count threads in\n");
	else
		check(CountThreads() == 1, "one thread after blas_load");
	check(getenv("OPENBLAS_NUM_THREADS") == NULL,
		  "OPENBLAS_NUM_THREADS is unset again");
	mapped = Mapped();
	check(blas_load(&why) == BLAS_READY && abs(CountThreads()) == 1 && Mapped() == mapped,
		  "a second blas_load changes nothing");
	check(Multiply(1500) && Mapped() < mapped + 64 * MEGABYTE,
		  "no memory is taken after blas_load");
}

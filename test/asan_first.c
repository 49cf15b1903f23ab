/*
 * asan_first.c: starts the address sanitizer before anything else in a process.
 *
 * Where its library is preloaded into a program that was built without it, it
 * starts at the first malloc().  That may be one of another library's
 * initialization, with a lock of the C library held that starting takes again:
 * libgpg-error's bindtextdomain() in Debian's postgres never returns.  This
 * library, linked with -z initfirst, is initialized before all others.
 */
#include <stdlib.h>

void	   *volatile asan_first;

__attribute__((constructor)) static void
StartSanitizer(void)
{
	asan_first = malloc(1);
	free(asan_first);
}

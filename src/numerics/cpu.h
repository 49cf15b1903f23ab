/*
 * cpu.h: what this processor can do, where instruction sets are chosen at run
 * time. False wherever the question makes no sense.
 */
#ifndef FACTOR_CPU_H
#define FACTOR_CPU_H

#include <stdbool.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CPU_X86 1
#endif

static inline bool
cpu_has_avx2(void)
{
#ifdef CPU_X86
	return __builtin_cpu_supports("avx2");
#else
	return false;
#endif
}

/* AVX-512 with its instructions for 8-bit and 16-bit integers and short vectors */
static inline bool
cpu_has_avx512_integers(void)
{
#ifdef CPU_X86
	return __builtin_cpu_supports("avx512f") &&
		__builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl");
#else
	return false;
#endif
}

/* The same, and products of bytes added to 32 bits */
static inline bool
cpu_has_avx512_vnni(void)
{
#ifdef CPU_X86
	return cpu_has_avx512_integers() && __builtin_cpu_supports("avx512vnni");
#else
	return false;
#endif
}

#endif							/* FACTOR_CPU_H */

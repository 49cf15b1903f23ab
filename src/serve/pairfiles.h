/*
 * pairfiles.h: pairs of a user and an item's row, in files by chunks of users,
 * written by one process or by several.
 */
#ifndef FACTOR_PAIRFILES_H
#define FACTOR_PAIRFILES_H

#include "postgres.h"
#include "storage/buffile.h"
#include "storage/sharedfileset.h"

/* Stands for a user or a row that is not known: such a pair is left out. */
#define PAIR_UNKNOWN PG_UINT32_MAX

/* What one process writes. */
typedef struct PairWriter
{
	uint32		chunk_users;	/* users to a chunk */
	uint32		nchunks;
	BufFile   **file;			/* of a chunk; NULL: no pairs */
	uint64	   *count;			/* of a chunk */
	SharedFileSet *fileset;		/* NULL: nobody else reads the files */
	int			number;			/* among the writers to the set */
	MemoryContext context;		/* of the files */
} PairWriter;

/*
 * Begins to write, in the current memory context. `count` has a place for each
 * chunk, zero, where all who read can see it; NULL with files of one's own.
 */
extern void pair_writer_begin(PairWriter *writer, uint32 nchunks, uint32 chunk_users,
							  SharedFileSet *fileset, int number, uint64 *count);

/* Writes n pairs. */
extern void pair_writer_put(PairWriter *writer, const uint32 *user, const uint32 *row, uint32 n);

/* Ends; from now on the files of a set can be read by pair_file_open(). */
extern void pair_writer_end(PairWriter *writer);

/* Frees a writer's own files. */
extern void pair_writer_free(PairWriter *writer);

/* Reading a chunk of a writer, from its start; as often as wanted. */
typedef struct PairFile
{
	const PairWriter *writer;
	BufFile    *file;
	uint64		left;
} PairFile;

/* A pair as it lies in a file. */
typedef struct SeenPair
{
	uint32		user;			/* within its chunk */
	uint32		row;
} SeenPair;

extern void pair_file_open(PairFile *file, const PairWriter *writer, uint32 chunk);

/* The next pairs, at most n; 0 at the end. */
extern uint32 pair_file_read(PairFile *file, SeenPair *pairs, uint32 n);
extern void pair_file_close(PairFile *file);

#endif							/* FACTOR_PAIRFILES_H */

/*
 * pairfiles.c: pairs of a user and an item's row, in files by chunks of users.
 *
 * Pairs come in any order, and are wanted chunk by chunk. So each writer has a
 * file for each chunk, of its own or in a set that the leader reads; what is
 * small never leaves the file's buffer or the page cache.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "serve/pairfiles.h"

#define RUN_PAIRS 512

void
pair_writer_begin(PairWriter *writer, uint32 nchunks, uint32 chunk_users,
				  SharedFileSet *fileset, int number, uint64 *count)
{
	writer->nchunks = nchunks;
	writer->chunk_users = chunk_users;
	writer->fileset = fileset;
	writer->number = number;
	writer->context = CurrentMemoryContext;
	writer->file = palloc0(mul_size(nchunks, sizeof(BufFile *)));
	writer->count = count ? count : palloc0(mul_size(nchunks, sizeof(uint64)));
}

static void
FileName(char *name, Size size, const PairWriter *writer, uint32 chunk)
{
	snprintf(name, size, "seen.%d.%u", writer->number, chunk);
}

static void
WriteRun(PairWriter *writer, uint32 chunk, SeenPair *run, uint32 n)
{
	if (n == 0)
		return;
	if (writer->file[chunk] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(writer->context);
		char		name[64];

		FileName(name, sizeof(name), writer, chunk);
		writer->file[chunk] = writer->fileset == NULL ? BufFileCreateTemp(false) :
			BufFileCreateFileSet(SharedFileSetFiles(writer->fileset), name);
		MemoryContextSwitchTo(old);
	}
	BufFileWrite(writer->file[chunk], run, n * sizeof(SeenPair));
	writer->count[chunk] += n;
}

void
pair_writer_put(PairWriter *writer, const uint32 *user, const uint32 *row, uint32 n)
{
	SeenPair	run[RUN_PAIRS];
	uint32		length = 0;
	uint32		chunk = 0;

	for (uint32 k = 0; k < n; k++)
	{
		if (user[k] == PAIR_UNKNOWN || row[k] == PAIR_UNKNOWN)
			continue;
		if (length == RUN_PAIRS || user[k] / writer->chunk_users != chunk)
		{
			WriteRun(writer, chunk, run, length);
			length = 0;
			chunk = user[k] / writer->chunk_users;
		}
		run[length].user = user[k] - chunk * writer->chunk_users;
		run[length++].row = row[k];
	}
	WriteRun(writer, chunk, run, length);
}

void
pair_writer_end(PairWriter *writer)
{
	if (writer->fileset == NULL)
		return;
	for (uint32 chunk = 0; chunk < writer->nchunks; chunk++)
		if (writer->file[chunk] != NULL)
		{
			BufFileExportFileSet(writer->file[chunk]);
			BufFileClose(writer->file[chunk]);
			writer->file[chunk] = NULL;
		}
}

void
pair_writer_free(PairWriter *writer)
{
	for (uint32 chunk = 0; chunk < writer->nchunks; chunk++)
		if (writer->file[chunk] != NULL)
			BufFileClose(writer->file[chunk]);
	pfree(writer->file);
	pfree(writer->count);
}

void
pair_file_open(PairFile *file, const PairWriter *writer, uint32 chunk)
{
	char		name[64];

	file->writer = writer;
	file->left = writer->count[chunk];
	file->file = NULL;
	if (file->left == 0)
		return;
	if (writer->fileset != NULL)
	{
		FileName(name, sizeof(name), writer, chunk);
		file->file = BufFileOpenFileSet(SharedFileSetFiles(writer->fileset), name, O_RDONLY, false);
		return;
	}
	file->file = writer->file[chunk];
	if (BufFileSeek(file->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not rewind temporary file")));
}

uint32
pair_file_read(PairFile *file, SeenPair *pairs, uint32 n)
{
	n = (uint32) Min(file->left, n);
	if (n > 0)
		BufFileReadExact(file->file, pairs, n * sizeof(SeenPair));
	file->left -= n;
	return n;
}

void
pair_file_close(PairFile *file)
{
	if (file->file != NULL && file->writer->fileset != NULL)
		BufFileClose(file->file);
}

/*
 * bigarray.c: arrays of any size that parallel workers can attach.
 *
 * An array asked for as shared gets a dynamic shared memory segment of its
 * own: segments have no 1 GB limit, come zeroed, and can be freed one by one
 * while a training goes from one phase to the next. One segment for
 * everything was rejected: its size would have to be known before the ratings
 * are read.
 *
 * Shared memory may be short where local memory is not: a container gives
 * /dev/shm 64 MB, and a server has a limited number of segments. Training goes
 * on alone in local memory then. Segments used up is a NULL from dsm_create();
 * a full /dev/shm is an error raised within it, while it holds a lock, and so
 * can only be caught by a subtransaction. The segment must outlive that
 * subtransaction: its mapping is pinned, which takes it from the
 * subtransaction's resource owner, and unpinned at once under the outer one,
 * which from then on releases it at an error like any other resource. A failed
 * attempt leaves its descriptor with the subtransaction, whose abort frees it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/dsm_impl.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"
#include "train/ratings.h"

#define BIGARRAY_ALIGN	64

/* Bytes to zero between two looks for interrupts. */
#define ZERO_STRIDE		((Size) 16 * 1024 * 1024)

static void
ZeroMemory(void *data, Size size)
{
	for (Size done = 0; done < size; done += ZERO_STRIDE)
	{
		CHECK_FOR_INTERRUPTS();
		memset((char *) data + done, 0, Min(ZERO_STRIDE, size - done));
	}
}

/*
 * A segment that is a file of the data directory is filled by write(), and where
 * that was cut short the error is of whatever errno says, which is often EINTR from
 * some wait before, an internal error then. If a signal had come, the next look for
 * interrupts would tell.
 */
bool
bigarray_was_no_room(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_SYSTEM_ERROR ||
		error->saved_errno == EINTR;
}

/* A new segment, or NULL where there is no room for it. */
static dsm_segment *
TryCreateSegment(Size size)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	dsm_segment *volatile segment = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);

	PG_TRY();
	{
		errno = 0;				/* see bigarray_was_no_room() */
		segment = dsm_create(size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
		if (segment != NULL)
			dsm_pin_mapping(segment);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcontext);
		CurrentResourceOwner = oldowner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(oldcontext);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcontext);
		CurrentResourceOwner = oldowner;

		if (!bigarray_was_no_room(error))
			ReThrowError(error);
		FreeErrorData(error);
		return NULL;
	}
	PG_END_TRY();

	if (segment != NULL)
		dsm_unpin_mapping(segment);
	return segment;
}

bool
bigarray_alloc(BigArray *array, Size size, bool shared, MemoryContext context)
{
	array->size = size;
	array->segment = NULL;
	array->local = NULL;
	array->data = NULL;

	/* An array of nothing has an address too. */
	size = Max(size, 1);

	if (shared)
	{
		array->segment = TryCreateSegment(size);
		if (array->segment != NULL)
		{
			array->data = dsm_segment_address(array->segment);

			/* Space that the server set aside at start may have been used. */
			if (min_dynamic_shared_memory > 0)
				ZeroMemory(array->data, size);
			return true;
		}
	}

	array->local = MemoryContextAllocHuge(context,
										  add_size(size, BIGARRAY_ALIGN));
	array->data = (void *) TYPEALIGN(BIGARRAY_ALIGN, array->local);
	ZeroMemory(array->data, size);
	return !shared;
}

void
bigarray_attach(BigArray *array, dsm_handle handle, Size size)
{
	dsm_segment *segment = dsm_attach(handle);

	if (segment == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not map dynamic shared memory segment")));

	array->data = dsm_segment_address(segment);
	array->size = size;
	array->segment = segment;
	array->local = NULL;
}

void
bigarray_free(BigArray *array)
{
	if (array->segment != NULL)
		dsm_detach(array->segment);
	if (array->local != NULL)
		pfree(array->local);
	memset(array, 0, sizeof(*array));
}

void *
bigarray_take(char *base, Size *used, Size count, Size size)
{
	Size		start = *used;

	*used = add_size(start, TYPEALIGN(BIGARRAY_ALIGN, mul_size(count, size)));
	return base ? base + start : NULL;
}

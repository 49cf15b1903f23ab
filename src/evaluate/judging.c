/*
 * judging.c: a walk over the test pairs, user by user, and what comes of it.
 *
 * The pairs of training and of the test lie by user, in memory or in files, as
 * training's reader left them. For each user of the test the two rows are laid
 * side by side:
 *
 *	 a test pair that training has too is counted, and left out unless
 *	   training's pairs are to be judged as any others;
 *	 the others' ratings are predicted, and the errors added up at once;
 *	 those that are relevant, of a user and an item that the model knows, become
 *	   the user's targets, and training's items what is skipped in the ranking.
 *
 * Users with targets are collected into chunks of bounded memory, which the
 * panel ranks for. All sums are formed here, in the order of the users.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "evaluate/judging.h"
#include "train/progress.h"

#define MIN_CHUNK_USERS (4 * JUDGE_TILE)
#define MAX_CHUNK_USERS (256 * JUDGE_TILE)
#define PAIRS_PER_CHECK 65536

/* A row of a matrix at a time, from the block that it is in. */
typedef struct RowReader
{
	RatingMatrix *matrix;
	bool		loaded;
	AlsBlock	block;
} RowReader;

/* Numbers that may become many. */
typedef struct Numbers
{
	uint32	   *values;
	uint64		n;
	uint64		space;
} Numbers;

/* The users that are collected, with where their parts of the lists end. */
typedef struct Collected
{
	uint32		nusers;
	uint32		max_users;
	uint64		max_numbers;
	uint32	   *user;
	uint64	   *skip_end;
	uint64	   *target_end;
	Numbers		skip;
	Numbers		targets;
} Collected;

typedef struct Judging
{
	const Evidence *evidence;
	const JudgingOptions *options;
	int			workers;
	TeamNotes	notes;			/* what was said of them */
	Judgement  *judgements;
	int			n;
	JudgingCounts *counts;
	BigArray	catalogue;
	PanelShape	shape;			/* but for the ranker's and the chunk's part */
	RowReader	train;
	RowReader	test;
	Numbers		trained;		/* a user's items in training */
	Numbers		relevant;		/* and the relevant ones of the test */
	Collected	collected;
	uint32		done;			/* users of the test */
	uint64		checked;		/* pairs since the last look for interrupts */
} Judging;

/* ---- Small tools ---- */

static void
ReadRow(RowReader *reader, uint32 row, const Rating **entries, uint64 *n)
{
	const AlsBlock *block = &reader->block;
	const uint32 *start = reader->matrix->block_start.data;

	if (!reader->loaded || row < block->first || row >= block->first + block->nrows)
	{
		uint32		low = 0;
		uint32		high = reader->matrix->nblocks - 1;

		while (low < high)
		{
			uint32		middle = low + (high - low + 1) / 2;

			if (start[middle] <= row)
				low = middle;
			else
				high = middle - 1;
		}
		CHECK_FOR_INTERRUPTS();
		rating_matrix_block(reader->matrix, low, &reader->block);
		reader->loaded = true;
	}
	row -= block->first;
	*entries = block->entries + (block->offset[row] - block->offset[0]);
	*n = block->offset[row + 1] - block->offset[row];
}

static void
AddNumber(Numbers *numbers, uint32 value)
{
	if (numbers->n == numbers->space)
	{
		numbers->space = Max(1024, numbers->space * 2);
		if (numbers->values == NULL)
			numbers->values = palloc(numbers->space * sizeof(uint32));
		else
			numbers->values = repalloc_huge(numbers->values,
											mul_size(numbers->space, sizeof(uint32)));
	}
	numbers->values[numbers->n++] = value;
}

static int
CompareNumbers(const void *a, const void *b)
{
	uint32		left = *(const uint32 *) a;
	uint32		right = *(const uint32 *) b;

	return left < right ? -1 : left > right;
}

/* Sorts, mostly what is sorted already, and removes doubles. */
static void
SortNumbers(Numbers *numbers)
{
	uint64		kept = 0;
	bool		ascending = true;

	for (uint64 k = 1; k < numbers->n && ascending; k++)
		ascending = numbers->values[k - 1] < numbers->values[k];
	if (ascending)
		return;
	qsort(numbers->values, numbers->n, sizeof(uint32), CompareNumbers);
	for (uint64 k = 0; k < numbers->n; k++)
		if (kept == 0 || numbers->values[kept - 1] != numbers->values[k])
			numbers->values[kept++] = numbers->values[k];
	numbers->n = kept;
}

static bool
HasNumber(const Numbers *numbers, uint32 value)
{
	return numbers->n > 0 &&
		bsearch(&value, numbers->values, numbers->n, sizeof(uint32), CompareNumbers) != NULL;
}

/* ---- What lists are measured by ---- */

static void
FillCatalogue(Judging *judging)
{
	const Evidence *evidence = judging->evidence;
	const RosterSide *items = &evidence->roster[MF_ITEMS];
	PanelCatalogue catalogue;
	Size		d = judging->shape.d;
	bool		shared = judging->workers > 0;

	(void) bigarray_alloc(&judging->catalogue,
						  panel_catalogue_layout(&catalogue, &judging->shape, NULL),
						  shared, CurrentMemoryContext);
	panel_catalogue_layout(&catalogue, &judging->shape, judging->catalogue.data);
	for (uint32 item = 0; item < items->nmodel; item++)
	{
		const float *factors = items->factors + item * d;
		uint32		place = roster_train_place(items, item);
		double		square = 0;

		if (item % 4096 == 0)
			CHECK_FOR_INTERRUPTS();
		for (Size c = 0; c < d; c++)
			square += (double) factors[c] * factors[c];
		for (Size c = 0; c < d && square > 0; c++)
			catalogue.directions[item * d + c] = factors[c] / sqrt(square);

		/* An item without training pairs counts as if it had one. */
		catalogue.share[item] = (place == ROSTER_NONE ? 1.0 :
								 evidence->train->ids[MF_ITEMS].ratings[place]) /
			evidence->train->ids[MF_USERS].n;
	}
}

/* ---- A chunk ---- */

/* The chunk as a ranker's panel sees it. */
static void
FillChunk(const Judging *judging, const Ranker *ranker, const PanelShape *shape, PanelChunk *chunk)
{
	const Collected *collected = &judging->collected;
	Size		stride = judge_stride(ranker->length);

	for (uint32 u = 0; u < collected->nusers; u++)
	{
		ranker_user(ranker, collected->user[u], chunk->vectors + u * stride);
		chunk->skip_start[u + 1] = collected->skip_end[u];
		chunk->target_start[u + 1] = collected->target_end[u];
	}
	if (shape->nskip > 0)
		memcpy(chunk->skip, collected->skip.values, shape->nskip * sizeof(uint32));
	for (uint64 t = 0; t < shape->ntargets; t++)
		chunk->targets[t].item = collected->targets.values[t];
}

static void
AddMetrics(Judgement *judgement, const UserMetrics *metrics)
{
	double		values[METRICS_COUNT];

	memcpy(values, metrics, sizeof(values));
	for (int m = 0; m < METRICS_COUNT; m++)
	{
		if (isnan(values[m]))
			continue;
		judgement->sum[m] += values[m];
		judgement->count[m]++;
	}
}

static void
JudgeCollected(Judging *judging)
{
	Collected  *collected = &judging->collected;

	for (int j = 0; j < judging->n && collected->nusers > 0; j++)
	{
		Judgement  *judgement = &judging->judgements[j];
		Ranker	   *ranker = judgement->ranker;
		PanelShape	shape = judging->shape;
		PanelChunk	chunk;
		BigArray	array;

		progress_report("ranking %s, %u of %u users", ranker_name(ranker->kind), judging->done,
						judging->evidence->test->ids[MF_USERS].n);
		shape.length = ranker->length;
		shape.nusers = collected->nusers;
		shape.nskip = collected->skip.n;
		shape.ntargets = collected->targets.n;
		(void) bigarray_alloc(&array, panel_chunk_layout(&chunk, &shape, NULL),
							  judging->workers > 0, CurrentMemoryContext);
		panel_chunk_layout(&chunk, &shape, array.data);
		FillChunk(judging, ranker, &shape, &chunk);
		panel_judge(&shape, &judging->catalogue, &ranker->array, &array, judging->workers,
					&judging->notes);
		for (uint32 u = 0; u < collected->nusers; u++)
			AddMetrics(judgement, &chunk.metrics[u]);
		bigarray_free(&array);
	}
	judging->counts->users += collected->nusers;
	judging->counts->relevant += collected->targets.n;
	collected->nusers = 0;
	collected->skip.n = 0;
	collected->targets.n = 0;
}

/* ---- A user ---- */

static void
ReadTrained(Judging *judging, uint32 user)
{
	const Evidence *evidence = judging->evidence;
	uint32		place = roster_train_place(&evidence->roster[MF_USERS], user);
	const Rating *entries;
	uint64		n;

	judging->trained.n = 0;
	if (place == ROSTER_NONE)
		return;
	ReadRow(&judging->train, place, &entries, &n);
	for (uint64 k = 0; k < n; k++)
		AddNumber(&judging->trained, evidence->roster[MF_ITEMS].train[entries[k].index]);
	SortNumbers(&judging->trained);
	judging->checked += n;
}

static void
AddErrors(Judging *judging, uint32 user, uint32 item, float value)
{
	for (int j = 0; j < judging->n; j++)
	{
		Judgement  *judgement = &judging->judgements[j];
		double		error;

		if (!judgement->ranker->predicts)
			continue;
		error = ranker_predict(judgement->ranker, user, item) - value;
		judgement->squares += error * error;
		judgement->absolutes += fabs(error);
	}
}

static void
JudgePair(Judging *judging, uint32 user, const Rating *entry)
{
	const Evidence *evidence = judging->evidence;
	const JudgingOptions *options = judging->options;
	uint32		item = evidence->roster[MF_ITEMS].test[entry->index];
	bool		known = roster_known(&evidence->roster[MF_USERS], user) &&
		roster_known(&evidence->roster[MF_ITEMS], item);

	judging->counts->unknown_pairs += !known;
	if (item != ROSTER_NONE && HasNumber(&judging->trained, item))
	{
		judging->counts->in_training++;
		if (options->exclude_train)
			return;
	}
	judging->counts->pairs++;
	AddErrors(judging, user, item, entry->value);
	if (known && (!options->has_relevant || entry->value >= options->relevant))
		AddNumber(&judging->relevant, item);
}

/* The user's part of what the panel will be given. */
static void
CollectUser(Judging *judging, uint32 user)
{
	Collected  *collected = &judging->collected;

	SortNumbers(&judging->relevant);
	for (uint64 k = 0; k < judging->relevant.n; k++)
		AddNumber(&collected->targets, judging->relevant.values[k]);
	if (judging->options->exclude_train)
		for (uint64 k = 0; k < judging->trained.n; k++)
			if (roster_known(&judging->evidence->roster[MF_ITEMS], judging->trained.values[k]))
				AddNumber(&collected->skip, judging->trained.values[k]);
	collected->user[collected->nusers] = user;
	collected->skip_end[collected->nusers] = collected->skip.n;
	collected->target_end[collected->nusers] = collected->targets.n;
	collected->nusers++;
	if (collected->nusers == collected->max_users ||
		collected->skip.n + collected->targets.n >= collected->max_numbers)
		JudgeCollected(judging);
}

static void
JudgeUserPairs(Judging *judging, uint32 place)
{
	const Evidence *evidence = judging->evidence;
	uint32		user = evidence->roster[MF_USERS].test[place];
	const Rating *entries;
	uint64		n;

	judging->counts->unknown_users += !roster_known(&evidence->roster[MF_USERS], user);
	ReadTrained(judging, user);
	ReadRow(&judging->test, place, &entries, &n);
	judging->relevant.n = 0;
	for (uint64 k = 0; k < n; k++)
		JudgePair(judging, user, &entries[k]);
	judging->checked += n;
	judging->done++;
	if (judging->relevant.n > 0)
		CollectUser(judging, user);
	if (judging->checked >= PAIRS_PER_CHECK)
	{
		CHECK_FOR_INTERRUPTS();
		judging->checked = 0;
	}
}

/* ---- The whole ---- */

static void
InitCollected(Judging *judging)
{
	Collected  *collected = &judging->collected;
	Size		memory = (Size) maintenance_work_mem * 1024 / 4;
	Size		user_bytes = judge_stride(judging->shape.d + 1) * sizeof(float) +
		sizeof(UserMetrics) + 64;

	collected->max_users = Min(Max(memory / user_bytes, MIN_CHUNK_USERS), MAX_CHUNK_USERS);
	collected->max_users = Min(collected->max_users,
							   Max(judging->evidence->test->ids[MF_USERS].n, 1));
	collected->max_numbers = Max(memory / sizeof(JudgeTarget), 65536);
	collected->user = palloc(collected->max_users * sizeof(uint32));
	collected->skip_end = palloc(collected->max_users * sizeof(uint64));
	collected->target_end = palloc(collected->max_users * sizeof(uint64));
}

void
judging_run(const Evidence *evidence, const JudgingOptions *options, int workers,
			Judgement *judgements, int n, JudgingCounts *counts)
{
	Judging		judging = {0};
	const RatingSet *test = evidence->test;

	memset(counts, 0, sizeof(*counts));
	judging.evidence = evidence;
	judging.options = options;
	judging.workers = workers;
	judging.notes.doing = "judging";
	judging.judgements = judgements;
	judging.n = n;
	judging.counts = counts;
	judging.train.matrix = &evidence->train->by[MF_USERS];
	judging.test.matrix = &evidence->test->by[MF_USERS];
	judging.shape.nitems = evidence->roster[MF_ITEMS].nmodel;
	judging.shape.d = evidence->model->record.factors;
	judging.shape.k = options->k;
	judging.shape.list = Min(judging.shape.k, judging.shape.nitems);
	InitCollected(&judging);
	FillCatalogue(&judging);

	for (uint32 item = 0; item < test->ids[MF_ITEMS].n; item++)
		counts->unknown_items += !roster_known(&evidence->roster[MF_ITEMS],
											   evidence->roster[MF_ITEMS].test[item]);
	for (uint32 place = 0; place < test->ids[MF_USERS].n; place++)
		JudgeUserPairs(&judging, place);
	JudgeCollected(&judging);
	bigarray_free(&judging.catalogue);
}

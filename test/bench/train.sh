#!/bin/bash
# Measures mf_train on generated ratings: how long reading, indexing, an
# iteration and storing take, how fast a cancel is answered in each phase, and
# how many threads each process has.
#
#   test/bench/train.sh [NAME=VALUE]...
#
# on the server that PGHOST, PGPORT, PGUSER and the like name, as a superuser.
# factor must be installed there; threads are counted if it is this machine.
#
# Names, with their defaults:
#
#   db=factor_bench    database, made if it is not there
#   ratings=11000000   rows to draw (see generate.sql: some per cent are repeated)
#   users=140000 items=27000
#   factors=64         for the timed training
#   iterations=5
#   feedback=explicit
#   workers=1          max_parallel_maintenance_workers: workers beside the leader
#   memory=1GB         maintenance_work_mem
#   cancels=5          cancels in each phase; 0: none are tried
#   wide=512           factors of one more training to cancel; 0: none
#   keep=1             keep the ratings for the next run; 0: drop the database
#
# The rating table is made once for each ratings, users and items. To measure, use
# a server that does nothing else, with shared_buffers that hold the table
# (about 45 bytes a rating); each figure is of one run. The script writes
# nothing but its result to the standard output, and exits with 1 where a cancel
# took longer than 0.2 s or a process had more than one thread. "late" means that
# the phase was over before the cancel came.
set -eu -o pipefail

db=factor_bench ratings=11000000 users=140000 items=27000 factors=64 iterations=5
feedback=explicit workers=1 memory=1GB cancels=5 wide=512 keep=1
for setting; do
	case $setting in
		db=* | ratings=* | users=* | items=* | factors=* | iterations=* | feedback=* | workers=* | \
			memory=* | cancels=* | wide=* | keep=*) declare "$setting" ;;
		*) echo "unknown: $setting" >&2; exit 2 ;;
	esac
done

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
training=
cleanup()
{
	# A training that is under way ends with its client's backend.
	if [ -n "$training" ] && kill -0 "$training" 2>/dev/null; then
		sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'factor_bench'" >/dev/null || true
		wait "$training" 2>/dev/null || true
	fi
	rm -rf -- "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning"
. "$here/ratings.bash"

# train MODEL FACTORS ITERATIONS: starts a training in the background. Its
# messages go to $scratch/log, each with the seconds since the start.
train()
{
	PGAPPNAME=factor_bench PGOPTIONS="-c client_min_messages=notice -c maintenance_work_mem=$memory
		-c max_parallel_maintenance_workers=$workers" \
		psql -X -q -A -t -d "$db" -c "SELECT users, items, ratings, iterations, error, seconds
			FROM mf_train('$table', model => '$1', factors => $2, iterations => $3, feedback => '$feedback')" \
		>"$scratch/out" 2>"$scratch/log" &
	training=$!
}

# The phase that a training is in, as pg_stat_activity tells it.
sql >/dev/null <<'END'
CREATE OR REPLACE FUNCTION bench_phase() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT CASE WHEN query LIKE '%: reading%' THEN 'reading'
		WHEN query LIKE '%: sorting%' THEN 'sorting ids'
		WHEN query LIKE '%: indexing%' THEN 'indexing'
		WHEN query LIKE '%: iteration%' THEN 'iterations'
		WHEN query LIKE '%: storing%' THEN 'storing' END
	FROM pg_stat_activity
	WHERE application_name = 'factor_bench' AND backend_type = 'client backend' AND state = 'active'
		AND query LIKE 'mf_train%'
$$;
-- Seconds spent in each phase of the training that is about to start.
CREATE OR REPLACE FUNCTION bench_watch() RETURNS TABLE (phase text, seconds numeric) LANGUAGE plpgsql AS $$
DECLARE
	now_in text;
	start timestamptz;
BEGIN
	LOOP
		PERFORM pg_stat_clear_snapshot();
		now_in := bench_phase();
		IF now_in IS DISTINCT FROM phase THEN
			IF phase IS NOT NULL THEN
				seconds := round(extract(epoch FROM clock_timestamp() - start)::numeric, 2);
				RETURN NEXT;
				EXIT WHEN now_in IS NULL;
			END IF;
			phase := now_in;
			start := clock_timestamp();
		END IF;
		PERFORM pg_sleep(0.005);
	END LOOP;
END $$;
-- Waits for a phase, some seconds more, and cancels; how long the backend took
-- to be ready again, or NULL if the phase was over before.
CREATE OR REPLACE FUNCTION bench_cancel(wanted text, delay float8) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	backend int;
	start timestamptz;
	seen boolean := false;
	now_in text;
BEGIN
	LOOP
		PERFORM pg_stat_clear_snapshot();
		now_in := bench_phase();
		EXIT WHEN now_in = wanted;
		IF seen AND now_in IS NULL THEN
			RETURN NULL;
		END IF;
		seen := seen OR now_in IS NOT NULL;
		PERFORM pg_sleep(0.002);
	END LOOP;
	PERFORM pg_sleep(delay);
	PERFORM pg_stat_clear_snapshot();
	SELECT pid INTO backend FROM pg_stat_activity
		WHERE application_name = 'factor_bench' AND backend_type = 'client backend' AND bench_phase() = wanted;
	IF backend IS NULL THEN
		RETURN NULL;
	END IF;
	start := clock_timestamp();
	PERFORM pg_cancel_backend(backend);
	LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = backend AND state = 'active');
		PERFORM pg_sleep(0.001);
	END LOOP;
	RETURN round(extract(epoch FROM clock_timestamp() - start)::numeric, 3);
END $$;
END

status=0

# Threads of the leader and its workers, the most seen.
threads_now()
{
	local pid
	for pid in $(sql -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'factor_bench'"); do
		ls "/proc/$pid/task" 2>/dev/null | wc -l
	done
}

echo "== training: $table, $feedback, $factors factors, $workers workers, maintenance_work_mem $memory"
sql -F ' ' -c 'SELECT * FROM bench_watch()' >"$scratch/phases" &
watch=$!
sleep 0.2
train bench "$factors" "$iterations"
: >"$scratch/threads"
while kill -0 "$training" 2>/dev/null; do
	threads_now >>"$scratch/threads" || true
	sleep 0.3
done
wait "$training" || { cat "$scratch/log" >&2; exit 1; }
training=
wait "$watch"
grep -E 'training "|iteration' "$scratch/log" | sed 's/^NOTICE: *//'
awk -F '|' '{ printf "%d users, %d items, %d ratings; error %.6g; %.2f s in all\n", $1, $2, $3, $5, $6 }' "$scratch/out"
echo 'seconds in each phase:'
sed 's/^/  /' "$scratch/phases"
sql -c "SELECT '  an iteration, the median: ' || round(percentile_cont(0.5) WITHIN GROUP (ORDER BY s)::numeric, 3) || ' s; '
		|| round((percentile_cont(0.5) WITHIN GROUP (ORDER BY s) * 18e6 / min(ratings))::numeric, 3) || ' s per 18 million ratings'
	FROM (SELECT h.seconds - lag(h.seconds) OVER (ORDER BY h.iteration) AS s, m.ratings
		FROM mf_history h JOIN mf_models m USING (schema, model) WHERE model = 'bench') i"
most=$(sort -n "$scratch/threads" | tail -n 1)
echo "threads of a process at most: ${most:-not seen (another machine?)}"
[ "${most:-1}" = 1 ] || status=1

# cancel_in PHASE FACTORS ITERATIONS SECONDS: cancels in a phase that lasts some
# seconds, at moments spread evenly over it.
cancel_in()
{
	local n took worst=0 all=
	for ((n = 0; n < cancels; n++)); do
		train cancelled "$2" "$3"
		took=$(sql -c "SELECT bench_cancel('$1', $4 * ($n + 0.5) / $cancels)")
		wait "$training" || true
		training=
		[ -n "$took" ] || took=late
		all="$all $took"
		[ "$took" = late ] || worst=$(printf '%s\n%s\n' "$worst" "$took" | sort -n | tail -n 1)
	done
	printf '  %-24s%s\n' "$1, d = $2:" "$all"
	awk -v worst="$worst" 'BEGIN { exit worst > 0.2 }' || status=1
}

if [ "$cancels" -gt 0 ]; then
	echo 'seconds from a cancel until the backend is ready:'
	while read -r seconds phase; do
		case $phase in
			iterations) cancel_in "$phase" "$factors" 1000 2 ;;
			*) cancel_in "$phase" "$factors" 1 "$seconds" ;;
		esac
	done < <(sed 's/^\(.*\) \([0-9.]*\)$/\2 \1/' "$scratch/phases")
	[ "$wide" = 0 ] || cancel_in iterations "$wide" 1000 5
fi

sql -c "SELECT mf_drop('bench')" >/dev/null
if [ "$keep" = 0 ]; then
	psql -X -q -d postgres -c "DROP DATABASE \"$db\""
fi
[ "$status" = 0 ] || echo 'a cancel took longer than 0.2 s, or a process had more than one thread' >&2
exit "$status"

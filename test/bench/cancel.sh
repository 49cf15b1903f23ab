#!/bin/bash
# How long training, judging and tuning take to answer a cancel.
#
#   test/bench/cancel.sh [NAME=VALUE]...
#
# on the server that PGHOST, PGPORT, PGUSER and the like name, as a superuser of
# this machine. factor must be installed there.
#
# Names, with their defaults:
#
#   db=factor_bench    database, made if it is not there
#   ratings=3000000    rows to draw (see generate.sql)
#   users=60000 items=20000
#   wide=512           factors of the wide models, for a tenth of the users and a
#                      quarter of the items
#   workers=1          max_parallel_maintenance_workers: workers beside the leader
#   memory=1GB         maintenance_work_mem; with little, ratings are read from files
#   cancels=20         cancels of each statement
#   only=              a pattern: statements with other names are left out
#
# Each statement runs whole once, for its seconds. Then it is cancelled, at
# moments spread evenly over these, so that each of its phases is met. "Clock" is
# from the cancel to the moment when the backend is ready again, its workers
# gone; "work" is the time that its own process computed meanwhile, which other
# work on the machine does not lengthen. The largest of each is printed, with the
# moment of the cancel that took longest. The script exits with 1 where a backend
# worked for more than 0.1 s.
set -eu -o pipefail

db=factor_bench ratings=3000000 users=60000 items=20000 wide=512 workers=1 memory=1GB cancels=20 only=
for setting; do
	case $setting in
		db=* | ratings=* | users=* | items=* | wide=* | workers=* | memory=* | cancels=* | only=*) declare "$setting" ;;
		*) echo "unknown: $setting" >&2; exit 2 ;;
	esac
done

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning"
. "$here/ratings.bash"
sql >/dev/null <<END
SET max_parallel_maintenance_workers = $workers;
SET maintenance_work_mem = '$memory';
DROP TABLE IF EXISTS cancel_learn, cancel_tenth, cancel_exam;
CREATE UNLOGGED TABLE cancel_learn AS SELECT * FROM $table WHERE NOT mf_holdout(user_id, item_id);
CREATE UNLOGGED TABLE cancel_tenth AS SELECT * FROM cancel_learn WHERE user_id % 10 = 1 AND item_id % 4 = 1;
CREATE UNLOGGED TABLE cancel_exam AS SELECT * FROM $table WHERE mf_holdout(user_id, item_id);
SELECT mf_train('cancel_learn', model => 'cancel_narrow', iterations => 1, verbose => false, options => '{"index": false}');
SELECT mf_train('cancel_tenth', model => 'cancel_wide', factors => $wide, iterations => 1, verbose => false, options => '{"index": false}');

-- Cancels the backend in so many seconds; clock and work until it is ready, or
-- NULL if it was ready before.
CREATE OR REPLACE FUNCTION cancel_in(backend int, delay float8, OUT clock float8, OUT work float8) LANGUAGE plpgsql AS \$\$
DECLARE
	start timestamptz;
	before float8;
BEGIN
	PERFORM pg_sleep(delay);
	PERFORM pg_stat_clear_snapshot();
	IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = backend AND state = 'active') THEN
		RETURN;
	END IF;
	before := split_part(pg_read_file('/proc/' || backend || '/schedstat'), ' ', 1)::float8;
	start := clock_timestamp();
	PERFORM pg_cancel_backend(backend);
	LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = backend AND state = 'active');
		PERFORM pg_sleep(0.001);
	END LOOP;
	clock := extract(epoch FROM clock_timestamp() - start);
	work := (split_part(pg_read_file('/proc/' || backend || '/schedstat'), ' ', 1)::float8 - before) / 1e9;
END \$\$;
END

# start STATEMENT: runs it in a session of its own, once it has told its pid.
start()
{
	coproc session { PGOPTIONS="$PGOPTIONS -c max_parallel_maintenance_workers=$workers -c maintenance_work_mem=$memory" \
		psql -X -q -A -t -d "$db" 2>&1; }
	session_pid=$!
	echo "SELECT pg_backend_pid();" >&"${session[1]}"
	read -r backend <&"${session[0]}"
	echo "$1; \\q" >&"${session[1]}"
}

status=0
measure()
{
	local name=$1 statement=$2 whole n took worst_clock=0 worst_work=0 worst_at=0 late=0 begin
	[[ $name == *$only* ]] || return 0
	begin=$(date +%s.%N)
	start "BEGIN; $statement; ROLLBACK"
	wait "$session_pid"
	whole=$(awk "BEGIN { print $(date +%s.%N) - $begin }")
	for ((n = 0; n < cancels; n++)); do
		start "$statement"
		took=$(sql -F ' ' -c "SELECT clock, work FROM cancel_in($backend, $whole * ($n + 0.5) / $cancels)")
		wait "$session_pid" || true
		[ "$took" != ' ' ] || { late=$((late + 1)); continue; }
		read -r clock work <<<"$took"
		if awk "BEGIN { exit !($clock > $worst_clock) }"; then
			worst_clock=$clock
			worst_at=$(awk "BEGIN { print $whole * ($n + 0.5) / $cancels }")
		fi
		! awk "BEGIN { exit !($work > $worst_work) }" || worst_work=$work
	done
	printf '%-34s %6.1f s whole; clock %.3f s (at %.1f s), work %.3f s at most; %d too late\n' \
		"$name" "$whole" "$worst_clock" "$worst_at" "$worst_work" "$late"
	! awk "BEGIN { exit !($worst_work > 0.1) }" || status=1
}

# train OPTIONS [TABLE]: the statement, of options as the inside of a JSON object
train() { echo "SELECT mf_train('${2:-cancel_learn}', model => 'cancelled', verbose => false, options => '{\"index\": true, $1}')"; }

measure 'als, d = 64' "$(train "\"factors\": 64, \"iterations\": 4")"
measure "als, d = $wide" "$(train "\"factors\": $wide, \"iterations\": 1" cancel_tenth)"
measure 'als implicit, held out' "$(train "\"feedback\": \"implicit\", \"iterations\": 3, \"holdout\": 0.1, \"patience\": 1")"
measure 'sgd adam, d = 64, held out' "$(train "\"solver\": \"sgd\", \"factors\": 64, \"iterations\": 3, \"holdout\": 0.1, \"patience\": 2")"
measure "sgd adam, d = $wide" "$(train "\"solver\": \"sgd\", \"factors\": $wide, \"iterations\": 1" cancel_tenth)"
measure "sgd full batch, unobserved, d = 128" "$(train "\"solver\": \"sgd\", \"factors\": 128, \"iterations\": 2, \"batch_size\": 0, \"unobserved_weight\": 0.005")"
measure "bpr, d = 64" "$(train "\"loss\": \"bpr\", \"factors\": 64, \"iterations\": 5")"
measure "bpr, d = $wide, in-batch" "$(train "\"loss\": \"bpr\", \"factors\": $wide, \"iterations\": 1, \"negative_sampling\": \"in_batch\", \"batch_size\": 64, \"negatives\": 4" cancel_tenth)"
measure 'evaluate, d = 32' "SELECT * FROM mf_evaluate('cancel_narrow', 'cancel_exam', relevant => 4)"
measure 'evaluate, baselines' "SELECT * FROM mf_evaluate('cancel_narrow', 'cancel_exam', baselines => true)"
measure "evaluate, d = $wide" "SELECT * FROM mf_evaluate('cancel_wide', 'cancel_exam')"
measure 'tune' "CALL mf_tune('cancel_learn', grid => '{\"factors\": [8, 16], \"iterations\": 2}', results => 'cancel_trials', verbose => false)"

sql >/dev/null <<END
SELECT mf_drop('cancel_narrow'), mf_drop('cancel_wide');
DROP TABLE cancel_learn, cancel_tenth, cancel_exam;
DROP TABLE IF EXISTS cancel_trials;
END
[ "$status" = 0 ] || echo 'a backend worked for more than 0.1 s after a cancel' >&2
exit "$status"

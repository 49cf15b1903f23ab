#!/bin/bash
# Measures mf_topk_all beside implicit's recommend() over the same numbers of
# users, items and ratings, with seen items left out and without, in turns and in
# several rounds; then mf_predict over random pairs. Prints the medians and the
# ratios of the rates.
#
#   test/bench/topk_all.sh [NAME=VALUE]...
#
# on the server that PGHOST, PGPORT, PGUSER and the like name, as a superuser.
# Names, with their defaults:
#
#   db=factor_bench users=50000 items=27000 factors=64 k=10
#   seen=100        ratings of a user, which are left out
#   workers=1       workers beside the leader: implicit gets as many threads
#   pairs=1000000   random pairs to predict; 0: none
#   rounds=5        of which the median is taken
#   python=         a Python that can import implicit; without, only factor is run
#   make=1          0: the tables are there from a run before
#
# implicit is used as its users use it: recommend() of all users at once, with
# filter_already_liked_items over a CSR matrix that is there already, in memory,
# where mf_topk_all reads its tables and gives rows.
#
# The vectors are normal random numbers, whose norms vary little: the worst
# case for mf_topk_all, which may skip items of small norms.
set -eu -o pipefail

db=factor_bench users=50000 items=27000 factors=64 k=10 seen=100 workers=1 pairs=1000000 rounds=5 make=1 python=
for setting; do
	case $setting in
		db=* | users=* | items=* | factors=* | k=* | seen=* | workers=* | pairs=* | rounds=* | python=* | make=*) declare "$setting" ;;
		*) echo "unknown: $setting" >&2; exit 2 ;;
	esac
done

sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$db" "$@"; }
if [ "$(psql -X -A -t -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = '$db'")" = 0 ]; then
	psql -X -q -d postgres -c "CREATE DATABASE \"$db\""
fi
[ "$make" = 0 ] || sql <<END
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS factor;
DROP TABLE IF EXISTS rank_users, rank_items, rank_seen, rank_pairs;
SELECT setseed(0.5);
CREATE TABLE rank_users (user_id int PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL,
	ratings int NOT NULL, rating_sum float8 NOT NULL, digest bigint NOT NULL DEFAULT 0);
INSERT INTO rank_users SELECT u, 0, array_agg((sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))::real), $seen, $seen
FROM generate_series(1, $users) u, generate_series(1, $factors) GROUP BY u;
CREATE TABLE rank_items (item_id int PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL,
	ratings int NOT NULL, rating_sum float8 NOT NULL, digest bigint NOT NULL DEFAULT 0);
INSERT INTO rank_items SELECT i, 0, array_agg((sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))::real), 1, 1
FROM generate_series(1, $items) i, generate_series(1, $factors) GROUP BY i;
CREATE TABLE rank_seen AS SELECT u AS user_id, 1 + floor(random() * $items)::int AS item_id
FROM generate_series(1, $users) u, generate_series(1, $seen);
CREATE TABLE rank_pairs AS SELECT 1 + floor(random() * $users)::int AS user_id, 1 + floor(random() * $items)::int AS item_id
FROM generate_series(1, $pairs);
DELETE FROM mf_models WHERE schema = 'public' AND model = 'rank';
INSERT INTO mf_models VALUES ('public', 'rank', current_user, false, now(), 'implicit', false, $factors, 0, 0, 1,
	'public', 'rank_seen', 'user_id', 'item_id', NULL, $users, $items, $users::bigint * $seen, 0, 1, 1, 1, 0, 1, 0, 0,
	NULL, NULL, 0, 0, 0, now(), current_user);
VACUUM ANALYZE rank_users, rank_items, rank_seen, rank_pairs;
END

# seconds SQL: how long a statement takes in a session that is warm
seconds()
{
	sql -c "SET max_parallel_maintenance_workers = $workers" -c "SELECT count(*) FROM mf_topk_all(1, 'rank', false)" \
		-c '\timing on' -c "$1" | awk '/^Time/ { t = $2 / 1000 } END { print t }'
}

# A session of implicit: a line "true" or "false" in, for whether seen items are
# left out, and the seconds that recommend() took out.
if [ -n "$python" ]; then
	coproc IMPLICIT {
		OPENBLAS_NUM_THREADS=1 "$python" -u -c '
import sys, time
import numpy as np
from scipy.sparse import csr_matrix
from implicit.cpu.als import AlternatingLeastSquares

users, items, factors, k, seen, threads = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
model = AlternatingLeastSquares(factors=factors, num_threads=threads)
model.item_factors = rng.standard_normal((items, factors), dtype=np.float32)
model.user_factors = rng.standard_normal((users, factors), dtype=np.float32)
liked = csr_matrix((np.ones(users * seen, dtype=np.float32),
    (np.repeat(np.arange(users), seen), rng.integers(0, items, users * seen))), shape=(users, items))
everyone = np.arange(users)
model.recommend(everyone[:1000], liked[:1000], N=k)
print("ready", flush=True)
for line in sys.stdin:
    start = time.time()
    model.recommend(everyone, liked, N=k, filter_already_liked_items=line.strip() == "true")
    print(time.time() - start, flush=True)
' "$users" "$items" "$factors" "$k" "$seen" $((workers + 1))
	}
	read -r _ <&"${IMPLICIT[0]}"
fi

# implicit WHETHER: the seconds of one run
implicit()
{
	echo "$1" >&"${IMPLICIT[1]}"
	read -r answer <&"${IMPLICIT[0]}"
	echo "$answer"
}

median() { tr ' ' '\n' <<<"$*" | sed '/^$/d' | sort -g | awk '{ a[NR] = $1 } END { print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2 }'; }
report() { awk -v what="$1" -v n="$2" -v t="$3" 'BEGIN { printf "%-40s %8.3f s %10.0f a second\n", what, t, n / t }'; }

for exclude in false true; do
	ours='' theirs=''
	for ((round = 0; round < rounds; round++)); do
		ours+=" $(seconds "SELECT count(*) FROM mf_topk_all($k, 'rank', $exclude)")"
		[ -z "$python" ] || theirs+=" $(implicit "$exclude")"
	done
	[ "$exclude" = true ] && what=", seen items left out" || what=
	echo "seconds of each round$what:$ours${theirs:+; implicit:$theirs}"
	report "mf_topk_all$what" "$users" "$(median "$ours")"
	if [ -n "$python" ]; then
		report "implicit$what" "$users" "$(median "$theirs")"
		awk -v a="$(median "$theirs")" -v b="$(median "$ours")" 'BEGIN { printf "%-40s %8.2f\n", "ratio", a / b }'
	fi
done
[ "$pairs" = 0 ] || report "mf_predict" "$pairs" \
	"$(seconds "SET max_parallel_workers_per_gather = 0; SELECT sum(mf_predict(user_id, item_id, 'rank')) FROM rank_pairs")"

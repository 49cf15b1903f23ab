#!/bin/bash
# Measures mf_topk_all, beside implicit's topk over the same vectors, and
# mf_predict over random pairs.
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
#   python=         a Python that can import implicit; without, only factor is run
#
# The vectors are normal random numbers, whose norms vary little: the worst
# case for mf_topk_all, which may skip items of small norms.
set -eu -o pipefail

db=factor_bench users=50000 items=27000 factors=64 k=10 seen=100 workers=1 pairs=1000000 python=
for setting; do
	case $setting in
		db=* | users=* | items=* | factors=* | k=* | seen=* | workers=* | pairs=* | python=*) declare "$setting" ;;
		*) echo "unknown: $setting" >&2; exit 2 ;;
	esac
done

sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$db" "$@"; }
if [ "$(psql -X -A -t -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = '$db'")" = 0 ]; then
	psql -X -q -d postgres -c "CREATE DATABASE \"$db\""
fi
sql <<END
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS factor;
DROP TABLE IF EXISTS rank_users, rank_items, rank_seen, rank_pairs;
SELECT setseed(0.5);
CREATE TABLE rank_users (user_id int PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL,
	ratings int NOT NULL, rating_sum float8 NOT NULL);
INSERT INTO rank_users SELECT u, 0, array_agg((sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))::real), $seen, $seen
FROM generate_series(1, $users) u, generate_series(1, $factors) GROUP BY u;
CREATE TABLE rank_items (item_id int PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL,
	ratings int NOT NULL, rating_sum float8 NOT NULL);
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

report() { awk -v what="$1" -v n="$2" -v t="$3" 'BEGIN { printf "%-40s %8.2f s %10.0f a second\n", what, t, n / t }'; }

report "mf_topk_all" "$users" "$(seconds "SELECT count(*) FROM mf_topk_all($k, 'rank', false)")"
report "mf_topk_all, seen items left out" "$users" "$(seconds "SELECT count(*) FROM mf_topk_all($k, 'rank')")"
if [ -n "$python" ]; then
	OPENBLAS_NUM_THREADS=1 "$python" - "$users" "$items" "$factors" "$k" $((workers + 1)) <<'END'
import sys, time
import numpy as np
from implicit.cpu.topk import topk

users, items, factors, k, threads = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
i = rng.standard_normal((items, factors), dtype=np.float32)
u = rng.standard_normal((users, factors), dtype=np.float32)
topk(i, u[:1000], k, num_threads=threads)
start = time.time()
topk(i, u, k, num_threads=threads)
t = time.time() - start
print(f"{'implicit':40} {t:8.2f} s {users / t:10.0f} a second")
END
fi
[ "$pairs" = 0 ] || report "mf_predict" "$pairs" \
	"$(seconds "SET max_parallel_workers_per_gather = 0; SELECT sum(mf_predict(user_id, item_id, 'rank')) FROM rank_pairs")"

#!/bin/bash
# The index topk on a trained model: the predicted rating, biases included, is an
# inner product of (bias || factors).
#
#	test/bench/topk_model.sh [items] [users] [ratings] [factors] [queries]
#
# Generates a catalogue (generate.sql), trains, builds the index, and gives the
# median time of the ten best items of a user, with the index and without it.
# Connects as psql does; makes and drops a schema topk_bench_model.
set -e
items=${1:-500000}
users=${2:-100000}
ratings=${3:-10000000}
factors=${4:-64}
queries=${5:-200}
here=$(dirname "$0")
export PGOPTIONS="$PGOPTIONS -c client_min_messages=warning -c search_path=topk_bench_model,public"

run() { psql -X -A -t -q -v ON_ERROR_STOP=1 "$@"; }
report() { printf '%-42s %12s\n' "$1" "$2"; }

run -c "CREATE EXTENSION IF NOT EXISTS factor" -c "DROP SCHEMA IF EXISTS topk_bench_model CASCADE" -c "CREATE SCHEMA topk_bench_model"
run -v ratings="$ratings" -v users="$users" -v items="$items" -v table=ratings -f "$here/generate.sql" > /dev/null
run -c "SET maintenance_work_mem = '1GB'" \
	-c "SELECT mf_train('ratings', model => 'shop', factors => $factors, iterations => 5, verbose => false, index => false)" > /dev/null
run -c "VACUUM ANALYZE shop_items" -c "VACUUM ANALYZE shop_users"

echo "# $(run -c 'SELECT count(*) FROM shop_items') items of (bias || $factors factors), $queries users, LIMIT 10"
report "build" "$(run -c '\timing on' -c "SET maintenance_work_mem = '1GB'" \
	-c 'CREATE INDEX shop_biased ON shop_items USING topk ((bias || factors))' | awk '/^Time:/ { t = $2 } END { printf "%.2f", t / 1000 }') s"
report "size" "$(run -c "SELECT pg_size_pretty(pg_relation_size('shop_biased'))")"

median() {
	run <<SQL
$1
CREATE TEMP TABLE times (ms float8);
DO \$\$
DECLARE u record; start timestamptz; pass int;
BEGIN
	FOR pass IN 1 .. 2 LOOP
		FOR u IN SELECT 1::real || factors AS v FROM shop_users ORDER BY hashint4(user_id) LIMIT $2 LOOP
			start := clock_timestamp();
			PERFORM item_id FROM shop_items ORDER BY (bias || factors) <#> u.v LIMIT 10;
			IF pass = 2 THEN
				INSERT INTO times VALUES (extract(epoch FROM clock_timestamp() - start) * 1000);
			END IF;
		END LOOP;
	END LOOP;
END \$\$;
SELECT round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms))::numeric, 3) || ' ms, at most '
	|| round(max(ms)::numeric, 3) FROM times;
SQL
}
report "with the index" "$(median "" "$queries")"
report "without" "$(median "SET enable_indexscan = off; SET max_parallel_workers_per_gather = 0;" 5)"
run -c "SELECT mf_drop('shop')" -c "DROP SCHEMA topk_bench_model CASCADE" > /dev/null

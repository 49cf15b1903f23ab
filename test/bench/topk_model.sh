#!/bin/bash
# The index topk on a trained model: the predicted rating, biases included, is an
# inner product of (bias || factors).
#
#	test/bench/topk_model.sh [items] [users] [ratings] [factors] [queries]
#
# Generates a catalogue (generate.sql), trains, builds the index, and gives the
# median time of the ten best items of a user, with the index and without it; and
# the same of pgvector's exact scan and HNSW, on the same vectors in the same
# server. pgvector is left out where it is not installed, HNSW with HNSW=no (its
# build takes minutes). Connects as psql does; makes and drops a schema
# topk_bench_model.
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
	-c "SELECT mf_train('ratings', model => 'shop', factors => $factors, iterations => 5, verbose => false, options => '{\"index\": false}')" > /dev/null
run -c "VACUUM ANALYZE shop_items" -c "VACUUM ANALYZE shop_users"

echo "# $(run -c 'SELECT count(*) FROM shop_items') items of (bias || $factors factors), $queries users, LIMIT 10"
report "build" "$(run -c '\timing on' -c "SET maintenance_work_mem = '1GB'" \
	-c 'CREATE INDEX shop_biased ON shop_items USING topk ((bias || factors))' | awk '/^Time:/ { t = $2 } END { printf "%.2f", t / 1000 }') s"
report "size" "$(run -c "SELECT pg_size_pretty(pg_relation_size('shop_biased'))")"

# median milliseconds of a statement over so many users and rounds, after a round
# to warm up; the settings come first
median() {
	run <<SQL
$1
CREATE TEMP TABLE times (ms float8);
DO \$\$
DECLARE u record; start timestamptz; pass int;
BEGIN
	FOR pass IN 0 .. ${4:-3} LOOP
		FOR u IN SELECT v FROM queries ORDER BY id LIMIT $3 LOOP
			start := clock_timestamp();
			PERFORM $2;
			IF pass > 0 THEN
				INSERT INTO times VALUES (extract(epoch FROM clock_timestamp() - start) * 1000);
			END IF;
		END LOOP;
	END LOOP;
END \$\$;
SELECT round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms))::numeric, 3) || ' ms, at most '
	|| round(max(ms)::numeric, 3) FROM times;
SQL
}

few=$((queries < 20 ? queries : 20))
best='item_id FROM shop_items ORDER BY (bias || factors) <#> u.v LIMIT 10'
run -c "CREATE TABLE queries AS SELECT hashint4(user_id) AS id, 1::real || factors AS v FROM shop_users ORDER BY 1 LIMIT $queries"
report "topk: with the index" "$(median "" "$best" "$queries")"
report "topk: without it" "$(median "SET enable_indexscan = off; SET max_parallel_workers_per_gather = 0;" "$best" "$few" 1)"
if [ "$(run -c "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")" = 0 ]; then
	echo "# pgvector is not installed"
else
	length=$((factors + 1))
	best='item_id FROM peer ORDER BY v <#> u.v::vector LIMIT 10'
	run -c "CREATE EXTENSION IF NOT EXISTS vector" \
		-c "CREATE UNLOGGED TABLE peer AS SELECT item_id, (bias || factors)::vector($length) AS v FROM shop_items" \
		-c "VACUUM ANALYZE peer"
	report "pgvector: exact" "$(median "SET max_parallel_workers_per_gather = 0;" "$best" "$few" 1)"
	if [ "$HNSW" != no ]; then
		report "pgvector: HNSW build" "$(run -c '\timing on' -c "SET maintenance_work_mem = '1GB'" \
			-c 'CREATE INDEX peer_hnsw ON peer USING hnsw (v vector_ip_ops)' | awk '/^Time:/ { t = $2 } END { printf "%.2f", t / 1000 }') s"
		report "pgvector: HNSW size" "$(run -c "SELECT pg_size_pretty(pg_relation_size('peer_hnsw'))")"
		for ef in 10 20 40 100; do
			report "pgvector: HNSW, ef_search $ef" "$(median "SET hnsw.ef_search = $ef;" "$best" "$queries")"
			report "pgvector: recall, ef_search $ef" "$(run <<SQL
SET hnsw.ef_search = $ef;
SELECT round(avg(cardinality(ARRAY(
		SELECT item_id FROM unnest(found) item_id INTERSECT SELECT item_id FROM unnest(best) item_id)) / 10.0), 3)
  FROM (SELECT ARRAY(SELECT item_id FROM peer ORDER BY v <#> q.v::vector LIMIT 10) AS found,
			   ARRAY(SELECT item_id FROM shop_items ORDER BY (bias || factors) <#> q.v LIMIT 10) AS best
		  FROM queries q) s;
SQL
)"
		done
	fi
fi
run -c "SELECT mf_drop('shop')" -c "DROP SCHEMA topk_bench_model CASCADE" > /dev/null

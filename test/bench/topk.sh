#!/bin/bash
# The index topk against pgvector's exact scan and its HNSW, on the same rows in
# the same server: builds, sizes, and the median time of a query.
#
#	test/bench/topk.sh [rows] [length] [sigma] [queries]
#
# Vectors have random directions and log-normal norms (sigma of the logarithm).
# Connects as psql does, as a superuser; makes and drops a schema topk_bench. pgvector is left
# out where it is not installed, HNSW with HNSW=no (its build takes minutes).
# Warm, two workers at the most; maintenance_work_mem 1 GB; vacuum when the script says so.
set -e
rows=${1:-1000000}
length=${2:-64}
sigma=${3:-0.6}
queries=${4:-200}
here=$(dirname "$0")

run() { psql -X -A -t -q -v ON_ERROR_STOP=1 "$@"; }
report() { printf '%-42s %12s\n' "$1" "$2"; }

run <<SQL
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS factor;
DROP SCHEMA IF EXISTS topk_bench CASCADE;
CREATE SCHEMA topk_bench;
SET search_path = topk_bench, public;
CREATE UNLOGGED TABLE items (item_id int PRIMARY KEY, factors real[], stock real) WITH (autovacuum_enabled = false);
CREATE UNLOGGED TABLE queries (id int PRIMARY KEY, v real[]);
SQL
"$here/vectors" "$rows" "$length" "$sigma" 1 |
	run -c "COPY topk_bench.items (item_id, factors) FROM STDIN"
"$here/vectors" "$queries" "$length" "$sigma" 2 |
	run -c "COPY topk_bench.queries FROM STDIN"
run -c "VACUUM ANALYZE topk_bench.items" -c "VACUUM ANALYZE topk_bench.queries"

# seconds to run some SQL
seconds() { run -c "\\timing on" -c "SET search_path = topk_bench, public" -c "SET maintenance_work_mem = '1GB'" -c "$1" | awk '/^Time:/ { t = $2 } END { printf "%.2f", t / 1000 }'; }

# median milliseconds of a query over so many of them and so many rounds (5 unless
# said), after one to warm up; the settings come first
median() {
	run <<SQL
SET search_path = topk_bench, public;
SET client_min_messages = warning;
$1
CREATE TEMP TABLE times (ms float8);
DO \$\$
DECLARE q record; start timestamptz; pass int;
BEGIN
	FOR pass IN 0 .. ${4:-5} LOOP
		FOR q IN SELECT id, v FROM queries ORDER BY id LIMIT $3 LOOP
			start := clock_timestamp();
			PERFORM $2;
			IF pass > 0 THEN
				INSERT INTO times VALUES (extract(epoch FROM clock_timestamp() - start) * 1000);
			END IF;
		END LOOP;
	END LOOP;
END \$\$;
SELECT round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms))::numeric, 3) || ' ms' FROM times;
SQL
}

# What was changed is written out now, and not beside what is measured next.
settle() { run -c CHECKPOINT; sleep 2; }

echo "# $rows rows of $length elements, norms log-normal with sigma $sigma, $queries queries, LIMIT 10"
report "topk: build" "$(seconds 'CREATE INDEX items_topk ON items USING topk (factors)') s"
report "topk: size" "$(run -c "SELECT pg_size_pretty(pg_relation_size('topk_bench.items_topk'))")"
settle
for op in '<#>' '<=>' '<->'; do
	report "topk: ORDER BY $op LIMIT 10" "$(median "" "item_id FROM items ORDER BY factors $op q.v LIMIT 10" "$queries")"
done

# a fifth of the rows come after the build
"$here/vectors" $((rows / 4)) "$length" "$sigma" 3 | awk -v n="$rows" 'BEGIN { FS = OFS = "\t" } { $1 += n; print }' |
	run -c "COPY topk_bench.items (item_id, factors) FROM STDIN"
run -c "ANALYZE topk_bench.items"
settle
for op in '<#>' '<=>' '<->'; do
	report "topk, a fifth came later: $op" "$(median "" "item_id FROM items ORDER BY factors $op q.v LIMIT 10" "$queries")"
done
run -c "DELETE FROM topk_bench.items WHERE item_id > $rows" -c "VACUUM topk_bench.items"

# the usual time once more, since machines' speed drifts; right after every row was
# rewritten; and after the vacuum
run -c "SET maintenance_work_mem = '1GB'" -c "REINDEX INDEX topk_bench.items_topk"
settle
for op in '<#>' '<=>' '<->'; do
	report "topk, built anew: $op" "$(median "" "item_id FROM items ORDER BY factors $op q.v LIMIT 10" "$queries")"
done
report "topk: rewrite all rows" "$(seconds 'UPDATE items SET factors = factors[1:] || ARRAY[]::real[], stock = 1') s"
settle
for op in '<#>' '<=>' '<->'; do
	report "topk, all rewritten, no vacuum: $op" "$(median "" "item_id FROM items ORDER BY factors $op q.v LIMIT 10" "$queries")"
done
run -c "VACUUM ANALYZE topk_bench.items"
settle
for op in '<#>' '<=>' '<->'; do
	report "topk, all rewritten, vacuumed: $op" "$(median "" "item_id FROM items ORDER BY factors $op q.v LIMIT 10" "$queries")"
done

run -c "DROP INDEX topk_bench.items_topk"
if [ "$(run -c "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")" = 0 ]; then
	echo "# pgvector is not installed"
else
	run -c "SET client_min_messages = warning" -c "CREATE EXTENSION IF NOT EXISTS vector" \
		-c "CREATE UNLOGGED TABLE topk_bench.peer AS SELECT item_id, factors::vector($length) AS factors FROM topk_bench.items" \
		-c "VACUUM ANALYZE topk_bench.peer"
	few=$((queries < 20 ? queries : 20))
	for op in '<#>' '<=>' '<->'; do
		report "pgvector exact: $op" "$(median "SET max_parallel_workers_per_gather = 0;" \
			"item_id FROM peer ORDER BY factors $op q.v::vector LIMIT 10" $few 1)"
	done
	if [ "$HNSW" != no ]; then
		report "pgvector HNSW: build" "$(seconds 'CREATE INDEX peer_hnsw ON peer USING hnsw (factors vector_ip_ops)') s"
		report "pgvector HNSW: size" "$(run -c "SELECT pg_size_pretty(pg_relation_size('topk_bench.peer_hnsw'))")"
		for ef in 40 60 70 80 100 200; do
			report "pgvector HNSW: <#>, ef_search $ef" "$(median "SET hnsw.ef_search = $ef;" \
				"item_id FROM peer ORDER BY factors <#> q.v::vector LIMIT 10" "$queries")"
			report "pgvector HNSW: recall, ef_search $ef" "$(run <<SQL
SET search_path = topk_bench, public;
SET hnsw.ef_search = $ef;
SELECT round(avg(cardinality(ARRAY(
		SELECT item_id FROM unnest(found) item_id INTERSECT SELECT item_id FROM unnest(best) item_id)) / 10.0), 3)
  FROM (SELECT ARRAY(SELECT item_id FROM peer ORDER BY factors <#> q.v::vector LIMIT 10) AS found,
			   ARRAY(SELECT item_id FROM items ORDER BY factors <#> q.v LIMIT 10) AS best
		  FROM (SELECT v FROM queries ORDER BY id LIMIT $few) q) s;
SQL
)"
		done
	fi
fi
run -c "SET client_min_messages = warning" -c "DROP SCHEMA topk_bench CASCADE"

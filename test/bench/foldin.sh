#!/bin/bash
# Recommendations that fold in: the time of mf_topk for users whom the model does
# not know, of mf_topk with live => true, and of mf_topk_for, for both kinds of
# feedback, beside mf_topk from the stored vector.
#
#   test/bench/foldin.sh [NAME=VALUE]...
#
# on the server that PGHOST, PGPORT, PGUSER and the like name, as a superuser.
# Names, with their defaults:
#
#   db=factor_bench users=30000 items=27000 ratings=3000000 factors=64 k=10
#   new=2000        users who come after the training, with others' ratings
#   basket=10       items of a basket
#   seconds=10      pgbench runs for each figure, after one second to warm up
#   verbose=        anything: show what pgbench says
#   keep=           anything: leave the schema bench_foldin there
#
# Statements are prepared; users are drawn at random. "Server" is the time of a
# statement in a loop within the server, the others are those that one client
# sees, which on a busy machine are mostly waiting for a processor.
set -eu -o pipefail

db=factor_bench users=30000 items=27000 ratings=3000000 factors=64 k=10 new=2000 basket=10 seconds=10 verbose= keep=
for setting; do
	case $setting in
		db=* | users=* | items=* | ratings=* | factors=* | k=* | new=* | basket=* | seconds=* | verbose=* | keep=*) declare "$setting" ;;
		*) echo "unknown: $setting" >&2; exit 2 ;;
	esac
done
here=$(cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning -c search_path=bench_foldin,public"
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$db" "$@"; }
if [ "$(psql -X -A -t -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = '$db'")" = 0 ]; then
	psql -X -q -d postgres -c "CREATE DATABASE \"$db\""
fi
sql -c "CREATE EXTENSION IF NOT EXISTS factor" -c "DROP SCHEMA IF EXISTS bench_foldin CASCADE" \
	-c "DELETE FROM mf_models WHERE schema = 'bench_foldin'" -c "DELETE FROM mf_history WHERE schema = 'bench_foldin'" \
	-c "CREATE SCHEMA bench_foldin"
sql -v table=ratings -v users="$users" -v items="$items" -v ratings="$ratings" -f "$here/generate.sql" >"$work/generate"
sql >"$work/train" <<END
SET maintenance_work_mem = '1GB';
CREATE INDEX ON ratings (user_id, item_id);
SELECT mf_train('ratings', model => 'explicit', factors => $factors, iterations => 5, verbose => false);
SELECT mf_train('ratings', model => 'implicit', feedback => 'implicit', factors => $factors, iterations => 5, verbose => false);
INSERT INTO ratings SELECT 1000000 + n, item_id, rating
FROM (SELECT user_id, row_number() OVER (ORDER BY hashint4(user_id)) AS n FROM explicit_users) u JOIN ratings USING (user_id)
WHERE n <= $new;
CREATE TABLE baskets AS
SELECT n AS id, array_agg(item_id::bigint) AS items, array_agg(rating::float8) AS ratings
FROM (SELECT user_id - 1000000 AS n, item_id, rating, row_number() OVER (PARTITION BY user_id ORDER BY hashint4(item_id)) AS place
	FROM ratings WHERE user_id > 1000000) r
WHERE place <= $basket GROUP BY n;
ALTER TABLE baskets ADD PRIMARY KEY (id);
CREATE TABLE known AS SELECT row_number() OVER (ORDER BY user_id) AS id, user_id FROM explicit_users;
ALTER TABLE known ADD PRIMARY KEY (id);
VACUUM ANALYZE ratings, baskets, known, explicit_users, explicit_items, implicit_users, implicit_items;
END
known=$(sql -c 'SELECT count(*) FROM known')
new=$(sql -c 'SELECT count(*) FROM baskets')
echo "# $(sql -c "SELECT items || ' items of ' || factors || ' factors' FROM mf_models WHERE model = 'explicit' AND schema = 'bench_foldin'"), $known users;" \
	"new users have $(sql -c 'SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY n) FROM (SELECT count(*) n FROM ratings WHERE user_id > 1000000 GROUP BY user_id) s')" \
	"ratings (median), at most $(sql -c 'SELECT max(n) FROM (SELECT count(*) n FROM ratings WHERE user_id > 1000000 GROUP BY user_id) s'); k = $k"
printf '%-42s %9s %9s %9s %9s\n' '# milliseconds' 'server' 'client' '95 %' 'a second'

# in_server HIGHEST STATEMENT: its median over 1000 draws, after as many to warm up
in_server()
{
	sql <<END
PREPARE statement (int) AS ${2//:u/\$1};
CREATE TEMP TABLE times (ms float8);
DO \$\$
DECLARE start timestamptz;
BEGIN
	FOR k IN 1 .. 2000 LOOP
		start := clock_timestamp();
		EXECUTE format('EXECUTE statement (%s)', 1 + floor(random() * $1));
		IF k > 1000 THEN
			INSERT INTO times VALUES (extract(epoch FROM clock_timestamp() - start) * 1000);
		END IF;
	END LOOP;
END \$\$;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FROM times;
END
}

# measure NAME HIGHEST STATEMENT: :u is drawn from 1 to HIGHEST
measure()
{
	local server

	server=$(in_server "$2" "$3")
	printf '\\set u random(1, %d)\n%s;\n' "$2" "$3" >"$work/script"
	rm -f "$work"/log.*
	pgbench -n -M prepared -f "$work/script" -T 1 "$db" >"$work/pgbench" 2>&1 &&
		pgbench -n -M prepared -f "$work/script" -T "$seconds" -l --log-prefix="$work/log" "$db" >"$work/pgbench" 2>&1 ||
		{ cat "$work/pgbench" >&2; exit 1; }
	[ -z "$verbose" ] || cat "$work/pgbench"
	sort -n -k 3,3 "$work"/log.* | awk -v what="$1" -v t="$seconds" -v server="$server" '{ ms[NR] = $3 / 1000 }
		END { printf "%-42s %9.3f %9.3f %9.3f %9.0f\n", what, server, ms[int((NR + 1) / 2)], ms[int(0.95 * NR + 0.5)], NR / t }'
}

for model in explicit implicit; do
	measure "$model: mf_topk, stored vector" "$known" "SELECT t.* FROM known, mf_topk(user_id, $k, '$model') t WHERE id = :u"
	measure "$model: mf_topk, a user not in the model" "$new" "SELECT * FROM mf_topk(1000000 + :u, $k, '$model')"
	measure "$model: mf_topk, live" "$known" "SELECT t.* FROM known, mf_topk(user_id, $k, '$model', live => true) t WHERE id = :u"
	measure "$model: mf_topk_for, $basket items" "$new" "SELECT t.* FROM baskets, mf_topk_for(items, ratings, $k, '$model') t WHERE id = :u"
	measure "$model: mf_topk_for, without ratings" "$new" "SELECT t.* FROM baskets, mf_topk_for(items, NULL, $k, '$model') t WHERE id = :u"
done
[ -n "$keep" ] || sql -c "SELECT mf_drop('explicit'), mf_drop('implicit')" -c "DROP SCHEMA bench_foldin CASCADE" >"$work/drop"

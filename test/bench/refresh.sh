#!/bin/bash
# Keeping up between trainings: mf_refresh of one named user, of one named item,
# and without names where nothing has changed and where some users' ratings have,
# and mf_retrain, for both kinds of feedback.
#
#   test/bench/refresh.sh [NAME=VALUE]...
#
# on the server that PGHOST, PGPORT, PGUSER and the like name, as a superuser.
# Names, with their defaults:
#
#   db=factor_bench users=30000 items=27000 ratings=3000000 factors=64
#   draws=50        named users and items for each figure, after one to warm up
#   changed=20      users whose ratings change
#
# Milliseconds, medians over the draws, measured in the server; users and items are
# drawn in proportion to their ratings.
set -eu -o pipefail

db=factor_bench users=30000 items=27000 ratings=3000000 factors=64 draws=50 changed=20
for setting; do
	case $setting in
		db=* | users=* | items=* | ratings=* | factors=* | draws=* | changed=*) declare "$setting" ;;
		*) echo "unknown: $setting" >&2; exit 2 ;;
	esac
done
export PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning -c maintenance_work_mem=1GB -c search_path=bench_refresh,public"
# shellcheck source=test/bench/ratings.bash
. "$(dirname -- "$0")/ratings.bash"
drop="SELECT mf_drop(model) FROM mf_models WHERE schema = 'bench_refresh'; DROP SCHEMA IF EXISTS bench_refresh CASCADE"
sql -c "$drop" -c 'CREATE SCHEMA bench_refresh' >/dev/null
sql >/dev/null <<END
CREATE TABLE own AS SELECT * FROM public.$table;
CREATE INDEX ON own (user_id);
CREATE INDEX ON own (item_id);
ANALYZE own;
SELECT mf_train('own', model => 'explicit', factors => $factors, iterations => 5, verbose => false);
SELECT mf_train('own', model => 'implicit', feedback => 'implicit', factors => $factors, iterations => 5, verbose => false);
CREATE FUNCTION milliseconds(what text, ids int[]) RETURNS numeric LANGUAGE plpgsql AS \$\$
DECLARE
	start timestamptz;
	times float8[];
BEGIN
	FOR k IN 1 .. cardinality(ids) LOOP
		start := clock_timestamp();
		EXECUTE format(what, ids[k]);
		IF k > 1 OR cardinality(ids) = 1 THEN
			times := times || (extract(epoch FROM clock_timestamp() - start) * 1000)::float8;
		END IF;
	END LOOP;
	RETURN round((SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times) t)::numeric, 1);
END \$\$;
CREATE TABLE drawn AS SELECT user_id, item_id FROM own ORDER BY hashint4(user_id * 31 + item_id) LIMIT $draws + 1;
VACUUM ANALYZE;
END

# figure NAME STATEMENT IDS
figure()
{
	printf '%-52s %9s\n' "$1" "$(sql -c "SELECT milliseconds(\$\$$2\$\$, $3)")"
}
echo "# $(sql -c "SELECT users || ' users, ' || items || ' items of ' || factors || ' factors, ' || ratings || ' ratings' FROM mf_models WHERE model = 'explicit' AND schema = 'bench_refresh'"); milliseconds"
for model in explicit implicit; do
	figure "$model: mf_refresh, a named user" "SELECT mf_refresh('$model', users => ARRAY[%s])" 'ARRAY(SELECT user_id FROM drawn)'
	figure "$model: mf_refresh, a named item" "SELECT mf_refresh('$model', users => NULL, items => ARRAY[%s])" 'ARRAY(SELECT item_id FROM drawn)'
	figure "$model: mf_refresh, nothing has changed" "SELECT mf_refresh('$model')" 'ARRAY[1, 2, 3, 4]'
done
sql -c "UPDATE own SET rating = 6 - rating WHERE user_id IN (SELECT DISTINCT user_id FROM drawn LIMIT $changed)"
for model in explicit implicit; do
	figure "$model: mf_refresh, $changed users' ratings changed" "SELECT mf_refresh('$model')" 'ARRAY[1]'
	figure "$model: mf_retrain" "SELECT mf_retrain('$model', verbose => false)" 'ARRAY[1]'
done
sql -c "$drop" >/dev/null

#!/bin/bash
# Times mf_evaluate: 100,000 users x 40,000 items x 64 factors, all items ranked
# for all users, without and with the baselines.
#
#   test/bench/evaluate.sh [USERS ITEMS FACTORS RATINGS]
#
# It uses the server that psql finds, with factor installed, in a database of its
# own that it makes and drops. The ratings are random, those of popular items
# more; the training is short, since only its vectors' number matters here.
set -eu -o pipefail

users=${1:-100000} items=${2:-40000} factors=${3:-64} ratings=${4:-5000000}
database=factor_bench_$$

createdb "$database"
trap 'dropdb "$database"' EXIT
psql -Xq -v ON_ERROR_STOP=1 -d "$database" <<END
CREATE EXTENSION factor;
SELECT setseed(0.5) \gset
CREATE UNLOGGED TABLE ratings AS
SELECT (random() * ($users - 1))::int AS user_id, ($items * random() ^ 3)::int AS item_id,
	   (1 + floor(random() * 5))::real AS rating
FROM generate_series(1, $ratings);
CREATE UNLOGGED TABLE training AS SELECT * FROM ratings WHERE NOT mf_holdout(user_id, item_id);
CREATE UNLOGGED TABLE testing AS SELECT * FROM ratings WHERE mf_holdout(user_id, item_id);
SET client_min_messages = warning;
SELECT users, items FROM mf_train('training', model => 'm', factors => $factors, iterations => 1, verbose => false, options => '{"index": false}');
\timing on
SELECT method, users, relevant_pairs, auc FROM mf_evaluate('m', 'testing');
SELECT method, users, relevant_pairs, auc FROM mf_evaluate('m', 'testing', baselines => true);
END

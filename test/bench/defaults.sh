#!/bin/bash
# Measures options of mf_train on several data sets: what the defaults were
# chosen by, and the tables of doc/defaults.md.
#
#   FACTOR_TEST_DATA=folder test/bench/defaults.sh [STUDY]...
#
# Studies: explicit, scales, implicit, weights, strangers; and of the stochastic
# solver rated, logistic, bpr.
#
# The folder holds ml-latest-small, book-crossing and lastfm. It uses the server
# that psql finds, with factor installed, in a database of its own that it makes
# and drops. No argument: all of them, some 40 minutes. Parts that tests hold out
# are left alone: last.fm's test part is not even loaded, and MovieLens is split by
# other salts than those of the tests.
set -eu -o pipefail

here=$(cd -- "$(dirname -- "$0")" && pwd)
database=factor_bench_$$
: "${FACTOR_TEST_DATA:?is to name the folder of the data}"

sql() { psql -XqAt -v ON_ERROR_STOP=1 -d "$database" "$@"; }

createdb "$database"
trap 'dropdb "$database"' EXIT
sql -v data="$FACTOR_TEST_DATA" -v tags="$here/../data/debian-tags.csv" -f "$here/defaults.sql"
sql -c "ALTER DATABASE $database SET client_min_messages = error" \
	-c "ALTER DATABASE $database SET search_path = bench, public"

# study NAME FEEDBACK "DATA[/SAMPLE]..." SALTS [COMMON] < OPTIONS: a line of
# options each, beside what all have in common
study()
{
	local name=$1 feedback=$2 sets=$3 salts=$4 common=${5:-} lines=() set salt options

	mapfile -t lines
	for set in $sets; do
		for salt in $salts; do
			{
				echo "SELECT split('${set%/*}', $salt);"
				for options in "${lines[@]}"; do
					echo "SELECT run('$name', '${set%/*}', $salt, '$feedback', \$o\$$options\$o\$, $(
						case $set in */*) echo "${set#*/}" ;; *) echo 1 ;; esac), \$o\$$common\$o\$);"
				done
			} | sql >/dev/null
		done
	done
	printf '\n== %s: %s feedback%s, splits %s\n\n' "$name" "$feedback" "${common:+, $common}" "$salts"
	sql -c "SELECT report('$name')"
}

explicit()
{
	study explicit explicit "movielens movielens-sparse movielens-dense books-rated" "100 101 102" <<-'END'

		factors => 1, regularization => 1e9, iterations => 50, bias_regularization => 2
		factors => 1, regularization => 1e9, iterations => 50, bias_regularization => 3
		factors => 1, regularization => 1e9, iterations => 50, bias_regularization => 4
		factors => 1, regularization => 1e9, iterations => 50, bias_regularization => 6
		regularization => 0.75 * {sd}
		regularization => 1 * {sd}
		regularization => 1.5 * {sd}
		regularization => 2 * {sd}
		reg_exponent => 0, regularization => 8 * {sd}
		reg_exponent => 0, regularization => 12 * {sd}
		reg_exponent => 0.25, regularization => 3 * {sd}
		reg_exponent => 0.25, regularization => 3.5 * {sd}
		reg_exponent => 0.25, regularization => 4 * {sd}
		reg_exponent => 0.75, regularization => 0.35 * {sd}
		reg_exponent => 0.75, regularization => 0.5 * {sd}
		reg_exponent => 1, regularization => 0.1 * {sd}
		reg_exponent => 1, regularization => 0.15 * {sd}
		bias_regularization => 2
		bias_regularization => 3
		bias_regularization => 6
		bias_regularization => 10
		factors => 8
		factors => 16
		factors => 64
		iterations => 5
		iterations => 10
		iterations => 30
	END
}

# The same ratings on another scale: the scaled default against a fixed number.
scales()
{
	study scales explicit "movielens movielens-x20" "100 101 102" <<-'END'

		regularization => 1.3
	END
}

# Lists are made for a part of the users (every third of last.fm's, say).
implicit()
{
	study implicit implicit "lastfm/3 movielens-counts movielens-dense tags/16 packages/3" "100" <<-'END'

		regularization => 0.1
		regularization => 0.2
		regularization => 0.25
		regularization => 0.4
		reg_exponent => 0, regularization => 3
		reg_exponent => 1, regularization => 0.01
		reg_exponent => 1, regularization => 0.02
		unobserved_weight => {density} * 2
		unobserved_weight => {density} * 10, regularization => 0.25
		unobserved_weight => {density} * 10
		unobserved_weight => 0.05
		factors => 32
		factors => 128
		iterations => 5
		iterations => 10
		iterations => 25
	END
}

# Stars as counts, twice and twenty times; and weights of one for all.
weights()
{
	study weights implicit "movielens-counts movielens-x20" "100" <<-'END'

		alpha => 1
		rating_col => NULL
	END
}

# The same taste with ever more of what is foreign to it.
strangers()
{
	study strangers implicit "lastfm/8 lastfm-x8/8" "100" <<-'END'

		unobserved_weight => 0.01
		unobserved_weight => 0.05
	END
}

# The stochastic solver: ratings, then what was chosen against what was not.
rated()
{
	study rated explicit "movielens movielens-sparse movielens-dense books-rated movielens-x20" "100 101" "solver => 'sgd'" <<-'END'

		init_std => 0.005
		init_std => 0.1
		learning_rate => 0.005
		learning_rate => 0.01 * {sd}
		learning_rate => 0.01 * {sd}, schedule => 'one_cycle'
		iterations => 15
		iterations => 60
		regularization => 1 * {sd}
		regularization => 1.5 * {sd}
		reg_exponent => 1, regularization => 0.1 * {sd}
		regularization => 0, weight_decay => 0.1
		bias_regularization => 2
		batch_size => 256
		optimizer => 'adagrad'
		optimizer => 'adagrad', learning_rate => 0.05 * {sd}
		optimizer => 'sgd'
		optimizer => 'sgd', learning_rate => 0.005 / {sd}
		optimizer => 'sgd', learning_rate => 0.02 / {sd}
	END
}

logistic()
{
	study logistic implicit "lastfm/6 movielens-counts/6 movielens-dense/2 tags/64" "100" "loss => 'logistic'" <<-'END'

		learning_rate => 0.05
		learning_rate => 0.2
		regularization => 0.01
		regularization => 0.04
		negatives => 1
		optimizer => 'adam'
		optimizer => 'sgd'
	END
}

bpr()
{
	study bpr implicit "lastfm/6 movielens-counts/6 movielens-dense/2 tags/64" "100" "loss => 'bpr'" <<-'END'

		learning_rate => 0.05
		learning_rate => 0.2
		regularization => 0.02
		regularization => 0.06
		negatives => 1
		negatives => 1, regularization => 0.02
		iterations => 60
		negative_sampling => 'popularity'
		optimizer => 'adam'
		optimizer => 'sgd'
	END
}

[ $# -gt 0 ] || set -- explicit scales implicit weights strangers rated logistic bpr
for name; do
	case $name in
		explicit|scales|implicit|weights|strangers|rated|logistic|bpr) "$name" ;;
		*) echo "no study \"$name\"" >&2; exit 1 ;;
	esac
done

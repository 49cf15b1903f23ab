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
		init_std => 0.05
		init_std => 0.1
		init_std => 0.2
		learning_rate => 0.005
		learning_rate => 0.0025 * {sd}
		learning_rate => 0.01 * {sd}
		learning_rate => 0.01 * {sd}, schedule => 'one_cycle'
		iterations => 15
		iterations => 60
		regularization => 1 * {sd}
		regularization => 1.5 * {sd}
		reg_exponent => 1, regularization => 0.1 * {sd}
		reg_exponent => 1, regularization => 0.15 * {sd}
		regularization => 0, weight_decay => 0.1
		bias_regularization => 2
		bias_regularization => 8
		batch_size => 16
		batch_size => 256
		optimizer => 'adagrad'
		optimizer => 'adagrad', learning_rate => 0.05 * {sd}
		optimizer => 'adagrad', learning_rate => 0.2 * {sd}
		optimizer => 'sgd'
		optimizer => 'sgd', learning_rate => 0.005
		optimizer => 'sgd', learning_rate => 0.02
	END
}

logistic()
{
	study logistic implicit "lastfm/3 movielens-counts movielens-dense tags/16 packages/3" "100" "loss => 'logistic'" <<-'END'

		init_std => 0.02
		init_std => 0.2
		learning_rate => 0.05
		learning_rate => 0.2
		regularization => 0.005
		regularization => 0.01
		regularization => 0.04
		negatives => 1
		negatives => 10
		iterations => 15
		iterations => 60
		optimizer => 'adam', learning_rate => 0.005, batch_size => 64
		optimizer => 'sgd', learning_rate => 0.05
		negative_sampling => 'popularity'
	END
}

bpr()
{
	study bpr implicit "lastfm/3 movielens-counts movielens-dense tags/16 packages/3" "100" "loss => 'bpr'" <<-'END'

		init_std => 0.02
		init_std => 0.2
		learning_rate => 0.05
		learning_rate => 0.2
		regularization => 0.005
		regularization => 0.01
		regularization => 0.04
		negatives => 4
		iterations => 15
		iterations => 60
		optimizer => 'adam', learning_rate => 0.005, batch_size => 64
		optimizer => 'sgd', learning_rate => 0.05
		negative_sampling => 'popularity'
	END
}

study try implicit "lastfm/3 movielens-counts/2 movielens-dense tags/16" "100" "loss => 'bpr'" <<-'END'
	regularization => 0.01, learning_rate => 0.05
	regularization => 0.015, learning_rate => 0.05
	negatives => 4, regularization => 0.04
	negatives => 4, regularization => 0.04, learning_rate => 0.05
	negatives => 4, regularization => 0.02, learning_rate => 0.05
	negatives => 4, regularization => 0.06, learning_rate => 0.05
	negatives => 2, regularization => 0.02, learning_rate => 0.05
	regularization => 0.0075, learning_rate => 0.05
	END
study tryl implicit "lastfm/3 movielens-counts/2 movielens-dense tags/16" "100" "loss => 'logistic'" <<-'END'

	regularization => 0.01
	regularization => 0.04
	learning_rate => 0.05
	regularization => 0.01, learning_rate => 0.05
	regularization => 0.04, learning_rate => 0.05
	negatives => 10
	init_std => 0.02
	negatives => 1
	END

#!/bin/bash
# A first tour of factor on a private server that is gone afterwards; `make demo`
# calls it.
#
#   test/demo.sh                                     the tags of Debian's packages
#   RATINGS=path/ratings.csv test/demo.sh            MovieLens' ratings
#   RATINGS=... TITLES=path/movies.csv test/demo.sh  and the films' titles
#
# Outside the sandbox it opens the files, which the server's user may have no
# right to read, as descriptors 3 and 4, and calls itself inside, where it
# builds, starts the server, loads the data and runs a script of test/demo/.
set -u -o pipefail

die() { printf '%s\n' "$*" >&2; exit 1; }

# resolve NAME VALUE: the file that a make variable names, relative to where
# make was called
resolve()
{
	local path=$2 candidate

	# shellcheck disable=SC2088 # no expansion wanted: make passes the tilde on
	case $path in '~/'*) path=$HOME/${path#'~/'} ;; esac
	for candidate in "${FACTOR_CALLED_FROM:-.}/$path" "$path"; do
		case $path in /*) candidate=$path ;; esac
		[ -e "$candidate" ] || continue
		[ ! -d "$candidate" ] || die "$1=$2 is a folder; name the file in it"
		[ -r "$candidate" ] || die "$1=$2 cannot be read: permission denied"
		[ -s "$candidate" ] || die "$1=$2 is empty"
		printf '%s\n' "$candidate"
		return
	done
	die "$1=$2 does not exist (looked in ${FACTOR_CALLED_FROM:-$PWD})"
}

# columns FILE: its header as column names, one a line, in lower case
columns()
{
	head -n 1 -- "$1" | tr -d '\r"' | sed 's/^\xef\xbb\xbf//' |
		tr '[:upper:],' '[:lower:]\n' | sed 's/^ *//; s/ *$//'
}

# check_header NAME VALUE FILE COLUMN...: an error where a column is missing
check_header()
{
	local name=$1 value=$2 file=$3 header column missing=

	shift 3
	header=$(columns "$file")
	for column; do
		grep -q -i -x "$column" <<<"$header" || missing=$column
	done
	if [ -n "$missing" ] || grep -q -v -x '[a-z_][a-z0-9_]*' <<<"$header"; then
		die "$name=$value does not start with the names of MovieLens' columns ($(IFS=,; echo "$*")); its first line is: $(head -n 1 -- "$file" | cut -c 1-100)"
	fi
}

outside()
{
	local ratings titles

	cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit
	[ -z "${TITLES:-}" ] || [ -n "${RATINGS:-}" ] || die "TITLES goes with RATINGS"
	if [ -n "${RATINGS:-}" ]; then
		ratings=$(resolve RATINGS "$RATINGS") || exit
		check_header RATINGS "$RATINGS" "$ratings" userId movieId rating
		FACTOR_RATINGS_COLUMNS=$(columns "$ratings")
		export FACTOR_RATINGS_COLUMNS
		exec 3<"$ratings"
	fi
	if [ -n "${TITLES:-}" ]; then
		titles=$(resolve TITLES "$TITLES") || exit
		check_header TITLES "$TITLES" "$titles" movieId title
		FACTOR_TITLES_COLUMNS=$(columns "$titles")
		export FACTOR_TITLES_COLUMNS
		exec 4<"$titles"
	fi
	exec test/sandbox.sh -p demo test/demo.sh
}

# quietly WHAT COMMAND...: its output only where it fails
quietly()
{
	local what=$1

	shift
	"$@" >"$FACTOR_SANDBOX/log" 2>&1 && return
	cat "$FACTOR_SANDBOX/log" >&2
	[ ! -f "$FACTOR_SANDBOX/server.log" ] || tail -n 30 "$FACTOR_SANDBOX/server.log" >&2
	die "could not $what"
}

start_server()
{
	export PGDATA=$FACTOR_SANDBOX/data.demo PGHOST=$FACTOR_SANDBOX/tmp PGPORT=5432 \
		PGUSER=demo PGDATABASE=demo PGCLIENTENCODING=UTF8 PAGER=

	initdb --no-sync -A trust -U demo -E UTF8 --locale=C &&
		cat >>"$PGDATA/postgresql.conf" <<-END &&
			listen_addresses = ''
			unix_socket_directories = '$PGHOST'
			fsync = off
			maintenance_work_mem = '256MB'
			max_wal_size = '4GB'
		END
		pg_ctl -s -w -l "$FACTOR_SANDBOX/server.log" start && createdb demo
}

# definition COLUMNS: the columns of a table for a file with that header
definition()
{
	sed -e '/^\(userid\|movieid\)$/ s/$/ bigint/' -e '/^rating$/ s/$/ real/' -e '/ /! s/$/ text/' <<<"$1" |
		paste -s -d, - | sed 's/,/, /g'
}

run_psql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }

# load TABLE COLUMNS: from standard input, whose lines may end in CR LF
load()
{
	run_psql -c "CREATE TABLE $1 ($(definition "$2"))" &&
		tr -d '\r' | run_psql -c "\\copy $1 FROM pstdin (FORMAT csv, HEADER)"
}

inside()
{
	local script=debian-tags

	echo "Building factor for $("$PG_CONFIG" --version) ..."
	quietly "build factor" make -s "PG_CONFIG=$PG_CONFIG" -j2 all
	quietly "install factor" make -s "PG_CONFIG=$PG_CONFIG" install
	echo "Starting a private server ..."
	quietly "start a server" start_server

	echo "Loading the data ..."
	if [ -n "${RATINGS:-}" ]; then
		script=movielens
		load ratings "$FACTOR_RATINGS_COLUMNS" <&3 || die "RATINGS=$RATINGS is not what COPY can read"
		if [ -n "${TITLES:-}" ]; then
			load movies "$FACTOR_TITLES_COLUMNS" <&4 || die "TITLES=$TITLES is not what COPY can read"
		else
			run_psql -c "CREATE TABLE movies AS
				SELECT DISTINCT movieid, 'film ' || movieid AS title FROM ratings" || exit
		fi
		run_psql -c "ALTER TABLE movies ADD PRIMARY KEY (movieid)" || die "TITLES=$TITLES lists a film twice, or one without a number"
	else
		load tags $'package\ntag' <test/data/debian-tags.csv || exit
	fi
	exec 3<&- 4<&-
	run_psql -f "test/demo/$script.sql" || exit
	pg_ctl -s -w -m fast stop
}

if [ -z "${FACTOR_SANDBOX:-}" ]; then outside; else inside; fi

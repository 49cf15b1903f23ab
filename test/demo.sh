#!/bin/bash
# A first tour of factor on a private server that is gone afterwards; `make demo`
# calls it.
#
#   test/demo.sh                                     the tags of Debian's packages
#   test/demo.sh RATINGS=path/ratings.csv            MovieLens' ratings
#   test/demo.sh RATINGS=... TITLES=path/movies.csv  and the films' titles
#   test/demo.sh KEEP=1                              the server stays up
#
# The variables may be make's or the environment's, too.
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
	local ratings titles argument

	for argument; do
		case $argument in
			[A-Z]*=*) export "${argument?}" ;;
			*) die "test/demo.sh takes VARIABLE=VALUE, not \"$argument\"" ;;
		esac
	done
	export FACTOR_CALLED_FROM=${FACTOR_CALLED_FROM:-$PWD}
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

# phase TITLE WHAT COMMAND...: a line with the time it took; its output only where it
# fails
phase()
{
	local title=$1 what=$2 started=$SECONDS

	shift 2
	printf '%s ... ' "$title"
	if "$@" >"$FACTOR_SANDBOX/log" 2>&1; then
		printf '%d s\n' $((SECONDS - started))
		return
	fi
	echo "FAILED"
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

build()
{
	make -s "PG_CONFIG=$PG_CONFIG" -j"$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)" all &&
		make -s "PG_CONFIG=$PG_CONFIG" install
}

load_movielens()
{
	load ratings "$FACTOR_RATINGS_COLUMNS" <&3 || die "RATINGS=$RATINGS is not what COPY can read"
	if [ -n "${TITLES:-}" ]; then
		load movies "$FACTOR_TITLES_COLUMNS" <&4 || die "TITLES=$TITLES is not what COPY can read"
	else
		run_psql -c "CREATE TABLE movies AS
			SELECT DISTINCT movieid, 'film ' || movieid AS title FROM ratings" || return
	fi
	run_psql -c "ALTER TABLE movies ADD PRIMARY KEY (movieid)" || die "TITLES=$TITLES lists a film twice, or one without a number"
}

load_tags() { load tags $'package\ntag' <test/data/debian-tags.csv; }

# write_scripts: psql and stop, for a server that stays up
write_scripts()
{
	cat >"$FACTOR_SANDBOX/psql" <<-END &&
		#!/bin/sh
		exec '$(command -v psql)' -h '$PGHOST' -p $PGPORT -U $PGUSER -d $PGDATABASE "\$@"
	END
		cat >"$FACTOR_SANDBOX/stop" <<-END &&
			#!/bin/sh
			pid=\$(head -n 1 '$PGDATA/postmaster.pid' 2>/dev/null) && kill -INT "\$pid"
			while [ -e '$PGDATA/postmaster.pid' ] && kill -0 "\$pid" 2>/dev/null; do sleep 0.1; done
			rm -rf '$FACTOR_SANDBOX'
		END
		chmod 755 "$FACTOR_SANDBOX/psql" "$FACTOR_SANDBOX/stop" &&
		: >"$FACTOR_SANDBOX/keep"
}

inside()
{
	local script=debian-tags where='in psql, where "test/demo.sh KEEP=1" keeps the server up'

	case ${KEEP:-} in 0|no|off) KEEP= ;; esac
	phase "Building factor for $("$PG_CONFIG" --version)" "build factor" build
	phase "Starting a private server" "start a server" start_server
	if [ -n "${RATINGS:-}" ]; then
		script=movielens
		phase "Loading the ratings" "load the ratings" load_movielens
	else
		phase "Loading the tags of Debian's packages" "load the tags" load_tags
	fi
	exec 3<&- 4<&-
	if [ -n "${KEEP:-}" ]; then
		write_scripts || exit
		where="in $FACTOR_SANDBOX/psql"
	fi
	run_psql -v where="$where" -f "test/demo/$script.sql" || exit
	cat <<-'END'

		== To read on
		README.md, from "Getting Started"    training, querying, indexing: a tour with your own tables
		doc/examples/README.md               whole jobs on real data, as scripts
		doc/reference.md                     every function, option, setting and error
	END
	if [ -n "${KEEP:-}" ]; then
		printf '\nThe server is up. To stop it and remove everything: %s/stop\n' "$FACTOR_SANDBOX"
	else
		pg_ctl -s -w -m fast stop
	fi
}

if [ -z "${FACTOR_SANDBOX:-}" ]; then outside "$@"; else inside; fi

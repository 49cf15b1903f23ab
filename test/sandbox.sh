#!/bin/bash
# Runs a command in a copy of the source tree with a private PostgreSQL to
# install into, and removes everything afterwards.
#
#   test/sandbox.sh [-p test|demo] COMMAND [ARGUMENT]...
#
# The server finds its shared files and libraries relative to its own
# executable. So a folder that repeats the layout of the installed one, with
# bin/ copied and the rest linked file by file, is a PostgreSQL of its own, into
# which an ordinary user can install an extension, and which knows nothing of
# the extensions that are only being tried there. Its pg_config is a script that
# puts the sandbox's folders in place of the original's: a copied pg_config would
# do so by itself, were it not for distributions that have it print fixed paths
# (Debian's and Ubuntu's packages up to PostgreSQL 14 do, for their bug 462037).
# The source is built in a copy too: the clone stays clean, and root can hand
# everything to an unprivileged user, as the server does not run as root.
#
# What runs depends on these variables, as make passes them on: PG_CONFIG chooses
# the PostgreSQL; ASSERT=1 wants one that was built with assertions, which PG_CONFIG
# names, or which is built here from the source in PGSRC, into the sandbox or, to
# be found there the next time, into the folder PGCACHE. KEEP: see test/demo.sh.
#
# The command gets: the copy of the source as its current directory, PG_CONFIG
# and PATH of the private PostgreSQL, FACTOR_SANDBOX (the temporary folder), HOME
# and TMPDIR in it, FACTOR_TEST_DATA (the data of ../shared/data, where they
# are), and none of the caller's PG* variables.
# shellcheck disable=SC2016,SC2317 # code for another shell; functions of a trap
set -u
umask 022

purpose="test"
if [ "${1:-}" = -p ]; then
	purpose=$2
	shift 2
fi
source_dir=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P) || exit

die() { printf '%s\n' "$*" >&2; exit 1; }

# The path of a Unix socket has 107 bytes at most, and make takes no spaces.
base=${TMPDIR:-/tmp}
case $base in *[!A-Za-z0-9/._+-]*) base=/tmp ;; esac
[ ${#base} -le 40 ] && [ -d "$base" ] && [ -w "$base" ] || base=/tmp
box=$(mktemp -d "$base/factor.XXXXXX") || exit
box=$(cd -- "$box" && pwd -P) || exit

# The processes whose executable lies in the sandbox, those that have ended and
# only wait to be collected left out; without /proc, the servers.
own_processes()
{
	local exe pid

	if [ ! -e /proc/self/exe ]; then
		find "$box" -name postmaster.pid -exec head -n 1 {} \;
		return
	fi
	for exe in /proc/[0-9]*/exe; do
		case $(readlink "$exe" 2>/dev/null) in
			"$box"/*)
				pid=${exe%/exe}
				grep -q '^State:.*Z' "$pid/status" 2>/dev/null || echo "${pid#/proc/}" ;;
		esac
	done
}

# Removes everything, on an interrupt after ending what runs. First the command
# is asked to end, so that test scripts stop their servers themselves; then the
# servers that are left are asked to quit, so that they still remove their shared
# memory, for which they wait five seconds for their children at most.
# A command that succeeded and left a file named "keep" wants all of it to stay.
group=
status=
cleanup()
{
	local attempt pids

	trap '' INT TERM HUP
	if [ "$status" = 0 ] && [ -e "$box/keep" ]; then return; fi
	if [ -n "$group" ] && kill -TERM -- "-$group" 2>/dev/null; then
		for attempt in {1..30}; do
			kill -0 -- "-$group" 2>/dev/null || break
			sleep 0.1
		done
	fi
	for attempt in {0..60}; do
		pids=$(own_processes)
		[ -n "$pids" ] || break
		# shellcheck disable=SC2086 # words are meant to split
		[ "$attempt" != 0 ] || kill -QUIT $pids 2>/dev/null
		sleep 0.1
	done
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
	[ -z "$group" ] || kill -KILL -- "-$group" 2>/dev/null
	cd / && rm -rf -- "$box"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# ---------------------------------------------------------------------------
# Which PostgreSQL
# ---------------------------------------------------------------------------

case ${ASSERT:-} in 0|no|off) ASSERT= ;; esac
if [ -n "${PGSRC:-}" ]; then
	[ -n "${ASSERT:-}" ] || die "PGSRC goes with ASSERT=1"
	[ -z "${PG_CONFIG:-}" ] || die "PGSRC and PG_CONFIG cannot both name the PostgreSQL to test with"
fi
pg_config=$("$source_dir/test/setup.sh" "$purpose") || exit
if [ -n "${PGSRC:-}" ]; then
	pg_config=$("$source_dir/test/postgres.sh" "$PGSRC" "${PGCACHE:-$box/postgresql}" "$box/build") || exit
	rm -rf -- "$box/build"
fi
case $pg_config in /*) ;; *) pg_config=$PWD/$pg_config ;; esac
if [ -n "${ASSERT:-}" ]; then
	headers=$("$pg_config" --includedir-server) &&
		grep -q '^#define USE_ASSERT_CHECKING 1' "$headers/pg_config.h" ||
		die "ASSERT=1 needs a PostgreSQL built with --enable-cassert, which that of $pg_config is not: name its source with PGSRC=/path/to/postgresql-NN, or such a one's pg_config with PG_CONFIG="
fi

# ---------------------------------------------------------------------------
# The private PostgreSQL, below a folder of its own: one installed in /home or /tmp
# would come upon the sandbox's
# ---------------------------------------------------------------------------

root=$box/root

# link_entries FOLDER [EXCEPT]: a folder in the sandbox with links to the entries.
link_entries()
{
	local entry

	mkdir -p -- "$root$1" || return
	for entry in "$1"/*; do
		[ "${entry##*/}" = "${2:-}" ] || ln -s -- "$entry" "$root$entry" || return
	done
}

# write_pg_config ORIGINAL FOLDER...: a script that prints what the original prints,
# the folders being those of the sandbox
write_pg_config()
{
	local original=$1 folder pattern replacements=

	shift
	for folder; do
		pattern=$(printf '%s' "$folder" | sed 's/[][\\.*^$|+?(){}]/\\&/g')
		replacements+=" -e 's|^([A-Z-]+ = )?$pattern\$|\\1$root$folder|'"
	done
	cat >"$private_pg_config" <<-END && chmod 755 -- "$private_pg_config"
		#!/bin/sh
		said=\$('$original' "\$@") || exit
		printf '%s\\n' "\$said" | sed -E$replacements
	END
}

make_private_postgres()
{
	local headers

	bindir=$("$pg_config" --bindir) && sharedir=$("$pg_config" --sharedir) &&
		pkglibdir=$("$pg_config" --pkglibdir) &&
		headers=$("$pg_config" --includedir-server) || return
	private_pg_config=$root$bindir/pg_config

	# The programs may lie among those of the whole system.
	mkdir -p -- "$root$bindir" "$root${headers%/*}" &&
		find -L "$bindir" -maxdepth 1 -type f \( -name 'pg*' -o -name 'postgres' -o -name 'postmaster' \
			-o -name psql -o -name initdb -o -name 'create*' -o -name 'drop*' -o -name '*db' \) \
			! -name pg_config -exec cp -L -- {} "$root$bindir/" \; &&
		link_entries "$sharedir" extension && link_entries "$sharedir/extension" &&
		link_entries "$pkglibdir" bitcode &&
		ln -s -- "$headers" "$root$headers" &&
		write_pg_config "$pg_config" "$bindir" "$sharedir" "$pkglibdir" || return

	# An installed factor has no part in this.
	rm -f -- "$root$sharedir/extension/factor.control" \
		"$root$sharedir"/extension/factor--*.sql "$root$pkglibdir/factor.so"
}

make_private_postgres ||
	die "could not copy the PostgreSQL of $pg_config to $root (is there room? TMPDIR names another folder)"

mkdir "$box/src" "$box/home" "$box/tmp" || exit
(cd -- "$source_dir" &&
 for entry in Makefile README.md LICENSE META.json factor.control sql src test expected doc; do
	[ ! -e "$entry" ] || printf '%s\0' "$entry"
 done |
 tar -c --exclude='*.o' --exclude='*.so' --exclude='*.a' --exclude='*.bc' --null -T - -f - |
 tar -x -C "$box/src" -f -) || die "could not copy $source_dir to $box/src"

# The server refuses to be root.
as_user=()
if [ "$(id -u)" = 0 ]; then
	user=nobody
	id -u postgres >/dev/null 2>&1 && user=postgres
	chown -R "$user:$(id -g "$user")" "$box" || exit
	as_user=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
fi

# Does the copied server run, and look for its files in the sandbox?
said=$(cd / && "${as_user[@]}" "$root$bindir/initdb" --show -D "$box/none" 2>&1) ||
	die "the programs of $bindir do not run as $(id -un "${user:-$(id -u)}") when copied to $root$bindir: $said (may programs run from there? TMPDIR names another folder)"
found=$(sed -n 's/^share_path=//p' <<<"$said")
[ "$found" = "$root$sharedir" ] ||
	die "the server of $bindir cannot be tried out in a copy: when copied to $root$bindir, it looks for its files in $found, not in $root$sharedir; so it was built without PostgreSQL's search relative to the executable"

data=${FACTOR_TEST_DATA:-$source_dir/../shared/data}
unset FACTOR_TEST_DATA
if [ -d "$data" ]; then
	FACTOR_TEST_DATA=$(cd -- "$data" && pwd -P) || exit
	if ! "${as_user[@]}" sh -c 'find -L "$1" \( -type d ! -executable -o ! -readable \) -print -quit |
			grep -q . && exit 1; ls "$1"' sh "$FACTOR_TEST_DATA" >/dev/null 2>&1; then
		cp -RL -- "$FACTOR_TEST_DATA" "$box/data" && chmod -R a+rX "$box/data" || exit
		FACTOR_TEST_DATA=$box/data
	fi
	export FACTOR_TEST_DATA
fi

# What the caller's environment says of servers, make and language stays outside.
export LC_ALL=C
for name in $(compgen -e PG); do
	unset "$name"
done
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES MAKEFILES LANG LANGUAGE DESTDIR ASAN_OPTIONS UBSAN_OPTIONS
export PG_CONFIG=$private_pg_config FACTOR_SANDBOX=$box HOME=$box/home TMPDIR=$box/tmp
PATH=$(dirname -- "$private_pg_config"):$PATH

# In a process group of its own, so that an interrupt ends all of it, and only
# once; the wait returns on a signal at once.
cd -- "$box/src" || exit
set -m
"${as_user[@]}" "$@" <&0 &
group=$!
set +m
wait "$group"
status=$?
group=
exit "$status"

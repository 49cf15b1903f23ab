#!/bin/bash
# Runs a command in a copy of the source tree with a private PostgreSQL to
# install into, and removes everything afterwards.
#
#   test/sandbox.sh [-p test|demo] COMMAND [ARGUMENT]...
#
# PostgreSQL finds its shared files and libraries relative to its own
# executable. So a folder that repeats the layout of the installed one, with
# bin/ copied and the rest linked file by file, is a PostgreSQL of its own, into
# which an ordinary user can install an extension, and which knows nothing of
# the extensions that are only being tried there. The source is built in a copy
# too: the clone stays clean, and root can hand everything to an unprivileged
# user, as the server does not run as root.
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

pg_config=$("$source_dir/test/setup.sh" "$purpose") || exit

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
group=
cleanup()
{
	local attempt pids

	trap '' INT TERM HUP
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

# The private PostgreSQL, below a folder of its own: one installed in /home or /tmp
# would come upon the sandbox's.
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

make_private_postgres()
{
	local bindir sharedir pkglibdir headers

	bindir=$("$pg_config" --bindir) && sharedir=$("$pg_config" --sharedir) &&
		pkglibdir=$("$pg_config" --pkglibdir) &&
		headers=$("$pg_config" --includedir-server) || return

	# The programs may lie among those of the whole system.
	mkdir -p -- "$root$bindir" "$root${headers%/*}" &&
		find -L "$bindir" -maxdepth 1 -type f \( -name 'pg*' -o -name 'postgres' -o -name 'postmaster' \
			-o -name psql -o -name initdb -o -name 'create*' -o -name 'drop*' -o -name '*db' \) \
			-exec cp -L -- {} "$root$bindir/" \; &&
		link_entries "$sharedir" extension && link_entries "$sharedir/extension" &&
		link_entries "$pkglibdir" bitcode &&
		ln -s -- "$headers" "$root$headers" || return

	# An installed factor has no part in this.
	rm -f -- "$root$sharedir/extension/factor.control" \
		"$root$sharedir"/extension/factor--*.sql "$root$pkglibdir/factor.so"
	private_pg_config=$root$bindir/pg_config
	[ "$("$private_pg_config" --sharedir)" = "$root$sharedir" ]
}

make_private_postgres ||
	die "could not set up a private PostgreSQL in $box from $pg_config (is there room, and may programs run from there? TMPDIR names another folder)"

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
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES MAKEFILES LANG LANGUAGE DESTDIR
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

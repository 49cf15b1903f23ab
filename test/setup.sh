#!/bin/bash
# Sees to it that PostgreSQL, its server headers, a compiler, OpenBLAS and, for
# the tests, Perl's IPC::Run are there, and prints the path of the pg_config to
# build with.
#
#   test/setup.sh test|demo
#
# What is missing is installed with apt-get where there is one: as root, or
# through sudo where that asks for no password. Otherwise a message says what is
# missing. Nothing is done, and nothing said, where nothing is missing.
#
# PG_CONFIG in the environment chooses the PostgreSQL; else it is the newest of
# Debian's layout that has server and headers, else the first pg_config on PATH.
set -u

purpose=${1:-test}
oldest=14
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

say() { printf '%s\n' "$*" >&2; }

# complete PG_CONFIG: has this PostgreSQL the server, the headers and PGXS?
complete()
{
	local bindir headers pgxs

	bindir=$("$1" --bindir 2>/dev/null) &&
		headers=$("$1" --includedir-server 2>/dev/null) &&
		pgxs=$("$1" --pgxs 2>/dev/null) &&
		[ -x "$bindir/postgres" ] && [ -x "$bindir/initdb" ] &&
		[ -x "$bindir/psql" ] && [ -f "$headers/postgres.h" ] && [ -f "$pgxs" ]
}

# debian_versions FILE: the versions that have bin/FILE, newest first.
debian_versions()
{
	local path version

	for path in /usr/lib/postgresql/*/bin/"$1"; do
		version=${path#/usr/lib/postgresql/}
		version=${version%%/*}
		case $version in
			*[!0-9]*) ;;
			*) [ -x "$path" ] && [ "$version" -ge "$oldest" ] && echo "$version" ;;
		esac
	done | sort -rn
}

# The pg_config to build with, empty where there is none.
choose_pg_config()
{
	local version candidate

	if [ -n "${PG_CONFIG:-}" ]; then
		complete "$PG_CONFIG" && command -v -- "$PG_CONFIG"
		return
	fi
	for version in $(debian_versions pg_config); do
		candidate=/usr/lib/postgresql/$version/bin/pg_config
		if complete "$candidate"; then
			echo "$candidate"
			return
		fi
	done
	complete pg_config && command -v pg_config
}

# The version to install where none is complete: that of the server which is
# there, else the one the distribution calls `postgresql`.
version_to_install()
{
	local version

	version=$(case ${PG_CONFIG:-} in
		/usr/lib/postgresql/*/bin/pg_config)
			version=${PG_CONFIG#/usr/lib/postgresql/}; echo "${version%%/*}" ;;
		esac)
	[ -n "$version" ] || version=$(debian_versions postgres | head -n 1)
	[ -n "$version" ] || version=$(apt-cache show postgresql 2>/dev/null |
		sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p' | sort -rn | head -n 1)
	echo "$version"
}

# The compiler is the one that PostgreSQL was built with.
have_compiler()
{
	local pg_config cc=gcc

	pg_config=$(choose_pg_config)
	[ -z "$pg_config" ] || cc=$("$pg_config" --cc)
	printf '#include <stdio.h>\nint main(void) { return 0; }\n' |
		"${cc%% *}" -x c -o /dev/null - 2>/dev/null
}

have_openblas()
{
	local dir

	PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -q 'libopenblas.*\.so' && return
	for dir in /usr/lib /usr/lib64 /usr/local/lib /usr/lib/*-linux-gnu* /opt/homebrew/opt/openblas/lib; do
		[ -n "$(compgen -G "$dir/libopenblas*")" ] && return
	done
	return 1
}

# What is missing, one a line: words for the reader, then Debian's packages.
missing()
{
	local nn

	if [ -z "$(choose_pg_config)" ]; then
		nn=$(version_to_install)
		if [ -n "$nn" ]; then
			echo "PostgreSQL's server and its headers: postgresql-$nn postgresql-server-dev-$nn"
		else
			echo "PostgreSQL's server and its headers: postgresql postgresql-server-dev-all"
		fi
	fi
	command -v make >/dev/null || echo "make: make"
	have_compiler || echo "a C compiler: gcc libc6-dev"
	have_openblas || echo "OpenBLAS: libopenblas0"
	if [ "$purpose" = test ]; then
		command -v prove >/dev/null && perl -MTest::More -e 1 2>/dev/null || echo "Perl with Test::More: perl"
		perl -MIPC::Run -e 1 2>/dev/null || echo "Perl's IPC::Run: libipc-run-perl"
	fi
}

# install PACKAGE...: false where we may not.
install()
{
	local as_root=(env DEBIAN_FRONTEND=noninteractive)

	if [ "$(id -u)" != 0 ]; then
		sudo -n true 2>/dev/null || return
		as_root=(sudo -n "${as_root[@]}")
	fi
	say "Installing $*"
	"${as_root[@]}" apt-get install -qq -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 "$@" >&2 </dev/null
}

# Package lists are brought up to date only where something has to be installed.
update()
{
	if [ "$(id -u)" = 0 ]; then
		apt-get update -qq >&2
	else
		sudo -n apt-get update -qq >&2 2>/dev/null
	fi
}

if [ -n "${PG_CONFIG:-}" ] && ! complete "$PG_CONFIG"; then
	case $PG_CONFIG in
		/usr/lib/postgresql/*/bin/pg_config) ;;
		*)	say "PG_CONFIG=$PG_CONFIG does not lead to a PostgreSQL with server, headers and PGXS."
			exit 1 ;;
	esac
fi

lacks=$(missing)
if [ -n "$lacks" ] && command -v apt-get >/dev/null; then
	update
	lacks=$(missing)
	# shellcheck disable=SC2046 # words are meant to split
	install $(printf '%s\n' "$lacks" | sed 's/^.*: //')
	lacks=$(missing)
fi

if [ -n "$lacks" ]; then
	say "This is missing on this machine:"
	printf '%s\n' "$lacks" | sed 's/: .*//; s/^/  - /' >&2
	if command -v apt-get >/dev/null; then
		say "To install it, as root:"
		say "  apt-get install $(printf '%s\n' "$lacks" | sed 's/^.*: //' | tr '\n' ' ')"
	fi
	exit 1
fi

chosen=$(choose_pg_config)
version=$("$chosen" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
if [ "${version:-0}" -lt "$oldest" ]; then
	say "factor needs PostgreSQL $oldest or later; $chosen is of $("$chosen" --version)."
	exit 1
fi
printf '%s\n' "$chosen"

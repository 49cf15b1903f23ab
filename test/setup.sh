#!/bin/bash
# Sees to it that PostgreSQL, its server headers, make, a compiler, OpenBLAS and,
# for the tests, Perl's IPC::Run are there, and prints the path of the pg_config to
# build with.
#
#   test/setup.sh test|demo
#
# What is missing is installed with apt-get where there is one: as root, or through
# sudo, which may ask for a password where there is a terminal to ask at. What
# apt-get says is shown only where it fails. Otherwise a message says what is
# missing. Nothing is done, and nothing said, where nothing is missing.
#
# PG_CONFIG in the environment chooses the PostgreSQL; else it is the newest of
# Debian's layout that has server and headers, else the first pg_config on PATH.
# With PGSRC a PostgreSQL is built from source instead: what that takes is wanted
# then, and no path is printed. SANITIZE wants the compiler's sanitizers.
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

have_sanitizers()
{
	local program status

	program=$(mktemp) || return
	printf 'int main(void) { return 0; }\n' |
		"${CC:-gcc}" -fsanitize=address,undefined -x c -o "$program" - 2>/dev/null
	status=$?
	rm -f -- "$program"
	return "$status"
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

	if [ -n "${PGSRC:-}" ]; then
		command -v bison >/dev/null || echo "bison: bison"
		command -v flex >/dev/null || echo "flex: flex"
		pkg-config --exists icu-i18n 2>/dev/null || echo "ICU: pkg-config libicu-dev"
	elif [ -z "$(choose_pg_config)" ]; then
		nn=$(version_to_install)
		if [ -n "$nn" ]; then
			echo "PostgreSQL's server and its headers: postgresql-$nn postgresql-server-dev-$nn"
		else
			echo "PostgreSQL's server and its headers: postgresql postgresql-server-dev-all"
		fi
	fi
	command -v make >/dev/null || echo "make: make"
	have_compiler || echo "a C compiler: gcc libc6-dev"
	[ -z "${SANITIZE:-}" ] || have_sanitizers || echo "the compiler's sanitizers: gcc libc6-dev"
	have_openblas || echo "OpenBLAS: libopenblas0"
	if [ "$purpose" = test ]; then
		command -v prove >/dev/null && perl -MTest::More -e 1 2>/dev/null || echo "Perl with Test::More: perl"
		perl -MIPC::Run -e 1 2>/dev/null || echo "Perl's IPC::Run: libipc-run-perl"
	fi
}

# as_root COMMAND...: false where we may not.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		env DEBIAN_FRONTEND=noninteractive "$@"
	else
		sudo "${sudo_options[@]}" env DEBIAN_FRONTEND=noninteractive "$@"
	fi
}

# May we install, asking for a password where someone can answer?
may_install()
{
	sudo_options=(-n)
	[ "$(id -u)" != 0 ] || return 0
	command -v sudo >/dev/null || return
	sudo -n true 2>/dev/null && return
	[ -t 2 ] && (: </dev/tty) 2>/dev/null || return
	sudo_options=()
	say "Software has to be installed first; sudo may ask for your password."
	sudo -v >&2
}

# quietly COMMAND...: as root, its output only where it fails
quietly()
{
	local log status

	log=$(mktemp) || return
	as_root "$@" >"$log" 2>&1 </dev/null
	status=$?
	[ "$status" = 0 ] || { say "FAILED: $*"; cat -- "$log" >&2; }
	rm -f -- "$log"
	return "$status"
}

# install_missing: package lists are brought up to date first, since only they tell
# what PostgreSQL there is to install.
install_missing()
{
	local packages started=$SECONDS

	may_install || return
	quietly apt-get update -qq
	packages=$(missing | sed 's/^.*: //' | tr '\n' ' ')
	printf 'Installing %s... ' "$packages" >&2
	# shellcheck disable=SC2086 # words are meant to split
	quietly apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 $packages || return
	say "$((SECONDS - started)) s"
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
	install_missing
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

[ -z "${PGSRC:-}" ] || exit 0
chosen=$(choose_pg_config)
version=$("$chosen" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
if [ "${version:-0}" -lt "$oldest" ]; then
	say "factor needs PostgreSQL $oldest or later; $chosen is of $("$chosen" --version)."
	exit 1
fi
printf '%s\n' "$chosen"

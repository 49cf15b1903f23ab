#!/bin/bash
# Builds PostgreSQL with assertions from its source, with what factor's tests need
# of it, and prints the path of its pg_config; test/sandbox.sh calls it.
#
#   test/postgres.sh SOURCE PREFIX BUILD-FOLDER
#
# It is installed into a folder of its own below PREFIX, named for its version; where
# that is there already, nothing is built. The source tree is only read, so it must
# not have been configured itself.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES MAKEFILES

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[ $# = 3 ] || die "usage: test/postgres.sh SOURCE PREFIX BUILD-FOLDER"
[ -x "$1/configure" ] || die "PGSRC=$1 is not PostgreSQL's source: there is no configure in it"
source=$(cd -- "$1" && pwd -P) || exit
[ ! -e "$source/config.status" ] ||
	die "PGSRC=$1 has been configured where it stands; 'make distclean' there, or name a fresh tree"
mkdir -p -- "$2" "$3" || exit
prefix=$(cd -- "$2" && pwd -P) || exit
version=$(sed -n "s/^PACKAGE_VERSION='\(.*\)'$/\1/p" "$source/configure")
prefix=$prefix/$version
log=$3/log

if [ -e "$prefix/complete" ]; then
	printf '%s\n' "$prefix/bin/pg_config"
	exit
fi
icu=--without-icu
pkg-config --exists icu-i18n 2>/dev/null && icu=--with-icu
zlib=--without-zlib
printf '#include <zlib.h>\n' | ${CC:-gcc} -E -x c - >/dev/null 2>&1 && zlib=--with-zlib

build()
{
	local folder

	cd -- "$1" &&
		"$source/configure" --prefix="$prefix" --enable-cassert --enable-debug --enable-tap-tests \
			--without-readline "$icu" "$zlib" CFLAGS="-O2 -g" &&
		make -s -j"$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)" &&
		make -s install || return
	for folder in contrib src/test/isolation src/test/perl; do
		make -s -j"$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)" -C "$folder" install || return
	done
	: >"$prefix/complete"
}

say "Building PostgreSQL $version with assertions ..."
started=$SECONDS
if ! (build "$3") >"$log" 2>&1; then
	tail -n 40 -- "$log" >&2
	die "could not build PostgreSQL $version from $source"
fi
say "  done in $((SECONDS - started)) s"
printf '%s\n' "$prefix/bin/pg_config"

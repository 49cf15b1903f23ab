#!/bin/bash
# Builds factor, installs it and runs every test, on a private server; `make test`
# calls it. A regress script, an isolation spec, a TAP script and a check of the
# numerics each count as one test. The last line says how many passed and failed;
# the exit status is 0 only where none failed.
#
#   test/run.sh [VARIABLE=VALUE]...
#
# These variables are heeded, which may be make's or the environment's, too: WERROR,
# PROFILE, COPT; and REGRESS, ISOLATION, PROVE_TESTS, NUMERICS to choose tests
# ("none" for none of a class):
#   make test REGRESS="predict topk" ISOLATION=none PROVE_TESTS=none NUMERICS=none
# TAP scripts that are chosen so show their notes: figures, seeds.
#
# SANITIZE=1 builds with the address and undefined-behaviour sanitizers, whose
# reports are failures; ASSERT=1 (with PGSRC= or PG_CONFIG=) runs on a server with
# assertions: see test/sandbox.sh. src/README says what each can find.
set -u -o pipefail

if [ -z "${FACTOR_SANDBOX:-}" ]; then
	for argument; do
		case $argument in
			[A-Z]*=*) export "${argument?}" ;;
			*)	echo "test/run.sh takes VARIABLE=VALUE, not \"$argument\"" >&2
				exit 1 ;;
		esac
	done
	exec "$(dirname -- "${BASH_SOURCE[0]}")/sandbox.sh" test/run.sh
fi
logs=$FACTOR_SANDBOX/logs
mkdir "$logs" || exit
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
total_passed=0
total_failed=0
summary=

# What no server's log may have, whatever a test expects of it.
crash='PANIC:  |^TRAP: |^=+[0-9]+=+ERROR: |: runtime error: '
crash+='|WARNING:  (problem in alloc set|detected write past|.*(reference|refcount|file|memory) leak|resource was not closed)'

heading() { printf '\n== %s\n' "$*"; }

# note CLASS PASSED FAILED [SKIPPED]: a line of the summary
note()
{
	total_passed=$((total_passed + $2))
	total_failed=$((total_failed + $3))
	summary+=$(printf '%-10s %4d passed, %d failed' "$1" "$2" "$3")
	[ "${4:-0}" = 0 ] || summary+=", $4 skipped"
	summary+=$'\n'
}

note_none() { summary+=$(printf '%-10s    no tests' "$1")$'\n'; }

# show FILE...: the files that a failure leaves behind, each with its name
show()
{
	local file

	for file; do
		[ -s "$file" ] || continue
		printf '\n---- %s\n' "${file#"$FACTOR_SANDBOX/"}"
		tail -n 200 -- "$file"
	done
}

finish()
{
	printf '\n== summary (%s)\n%s%d passed, %d failed\n' "$("$PG_CONFIG" --version)" \
		"$summary" "$total_passed" "$total_failed"
	[ "$total_failed" = 0 ] && [ "$total_passed" -gt 0 ]
	exit
}

build_options=()
for name in WERROR PROFILE COPT SANITIZE; do
	[ -z "${!name:-}" ] || build_options+=("$name=${!name}")
done
test_options=()
for name in REGRESS ISOLATION; do
	case ${!name:-} in
		'') ;;
		none) test_options+=("$name=") ;;
		*) test_options+=("$name=${!name}") ;;
	esac
done
numerics=${NUMERICS:-all}
tap=${PROVE_TESTS:-}
sanitize=${SANITIZE:-}
unset WERROR PROFILE COPT SANITIZE REGRESS ISOLATION NUMERICS PROVE_TESTS
ask_make() { make -s "PG_CONFIG=$PG_CONFIG" "$@"; }

heading "build"
if ! ask_make -j"$jobs" "${build_options[@]}" all; then
	note build 0 1
	finish
fi
if ! ask_make "${build_options[@]}" install >"$logs/install" 2>&1; then
	show "$logs/install"
	note build 0 1
	finish
fi

# ---------------------------------------------------------------------------
# Sanitizers: a process that finds something says so, in a file (addresses) or in
# its server's log (undefined behaviour), and ends
# ---------------------------------------------------------------------------

# How to start what loads factor.so: the sanitizers' libraries must come first in a
# process, and read their options before the server writes its title over them.
# Memory is not looked for leaks, since the server frees contexts as a whole and
# exits without freeing the rest; it asks for more than there is and expects NULL;
# its stacks are left by siglongjmp.
guarded=()
if [ -n "$sanitize" ]; then
	library=$(ldd factor.so | sed -n 's/^.*lib[au]*san.* => \([^ ]*\) .*/\1/p' | sort | tr '\n' ' ')
	# The compiler that PostgreSQL was built with, as for factor.so.
	if [ -z "$library" ] ||
		! $("$PG_CONFIG" --cc) -shared -fPIC -Wl,-z,initfirst -o "$FACTOR_SANDBOX/asan_first.so" test/asan_first.c; then
		echo "cannot preload the sanitizers' libraries (\"$library\")" >&2
		note build 0 1
		finish
	fi
	options=log_path=$logs/sanitizer:abort_on_error=1:print_stacktrace=1:handle_abort=0
	export FACTOR_SANITIZE=1
	guarded=(env "LD_PRELOAD=$library$FACTOR_SANDBOX/asan_first.so"
		"ASAN_OPTIONS=$options:detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=0:quarantine_size_mb=16"
		"UBSAN_OPTIONS=$options")
fi

# reports: shows what the sanitizers have found since the last call; true if anything
reports()
{
	local file found=1

	for file in "$logs"/sanitizer.*; do
		[ -e "$file" ] || continue
		show "$file"
		mv -- "$file" "$logs/seen.${file##*/}"
		found=0
	done
	return "$found"
}

# ---------------------------------------------------------------------------
# Numerics: plain C, without a server
# ---------------------------------------------------------------------------

test_numerics()
{
	local log=$logs/numerics status passed failed target=check

	heading "numerics"
	[ -z "$sanitize" ] || target=sanitize
	make -s -B -C test/numerics "${build_options[@]}" "$target" 2>&1 | tee "$log" | sed '/^ok /d'
	status=$?
	passed=$(sed -n 's/^\([0-9][0-9]*\) passed, [0-9][0-9]* failed.*/\1/p' "$log" | tail -n 1)
	failed=$(sed -n 's/^[0-9][0-9]* passed, \([0-9][0-9]*\) failed.*/\1/p' "$log" | tail -n 1)
	failed=${failed:-1}
	[ "$status" = 0 ] || [ "$failed" -gt 0 ] || failed=1
	note numerics "${passed:-0}" "$failed"
}

# ---------------------------------------------------------------------------
# Regress and isolation: a private server, and PGXS's installcheck on it
# ---------------------------------------------------------------------------

start_server()
{
	export PGDATA=$FACTOR_SANDBOX/data.regress PGHOST=$FACTOR_SANDBOX/tmp PGPORT=5432 \
		PGUSER=postgres

	initdb --no-sync -A trust -U postgres -E UTF8 --locale=C >"$logs/initdb" 2>&1 &&
		cat >>"$PGDATA/postgresql.conf" <<-END &&
			listen_addresses = ''
			unix_socket_directories = '$PGHOST'
			fsync = off
			log_line_prefix = '%m [%p] %q%a '
		END
		"${guarded[@]}" pg_ctl -s -w -l "$logs/server" start >"$logs/start" 2>&1
}

stop_server()
{
	pg_ctl -s -w -m fast stop >/dev/null 2>&1
	unset PGDATA PGHOST PGPORT PGUSER
}

# variable NAME: its value in the Makefile
variable()
{
	ask_make "${test_options[@]}" --eval="print-$1: ; @echo \$($1)" "print-$1"
}

# installcheck CLASS NAMES OTHER: one class of the installcheck, the other left out
installcheck()
{
	local class=$1 names=$2 other=$3 log=$logs/$1 status passed failed

	heading "$class"
	ask_make "${test_options[@]}" "$other=" installcheck 2>&1 | tee "$log"
	status=$?
	# PostgreSQL 15 writes "test name ... ok", 16 and later TAP.
	passed=$(grep -c -E '^(ok [0-9]|(test|    ) .*\.\.\. ok )' "$log")
	failed=$(wc -w <<<"$names")
	failed=$((failed - passed))
	[ "$status" = 0 ] || [ "$failed" -gt 0 ] || failed=1
	note "$class" "$passed" "$failed"
	[ "$failed" = 0 ] || show regression.diffs
}

test_on_server()
{
	local regress isolation

	regress=$(variable REGRESS)
	isolation=$(variable ISOLATION)
	if [ -n "$regress$isolation" ] && ! start_server; then
		show "$logs/initdb" "$logs/start" "$logs/server"
		note server 0 1
		return
	fi
	if [ -n "$regress" ]; then
		installcheck regress "$regress" ISOLATION
	else
		note_none regress
	fi
	if [ -n "$isolation" ]; then
		installcheck isolation "$isolation" REGRESS
	else
		note_none isolation
	fi
	if [ -n "$regress$isolation" ]; then
		stop_server
		# A crash is not lost among the differences it caused.
		if grep -q -E "$crash|was terminated by signal" "$logs/server"; then
			note crashes 0 1
			show "$logs/server"
		fi
		if reports; then
			note sanitizers 0 1
		fi
	fi
}

# ---------------------------------------------------------------------------
# TAP: scripts that run servers of their own
# ---------------------------------------------------------------------------

# complaints LOG: what a TAP script's own log complains of, briefly: its checks
# that failed, or how it died
complaints()
{
	grep -E -A 3 '(Failed test|^error running SQL|^# died|timed out|^waited)' "$1" |
		head -n 20 | sed 's/^/        /'
}

test_tap()
{
	local perl_dir script name log verdict started passed=0 failed=0 skipped=0 failures=

	# shellcheck disable=SC2086 # words and patterns are meant to expand
	set -- ${tap:-test/t/*.pl}
	if [ "$tap" = none ] || [ ! -e "$1" ]; then
		note_none tap
		return
	fi
	heading "tap"
	perl_dir=$(dirname -- "$("$PG_CONFIG" --pgxs)")/../../src/test
	if [ ! -e "$perl_dir/perl/PostgreSQL/Test/Cluster.pm" ]; then
		echo "No PostgreSQL::Test in $perl_dir/perl: PostgreSQL was built without --enable-tap-tests." >&2
		note tap 0 1
		return
	fi
	export TESTDIR=$PWD TESTDATADIR=$PWD/tmp_check TESTLOGDIR=$PWD/tmp_check/log \
		PG_REGRESS=$perl_dir/regress/pg_regress
	mkdir -p "$TESTLOGDIR"
	for script; do
		name=$(basename -- "$script" .pl)
		log=$logs/tap.$name
		started=$SECONDS
		verdict=ok
		if "${guarded[@]}" prove -v -I "$perl_dir/perl" -I test/t "$script" >"$log" 2>&1; then
			verdict=$(sed -n 's/^.*\.pl \.* skipped: /skipped: /p' "$log")
			if [ -n "$verdict" ]; then
				skipped=$((skipped + 1))
			else
				passed=$((passed + 1))
				verdict=ok
			fi
		else
			failed=$((failed + 1))
			verdict=FAILED
		fi
		if reports || grep -q -E "$crash" "$TESTLOGDIR/${name}"_*.log 2>/dev/null; then
			[ "$verdict" = FAILED ] || failed=$((failed + 1))
			[ "$verdict" != ok ] || passed=$((passed - 1))
			verdict=FAILED
		fi
		printf '%-40s %s (%d s)\n' "$name" "$verdict" $((SECONDS - started))
		sed -n 's/^ok [0-9]* # skip/    skipped:/p' "$log"
		[ -z "$tap" ] || sed -n 's/^# /    /p' "$log"
		if [ "$verdict" = FAILED ]; then
			show "$TESTLOGDIR/${name}"_*.log "$log"
			failures+=$(printf '    %s\n' "$name" && complaints "$TESTLOGDIR/regress_log_$name")$'\n'
		fi
	done
	note tap "$passed" "$failed" "$skipped"
	summary+=$failures
}

if [ -n "${FACTOR_TEST_DATA:-}" ]; then
	heading "data: $FACTOR_TEST_DATA"
else
	heading "data: no ../shared/data beside the clone; tests that need it are skipped"
fi

if [ "$numerics" != none ] && [ -f test/numerics/Makefile ]; then
	test_numerics
else
	note_none numerics
fi
test_on_server
test_tap
finish

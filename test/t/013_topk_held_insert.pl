# An insert that is held up between learning the open page of its bucket and
# locking it, while vacuum empties that page and packs sorted entries onto it.
#
# That moment is some instructions long, so it is made to last: readers are stopped
# (SIGSTOP) at random until one happens to hold the lock of that page, which shows
# by an insert that waits for it. Then the insert is stopped as well, in the page's
# queue, and the readers go on and leave. Now the insert holds nothing that vacuum
# wants; it goes on when vacuum is done.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use lib dirname(__FILE__);
use FactorTest;

plan skip_all => 'Windows has no signals that stop a process' if $PostgreSQL::Test::Utils::windows_os;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nmax_parallel_workers_per_gather = 0\n");
$node->start;

# One bucket of norms, 1 to 1.125, and one direction. A page takes 352 entries.
# Vacuum finds three pages of which a little is left, and one, the open page, on
# which there is nothing: the one that it will pack all entries onto.
$node->safe_psql('postgres', q{
	CREATE EXTENSION factor;
	CREATE TABLE held ();
	CREATE TABLE t (id int, v real[]) WITH (vacuum_truncate = off);
	CREATE INDEX t_v ON t USING topk (v);
	INSERT INTO t SELECT i, array_fill((1 + i / 20000.0)::real / 2, ARRAY[4]) FROM generate_series(1, 3 * 352 + 100) i;
	DELETE FROM t WHERE id > 3 * 352 OR id % 352 >= 30;
});

sub backend
{
	my ($name) = @_;

	return $node->safe_psql('postgres', qq{SELECT pid FROM pg_stat_activity WHERE application_name = '$name'});
}

my @readers = map { session_start($node, "reader_$_", q{
	SET enable_seqscan = off;
	SET enable_sort = off;
	SELECT count(*) FROM generate_series(1, 10000), generate_series(1, 10000) i,
		LATERAL (SELECT id FROM t ORDER BY v <=> array_fill((1 + i % 3)::real, ARRAY[4]) LIMIT 1) s}) } 1 .. 4;
my $reading = q{SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'reader%' AND query LIKE '%LATERAL%'};
wait_for($node, "SELECT count(*) = 4 FROM ($reading) s", 'the readers');
my @reading = split /\n/, $node->safe_psql('postgres', $reading);

# Others may wait for whatever the readers hold when they are stopped, and those who
# are asked here too. So they never stand still for long.
local $SIG{ALRM} = sub { kill 'CONT', @reading };

my ($insert, $inserting);
my $tries = 0;

until ($inserting || $tries == 200)
{
	my $waiting;

	$tries++;
	kill 'STOP', @reading;
	alarm 2;
	# rolled back, unless held up
	$insert = session_start($node, "insert_$tries", q{
		INSERT INTO t VALUES (9999, array_fill(1.12::real / 2, ARRAY[4]));
		SELECT 1 / count(*) FROM held});
	for (1 .. 50)
	{
		$waiting = $node->safe_psql('postgres', qq{
			SELECT wait_event FROM pg_stat_activity
			WHERE application_name = 'insert_$tries' AND query LIKE '%INSERT%' AND wait_event_type = 'LWLock'})
		  and last;
		last unless $insert->{run}->pumpable;
		$insert->{run}->pump_nb;
	}
	if ($waiting && $waiting =~ /^BufferContent$/i)
	{
		$inserting = backend("insert_$tries");
		kill 'STOP', $inserting;
	}
	kill 'CONT', @reading;
	alarm 0;
	session_end($insert) unless $inserting;
}
note "held in try $tries";
kill 'TERM', @reading;
session_end($_) for @readers;

SKIP:
{
	skip 'no insert could be held at its page', 4 unless $inserting;

	$node->safe_psql('postgres', 'INSERT INTO held DEFAULT VALUES');
	$node->safe_psql('postgres', 'VACUUM t');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM t WHERE id = 9999}), 0, 'the insert is held up');
	kill 'CONT', $inserting;
	is(session_end($insert), '', 'it goes on');
	my ($status, $out, $err) = $node->psql('postgres', q{SELECT mf_index_check('t_v') = count(*) FROM t});
	is("$out$err", 't', 'the index is whole');
	is($node->safe_psql('postgres', q{
		SET enable_seqscan = off;
		SELECT id FROM t ORDER BY v <#> '{1,1,1,1}' LIMIT 1}), 9999, 'a scan finds the row');
}
$node->stop;
done_testing();

# The index topk on a standby after every kind of change, and after crashes.
use strict;
use warnings;

use File::Basename;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib dirname(__FILE__);
use FactorTest;
use TopkTest;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);

# Every page that the standby replays is compared with the primary's.
$primary->append_conf(
	'postgresql.conf', q{
autovacuum = off
restart_after_crash = on
wal_consistency_checking = 'generic'
wal_keep_size = '2GB'
max_parallel_workers_per_gather = 0
});
$primary->start;
topk_functions($primary);
$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# Fifty neighbours by each operator, in a line.
my $answers = q{
	SET enable_seqscan = off;
	SELECT md5(string_agg(op || n::text, ' ' ORDER BY op, n))
	FROM (VALUES ('cosine', ARRAY(SELECT id FROM t ORDER BY v <=> '{1,-2,3,4,-5,6,7,8}', id LIMIT 50)),
		('product', ARRAY(SELECT id FROM t ORDER BY v <#> '{1,-2,3,4,-5,6,7,8}', id LIMIT 50)),
		('euclidean', ARRAY(SELECT id FROM t ORDER BY v <-> '{1,-2,3,4,-5,6,7,8}', id LIMIT 50))) AS s(op, n);
};
my $differs = q{
	SELECT topk_differs('t', op, '{1,-2,3,4,-5,6,7,8}', k)
	FROM unnest('{<=>,<#>,<->}'::text[]) op, unnest('{10,1000,NULL}'::int[]) k;
};

# Right on the primary, and the same on the standby.
sub check_both
{
	my ($what) = @_;
	my $rows = $primary->safe_psql('postgres', 'SELECT count(*) FROM t');

	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	foreach my $node ($primary, $standby)
	{
		my $name = $node->name;

		is($node->safe_psql('postgres', q{SELECT mf_index_check('t_v')}), $rows, "$what: index check on the $name");
		is($node->safe_psql('postgres', $differs) =~ s/\n//gr, '', "$what: right answers on the $name");
	}
	is($standby->safe_psql('postgres', $answers), $primary->safe_psql('postgres', $answers), "$what: the same answers");
}

sub change
{
	my ($what, $sql) = @_;

	$primary->safe_psql('postgres', "SELECT setseed(0.25);\n$sql");
	check_both($what);
}

change('build', q{
	CREATE TABLE t (id int, v real[]);
	INSERT INTO t SELECT i, topk_vector(8, 0.1) FROM generate_series(1, 20000) i;
	CREATE INDEX t_v ON t USING topk (v);
});
change('insert', q{INSERT INTO t SELECT 20000 + i, topk_vector(8, 0.1) FROM generate_series(1, 10000) i});
change('update', q{UPDATE t SET v = topk_vector(8, 0.1) WHERE id % 3 = 0});
change('killed entries', $differs);
change('rollback', q{BEGIN; INSERT INTO t SELECT 0, topk_vector(8, 0) FROM generate_series(1, 5000); ROLLBACK});
change('delete', q{DELETE FROM t WHERE id % 4 = 0});
change('vacuum', q{VACUUM t});
change('inserts in freed room', q{INSERT INTO t SELECT 40000 + i, topk_vector(8, 0.1) FROM generate_series(1, 5000) i});
change('most deleted', q{DELETE FROM t WHERE id > 100});
change('pages freed', q{VACUUM t});
change('pages reused', q{INSERT INTO t SELECT 60000 + i, topk_vector(8, 0.1) FROM generate_series(1, 15000) i});
change('another length', q{
	DELETE FROM t;
	INSERT INTO t SELECT i, topk_vector(9, 0) FROM generate_series(1, 3000) i;
	VACUUM t;
	DELETE FROM t;
	VACUUM t;
	INSERT INTO t SELECT i, topk_vector(8, 0.1) FROM generate_series(1, 15000) i;
});
change('reindex', q{REINDEX INDEX t_v});
change('reindex concurrently', q{REINDEX INDEX CONCURRENTLY t_v});
change('truncate', q{TRUNCATE t});
change('insert into nothing', q{INSERT INTO t SELECT i, topk_vector(8, 0.1) FROM generate_series(1, 5000) i});
change('create concurrently', q{DROP INDEX t_v; CREATE INDEX CONCURRENTLY t_v ON t USING topk (v)});

# Vacuum packs a table of later rows. A cursor on the standby, opened before, goes
# on after that and after its pages have been taken. A snapshot held on the primary
# keeps vacuum from calling pages of rows that came later all-visible, for which the
# heap's own rules would end the cursor.
$primary->safe_psql('postgres', q{
	CREATE EXTENSION dblink;
	CREATE TABLE p (id int, v real[]);
	CREATE INDEX p_v ON p USING topk (v);
	INSERT INTO p SELECT i, topk_even(64, 0.02) FROM generate_series(1, 4000) i;
});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
foreach my $op ('<=>', '<#>', '<->')
{
	my $connection = $standby->connstr('postgres') =~ s/'/''/gr;
	my $own = $primary->connstr('postgres') =~ s/'/''/gr;
	my $wait = q{DO $$ BEGIN
			WHILE dblink_lsn() < pg_current_wal_insert_lsn() LOOP PERFORM pg_sleep(0.01); END LOOP;
		END $$;};
	my $result = $primary->safe_psql('postgres', qq{
		SELECT dblink_connect('reader', '$connection'), dblink_connect('replay', '$connection'),
			dblink_connect('holder', '$own');
		CREATE FUNCTION dblink_lsn() RETURNS pg_lsn LANGUAGE sql AS
			'SELECT l FROM dblink(''replay'', ''SELECT pg_last_wal_replay_lsn()'') AS t (l pg_lsn)';
		CREATE TEMP TABLE query AS SELECT topk_vector(64, 0) AS q;
		CREATE TEMP TABLE expected AS SELECT id, v $op q AS d FROM p, query;
		CREATE TEMP TABLE seen (n serial, id int, d float8);
		SELECT dblink_exec('reader', 'SET enable_seqscan = off'), dblink_exec('reader', 'SET enable_sort = off'),
			dblink_exec('reader', 'BEGIN ISOLATION LEVEL REPEATABLE READ'),
			dblink_open('reader', 'c', format('SELECT id, v $op %L::real[] AS d FROM p ORDER BY d', q)) FROM query;
		SELECT dblink_exec('holder', 'BEGIN ISOLATION LEVEL REPEATABLE READ');
		SELECT FROM dblink('holder', 'SELECT count(*) FROM p') AS t (n int);
		INSERT INTO seen (id, d) SELECT * FROM dblink_fetch('reader', 'c', 5) AS t (id int, d float8);
		VACUUM p;
		INSERT INTO p SELECT -1, topk_even(64, 0) FROM generate_series(1, 6000);
		$wait
		INSERT INTO seen (id, d) SELECT * FROM dblink_fetch('reader', 'c', 900) AS t (id int, d float8);
		VACUUM p;
		INSERT INTO p SELECT -1, topk_even(64, 0) FROM generate_series(1, 3000);
		$wait
		INSERT INTO seen (id, d) SELECT * FROM dblink_fetch('reader', 'c', 100000) AS t (id int, d float8);
		SELECT dblink_disconnect('reader'), dblink_disconnect('replay'), dblink_disconnect('holder');
		DROP FUNCTION dblink_lsn();
		CHECKPOINT;
		SELECT 'result', (SELECT count(*) FROM seen) = (SELECT count(*) FROM expected),
			(SELECT count(*) FROM (SELECT id, d FROM seen EXCEPT ALL TABLE expected) x),
			(SELECT count(*) FROM (SELECT d < lag(d) OVER (ORDER BY n) AS wrong FROM seen) x WHERE wrong),
			topk_packings('p_v') > 0;
		TRUNCATE p;
		INSERT INTO p SELECT i, topk_even(64, 0.02) FROM generate_series(1, 4000) i;
	});

	like($result, qr/^result\|t\|0\|0\|t$/m, "a cursor by $op on the standby outlasts packing");
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	is($standby->safe_psql('postgres', q{SELECT mf_index_check('p_v')}), 4000, 'index check on the standby');
}
unlike(slurp_file($standby->logfile), qr/inconsistent page found/, 'no page differs on the standby');

# ---------------------------------------------------------------------------
# kill -9

# Kills a backend while it runs some SQL over and over, waits for the server to
# recover, and checks the index.
sub kill_while
{
	my ($what, $sql, $wait) = @_;
	my $script = $primary->basedir . '/victim.sql';
	my $session = { out => '', err => '' };
	my ($pid, $offset);

	append_to_file($script, $sql);
	$session->{run} = IPC::Run::start(
		[ 'pgbench', '-n', '-T', 600, '-f', $script, $primary->connstr('postgres') . ' application_name=victim' ],
		'<', \undef, '>', \$session->{out}, '2>', \$session->{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	wait_for($primary, $wait, "$what to be on its way");
	# pgbench connects once before it begins, and that session may still be seen.
	$pid = $primary->safe_psql('postgres',
		q{SELECT pid FROM pg_stat_activity WHERE application_name = 'victim' ORDER BY backend_start DESC LIMIT 1});
	$offset = -s $primary->logfile;
	kill 'KILL', $pid;
	$session->{run}->finish;
	unlink $script;
	wait_for_restart($primary, $offset);
	like($session->{err}, qr/backend died|server closed the connection|terminating connection/, "$what was killed");
	wait_for($standby, 'SELECT count(*) = 1 FROM pg_stat_wal_receiver', 'the standby to follow again');
	check_both($what);
}

my $begun = q{SELECT EXISTS (SELECT FROM pg_stat_activity
	WHERE application_name = 'victim' AND backend_start < clock_timestamp() - interval '300 ms')};
my $running = q{SELECT EXISTS (SELECT FROM pg_stat_activity
	WHERE application_name = 'victim' AND state = 'active' AND query_start < clock_timestamp() - interval '100 ms')};

$primary->safe_psql('postgres', q{
	CREATE TABLE large (id int, v real[]);
	INSERT INTO large SELECT i, topk_vector(8, 0) FROM generate_series(1, 100000) i;
});
for my $round (1 .. 3)
{
	kill_while("an insert, round $round",
		"INSERT INTO t SELECT 100000 + i, topk_vector(8, 0.1) FROM generate_series(1, 1000000) i;", $running);
	kill_while("committed inserts, round $round",
		'INSERT INTO t SELECT 200000 + i, topk_vector(8, 0.1) FROM generate_series(1, 3) i;', $begun);
	kill_while("an update, round $round",
		q{\set part random(0, 99)
		UPDATE t SET v = topk_vector(8, 0.1) WHERE id % 100 = :part;}, $begun);
	kill_while("a vacuum beside inserts, round $round",
		q{\set part random(0, 9)
		DELETE FROM t WHERE id % 10 = :part;
		INSERT INTO t SELECT 300000 + i, topk_vector(8, 0.1) FROM generate_series(1, 500) i;
		VACUUM t;},
		q{SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE phase LIKE 'vacuuming%')});
	kill_while("a build, round $round",
		'BEGIN; SET maintenance_work_mem = 1024; CREATE INDEX large_v ON large USING topk (v); ROLLBACK;',
		q{SELECT EXISTS (SELECT FROM pg_stat_progress_create_index
			WHERE phase LIKE 'building index%')});
	is($primary->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'large_v'}), 0,
		"round $round: nothing is left of the build");
}
$primary->safe_psql('postgres', 'CREATE INDEX large_v ON large USING topk (v)');
is($primary->safe_psql('postgres', q{SELECT mf_index_check('large_v')}), 100000, 'the build works afterwards');

# Vacuum while it packs, which delays make long enough to hit at any step.
for my $round (1 .. 6)
{
	my $least = 80 * ($round - 1);

	$primary->safe_psql('postgres', q{UPDATE p SET v = topk_even(64, 0.02)});
	kill_while("packing, round $round",
		q{SET vacuum_cost_limit = 20; SET vacuum_cost_page_hit = 1; SET vacuum_cost_page_dirty = 1;
		SET vacuum_cost_delay = 50;
		UPDATE p SET v = topk_even(64, 0.02) WHERE id % 2 = 0;
		VACUUM p;},
		qq{SELECT coalesce((SELECT pg_sleep($least / 1000.0) IS NOT NULL FROM pg_stat_progress_vacuum
			WHERE phase = 'cleaning up indexes'), false)});
	is($primary->safe_psql('postgres', q{SELECT mf_index_check('p_v') = count(*) FROM p}), 't',
		"packing, round $round: the packed index is whole");
	is($primary->safe_psql('postgres', q{
		SELECT topk_differs('p', op, topk_vector(64, 0), k)
		FROM unnest('{<=>,<#>,<->}'::text[]) op, unnest('{10,NULL}'::int[]) k}) =~ s/\n//gr, '',
		"packing, round $round: right answers");
	$primary->safe_psql('postgres', 'VACUUM p') if $round % 2;
	is($primary->safe_psql('postgres', q{SELECT mf_index_check('p_v') = count(*) FROM p}), 't',
		"packing, round $round: whole after the next vacuum");
}

# An unlogged table's index is empty after a crash, and works.
$primary->safe_psql('postgres', q{
	CREATE UNLOGGED TABLE u (id int, v real[]);
	CREATE INDEX u_v ON u USING topk (v);
	INSERT INTO u SELECT i, topk_vector(8, 0) FROM generate_series(1, 1000) i;
	CHECKPOINT;
});
$primary->stop('immediate');
$primary->start;
is($primary->safe_psql('postgres', q{SELECT mf_index_check('u_v')}), 0, 'an unlogged index is empty after a crash');
$primary->safe_psql('postgres', q{INSERT INTO u SELECT i, topk_vector(8, 0) FROM generate_series(1, 1000) i});
is($primary->safe_psql('postgres', q{SELECT mf_index_check('u_v')}), 1000, 'and takes entries');
is($primary->safe_psql('postgres', q{SELECT topk_differs('u', '<=>', topk_vector(8, 0), 100)}), '', 'and answers right');

# The standby takes over.
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$primary->stop;
$standby->promote;
$standby->safe_psql('postgres', q{
	DELETE FROM t WHERE id % 2 = 0;
	INSERT INTO t SELECT 300000 + i, topk_vector(8, 0.1) FROM generate_series(1, 3000) i;
	VACUUM t;
});
is($standby->safe_psql('postgres', q{SELECT mf_index_check('t_v') = count(*) FROM t}), 't', 'promoted: index check');
is($standby->safe_psql('postgres', $differs) =~ s/\n//gr, '', 'promoted: right answers');
$standby->stop;
done_testing();

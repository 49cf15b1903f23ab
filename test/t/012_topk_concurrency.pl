# The index topk under concurrent writers, readers and vacuums, and scans that
# outlast changes.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib dirname(__FILE__);
use FactorTest;
use TopkTest;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nmax_parallel_workers_per_gather = 0\n");
$node->start;
topk_functions($node);
$node->safe_psql('postgres', q{
	SELECT setseed(0.5);
	-- A VACUUM that another waits for would try for five seconds to truncate.
	CREATE TABLE t (id serial, v real[]) WITH (vacuum_truncate = off);
	INSERT INTO t (v) SELECT topk_vector(8, 0.05) FROM generate_series(1, 5000) i;
	CREATE INDEX t_v ON t USING topk (v);
});

# A reader compares within one snapshot, so whatever others do, the index and
# the table must agree to the row.
$node->safe_psql('postgres', q{
	CREATE FUNCTION compare(tab text DEFAULT 't', length int DEFAULT 8) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE failure text;
	BEGIN
		failure := topk_differs(tab, ('{<=>,<#>,<->}'::text[])[1 + floor(random() * 3)::int],
			topk_vector(length, 0), (ARRAY[1, 10, 100, NULL])[1 + floor(random() * 4)::int]);
		IF failure IS NOT NULL THEN
			RAISE EXCEPTION 'index and table differ: %', failure;
		END IF;
	END $$;
});

my $start = 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT compare(); COMMIT;';
$node->pgbench(
	'--no-vacuum --client=6 --transactions=150',
	0,
	[qr/processed: 900\/900/],
	[qr/^$/],
	'readers, writers and vacuums',
	{
		'012_reader@4' => $start,
		'012_insert@3' =>
		  q{INSERT INTO t (v) SELECT topk_vector(8, 0.05) FROM generate_series(1, 50);},
		'012_update@2' =>
		  q{\set part random(0, 99)
			UPDATE t SET v = topk_vector(8, 0.05) WHERE id IN (SELECT id FROM t WHERE id % 100 = :part FOR UPDATE SKIP LOCKED);},
		'012_delete@2' =>
		  q{\set part random(0, 99)
			DELETE FROM t WHERE id IN (SELECT id FROM t WHERE id % 100 = :part FOR UPDATE SKIP LOCKED);},
		'012_abort@1' =>
		  q{BEGIN; INSERT INTO t (v) SELECT topk_vector(8, 0.05) FROM generate_series(1, 50); ROLLBACK;},
		'012_vacuum@1' => q{VACUUM t;},
		'012_check@1' => q{SELECT mf_index_check('t_v');},
	});
is($node->safe_psql('postgres', q{SELECT mf_index_check('t_v') = count(*) FROM t}), 't', 'the index is whole');
is($node->safe_psql('postgres', q{SELECT compare()}), '', 'and right');

# The same where vacuum has later entries to pack each time.
$node->safe_psql('postgres', q{
	CREATE TABLE p (id serial, v real[]) WITH (vacuum_truncate = off);
	INSERT INTO p (v) SELECT topk_even(64, 0.02) FROM generate_series(1, 3000) i;
	CREATE INDEX p_v ON p USING topk (v);
});
$node->pgbench(
	'--no-vacuum --client=6 --transactions=40',
	0,
	[qr/processed: 240\/240/],
	[qr/^$/],
	'readers and writers beside vacuums that pack',
	{
		'012_pack_reader@5' => q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT compare('p', 64); COMMIT;},
		'012_pack_insert@2' =>
		  q{INSERT INTO p (v) SELECT topk_even(64, 0.02) FROM generate_series(1, 300);},
		'012_pack_update@2' =>
		  q{UPDATE p SET v = v[2:64] || v[1] WHERE id IN (SELECT id FROM p WHERE v IS NOT NULL AND random() < 0.4 FOR UPDATE SKIP LOCKED);},
		'012_pack_delete@1' =>
		  q{DELETE FROM p WHERE id IN (SELECT id FROM p WHERE random() < 0.1 FOR UPDATE SKIP LOCKED);},
		'012_pack_vacuum@3' => q{VACUUM p;},
		'012_pack_check@1' => q{SELECT mf_index_check('p_v');},
	});
$node->safe_psql('postgres', 'CHECKPOINT');
cmp_ok($node->safe_psql('postgres', q{SELECT topk_packings('p_v')}), '>', 3, 'they did pack');
is($node->safe_psql('postgres', q{SELECT mf_index_check('p_v') = count(*) FROM p}), 't', 'the index is whole');

# Builds beside writers.
$node->safe_psql('postgres', 'DROP INDEX t_v');
my $writer = session_start($node, 'writer', q{
	DO $$ BEGIN FOR i IN 1 .. 300 LOOP
		INSERT INTO t (v) SELECT topk_vector(8, 0.05) FROM generate_series(1, 20);
		UPDATE t SET v = topk_vector(8, 0.05) WHERE id % 200 = i % 200;
		COMMIT;
	END LOOP; END $$});
wait_for($node, q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'writer')}, 'the writer');
$node->safe_psql('postgres', 'CREATE INDEX CONCURRENTLY t_v ON t USING topk (v)');
is($node->safe_psql('postgres', q{SELECT mf_index_check('t_v') > 0}), 't', 'built beside a writer');
$node->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY t_v');
is($node->safe_psql('postgres', q{SELECT mf_index_check('t_v') > 0}), 't', 'built again beside a writer');
is(session_end($writer), '', 'the writer goes on');
is($node->safe_psql('postgres', q{SELECT mf_index_check('t_v') = count(*) FROM t}), 't', 'the index is whole');
is($node->safe_psql('postgres', q{SELECT compare()}), '', 'and right');

# A cursor goes on after what it will return has been deleted, vacuumed as far
# as may be, and its pages filled with other rows.
$node->safe_psql('postgres', q{
	DROP TABLE t;
	CREATE TABLE t (id int, v real[]);
	INSERT INTO t SELECT i, topk_vector(8, 0.05) FROM generate_series(1, 20000) i;
	CREATE INDEX t_v ON t USING topk (v);
	CREATE EXTENSION dblink;
});
foreach my $op ('<=>', '<#>', '<->')
{
	my $connection = $node->connstr('postgres') =~ s/'/''/gr;
	my $result = $node->safe_psql('postgres', qq{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SET enable_seqscan = off;
		SET enable_sort = off;
		CREATE TEMP TABLE seen (id int, d float8);
		CREATE TEMP TABLE expected ON COMMIT DROP AS SELECT id, v $op '{1,2,3,4,5,6,7,8}' AS d FROM t;
		DECLARE c CURSOR FOR SELECT id, v $op '{1,2,3,4,5,6,7,8}' AS d FROM t ORDER BY d;
		DO \$\$
		DECLARE r record; previous float8 := '-Infinity'; n int := 0;
			c CONSTANT refcursor := 'c';
		BEGIN
			LOOP
				FETCH c INTO r;
				EXIT WHEN NOT FOUND;
				IF r.d < previous THEN RAISE 'out of order'; END IF;
				previous := coalesce(r.d, 'NaN');
				INSERT INTO seen VALUES (r.id, r.d);
				n := n + 1;
				IF n IN (5, 1000, 5000) THEN
					PERFORM dblink_exec('$connection', 'DELETE FROM t WHERE id % 3 = ' || n % 3);
					PERFORM dblink_exec('$connection', 'VACUUM t');
					PERFORM dblink_exec('$connection', 'INSERT INTO t SELECT -1, topk_vector(8, 0) FROM generate_series(1, 3000)');
				END IF;
			END LOOP;
		END \$\$;
		SELECT count(*), (SELECT count(*) FROM (TABLE seen EXCEPT ALL TABLE expected) x),
			(SELECT count(*) FROM (TABLE expected EXCEPT ALL TABLE seen) x),
			(SELECT count(*) FROM seen) = (SELECT count(*) FROM expected)
		FROM seen;
		DROP TABLE seen;
		COMMIT;
	});
	like($result, qr/^\d+\|0\|0\|t$/m, "a cursor by $op outlasts deletes, vacuums and inserts");
	$node->safe_psql('postgres', q{
		DELETE FROM t WHERE id = -1;
		VACUUM t;
		INSERT INTO t SELECT i, topk_vector(8, 0.05) FROM generate_series(1, 15000) i;
	});
	is($node->safe_psql('postgres', q{SELECT mf_index_check('t_v') = count(*) FROM t}), 't', 'the index is whole');
}

# A cursor goes on after vacuum has packed the entries that it is to return, and
# others have taken their pages; whether it ranks them or takes them as they come.
foreach my $case (['<=>', 'topk_vector(64, 0)'], ['<#>', 'topk_vector(64, 0)'], ['<->', 'topk_vector(64, 0)'],
	['<=>', 'array_fill(0::real, ARRAY[64])'], ['<->', 'array_fill(0::real, ARRAY[64])'])
{
	my ($op, $query) = @$case;
	my $connection = $node->connstr('postgres') =~ s/'/''/gr;
	my $result = $node->safe_psql('postgres', qq{
		TRUNCATE p;
		INSERT INTO p (id, v) SELECT i, topk_even(64, 0.05) FROM generate_series(1, 4000) i;
		CREATE TEMP TABLE seen (id int, d float8);
		CREATE TEMP TABLE packings (n int);
		CREATE TEMP TABLE query AS SELECT $query AS q;
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SET LOCAL enable_seqscan = off;
		SET LOCAL enable_sort = off;
		SET LOCAL work_mem = '64kB';
		CREATE TEMP TABLE expected ON COMMIT DROP AS SELECT id, v $op q AS d FROM p, query;
		DO \$\$
		DECLARE r record; previous float8 := '-Infinity'; n int := 0; c refcursor;
		BEGIN
			OPEN c FOR EXECUTE format('SELECT id, v $op %L::real[] AS d FROM p ORDER BY d', (SELECT q FROM query));
			LOOP
				FETCH c INTO r;
				EXIT WHEN NOT FOUND;
				IF r.d < previous THEN RAISE 'out of order'; END IF;
				previous := coalesce(r.d, 'NaN');
				INSERT INTO seen VALUES (r.id, r.d);
				n := n + 1;
				IF n IN (5, 700, 1500, 2500) THEN
					PERFORM dblink_exec('$connection', 'VACUUM p');
					PERFORM dblink_exec('$connection', 'INSERT INTO p SELECT -1, topk_even(64, 0) FROM generate_series(1, 6000)');
				END IF;
			END LOOP;
			PERFORM dblink_exec('$connection', 'CHECKPOINT');
			INSERT INTO packings SELECT topk_packings('p_v');
		END \$\$;
		SELECT count(*), (SELECT count(*) FROM (TABLE seen EXCEPT ALL TABLE expected) x),
			(SELECT count(*) FROM (TABLE expected EXCEPT ALL TABLE seen) x),
			(SELECT n FROM packings)
		FROM seen;
		COMMIT;
		DROP TABLE seen, packings, query;
	});
	like($result, qr/^4000\|0\|0\|[1-9]\d*$/m, "a cursor by $op $query outlasts packing");
	is($node->safe_psql('postgres', q{SELECT mf_index_check('p_v') = count(*) FROM p}), 't', 'the index is whole');
}

# A session keeps the directory in mind, and yet sees at once what others make of
# it.  Steps are another session's; after each, this one asks.  A step's row is
# one that only its page's new entry in the directory leads to: vectors differ in
# their norms alone, by inner product few pages are read, and each step makes
# one change: a page opened again for larger norms than it was built with, a free
# one taken, a new one, all packed, all gone.
my $others = $node->connstr('postgres') =~ s/'/''/gr;
is($node->safe_psql('postgres', qq{
	CREATE FUNCTION even(norm float8) RETURNS real[] LANGUAGE sql AS
		'SELECT array_fill((norm / 8)::real, ARRAY[64])';
	TRUNCATE p;
	INSERT INTO p (id, v) SELECT i, even(1 + 0.05 * i / 3000) FROM generate_series(1, 3000) i;
	REINDEX INDEX p_v;
	DO \$\$
	DECLARE step text;
		op text;
		failure text;
	BEGIN
		FOREACH step IN ARRAY ARRAY[
			'DELETE FROM p WHERE id BETWEEN 1000 AND 1060',
			'VACUUM p',
			'INSERT INTO p SELECT -1, even(1.12)',
			'DELETE FROM p WHERE id BETWEEN 2000 AND 2600',
			'VACUUM p',
			'INSERT INTO p SELECT -2, even(50)',
			'INSERT INTO p SELECT -3, even(60)',
			'INSERT INTO p SELECT -3, even(i) FROM generate_series(70, 100) i',
			'INSERT INTO p SELECT 3000 + i, even(1 + 0.05 * i / 3000) FROM generate_series(1, 3000) i',
			'VACUUM p',
			'INSERT INTO p SELECT -4, even(0)',
			'DELETE FROM p WHERE id < 0',
			'VACUUM p',
			'TRUNCATE p',
			'INSERT INTO p SELECT i, even(i) FROM generate_series(1, 300) i',
			'REINDEX INDEX p_v',
			'INSERT INTO p SELECT -5, even(1000)'
		] LOOP
			PERFORM dblink_exec('$others', step);
			FOREACH op IN ARRAY '{<#>,<=>,<->}'::text[] LOOP
				failure := topk_differs('p', op, even(1), 20);
				IF failure IS NOT NULL THEN
					RAISE EXCEPTION 'after %: index and table differ by %: %', step, op, failure;
				END IF;
			END LOOP;
			COMMIT;
		END LOOP;
	END \$\$;
	SELECT mf_index_check('p_v') = count(*) FROM p;
}), 't', 'a session sees what others made of the index since it last looked');

# Cancelled, a scan stops at once: here one that looks for more than there is.
$node->safe_psql('postgres', q{
	INSERT INTO t SELECT i, topk_vector(8, 0) FROM generate_series(1, 100000) i});
my $scan = session_start($node, 'scanner',
	q{SET enable_seqscan = off; SET enable_sort = off; SET work_mem = '64kB';
	  SELECT count(*) FROM generate_series(1, 1000) g,
		LATERAL (SELECT id FROM t ORDER BY v <=> ARRAY[g,1,1,1,1,1,1,1]::real[] OFFSET 90000) s});
wait_for($node,
	q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'scanner' AND state = 'active'
		AND query_start < clock_timestamp() - interval '500 ms')}, 'the scan');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'scanner'});
like(session_end($scan), qr/canceling statement due to user request/, 'a scan can be cancelled');

$node->stop;
done_testing();

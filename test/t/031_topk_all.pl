# mf_topk_all and its workers: the same result whoever ranks, on a standby too; and
# cancels, killed workers, little memory and no workers to be had.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib dirname(__FILE__);
use FactorTest;

# Segments of dynamic shared memory are files in the data directory here, so
# that what is left of them can be counted. Segments of the log are smaller than
# the limit on files that comes below.
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1, extra => ['--wal-segsize=1']);
$node->append_conf(
	'postgresql.conf', q{
max_worker_processes = 8
max_parallel_workers = 8
max_parallel_maintenance_workers = 2
maintenance_work_mem = 256MB
dynamic_shared_memory_type = mmap
autovacuum = off
log_temp_files = 0
});
$node->start;

# A model by hand: `factors` is an expression of a generated series i.
sub make_model
{
	my ($model, $users, $items, $d, $seen, $factors, $bias) = @_;
	my $biased = $bias eq '0' ? 'false' : 'true';
	my $columns = 'bias real NOT NULL, factors real[] NOT NULL, ratings int NOT NULL, rating_sum float8 NOT NULL, digest bigint NOT NULL DEFAULT 0';

	$node->safe_psql('postgres', qq{
		CREATE TABLE ${model}_users (user_id int PRIMARY KEY, $columns);
		INSERT INTO ${model}_users SELECT i, 0, $factors, $seen, $seen FROM generate_series(1, $users) i;
		CREATE TABLE ${model}_items (item_id int PRIMARY KEY, $columns);
		INSERT INTO ${model}_items SELECT i, $bias, $factors, 1, 1 FROM generate_series(1, $items) i;
		CREATE TABLE ${model}_seen AS SELECT u AS user_id, 1 + abs(hashint4(u * 31 + n)) % $items AS item_id
			FROM generate_series(1, $users) u, generate_series(1, $seen) n;
		INSERT INTO mf_models VALUES ('public', '$model', current_user, false, now(), 'explicit', $biased, $d, 0,
			-1000, 1000, 'public', '${model}_seen', 'user_id', 'item_id', NULL, $users, $items, $seen * $users, 0, 1, 1,
			1, 0, 1, 0, 0, NULL, NULL, 0, 0, 0, now(), current_user);
		ANALYZE ${model}_users, ${model}_items, ${model}_seen;
	});
}

# The table of ratings of the films is large enough for workers to read it.
$node->safe_psql('postgres', 'CREATE EXTENSION factor');
make_model('films', 20000, 4000, 32, 15,
	'(SELECT array_agg((hashint4(i * 37 + k) / 1e9)::real ORDER BY k) FROM generate_series(1, 32) k)',
	'hashint4(-i) / 1e9');

# Every item ties for every user here, so that nothing can be passed over and
# ranking goes on for a minute.
make_model('zeros', 60000, 30000, 64, 5, q{array_fill(0::real, ARRAY[64])}, '0');

# What the films' best are, in a line; `settings` come before it.
sub best
{
	my ($settings, $arguments, $server) = @_;

	return ($server // $node)->safe_psql('postgres', qq{$settings;
		SELECT count(*), md5(string_agg(t::text, ',' ORDER BY place))
		FROM mf_topk_all(@{[ $arguments // "7, 'films'" ]}) WITH ORDINALITY t(user_id, item, score, rank, place)});
}

sub check_clean
{
	my ($what) = @_;

	wait_for($node,
		q{SELECT count(*) = 0 FROM pg_stat_activity
		  WHERE application_name = 'ranker' OR backend_type = 'parallel worker'},
		"$what: session and workers to be gone");
	is(leftovers($node), '', "$what: no temporary file is left");
	is(segments($node), $main::segments, "$what: no shared memory is left");
}

# ---------------------------------------------------------------------------
# The same for any number of workers, and any memory
# ---------------------------------------------------------------------------

our $segments = segments($node);
my $expected = best('SET max_parallel_maintenance_workers = 0');
like($expected, qr/^140000\|/, 'seven items of everyone');
my $unfiltered = best('SET max_parallel_maintenance_workers = 0', "7, 'films', false");
isnt($unfiltered, $expected, 'which are others if those seen are not left out');

foreach my $workers (1, 2, 4)
{
	is(best("SET max_parallel_maintenance_workers = $workers"), $expected, "the same with $workers workers");
	is( best("SET max_parallel_maintenance_workers = $workers", "7, 'films', false"),
		$unfiltered, "and with nothing left out");
}
is(best('SET max_parallel_maintenance_workers = 4; SET max_parallel_workers = 0'),
	$expected, 'the same where no worker can be had');

# Vectors of 20,000 users are 2.6 MB, so this takes several chunks.
foreach my $workers (0, 2)
{
	my $offset = -s $node->logfile;

	is(best("SET maintenance_work_mem = '1MB'; SET max_parallel_maintenance_workers = $workers"),
		$expected, "the same in chunks, with $workers workers");
	my @files = substr(slurp_file($node->logfile), $offset) =~ /LOG:  temporary file: path "(.*)"/g;
	cmp_ok(scalar(grep { $workers == 0 || /seen/ } @files), '>', 4, 'of which the pairs lie in files');
}
check_clean('in all of these ways');

# Ratings that workers must not read by themselves, or only some of.
sub same_seen
{
	my ($what) = @_;
	my $alone = best('SET max_parallel_maintenance_workers = 0');

	is(best('SET max_parallel_maintenance_workers = 2'), $alone, "$what: the same with workers and without");
	isnt($alone, $expected, "$what: other items are seen");
}

$node->safe_psql('postgres', q{
	CREATE TABLE more_seen () INHERITS (films_seen);
	INSERT INTO more_seen SELECT user_id, item FROM mf_topk_all(2, 'films')});
same_seen('a child of the table');
$node->safe_psql('postgres', q{
	DROP TABLE more_seen;
	ALTER TABLE films_seen RENAME TO films_seen_table;
	CREATE VIEW films_seen AS SELECT * FROM films_seen_table WHERE user_id % 2 = 0});
same_seen('a view');
$node->safe_psql('postgres', q{
	DROP VIEW films_seen;
	ALTER TABLE films_seen_table RENAME TO films_seen;
	ALTER TABLE films_seen ENABLE ROW LEVEL SECURITY;
	CREATE POLICY third ON films_seen USING (user_id % 3 = 0);
	CREATE ROLE reader;
	GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader});
is( best('SET ROLE reader; SET max_parallel_maintenance_workers = 2'),
	best('SET ROLE reader; SET max_parallel_maintenance_workers = 0'),
	'row security: the same with workers and without');
isnt(best('SET ROLE reader; SET max_parallel_maintenance_workers = 2'), $expected, 'row security: fewer items are seen');
is(best('SET max_parallel_maintenance_workers = 2'), $expected, 'but not by a superuser');
$node->safe_psql('postgres', q{
	ALTER TABLE films_seen DISABLE ROW LEVEL SECURITY;
	INSERT INTO films_seen SELECT NULL, item_id FROM films_items;
	INSERT INTO films_seen SELECT user_id, NULL FROM films_users;
	INSERT INTO films_seen SELECT -1 - user_id, 100000 FROM films_users;
	DELETE FROM films_seen WHERE user_id IS NULL OR item_id IS NULL AND user_id % 2 = 0;
	ANALYZE films_seen});
is(best('SET max_parallel_maintenance_workers = 2'), $expected, 'nulls and unknown ids are nothing');
check_clean('ratings of all kinds');

# Too many users for the shared memory that there is to look them up in, while
# items and chunks of users fit: the ratings are read by a SELECT, and all else is
# done as before. There are few ratings, but on many pages.
SKIP:
{
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	skip 'no prlimit to limit the size of files with', 9
	  if system("prlimit --pid $postmaster --fsize >/dev/null 2>&1") != 0;

	make_model('crowd', 100000, 1000, 8, 0,
		'(SELECT array_agg((hashint4(i * 37 + k) / 1e9)::real ORDER BY k) FROM generate_series(1, 8) k)', '0');
	$node->safe_psql('postgres', q{
		ALTER TABLE crowd_seen SET (fillfactor = 10);
		INSERT INTO crowd_seen SELECT 1 + abs(hashint4(n)) % 100000, item FROM generate_series(1, 20000) n,
			LATERAL (SELECT item_id AS item FROM crowd_items ORDER BY hashint4(item_id + n) LIMIT 2) i});
	$node->safe_psql('postgres', $_) foreach ('VACUUM ANALYZE', 'CHECKPOINT');

	my $crowd = best('SET max_parallel_maintenance_workers = 0', "2, 'crowd'");
	isnt($crowd, best('', "2, 'crowd', false"), 'items that a crowd has seen are left out');
	foreach my $limit ('unlimited', 2000000)
	{
		my $offset = -s $node->logfile;

		system("prlimit --pid $postmaster --fsize=$limit:") == 0 or die;
		my ($status, $out, $err) = $node->psql('postgres', q{
			SET maintenance_work_mem = '1MB'; SET max_parallel_maintenance_workers = 2; SET work_mem = '256MB';
			SELECT count(*), md5(string_agg(t::text, ',' ORDER BY place))
			FROM mf_topk_all(2, 'crowd') WITH ORDINALITY t(user_id, item, score, rank, place)});
		system("prlimit --pid $postmaster --fsize=unlimited:") == 0 or die;
		is($out, $crowd, "files $limit: the same of a crowd") or diag($err);
		unlike($err, qr/ranking without parallel workers/, '... ranked by workers');
		is($err =~ /reading ratings without parallel workers/ ? 'said' : '', $limit eq 'unlimited' ? '' : 'said',
			'... and where they did not read, it is said');
		my $by_workers = () = substr(slurp_file($node->logfile), $offset) =~ /LOG:  temporary file: path ".*seen/g;
		is($by_workers > 0 ? 'workers' : 'a SELECT', $limit eq 'unlimited' ? 'workers' : 'a SELECT', '... and read by what there was room for');
	}
	$node->safe_psql('postgres', q{SELECT mf_drop('crowd'); DROP TABLE crowd_seen});
	check_clean('too little shared memory');
}

# What each user gets is what mf_topk gives.
is( $node->safe_psql('postgres', q{
		CREATE TABLE best AS SELECT * FROM mf_topk_all(7, 'films');
		CREATE INDEX ON best (user_id);
		SELECT count(*), bool_and(b.item = t.item AND b.score = t.score)
		FROM generate_series(1, 20000, 997) u, mf_topk(u, 7, 'films') WITH ORDINALITY t(item, score, rank), best b
		WHERE b.rank = t.rank AND b.user_id = u}),
	'147|t', 'each user gets what mf_topk gives');

# ---------------------------------------------------------------------------
# Where it may be called
# ---------------------------------------------------------------------------

is( $node->safe_psql('postgres', q{
		CREATE TABLE nightly (user_id int, item int, score real, rank int, PRIMARY KEY (user_id, rank));
		INSERT INTO nightly SELECT * FROM mf_topk_all(7, 'films');
		SELECT count(*), count(DISTINCT user_id) FROM nightly}),
	'140000|20000', 'INSERT ... SELECT, with workers');
is( $node->safe_psql('postgres', q{
		BEGIN READ ONLY;
		SELECT count(*) FROM mf_topk_all(7, 'films');
		COMMIT}),
	'140000', 'in a read-only transaction, with workers');
is( $node->safe_psql('postgres', q{
		DO $$ BEGIN
			INSERT INTO nightly SELECT * FROM mf_topk_all(7, 'films');
		EXCEPTION WHEN unique_violation THEN
			RAISE NOTICE 'again';
		END $$;
		SELECT count(*) FROM nightly, mf_topk_all(1, 'films') t WHERE t.user_id = nightly.user_id AND t.rank = nightly.rank
			AND t.item = nightly.item}),
	'20000', 'in a subtransaction that fails, and after it');
is( $node->safe_psql('postgres', q{
		BEGIN;
		DELETE FROM films_users WHERE user_id > 19000;
		INSERT INTO films_seen SELECT 5, item FROM best WHERE user_id = 5;
		SELECT count(*), count(*) FILTER (WHERE t.user_id = 5 AND t.item IN (SELECT item FROM best WHERE user_id = 5))
		FROM mf_topk_all(7, 'films') t;
		ROLLBACK}),
	'133000|0', 'in a transaction that has written what is read, with workers');
check_clean('calls of all kinds');

# ---------------------------------------------------------------------------
# Cancelled, and killed
# ---------------------------------------------------------------------------

# Starts to rank for everyone; returns once `workers` workers help.
sub rank_in_background
{
	my ($workers, $arguments, $settings) = @_;
	my $session = session_start($node, 'ranker', qq{
		@{[ $settings // '' ]};
		SET max_parallel_maintenance_workers = $workers;
		SELECT count(*) FROM mf_topk_all($arguments)});

	wait_for($node, q{SELECT count(*) = 1 FROM pg_stat_activity
		WHERE application_name = 'ranker' AND query ~ '^mf_topk_all zeros: ranking, [1-9][0-9]* of 60000 users$'}, 'a tile to be done');
	wait_for($node, qq{SELECT count(*) = $workers FROM pg_stat_activity
		WHERE application_name = 'ranker' AND backend_type = 'parallel worker'}, "$workers workers");
	return $session;
}

foreach my $workers (0, 2)
{
	my $session = rank_in_background($workers, "10, 'zeros'");

	is( $node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity
			WHERE application_name = 'ranker' AND backend_type = 'client backend'}),
		't', "cancelling it with $workers workers");
	like(session_end($session), qr/ERROR:  canceling statement due to user request/, 'is answered');
	check_clean("cancelled with $workers workers");
}

# Shared memory holds the items (10 MB) and a dictionary of ids (6 MB), and of the
# users a chunk that maintenance_work_mem has room for: all 60,000 take 27 MB.
foreach my $memory (1, 256)
{
	my $session = rank_in_background(2, "10, 'zeros'", "SET maintenance_work_mem = '${memory}MB'");
	my $bytes = 0;

	$bytes += -s $_ // 0 foreach glob($node->data_dir . '/pg_dynshmem/*');
	note("$bytes bytes of shared memory");
	cmp_ok($bytes, '>', 30000 * 64 * 4, "maintenance_work_mem = ${memory}MB: the items are in shared memory");
	$memory == 1
	  ? cmp_ok($bytes, '<', 22e6, 'and a small chunk of users')
	  : cmp_ok($bytes, '>', 30e6, 'and all users');
	$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity
			WHERE application_name = 'ranker' AND backend_type = 'client backend'});
	session_end($session);
	check_clean("with ${memory}MB");
}

{
	my $session = rank_in_background(2, "10, 'zeros', false");

	is( $node->safe_psql('postgres', q{SELECT bool_and(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
			WHERE application_name = 'ranker' AND backend_type = 'parallel worker' LIMIT 1) w}),
		't', 'a worker is told to end');
	like(session_end($session), qr/(?:ERROR|FATAL):  terminating .* due to administrator command/,
		'which is an error of the call');
	check_clean('a worker ended');
}

{
	my $session = rank_in_background(2, "10, 'zeros'");

	is( $node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE application_name = 'ranker' AND backend_type = 'client backend'}),
		't', 'the leader is told to end');
	like(session_end($session), qr/terminating connection due to administrator command/, 'and ends');
	check_clean('the leader ended');
}

is(best(''), $expected, 'after all of this the result is the same');

# ---------------------------------------------------------------------------
# On a standby, whose workers read and rank as well
# ---------------------------------------------------------------------------

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is(best('SET max_parallel_maintenance_workers = 2', undef, $standby), $expected, 'the same on a standby');
is(log_complaints($standby), '', 'whose log holds no complaints');
$standby->stop;

is(log_complaints($node), '', 'and the log holds no complaints');

$node->stop;
done_testing();

# Training beside readers, other trainings, cancels and crashes.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib dirname(__FILE__);
use FactorTest;

# Segments of dynamic shared memory are files in the data directory here, so
# that what is left of them can be counted.
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
max_worker_processes = 8
max_parallel_workers = 4
max_parallel_maintenance_workers = 2
maintenance_work_mem = 256MB
dynamic_shared_memory_type = mmap
restart_after_crash = on
autovacuum = off
log_lock_waits = on
deadlock_timeout = 10ms
max_prepared_transactions = 2
});
$node->start;

$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION factor;
	CREATE TABLE ratings AS
		SELECT u AS user_id, i AS item_id, (1 + abs(hashint4(u * 10007 + i)) % 9 / 2.0)::real AS rating
		FROM generate_series(1, 4000) u,
			LATERAL (SELECT DISTINCT 1 + abs(hashint4(u * 61 + g)) % 2000 AS i
				FROM generate_series(1, 60) g) x;
	CREATE INDEX ON ratings (user_id, item_id);
	SELECT mf_train('ratings', model => 'films', factors => 8, iterations => 2, verbose => false);
});
my $before = model_print($node, 'films');
my $before_segments = segments($node);

# The model as it was, nothing left behind.
sub check_unharmed
{
	my ($what) = @_;

	wait_for_no_training($node);
	is(model_print($node, 'films'), $before, "$what: the model is as it was");
	is(leftovers($node), '', "$what: no temporary file is left");
	cmp_ok(segments($node), '<=', $before_segments, "$what: no shared memory is left");
	is( $node->safe_psql('postgres',
			q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}),
		0, "$what: the name is free");
}

# ---------------------------------------------------------------------------
# Beside a training
# ---------------------------------------------------------------------------

my $training = train_in_background($node, 'films', 2);
my $leader = leader_pid($node, 'films');
my @workers = worker_pids($node, 'films');

is(scalar @workers, 2, 'two workers train and are seen in pg_stat_activity');
is( $node->safe_psql('postgres',
		qq{SELECT count(*) FROM pg_stat_activity WHERE leader_pid = $leader}),
	2, 'they name their leader');
like(
	$node->safe_psql('postgres', qq{SELECT query FROM pg_stat_activity WHERE pid = $leader}),
	qr/^mf_train films: iteration \d+ of 100000, (users|items)$/,
	'the leader tells how far it is');

SKIP:
{
	skip 'no /proc to count threads in', 1 unless -d "/proc/$leader/task";
	my @threads = map { scalar(() = glob("/proc/$_/task/*")) } ($leader, @workers);
	is("@threads", '1 1 1', 'one thread in the leader and in each worker');
}

# A second training of the model fails at once, another model's does not.
my ($status, $out, $err) = $node->psql('postgres',
	q{SELECT mf_train('ratings', model => 'films', factors => 2, iterations => 1)});
like(
	$err,
	qr/ERROR:  model "public\.films" is being trained or dropped by another session/,
	'a second training of the model is refused');
($status, $out, $err) = $node->psql('postgres', q{SELECT mf_drop('films')});
like(
	$err,
	qr/ERROR:  model "public\.films" is being trained or dropped by another session/,
	'so is its end');
is( $node->safe_psql('postgres',
		q{SELECT users FROM mf_train('ratings', model => 'beside', factors => 2, iterations => 1, verbose => false)}),
	4000, 'another model can be trained beside it');
($status, $out, $err) = $node->psql('postgres',
	q{SELECT users FROM mf_train('ratings', model => 'beside', factors => 64, iterations => 4)});
is($out, 4000, 'another model can be trained in parallel beside it');
like($err, qr/training "beside": .* 2 workers/, 'with workers of its own');

my $beside = train_in_background($node, 'another', 2);
($status, $out, $err) = $node->psql('postgres',
	q{SELECT users FROM mf_train('ratings', model => 'beside', factors => 64, iterations => 4)});
is($out, 4000, 'and when all workers are taken');
like(
	$err,
	qr/NOTICE:  training without parallel workers\nDETAIL:  No background worker was free\./,
	'which is said');
($status, $out, $err) = $node->psql('postgres',
	q{SELECT mf_train('ratings', model => 'another', factors => 2, iterations => 1)});
like($err, qr/ERROR:  model "public\.another" is being trained or dropped/,
	'a second first training of a new name is refused');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM mf_models WHERE model = 'another'}),
	0, 'the new model is not there yet');

is(model_print($node, 'films'), $before, 'readers see the old model, without waiting');

# Two-phase commit: until then the old model and its name are kept.
$node->safe_psql(
	'postgres', q{
	BEGIN;
	SELECT mf_train('ratings', model => 'beside', factors => 3, iterations => 1, verbose => false);
	PREPARE TRANSACTION 'night';
});
is($node->safe_psql('postgres', q{SELECT factors FROM mf_models WHERE model = 'beside'}),
	64, 'a prepared training is not seen');
($status, $out, $err) = $node->psql('postgres',
	q{SELECT mf_train('ratings', model => 'beside', factors => 2, iterations => 1)});
like($err, qr/ERROR:  model "public\.beside" is being trained or dropped/,
	'and keeps others from training the model');
$node->safe_psql('postgres', q{COMMIT PREPARED 'night'});
is( $node->safe_psql('postgres',
		q{SELECT m.factors, min(cardinality(i.factors)), max(cardinality(i.factors)) FROM mf_models m, beside_items i WHERE model = 'beside' GROUP BY 1}),
	'3|3|3', 'until it is committed');

# Rows come and go in the rating table meanwhile.
$node->safe_psql('postgres',
	q{INSERT INTO ratings VALUES (0, 0, 1); DELETE FROM ratings WHERE user_id = 0});

# ---------------------------------------------------------------------------
# Ends
# ---------------------------------------------------------------------------

$node->safe_psql('postgres',
	'SELECT pg_cancel_backend(' . leader_pid($node, 'another') . ')');
like(session_end($beside), qr/ERROR:  canceling statement due to user request/,
	'a first training is cancelled');
is( $node->safe_psql('postgres',
		q{SELECT to_regclass('another_users') IS NULL AND to_regclass('another_items') IS NULL
			AND NOT EXISTS (SELECT FROM mf_models WHERE model = 'another')}),
	't',
	'and leaves nothing');

$node->safe_psql('postgres', "SELECT pg_cancel_backend($leader)");
like(session_end($training), qr/ERROR:  canceling statement due to user request/, 'cancelled');
check_unharmed('cancelled');

$training = train_in_background($node, 'films', 2);
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . leader_pid($node, 'films') . ')');
like(session_end($training), qr/terminating connection due to administrator command/, 'terminated');
check_unharmed('terminated');

$training = train_in_background($node, 'films', 2);
$node->safe_psql('postgres',
	'SELECT pg_terminate_backend(' . (worker_pids($node, 'films'))[0] . ')');
like(session_end($training), qr/(ERROR|FATAL): .*terminating/, 'a worker was terminated');
check_unharmed('a worker terminated');

$training = session_start($node, 'train_films',
	q{SET statement_timeout = '3s'; SELECT mf_train('ratings', model => 'films', factors => 64, iterations => 100000)});
like(session_end($training), qr/ERROR:  canceling statement due to statement timeout/, 'timed out');
check_unharmed('timed out');

# Ratings in files that the workers share.
$training = session_start($node, 'train_films',
	q{SET maintenance_work_mem = '1MB'; SELECT mf_train('ratings', model => 'films', factors => 64, iterations => 100000)});
wait_for($node,
	q{SELECT count(*) = 2 FROM pg_stat_activity WHERE application_name = 'train_films' AND backend_type = 'parallel worker'},
	'workers on files');
isnt(leftovers($node), '', 'ratings lie in temporary files');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . leader_pid($node, 'films') . ')');
session_end($training);
check_unharmed('cancelled with files');

is(log_complaints($node), '', 'the log complains of nothing');

# ---------------------------------------------------------------------------
# Crashes
# ---------------------------------------------------------------------------

sub check_serves
{
	my ($what) = @_;

	check_unharmed($what);
	is( $node->safe_psql('postgres',
			q{SELECT users FROM mf_train('ratings', model => 'fresh', factors => 4, iterations => 1, verbose => false)}),
		4000, "$what: a new model can be trained");
	$node->safe_psql('postgres',
		q{SELECT mf_train('ratings', model => 'films', factors => 8, iterations => 2, verbose => false)});
	is(model_print($node, 'films'), $before, "$what: and the old one again, to the bit");
	$node->safe_psql('postgres', q{SELECT mf_drop('fresh')});
}

foreach my $victim ('a worker', 'the leader')
{
	$training = train_in_background($node, 'films', 2);
	my $offset = -s $node->logfile;
	my $pid = $victim eq 'the leader' ? leader_pid($node, 'films') : (worker_pids($node, 'films'))[0];
	kill('KILL', $pid);
	session_end($training);
	wait_for_restart($node, $offset);
	check_serves("$victim killed");
}

$training = train_in_background($node, 'films', 2);
$node->stop('immediate');
session_end($training);
$node->start;
check_serves('immediate shutdown');

# ---------------------------------------------------------------------------
# Readers in a loop
# ---------------------------------------------------------------------------

# A reader sees a model whole: the rows of both tables are as many, their
# vectors as long, and their training error to the seventh digit what the
# catalogue says of it. Each training has another number of factors, seed and
# range of users. The functions agree with the tables: all of an answer is of one
# model too.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE few AS SELECT * FROM ratings WHERE user_id <= 400;
	CREATE INDEX ON few (user_id, item_id);
	CREATE VIEW fewer AS SELECT * FROM few WHERE user_id <= coalesce(current_setting('reader.users', true), '400')::int;
	SELECT mf_train('few', model => 'loop', factors => 8, iterations => 2, verbose => false);
});
my $reader = $node->basedir . '/reader.sql';
append_to_file(
	$reader, q{
\set user random(1, 290)
\set item random(1, 100)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT 1 / coalesce(count(*) = min(m.users) AND min(cardinality(u.factors)) = min(m.factors)
		AND max(cardinality(u.factors)) = min(m.factors) AND sum(u.ratings) = min(m.ratings), false)::int
	FROM mf_models m, loop_users u WHERE m.model = 'loop';
SELECT 1 / coalesce(count(*) = min(m.items) AND min(cardinality(i.factors)) = min(m.factors)
		AND max(cardinality(i.factors)) = min(m.factors) AND sum(i.ratings) = min(m.ratings), false)::int
	FROM mf_models m, loop_items i WHERE m.model = 'loop';
SELECT 1 / coalesce(count(*) = 5 AND max(abs(t.score - least(m.rating_max, greatest(m.rating_min,
		m.mean + u.bias + i.bias - (u.factors <#> i.factors))))) < 1e-6, false)::int
	FROM mf_models m, loop_users u, mf_topk(:user, 5, 'loop') t JOIN loop_items i ON i.item_id = t.item
	WHERE m.model = 'loop' AND u.user_id = :user;
COMMIT;
SELECT 1 / coalesce(count(*) = 5 AND max(abs(t.score - mf_predict(:user, t.item, 'loop'))) < 1e-6, false)::int
	FROM mf_topk(:user, 5, 'loop') t;
SELECT 1 / coalesce(count(*) = 10 AND max(abs(t.similarity - 1 + (i.factors <=> j.factors))) < 1e-6, false)::int
	FROM loop_items i, mf_similar_items(i.item_id, 10, 'loop') t JOIN loop_items j ON j.item_id = t.item
	WHERE i.item_id = (SELECT item_id FROM loop_items WHERE item_id >= :item ORDER BY 1 LIMIT 1);
SELECT 1 / coalesce(count(*) = min(m.ratings) AND
		abs(sqrt(avg((m.mean + u.bias + i.bias - (u.factors <#> i.factors) - r.rating) ^ 2)) - min(m.error)) < 1e-6, false)::int
	FROM mf_models m, few r JOIN loop_users u USING (user_id) JOIN loop_items i USING (item_id)
	WHERE m.model = 'loop';
});
my $trainer = $node->basedir . '/trainer.sql';
append_to_file(
	$trainer, q{
\set factors random(2, 12)
\set seed random(1, 1000000)
\set users random(300, 400)
SELECT set_config('reader.users', (:users)::text, false);
SELECT mf_train('fewer', model => 'loop', factors => :factors, iterations => 1, seed => :seed, verbose => false);
});
my ($read_out, $read_err, $train_out, $train_err) = ('', '', '', '');
my $offset = -s $node->logfile;
my @clients = (
	IPC::Run::start(
		[ 'pgbench', '-n', '-t', '60', '-c', '3', '-f', $reader, $node->connstr('postgres') ],
		'>', \$read_out, '2>', \$read_err),
	IPC::Run::start(
		[ 'pgbench', '-n', '-t', '60', '-c', '1', '-f', $trainer, $node->connstr('postgres') ],
		'>', \$train_out, '2>', \$train_err));
$_->finish for @clients;
is($clients[0]->result(0), 0, 'readers saw whole models only') or diag($read_err);
is($clients[1]->result(0), 0, 'while the model was trained over and over') or diag($train_err);
like($read_out, qr{actually processed: 180/180}, 'every reader read to the end');
like($train_out, qr{actually processed: 60/60}, 'every training was done');
unlike(
	substr(slurp_file($node->logfile), $offset),
	qr/still waiting for \S+ on (relation|page|tuple|transaction|virtual|advisory)/,
	'nobody waited for a lock');
is(log_complaints($node, $offset), '', 'the log complains of nothing');

$node->stop;
is(leftovers($node), '', 'no temporary file is left in the end');
done_testing();

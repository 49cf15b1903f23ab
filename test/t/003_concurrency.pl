# Training beside readers, other trainings, cancels and crashes.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf',
	"max_worker_processes = 8\nmax_parallel_maintenance_workers = 2\nmaintenance_work_mem = 256MB\nlog_lock_waits = on\ndeadlock_timeout = 100ms");
$node->start;

$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION factor;
	CREATE TABLE ratings AS
		SELECT u AS user_id, i AS item_id, (1 + abs(hashint4(u * 10007 + i)) % 9 / 2.0)::real AS rating
		FROM generate_series(1, 4000) u, generate_series(1, 60) g,
			LATERAL (SELECT 1 + abs(hashint4(u * 61 + g)) % 2000 AS i) x;
	CREATE INDEX ON ratings (user_id, item_id);
	SELECT mf_train('ratings', model => 'films', factors => 8, iterations => 2, verbose => false);
});

# A session that trains for long, in the background.
sub train_in_background
{
	my ($model) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$session->query_until(qr/started/,
		"\\echo started\nSELECT mf_train('ratings', model => '$model', factors => 128, iterations => 100000);\n");
	$node->poll_query_until('postgres',
		qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'mf_train $model: iteration%'})
	  or die "the training never showed itself";
	return $session;
}

sub workers
{
	return $node->safe_psql('postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'});
}

SKIP:
{
	skip 'this PostgreSQL::Test has no query_until in background_psql', 9
	  unless PostgreSQL::Test::Cluster->can('background_psql')
	  && eval { require PostgreSQL::Test::BackgroundPsql; 1 };

	my $before = $node->safe_psql('postgres',
		'SELECT md5(string_agg(u::text, chr(10) ORDER BY user_id)) FROM films_users u');
	my $training = train_in_background('films');
	my $pid = $node->safe_psql('postgres',
		q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'mf_train films: %'});

	is(workers(), 2, 'two workers train');

	# One thread in each process.
	my @threads = map { scalar(() = glob("/proc/$_/task/*")) }
	  split /\n/, $node->safe_psql('postgres',
		qq{SELECT pid FROM pg_stat_activity WHERE pid = $pid OR leader_pid = $pid});
	is("@threads", '1 1 1', 'one thread in the leader and in each worker');

	# A second training of the model fails at once, another model's does not.
	my ($status, $out, $err) = $node->psql('postgres',
		q{SELECT mf_train('ratings', model => 'films', factors => 2, iterations => 1)});
	like($err, qr/ERROR: .*films.* is being trained/, 'a second training of the model is refused');
	is( $node->safe_psql('postgres',
			q{SELECT users FROM mf_train('ratings', model => 'beside', factors => 2, iterations => 1, verbose => false)}),
		4000, 'another model can be trained beside it');

	# Readers go on.
	is($node->safe_psql('postgres', q{SELECT count(*) FROM mf_topk(7, 10, 'films')}),
		10, 'readers do not wait for a training');

	# Cancel: everything is as it was.
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
	$node->poll_query_until('postgres',
		qq{SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'})
	  or die "not cancelled";
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'});
	is( $node->safe_psql('postgres',
			'SELECT md5(string_agg(u::text, chr(10) ORDER BY user_id)) FROM films_users u'),
		$before, 'a cancelled training leaves the model as it was');
	$training->quit;

	# A crash in the middle of a training.
	$training = train_in_background('films');
	$node->stop('immediate');
	eval { $training->quit };
	$node->start;
	is( $node->safe_psql('postgres',
			'SELECT md5(string_agg(u::text, chr(10) ORDER BY user_id)) FROM films_users u'),
		$before, 'a crash leaves the model as it was');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM mf_topk(7, 10, 'films')}),
		10, 'and it serves');
	is( $node->safe_psql('postgres',
			q{SELECT users FROM mf_train('ratings', model => 'films', factors => 4, iterations => 1, verbose => false)}),
		4000, 'and can be trained again');
}

# Readers in a loop see whole models only: the prediction by mf_predict equals
# the plain SQL, the vectors are all of one training's length, and the lengths
# agree with the catalogue.
my $reader = $node->basedir . '/reader.sql';
append_to_file($reader, q{
\set user random(1, 4000)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT 1 / (count(DISTINCT cardinality(factors)) = 1 AND min(cardinality(factors)) =
		(SELECT m.factors FROM mf_models m WHERE model = 'films'))::int FROM films_items;
SELECT 1 / (abs(mf_predict(:user, item, 'films') - score) < 1e-9)::int FROM mf_topk(:user, 5, 'films');
COMMIT;
SELECT 1 / (count(*) = 10)::int FROM mf_topk(:user, 10, 'films');
SELECT 1 / (count(*) = 10)::int FROM mf_similar_items(7, 10, 'films');
});
my $trainer = $node->basedir . '/trainer.sql';
append_to_file($trainer, q{
\set factors random(2, 12)
SELECT mf_train('ratings', model => 'films', factors => :factors, iterations => 1, verbose => false);
});
my @clients = (
	IPC::Run::start(
		[ 'pgbench', '-n', '-T', '8', '-c', '3', '-f', $reader, $node->connstr('postgres') ],
		'>', \my $read_out, '2>', \my $read_err),
	IPC::Run::start(
		[ 'pgbench', '-n', '-T', '8', '-c', '1', '-f', $trainer, $node->connstr('postgres') ],
		'>', \my $train_out, '2>', \my $train_err));
$_->finish for @clients;
is($clients[0]->result(0), 0, 'readers saw whole models only') or diag($read_err);
is($clients[1]->result(0), 0, 'while the model was trained over and over') or diag($train_err);
my ($trainings) = $train_out =~ /number of transactions actually processed: (\d+)/;
cmp_ok($trainings, '>', 1, "trained $trainings times meanwhile");
unlike(slurp_file($node->logfile), qr/still waiting for .* on relation|still waiting for .*transaction/,
	'nobody waited for a lock');

$node->stop;
done_testing();

# A search by mf_tune that is interrupted loses one trial at most: its backend is
# terminated, then the server crashes, each in the middle of a trial. Called again
# it repeats nothing that is finished, and ends where one that was never
# interrupted ends.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib dirname(__FILE__);
use FactorTest;

my $trials = 9;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION factor;
	CREATE TABLE ratings AS
		SELECT u AS user_id, i AS item_id,
			(1 + (u * 3 + i * 5) % 4 + abs(hashint4(u * 10007 + i)) % 1000 / 1000.0)::real AS rating
		FROM generate_series(1, 900) u, generate_series(1, 400) i WHERE hashint4(u * 61 + i) % 4 = 0});

# Random draws and both solvers; a trial of some tenths of a second.
sub search
{
	my ($results) = @_;

	return qq{CALL mf_tune('ratings', grid => '{"factors": {"min": 8, "max": 24},
		"regularization": {"min": 0.1, "max": 3, "log": true}, "solver": ["als", "sgd"],
		"iterations": 30}', trials => $trials, seed => 7, results => '$results')};
}

# All of a trial that does not depend on when it ran.
sub outcome
{
	my ($results) = @_;

	return $node->safe_psql('postgres',
		"SELECT options, rmse, mae, ndcg, auc, users, pairs, error FROM $results ORDER BY options::text");
}

sub finished
{
	return $node->safe_psql('postgres',
		'SELECT trial, options, finished_at FROM resumed ORDER BY trial');
}

sub leftover
{
	return $node->safe_psql('postgres',
		q{SELECT count(*) FROM pg_class WHERE relname ~ '^mf_tune_(\d|training|testing)'})
	  . ' ' . $node->safe_psql('postgres', 'SELECT count(*) FROM mf_models');
}

# Starts the search, and returns while it is busy with a trial, `more` of them
# later.
sub interrupt_after
{
	my ($more) = @_;
	my $there = $node->safe_psql('postgres', q{SELECT to_regclass('resumed') IS NOT NULL});
	my $before = $there eq 't' ? $node->safe_psql('postgres', 'SELECT count(*) FROM resumed') : 0;
	my $session = session_start($node, 'search', search('resumed'));

	wait_for($node, q{SELECT to_regclass('resumed') IS NOT NULL}, 'the table of trials');
	wait_for($node, "SELECT count(*) >= $before + $more FROM resumed", "$more trials");
	wait_for($node,
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'search'
			AND backend_type = 'client backend' AND query LIKE 'mf_train %'},
		'a trial that trains');
	return $session;
}

my $best = $node->safe_psql('postgres', search('whole'));
is($node->safe_psql('postgres', 'SELECT count(*), count(rmse) FROM whole'),
	"$trials|$trials", 'a search without interruption');

# The backend.
my $session = interrupt_after(2);
$node->safe_psql('postgres',
	q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name = 'search' AND backend_type = 'client backend'});
like(session_end($session), qr/terminating connection/, 'the backend is terminated');
wait_for($node, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'search'},
	'the session to end');
my $first = finished();
my $n = () = $first =~ /^/mg;
cmp_ok($n, '>=', 2, "finished trials are kept: $n");
cmp_ok($n, '<', $trials, 'and the search was not over');
is(leftover(), '0 0', 'nothing of the trial that was interrupted is left');

# The server.
$session = interrupt_after(2);
$node->stop('immediate');
session_end($session);
$node->start;
my $second = finished();
$n = () = $second =~ /^/mg;
is(substr($second, 0, length $first), $first, 'called again, it repeats nothing');
cmp_ok(length $second, '>', length $first, "and goes on: $n trials outlive the crash");
cmp_ok($n, '<', $trials, 'and the search was not over');
is(leftover(), '0 0', 'nothing of the trial that was interrupted is left');

# To its end.
my ($status, $last, $said) = $node->psql('postgres', search('resumed'));
is($status, 0, 'the search comes to its end');
my $ran = () = $said =~ /NOTICE:  trial \d+ of $trials:/g;
is($ran, $trials - $n, "it ran the $ran trials that were missing");
is(substr(finished(), 0, length $second), $second, 'and no other');
is($last, $best, 'the best options and their score are those of the search without interruption');
is(outcome('resumed'), outcome('whole'), 'and so is every trial');
is(leftover(), '0 0', 'no model and no view is left');

# All done: nothing to do.
($status, $last, $said) = $node->psql('postgres', search('resumed'));
is($last, $best, 'once more, it answers from the table');
unlike($said, qr/trial/, 'and runs nothing');

done_testing();

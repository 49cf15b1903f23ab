# What the TAP scripts share: sessions in the background, and what a training
# may have left behind.
#
# Sessions are psql processes that run one string of SQL, so that they work
# alike with every release of PostgreSQL::Test.
package FactorTest;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  session_start session_end train_in_background leader_pid worker_pids
  wait_for wait_for_restart wait_for_no_training leftovers segments log_complaints model_print
);

# Starts psql on some SQL and returns at once. The session's application_name
# is `name`.
sub session_start
{
	my ($node, $name, $sql) = @_;
	my $session = { name => $name, out => '', err => '' };

	$session->{run} = IPC::Run::start(
		[
			'psql', '-X', '-q', '-A', '-t',
			'-d', $node->connstr('postgres') . " application_name=$name",
			'-c', $sql
		],
		'<', \undef, '>', \$session->{out}, '2>', \$session->{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return $session;
}

# Waits for its end; returns what it wrote to its standard error.
sub session_end
{
	my ($session) = @_;

	$session->{run}->finish;
	return $session->{err};
}

sub wait_for
{
	my ($node, $query, $what) = @_;

	$node->poll_query_until('postgres', $query) or die "waited in vain: $what";
}

# Waits until the postmaster has noticed that a process was killed and lets
# sessions in again. `offset` is the length of its log before: right after the
# kill, sessions may still be let in, only to be ended.
sub wait_for_restart
{
	my ($node, $offset) = @_;

	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $offset);
	wait_for($node, 'SELECT true', 'the server to recover');
}

# Starts a training that would go on for hours, and returns once it iterates.
# Its application_name is `train_MODEL`.
sub train_in_background
{
	my ($node, $model, $workers, $options) = @_;
	my $session = session_start($node, "train_$model",
		"SELECT mf_train('ratings', model => '$model', factors => 64, iterations => 100000"
		  . ($options // '') . ')');

	wait_for($node,
		qq{SELECT count(*) = 1 FROM pg_stat_activity
		   WHERE application_name = 'train_$model' AND query LIKE 'mf_train $model: iteration %'},
		"the training of $model to iterate");
	wait_for($node,
		qq{SELECT count(*) = $workers FROM pg_stat_activity
		   WHERE application_name = 'train_$model' AND backend_type = 'parallel worker'},
		"$workers workers for $model");
	return $session;
}

sub leader_pid
{
	my ($node, $model) = @_;

	return $node->safe_psql('postgres',
		qq{SELECT pid FROM pg_stat_activity
		   WHERE application_name = 'train_$model' AND backend_type = 'client backend'});
}

sub worker_pids
{
	my ($node, $model) = @_;

	return split /\n/, $node->safe_psql('postgres',
		qq{SELECT pid FROM pg_stat_activity
		   WHERE application_name = 'train_$model' AND backend_type = 'parallel worker'});
}

sub wait_for_no_training
{
	my ($node) = @_;

	wait_for($node,
		q{SELECT count(*) = 0 FROM pg_stat_activity
		  WHERE application_name LIKE 'train%' OR backend_type = 'parallel worker'},
		'trainings and workers to be gone');
}

# Dynamic shared memory segments: files, where the server's type of it is mmap.
sub segments
{
	my ($node) = @_;

	return scalar grep { -f } glob($node->data_dir . '/pg_dynshmem/*');
}

# Temporary files that are still there.
sub leftovers
{
	my ($node) = @_;
	my @found;
	my @folders = ($node->data_dir . '/base/pgsql_tmp');

	while (defined(my $folder = shift @folders))
	{
		foreach my $entry (glob("$folder/*"))
		{
			push @found, $entry;
			push @folders, $entry if -d $entry;
		}
	}
	return join ' ', @found;
}

# Lines of the log, from an offset on, that no training may cause.
sub log_complaints
{
	my ($node, $offset) = @_;
	my $log = substr(slurp_file($node->logfile), $offset // 0);

	return join "\n", grep { /(?:WARNING|PANIC|TRAP|leak|still referenced)/ } split /\n/, $log;
}

# A model in a line: a digest of all that training makes of ratings and
# options, to the bit.
sub model_print
{
	my ($node, $model, $users, $items) = @_;

	$users //= 'user_id';
	$items //= 'item_id';
	return $node->safe_psql('postgres',
		qq{SELECT concat_ws(' ',
			(SELECT md5(string_agg(t::text, chr(10) ORDER BY $users)) FROM ${model}_users t),
			(SELECT md5(string_agg(t::text, chr(10) ORDER BY $items)) FROM ${model}_items t),
			(SELECT md5(concat_ws(' ', mean, rating_min, rating_max, users, items, ratings, iterations,
					alpha, regularization, gramian_users, gramian_items, objective, error))
				FROM mf_models WHERE model = '$model'),
			(SELECT md5(string_agg(concat_ws(' ', iteration, error, objective), chr(10) ORDER BY iteration))
				FROM mf_history WHERE model = '$model'))});
}

1;

# The same ratings, options and seed give the same model to the bit: whatever
# the order of the rows, the number of workers and the memory, and where workers,
# shared memory or both are not to be had.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib dirname(__FILE__);
use FactorTest;

my $node = PostgreSQL::Test::Cluster->new('main');
# Segments of the log are smaller than the limit on files that comes below.
$node->init(extra => [ '--wal-segsize=1' ]);
$node->append_conf(
	'postgresql.conf', q{
max_worker_processes = 8
max_parallel_workers = 4
maintenance_work_mem = 256MB
dynamic_shared_memory_type = mmap
autovacuum = off
log_temp_files = 0
});
$node->start;

# Pairs that come twice and thrice, with values whose sum depends on the order
# in which they are added; users that are text; the same rows in another order.
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION factor;
	CREATE TABLE ratings AS
		SELECT ('user ' || u) AS user_id, i AS item_id,
			(1 + abs(hashint4(u * 10007 + i * 3 + g)) % 9000 / 1997.0)::real AS rating
		FROM generate_series(1, 600) u, generate_series(1, 160) g,
			LATERAL (SELECT 1 + abs(hashint4(u * 61 + g)) % 400 AS i) x;
	CREATE TABLE shuffled AS SELECT * FROM ratings ORDER BY hashtext(ctid::text), ctid;
});
cmp_ok(
	$node->safe_psql('postgres',
		'SELECT count(*) - count(DISTINCT (user_id, item_id)) FROM ratings'),
	'>', 1000, 'there are pairs that are repeated');

# Trains `model` and returns what was said.
sub train
{
	my ($model, $table, $options, $settings) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		"$settings; SELECT mf_train('$table', model => '$model', $options)");

	is($status, 0, "$model: trained") or diag($err);
	return $err;
}

sub temp_files
{
	return scalar(() = slurp_file($node->logfile) =~ /LOG:  temporary file: path /g);
}

my $in_memory = q{SET maintenance_work_mem = '256MB'; SET work_mem = '64MB'};
my $in_files = q{SET maintenance_work_mem = '1MB'; SET work_mem = '64MB'};
my $workers = 'SET max_parallel_maintenance_workers =';

# The last three are by the stochastic solver, with pairs held out and without.
my %options_of = (
	explicit => "feedback => 'explicit'",
	implicit => "feedback => 'implicit'",
	squared => "holdout => 0.1, options => '{\"solver\": \"sgd\", \"patience\": 100}'",
	bpr => "loss => 'bpr', options => '{\"negatives\": 2, \"unobserved_weight\": 0.01}'",
	triples => "loss => 'bpr', options => '{\"negatives\": 1, \"optimizer\": \"adam\", \"learning_rate\": 0.01}'");

foreach my $feedback ('explicit', 'implicit', 'squared', 'bpr', 'triples')
{
	# Some 1e10 operations: worth workers.
	my $options = "$options_of{$feedback}, factors => 64, iterations => 16, seed => 3";
	my $f = substr($feedback, 0, 2);
	my $files = temp_files();

	my $said = train("${f}_0", 'ratings', $options, "$in_memory; $workers 0");
	my $expected = model_print($node, "${f}_0");
	like($said, qr/training "${f}_0": .* 0 workers/, "$feedback: alone");
	is(temp_files(), $files, "$feedback: without temporary files");

	foreach my $n (1, 2)
	{
		$said = train("${f}_$n", 'ratings', $options, "$in_memory; $workers $n");
		like($said, qr/training "${f}_$n": .* $n workers/, "$feedback: $n workers took part");
		is(model_print($node, "${f}_$n"), $expected, "$feedback: the same model by $n workers");
	}
	is(temp_files(), $files, "$feedback: without temporary files either");

	foreach my $n (0, 2)
	{
		$said = train("${f}_shuffled_$n", 'shuffled', $options, "$in_memory; $workers $n");
		like($said, qr/training "${f}_shuffled_$n": .* $n workers/, "$feedback: $n workers");
		is(model_print($node, "${f}_shuffled_$n"),
			$expected, "$feedback: the same model of shuffled rows by $n workers");
	}

	foreach my $n (0, 1, 2)
	{
		my $earlier = temp_files();
		$said = train("${f}_files_$n", 'shuffled', $options, "$in_files; $workers $n");
		cmp_ok(temp_files(), '>', $earlier, "$feedback: with temporary files");
		like($said, qr/training "${f}_files_$n": .* $n workers/, "$feedback: $n workers");
		is(model_print($node, "${f}_files_$n"),
			$expected, "$feedback: the same model from files by $n workers");
	}

	# Another seed is another model: the comparison sees differences.
	(my $other = $options) =~ s/seed => 3/seed => 4/;
	train("${f}_other", 'ratings', $other, "$in_memory; $workers 2");
	isnt(model_print($node, "${f}_other"), $expected, "$feedback: another seed, another model");

	# A retraining is the same as a first training, whatever was there.
	train("${f}_other", 'shuffled', $options, "$in_memory; $workers 1");
	is(model_print($node, "${f}_other"), $expected, "$feedback: the same model when retrained");

	# No worker to be had.
	$said = train("${f}_none", 'ratings', $options,
		"$in_memory; $workers 2; SET max_parallel_workers = 0");
	like(
		$said,
		qr/NOTICE:  training without parallel workers\nDETAIL:  No background worker was free\./,
		"$feedback: no worker was free");
	is(model_print($node, "${f}_none"), $expected, "$feedback: the same model then");

	# No shared memory: files of the postmaster and its children may not grow
	# beyond a size that the larger segments have, but no table.
	SKIP:
	{
		my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
		skip 'no prlimit to limit the size of files with', 7
		  if system("prlimit --pid $postmaster --fsize >/dev/null 2>&1") != 0;

		# Entries of the matrices fit, the state does not; or nothing does.
		(my $large = $options) =~ s/factors => 64, iterations => 16/factors => 512, iterations => 1/;
		train("${f}_large", 'ratings', $large, "$in_memory; $workers 2");
		my $expected_large = model_print($node, "${f}_large");

		foreach my $memory ($in_memory, $in_files)
		{
			my $where = $memory eq $in_memory ? 'memory' : 'files';

			system("prlimit --pid $postmaster --fsize=8000000:") == 0 or die;
			$said = train("${f}_limited", 'ratings', $large, "$memory; $workers 2");
			system("prlimit --pid $postmaster --fsize=unlimited:") == 0 or die;
			like(
				$said,
				qr/NOTICE:  training without parallel workers\nDETAIL:  There is not enough dynamic shared memory/,
				"$feedback: no shared memory for the factors ($where)");
			is(model_print($node, "${f}_limited"),
				$expected_large, "$feedback: the same model then ($where)");
			$node->safe_psql('postgres', "SELECT mf_drop('${f}_limited')");
			$node->safe_psql('postgres', 'VACUUM mf_models');
		}

	}
}

is(log_complaints($node), '', 'the log complains of nothing');
is(leftovers($node), '', 'no temporary file is left');
$node->stop;
done_testing();

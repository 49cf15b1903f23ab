# Where parallel workers are not to be had, everything that would use them goes on
# alone: with the same result, to the bit, and a NOTICE that says why. There may be
# no background worker, or too little dynamic shared memory: for the arrays that
# workers would see, or, where these fit, for PostgreSQL's own of a parallel context.
#
# Segments are files here, and files of the server may not grow beyond a size, which
# takes no privileges. Error queues of a thousand workers make a context larger
# than the arrays.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib dirname(__FILE__);
use FactorTest;

plan skip_all => 'there is no prlimit to limit the size of files with'
  unless system('prlimit --version >/dev/null 2>&1') == 0;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => ['--wal-segsize=1']);
$node->append_conf(
	'postgresql.conf', q{
max_worker_processes = 8
max_parallel_workers = 8
max_parallel_maintenance_workers = 2
dynamic_shared_memory_type = mmap
maintenance_work_mem = 256MB
work_mem = 256MB
autovacuum = off
});
$node->start;

# A model of many users by hand, so that its table need not be trained on; the pairs
# lie so thin that workers read them. And ratings for a training.
$node->safe_psql('postgres', q{
	CREATE EXTENSION factor;
	CREATE TABLE seen (user_id int, item_id int) WITH (fillfactor = 15);
	INSERT INTO seen SELECT u, 1 + abs(hashint4(u * 31 + n)) % 8000 FROM generate_series(1, 40000) u, generate_series(1, 2) n;
	CREATE TABLE few AS SELECT u AS user_id, i AS item_id, (1 + abs(hashint4(u * 7919 + i)) % 5)::real AS rating
	FROM generate_series(1, 1500) u, generate_series(1, 600) i WHERE abs(hashint4(u * 1009 + i)) % 9 = 0;
	SELECT mf_train('seen', rating_col => NULL, feedback => 'implicit', model => 'many', factors => 8, iterations => 1,
		verbose => false, options => '{"index": false}');
	CREATE TABLE unseen AS SELECT u AS user_id, 1 + abs(hashint4(u * 17)) % 8000 AS item_id FROM generate_series(1, 40000) u
	EXCEPT SELECT * FROM seen;
	VACUUM (FREEZE, ANALYZE);
	CHECKPOINT});

my $segments = segments($node);
my $few = q{verbose => false, options => '{"index": false}'};
my @work = (
	[ 'mf_train', 'training', "model => 'trained', factors => 64, iterations => 7, $few" ],
	[ 'mf_train, implicit', 'training', "model => 'trained', factors => 64, iterations => 7, feedback => 'implicit', $few" ],
	[ 'mf_train, sgd', 'training', "model => 'trained', factors => 64, iterations => 60, verbose => false, options => '{\"solver\": \"sgd\", \"index\": false}'" ],
	[ 'mf_topk_all', 'ranking', undef, q{
		SELECT count(*), md5(string_agg(t::text, ',' ORDER BY place))
		FROM mf_topk_all(1, 'many') WITH ORDINALITY t(user_id, item, score, rank, place)} ],
	[ 'mf_evaluate', 'judging', undef, q{SELECT md5(e::text) FROM mf_evaluate('many', 'unseen') e} ]);

# Does it; returns the result in a line, and what was said.
sub run
{
	my ($settings, $work) = @_;
	my ($what, $doing, $options, $sql) = @$work;
	my ($status, $out, $err) = $node->psql('postgres',
		"$settings; " . ($sql // "SELECT mf_train('few', $options) IS NOT NULL"), on_error_stop => 1);

	if ($status == 0 && defined $options)
	{
		$out = model_print($node, 'trained');
		$node->safe_psql('postgres', q{SELECT mf_drop('trained')});
	}
	return ($status == 0 ? $out : '', $err);
}

my %expected;
foreach my $work (@work)
{
	my $said;

	($expected{ $work->[0] }, $said) = run('SET max_parallel_maintenance_workers = 0', $work);
	isnt($expected{ $work->[0] }, '', "$work->[0]: without workers");
	is($said, '', '... as was asked for, without a word');
	my ($result, $err) = run('SET max_parallel_maintenance_workers = 2', $work);
	is($result, $expected{ $work->[0] }, "$work->[0]: the same with workers");
	is($err, '', '... without a word');
}

# How often each is said; mf_topk_all reads with workers as well.
sub notices
{
	my ($err, $detail) = @_;
	my %said;

	$said{$1}++ while $err =~ /NOTICE:  ([a-z ]*) without parallel workers\nDETAIL:  $detail\nHINT:  .*\./g;
	return join ', ', map { "$_ $said{$_}" } sort keys %said;
}

sub no_workers
{
	my ($why, $settings) = @_;

	foreach my $work (@work)
	{
		my ($result, $err) = run($settings, $work);

		is($result, $expected{ $work->[0] }, "$work->[0], $why: the same alone") or diag($err);
		is(notices($err, 'No background worker was free\.'),
			($work->[1] eq 'ranking' ? 'ranking 1, reading ratings 1' : "$work->[1] 1"), '... which is said once');
	}
}

no_workers('max_parallel_workers = 0', 'SET max_parallel_workers = 0; SET max_parallel_maintenance_workers = 2');

# ---- Shared memory ----

my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];

sub limited
{
	my ($bytes, $code) = @_;

	system_log('prlimit', "--pid=$postmaster", "--fsize=$bytes:") == 0 or die 'could not limit the size of files';
	my @results = $code->();
	system_log('prlimit', "--pid=$postmaster", '--fsize=unlimited:') == 0 or die;
	return @results;
}

# The arrays of mf_topk_all are files of at most 4.2 MB; the context of one worker for
# 128 users, 312 of them, is one of 5.2, that of a thousand who read one of 16.
my ($result, $err) = limited(4_700_000, sub { run('SET max_parallel_maintenance_workers = 1000', $work[3]) });
is($result, $expected{mf_topk_all}, 'mf_topk_all, no room for a parallel context: the same alone') or diag($err);
is(notices($err, 'There is not enough dynamic shared memory for parallel workers\.'),
	'ranking 1, reading ratings 1', '... which is said once');

# Whatever does not fit, from nearly nothing on: what is written fits.
foreach my $bytes (1_100_000, 1_600_000, 2_300_000, 3_000_000, 3_900_000)
{
	foreach my $work (@work)
	{
		my ($result, $err) = limited($bytes, sub { run('SET max_parallel_maintenance_workers = 200', $work) });
		my $alone = $err =~ /without parallel workers/;

		is($result, $expected{ $work->[0] }, "$work->[0], files of $bytes bytes: the same" . ($alone ? ' alone' : '')) or diag($err);
		$err =~ s/(?:psql:<stdin>:\d+: )*NOTICE:  .* without parallel workers\nDETAIL:  There is not enough dynamic shared memory for .*\.\nHINT:  .*\n?//g;
		is($err, '', '... and nothing else is said');
	}
}
wait_for($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type IN ('client backend', 'parallel worker')},
	'sessions and workers to be gone');
is(segments($node), $segments, 'no shared memory is left');

# ---- No processes at all ----

$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
no_workers('max_worker_processes = 0', 'SET max_parallel_maintenance_workers = 2');

is(log_complaints($node), '', 'the log complains of nothing');
is(leftovers($node), '', 'no temporary file is left');
$node->stop;
done_testing();

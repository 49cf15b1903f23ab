# OpenBLAS where a process may map little memory: everything that calls it, and
# its workers, gets an error that says so, or works; nothing waits for memory that
# does not come. And what is said where it cannot be loaded at all.
#
# The limit is lowered for a running postmaster, so that its children have it; the
# library is found first in a folder of the test's.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub limit_of
{
	my ($pid, $bytes) = @_;

	return system_log('prlimit', "--pid=$pid", "--as=$bytes:") == 0;
}

plan skip_all => 'with the address sanitizer a process maps terabytes' if $ENV{FACTOR_SANITIZE};
plan skip_all => 'there is no prlimit to limit memory with'
  unless system('prlimit --version >/dev/null 2>&1') == 0;
plan skip_all => 'there is no /proc to measure memory in' unless -r "/proc/$$/status";

my $folder = PostgreSQL::Test::Utils::tempdir();
$ENV{LD_LIBRARY_PATH} = join ':', $folder, grep { defined && length } $ENV{LD_LIBRARY_PATH};

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_parallel_maintenance_workers = 1\nautovacuum = off\n");
$node->start;
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];

$node->safe_psql('postgres', q{
	CREATE EXTENSION factor;
	CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
	FROM generate_series(1, 24) u, generate_series(1, 20) i WHERE (u + i) % 3 > 0;
	-- enough for workers of an evaluation and of mf_topk_all
	CREATE TABLE many AS SELECT u AS user_id, 1 + (u * 31 + k * 97) % 6000 AS item_id, (1 + (u * k) % 5)::real AS rating
	FROM generate_series(1, 6000) u, generate_series(1, 5) k;
	SELECT mf_train('ratings', model => 'small', factors => 8, iterations => 2, verbose => false);
	SELECT mf_train('ratings', model => 'long', factors => 1536, iterations => 1, regularization => 1, verbose => false, options => '{"index": false}');
	SELECT mf_train('many', model => 'many', factors => 80, iterations => 1, verbose => false)});

my %calls = (
	mf_train => q{SELECT mf_train('ratings', model => 'again', factors => 1536, iterations => 1, regularization => 1,
		verbose => false, options => '{"index": false}')},
	mf_refresh => q{SELECT mf_refresh('long', ARRAY[1, 2], ARRAY[1, 2])},
	mf_evaluate => q{SELECT count(*) FROM mf_evaluate('many', 'many', exclude_train => false)},
	mf_map => q{SELECT count(*) FROM mf_map('small')},
	mf_topk_all => q{SELECT count(*) FROM mf_topk_all(5, 'many', exclude_seen => false)});

# What becomes of a call: 'works', 'refused' with the right words, or what it was instead.
sub outcome
{
	my ($sql) = @_;
	my ($timed_out, $stdout, $stderr) = (0, '', '');
	my $status = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql",
		stdout => \$stdout, stderr => \$stderr, timeout => 120, timed_out => \$timed_out);

	if ($timed_out)
	{
		# Neither a cancel nor SIGTERM would end what waits within OpenBLAS.
		foreach my $pid (split /\n/, `pgrep -P $postmaster`)
		{
			kill 'KILL', $pid if slurp_file("/proc/$pid/cmdline") =~ /postgres: .*(?:SELECT|parallel worker)/;
		}
		return 'waits for ever';
	}
	return 'works' if $status == 0 && $stderr !~ /ERROR/;
	return 'refused' if $stderr =~ /ERROR:  53200: out of memory for OpenBLAS\n.*DETAIL:  Each process .* 128 MB/s;
	return 'refused elsewhere' if $stderr =~ /53200|ut of memory|annot allocate memory/;
	return $stderr;
}

my ($size) = slurp_file("/proc/$postmaster/status") =~ /^VmSize:\s+(\d+) kB/m;
my %seen;

# From what is not enough for the library up to what is enough for all.
foreach my $megabytes (40, 100, 160, 220, 280, 500)
{
	limit_of($postmaster, ($size + $megabytes * 1024) * 1024) or die 'could not limit memory';
	foreach my $call (sort keys %calls)
	{
		my $outcome = outcome($calls{$call});

		$seen{$call}{$outcome}++;
		like($outcome, qr/^(?:works|refused|refused elsewhere)$/, "$call with $megabytes MB: $outcome");
	}
}
foreach my $call ('mf_train', 'mf_refresh', 'mf_evaluate', 'mf_map')
{
	ok($seen{$call}{refused}, "$call was refused memory for OpenBLAS");
	ok($seen{$call}{works}, "$call worked with more");
}
ok(!$seen{mf_topk_all}{refused}, 'mf_topk_all takes nothing of OpenBLAS');
limit_of($postmaster, 'unlimited');

# ---- The next call tries again, in the same session ----

my ($status, $out, $err) = $node->psql('postgres', qq{
	SELECT pg_backend_pid() AS pid \\gset
	\\setenv PID :pid
	\\! prlimit --pid=\$PID --as=@{[($size + 40 * 1024) * 1024]}:
	$calls{mf_map};
	\\! prlimit --pid=\$PID --as=unlimited:
	$calls{mf_map}}, on_error_stop => 0);
like($err, qr/out of memory for OpenBLAS/, 'a session without memory');
is($out, '20', '... has what it needs once there is some');

# ---- A library that is there, but is none ----

append_to_file("$folder/libopenblas.so.0", 'This is no library.');
($status, $out, $err) = $node->psql('postgres', qq{
	\\set VERBOSITY verbose
	$calls{mf_map};
	\\! rm $folder/libopenblas.so.0
	$calls{mf_map}}, on_error_stop => 0);
like($err, qr/ERROR:  55000: could not load OpenBLAS\nDETAIL:  .*\Q$folder\E/, 'why the library cannot be loaded is said');
unlike($err, qr/Install/, '... without the advice to install what is there');
is($out, '20', '... and where it can, it is');

my $log = slurp_file($node->logfile);
unlike($log, qr/was terminated by signal/, 'no process has died');

$node->stop;
done_testing();

# A damaged index file: whatever is written into it, scans, inserts, vacuum and
# mf_index_check give a right answer or the error XX002, and the server goes on. An
# answer that is wrong all the same, since a number was changed into another that
# might be, is one that mf_index_check finds.
#
# The seed is printed; TOPK_SEED repeats a run, TOPK_DAMAGES makes it longer.
use strict;
use warnings;

use File::Basename;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib dirname(__FILE__);
use TopkTest;

my $seed = $ENV{TOPK_SEED} // 1;
my $damages = $ENV{TOPK_DAMAGES} // 120;
my $page = 8192;

note "seed $seed";
srand($seed);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Sessions must not wait for each other, and none for ever.
$node->append_conf('postgresql.conf', q{
autovacuum = off
max_parallel_workers_per_gather = 0
restart_after_crash = off
statement_timeout = '20s'
fsync = off
jit = off
});
$node->start;
topk_functions($node);

# As many tables as damages. Their indexes have pages of every kind: of a build, of
# inserts, packed by vacuum, and free.
$node->safe_psql('postgres', q{
	SELECT setseed(0.5);
	CREATE TABLE vectors AS SELECT i AS id, topk_even(64, 0.03) AS v FROM generate_series(1, 1200) i;

	-- what a scan says of a table by each operator: right, wrong or an SQLSTATE
	CREATE FUNCTION scan(tab text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		op text;
		k int;
		query text;
		by_index float8[];
		by_sort float8[];
	BEGIN
		FOREACH op IN ARRAY '{<=>,<#>,<->}'::text[] LOOP
			FOREACH k IN ARRAY '{7,5000}'::int[] LOOP
				query := format('v %s (SELECT v FROM vectors WHERE id = %s)', op, 20 + k % 10);
				BEGIN
					EXECUTE format('SELECT (array_agg(d ORDER BY d))[1:%s] FROM (SELECT %s AS d FROM %I OFFSET 0) s', k, query, tab)
						INTO by_sort;
					EXECUTE format('SELECT ARRAY(SELECT %1$s FROM %2$I ORDER BY %1$s LIMIT %3$s)', query, tab, k) INTO by_index;
					RETURN NEXT CASE WHEN by_index = by_sort THEN 'right' ELSE 'wrong' END;
				EXCEPTION
					WHEN index_corrupted OR data_corrupted THEN RETURN NEXT SQLSTATE;
					WHEN internal_error THEN
						RETURN NEXT CASE WHEN SQLERRM = 'index returned tuples in wrong order' THEN 'wrong' ELSE SQLERRM END;
				END;
			END LOOP;
		END LOOP;
	END $$;
	CREATE FUNCTION check_index(tab text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		n bigint;
		found bigint;
	BEGIN
		EXECUTE format('SELECT count(*) FROM %I', tab) INTO n;
		found := mf_index_check((tab || '_v')::regclass);
		RETURN CASE WHEN n = found THEN 'whole' ELSE 'counts ' || found || ' of ' || n END;
	EXCEPTION WHEN index_corrupted OR data_corrupted THEN
		RETURN SQLSTATE;
	END $$;
});
my @tables = map { "t_$_" } 1 .. $damages;
$node->safe_psql('postgres', join '', map { qq{
	CREATE TABLE $_ AS SELECT * FROM vectors WHERE id <= 400;
	CREATE INDEX ${_}_v ON $_ USING topk (v);
	INSERT INTO $_ SELECT * FROM vectors WHERE id BETWEEN 401 AND 900;
	VACUUM $_;
	INSERT INTO $_ SELECT * FROM vectors WHERE id BETWEEN 901 AND 1000;
	DELETE FROM $_ WHERE id BETWEEN 50 AND 120;
	VACUUM $_;
	ANALYZE $_;
} } @tables);
$node->safe_psql('postgres', 'SET enable_seqscan = off; ' . join '', map { "SELECT scan('$_'); SELECT check_index('$_');" } @tables[0 .. 3]) =~ /^(right|whole|\n)*$/
  or die 'the tables are not whole';
my %file = map { split /\|/ } split /\n/,
  $node->safe_psql('postgres', q{
	SELECT left(relname, -2), pg_relation_filepath(oid) FROM pg_class WHERE relname LIKE 't\_%\_v'});
my $checksums = $node->safe_psql('postgres', 'SHOW data_checksums');
$node->stop;
# they would find everything
command_ok([ 'pg_checksums', '--disable', '-D', $node->data_dir ], 'checksums are off') if $checksums eq 'on';

sub pick { return $_[int rand @_] }

# The blocks of the directory: its chain begins where the meta page says.
sub directory
{
	my ($content) = @_;
	my @blocks;

	for (my $block = unpack('L', substr($content, 64 + 12, 4));
		$block != 0xFFFFFFFF;
		$block = unpack('L', substr($content, $block * $page + 24 + 12, 4)))
	{
		push @blocks, $block;
	}
	return @blocks;
}

# Damages a file, and says how: mostly where headers, counts and blocks are.
sub damage
{
	my ($path) = @_;
	my $content = slurp_file($path);
	my $blocks = length($content) / $page;
	my @directory = directory($content);
	my $where = pick(qw(meta meta header header header directory directory entries anywhere));
	my $length = pick(1, 1, 2, 4, 4, 4);
	my ($block, $offset);

	if ($where eq 'meta') { ($block, $offset) = (0, pick(int rand 64, 64 + int rand 60)) }
	elsif ($where eq 'header') { ($block, $offset) = (int rand $blocks, 24 + int rand 28) }
	elsif ($where eq 'directory') { ($block, $offset) = (pick(@directory), pick(24 + int rand 28, 64 + int rand 16 * $blocks)) }
	elsif ($where eq 'entries') { ($block, $offset) = (1 + int rand($blocks - 1), 64 + int rand($page - 68)) }
	else { ($block, $offset) = (int rand $blocks, int rand($page - 4)) }
	$offset -= $offset % $length;

	my $number = pick(0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FC00000, int rand $blocks, $blocks, int rand 256, int rand 2**32);
	my $bytes = substr(pack('L', $number), 0, $length);

	substr($content, $block * $page + $offset, $length) = $bytes;
	open(my $file, '>:raw', $path) or die "$path: $!";
	print $file $content;
	close $file;
	return sprintf('%s: block %d (of %d), offset %d: %s', $where, $block, $blocks, $offset, unpack('H*', $bytes));
}

my %damage = map { $_ => damage($node->data_dir . "/$file{$_}") } @tables;
$node->start;

# One session for all, so that one damage's error is the next one's start.
my $script = "SET enable_seqscan = off;\nSET enable_sort = off;\n\\set VERBOSITY sqlstate\n";
foreach my $table (@tables)
{
	$script .= qq{
		\\echo table $table
		SELECT 'check', check_index('$table');
		SELECT 'scan', scan('$table');
		INSERT INTO $table SELECT * FROM vectors WHERE id % 4 = 0;
		SELECT 'check', check_index('$table');
		SELECT 'scan', scan('$table');
		DELETE FROM $table WHERE id % 3 = 0;
		VACUUM $table;
		SELECT 'check', check_index('$table');
		SELECT 'scan', scan('$table');
		INSERT INTO $table SELECT * FROM vectors WHERE id % 5 > 0;
		UPDATE $table SET v = v;
		VACUUM $table;
		VACUUM $table;
		SELECT 'check', check_index('$table');
		SELECT 'scan', scan('$table');
	};
}
my $out = '';
my $file = $node->basedir . '/damaged.sql';

append_to_file($file, "$script\\echo end\n");
IPC::Run::run([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres'), '-f', $file ],
	'>', \$out, '2>&1', IPC::Run::timeout(10 * $PostgreSQL::Test::Utils::timeout_default));
like($out, qr/^end$/m, 'the server goes on');

# What became of each damage.
my %outcomes;
my @failures;
foreach my $part (split /^table /m, $out)
{
	next unless $part =~ s/^(t_\d+)\n//;
	my $table = $1;
	my $in_header = $damage{$table} =~ /offset (\d+):/ && $1 < 24;
	my $check = '';
	my %seen;

	foreach my $line (split /\n/, $part)
	{
		next if $line eq '' or $line eq 'end';
		my $outcome = $line =~ /^(?:check|scan)\|(.*)/ ? $1 : $line =~ /ERROR:  (\w+)$/ ? $1 : $line;

		$check = $outcome if $line =~ /^check/;
		$seen{$outcome} = 1;
		# PostgreSQL looks at its own part of the header itself
		next if $outcome =~ /^(?:whole|right|XX002)$/ or ($outcome eq 'XX001' and $in_header);
		next if $outcome eq 'wrong' and $check eq 'XX002';
		push @failures, "$table: $damage{$table}: $line after check $check";
	}
	$outcomes{$_}++ foreach keys %seen;
}
is(join("\n", @failures), '', 'every outcome is a right answer, or an error that says that the index is corrupted');
cmp_ok($outcomes{XX002} // 0, '>', $damages / 4, 'damages are found');
note join ', ', map { "$_: $outcomes{$_}" } sort keys %outcomes;

# An error is no crash, and the log has none.
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal|stuck spinlock/, 'nothing crashed');
$node->stop;
done_testing();

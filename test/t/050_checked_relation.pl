# mf_topk_all's workers read the relation whose rights were checked, whatever its
# name leads to by then: between the check and the reading, where no code of the
# caller's runs, the schemas' owner renames them. A debugger stops the session for
# that moment, and has it take notice, as any lock that it waits for would.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib dirname(__FILE__);
use FactorTest;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
max_worker_processes = 8
max_parallel_workers = 8
max_parallel_maintenance_workers = 1
autovacuum = off
});
$node->start;

# Both tables have pages enough for workers. The owner of the schemas may not read
# the keeper's table, in which user u has rated item 1 + u % 10 alone.
$node->safe_psql('postgres', q{
	CREATE EXTENSION factor;
	CREATE ROLE keeper;
	CREATE ROLE landlord;
	CREATE SCHEMA kept AUTHORIZATION landlord;
	CREATE SCHEMA let AUTHORIZATION landlord;
	CREATE SCHEMA models AUTHORIZATION landlord;
	GRANT ALL ON SCHEMA kept TO keeper;
	GRANT CREATE ON DATABASE postgres TO landlord;
	SET ROLE keeper;
	CREATE TABLE kept.ratings (user_id int, item_id int, rating real, pad text);
	ALTER TABLE kept.ratings ALTER COLUMN pad SET STORAGE PLAIN;
	INSERT INTO kept.ratings SELECT 1 + i % 40, 1 + (i % 40 + 1) % 10, 1, repeat('x', 1000) FROM generate_series(1, 12000) i;
	SET ROLE landlord;
	CREATE TABLE let.ratings (user_id int, item_id int, rating real, pad text);
	ALTER TABLE let.ratings ALTER COLUMN pad SET STORAGE PLAIN;
	INSERT INTO let.ratings SELECT 1 + i % 40, 1 + i % 30, 1 + i % 5, repeat('y', 1000) FROM generate_series(1, 12000) i;
	SELECT users FROM mf_train('let.ratings', model => 'models.m', factors => 2, verbose => false);
	DELETE FROM let.ratings;
	INSERT INTO let.ratings SELECT 1000000, 1000000, 1, repeat('y', 1000) FROM generate_series(1, 12000);
});

my $all = q{SELECT count(*) FROM mf_topk_all(30, 'models.m')};

is($node->safe_psql('postgres', "SET ROLE landlord; $all"), 40 * 30, 'nobody has rated anything in his own table');
my ($ret, $out, $err) = $node->psql('postgres', 'SET ROLE landlord; SELECT count(*) FROM kept.ratings');
like($err, qr/permission denied/, 'the other table is not his to read');

# The same without a debugger: the names are changed before the call.
$node->safe_psql('postgres', 'ALTER SCHEMA let RENAME TO was; ALTER SCHEMA kept RENAME TO let');
($ret, $out, $err) = $node->psql('postgres', "SET ROLE landlord; $all");
like($err, qr/permission denied for table let\.ratings/, 'rights are those of the relation that the name leads to');
$node->safe_psql('postgres', 'ALTER SCHEMA let RENAME TO kept; ALTER SCHEMA was RENAME TO let');

SKIP:
{
	my $why = system('gdb --version >/dev/null 2>&1') != 0 ? 'gdb is not installed' :
		system('sleep 60 & gdb -p $! -batch -ex detach 2>&1 | grep -q "not permitted"; found=$?; kill $!; exit $found') == 0 ?
		'gdb may not attach to processes here' : undef;
	skip $why, 3 if defined $why;

	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $call = session_start($node, 'caller', q{
		SELECT '{1}'::real[] <-> '{1}';
		DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'go') LOOP PERFORM pg_sleep(0.1); END LOOP; END $$;
		SET ROLE landlord;
		SELECT 'left out: ' || 40 * 30 - count(*) FROM mf_topk_all(30, 'models.m')});
	my $psql = "psql -X -q -d '" . $node->connstr('postgres') . "'";

	wait_for($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'caller' AND query LIKE '%go%'}, 'the caller');
	my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE application_name = 'caller'});
	append_to_file("$dir/commands", <<"END");
set confirm off
handle SIGUSR1 nostop noprint pass
tbreak pair_scan_read
shell touch $dir/attached
continue
shell $psql -c 'ALTER SCHEMA let RENAME TO was; ALTER SCHEMA kept RENAME TO let' && touch $dir/renamed
call (void) AcceptInvalidationMessages()
detach
END
	my $gdb = IPC::Run::start(['gdb', '-p', $pid, '-batch', '-x', "$dir/commands"],
		'<', \undef, '>', "$dir/log", '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	for (1 .. 600)
	{
		last if -e "$dir/attached";
		select(undef, undef, undef, 0.1);
	}
	$node->safe_psql('postgres', 'CREATE TABLE go ()');
	is(session_end($call), '', 'the call has no error');
	$gdb->finish;
	ok(-e "$dir/renamed", 'the schemas were renamed in its middle') or diag(slurp_file("$dir/log"));
	like($call->{out}, qr/^left out: 0$/m, 'what it read is what was checked');
}

$node->stop;
done_testing();

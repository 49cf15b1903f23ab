# Ratings that are committed on two further servers while mf_train_sharded begins:
# every server is asked before anything waits, so that what one shows the others
# show too; and where they do not, the error says to try again. The servers are
# set up by the SQL of doc/sharding.md.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use FindBin;
use lib $FindBin::RealBin;
use FactorTest;

my $top = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));
my $page = slurp_file("$top/doc/sharding.md");

my %node;
foreach my $name ('coordinator', 'shard1', 'shard2')
{
	$node{$name} = PostgreSQL::Test::Cluster->new($name);
	$node{$name}->init;
	$node{$name}->append_conf('postgresql.conf', 'max_prepared_transactions = 2');
	$node{$name}->start;
}
my $coordinator = $node{coordinator};

if ($coordinator->safe_psql('postgres',
		q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) eq '0')
{
	plan skip_all => 'postgres_fdw is not installed';
}

# The page's blocks for a kind of server, but for those that explain.
sub blocks
{
	my ($where) = @_;
	my $sql = join "\n", grep { !/EXPLAIN/ } $page =~ /^```sql on-$where\n(.*?)^```$/msg;

	$sql =~ s/host '(shard\d)\.example\.com'/"host '" . $node{$1}->host . "', port '" . $node{$1}->port . "'"/ge;
	return $sql;
}

$node{$_}->safe_psql('postgres', blocks('shard')) foreach ('shard1', 'shard2');
$coordinator->safe_psql('postgres', blocks('coordinator'));

my $train = q{mf_train_sharded('by_user', 'by_item', '{user_vectors_1,user_vectors_2}',
	'{item_vectors_1,item_vectors_2}', model => 'together', factors => 2, iterations => 2, verbose => false)};
my $ratings = $coordinator->safe_psql('postgres', 'SELECT count(*) FROM ratings');

# New pairs of users of the second server and items of the first: on which server
# a row lies is the partitions' doing.
my $new = q{SELECT u.id AS user_id, i.id AS item_id, 5 AS rating FROM generate_series(1000, 1400) u(id), generate_series(1000, 1400) i(id)
	WHERE satisfies_hash_partition('ratings'::regclass, 2, 1, u.id)
		AND satisfies_hash_partition('ratings_again'::regclass, 2, 0, i.id) ORDER BY 1, 2 LIMIT 10};

# A reader of the first server's copy keeps TRUNCATE waiting.
$node{shard1}->safe_psql('postgres',
	q{BEGIN; LOCK TABLE user_vectors IN ACCESS SHARE MODE; PREPARE TRANSACTION 'reader'});

my $trainer = session_start($coordinator, 'trainer', "SELECT ratings FROM $train");
wait_for($node{shard1},
	q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'TRUNCATE%'},
	'TRUNCATE to wait');
$coordinator->safe_psql('postgres',
	"BEGIN; CREATE TEMP TABLE new AS $new; INSERT INTO ratings SELECT * FROM new;
	INSERT INTO ratings_again SELECT * FROM new; COMMIT");
$node{shard1}->safe_psql('postgres', q{COMMIT PREPARED 'reader'});
is(session_end($trainer), '', 'ratings that are committed meanwhile do not end a training');
is($trainer->{out}, "$ratings\n", '... which does not see them');
is($coordinator->safe_psql('postgres', "SELECT ratings FROM $train"), $ratings + 10, 'the next one does');

# ---- Where the servers differ ----

my ($status, $out, $err) = $coordinator->psql('postgres',
	"\\set VERBOSITY verbose
	BEGIN; DELETE FROM ratings_again WHERE item_id = 7 AND user_id < 100; SELECT $train");
like($err, qr/ERROR:  40001: "by_user" has \d+ ratings but "by_item" has \d+/, 'the code says that it may work later');
like($err, qr/HINT:  Try again\./, 'and so does the hint');

$_->stop foreach values %node;
done_testing();

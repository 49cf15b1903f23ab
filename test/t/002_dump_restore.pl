# A model survives pg_dump and restore: as a superuser, as the owner, and
# without owners.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->start;

$node->safe_psql(
	'postgres', q{
	CREATE ROLE alice LOGIN;
	CREATE ROLE bob LOGIN;
	CREATE DATABASE source;
});
$node->safe_psql(
	'source', q{
	CREATE EXTENSION factor;
	CREATE SCHEMA reco AUTHORIZATION alice;
	SET ROLE alice;
	CREATE TABLE reco.ratings AS
		SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
		FROM generate_series(1, 30) u, generate_series(1, 20) i WHERE (u + i) % 3 > 0;
	SELECT mf_train('reco.ratings', model => 'reco.films', factors => 4, verbose => false);
	SELECT mf_train('reco.ratings', model => 'reco.other', factors => 2, verbose => false);
	SELECT mf_default('reco.other');
});

my $question = q{
	SELECT mf_predict(3, 7, 'reco.films'), mf_predict(3, 7, 'reco.other');
	SELECT * FROM mf_topk(3, 5, 'reco.films');
	SELECT model, is_default, owner = tableowner FROM mf_models JOIN pg_tables
		ON schemaname = schema AND tablename = model || '_users' ORDER BY model;
	SELECT count(*) FROM mf_history;
	SET search_path = reco, public;
	SELECT mf_default();
};
my $before = $node->safe_psql('source', $question);

sub restore
{
	my ($name, $dump_options, $role, @restore) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/$name.dump";

	$node->command_ok(
		[ 'pg_dump', '-Fc', '-f', $file, @$dump_options, $node->connstr('source') ],
		"$name: dumped");
	$node->safe_psql('postgres', "CREATE DATABASE $name OWNER $role");
	$node->safe_psql($name, "CREATE EXTENSION factor") if $role ne 'postgres';
	$node->command_ok([ 'pg_restore', '-d', $node->connstr($name), @restore, $file ],
		"$name: restored");
}

sub restored
{
	restore(@_);
	return $node->safe_psql($_[0], $question);
}

# A schema alone: with the extension beside it
is(restored('one_schema', [ '-n', 'reco', '-e', 'factor' ], 'postgres'), $before, 'a schema and the extension');
restore('bare_schema', [ '-n', 'reco' ], 'alice');
my ($code, $out, $err) = $node->psql('bare_schema', q{SELECT mf_train('reco.ratings', model => 'reco.films')});
like($err, qr/there without its row in mf_models.*--extension=factor/s, 'a schema alone: training says what is missing');

my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

is(restored('whole', [], $superuser), $before, 'restored by a superuser');
is(restored('nobody', ['--no-owner'], $superuser, '--no-owner'),
	$before, 'restored without owners');

# The owner of the models can dump and restore them without being superuser.
my $mine = "$PostgreSQL::Test::Utils::tmp_check/mine.sql";
$node->command_ok(
	[
		'pg_dump', '-f', $mine, '--no-comments', '-U', 'alice',
		$node->connstr('source')
	],
	'the owner dumps');
$node->safe_psql('postgres', 'CREATE DATABASE mine OWNER alice');
$node->safe_psql('mine', 'CREATE EXTENSION factor');
$node->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-U', 'alice', '-f', $mine, $node->connstr('mine') ],
	'the owner restores');
is($node->safe_psql('mine', $question), $before, 'restored by the owner');

# And trains on, in the restored database.
$node->safe_psql('mine',
	q{SET ROLE alice; SELECT mf_train('reco.ratings', model => 'reco.films', factors => 4, verbose => false)});
is($node->safe_psql('mine', $question), $before, 'the same model again');

$node->stop;
done_testing();

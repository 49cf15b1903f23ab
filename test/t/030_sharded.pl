# Training where the ratings lie on two further servers, set up by the SQL of
# doc/sharding.md: half iterations are grouped there, and the model is the one
# that mf_train makes of the same ratings.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));
my $page = slurp_file("$top/doc/sharding.md");

my %node;
foreach my $name ('coordinator', 'shard1', 'shard2')
{
	$node{$name} = PostgreSQL::Test::Cluster->new($name);
	$node{$name}->init;
	$node{$name}->append_conf('postgresql.conf', 'log_statement = all');
	$node{$name}->start;
}
my $coordinator = $node{coordinator};

if ($coordinator->safe_psql('postgres',
		q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) eq '0')
{
	plan skip_all => 'postgres_fdw is not installed';
}

# The page's blocks for a kind of server, its host names replaced by where the
# servers of the test are.
sub blocks
{
	my ($where) = @_;
	my $sql = join "\n", $page =~ /^```sql on-$where\n(.*?)^```$/msg;

	$sql =~ s/host '(shard\d)\.example\.com'/"host '" . $node{$1}->host . "', port '" . $node{$1}->port . "'"/ge;
	return $sql;
}

sub run_ok
{
	my ($node, $sql, $what) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1);

	is($status, 0, $what) or diag($err);
	return $out;
}

run_ok($node{$_}, blocks('shard'), "the page's SQL runs on $_") foreach ('shard1', 'shard2');
my $out = run_ok($coordinator, blocks('coordinator'), "the page's SQL runs on the coordinator");

# ---- Where the work is done ----

my @remote = $out =~ /Remote SQL: (.*)/g;
is(scalar @remote, 2, 'a query a shard');
like($_, qr/SELECT user_id, public\.mf_solve\(factors, bias, rating, .*\) FROM public\.rated_by_user GROUP BY 1/,
	'which has the aggregate and the grouping')
  foreach @remote;

foreach my $shard ('shard1', 'shard2')
{
	my $log = slurp_file($node{$shard}->logfile);

	foreach my $side ('user', 'item')
	{
		my @halves = $log =~ /(DECLARE c\d+ CURSOR FOR\s+SELECT [^\n]*mf_solve\([^\n]*rated_by_$side[^\n]*GROUP BY 1)/g;

		# EXPLAIN asks for nothing, so these are the training's.
		is(scalar @halves, 15, "$shard: $side halves of 15 iterations");
	}
	cmp_ok($node{$shard}->safe_psql('postgres', 'SELECT count(*) FROM ratings_by_user'),
		'>', 1000, "$shard has ratings by user");
	is($node{$shard}->safe_psql('postgres', 'SELECT count(*) FROM item_vectors'),
		100, "$shard has all items' vectors");
}

# ---- The model ----

$coordinator->safe_psql('postgres', 'CREATE TABLE here AS SELECT * FROM ratings; CREATE INDEX ON here (user_id, item_id)');

sub same_model
{
	my ($options, $what) = @_;

	$coordinator->safe_psql(
		'postgres', qq{
		SELECT mf_train('here', model => 'alone', verbose => false, $options);
		SELECT mf_train_sharded('by_user', 'by_item', '{user_vectors_1,user_vectors_2}',
			'{item_vectors_1,item_vectors_2}', model => 'together', verbose => false, $options)});
	foreach my $side ('user', 'item')
	{
		is( $coordinator->safe_psql(
				'postgres', qq{
				SELECT count(*) > 0, max(abs(a.bias - b.bias)) < 1e-4, max(a.factors <-> b.factors) < 1e-3,
					bool_and(a.ratings = b.ratings), max(abs(a.rating_sum - b.rating_sum)) < 1e-6
				FROM alone_${side}s a FULL JOIN together_${side}s b USING (${side}_id)}),
			't|t|t|t|t', "$what: ${side}s are the same");
	}
	is( $coordinator->safe_psql(
			'postgres', q{
			SELECT a.feedback = b.feedback, a.factors = b.factors, abs(a.mean - b.mean) < 1e-9,
				a.rating_min = b.rating_min, a.rating_max = b.rating_max, a.users = b.users,
				a.items = b.items, a.ratings = b.ratings, a.iterations = b.iterations,
				abs(a.regularization - b.regularization) < 1e-9, abs(a.alpha - b.alpha) < 1e-9,
				a.unobserved_weight = b.unobserved_weight, abs(a.objective / b.objective - 1) < 1e-5,
				abs(a.error / b.error - 1) < 1e-5, a.gramian_items IS NULL = (b.gramian_items IS NULL)
			FROM mf_models a, mf_models b WHERE a.model = 'alone' AND b.model = 'together'}),
		join('|', ('t') x 15),
		"$what: so is what mf_models says");
	is( $coordinator->safe_psql(
			'postgres', q{
			SELECT count(*) = max(b.iteration), max(abs(a.objective / b.objective - 1)) < 1e-4
			FROM mf_history a FULL JOIN mf_history b ON b.model = 'together' AND b.iteration = a.iteration
			WHERE a.model = 'alone'}),
		't|t', "$what: so is the history");
}

same_model(q{factors => 16}, 'explicit');
same_model(q{factors => 5, iterations => 3, regularization => 2, seed => 7, options => '{"reg_exponent": 1, "bias_regularization": 1}'},
	'explicit, with options');
same_model(q{feedback => 'implicit', factors => 8}, 'implicit');
same_model(q{feedback => 'implicit', rating_col => NULL, factors => 3, options => '{"unobserved_weight": 0}'}, 'implicit, of facts');
same_model(q{factors => 4, iterations => 4, options => '{"unobserved_weight": 0.05}'}, 'explicit, with unobserved pairs');
is($coordinator->safe_psql('postgres', q{SELECT count(*) FROM mf_topk(42, 5, 'together')}),
	5, 'it recommends');
is( $coordinator->safe_psql('postgres',
		q{SELECT count(*) FROM mf_topk(42, 100, 'together') t JOIN here ON user_id = 42 AND item_id = item}),
	0, 'but nothing that the user has rated');

# ---- Foreign tables as any other source ----

# The ratings as they lie, partitioned over the servers, or those of one of them:
# what is folded in from their rows now is what training stored, and what a user
# has rated there is left out.
foreach my $source ('ratings', 'ratings_1')
{
	like($coordinator->safe_psql(
			'postgres', qq{
			SELECT mf_train('$source', model => 'afar', factors => 4, iterations => 2, verbose => false, options => '{"index": false}');
			CREATE TEMP TABLE lists AS SELECT user_id, t.* FROM afar_users, mf_topk(user_id, 100, 'afar') t;
			CREATE TEMP TABLE known AS SELECT * FROM afar_users;
			DELETE FROM afar_users;
			CREATE TEMP TABLE live AS SELECT user_id, t.* FROM known, mf_topk(user_id, 100, 'afar') t;
			SELECT count(*) > 5000, bool_and(abs(l.score - t.score) < 1e-4)
			FROM lists l FULL JOIN live t USING (user_id, item);
			SELECT count(*) FROM lists JOIN $source r ON r.user_id = lists.user_id AND r.item_id = lists.item;
			SELECT count(DISTINCT item) = 100 FROM lists;
			SELECT mf_drop('afar')}),
		qr/\nt\|t\n0\nt\n/, "newcomers' lists from foreign tables: $source");
}

# ---- What goes wrong ----

sub fails_with
{
	my ($before, $arguments, $message, $what) = @_;
	my ($status, $stdout, $err) = $coordinator->psql('postgres',
		"BEGIN; $before; SELECT mf_train_sharded($arguments, model => 'together', verbose => false)");

	like($err, $message, $what);
}

my $print = q{SELECT md5(string_agg(t::text, ' ' ORDER BY user_id)) FROM together_users t};
my $before = $coordinator->safe_psql('postgres', $print);
my $copies = q{'{user_vectors_1,user_vectors_2}', '{item_vectors_1,item_vectors_2}'};

fails_with(q{DELETE FROM ratings_again WHERE item_id = 7 AND user_id < 100}, "'by_user', 'by_item', $copies",
	qr/ERROR:  "by_user" has \d+ ratings but "by_item" has \d+/, 'other ratings by item');
fails_with(q{TRUNCATE user_vectors_2, item_vectors_2}, q{'by_user', 'by_item', '{user_vectors_1}', '{item_vectors_1}'},
	qr/ERROR:  only \d+ of \d+ ratings of "by_item" have a vector of the other side/, 'a copy forgotten');
fails_with(q{SELECT}, q{'by_user', 'by_item', '{user_vectors_1}', '{item_vectors_1}'},
	qr/ERROR:  "by_user" has vectors that come from none of item_copies/, 'a copy forgotten that is full');
fails_with(q{SELECT}, q{'by_user', 'by_item', '{}', '{item_vectors_1}'},
	qr/ERROR:  user_copies must not be empty/, 'no copies');
fails_with(q{SELECT}, q{'by_user', 'by_item', NULL, '{item_vectors_1}'},
	qr/ERROR:  user_copies must not be null/, 'null copies');
fails_with(q{SELECT}, q{'by_user', NULL, '{user_vectors_1}', '{item_vectors_1}'},
	qr/ERROR:  by_item must not be null/, 'a null table');
fails_with(q{UPDATE ratings SET rating = 'NaN' WHERE user_id = 3}, "'by_user', 'by_item', $copies",
	qr/ERROR:  ratings of "by_user" are not all finite/, 'NaN');
fails_with(q{UPDATE ratings SET rating = -1 WHERE user_id = 3}, "'by_user', 'by_item', $copies, feedback => 'implicit'",
	qr/ERROR:  rating is -1, but implicit feedback cannot be negative/, 'negative ratings');
fails_with(q{DELETE FROM ratings}, "'by_user', 'by_item', $copies",
	qr/ERROR:  no ratings in "by_user"/, 'no ratings');
fails_with(q{SET TRANSACTION READ ONLY}, "'by_user', 'by_item', $copies",
	qr/ERROR:  cannot execute mf_train_sharded\(\) in a read-only transaction/, 'a read-only transaction');
is($coordinator->safe_psql('postgres', $print), $before, 'the model is as it was');

$_->stop foreach values %node;
done_testing();

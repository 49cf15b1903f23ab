# A physical replica serves models as the primary does, and trains none.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION factor');
$primary->backup('backup');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

my $questions = q{
	SELECT u, i, mf_predict(u, i), mf_predict(u, i, 'watched')
		FROM generate_series(0, 41) u, generate_series(1, 31, 6) i ORDER BY 1, 2;
	SELECT u, t.* FROM generate_series(1, 40) u, mf_topk(u, 5) t ORDER BY 1, 3 DESC, 2;
	SELECT * FROM mf_topk(7, 30, 'watched', exclude_seen => false);
	SELECT * FROM mf_topk(7, 5, live => true, diversity => 0.3);
	SELECT * FROM mf_topk(99, 5, 'watched', candidates => ARRAY[1, 2, 3, 5, 8]);
	SELECT * FROM mf_topk_for(ARRAY[3, 5, 8], ARRAY[4, 2, 5]);
	SELECT * FROM mf_explain(7, 3, 5, 'watched');
	SELECT user_id, mf_fold_in(item_id, rating) FROM ratings GROUP BY user_id ORDER BY user_id;
	SELECT * FROM mf_similar_items(3, 10);
	SELECT * FROM mf_similar_users(3, 10, 'watched');
	SELECT item_id FROM films_items ORDER BY factors <=> (SELECT factors FROM films_items WHERE item_id = 5) LIMIT 5;
	SELECT model, factors, is_default, error FROM mf_models ORDER BY model;
	SELECT mf_default();
};

sub check_same_answers
{
	my ($what) = @_;

	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
	my $expected = $primary->safe_psql('postgres', $questions);
	cmp_ok(length $expected, '>', 4000, "$what: the primary answers");
	is($standby->safe_psql('postgres', $questions), $expected, "$what: the standby answers alike");
	return $expected;
}

$primary->safe_psql(
	'postgres', q{
	CREATE TABLE ratings AS
		SELECT u AS user_id, i AS item_id, (1 + abs(hashint4(u * 10007 + i)) % 9 / 2.0)::real AS rating
		FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE (u + i) % 3 > 0;
	CREATE INDEX ON ratings (user_id, item_id);
	SELECT mf_train('ratings', model => 'films', factors => 6, verbose => false);
	SELECT mf_train('ratings', model => 'watched', feedback => 'implicit', factors => 4, verbose => false);
	INSERT INTO ratings VALUES (99, 10, 4), (99, 11, 1);
});
my $first = check_same_answers('trained');

$primary->safe_psql(
	'postgres', q{
	SELECT mf_train('ratings', model => 'films', factors => 9, seed => 5, verbose => false);
	DELETE FROM ratings WHERE user_id = 40;
	SELECT mf_train('ratings', model => 'watched', feedback => 'implicit', factors => 3, verbose => false);
	SELECT mf_default('watched');
});
isnt(check_same_answers('retrained'), $first, 'the answers are new');

my ($status, $out, $err);
foreach my $call (
	q{mf_train('ratings', model => 'films')},
	q{mf_train('ratings', model => 'new')},
	q{mf_drop('films')},
	q{mf_default('films')})
{
	my ($function) = $call =~ /^(\w+)/;
	($status, $out, $err) = $standby->psql('postgres', "SELECT $call");
	like($err, qr/ERROR:  cannot execute $function\(\) during recovery/,
		"$call: refused on the standby");
}

# The primary is lost: the standby trains on.
$primary->stop('immediate');
$standby->promote;
is( $standby->safe_psql('postgres',
		q{SELECT users FROM mf_train('ratings', model => 'films', factors => 6, verbose => false)}),
	40, 'once promoted it trains');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM mf_topk(7, 3, 'films')}),
	3, 'and serves');

$standby->stop;
done_testing();

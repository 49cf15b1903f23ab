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

# Everything that only reads; `{}` is a model's name.
# Sums of floats depend on their order in the last digits, and the order of a join's
# rows on its plan: it is said where it matters.
my $questions = q{
	SELECT u, i, mf_predict(u, i), mf_predict(u, i, 'watched')
		FROM generate_series(0, 41) u, generate_series(1, 31, 6) i ORDER BY 1, 2;
	SELECT u, t.* FROM generate_series(1, 40) u, mf_topk(u, 5) t ORDER BY 1, 3 DESC, 2;
	SELECT count(*) FROM mf_topk(99, 5, 'films', live => false);
	SELECT user_id, mf_fold_in(item_id, rating) FROM ratings GROUP BY user_id ORDER BY user_id;
	SELECT item_id FROM films_items ORDER BY factors <=> (SELECT factors FROM films_items WHERE item_id = 5) LIMIT 5;
	SELECT item_id FROM films_items i, (SELECT mf_fold_in(item_id, rating, 'films') v FROM ratings WHERE user_id = 99) f
		ORDER BY (i.bias || i.factors) <#> (1::real || (v).factors) LIMIT 5;
	SELECT model, factors, is_default, error FROM mf_models ORDER BY model;
	SELECT mf_default();
	SELECT mf_index_check(c.oid::regclass) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
		WHERE a.amname = 'topk' ORDER BY relname;
	SELECT r.user_id, mf_solve(i.factors, i.bias, r.rating, mf_solve_options('{"mean": 3, "regularization": 0.1}') ORDER BY item_id)
		FROM ratings r JOIN films_items i USING (item_id) GROUP BY 1 ORDER BY 1;
	SELECT r.user_id, mf_solve(i.factors, r.rating, NULL ORDER BY item_id), mf_solve_error(i.factors, r.rating, NULL ORDER BY item_id)
		FROM ratings r JOIN films_items i USING (item_id) GROUP BY 1 ORDER BY 1;
	SELECT r.item_id, mf_solve(u.factors, r.rating, mf_solve_options('{"feedback": "implicit", "regularization": 0.1, "unobserved_weight": 0.2}'
			|| jsonb_build_object('others', (SELECT count(*) FROM watched_users)), (SELECT mf_gramian(factors ORDER BY user_id) FROM watched_users)) ORDER BY user_id)
		FROM ratings r JOIN watched_users u USING (user_id) GROUP BY 1 ORDER BY 1;
	SELECT r.user_id, mf_solve_error(i.factors, r.rating, mf_solve_options('{"feedback": "implicit"}') ORDER BY item_id)
		FROM ratings r JOIN watched_items i USING (item_id) GROUP BY 1 ORDER BY 1;
	SELECT mf_gramian(factors ORDER BY item_id) FROM films_items;
	SELECT user_id, item_id, mf_holdout(user_id, item_id, 0.1) FROM ratings WHERE user_id < 4 ORDER BY 1, 2;
};
my $of_each_model = q{
	SELECT * FROM mf_topk(7, 30, '{}', exclude_seen => false);
	SELECT * FROM mf_topk(7, 5, '{}', live => true);
	SELECT * FROM mf_topk(7, 5, '{}', diversity => 0.3);
	SELECT * FROM mf_topk(99, 5, '{}', candidates => ARRAY[1, 2, 3, 5, 8]);
	SELECT * FROM mf_topk(7, 5, '{}', exclude => ARRAY[1, 2, 3, 5, 8], live => true, diversity => 0.5);
	SELECT * FROM mf_topk_for(ARRAY[3, 5, 8], ARRAY[4, 2, 5], 10, '{}');
	SELECT * FROM mf_topk_for(ARRAY[3, 5, 8], k => 4, model => '{}', diversity => 0.3);
	SELECT * FROM mf_explain(7, 3, 5, '{}');
	SELECT * FROM mf_similar_items(3, 10, '{}');
	SELECT * FROM mf_similar_users(3, 10, '{}');
	SELECT * FROM mf_topk_all(4, '{}');
	SELECT * FROM mf_topk_all(ARRAY[3, 4, 99], 4, '{}', exclude_seen => false);
	SELECT * FROM mf_map('{}');
	SELECT * FROM mf_map('{}', 'users');
	SELECT mf_map_svg('{}', labels => 'titles');
	SELECT mf_history_svg('{}');
	SELECT * FROM mf_evaluate('{}', 'test', k => 5, baselines => true);
};
foreach my $model (qw(films watched))
{
	$questions .= $of_each_model =~ s/\{\}/$model/gr;
}

sub check_same_answers
{
	my ($what) = @_;

	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
	my $expected = $primary->safe_psql('postgres', $questions);
	cmp_ok(length $expected, '>', 50000, "$what: the primary answers");
	is($standby->safe_psql('postgres', $questions), $expected, "$what: the standby answers alike");
	is($primary->safe_psql('postgres', "BEGIN READ ONLY; $questions COMMIT;"),
		$expected, "$what: and the primary in a read-only transaction");
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
	CREATE TABLE titles AS SELECT item_id, 'Film ' || item_id AS title FROM films_items;
	CREATE TABLE test AS SELECT user_id, item_id + 1 AS item_id, rating FROM ratings WHERE (user_id + item_id) % 3 = 2;
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

# What writes says so, each in its own name, there and in a read-only transaction.
foreach my $call (
	q{SELECT mf_train('ratings', model => 'films')},
	q{SELECT mf_train('ratings', model => 'new')},
	q{SELECT mf_train('ratings', options => '{"factors": 3}', model => 'films')},
	q{SELECT mf_train_sharded('ratings', 'ratings', ARRAY['ratings'::regclass], ARRAY['ratings'::regclass], model => 'films')},
	q{SELECT mf_refresh('films')},
	q{SELECT mf_refresh('films', users => ARRAY[7])},
	q{SELECT mf_retrain('films')},
	q{SELECT mf_drop('films')},
	q{SELECT mf_default('films')},
	q{CALL mf_tune('ratings', grid => '{"factors": [2, 3]}')})
{
	my ($function) = $call =~ /(mf_\w+)/;
	my ($status, $out, $err) = $standby->psql('postgres', $call);

	like($err, qr/ERROR:  cannot execute $function\(\) during recovery/,
		"$call: refused on the standby");
	($status, $out, $err) = $primary->psql('postgres', "SET default_transaction_read_only = on; $call");
	like($err, qr/ERROR:  cannot execute $function\(\) in a read-only transaction/,
		"$call: refused in a read-only transaction");
}
is(check_same_answers('refused'), check_same_answers('still'), 'and nothing has changed');

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

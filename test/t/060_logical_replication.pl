# A logical replica whose roles have other names serves a model: after the first
# copy, after each training, and for models that come and go.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(allows_streaming => 'logical');
$subscriber->start;

sub tables
{
	my ($model) = @_;

	return join "\n", map {
		"CREATE TABLE reco.${model}_${_}s (${_}_id int PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL,
			ratings int NOT NULL, rating_sum float8 NOT NULL, digest bigint NOT NULL);"
	} qw(user item);
}

my $ratings = 'CREATE TABLE reco.ratings (user_id int, item_id int, rating int, PRIMARY KEY (user_id, item_id));';

$publisher->safe_psql('postgres', qq{
	CREATE ROLE writer_there;
	CREATE EXTENSION factor;
	CREATE SCHEMA reco AUTHORIZATION writer_there;
	SET ROLE writer_there;
	$ratings
	INSERT INTO reco.ratings SELECT u, i, 1 + (u * i) % 5
	FROM generate_series(1, 50) u, generate_series(1, 30) i WHERE (u + i) % 3 > 0;
	SELECT mf_train('reco.ratings', model => 'reco.films', factors => 3, verbose => false, options => '{"index": false}');
	RESET ROLE;
	CREATE PUBLICATION reco FOR TABLE reco.ratings, reco.films_users, reco.films_items, public.mf_models, public.mf_history;
});
my $tables = tables('films');
$subscriber->safe_psql('postgres', qq{
	CREATE ROLE reader_here;
	CREATE EXTENSION factor;
	CREATE SCHEMA reco AUTHORIZATION reader_here;
	SET ROLE reader_here;
	$ratings
	$tables
});
my $connection = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION reco CONNECTION '$connection' PUBLICATION reco");
$subscriber->poll_query_until('postgres',
	q{SELECT bool_and(srsubstate IN ('r', 's')) FROM pg_subscription_rel}) or die 'tables are not copied';

# What both answer, and whose model it is here
sub check
{
	my ($what) = @_;
	my $question = q{
		SELECT * FROM mf_topk(3, 5, 'reco.films');
		SELECT mf_predict(4, 7, 'reco.films'), mf_default();
		SELECT iterations, (SELECT count(*) FROM mf_history WHERE model = m.model) FROM mf_models m WHERE model = 'films'};

	$publisher->wait_for_catchup('reco');
	is($subscriber->safe_psql('postgres', $question), $publisher->safe_psql('postgres', $question),
		"$what: the same answers");
	is($subscriber->safe_psql('postgres', q{SELECT owner FROM mf_models WHERE model = 'films'}),
		'reader_here', "$what: the owner is the one here");
}

sub train
{
	my ($sql) = @_;

	$publisher->safe_psql('postgres', "SET ROLE writer_there; $sql");
}

check('first copy');
train(q{SELECT mf_train('reco.ratings', model => 'reco.films', factors => 4, verbose => false, options => '{"index": false}')});
check('trained again');
train(q{INSERT INTO reco.ratings VALUES (51, 3, 4), (51, 5, 1); DELETE FROM reco.ratings WHERE user_id = 9;
	SELECT mf_refresh('reco.films')});
check('refreshed');
train(q{SELECT mf_retrain('reco.films', verbose => false)});
check('retrained');

# A model whose tables are not here yet: its row comes all the same, for no second
# one would, and is not served until there are tables
train(q{SELECT mf_train('reco.ratings', model => 'reco.other', factors => 2, verbose => false, options => '{"index": false}')});
$publisher->wait_for_catchup('reco');
is($subscriber->safe_psql('postgres', q{SELECT owner FROM mf_models WHERE model = 'other'}),
	'writer_there', 'a row without tables is kept');
$tables = tables('other');
$subscriber->safe_psql('postgres', "SET ROLE reader_here; $tables");
$publisher->safe_psql('postgres', 'ALTER PUBLICATION reco ADD TABLE reco.other_users, reco.other_items');
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION reco REFRESH PUBLICATION');
$subscriber->poll_query_until('postgres',
	q{SELECT bool_and(srsubstate IN ('r', 's')) FROM pg_subscription_rel}) or die 'tables are not copied';
train(q{SELECT mf_retrain('reco.other', verbose => false)});
$publisher->wait_for_catchup('reco');
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM mf_topk(3, 5, 'reco.other')}),
	5, 'the next training makes it serve');

# Gone there, gone here, whoever owns the tables that are left
train(q{SELECT mf_drop('reco.other')});
$publisher->wait_for_catchup('reco');
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM mf_models WHERE model = 'other'}), 0, 'dropped');
check('at last');

$subscriber->stop;
$publisher->stop;
done_testing();

# The defaults predict and rank well, on data nobody made up.
#
# The data are not the project's to copy: the test skips where FACTOR_TEST_DATA,
# the path of their folder, is not set. What it asserts is a floor for the
# defaults as doc/defaults.md says they were chosen, on parts of the data that
# took no part in choosing them.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{FACTOR_TEST_DATA} // '';
my $ratings = "$data/ml-latest-small/ratings.csv";

plan skip_all => 'FACTOR_TEST_DATA names no folder with the data'
  unless $data ne '' && -d $data;

my $node = PostgreSQL::Test::Cluster->new('quality');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION factor');

# load(table, file): copies a file's lines, whatever ends them, into a table
sub load
{
	my ($table, $columns, $file) = @_;
	my $text = slurp_file($file);
	my $copy = "$PostgreSQL::Test::Utils::tmp_check/load.txt";

	$text =~ s/\r//g;
	append_to_file($copy, $text);
	$node->safe_psql('postgres', "\\copy $table $columns FROM '$copy' $_[3]");
	unlink $copy;
	return;
}

# train(table, options): trains the model "m"
sub train
{
	my ($table, $options) = @_;

	$node->safe_psql('postgres',
		"SET client_min_messages = error;
		 SELECT * FROM mf_train('$table', model => 'm', verbose => false $options)");
	return;
}

# ---------------------------------------------------------------------------
# Explicit: RMSE on MovieLens latest-small, against biases alone
# ---------------------------------------------------------------------------

# Users and items that training did not see are predicted from what is known.
my $rmse = q{
	SELECT sqrt(avg((t.rating - greatest(m.rating_min, least(m.rating_max,
			m.mean + coalesce(u.bias, 0) + coalesce(i.bias, 0)
			- coalesce(u.factors <#> i.factors, 0)))) ^ 2))
	FROM testing t CROSS JOIN mf_models m
		LEFT JOIN m_users u USING (user_id) LEFT JOIN m_items i USING (item_id)
	WHERE m.model = 'm'};

# So regularized, vectors are zero, and the biases have their optimum alone. They
# are given the lambda_b that is best for them on these very splits.
my $biases_alone = 'factors => 1, regularization => 1e9, iterations => 50';
my @bias_regularizations = (2, 2.5, 3, 4);
my @salts = (1 .. 5);

sub mean
{
	my $sum = 0;

	$sum += $_ for @_;
	return $sum / @_;
}

SKIP:
{
	skip "no $ratings", 2 unless -r $ratings;

	my (@defaults, %alone, $best);

	$node->safe_psql('postgres',
		'CREATE TABLE films (user_id int, item_id int, rating real, at bigint)');
	load('films', '', $ratings, 'WITH (FORMAT csv, HEADER)');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM films'),
		100836, 'MovieLens latest-small is whole');

	for my $salt (@salts)
	{
		$node->safe_psql(
			'postgres', qq{
			DROP TABLE IF EXISTS training, testing;
			CREATE TABLE split AS
			SELECT user_id, item_id, rating,
				   ('x' || left(md5('$salt:' || user_id || ':' || item_id), 7))::bit(28)::int % 10 = 0 AS tested
			FROM films;
			CREATE TABLE training AS SELECT user_id, item_id, rating FROM split WHERE NOT tested;
			CREATE TABLE testing AS SELECT user_id, item_id, rating FROM split WHERE tested;
			DROP TABLE split;
			ANALYZE training, testing});

		train('training', '');
		push @defaults, $node->safe_psql('postgres', $rmse);
		for my $lambda (@bias_regularizations)
		{
			train('training', ", $biases_alone, options => '{\"bias_regularization\": $lambda}'");
			push @{ $alone{$lambda} }, $node->safe_psql('postgres', $rmse);
		}
	}

	for my $lambda (@bias_regularizations)
	{
		my $error = mean(@{ $alone{$lambda} });

		note sprintf("biases alone, bias_regularization %g: RMSE %.4f", $lambda, $error);
		$best = $lambda if !defined $best || $error < mean(@{ $alone{$best} });
	}
	for my $k (0 .. $#salts)
	{
		note sprintf("split %d: RMSE %.4f, biases alone %.4f",
			$salts[$k], $defaults[$k], $alone{$best}[$k]);
	}

	my $gain = mean(@{ $alone{$best} }) - mean(@defaults);

	note sprintf(
		"MovieLens latest-small, mean of %d splits: RMSE %.4f, biases alone %.4f, %.4f below",
		scalar @salts, mean(@defaults), mean(@{ $alone{$best} }), $gain);
	cmp_ok($gain, '>=', 0.014, 'explicit: RMSE at least 0.014 below biases alone');
}

# ---------------------------------------------------------------------------
# Implicit: Recall@20 and NDCG@20 on last.fm
# ---------------------------------------------------------------------------

# Over all items but the user's own in training, the mean over users with pairs
# tested; a user's list is the first 20 + (pairs in training), less those.
my $ranking = q{
	WITH tested AS (
		SELECT user_id, count(*) AS n FROM testing GROUP BY user_id
	), list AS (
		SELECT user_id, l.item_id,
			   row_number() OVER (PARTITION BY user_id ORDER BY l.distance, l.item_id) AS place
		FROM tested JOIN m_users u USING (user_id)
			CROSS JOIN LATERAL (
				SELECT i.item_id, u.factors <#> i.factors AS distance
				FROM m_items i ORDER BY 2, 1 LIMIT 20 + u.ratings) l
		WHERE NOT EXISTS (SELECT FROM training t
						  WHERE t.user_id = u.user_id AND t.item_id = l.item_id)
	), hits AS (
		SELECT user_id, count(*) AS n, sum(1 / log(2, (1 + place)::numeric)) AS gain
		FROM list JOIN testing USING (user_id, item_id)
		WHERE place <= 20 GROUP BY user_id
	), ideal AS (
		SELECT k, sum(1 / log(2, (1 + k)::numeric)) OVER (ORDER BY k) AS gain
		FROM generate_series(1, 20) k
	)
	SELECT count(*), avg(coalesce(h.n, 0) / least(20, t.n)::numeric), avg(coalesce(h.gain, 0) / i.gain)
	FROM tested t LEFT JOIN hits h USING (user_id) JOIN ideal i ON i.k = least(20, t.n)};

SKIP:
{
	skip "no $data/lastfm", 6 unless -r "$data/lastfm/test.txt";

	$node->safe_psql('postgres',
		"SET client_min_messages = error;
		 SELECT mf_drop('m');
		 DROP TABLE IF EXISTS training, testing")
	  if $node->safe_psql('postgres', 'SELECT count(*) FROM mf_models') > 0;
	$node->safe_psql(
		'postgres', q{
		CREATE TABLE training (user_id int, item_id int);
		CREATE TABLE testing (LIKE training);
		CREATE TABLE lines (line text)});
	for my $part ('train', 'valid', 'test')
	{
		my $table = $part eq 'test' ? 'testing' : 'training';

		load('lines', '', "$data/lastfm/$part.txt", '');
		$node->safe_psql(
			'postgres', qq{
			INSERT INTO $table SELECT w[1]::int, item::int
			FROM (SELECT string_to_array(trim(line), ' ') AS w FROM lines) l, unnest(w[2:]) item;
			TRUNCATE lines});
	}
	$node->safe_psql('postgres', 'ANALYZE training, testing');
	is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM training), (SELECT count(*) FROM testing)'),
		'73458|18321', 'last.fm is whole');

	train('training', ", feedback => 'implicit', rating_col => NULL");
	$node->safe_psql('postgres', 'ANALYZE m_users, m_items');

	my ($users, $recall, $ndcg) = split /\|/, $node->safe_psql('postgres', $ranking);

	note sprintf("last.fm, %d users tested: Recall\@20 %.4f, NDCG\@20 %.4f", $users, $recall, $ndcg);
	is($users, 1863, 'last.fm: every user with a test part is counted');
	cmp_ok($recall, '>=', 0.26, 'implicit: Recall@20 of at least 0.26');
	cmp_ok($ndcg, '>=', 0.26, 'implicit: NDCG@20 of at least 0.26');

	# The pairwise ranking loss, with options chosen on the validation part; the mean
	# of five seeds, since what is drawn depends on them.
	my %chosen = (
		'bpr' => '"negatives": 4, "regularization": 0.03, "iterations": 80',
		'bpr with unobserved pairs' => '"unobserved_weight": 0.0023, "negatives": 1, "regularization": 0.02, "iterations": 40');

	for my $name (sort keys %chosen)
	{
		my (@recall, @ndcg);

		for my $seed (1 .. 5)
		{
			train('training', ", loss => 'bpr', seed => $seed, rating_col => NULL, options => '{$chosen{$name}}'");
			$node->safe_psql('postgres', 'ANALYZE m_users, m_items');
			($users, $recall, $ndcg) = split /\|/, $node->safe_psql('postgres', $ranking);
			push @recall, $recall;
			push @ndcg, $ndcg;
		}
		note sprintf("last.fm, %s, mean of %d seeds: Recall\@20 %.4f (%s), NDCG\@20 %.4f",
			$name, scalar @recall, mean(@recall), join(', ', map { sprintf '%.4f', $_ } @recall), mean(@ndcg));
		cmp_ok(mean(@recall), '>=', 0.24, "$name: Recall\@20 of at least 0.24");
	}
}

$node->stop;
done_testing();

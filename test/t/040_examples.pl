# The scripts in doc/examples run as a newcomer would run them, and find what they
# promise.
#
# The first works on data that come with the project. The others need data that
# may not: they are skipped where FACTOR_TEST_DATA, the path of the data's folder,
# is not set. Figures are the mean of five seeds, of the split or of the training
# (job 3, whose split is by time), and of pairs that have chosen nothing: the scripts
# choose options and epochs within their training parts. The figures in doc/examples/README.md are what this test
# notes: prove -v.
use strict;
use warnings;

use File::Basename;
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));
my $data = $ENV{FACTOR_TEST_DATA} // '';
my @seeds = (1 .. 5);

my $node = PostgreSQL::Test::Cluster->new('examples');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;

my $pictures = PostgreSQL::Test::Utils::tempdir();

# run_example(name, variables): runs a script by psql, which is to succeed without a
# word of complaint; what it wrote
sub run_example
{
	my ($name, %variable) = @_;
	my $what = join ' ', $name, map { "$_=$variable{$_}" } grep { $_ eq 'seed' } keys %variable;
	my ($out, $err);

	$variable{pictures} = $pictures;
	my $ok = IPC::Run::run(
		[
			'psql', '-X', '-d', $node->connstr('postgres'),
			(map { ('-v', "$_=$variable{$_}") } sort keys %variable),
			'-f', "$top/doc/examples/$name.sql"
		],
		'<', \undef, '>', \$out, '2>', \$err);
	ok($ok, "$what runs from top to bottom");
	is($err, '', '... without a complaint');
	return $out;
}

# The pictures of a script are there, each whole and with as many points as it
# should have at least.
sub check_pictures
{
	my (%points) = @_;

	for my $name (sort keys %points)
	{
		my $svg = slurp_file("$pictures/$name.svg");
		my $circles = () = $svg =~ /<circle /g;

		ok($svg =~ /^<svg xmlns=.*<\/svg>\s*$/s && $circles >= $points{$name},
			"picture $name has $points{$name} points or more");
	}
	return;
}

# The value of a query in a schema
sub value
{
	my ($schema, $query) = @_;

	return $node->safe_psql('postgres', "SET search_path = $schema, public; $query");
}

sub mean
{
	my $sum = 0;

	$sum += $_ for @_;
	return $sum / @_;
}

sub near
{
	my ($got, $expected, $tolerance, $name) = @_;

	cmp_ok(abs($got - $expected), '<=', $tolerance, $name) or diag("$got against $expected");
	return;
}

# ---------------------------------------------------------------------------
# 1. Works and subjects
# ---------------------------------------------------------------------------

my ($out, %works);

for my $seed (@seeds)
{
	run_example('1_works_and_subjects', data => "$top/test/data", seed => $seed);
	for my $row (split /\n/, value('works', 'SELECT method, ndcg FROM figures'))
	{
		my ($method, $ndcg) = split /\|/, $row;

		push @{ $works{$method} }, $ndcg;
	}
}
check_pictures(works_loss => 20, works_map => 150);
is(value('works', q{SELECT count(*) FROM works_subjects}), 109902, 'works: all pairs are there');
is(value('works', q{SELECT count(*) FROM mf_topk('0ad', 10, 'works')}), 10, '... ten subjects for a work');
is(value('works', q{SELECT count(*) FROM mf_topk('0ad', 10, 'works') JOIN training ON work = '0ad' AND subject = item}),
	0, '... none that it has');
is( value('works',
		q{SELECT loss, settings->>'optimizer', factors, (settings->>'negatives')::int FROM mf_models WHERE model = 'works'}),
	'logistic|adam|10|10',
	'... trained as it says');
note sprintf('works, mean of %d splits: NDCG@10 %.4f, most popular %.4f',
	scalar @seeds, mean(@{ $works{model} }), mean(@{ $works{popular} }));
cmp_ok(mean(@{ $works{model} }), '>=', 1.3 * mean(@{ $works{popular} }), '... far better than the most popular');

# ---------------------------------------------------------------------------
# 2. MovieLens: five variants
# ---------------------------------------------------------------------------

my $films = "$data/ml-latest-small";

sub movielens
{
	my @variants = qw(dot_product sigmoid biases weight_decay least_squares);
	my $variants = "(schema = 'movielens' AND model = ANY ('{" . join(',', @variants) . "}'))";
	my (%error, %choosing);

	for my $seed (@seeds)
	{
		$out = run_example('2_movielens', data => $films, seed => $seed);
		for my $row (split /\n/, value('movielens', "SELECT f.model, rmse, m.held_out_loss FROM figures f
			LEFT JOIN mf_models m ON m.schema = 'movielens' AND m.model = f.model"))
		{
			my ($model, $rmse, $held_out) = split /\|/, $row, -1;

			push @{ $error{$model} }, $rmse;
			push @{ $choosing{$model} }, $held_out;
		}
	}
	check_pictures(
		movielens_1_dot_product => 20,
		movielens_2_sigmoid => 20,
		movielens_3_biases => 20,
		movielens_4_weight_decay => 20,
		movielens_5_least_squares => 30,
		movielens_map => 150);
	is( value('movielens', "SELECT count(*), sum((held_out_loss IS NOT NULL)::int) FROM mf_history WHERE $variants"),
		'55|55',
		'movielens: a loss on both parts for every epoch');
	is(value('movielens', 'SELECT count(*) FROM training JOIN testing USING (user_id, movie_id)'),
		0, '... nothing tested was trained on');

	my @losses = map { mean(@{ $error{$_} }) } @variants;
	my $alone = mean(@{ $error{'biases alone'} });

	note sprintf('movielens, %s, mean of %d splits: RMSE %.4f, of the part that chose the epoch %.4f',
		$_, scalar @seeds, mean(@{ $error{$_} }), mean(@{ $choosing{$_} }))
	  for @variants;
	note sprintf('movielens, biases alone, mean of %d splits: RMSE %.4f', scalar @seeds, $alone);
	ok((!grep { $losses[$_] <= $losses[ $_ + 1 ] } 0 .. 3), '... and every variant is better than the one before');
	cmp_ok($losses[4], '<', $alone, '... the last one better than the biases alone');
	is(value('movielens', 'SELECT count(*) FROM mf_topk(1, 10, \'films\') t LEFT JOIN ratings r ON r.user_id = 1 AND r.movie_id = t.item
			WHERE r.movie_id IS NULL'), 10, '... ten that the user has not rated');
	is( value('movielens',
			'SELECT count(*), count(*) FILTER (WHERE i.distance = s.distance) FROM by_index i JOIN by_search s USING (movie_id, place)'),
		'1000|1000',
		'... the index finds the nearest');
	like($out, qr/Index Scan using films_items_factors_idx/, '... as the plan says');
	ok( $node->poll_query_until(
			'postgres',
			q{SELECT idx_scan >= 100 FROM pg_stat_user_indexes
			  WHERE schemaname = 'movielens' AND indexrelname = 'films_items_factors_idx'}),
		'... and it was the index');
	return;
}

# ---------------------------------------------------------------------------
# 3. Two towers with negatives
# ---------------------------------------------------------------------------

# The metrics in plain SQL, of some users.
my $metrics = q{
	SET enable_indexscan = off;
	WITH relevant AS (
		SELECT user_id, movie_id FROM few JOIN least_squares_items USING (movie_id) WHERE liked = 1
	), scored AS (
		SELECT u.user_id, i.movie_id, u.factors <#> i.factors AS distance,
			   (u.user_id, i.movie_id) IN (SELECT * FROM relevant) AS wanted
		FROM least_squares_users u CROSS JOIN least_squares_items i
		WHERE u.user_id IN (SELECT user_id FROM relevant)
			AND (u.user_id, i.movie_id) NOT IN (SELECT user_id, movie_id FROM training WHERE user_id IN (SELECT user_id FROM few))
	), ranked AS (
		SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY distance, movie_id) AS place,
			   rank() OVER (PARTITION BY user_id ORDER BY distance)
			   + (count(*) OVER (PARTITION BY user_id, distance) - 1) / 2.0 AS rank,
			   count(*) OVER (PARTITION BY user_id) AS candidates
		FROM scored
	), listed AS (
		SELECT *, sum(wanted::int) OVER (PARTITION BY user_id ORDER BY place) AS hits FROM ranked WHERE place <= 10
	), known AS (
		SELECT movie_id, count(*) / (SELECT count(DISTINCT user_id)::float8 FROM training) AS share FROM training GROUP BY 1
	), lists AS (
		SELECT user_id, sum(wanted::int) AS hits, sum(wanted::int / log(2.0, 1 + place)) AS gain,
			   sum(CASE WHEN wanted THEN hits / place::numeric ELSE 0 END) AS precisions,
			   coalesce(1.0 / min(place) FILTER (WHERE wanted), 0) AS reciprocal,
			   avg(share) AS popularity, avg(-log(2.0, share::numeric)) AS novelty
		FROM listed JOIN known USING (movie_id) GROUP BY 1
	), auc AS (
		SELECT user_id, (sum(candidates - rank + 1) FILTER (WHERE wanted)
						 - count(*) FILTER (WHERE wanted) * (count(*) FILTER (WHERE wanted) + 1) / 2.0)
			   / (count(*) FILTER (WHERE wanted)::numeric * count(*) FILTER (WHERE NOT wanted)) AS auc
		FROM ranked GROUP BY 1
	), apart AS (
		SELECT a.user_id, avg(x.factors <=> y.factors) AS diversity
		FROM listed a JOIN listed b ON b.user_id = a.user_id AND b.movie_id > a.movie_id
			JOIN least_squares_items x ON x.movie_id = a.movie_id JOIN least_squares_items y ON y.movie_id = b.movie_id
		GROUP BY 1
	)
	SELECT avg(hits / 10.0), avg(hits / least(10, n)::numeric), avg(gain / ideal), avg(precisions / least(10, n)), avg(reciprocal),
		   avg((hits > 0)::int), avg(auc),
		   (SELECT count(DISTINCT movie_id) FROM listed) / (SELECT count(*)::float8 FROM least_squares_items),
		   avg(diversity), avg(popularity), avg(novelty), count(*), sum(n)
	FROM lists JOIN (SELECT user_id, count(*) AS n FROM relevant GROUP BY 1) n USING (user_id)
		JOIN (SELECT k, sum(1 / log(2.0, 1 + k)) OVER (ORDER BY k) AS ideal FROM generate_series(1, 10) k) i ON k = least(10, n)
		JOIN auc USING (user_id) JOIN apart USING (user_id)};

sub two_towers
{
	my %model = ('two towers, logistic' => 'towers', 'two towers, BPR' => 'pairwise', 'least squares' => 'squares');
	my @columns = qw(ndcg hit_rate coverage);
	my %found;

	run_example('3_two_towers', data => $films, seed => $seeds[0]);
	check_pictures(two_towers_loss => 60);
	is( value('towers', 'SELECT count(DISTINCT user_id), count(*) FROM split'),
		'610|100836',
		'towers: every user has twenty ratings');
	is( value('towers',
			'SELECT count(*) FROM training t JOIN testing e USING (user_id) JOIN split s ON s.user_id = e.user_id AND s.movie_id = e.movie_id
			 WHERE t.at > s.at'),
		0,
		'... nothing in training is later than the test');

	my @names = qw(precision recall ndcg map mrr hit_rate auc coverage diversity popularity novelty users relevant_pairs);
	my @theirs = split /\|/, value('towers',
		'CREATE VIEW few AS SELECT * FROM testing WHERE user_id <= 20; SELECT ' . join(', ', @names)
		  . " FROM mf_evaluate('least_squares', 'few', relevant => 1)");
	my @ours = split /\|/, value('towers', $metrics);

	near($theirs[$_], $ours[$_], 1e-7, "... $names[$_] is what plain SQL makes of it") for 0 .. $#names;

	for my $seed (@seeds)
	{
		for my $name (sort keys %model)
		{
			value('towers',
				"SET client_min_messages = warning;
				 SELECT mf_train('training', 'user_id', 'movie_id', 'liked', model => 'again',
					options => (SELECT options FROM $model{$name}_trials ORDER BY ndcg DESC, trial LIMIT 1)
						|| '{\"seed\": $seed, \"verbose\": false, \"index\": false}')");
			my @figures = split /\|/, value('towers',
				'SELECT ' . join(', ', @columns) . " FROM mf_evaluate('again', 'testing', relevant => 1)");

			is( join('|', @figures),
				value('towers', 'SELECT ' . join(', ', @columns) . " FROM figures WHERE method = '$name'"),
				"... $name is trained as in the script")
			  if $seed == $seeds[0];
			push @{ $found{$name}[$_] }, $figures[$_] for 0 .. $#columns;
		}
	}
	for my $name ('most seen', 'most liked')
	{
		@{ $found{$name} } = map { [$_] } split /\|/,
		  value('towers', 'SELECT ' . join(', ', @columns) . " FROM figures WHERE method = '$name'");
	}
	for my $name (sort { mean(@{ $found{$b}[0] }) <=> mean(@{ $found{$a}[0] }) } keys %found)
	{
		note sprintf("towers, %s, mean of %d: NDCG\@10 %.4f, HitRate\@10 %.4f, Coverage\@10 %.4f",
			$name, scalar @{ $found{$name}[0] }, map { mean(@$_) } @{ $found{$name} });
	}

	my ($best) = sort { $b <=> $a } map { mean(@{ $found{$_}[0] }) } ('most seen', 'most liked');

	cmp_ok(mean(@{ $found{'least squares'}[0] }), '>=', 1.15 * $best, '... least squares: 1.15 times the most popular or more');
	cmp_ok(mean(@{ $found{$_}[0] }), '>', $best, "... $_: above the most popular")
	  for ('two towers, logistic', 'two towers, BPR');
	return;
}

# ---------------------------------------------------------------------------
# 4. A rating model
# ---------------------------------------------------------------------------

sub rating_model
{
	my %found;

	for my $seed (@seeds)
	{
		run_example('4_rating_model', data => $films, seed => $seed);
		for my $row (split /\n/, value('stars', 'SELECT model, 4.5 * rmse, diversity, novelty FROM figures'))
		{
			my ($model, @figures) = split /\|/, $row;

			push @{ $found{$model}[$_] }, $figures[$_] for 0 .. $#figures;
		}
	}
	check_pictures(stars_network_loss => 10, stars_least_squares_loss => 15, stars_map => 30);

	# The last split's error, and the variety of its lists, in plain SQL.
	near(
		value('stars',
			q{SELECT sqrt(avg((t.rating - greatest(m.rating_min, least(m.rating_max, m.mean + coalesce(u.bias, 0) + coalesce(i.bias, 0)
				- coalesce(u.factors <#> i.factors, 0)))) ^ 2))
			  FROM testing t CROSS JOIN mf_models m LEFT JOIN films_users u USING (user_id) LEFT JOIN films_items i USING (movie_id)
			  WHERE m.schema = 'stars' AND m.model = 'films'}),
		value('stars', q{SELECT rmse FROM figures WHERE model = 'films'}),
		1e-7, 'stars: the RMSE is what plain SQL makes of it');
	is( value('stars',
			q{SELECT count(*) FROM testing WHERE (user_id, movie_id) IN (SELECT user_id, movie_id FROM training)}),
		0, '... nothing tested was trained on');
	is( value('stars',
			q{SELECT bool_and(optimizer.value = 'adam'), bool_and(m.factors = 16), bool_and(link_low IS NOT NULL), bool_and(iterations <= 10),
				bool_and(m.held_out_loss = (SELECT min(held_out_loss) FROM mf_history h WHERE (h.schema, h.model) = (m.schema, m.model)))
			  FROM mf_models m, jsonb_each_text(settings) optimizer
			  WHERE m.schema = 'stars' AND m.model = 'network' AND optimizer.key = 'optimizer'}),
		't|t|t|t|t',
		'... the network is what it says, and its best epoch is kept');
	is( value('stars',
			q{SELECT count(*), count(DISTINCT user_id), max(n) FROM
				(SELECT user_id, count(*) OVER (PARTITION BY user_id) AS n FROM everyone e
				 WHERE NOT EXISTS (SELECT FROM training t WHERE t.user_id = e.user_id AND t.movie_id = e.item)) x}),
		'6100|610|10',
		'... everyone has ten, none rated before');
	for my $model (sort { mean(@{ $found{$b}[0] }) <=> mean(@{ $found{$a}[0] }) } keys %found)
	{
		my ($rmse, $diversity, $novelty) = map { mean(map { $_ eq '' ? 0 : $_ } @$_) } @{ $found{$model} };

		note sprintf('stars, %s, mean of %d splits: RMSE %.4f, %.4f in stars; diversity %.3f, novelty %.3f',
			$model, scalar @seeds, $rmse / 4.5, $rmse, $diversity, $novelty);
	}

	my ($alone, $network, $squares) = map { mean(@{ $found{$_}[0] }) } qw(biases_alone network films);

	cmp_ok($network, '<=', $alone, '... the network is at or below the biases alone');
	cmp_ok($squares, '<=', $alone - 0.018, '... least squares are 0.018 stars below them or more');
	return;
}

# ---------------------------------------------------------------------------
# 5. The best epoch
# ---------------------------------------------------------------------------

sub best_epoch
{
	my %error;

	for my $seed (@seeds)
	{
		run_example('5_best_epoch', data => $films, books => "$data/book-crossing", seed => $seed);
		for my $row (split /\n/, value('best_epoch', 'SELECT data, method, model, rmse FROM figures'))
		{
			my ($of, $method, $model, $rmse) = split /\|/, $row;

			push @{ $error{ $method eq 'model' ? $model : "$of, biases alone" } }, $rmse;
		}
	}
	check_pictures(best_epoch_films => 100, best_epoch_by_heart => 100, best_epoch_books => 100);
	is( value('best_epoch',
			q{SELECT count(*), bool_and(best_iteration = (SELECT iteration FROM mf_history h
					WHERE (h.schema, h.model) = (m.schema, m.model) ORDER BY held_out_loss, iteration LIMIT 1)),
				bool_and(iterations <= 1000), bool_and((settings->>'batch_size')::int = 0)
			  FROM mf_models m WHERE schema = 'best_epoch'}),
		'5|t|t|t',
		'best epoch: the best of up to 1000 full batches is kept');
	near(
		value('best_epoch', q{SELECT rmse FROM again}),
		value('best_epoch', q{SELECT held_out_loss FROM mf_models WHERE schema = 'best_epoch' AND model = 'films'}),
		1e-9, '... and is what is stored');
	is(value('best_epoch', 'SELECT count(*) FROM training JOIN testing USING (user_id, movie_id)'),
		0, '... nothing tested was trained on');

	note sprintf('best epoch, %s, mean of %d splits: RMSE %.4f', $_, scalar @seeds, mean(@{ $error{$_} })) for sort keys %error;
	cmp_ok(mean(@{ $error{films} }), '<=', mean(@{ $error{'films, biases alone'} }) - 0.018, '... and better than biases alone');
	cmp_ok(mean(@{ $error{films} }), '<', mean(@{ $error{by_heart} }), '... and than what learns by heart');
	cmp_ok(mean(@{ $error{zeros} }), '<', mean(@{ $error{'books, biases alone'} }), '... with books, too');
	cmp_ok(
		value('best_epoch', q{SELECT sum(g.u * g.i) FROM unnest((SELECT mf_gramian(factors) FROM films_users),
			(SELECT mf_gramian(factors) FROM films_items)) g (u, i)}),
		'<',
		value('best_epoch', q{SELECT sum(g.u * g.i) FROM unnest((SELECT mf_gramian(factors) FROM observed_alone_users),
			(SELECT mf_gramian(factors) FROM observed_alone_items)) g (u, i)}),
		'... unobserved pairs make products smaller');
	is( value('best_epoch',
			q{SELECT count(*) FILTER (WHERE title ~ 'Toy Story 2|Monsters, Inc|Bug.s Life|Finding Nemo|Aladdin') >= 3
			  FROM (SELECT title FROM mf_similar_items((SELECT movie_id FROM movies WHERE title = 'Toy Story (1995)'), 1000, 'films') s
					JOIN films_items ON movie_id = item JOIN movies USING (movie_id)
					WHERE ratings >= 50 ORDER BY similarity DESC LIMIT 10) s}),
		't',
		'... Toy Story is like other animated films');
	is(value('best_epoch', q{SELECT pg_typeof(user_id), pg_typeof(isbn), (SELECT count(*) FROM books WHERE rating = 0) > 5000
			FROM zeros_users, zeros_items LIMIT 1}), 'text|text|t', '... texts are ids, and zeros ratings');
	is( value('best_epoch',
			q{SELECT rating_min, (SELECT sum(ratings) FROM rated_items) + held_out = (SELECT count(*) FROM books_training WHERE rating > 0
				AND isbn IN (SELECT isbn FROM rated_items) AND user_id IN (SELECT user_id FROM rated_users))
			  FROM mf_models WHERE schema = 'best_epoch' AND model = 'rated'}),
		'1|t',
		'... or none of them');
	return;
}

SKIP:
{
	skip 'FACTOR_TEST_DATA names no folder with ml-latest-small', 1 unless $data ne '' && -r "$films/ratings.csv";

	movielens();
	two_towers();
	rating_model();
	skip "no $data/book-crossing", 1 unless -r "$data/book-crossing/ratings.csv";
	best_epoch();
}

$node->stop;
done_testing();

# The README's SQL, block by block, as a newcomer would run it.
#
# Every ```sql block of README.md runs in one session in order, and so do those of
# each page in doc/ that has any, in a database of its own; a statement that
# fails, fails the test. What the pages promise of the results is checked
# afterwards. (Blocks of other kinds, sql on-shard for instance, have tests of
# their own.)
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));

sub sql_blocks
{
	my ($file) = @_;
	my $text = slurp_file($file);
	my @blocks;

	push @blocks, $1 while $text =~ /^```sql\n(.*?)^```$/msg;
	return @blocks;
}

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->start;

my @blocks = sql_blocks("$top/README.md");

# The first block is the teaser, before there is any table. It runs on those that
# Getting Started makes.
my $teaser = shift @blocks;
cmp_ok(scalar @blocks, '>', 10, 'the README has its SQL');

# Rows that are joined come in any order.
my @unordered = grep { /^SELECT\b.*\bJOIN\b/ms && !/\bORDER BY\b/ } map { split /;\s*(?:--.*)?$/m } @blocks;
is_deeply(\@unordered, [], 'every join that is shown has an order');

my ($status, $out, $err) =
  $node->psql('postgres', join("\n", @blocks), on_error_stop => 1);
is($status, 0, 'the README runs from top to bottom') or diag($err);

$node->safe_psql('postgres', 'CREATE DATABASE teaser');
($status, $out, $err) = $node->psql('teaser', "$blocks[0]\n$teaser", on_error_stop => 1);
is($status, 0, 'its first lines run on the tables that Getting Started makes') or diag($err);
is(scalar split(/\n/, $out), 12, '... and return a row, a prediction and ten items');

is($node->safe_psql('postgres',
		q{SELECT count(*) FROM mf_topk(42, 5, 'films')}),
	5, 'five recommendations');
is( $node->safe_psql('postgres',
		q{SELECT bool_and(objective <= before) FROM (SELECT objective, lag(objective, 1, objective) OVER (ORDER BY iteration) AS before
			FROM mf_history WHERE model = 'defaults' OR model = 'watched') h}),
	't', 'the objective falls with each iteration');
my ($ranked) = grep { /WHERE i\.in_stock AND m\.title LIKE/ } @blocks;
is( $node->safe_psql('postgres', $ranked),
	$node->safe_psql('postgres',
		q{SELECT m.title FROM mf_topk(42, 200, 'films', exclude_seen => false) t JOIN movies m ON m.item_id = t.item
		  WHERE m.title LIKE 'Comedy%' ORDER BY t.score DESC LIMIT 5}),
	'the first query by an operator has the order of mf_topk');
isnt(
	$node->safe_psql('postgres', q{SELECT array_agg(item ORDER BY item) FROM mf_topk(42, 5, 'films', diversity => 0.3)}),
	$node->safe_psql('postgres', q{SELECT array_agg(item ORDER BY item) FROM mf_topk(42, 5, 'films')}),
	'diversity makes a difference');
is( $node->safe_psql(
		'postgres',
		q{SELECT abs(m.mean + u.bias + i.bias - (u.factors <#> i.factors) - mf_predict(42, 117, 'films')) < 1e-12
		  FROM films_users u, films_items i, mf_models m
		  WHERE u.user_id = 42 AND i.item_id = 117 AND m.model = 'films'}),
	't',
	'a prediction is plain SQL');
is( $node->safe_psql(
		'postgres',
		q{SELECT bool_and(m.title LIKE 'Comedy%') FROM mf_similar_items(117, 20, 'films') s
		  JOIN movies m ON m.item_id = s.item}),
	't',
	'comedies are like comedies');

# The README's table of options names the defaults that training uses; of the
# unobserved_weight it gives what the density is multiplied with.
my %stored = (unobserved_weight =>
	  'trim_scale(round((unobserved_weight * users * items / ratings)::numeric, 6))');
my $readme = slurp_file("$top/README.md");
$node->safe_psql('postgres',
	q{SELECT mf_train('ratings', model => 'defaults', verbose => false)});
for my $option (qw(factors iterations reg_exponent unobserved_weight))
{
	my ($explicit, $implicit) = $readme =~ /^\| `$option` \| *([\d.]*)[^|]*\| *([\d.]+)[^|]*\|/m;
	my $value = $stored{$option} // $option;

	for ([ 'defaults', $explicit ], [ 'watched', $implicit ])
	{
		my ($model, $documented) = @$_;

		next if $documented eq '';
		is( $node->safe_psql('postgres', "SELECT $value FROM mf_models WHERE model = '$model'"),
			$documented, "$model: $option as documented");
	}
}

# ---- The pages in doc/ ----

foreach my $file (sort glob("$top/doc/*.md"))
{
	my $page = basename($file, '.md');

	@blocks = sql_blocks($file) or next;
	$node->safe_psql('postgres', "CREATE DATABASE $page");
	($status, $out, $err) = $node->psql($page, join("\n", @blocks), on_error_stop => 1);
	is($status, 0, "doc/$page.md runs from top to bottom") or diag($err);
	unlike($err, qr/WARNING/, '... without a warning');

	# A query that finds nothing shows nothing.
	my @queries = grep { /^\s*SELECT\b/ } map { s/--.*//gr } map { split /;\s*$/m } @blocks;
	is_deeply([ grep { $node->safe_psql($page, $_) eq '' } @queries ],
		[], "... and each of its queries finds something");
}

# doc/reference.md: the statements among its forms of calls.
my @statements = slurp_file("$top/doc/reference.md") =~ /^    (SELECT [^;]*;)$/msg;
$node->safe_psql('postgres', 'CREATE DATABASE reference');
$node->safe_psql(
	'reference', q{
	CREATE EXTENSION factor;
	CREATE TABLE ratings AS
		SELECT u AS user_id, i AS item_id, (1 + abs(hashint4(u * 10007 + i)) % 9 / 2.0)::real AS rating
		FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE (u + i) % 3 > 0;
	SELECT mf_train('ratings', model => 'films', factors => 4, verbose => false);
	SELECT mf_train('ratings', model => 'shop', feedback => 'implicit', factors => 3, verbose => false);
	CREATE VIEW items AS SELECT item_id, factors FROM films_items});
is(scalar @statements, 3, 'doc/reference.md has its statements');
foreach my $statement (@statements)
{
	is($node->safe_psql('reference', "SELECT count(*) FROM (@{[ $statement =~ s/;$//r ]}) s"),
		40, 'a row for each user: ' . substr($statement, 0, 60) =~ s/\s+/ /gr);
}

# doc/shop.md: the page's filters hold, and fill the list from the index.
my ($filtered) = grep { /c\.region = ANY/ } sql_blocks("$top/doc/shop.md");
like($node->safe_psql('shop', "ANALYZE; SET enable_sort = off; EXPLAIN $filtered"),
	qr/Index Scan using shop_items_factors_idx/, 'the shop ranks by the index');
is($node->safe_psql('shop', "SELECT count(*) FROM ($1) q") , 10, 'ten are left') if $filtered =~ /^(.*);/s;
is( $node->safe_psql('shop', "SELECT count(*) FROM ($1) q JOIN products USING (name) WHERE stock = 0
		OR q.price NOT BETWEEN 10 AND 30 OR q.genre NOT IN ('jazz', 'blues', 'soul')"),
	0, 'and all are as was asked')
  if $filtered =~ /^(.*);/s;
is( $node->safe_psql('shop', 'SELECT count(DISTINCT customer_id), count(*) = 10 * count(DISTINCT customer_id) FROM mail'),
	'2001|t', 'everyone gets ten, the new customer too');
is( $node->safe_psql('shop', 'SELECT count(*) FROM mail JOIN purchases USING (customer_id, product_id)'),
	0, 'none of them bought before');

# What the page grants is enough for every page of the shop, and for no more.
is( $node->safe_psql('shop', q{SET ROLE storefront;
		SELECT (SELECT count(*) FROM mf_similar_items(18, 5)), (SELECT count(*) FROM mf_topk(42, 10, diversity => 0.3)),
			(SELECT count(*) FROM mf_topk(2002, 5)), (SELECT count(*) FROM mf_topk(42, 5, live => true)),
			(SELECT count(*) FROM mf_topk_for(ARRAY[18, 48, 75], k => 5)),
			(SELECT count(*) FROM mf_topk(42, 1) t, mf_explain(42, t.item, 3) e JOIN products p ON p.product_id = e.item),
			has_table_privilege('orders', 'SELECT') OR has_table_privilege('order_lines', 'SELECT')}),
	'5|10|0|5|5|3|f', 'the storefront serves its pages without a right to the orders');

$node->stop;
done_testing();

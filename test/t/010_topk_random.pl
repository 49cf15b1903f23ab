# The index topk against a sequential scan: random tables, changes and queries.
#
# The seed is printed; TOPK_SEED repeats a run, TOPK_ROUNDS makes it longer.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib dirname(__FILE__);
use TopkTest;

my $seed = $ENV{TOPK_SEED} // 1;
my $rounds = $ENV{TOPK_ROUNDS} // 1;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nmax_parallel_workers_per_gather = 0\n");
$node->start;
topk_functions($node);
note "seed $seed";
srand($seed);

my $queries = 0;

# Everything that happens to a table, in a session of its own so that seeds
# repeat.
sub run
{
	my ($what, $sql) = @_;
	my $output = $node->safe_psql('postgres', "SELECT setseed(" . (rand(2) - 1) . ");\n$sql");
	my @failures = grep { !/^(?:\d*\|)?\d*$/ } split /\n/, $output;

	$queries += $1 while $output =~ /^(\d+)\|/mg;
	is(join("\n", @failures), '', $what);
}

# A table through its life: built, inserted into, updated, deleted from,
# vacuumed, built again; queries after every step.
sub life
{
	my ($rows, $length, $wild, $each, $kind) = @_;
	my $ask = "SELECT * FROM topk_queries('t', $length, $each, $wild);
		SELECT mf_index_check('t_v');";

	$kind //= '';
	my $some = int($rows / 4) + 3;

	run("$rows vectors of $length, $wild wild, $kind table", qq{
		DROP TABLE IF EXISTS t;
		CREATE $kind TABLE t (id int, v real[], r float8, note text);
		INSERT INTO t SELECT i, topk_vector($length, $wild), random() FROM generate_series(1, $rows) i;
		CREATE INDEX t_v ON t USING topk (v);
		$ask
		INSERT INTO t SELECT $rows + i, topk_vector($length, $wild), random() FROM generate_series(1, $some) i;
		$ask
		UPDATE t SET v = topk_vector($length, $wild) WHERE random() < 0.3;
		UPDATE t SET note = 'seen' WHERE random() < 0.3;
		$ask
		$ask
		DELETE FROM t WHERE random() < 0.4;
		$ask
		VACUUM t;
		$ask
		INSERT INTO t SELECT 2 * $rows + i, topk_vector($length, $wild), random() FROM generate_series(1, $some) i;
		BEGIN;
		INSERT INTO t SELECT 3 * $rows + i, topk_vector($length, $wild), random() FROM generate_series(1, $some) i;
		SELECT * FROM topk_queries('t', $length, $each, $wild);
		ROLLBACK;
		$ask
		VACUUM t;
		DELETE FROM t WHERE r < 0.3;
		VACUUM t;
		INSERT INTO t SELECT 4 * $rows + i, topk_vector($length, $wild), random() FROM generate_series(1, $some) i;
		$ask
		@{[$kind eq 'TEMP' ? 'REINDEX INDEX t_v;' : 'REINDEX INDEX CONCURRENTLY t_v;']}
		$ask
		DELETE FROM t;
		VACUUM t;
		$ask
		INSERT INTO t SELECT i, topk_vector($length, $wild), random() FROM generate_series(1, $some) i;
		$ask
	});
}

for my $round (1 .. $rounds)
{
	life(0, 3, 0.2, 20);
	life(1, 1, 0.2, 20);
	life(10, 2, 0.5, 40);
	life(300, 17, 0.3, 40);
	life(1000, 4, 0.01, 40);
	life(3000, 8, 0, 40);
	life(3000, 8, 0, 40, 'UNLOGGED');
	life(3000, 8, 0, 40, 'TEMP');
	life(3000, 64, 0.2, 30);
	life(4000, 65, 0.001, 30);
	life(800, 300, 0.05, 20);
	life(60, 2000, 0.2, 15);
}

# Large: the scan looks several times, with more and more candidates.
run('100,000 vectors of 8', q{
	DROP TABLE IF EXISTS t;
	CREATE TABLE t (id int, v real[], r float8);
	INSERT INTO t SELECT i, topk_vector(8, 0.01), random() FROM generate_series(1, 100000) i;
	CREATE INDEX t_v ON t USING topk (v);
	SELECT * FROM topk_queries('t', 8, 40, 0.01);
	SET work_mem = '64kB';
	SELECT * FROM topk_queries('t', 8, 20, 0.01);
	RESET work_mem;
	UPDATE t SET v = topk_vector(8, 0) WHERE r < 0.2;
	SELECT * FROM topk_queries('t', 8, 40, 0.01);
	VACUUM t;
	SELECT * FROM topk_queries('t', 8, 40, 0.01);
	SELECT mf_index_check('t_v');
});

# Vacuum packs what came after the build: inserts, updates of all, and what
# deletes have left of pages; wherever a build, an insert or a vacuum follows.
foreach my $kind ('', 'UNLOGGED')
{
	my $ask = q{SELECT * FROM topk_queries('t', 64, 15, 0.05); SELECT mf_index_check('t_v');};

	# a checkpoint does not write out an unlogged table's pages
	my $packed = sub {
		$kind eq '' ? "CHECKPOINT; SELECT 1, 'packed ' || n || ' times' FROM topk_packings('t_v') n WHERE n <> $_[0];" : '';
	};

	run("packed by vacuum, $kind table", qq{
		DROP TABLE IF EXISTS t;
		CREATE $kind TABLE t (id int, v real[], r float8);
		CREATE INDEX t_v ON t USING topk (v);
		INSERT INTO t SELECT i, topk_even(64, 0.02), random() FROM generate_series(1, 3000) i;
		VACUUM t;
		$ask
		@{[$packed->(1)]}
		INSERT INTO t SELECT 3000 + i, topk_even(64, 0.02), random() FROM generate_series(1, 3000) i;
		$ask
		VACUUM t;
		$ask
		UPDATE t SET v = topk_even(64, 0.02) WHERE r < 0.5;
		VACUUM t;
		$ask
		UPDATE t SET v = v[1:63] || 0.25::real WHERE cardinality(v) = 64;
		$ask
		VACUUM t;
		$ask
		VACUUM t;
		$ask
		DELETE FROM t WHERE r < 0.7;
		VACUUM t;
		$ask
		INSERT INTO t SELECT 6000 + i, topk_even(64, 0.02), random() FROM generate_series(1, 9000) i;
		$ask
		@{[$packed->(5)]}
		SET maintenance_work_mem = '1MB';
		UPDATE t SET r = r + 0, v = topk_even(65, 0) WHERE r < 0.2;
		DELETE FROM t WHERE cardinality(v) = 65;
		VACUUM t;
		$ask
	});
}

# An index of rows that are rewritten again and again stops growing.
run('rewritten again and again', q{
	DROP TABLE IF EXISTS t;
	CREATE TABLE t (id int, v real[]);
	CREATE TABLE sizes (size int8);
	INSERT INTO t SELECT i, topk_even(64, 0.02) FROM generate_series(1, 3000) i;
	CREATE INDEX t_v ON t USING topk (v);
} . q{
	UPDATE t SET v = v;
	VACUUM t;
	INSERT INTO sizes SELECT pg_relation_size('t_v');
} x 8 . q{
	SELECT mf_index_check('t_v');
	SELECT 1, string_agg(size::text, ' then ') FROM sizes HAVING max(size) > 3 * min(size) OR max(size) - min(size) > 1000000;
	DROP TABLE sizes;
});

# Duplicates: bounds tie, and a scan that looks again must neither lose nor
# repeat any.
run('duplicates', q{
	DROP TABLE IF EXISTS t;
	CREATE TABLE t (id int, v real[], r float8);
	INSERT INTO t SELECT i, ARRAY[i % 3, 1, 0]::real[], random() FROM generate_series(1, 20000) i;
	INSERT INTO t SELECT i, '{0,0,0}', random() FROM generate_series(1, 5000) i;
	CREATE INDEX t_v ON t USING topk (v);
	INSERT INTO t SELECT i, ARRAY[i % 3, 1, 0]::real[], random() FROM generate_series(1, 5000) i;
	SELECT * FROM topk_queries('t', 3, 60, 0.2);
	SELECT 1, topk_differs('t', op, q, k)
		FROM unnest('{<=>,<#>,<->}'::text[]) op, unnest('{100,5000,NULL}'::int[]) k,
			(VALUES ('{1,1,0}'::real[]), ('{0,0,0}'), ('{-1,0,0}')) AS q(q);
});

# Vectors of unlike lengths, and arrays that are no vectors: the operator refuses
# them, with the index as without it; a partial index keeps them apart.
run('mixed lengths', q{
	DROP TABLE IF EXISTS t;
	CREATE TABLE t (id int, v real[], r float8);
	INSERT INTO t SELECT i, topk_vector(4, 0.1), random() FROM generate_series(1, 3000) i;
	CREATE INDEX t_v ON t USING topk (v);
	INSERT INTO t VALUES (0, '{{1,2},{3,4}}', 0);
	SELECT 1, topk_differs('t', op, '{1,2,3,4}') FROM unnest('{<=>,<#>,<->}'::text[]) op;
	UPDATE t SET v = '{1,NULL,3,4}' WHERE id = 0;
	SELECT 1, topk_differs('t', op, '{1,2,3,4}') FROM unnest('{<=>,<#>,<->}'::text[]) op;
	UPDATE t SET v = '{}' WHERE id = 0;
	SELECT 1, topk_differs('t', op, '{1,2,3,4}') FROM unnest('{<=>,<#>,<->}'::text[]) op;
	INSERT INTO t SELECT i, topk_vector(3 + i % 3, 0.1), random() FROM generate_series(1, 3000) i;
	SELECT 1, topk_differs('t', op, topk_vector(4, 0)) FROM unnest('{<=>,<#>,<->}'::text[]) op;
	SELECT mf_index_check('t_v');
	DROP INDEX t_v;
	CREATE INDEX t_4 ON t USING topk (v) WHERE cardinality(v) = 4 AND array_ndims(v) = 1;
	SELECT 1, topk_differs('t', op, coalesce(topk_vector(4, 0.1), '{1,1,1,1}'), 10, 'cardinality(v) = 4 AND array_ndims(v) = 1')
		FROM unnest('{<=>,<#>,<->}'::text[]) op, generate_series(1, 10);
	SELECT mf_index_check('t_4');
});

# Expression indexes.
run('expressions', q{
	DROP TABLE IF EXISTS t;
	CREATE TABLE t (id int, v real[], bias real, r float8);
	-- with NULL, (bias || v) would be a vector of another length
	INSERT INTO t SELECT i, coalesce(topk_vector(5, 0.1), '{0,0,0,0,0}'), random(), random() FROM generate_series(1, 2000) i;
	CREATE INDEX t_b ON t USING topk ((bias || v));
	INSERT INTO t SELECT i, coalesce(topk_vector(5, 0.1), '{0,0,0,0,0}'), random(), random() FROM generate_series(2001, 2500) i;
	SELECT 1, topk_differs('t', op, coalesce(topk_vector(6, 0.1), '{1,1,1,1,1,1}'), k, 'r < 0.5', 'bias || v')
		FROM unnest('{<=>,<#>,<->}'::text[]) op, unnest('{1,10,NULL}'::int[]) k, generate_series(1, 5);
	SELECT mf_index_check('t_b');
});

cmp_ok($queries, '>', 2000, "$queries queries");
$node->stop;
done_testing();

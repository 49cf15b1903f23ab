# What the TAP scripts of the index topk share: vectors at random, and the
# comparison of an index scan with a sequential one.
package TopkTest;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(topk_functions);

# topk_vector: a vector at random. A `wild` share of them are of the kinds that
# want care: NULL, zero, NaN, infinite, huge, tiny, sparse, a duplicate.
#
# topk_even: the same, but other vectors have like norms, so that they share few
# buckets of the index, and a few thousand are enough for vacuum to pack them.
#
# topk_packings: how often vacuum packed an index, by its file as of the last
# checkpoint: the meta page's count of directories.
#
# topk_differs: NULL if `SELECT ... WHERE condition ORDER BY v <op> query LIMIT
# k` gives the same with the index and without it, or what differs. Rows at the
# same distance as the last one may be others. An error must be the same error.
my $functions = <<'SQL';
CREATE FUNCTION topk_vector(length int, wild float8) RETURNS real[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	kind int := CASE WHEN random() < wild THEN (random() * 9)::int ELSE -1 END;
	size float8 := exp(0.6 * (random() + random() + random() + random() - 2) * 2);
BEGIN
	IF kind = 0 THEN RETURN NULL; END IF;
	IF kind = 1 THEN RETURN array_fill(0::real, ARRAY[length]); END IF;
	IF kind = 2 THEN size := 1e33; END IF;
	IF kind = 3 THEN size := 1e-33; END IF;
	IF kind = 4 THEN size := 1e12; END IF;
	IF kind = 5 THEN size := 1e-12; END IF;
	IF kind = 6 THEN RETURN array_fill(1::real, ARRAY[length]); END IF;
	RETURN (SELECT array_agg(CASE
			WHEN kind = 7 AND k = 1 THEN 'NaN'
			WHEN kind = 8 AND k = 1 THEN '-Infinity'
			WHEN kind = 9 AND random() < 0.8 THEN 0
			ELSE size * (random() + random() + random() - 1.5) END::real)
		FROM generate_series(1, length) k);
END $$;

CREATE FUNCTION topk_even(length int, wild float8) RETURNS real[] LANGUAGE sql VOLATILE AS $$
	SELECT CASE WHEN random() < wild THEN topk_vector(length, 1)
		ELSE (SELECT array_agg((random() - 0.5)::real) FROM generate_series(1, length)) END
$$;

CREATE FUNCTION topk_packings(index regclass) RETURNS int LANGUAGE sql AS $$
	SELECT get_byte(b, 0) + get_byte(b, 1) + get_byte(b, 2) + get_byte(b, 3)
	FROM pg_read_binary_file(pg_relation_filepath(index), 64 + 28, 4) b
$$;

CREATE FUNCTION topk_plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line || chr(10);
	END LOOP;
	RETURN plan;
END $$;

CREATE FUNCTION topk_run(query text, OUT ids int[], OUT distances float8[], OUT state text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT array_agg(id), array_agg(d) FROM (' || query || ') s' INTO ids, distances;
	state := '00000';
EXCEPTION WHEN data_exception THEN
	state := SQLSTATE;
END $$;

CREATE FUNCTION topk_differs(tab regclass, op text, query real[], k int DEFAULT NULL,
	condition text DEFAULT 'true', expression text DEFAULT 'v') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	text text := format('SELECT id, %s %s %L::real[] AS d FROM %s WHERE %s ORDER BY d LIMIT %s',
		expression, op, query, tab, condition, coalesce(k::text, 'ALL'));
	plan text;
	a record;
	b record;
	n int;
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true),
		set_config('enable_bitmapscan', 'off', true), set_config('enable_indexscan', 'on', true);
	plan := topk_plan(text);
	IF plan !~ 'Index Scan using' OR plan !~ 'Order By' OR plan ~ 'Sort' THEN
		RETURN 'no index scan: ' || plan;
	END IF;
	a := topk_run(text);
	PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true),
		set_config('enable_indexscan', 'off', true);
	plan := topk_plan(text);
	IF plan !~ 'Seq Scan on' THEN
		RETURN 'no sequential scan: ' || plan;
	END IF;
	b := topk_run(text);
	PERFORM set_config('enable_indexscan', 'on', true);
	IF a.state <> b.state THEN
		RETURN format('SQLSTATE %s with the index, %s without: %s', a.state, b.state, text);
	END IF;
	IF a.distances IS DISTINCT FROM b.distances THEN
		RETURN format('%s rows with the index, %s without, or other distances: %s',
			cardinality(a.distances), cardinality(b.distances), text);
	END IF;
	-- the rows up to the last distance, which others may have too
	n := coalesce(cardinality(b.distances), 0);
	IF k IS NOT NULL AND n = k THEN
		WHILE n > 0 AND b.distances[n] IS NOT DISTINCT FROM b.distances[k] LOOP
			n := n - 1;
		END LOOP;
	END IF;
	IF (SELECT array_agg(i ORDER BY i) FROM unnest(a.ids[1:n]) i) IS DISTINCT FROM
		(SELECT array_agg(i ORDER BY i) FROM unnest(b.ids[1:n]) i) THEN
		RETURN 'other rows: ' || text;
	END IF;
	RETURN NULL;
END $$;

-- Queries at random over a table (id int, v real[], r float8): how many, and
-- the first that differs.
CREATE FUNCTION topk_queries(tab regclass, length int, queries int, wild float8,
	OUT done int, OUT failure text) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	op text;
	query real[];
	selectivity float8;
	k int;
BEGIN
	done := 0;
	WHILE done < queries LOOP
		done := done + 1;
		op := ('{<=>,<#>,<->}'::text[])[1 + floor(random() * 3)::int];
		selectivity := (ARRAY[1, 1, 0.5, 0.1, 0.01, 0.001, 0.0001])[1 + floor(random() * 7)::int];
		k := (ARRAY[1, 2, 10, 10, 100, 1000, NULL])[1 + floor(random() * 7)::int];
		-- a vector like the others, or one of them; for NULL there is no index
		query := coalesce(topk_vector(length, wild), array_fill(0::real, ARRAY[length]));
		IF random() < 0.3 THEN
			EXECUTE format('SELECT coalesce(max(v), %L) FROM (SELECT v FROM %s OFFSET floor(random() * 100) LIMIT 1) s',
				query, tab) INTO query;
		END IF;
		failure := topk_differs(tab, op, query, k,
			CASE WHEN selectivity = 1 THEN 'true' ELSE 'r < ' || selectivity END);
		IF failure IS NOT NULL THEN
			RETURN;
		END IF;
	END LOOP;
END $$;
SQL

sub topk_functions
{
	my ($node) = @_;

	$node->safe_psql('postgres', "CREATE EXTENSION IF NOT EXISTS factor;\n$functions");
}

1;

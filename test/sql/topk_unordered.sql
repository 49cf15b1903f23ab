-- The access method topk serves ORDER BY alone: nothing else may be planned with
-- it, since its scans keep no pin that a reader of the visibility map needs.
CREATE SCHEMA topk_unordered;
SET search_path = topk_unordered, public;
CREATE TABLE items (v real[], price int);
INSERT INTO items SELECT ARRAY[i, 1, 2]::real[], i FROM generate_series(1, 3000) i;
CREATE INDEX items_v ON items USING topk (v);
CREATE INDEX items_dear ON items USING topk (v) WHERE price > 2900;
VACUUM ANALYZE items;

-- every node of a plan that reads an index
CREATE FUNCTION index_nodes(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ 'Index' THEN
			RETURN NEXT trim(line, ' ->');
		END IF;
	END LOOP;
END $$;
CREATE TABLE queries (n int, query text);
INSERT INTO queries VALUES
	(1, 'SELECT count(*) FROM items'),
	(2, 'SELECT EXISTS (SELECT FROM items)'),
	(3, 'SELECT 1 FROM items LIMIT 1'),
	(4, 'SELECT count(*) FROM items WHERE price > 2900'),
	(5, 'SELECT count(*) FROM items WHERE v IS NOT NULL'),
	(6, 'SELECT count(*) FROM items a, items b WHERE a.price = b.price'),
	(7, 'SELECT count(*) FROM (SELECT FROM items UNION ALL SELECT FROM items) s'),
	(8, 'SELECT count(*) FROM generate_series(1, 3) g WHERE EXISTS (SELECT FROM items)');
CREATE FUNCTION results() RETURNS TABLE (setting text, n int, indexes bigint, result text) LANGUAGE plpgsql AS $$
DECLARE
	q queries;
BEGIN
	FOREACH setting IN ARRAY '{enable_seqscan,enable_indexscan,enable_bitmapscan,enable_sort,enable_hashjoin}'::text[] LOOP
		PERFORM set_config(setting, 'off', false);
		FOR q IN SELECT * FROM queries ORDER BY queries.n LOOP
			n := q.n;
			SELECT count(*) INTO indexes FROM index_nodes(q.query);
			EXECUTE q.query INTO result;
			RETURN NEXT;
		END LOOP;
	END LOOP;
END $$;
-- each setting turned off in addition to those before
SELECT n, max(indexes) AS indexes, array_agg(DISTINCT result) AS results FROM results() GROUP BY n ORDER BY n;
RESET enable_indexscan;

-- the cost says so: it is as good as infinite, and nothing is added up from it
SELECT index_nodes('SELECT price FROM items ORDER BY v <-> ''{3,1,2}'' LIMIT 1');
SELECT price FROM items ORDER BY v <-> '{3,1,2}' LIMIT 1;
SELECT index_nodes('SELECT price FROM items WHERE price > 2900 ORDER BY v <-> ''{3,1,2}'' LIMIT 1');
SELECT price FROM items WHERE price > 2900 ORDER BY v <-> '{3,1,2}' LIMIT 1;
-- a distance of NULL is no order at all
SELECT index_nodes('SELECT count(*) FROM (SELECT price FROM items ORDER BY v <-> NULL LIMIT 5000) s');
SELECT count(*) FROM (SELECT price FROM items ORDER BY v <-> NULL LIMIT 5000) s;
-- the least and the greatest distance
SELECT round(min(v <-> '{3.25,1,2}')::numeric, 4), round(max(v <-> '{3.25,1,2}')::numeric, 4) FROM items;
RESET ALL;
SET search_path = topk_unordered, public;

-- no exclusion constraint, and no other command that reads an index in its order
\set VERBOSITY sqlstate
ALTER TABLE items ADD EXCLUDE USING topk (v WITH <->);
\set VERBOSITY default
CLUSTER items USING items_v;
ALTER TABLE items REPLICA IDENTITY USING INDEX items_v;

-- rewritten, and read for constraints and by utility commands: right all the same
SET enable_seqscan = off;
ALTER TABLE items ADD CHECK (cardinality(v) = 3), ALTER price TYPE bigint, ALTER v SET NOT NULL;
ALTER TABLE items ADD UNIQUE (price);
CREATE MATERIALIZED VIEW copied AS SELECT * FROM items;
SELECT count(*) FROM copied;
VACUUM FULL items;
REINDEX INDEX CONCURRENTLY items_v;
SELECT mf_index_check('items_v'), mf_index_check('items_dear');

-- a superuser may declare an operator class that promises conditions: they are
-- not for an index of this kind
CREATE FUNCTION near(real[], real[]) RETURNS boolean IMMUTABLE STRICT LANGUAGE plpgsql AS 'BEGIN RETURN ($1 <-> $2) < 1; END';
CREATE OPERATOR ~~~ (LEFTARG = real[], RIGHTARG = real[], FUNCTION = near);
CREATE OPERATOR CLASS near_ops FOR TYPE real[] USING topk AS OPERATOR 1 ~~~, OPERATOR 3 <-> FOR ORDER BY float_ops;
CREATE INDEX items_near ON items USING topk (v near_ops);
DROP INDEX items_v;
SELECT index_nodes('SELECT count(*) FROM items WHERE v ~~~ ''{3,1,2.5}''');
SELECT count(*) FROM items WHERE v ~~~ '{3,1,2.5}';
RESET enable_seqscan;

SET client_min_messages = warning;
DROP SCHEMA topk_unordered CASCADE;

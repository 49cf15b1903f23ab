-- The access method topk: plans, values that have no code, what it refuses.
CREATE SCHEMA topk;
SET search_path = topk, public;

-- vectors that repeat from run to run: 4,000 of 6 elements, of many lengths
CREATE TABLE items (item_id int PRIMARY KEY, factors real[], bias real DEFAULT 0, price int);
INSERT INTO items
	SELECT i, array_agg(((hashint4(i * 131 + k) % 1000) * (1 + i % 7) / 1000.0)::real ORDER BY k),
		(hashint4(i) % 100) / 100.0, abs(hashint4(i + 1)) % 100
	FROM generate_series(1, 4000) i, generate_series(1, 6) k GROUP BY i;
CREATE INDEX items_factors ON items USING topk (factors);
ANALYZE items;

-- plans, without the line by which PostgreSQL 18 tells what enable_* settings disabled
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		CONTINUE WHEN line ~ '^\s*Disabled: ';
		RETURN NEXT line;
	END LOOP;
END $$;

-- taken for a LIMIT by each operator, a filter or not
SELECT plan($$SELECT item_id FROM items ORDER BY factors <=> '{1,2,3,4,5,6}' LIMIT 10$$);
SELECT plan($$SELECT item_id FROM items ORDER BY factors <#> '{1,2,3,4,5,6}' LIMIT 10$$);
SELECT plan($$SELECT item_id FROM items ORDER BY factors <-> '{1,2,3,4,5,6}' LIMIT 10$$);
SELECT plan($$SELECT item_id FROM items WHERE price < 50 ORDER BY factors <=> '{1,2,3,4,5,6}' LIMIT 10$$);
-- left for a sort of everything, and for a few rows that another index finds
SELECT plan($$SELECT item_id FROM items ORDER BY factors <=> '{1,2,3,4,5,6}'$$);
SELECT plan($$SELECT item_id FROM items WHERE item_id < 10 ORDER BY factors <=> '{1,2,3,4,5,6}' LIMIT 5$$);
-- descending, NULLS FIRST, and the commuted operator's other side
SELECT plan($$SELECT item_id FROM items ORDER BY factors <=> '{1,2,3,4,5,6}' DESC LIMIT 10$$);
SELECT plan($$SELECT item_id FROM items ORDER BY factors <=> '{1,2,3,4,5,6}' NULLS FIRST LIMIT 10$$);
SELECT plan($$SELECT item_id FROM items ORDER BY '{1,2,3,4,5,6}' <=> factors LIMIT 10$$);

SELECT item_id, round((factors <=> '{1,2,3,4,5,6}')::numeric, 6) AS distance
  FROM items ORDER BY factors <=> '{1,2,3,4,5,6}' LIMIT 5;
SELECT item_id, round((factors <#> '{1,2,3,4,5,6}')::numeric, 4) AS distance
  FROM items WHERE price < 20 ORDER BY factors <#> '{1,2,3,4,5,6}' LIMIT 5;
SELECT item_id, round((factors <-> '{1,2,3,4,5,6}')::numeric, 6) AS distance
  FROM items ORDER BY factors <-> '{1,2,3,4,5,6}' LIMIT 5;

-- the same rows as without the index, whatever the filter leaves
CREATE FUNCTION same(op text, query real[], condition text, k int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	text text := format('SELECT array_agg(d) FROM (SELECT factors %s %L::real[] AS d FROM items WHERE %s ORDER BY 1 LIMIT %s) s',
		op, query, condition, k);
	a float8[];
	b float8[];
BEGIN
	SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off;
	EXECUTE text INTO a;
	SET LOCAL enable_indexscan = off; SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on;
	EXECUTE text INTO b;
	SET LOCAL enable_indexscan = on;
	RETURN a IS NOT DISTINCT FROM b;
END $$;
SELECT op, condition, bool_and(same(op, query::real[], condition, k)) AS same
  FROM unnest('{<=>,<#>,<->}'::text[]) op,
	   unnest('{true,price < 10,price = 3 AND bias > 0.5,false}'::text[]) condition,
	   unnest('{1,10,10000}'::int[]) k,
	   unnest(ARRAY['{1,2,3,4,5,6}', '{-1,0,0,0,0,1e-20}', '{0,0,0,0,0,0}', '{NaN,0,0,0,0,0}', '{Infinity,0,0,0,0,0}', '{3e38,3e38,0,0,0,0}']) query
 GROUP BY 1, 2 ORDER BY 1, 2;

-- rows inserted later are found at once; NaN distances and NULLs come last
INSERT INTO items VALUES (5001, '{1,2,3,4,5,6}'), (5002, NULL), (5003, '{0,0,0,0,0,0}'), (5004, '{NaN,1,1,1,1,1}'),
	(5005, '{1e30,2e30,3e30,4e30,5e30,6e30}'), (5006, '{1e-30,2e-30,3e-30,4e-30,5e-30,6e-30}'), (5007, '{Infinity,0,0,0,0,0}');
SET enable_seqscan = off;
SELECT item_id FROM (SELECT item_id, row_number() OVER () AS n
		FROM (SELECT item_id FROM items ORDER BY factors <=> '{1,2,3,4,5,6}' OFFSET 0) s) t
 WHERE item_id > 5000 ORDER BY n <= 3, n > 4000, item_id;
SELECT item_id FROM items ORDER BY factors <#> '{1,2,3,4,5,6}' LIMIT 2;
SELECT item_id FROM items ORDER BY factors <-> '{1,2,3,4,5,6}' LIMIT 1;
SELECT mf_index_check('items_factors');

-- a NULL query finds every row at the same distance; what needs no order takes no index
PREPARE nearest(real[]) AS SELECT count(*) FROM (SELECT item_id FROM items ORDER BY factors <=> $1 LIMIT 5000) s;
SET plan_cache_mode = force_generic_plan;
EXECUTE nearest(NULL);
EXECUTE nearest('{1,2,3,4,5,6}');
SET enable_indexscan = off;
CREATE INDEX items_dear ON items USING topk (factors) WHERE price > 95;
VACUUM items;
SELECT plan($$SELECT count(*) FROM items WHERE price > 95$$);
RESET enable_indexscan;
RESET enable_seqscan;
SELECT count(*) FROM items WHERE price > 95;
SET enable_seqscan = off;

-- vacuum puts the entries of later rows in order; pages of the index are used
-- again when all rows are rewritten
CREATE TABLE later (id int, v real[]);
CREATE INDEX later_v ON later USING topk (v);
INSERT INTO later SELECT i, array_agg(sin(i * k)::real) FROM generate_series(1, 3000) i, generate_series(1, 64) k GROUP BY i;
CREATE VIEW nearest_later AS SELECT
	ARRAY(SELECT id FROM later ORDER BY v <=> (SELECT v FROM later WHERE id = 7) LIMIT 20) AS cosine,
	ARRAY(SELECT id FROM later ORDER BY v <#> (SELECT v FROM later WHERE id = 7) LIMIT 20) AS product,
	ARRAY(SELECT id FROM later ORDER BY v <-> (SELECT v FROM later WHERE id = 7) LIMIT 20) AS euclidean;
SELECT string_agg(plan, '') ~ 'Index Scan using later_v' AS by_index
  FROM plan($$SELECT id FROM later ORDER BY v <#> (SELECT v FROM later WHERE id = 7) LIMIT 20$$);
CREATE TEMP TABLE found AS TABLE nearest_later;
VACUUM later;
SELECT mf_index_check('later_v');
INSERT INTO found TABLE nearest_later;
UPDATE later SET v = v[1:63] || v[64];
VACUUM later;
SELECT mf_index_check('later_v');
INSERT INTO found TABLE nearest_later;
SET enable_indexscan = off;
SELECT count(*), found = nearest_later AS same FROM found, nearest_later GROUP BY 2;
RESET enable_indexscan;
-- the planner knows that no scan reads the pages that vacuum has emptied: the first
-- row costs what it does with a new index
CREATE FUNCTION first_row_cost(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	RETURN plan->0->'Plan'->'Plans'->0->>'Startup Cost';
END $$;
ANALYZE later;
CREATE TEMP TABLE costs AS SELECT pg_relation_size('later_v') AS size,
	first_row_cost($$SELECT id FROM later ORDER BY v <=> array_fill(1::real, '{64}') LIMIT 20$$) AS cost;
REINDEX INDEX later_v;
SELECT size > 1.8 * pg_relation_size('later_v') AS larger, cost < 1.1 * first_row_cost AS not_dearer
  FROM (SELECT size, cost, first_row_cost($$SELECT id FROM later ORDER BY v <=> array_fill(1::real, '{64}') LIMIT 20$$) FROM costs) s;
DROP FUNCTION first_row_cost;
DROP TABLE costs;
DROP VIEW nearest_later;
DROP TABLE later;

-- several operators in ORDER BY: the second decides ties of the first
SELECT array_agg(item_id) FROM (SELECT item_id FROM items WHERE item_id <= 4000
	ORDER BY factors <=> '{1,1,1,1,1,1}', factors <-> '{9,9,9,9,9,9}' LIMIT 5) s;
SELECT plan($$SELECT item_id FROM items ORDER BY factors <=> '{1,1,1,1,1,1}', factors <-> '{9,9,9,9,9,9}' LIMIT 5$$);

-- rescans: for each of some items the nearest others
SELECT i.item_id, n.item_id FROM items i,
	LATERAL (SELECT item_id FROM items ORDER BY factors <=> i.factors LIMIT 2) n
 WHERE i.item_id IN (1, 2, 3) ORDER BY i.item_id, n.item_id <> i.item_id, n.item_id;

-- cursors
BEGIN;
DECLARE c CURSOR FOR SELECT item_id FROM items ORDER BY factors <-> '{1,2,3,4,5,6}';
FETCH 2 FROM c;
UPDATE items SET factors = factors || 1::real WHERE false;
FETCH 2 FROM c;
MOVE 3000 FROM c;
FETCH 1 FROM c;
ROLLBACK;

-- unlike lengths are refused, unless a partial index keeps them out
INSERT INTO items VALUES (6001, '{1,2,3}');
SELECT item_id FROM items ORDER BY factors <=> '{1,2,3,4,5,6}' LIMIT 1;
SELECT item_id FROM items ORDER BY factors <=> '{1,2,3}' LIMIT 1;
DROP INDEX items_factors;
CREATE INDEX items_six ON items USING topk (factors) WHERE cardinality(factors) = 6;
SELECT item_id FROM items WHERE cardinality(factors) = 6 ORDER BY factors <-> '{1,2,3,4,5,6}' LIMIT 1;
DELETE FROM items WHERE item_id = 6001;
-- so are queries that are no vectors; of an empty table they find nothing
SELECT item_id FROM items WHERE cardinality(factors) = 6 ORDER BY factors <-> '{1,2,3,4,5,NULL}' LIMIT 1;
SELECT item_id FROM items WHERE cardinality(factors) = 6 ORDER BY factors <-> '{{1,2,3,4,5,6}}' LIMIT 1;
CREATE TABLE empty (v real[]);
CREATE INDEX empty_v ON empty USING topk (v);
SELECT * FROM empty ORDER BY v <-> '{{1,2},{3,4}}' LIMIT 1;
SELECT mf_index_check('empty_v');

-- expression indexes: the predicted rating is an inner product
DELETE FROM items WHERE factors IS NULL;
CREATE INDEX items_biased ON items USING topk ((bias || factors));
SELECT plan($$SELECT item_id FROM items ORDER BY (bias || factors) <#> '{1,1,2,3,4,5,6}' LIMIT 3$$);
SELECT (SELECT array_agg(item_id) FROM (SELECT item_id FROM items WHERE item_id <= 4000
			ORDER BY (bias || factors) <#> '{1,1,2,3,4,5,6}' LIMIT 20) s) =
	   (SELECT array_agg(item_id) FROM (SELECT item_id FROM items WHERE item_id <= 4000
			ORDER BY 0 - bias + (factors <#> '{1,2,3,4,5,6}') LIMIT 20) s) AS same;

-- temporary, unlogged and partitioned tables
CREATE TEMP TABLE t AS SELECT item_id, factors FROM items WHERE item_id <= 4000;
CREATE INDEX t_v ON t USING topk (factors);
UPDATE t SET factors = factors WHERE item_id % 2 = 0;
DELETE FROM t WHERE item_id % 3 = 0;
SELECT mf_index_check('t_v');
SELECT item_id FROM t ORDER BY factors <-> '{1,2,3,4,5,6}' LIMIT 3;
CREATE UNLOGGED TABLE u (v real[]);
CREATE INDEX u_v ON u USING topk (v);
INSERT INTO u SELECT factors FROM items;
SELECT mf_index_check('u_v');
CREATE TABLE parts (part int, v real[]) PARTITION BY LIST (part);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF parts FOR VALUES IN (2);
CREATE INDEX parts_v ON parts USING topk (v);
INSERT INTO parts SELECT 1 + item_id % 2, factors FROM items WHERE cardinality(factors) = 6;
SELECT plan($$SELECT part FROM parts ORDER BY v <-> '{1,2,3,4,5,6}' LIMIT 3$$);
SELECT part, round((v <-> '{1,2,3,4,5,6}')::numeric, 6) FROM parts ORDER BY v <-> '{1,2,3,4,5,6}' LIMIT 3;

-- vectors of the greatest length with a code, and beyond
CREATE TABLE long (id int, v real[]);
INSERT INTO long SELECT i, array_fill(i::real, ARRAY[8000 + i % 2]) FROM generate_series(1, 20) i;
CREATE INDEX long_v ON long USING topk (v) WHERE cardinality(v) = 8001;
CREATE INDEX long_w ON long USING topk (v) WHERE cardinality(v) = 8000;
SELECT id FROM long WHERE cardinality(v) = 8001 ORDER BY v <-> array_fill(7.1::real, '{8001}') LIMIT 3;
SELECT id FROM long WHERE cardinality(v) = 8000 ORDER BY v <-> array_fill(7.1::real, '{8000}') LIMIT 3;
SELECT mf_index_check('long_v'), mf_index_check('long_w');

-- what it refuses
CREATE INDEX ON items USING topk (price);
CREATE INDEX ON items USING topk (factors, factors);
CREATE UNIQUE INDEX ON items USING topk (factors);
CREATE INDEX ON items USING topk (factors) INCLUDE (price);
CREATE INDEX ON items USING topk (factors DESC);
CREATE INDEX ON items USING topk (factors) WITH (fillfactor = 90);
CREATE INDEX ON items USING topk (factors) WITH (lists = 100);
CLUSTER items USING items_biased;
SELECT item_id FROM items WHERE factors <=> '{1,2,3,4,5,6}' < 0.1 ORDER BY price LIMIT 0;

-- only the owner may check an index, and only one of these
SELECT mf_index_check('items_pkey');
SELECT mf_index_check('items');
CREATE ROLE regress_topk;
GRANT USAGE ON SCHEMA topk TO regress_topk;
GRANT SELECT ON items TO regress_topk;
SET ROLE regress_topk;
SELECT mf_index_check('items_six');
RESET ROLE;
SELECT mf_index_check(NULL);

-- the catalogues
SELECT amname, amtype FROM pg_am WHERE amname = 'topk';
SELECT opcname, opcdefault, amvalidate(oid) FROM pg_opclass WHERE opcmethod = (SELECT oid FROM pg_am WHERE amname = 'topk');
SELECT amopstrategy, amopopr::regoperator, amoppurpose FROM pg_amop
 WHERE amopmethod = (SELECT oid FROM pg_am WHERE amname = 'topk') ORDER BY 1;
SELECT p, pg_indexam_has_property(a.oid, p) FROM pg_am a,
	unnest('{can_order,can_unique,can_multi_col,can_exclude,can_include}'::text[]) p WHERE amname = 'topk';
SELECT p, pg_index_column_has_property('items_six'::regclass, 1, p)
  FROM unnest('{orderable,distance_orderable,returnable,search_nulls}'::text[]) p;

REVOKE ALL ON SCHEMA topk FROM regress_topk;
REVOKE ALL ON items FROM regress_topk;
DROP ROLE regress_topk;
RESET enable_seqscan;
SET client_min_messages = warning;
DROP SCHEMA topk CASCADE;

-- Rows that the operators refuse to compare with the query, in an index topk: as
-- without the index, they are an error where the query comes to them, and where
-- WHERE or a policy leaves them out, nothing tells of them.
CREATE SCHEMA topk_lengths;
SET search_path = topk_lengths, public;
CREATE TABLE items (tenant text, id int, v real[]);
INSERT INTO items SELECT 'regress_topk_tenant', i, ARRAY[i % 700, 1, 2, i % 3]::real[] FROM generate_series(1, 2000) i;
INSERT INTO items VALUES ('regress_topk_tenant', 3001, '{NaN,0,0,0}'), ('regress_topk_tenant', 3002, '{1e35,0,0,0}'),
	('regress_topk_tenant', 3003, '{0,0,0,0}'), ('regress_topk_tenant', 3004, NULL), ('regress_topk_tenant', 3005, '{Infinity,0,0,1}');
-- of every kind of entry that a query of length 4 does not want
INSERT INTO items VALUES ('other', 4001, '{1,2,3}'), ('other', 4002, '{0,0,0,0,0}'), ('other', 4003, '{}'),
	('other', 4004, '{NaN,1,1}'), ('other', 4005, '{1e35,1e35,1,1,1}'), ('other', 4006, '{{1,2},{3,4}}'),
	('other', 4007, '{1,NULL,3,4}'), ('other', 4008, array_fill(1::real, '{8001}')),
	('other', 4009, array_fill(1::real, '{8002}')), ('other', 4010, '{1,2,3,4,5,6,7}');
CREATE INDEX items_v ON items USING topk (v);
-- some on pages that inserts fill
INSERT INTO items SELECT 'other', 5000 + i, array_fill(i::real, ARRAY[1 + i % 9]) FROM generate_series(1, 100) i WHERE i % 9 <> 3;
INSERT INTO items VALUES ('other', 6001, '{NaN,NaN}'), ('other', 6002, '{{1,2,3,4}}'), ('other', 6003, array_fill(1::real, '{8001}'));
SELECT mf_index_check('items_v');

CREATE FUNCTION answer(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	EXECUTE 'SELECT string_agg(d, '' '') FROM (' || query || ') s' INTO found;
	RETURN md5(coalesce(found, 'nothing'));
EXCEPTION WHEN data_exception OR null_value_not_allowed OR feature_not_supported THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
-- what a query answers with the index and without it; the plans are what they are meant to be
CREATE FUNCTION by_both(query text, OUT with_index text, OUT the_same boolean, OUT plans boolean) LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off;
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	plans := plan::text ~ 'Index Scan';
	with_index := answer(query);
	SET LOCAL enable_indexscan = off; SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on;
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	plans := plans AND plan::text !~ 'Index Scan';
	the_same := with_index IS NOT DISTINCT FROM answer(query);
	SET LOCAL enable_indexscan = on;
END $$;
CREATE FUNCTION compared(condition text, vectors text[], limits text[]) RETURNS TABLE (op text, vector text, errors bigint, the_same boolean, plans boolean)
LANGUAGE sql AS $$
	SELECT op, left(vector, 20), count(*) FILTER (WHERE with_index ~ ' '), bool_and(the_same), bool_and(plans)
	FROM unnest('{<=>,<#>,<->}'::text[]) op, unnest(vectors) vector, unnest(limits) k,
		by_both(format('SELECT coalesce(round((v %1$s %2$L)::numeric, 3)::text, ''NULL'') AS d FROM items WHERE %3$s ORDER BY v %1$s %2$L LIMIT %4$s',
			op, vector, condition, k))
	GROUP BY 1, 2 ORDER BY 1, 2
$$;
-- none that the operator refuses
SELECT * FROM compared('cardinality(v) = 4 AND v::text !~ ''NULL|\{\{''',
	'{"{7,1,2,0}","{0,0,0,0}","{NaN,1,1,1}","{1e34,1,1,1}"}', '{1,10,3000}');
-- rows that pass are an error, be it the nearest or the only one
SELECT * FROM compared('true', '{"{7,1,2,0}","{0,0,0,0}","{NaN,1,1,1}","{1,2,3}","{}","{{1,2,3,4}}","{1,NULL,1,1}"}', '{1,10,3000}');
SELECT id, (by_both(format('SELECT (v <-> ''{7,1,2,0}'')::text AS d FROM items WHERE id = %s OR id = 7 ORDER BY v <-> ''{7,1,2,0}'' LIMIT 1', id))).*
  FROM generate_series(4001, 4010) id ORDER BY id;
-- lengths without a code
SELECT * FROM compared('cardinality(v) = 8001', ARRAY[array_fill(2::real, '{8001}')::text], '{1,5}');
SELECT * FROM compared('cardinality(v) > 8000', ARRAY[array_fill(2::real, '{8001}')::text], '{1,5}');
-- several operators: one that refuses is enough, and a query of NULL refuses none
SELECT n, (by_both(format('SELECT concat_ws('' '', %1$s) AS d FROM items WHERE %2$s ORDER BY %1$s LIMIT 20', orders, condition))).*
  FROM (VALUES (1, 'cardinality(v) = 4 AND tenant <> ''other''', 'v <-> ''{7,1,2,0}'', v <=> ''{1,1,1,1}'''),
			   (2, 'cardinality(v) = 4 AND tenant <> ''other''', 'v <-> ''{7,1,2,0}'', v <=> ''{1,1,1}'''),
			   (3, 'id = 7', 'v <-> ''{7,1,2,0}'', v <=> ''{1,1,1}'''),
			   (4, 'id = 0', 'v <-> ''{7,1,2,0}'', v <=> ''{1,1,1}'''),
			   (5, 'true', 'v <-> ''{7,1,2,0}'', v <=> ''{1,1,1,1}'''),
			   (6, 'cardinality(v) = 4 AND tenant <> ''other''', 'v <=> ''{0,0,0,0}'', v <-> ''{9,1,2,0}''')) q(n, condition, orders)
 ORDER BY n;
PREPARE two(real[], real[]) AS SELECT string_agg(id::text, ' ' ORDER BY n) FROM (SELECT id, row_number() OVER () AS n FROM (SELECT id FROM items
	WHERE tenant <> 'other' ORDER BY v <-> $1, v <=> $2, id LIMIT 4) s) s;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
-- a query that may be NULL is followed by no other in an index scan
CREATE FUNCTION by_index(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	RETURN plan::text ~ 'Index Scan';
END $$;
SELECT by_index('EXECUTE two(NULL, NULL)'),
	by_index('SELECT id FROM items ORDER BY v <-> ''{7,1,2,0}'', v <=> (SELECT NULL::real[]) LIMIT 1');
EXECUTE two('{7,1,2,0}', NULL);
EXECUTE two(NULL, '{7,1,2,0}');
EXECUTE two(NULL, NULL);
EXECUTE two(NULL, '{7,1,2}');
RESET plan_cache_mode;

-- a policy: nothing tells of the rows that it hides, neither an error nor its words
CREATE ROLE regress_topk_tenant;
GRANT USAGE ON SCHEMA topk_lengths TO regress_topk_tenant;
GRANT SELECT ON items TO regress_topk_tenant;
ALTER TABLE items ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON items USING (tenant = current_user);
SET ROLE regress_topk_tenant;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY v <-> '{7,1,2,1}' LIMIT 2;
SELECT id FROM items ORDER BY v <-> '{7,1,2,1}', id LIMIT 2;
SELECT id FROM items ORDER BY v <#> '{7,1,2,1}', id LIMIT 2;
SELECT id FROM items ORDER BY v <=> '{7,1,2,1}', id LIMIT 2;
SELECT count(*), count(d) FROM (SELECT v <-> '{7,1,2,1}' AS d FROM items ORDER BY v <-> '{7,1,2,1}' LIMIT 3000) s;
SELECT round(min(v <-> '{7.5,1,2,0}')::numeric, 3) FROM items;
-- his own rows of another length he may know of
SELECT id FROM items ORDER BY v <-> '{7,1,2}' LIMIT 2;
SELECT id FROM items ORDER BY v <-> '{7,1,2,1}', v <=> '{1,1,1}' LIMIT 2;
SELECT id FROM items ORDER BY v <-> '{{7,1,2,1}}' LIMIT 2;
RESET ROLE;
-- where the distance is looked at by more than ORDER BY
SELECT count(*) FROM (SELECT id FROM items WHERE tenant <> 'other' ORDER BY v <-> '{7,1,2,1}' LIMIT 5) s;
SELECT id, rank() OVER (ORDER BY v <-> '{7,1,2,1}') FROM items WHERE tenant <> 'other' ORDER BY v <-> '{7,1,2,1}', id LIMIT 2;
SELECT DISTINCT ON (v <-> '{7,1,2,0}') tenant FROM items WHERE tenant <> 'other' ORDER BY v <-> '{7,1,2,0}' LIMIT 1;
SELECT a.id, b.id FROM items a, LATERAL (SELECT id FROM items b WHERE b.tenant = a.tenant ORDER BY b.v <-> a.v, b.id LIMIT 1) b
 WHERE a.id IN (7, 3003) ORDER BY a.id;
BEGIN;
SELECT id FROM items WHERE tenant <> 'other' ORDER BY v <-> '{7,1,2,1}' LIMIT 1 FOR UPDATE;
ROLLBACK;
RESET enable_seqscan;

SET client_min_messages = warning;
DROP SCHEMA topk_lengths CASCADE;
DROP ROLE regress_topk_tenant;

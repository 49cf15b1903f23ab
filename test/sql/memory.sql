-- A query may call a function for each of a million rows: what a call allocates
-- in the query's memory has to be given back before the next one. Here every
-- function that returns rows, every aggregate and a few others are called
-- 100,000 times in one query (the slow ones less often), and the backend's
-- memory at the tenth part of the calls is compared with that at their end.
SET client_min_messages = warning;
CREATE TABLE ratings AS
	SELECT u AS user_id, i AS item_id, 1 + (u * i) % 5 AS rating
	FROM generate_series(1, 20) u, generate_series(1, 10) i WHERE (u * 7 + i * 3) % 4 < 3;
CREATE INDEX ON ratings (user_id);
SELECT users, items FROM mf_train('ratings', model => 'memory', factors => 2, iterations => 2, verbose => false);
CREATE TABLE named AS
	SELECT md5(user_id::text)::uuid AS who, 'i' || item_id AS what, rating FROM ratings;
CREATE INDEX ON named (who);
SELECT users, items FROM mf_train('named', 'who', 'what', model => 'named', factors => 2, iterations => 2, verbose => false);

CREATE FUNCTION memory() RETURNS bigint LANGUAGE sql VOLATILE AS
	'SELECT sum(total_bytes) FROM pg_backend_memory_contexts';

-- What a call is; n is its number.
CREATE TABLE calls (calls int, call text);
INSERT INTO calls VALUES
	(100000, $$SELECT count(*) FROM mf_topk(1 + n % 20, 3, 'memory')$$),
	(20000, $$SELECT count(*) FROM mf_topk(1 + n % 20, 3, 'memory', live => true, diversity => 0.5)$$),
	(20000, $$SELECT count(*) FROM mf_topk(1 + n % 20, 3, 'memory', candidates => ARRAY[1 + n % 10, 2], exclude => ARRAY[n])$$),
	(20000, $$SELECT count(*) FROM mf_topk(md5((1 + n % 20)::text)::uuid, 3, NULL::text, model => 'named')$$),
	(20000, $$SELECT count(mf_topk) FROM (SELECT mf_topk(1 + n % 20, 3, 'memory')) t$$),
	(20000, $$SELECT count(*) FROM mf_topk(1 + n % 20, 3, CASE n % 2 WHEN 0 THEN 'memory' ELSE 'public.memory' END)$$),
	(100000, $$SELECT count(*) FROM mf_topk_for(ARRAY[1 + n % 10, 2], ARRAY[5, 1], 3, 'memory')$$),
	(20000, $$SELECT count(*) FROM mf_topk_for(ARRAY['i' || n % 10], NULL, 3, 'named')$$),
	(100000, $$SELECT count(*) FROM mf_explain(1 + n % 20, 1 + n % 10, 3, 'memory')$$),
	(20000, $$SELECT count(*) FROM mf_explain(md5((1 + n % 20)::text)::uuid, 'i' || n % 10, 3, NULL::text, 'named')$$),
	(100000, $$SELECT count(*) FROM mf_similar_items(1 + n % 10, 3, 'memory')$$),
	(20000, $$SELECT count(*) FROM mf_similar_items('i' || n % 10, 3, 'named')$$),
	(100000, $$SELECT count(*) FROM mf_similar_users(1 + n % 20, 3, 'memory')$$),
	(20000, $$SELECT count(*) FROM mf_similar_users(md5((1 + n % 20)::text)::uuid, 3, 'named')$$),
	(10000, $$SELECT count(*) FROM mf_topk_all(ARRAY[n % 20], 3, 'memory')$$),
	(10000, $$SELECT count(*) FROM mf_map(CASE WHEN n > 0 THEN 'memory' END)$$),
	(1000, $$SELECT count(*) FROM mf_evaluate(CASE WHEN n > 0 THEN 'memory' END, 'ratings', exclude_train => false)$$),
	(100000, $$SELECT mf_predict(1 + n % 20, 1 + n % 10, 'memory')$$),
	(100000, $$SELECT mf_predict(md5((1 + n % 20)::text)::uuid, 'i' || n % 10, 'named')$$),
	(100000, $$SELECT mf_holdout(n, n::text || 'x', 0.1, 3)$$),
	(100000, $$SELECT mf_fold_in(1 + (n + k) % 10, k, 'memory') FROM generate_series(1, 3) k$$),
	(100000, $$SELECT mf_fold_in('i' || (n + k) % 10, k, 'named') FROM generate_series(1, 3) k$$),
	(100000, $$SELECT mf_solve(ARRAY[k, 1]::real[], n % 5, NULL) FROM generate_series(1, 3) k$$),
	(100000, $$SELECT mf_solve(ARRAY[k, 1]::real[], 0.5::real, n % 5, mf_solve_options('{"mean": 3, "regularization": 0.1}')) FROM generate_series(1, 3) k$$),
	(100000, $$SELECT mf_solve_error(ARRAY[k, 1]::real[], 1 + n % 5, mf_solve_options('{"feedback": "implicit"}')) FROM generate_series(1, 3) k$$),
	(100000, $$SELECT mf_gramian(ARRAY[k, n]::real[]) FROM generate_series(1, 3) k$$),
	(100000, $$SELECT mf_digest(k, n % 5) FROM generate_series(1, 3) k$$),
	(1000, $$SELECT length(mf_map_svg(CASE WHEN n > 0 THEN 'memory' END))$$),
	(1000, $$SELECT length(mf_history_svg(CASE WHEN n > 0 THEN 'memory' END))$$),
	(100000, $$SELECT mf_default() FROM generate_series(1, 1) k WHERE k < n + 2$$);

-- What is not in the list
SELECT p.proname
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
WHERE e.extname = 'factor' AND (p.proretset OR p.prokind = 'a')
	AND NOT EXISTS (SELECT FROM calls WHERE call LIKE '% ' || p.proname || '(%')
GROUP BY 1 ORDER BY 1;

CREATE FUNCTION growth(calls int, call text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	result bigint;
BEGIN
	EXECUTE format('SELECT CASE WHEN count(answer) > 0 THEN max(bytes) FILTER (WHERE n = %1$s) - max(bytes) FILTER (WHERE n = %2$s) END
		FROM (SELECT n, t::text AS answer, CASE WHEN n IN (%1$s, %2$s) THEN memory() END AS bytes
			FROM generate_series(1, %1$s) n, LATERAL (%3$s OFFSET 0) t OFFSET 0) s', calls, calls / 10, call)
		INTO result;
	RETURN result;
END $$;

-- The bytes that remain of a call, if more than ten
SELECT call, CASE WHEN bytes < 10 THEN 'none' ELSE bytes || ' bytes' END AS remain
FROM (SELECT call, growth(calls, call) / (calls - calls / 10) AS bytes FROM calls OFFSET 0) c;

-- The same in the groups of one query
SELECT CASE WHEN max(m) FILTER (WHERE g = 20000) - max(m) FILTER (WHERE g = 2000) < 200000 THEN 'none' ELSE 'some' END AS remain
FROM (SELECT g, mf_fold_in(1 + n % 10, 3, 'memory'), CASE WHEN g IN (2000, 20000) THEN memory() END AS m
	FROM (SELECT n, n / 3 AS g FROM generate_series(1, 60005) n ORDER BY n / 3 OFFSET 0) s GROUP BY g ORDER BY g OFFSET 0) s;

-- And where row security has each row read by SQL
CREATE ROLE memory_reader;
GRANT SELECT ON memory_users, memory_items TO memory_reader;
ALTER TABLE memory_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory_items ENABLE ROW LEVEL SECURITY;
CREATE POLICY everyone ON memory_users USING (true);
CREATE POLICY everyone ON memory_items USING (true);
CREATE FUNCTION memory_as_owner() RETURNS bigint LANGUAGE sql VOLATILE SECURITY DEFINER AS
	'SELECT sum(total_bytes) FROM pg_backend_memory_contexts';
SET ROLE memory_reader;
SELECT CASE WHEN max(m) FILTER (WHERE n = 50000) - max(m) FILTER (WHERE n = 5000) < 450000 THEN 'none' ELSE 'some' END AS remain
FROM (SELECT n, mf_predict(1 + n % 20, 1 + n % 10, 'memory'), (SELECT count(*) FROM mf_similar_items(1 + n % 10, 3, 'memory') WHERE n % 10 = 0),
		CASE WHEN n IN (5000, 50000) THEN memory_as_owner() END AS m
	FROM generate_series(1, 50000) n OFFSET 0) s;
RESET ROLE;

SELECT mf_drop('memory'), mf_drop('named');
DROP ROLE memory_reader;
DROP TABLE ratings, named, calls;
DROP FUNCTION growth, memory, memory_as_owner;

--
-- mf_topk_all: what mf_topk gives, for every user; against mf_topk and against
-- plain SQL.
--
\set VERBOSITY default
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_mf_batch;
RESET client_min_messages;
CREATE SCHEMA mf_batch;
SET search_path = mf_batch, public;

-- A model of given types made by hand: vectors that repeat, so that scores tie,
-- and norms of all sizes.
CREATE FUNCTION make_model(model text, user_type text, user_id text, item_type text, item_id text,
	feedback text, users integer, items integer, f integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (u %s PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL,
		ratings integer NOT NULL, rating_sum double precision NOT NULL, digest bigint NOT NULL DEFAULT 0)', model || '_users', user_type);
	EXECUTE format('INSERT INTO %I SELECT %s, %s, (SELECT array_agg(sin(i * k)::real ORDER BY k)
		FROM generate_series(1, %s) k), 1, 3 FROM generate_series(1, %s) i', model || '_users', user_id,
		CASE feedback WHEN 'explicit' THEN 'cos(i) / 2' ELSE '0' END, f, users);
	EXECUTE format('CREATE TABLE %I (m %s PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL,
		ratings integer NOT NULL, rating_sum double precision NOT NULL, digest bigint NOT NULL DEFAULT 0)', model || '_items', item_type);
	EXECUTE format('INSERT INTO %I SELECT %s, %s, (SELECT array_agg((cos(i %% 250 * k) * exp(sin(i %% 250)))::real ORDER BY k)
		FROM generate_series(1, %s) k), 1, 3 FROM generate_series(1, %s) i ORDER BY hashint4(i)',
		model || '_items', item_id,
		CASE feedback WHEN 'explicit' THEN 'sin(i % 250) / 2' ELSE '0' END, f, items);
	INSERT INTO public.mf_models VALUES ('mf_batch', model, 'x', model = 'films', now(), feedback,
		feedback = 'explicit', f, CASE feedback WHEN 'explicit' THEN 3.5 ELSE 0 END, 0.5, 5,
		'mf_batch', 'seen_' || model, 'u', 'm', NULL, 40, 60, 100, 0, 1, 0.1, 1, 0.1, 1, 0, 0,
		NULL, NULL, 0, 0, 0, now(), 'x');
	EXECUTE format('CREATE TABLE %I (u %s, m %s)', 'seen_' || model, user_type, item_type);
	IF model = 'big' THEN
		INSERT INTO seen_big SELECT u, 10001 + (u * 37 + n * n * 11) % 4000 FROM big_users, generate_series(1, 10) n;
		RETURN;
	END IF;
	EXECUTE format('INSERT INTO %I SELECT u, m FROM (SELECT u, row_number() OVER (ORDER BY u) a FROM %I) x,
		(SELECT m, row_number() OVER (ORDER BY m) b FROM %I) y WHERE (a * b) %% 7 = 0',
		'seen_' || model, model || '_users', model || '_items');
END $$;
SELECT make_model('films', 'integer', 'i', 'integer', '10000 + i', 'explicit', 300, 700, 5);
SELECT make_model('clicks', 'integer', 'i', 'bigint', '10000 + i', 'implicit', 40, 1500, 20);
SELECT make_model('words', 'text', '''user '' || i', 'text COLLATE "C"', '''item '' || i', 'explicit', 40, 300, 3);
SELECT make_model('guids', 'uuid', 'lpad(i::text, 32, ''0'')::uuid', 'uuid', 'lpad((100 + i)::text, 32, ''0'')::uuid', 'implicit', 40, 300, 3);
SELECT make_model('mixed', 'uuid', 'lpad(i::text, 32, ''0'')::uuid', 'text', '''item '' || i', 'explicit', 40, 300, 1);
SELECT make_model('days', 'date', '''2000-01-01''::date + i', 'numeric(10,2)', 'i + 0.5', 'explicit', 40, 300, 3);
CREATE INDEX ON seen_films (u);
ANALYZE;

-- The k best of each user in plain SQL
CREATE FUNCTION plain_topk_all(model text, mean float8, low float8, high float8, k integer, exclude boolean)
RETURNS TABLE (u text, m text, score float8, rank bigint) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT u::text, m::text, least(greatest(score, %L), %L), place FROM (
		SELECT u, m, score, row_number() OVER (PARTITION BY u ORDER BY score DESC, m) place
		FROM (SELECT u, m, %L::float8 + u.bias + i.bias - (u.factors <#> i.factors) score
			FROM %I u, %I i) s
		WHERE NOT %L OR NOT EXISTS (SELECT FROM %I r WHERE r.u = s.u AND r.m = s.m)) t
		WHERE place <= %s', low, high, mean, model || '_users', model || '_items', exclude, 'seen_' || model, k);
END $$;

SELECT count(*) AS rows, count(DISTINCT (u, score)) < count(*) AS ties FROM plain_topk_all('films', 3.5, 0.5, 5, 10, true);
SELECT count(*) FROM mf_topk_all();
SELECT * FROM plain_topk_all('films', 3.5, 0.5, 5, 10, true) EXCEPT SELECT user_id::text, item::text, score, rank FROM mf_topk_all();
SELECT * FROM plain_topk_all('films', 3.5, 0.5, 5, 3, false)
EXCEPT SELECT user_id::text, item::text, score, rank FROM mf_topk_all(3, exclude_seen => false);
SELECT * FROM plain_topk_all('clicks', 0, '-inf', 'inf', 25, true)
EXCEPT SELECT user_id::text, item::text, score, rank FROM mf_topk_all(25, 'clicks');
SELECT count(*) FROM mf_topk_all(25, 'clicks');
SELECT * FROM plain_topk_all('words', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT * FROM mf_topk_all(NULL::text[], 10, 'words');
SELECT * FROM plain_topk_all('guids', 0, '-inf', 'inf', 10, true)
EXCEPT SELECT user_id::text, item::text, score, rank FROM mf_topk_all(NULL::uuid[], model => 'guids');
SELECT * FROM plain_topk_all('mixed', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT user_id::text, item, score, rank FROM mf_topk_all(NULL::uuid[], NULL::text, 10, 'mixed');
SELECT * FROM plain_topk_all('mixed', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT user_id::text, item, score, rank FROM mf_topk_all(users => NULL::text[], model => 'mixed');
SELECT * FROM plain_topk_all('days', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT user_id::text, item::text, score, rank FROM mf_topk_all(users => NULL::date[], item_type => NULL::numeric, model => 'days');
SELECT pg_typeof(user_id), pg_typeof(item), pg_typeof(score), pg_typeof(rank)
FROM mf_topk_all(users => '{2000-01-02}'::date[], item_type => NULL::numeric, model => 'days', k => 1);

-- More than there are: each user's items that are not seen, all of them
SELECT count(*) = (SELECT 40 * 1500 - count(*) FROM seen_clicks) AS all FROM mf_topk_all(1000000000, 'clicks');
SELECT count(*) FROM (SELECT user_id::text, item::text, score, rank FROM mf_topk_all(2000, 'clicks')
	EXCEPT SELECT * FROM plain_topk_all('clicks', 0, '-inf', 'inf', 2000, true)) x;

-- In the order of users and ranks, as mf_topk has it
SELECT bool_and((x.user_id = y.u AND x.item = y.item AND x.score = y.score) IS TRUE) AS same, count(*)
FROM mf_topk_all(7) WITH ORDINALITY x(user_id, item, score, rank, place)
FULL JOIN (SELECT u.u, t.item, t.score, row_number() OVER () FROM (SELECT u FROM films_users ORDER BY u) u, mf_topk(u.u, 7) t) y(u, item, score, place)
	USING (place);

-- Some users
SELECT user_id, count(*) FROM mf_topk_all(ARRAY[7, 300, 7, NULL, 0, 12345678901], 4) GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM (SELECT * FROM mf_topk_all(ARRAY[7, 300], 4)
	EXCEPT SELECT * FROM mf_topk_all(4)) x;
SELECT count(*) FROM mf_topk_all('{}'::int[]);
SELECT count(*) FROM mf_topk_all(ARRAY['user 1', 'user 2', 'nobody'], 4, 'words');

-- A nightly table
CREATE TABLE nightly (user_id int, item int, score real, rank int, PRIMARY KEY (user_id, rank));
INSERT INTO nightly SELECT * FROM mf_topk_all(5);
SELECT count(*), count(DISTINCT user_id), min(rank), max(rank) FROM nightly;

-- In a cursor, under LIMIT, in a loop that ends early, in a function, lateral, in the
-- select list, in a subtransaction that fails, and in a query that runs in parallel
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM mf_topk_all(2);
FETCH 3 FROM c;
MOVE 512 FROM c;
FETCH ALL FROM c;
COMMIT;
SELECT user_id, rank FROM mf_topk_all(2) LIMIT 3;
CREATE FUNCTION first_users(n int) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	found int[] := '{}';
	r record;
BEGIN
	FOR r IN SELECT * FROM mf_topk_all(1) LOOP
		found := found || r.user_id::int;
		EXIT WHEN cardinality(found) = n;
	END LOOP;
	BEGIN
		PERFORM 1 / (rank - 1) FROM mf_topk_all(2);
	EXCEPTION WHEN division_by_zero THEN
		RETURN found || (SELECT count(*)::int FROM mf_topk_all(2));
	END;
END $$;
SELECT first_users(3), first_users(1);
SELECT count(*) FILTER (WHERE a = b), count(*) FROM (SELECT row(u::bigint, t.item, t.score) a, row(t.user_id, x.item, x.score) b
	FROM generate_series(1, 20) u, mf_topk_all(ARRAY[u], 1) t, mf_topk(u, 1) x) s;
SELECT count(*), count(DISTINCT r) FROM (SELECT mf_topk_all(3)::text r) s;
BEGIN;
SELECT set_config(name, CASE WHEN name LIKE 'max%' THEN '2' ELSE '0' END, true) IS NULL AS unset FROM (VALUES ('parallel_setup_cost'),
	('parallel_tuple_cost'), ('min_parallel_table_scan_size'), ('max_parallel_workers_per_gather')) v (name);
CREATE TABLE many AS SELECT i FROM generate_series(1, 100000) i;
ANALYZE many;
SELECT count(*), sum(n) FROM (SELECT count(*) n FROM many, mf_topk_all(2) t WHERE i = t.user_id GROUP BY i % 10) s;
ROLLBACK;

-- Little memory, many chunks, workers or none: the same
CREATE TABLE print AS SELECT md5(string_agg(t::text, ',' ORDER BY user_id, rank)) AS expected FROM mf_topk_all(30) t;
SELECT make_model('big', 'integer', 'i', 'integer', '10000 + i', 'explicit', 20000, 4000, 32);
CREATE INDEX ON seen_big (u);
CREATE TABLE big_one AS SELECT * FROM mf_topk_all(3, 'big');
SET maintenance_work_mem = '1MB';
SELECT count(*) FROM (SELECT * FROM mf_topk_all(3, 'big') EXCEPT SELECT * FROM big_one) x;
SET max_parallel_maintenance_workers = 0;
SELECT count(*) FROM (SELECT * FROM mf_topk_all(3, 'big') EXCEPT SELECT * FROM big_one) x;
SELECT md5(string_agg(t::text, ',' ORDER BY user_id, rank)) = (SELECT expected FROM print) AS same FROM mf_topk_all(30) t;
RESET maintenance_work_mem;
RESET max_parallel_maintenance_workers;
SELECT count(*), bool_and(t.item = b.item AND t.score = b.score)
FROM (SELECT u FROM big_users WHERE u % 1000 = 1) u, mf_topk(u.u, 3, 'big') WITH ORDINALITY t(item, score, rank)
JOIN big_one b ON b.rank = t.rank WHERE b.user_id = u.u;
DROP TABLE big_one;

-- Numbers beyond single precision, zeros, ties of everything, NaN
BEGIN;
UPDATE clicks_items SET factors = array_fill(1e30::real, ARRAY[20]) WHERE m = 10007;
UPDATE clicks_items SET factors = array_fill(1e-30::real, ARRAY[20]) WHERE m BETWEEN 10010 AND 10020;
UPDATE clicks_items SET factors = array_fill('NaN'::real, ARRAY[20]) WHERE m = 10008;
UPDATE clicks_items SET factors = array_fill(0::real, ARRAY[20]) WHERE m BETWEEN 10100 AND 11000;
UPDATE clicks_users SET factors = array_fill(0::real, ARRAY[20]) WHERE u = 5;
UPDATE clicks_users SET factors = array_fill(-1e25::real, ARRAY[20]) WHERE u = 6;
UPDATE clicks_users SET factors = array_fill(1e-25::real, ARRAY[20]) WHERE u = 7;
SELECT bool_and((x.user_id = y.u AND x.item = y.item AND x.score = y.score) IS TRUE) AS same, count(*) > 40000 AS most
FROM mf_topk_all(1400, 'clicks') WITH ORDINALITY x(user_id, item, score, rank, place)
FULL JOIN (SELECT u.u, t.item, t.score, row_number() OVER ()
	FROM (SELECT u FROM clicks_users ORDER BY u) u, mf_topk(u.u, 1400, 'clicks') t) y(u, item, score, place) USING (place);
SELECT bool_and((x.user_id = y.u AND x.item = y.item AND x.score = y.score) IS TRUE) AS same, count(*)
FROM mf_topk_all(9, 'clicks', false) WITH ORDINALITY x(user_id, item, score, rank, place)
FULL JOIN (SELECT u.u, t.item, t.score, row_number() OVER ()
	FROM (SELECT u FROM clicks_users ORDER BY u) u, mf_topk(u.u, 9, 'clicks', false) t) y(u, item, score, place) USING (place);
ROLLBACK;

-- Vectors of one element to a thousand, with biases and without
CREATE TABLE lengths (d int, feedback text, rows bigint, expected bigint, others bigint);
DO $$
DECLARE d int; feedback text; low float8; high float8;
BEGIN
	FOREACH d IN ARRAY ARRAY[1, 3, 64, 100, 1000] LOOP
		FOREACH feedback IN ARRAY ARRAY['explicit', 'implicit'] LOOP
			PERFORM make_model('length', 'integer', 'i', 'integer', '10000 + i', feedback, 30, 400, d);
			low := CASE feedback WHEN 'explicit' THEN '0.5' ELSE '-inf' END;
			high := CASE feedback WHEN 'explicit' THEN '5' ELSE 'inf' END;
			INSERT INTO lengths SELECT d, feedback, (SELECT count(*) FROM mf_topk_all(10, 'length')), count(*),
				(SELECT count(*) FROM (
					SELECT * FROM plain_topk_all('length', CASE feedback WHEN 'explicit' THEN 3.5 ELSE 0 END, low, high, 10, true)
					EXCEPT SELECT user_id::text, item::text, score, rank FROM mf_topk_all(10, 'length')) x)
			FROM plain_topk_all('length', 0, low, high, 10, true);
			DROP TABLE length_users, length_items, seen_length;
			DELETE FROM mf_models WHERE model = 'length';
		END LOOP;
	END LOOP;
END $$;
SELECT * FROM lengths ORDER BY d, feedback;

-- Infinite factors, and users who have seen everything, or all but a few
BEGIN;
UPDATE clicks_items SET factors[1] = 'Infinity' WHERE m = 10003;
UPDATE clicks_items SET factors[2] = '-Infinity' WHERE m = 10004;
UPDATE clicks_users SET factors[3] = 'Infinity' WHERE u = 9;
INSERT INTO seen_clicks SELECT u, m FROM clicks_items, clicks_users WHERE u IN (11, 12) AND (u = 11 OR m > 10005);
SELECT count(*), count(*) FILTER (WHERE user_id = 11) AS none, count(*) FILTER (WHERE user_id = 12) AS few
FROM mf_topk_all(10, 'clicks');
SELECT bool_and((x.user_id = y.u AND x.item = y.item AND x.score = y.score) IS TRUE) AS same, count(*)
FROM mf_topk_all(9, 'clicks') WITH ORDINALITY x(user_id, item, score, rank, place)
FULL JOIN (SELECT u.u, t.item, t.score, row_number() OVER ()
	FROM (SELECT u FROM clicks_users ORDER BY u) u, mf_topk(u.u, 9, 'clicks') t) y(u, item, score, place) USING (place);
ROLLBACK;

-- Seen is read in the query's snapshot; nulls and unknown ids there are nothing
BEGIN;
INSERT INTO seen_films VALUES (8, NULL), (NULL, 10001), (8, 4711), (4711, 10001);
INSERT INTO seen_films SELECT 8, item FROM mf_topk(8, 3);
SELECT count(*) FROM mf_topk_all(ARRAY[8], 700);
WITH gone AS (DELETE FROM seen_films WHERE u = 8 RETURNING 1)
SELECT (SELECT count(*) FROM mf_topk_all(ARRAY[8], 700)) < 700 AND count(*) > 0 FROM gone;
SELECT count(*) FROM mf_topk_all(ARRAY[8], 700);
ALTER TABLE seen_films RENAME TO seen_elsewhere;
SELECT count(*) FROM mf_topk_all(5);
ROLLBACK;

-- Nothing is written
BEGIN READ ONLY;
SELECT count(*) FROM mf_topk_all(5);
COMMIT;

-- Errors, and no rows
SELECT count(*) FROM mf_topk_all(0);
SELECT * FROM mf_topk_all(-1);
SELECT * FROM mf_topk_all(NULL::int);
SELECT * FROM mf_topk_all(1, exclude_seen => NULL);
SELECT * FROM mf_topk_all(1, 'words');
SELECT * FROM mf_topk_all(1, 'mixed');
SELECT * FROM mf_topk_all(NULL::bigint[], 1, 'words');
SELECT * FROM mf_topk_all(ARRAY['x'], 1, 'films');
SELECT * FROM mf_topk_all(NULL::int[], 1, 1);
SELECT * FROM mf_topk_all(1, 'no_such_model');
SELECT * FROM mf_topk_all(NULL::smallint[], NULL::smallint, 1, 'clicks') LIMIT 1;
BEGIN;
UPDATE clicks_items SET m = m + 10000000000 WHERE m = 10001;
SELECT * FROM mf_topk_all(NULL::int[], NULL::int, 1500, 'clicks', false) LIMIT 1;
UPDATE clicks_items SET factors = '{1,2}' WHERE m = 10002;
SELECT * FROM mf_topk_all(1, 'clicks');
ROLLBACK;
BEGIN;
DELETE FROM films_users;
SELECT count(*) FROM mf_topk_all(3);
DELETE FROM films_items;
SELECT count(*) FROM mf_topk_all(3);
ROLLBACK;

-- The caller's rights, and row security
CREATE ROLE regress_mf_batch;
GRANT USAGE ON SCHEMA mf_batch TO regress_mf_batch;
SET ROLE regress_mf_batch;
SELECT count(*) FROM mf_topk_all(3);
RESET ROLE;
GRANT SELECT (m, bias, factors) ON films_items TO regress_mf_batch;
GRANT SELECT (u, bias, factors) ON films_users TO regress_mf_batch;
SET ROLE regress_mf_batch;
SELECT count(*) FROM mf_topk_all(3);
SELECT count(*) FROM mf_topk_all(3, exclude_seen => false);
RESET ROLE;
GRANT SELECT ON seen_films TO regress_mf_batch;
ALTER TABLE films_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE films_items ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON films_users USING (u <= 10);
CREATE POLICY p ON films_items USING (m % 2 = 0);
SET ROLE regress_mf_batch;
SELECT count(DISTINCT user_id), bool_and(item % 2 = 0) FROM mf_topk_all(3);
SELECT count(*) FROM mf_topk_all(ARRAY[10, 11], 3);
RESET ROLE;
SELECT count(DISTINCT user_id) FROM mf_topk_all(3);

SET client_min_messages = warning;
DELETE FROM mf_history WHERE schema = 'mf_batch';
DELETE FROM mf_models WHERE schema = 'mf_batch';
DROP SCHEMA mf_batch CASCADE;
DROP ROLE regress_mf_batch;

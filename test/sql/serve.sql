--
-- Serving: mf_predict, mf_topk, mf_similar_*, each against plain SQL.
-- The models are made by hand, from numbers that a formula gives.
--
\set VERBOSITY default
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_mf_reader;
RESET client_min_messages;
CREATE SCHEMA mf_serve;
SET search_path = mf_serve, public;

-- A model of 40 users and 60 items with the given id types; ids are formed by
-- an expression over i. Several items have equal vectors, so that ties occur.
CREATE FUNCTION make_model(model text, user_type text, user_id text, item_type text, item_id text,
	feedback text DEFAULT 'explicit', f integer DEFAULT 5) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (u %s PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL,
		ratings integer NOT NULL, rating_sum double precision NOT NULL, digest bigint NOT NULL DEFAULT 0)', model || '_users', user_type);
	EXECUTE format('INSERT INTO %I SELECT %s, %s, (SELECT array_agg(sin(i * k)::real ORDER BY k)
		FROM generate_series(1, %s) k), 1, 3 FROM generate_series(1, 40) i', model || '_users', user_id,
		CASE feedback WHEN 'explicit' THEN 'cos(i) / 2' ELSE '0' END, f);
	EXECUTE format('CREATE TABLE %I (m %s PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL,
		ratings integer NOT NULL, rating_sum double precision NOT NULL, digest bigint NOT NULL DEFAULT 0)', model || '_items', item_type);
	EXECUTE format('INSERT INTO %I SELECT %s, %s, (SELECT array_agg(cos(i %% 25 * k)::real ORDER BY k)
		FROM generate_series(1, %s) k), 1, 3 FROM generate_series(1, 60) i ORDER BY hashint4(i)',
		model || '_items', item_id,
		CASE feedback WHEN 'explicit' THEN 'sin(i % 25) / 2' ELSE '0' END, f);
	INSERT INTO public.mf_models VALUES ('mf_serve', model, 'x', model = 'films', now(), feedback,
		feedback = 'explicit', f, CASE feedback WHEN 'explicit' THEN 3.5 ELSE 0 END, 0.5, 5,
		'mf_serve', 'seen_' || model, 'u', 'm', NULL, 40, 60, 100, 0, 1, 0.1, 1, 0.1, 1, 0, 0,
		NULL, NULL, 0, 0, 0, now(), 'x');
	EXECUTE format('CREATE TABLE %I (u %s, m %s)', 'seen_' || model, user_type, item_type);
	EXECUTE format('INSERT INTO %I SELECT u, m FROM (SELECT u, row_number() OVER (ORDER BY u) a FROM %I) x,
		(SELECT m, row_number() OVER (ORDER BY m) b FROM %I) y WHERE (a * b) %% 7 = 0',
		'seen_' || model, model || '_users', model || '_items');
END $$;

SELECT make_model('films', 'integer', 'i', 'integer', '100 + i');
SELECT make_model('clicks', 'integer', 'i', 'integer', '100 + i', 'implicit');
SELECT make_model('small', 'smallint', 'i', 'bigint', '3000000000 + i');
SELECT make_model('words', 'text', '''user '' || i', 'text COLLATE "C"', '''item '' || i');
SELECT make_model('guids', 'uuid', 'lpad(i::text, 32, ''0'')::uuid', 'uuid', 'lpad((100 + i)::text, 32, ''0'')::uuid');
SELECT make_model('mixed', 'uuid', 'lpad(i::text, 32, ''0'')::uuid', 'text', '''item '' || i');
SELECT make_model('days', 'date', '''2000-01-01''::date + i', 'numeric(10,2)', 'i + 0.5');
SELECT make_model('chars', 'varchar(10)', '''user '' || i', 'char(10)', '''item '' || i');
ANALYZE;

-- The references, in plain SQL
CREATE FUNCTION plain_score(users regclass, items regclass, mean float8)
RETURNS TABLE (u text, m text, score float8) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT u.u::text, i.m::text, %L::float8 + u.bias + i.bias - (u.factors <#> i.factors)
		FROM %s u, %s i', mean, users, items);
END $$;

-- mf_predict is the formula, to the bit, kept in range; all pairs of a model
SELECT count(*) AS pairs, count(*) FILTER (WHERE score NOT BETWEEN 0.5 AND 5) > 100 AS some_out_of_range,
	bool_and(mf_predict(u::integer, m::integer) = least(greatest(score, 0.5), 5)) AS same
FROM plain_score('films_users', 'films_items', 3.5);
SELECT count(*) AS pairs, count(*) FILTER (WHERE score NOT BETWEEN 0.5 AND 5) > 100 AS some_out_of_range,
	bool_and(mf_predict(u::integer, m::integer, 'clicks') = score) AS same
FROM plain_score('clicks_users', 'clicks_items', 0);
SELECT count(*) AS pairs, bool_and(mf_predict(u::smallint, m::bigint, 'small') = least(greatest(score, 0.5), 5)) AS same
FROM plain_score('small_users', 'small_items', 3.5);
SELECT count(*) AS pairs, bool_and(mf_predict(u, m, 'words') = least(greatest(score, 0.5), 5)) AS same
FROM plain_score('words_users', 'words_items', 3.5);
SELECT count(*) AS pairs, bool_and(mf_predict(u::uuid, m::uuid, 'guids') = least(greatest(score, 0.5), 5)) AS same
FROM plain_score('guids_users', 'guids_items', 3.5);
SELECT count(*) AS pairs, bool_and(mf_predict(u::uuid, m, 'mixed') = least(greatest(score, 0.5), 5)) AS same
FROM plain_score('mixed_users', 'mixed_items', 3.5);
SELECT count(*) AS pairs,
	bool_and(mf_predict(u::date, m::numeric, NULL::numeric, 'days') = least(greatest(score, 0.5), 5)) AS same
FROM plain_score('days_users', 'days_items', 3.5);
SELECT count(*) AS pairs,
	bool_and(mf_predict(u::varchar, m::char(10), 'chars') = least(greatest(score, 0.5), 5)) AS same
FROM plain_score('chars_users', 'chars_items', 3.5);

-- Which form a call means: never an ambiguous one
CREATE FUNCTION close_to(a float8, b float8) RETURNS boolean LANGUAGE sql AS 'SELECT abs(a - b) < 1e-12';
SELECT mf_predict(7, 107) AS expected \gset
SELECT mf_predict(7, 107) = :expected, mf_predict('7', '107') = :expected, mf_predict(7, '107') = :expected,
	mf_predict('7', 107) = :expected, mf_predict(7::smallint, 107::bigint) = :expected,
	mf_predict(7::text, 107) = :expected, mf_predict(7, '107'::varchar) = :expected,
	mf_predict(7, 107, 'films') = :expected, mf_predict(7::smallint, 107::smallint, 'films') = :expected,
	mf_predict('7', '107', 'films') = :expected, mf_predict(7, 107, NULL) = :expected,
	mf_predict(7, 107, 'films'::text) = :expected, mf_predict(7, 107, 'films'::varchar) = :expected,
	mf_predict(7, 107, model => 'films') = :expected, mf_predict(item_id => 107, user_id => 7) = :expected,
	mf_predict(7, 107, NULL::integer) = :expected, mf_predict(7, 107, NULL::integer, 'films') = :expected,
	mf_predict(7, 107, item_type => NULL::integer, model => 'films') = :expected;
SELECT mf_predict(7, 107, item_type => NULL::text);
PREPARE untyped2 AS SELECT mf_predict($1, $2) = :expected;
EXECUTE untyped2(7, 107);
PREPARE untyped3 AS SELECT mf_predict($1, $2, $3) = :expected;
EXECUTE untyped3('7', '107', 'films');
PREPARE typed(smallint, smallint, text) AS SELECT mf_predict($1, $2, $3) = :expected;
EXECUTE typed(7, 107, NULL);
DEALLOCATE ALL;

-- NULL for what the model does not know, numbers beyond the key's type too
SELECT mf_predict(0, 107), mf_predict(7, 0), mf_predict(NULL, 107), mf_predict(7, NULL::integer),
	mf_predict(10000000000, 107), mf_predict(7, -10000000000), mf_predict('0', '107'),
	mf_predict(7, 70000, 'small'), mf_predict(70000, 3000000007, 'small'), mf_predict('nobody', 'item 1', 'words');
SELECT mf_predict('seven', 107);
SELECT mf_predict('99999999999', 107);
SELECT mf_predict(7, 107, 'words');
SELECT mf_predict('00000000-0000-0000-0000-000000000007'::uuid, 107);
SELECT mf_predict('7'::text, '00000000-0000-0000-0000-000000000107'::uuid);
SELECT mf_predict(date '2000-01-08', 7.5, 'days'::date);
SELECT mf_predict(date '2000-01-08', 7.5, 7.5, 'days');
SELECT mf_predict('2000-01-08', '7.5', 'days') = mf_predict(date '2000-01-08', 7.5, NULL::numeric, 'days') AS as_text;
SELECT mf_predict(7.0, 107.0);

-- mf_topk: the best by the score before it is kept in range, ties by item, as
-- ORDER BY would have it; for every user, with and without what was seen
CREATE FUNCTION plain_topk(model text, mean float8, low float8, high float8, k integer, exclude boolean)
RETURNS TABLE (u text, place bigint, m text, score float8) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT u::text, place, m::text, least(greatest(score, %L), %L) FROM (
		SELECT u, m, score, row_number() OVER (PARTITION BY u ORDER BY score DESC, m) place
		FROM (SELECT u, m, %L::float8 + u.bias + i.bias - (u.factors <#> i.factors) score
			FROM %I u, %I i) s
		WHERE NOT %L OR NOT EXISTS (SELECT FROM %I r WHERE r.u = s.u AND r.m = s.m)) t
		WHERE place <= %s', low, high, mean, model || '_users', model || '_items', exclude, 'seen_' || model, k);
END $$;

SELECT count(*) AS rows, count(DISTINCT score) < count(*) AS ties FROM plain_topk('films', 3.5, 0.5, 5, 10, true);
SELECT * FROM plain_topk('films', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT u.u::text, t.place, t.item::text, t.score
FROM films_users u, mf_topk(u.u, 10) WITH ORDINALITY t(item, score, place);
SELECT * FROM plain_topk('films', 3.5, 0.5, 5, 7, false)
EXCEPT SELECT u.u::text, t.place, t.item::text, t.score
FROM films_users u, mf_topk(u.u, 7, 'films', false) WITH ORDINALITY t(item, score, place);
SELECT * FROM plain_topk('clicks', 0, '-inf', 'inf', 60, true)
EXCEPT SELECT u.u::text, t.place, t.item::text, t.score
FROM clicks_users u, mf_topk(u.u, 60, 'clicks') WITH ORDINALITY t(item, score, place);
SELECT * FROM plain_topk('small', 3.5, 0.5, 5, 1000000000, true)
EXCEPT SELECT u.u::text, t.place, t.item::text, t.score
FROM small_users u, mf_topk(u.u, 1000000000, 'small') WITH ORDINALITY t(item, score, place);
SELECT * FROM plain_topk('words', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT u.u, t.place, t.item, t.score
FROM words_users u, mf_topk(u.u, 10, 'words') WITH ORDINALITY t(item, score, place);
SELECT * FROM plain_topk('guids', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT u.u::text, t.place, t.item::text, t.score
FROM guids_users u, mf_topk(u.u, 10, 'guids') WITH ORDINALITY t(item, score, place);
SELECT * FROM plain_topk('mixed', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT u.u::text, t.place, t.item, t.score
FROM mixed_users u, mf_topk(u.u, 10, NULL::text, model => 'mixed') WITH ORDINALITY t(item, score, place);
SELECT * FROM plain_topk('mixed', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT u.u::text, t.place, t.item, t.score
FROM mixed_users u, mf_topk(u.u, 10, item_type => NULL::text, model => 'mixed') WITH ORDINALITY t(item, score, place);
SELECT * FROM plain_topk('days', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT u.u::text, t.place, t.item::text, t.score
FROM days_users u, mf_topk(u.u, 10, NULL::numeric, true, 'days') WITH ORDINALITY t(item, score, place);
SELECT * FROM plain_topk('chars', 3.5, 0.5, 5, 10, true)
EXCEPT SELECT u.u, t.place, t.item::char(10)::text, t.score
FROM chars_users u, mf_topk(u.u, 10, 'chars') WITH ORDINALITY t(item, score, place);
SELECT bool_and(t.score = mf_predict(u.u, t.item)) FROM films_users u, mf_topk(u.u, 60, NULL, false) t;

SELECT bool_and((SELECT count(*) FROM mf_topk(u.u, 100)) = 60 - (SELECT count(DISTINCT m) FROM seen_films s WHERE s.u = u.u))
FROM films_users u;

-- Forms of the call, and the types that come back
SELECT pg_typeof(item) FROM mf_topk(8, 1) UNION ALL SELECT pg_typeof(item) FROM mf_topk('8', 1)
UNION ALL SELECT pg_typeof(item) FROM mf_topk(8, 1, NULL::smallint)
UNION ALL SELECT pg_typeof(item) FROM mf_topk('00000000-0000-0000-0000-000000000008'::uuid, 1, 'guids')
UNION ALL SELECT pg_typeof(item) FROM mf_topk(8, 1, item_type => NULL::text);
SELECT count(*), array_agg(item) = (SELECT array_agg(item) FROM mf_topk(8, 10)) FROM mf_topk(8);
SELECT (SELECT array_agg(item) FROM mf_topk(8, 3)) AS expected \gset
SELECT array_agg(item) = :'expected' FROM mf_topk(8::smallint, 3::smallint);
SELECT array_agg(item::bigint) = :'expected' FROM mf_topk('8', '3');
SELECT array_agg(item) = :'expected' FROM mf_topk(8, '3');
SELECT array_agg(item) = :'expected' FROM mf_topk(8, 3, 'films', 'true');
SELECT array_agg(item) = :'expected' FROM mf_topk(8, 3, NULL);
SELECT array_agg(item) = :'expected' FROM mf_topk(user_id => 8, k => 3, exclude_seen => true);
SELECT array_agg(item) = :'expected' FROM mf_topk(8, 3, item_type => NULL::bigint, exclude_seen => true);
PREPARE untyped1 AS SELECT array_agg(item::bigint) = :'expected' FROM (SELECT * FROM mf_topk($1) LIMIT 3) t;
EXECUTE untyped1('8');
PREPARE untyped2 AS SELECT array_agg(item::bigint) = :'expected' FROM mf_topk($1, $2);
EXECUTE untyped2('8', '3');
PREPARE untyped3 AS SELECT array_agg(item::bigint) = :'expected' FROM mf_topk($1, $2, $3);
EXECUTE untyped3('8', '3', NULL);
PREPARE untyped4 AS SELECT array_agg(item::bigint) = :'expected' FROM mf_topk($1, $2, $3, $4);
EXECUTE untyped4('8', '3', 'films', 'true');
DEALLOCATE ALL;
SELECT mf_topk(8, 1) = (SELECT t FROM mf_topk(8, 1) t);
SELECT count(*) FROM films_users, mf_topk(u, 2) t JOIN films_items ON m = item;

-- No rows, and errors
SELECT * FROM mf_topk(8, 0);
SELECT * FROM mf_topk(0);
SELECT * FROM mf_topk(10000000000);
SELECT * FROM mf_topk(NULL::integer);
SELECT * FROM mf_topk(8, -1);
SELECT * FROM mf_topk(8, NULL::integer);
SELECT * FROM mf_topk(8, 3, 'films', NULL);
SELECT * FROM mf_topk(8, 3::bigint);
SELECT * FROM mf_topk(8, 3, 5);
SELECT * FROM mf_topk('user 1', 3);
SELECT * FROM mf_topk('00000000-0000-0000-0000-000000000007'::uuid, 1, 'mixed');
SELECT * FROM mf_topk(8, 1, NULL::smallint, model => 'small');
SELECT * FROM mf_topk(8, 1, 'no_such_model');

-- Seen is read live, in the snapshot of the query
BEGIN;
INSERT INTO seen_films SELECT 8, item FROM mf_topk(8, 3);
INSERT INTO seen_films VALUES (8, NULL), (NULL, 101), (8, 4711);
SELECT array_agg(item) && :'expected', count(*) FROM mf_topk(8, 60);
ROLLBACK;
WITH gone AS (DELETE FROM seen_films WHERE u = 8 RETURNING 1)
SELECT count(*) > 0, (SELECT count(*) FROM mf_topk(8, 60)) < 60 FROM gone;
SELECT count(*) FROM mf_topk(8, 60);

-- The source is gone, or has changed: a notice, and nothing excluded
BEGIN;
ALTER TABLE seen_films RENAME TO seen_elsewhere;
SELECT count(*) FROM mf_topk(8, 60);
SELECT count(*) FROM films_users u, mf_topk(u.u, 60);  -- one notice
SELECT count(*) FROM mf_topk(8, 60, NULL, false);
CREATE VIEW seen_films AS SELECT * FROM seen_elsewhere WHERE m < 110;
SELECT array_agg(item ORDER BY item) = (SELECT array_agg(m::bigint ORDER BY m) FROM films_items
	WHERE m NOT IN (SELECT m FROM seen_elsewhere WHERE u = 8 AND m < 110)) FROM mf_topk(8, 60);
ROLLBACK;
BEGIN;
ALTER TABLE seen_films RENAME m TO movie;
SELECT count(*) FROM mf_topk(8, 60);
ALTER TABLE seen_films RENAME movie TO m;
ALTER TABLE seen_films ALTER u TYPE text;
SELECT count(*) FROM mf_topk(8, 60);
ROLLBACK;

-- mf_similar_*: cosine similarity, itself left out, ties by id; a vector of
-- zeros is similar to nothing
INSERT INTO films_items VALUES (999, 0, '{0,0,0,0,0}', 1, 3);
SELECT * FROM (SELECT a.m, row_number() OVER (PARTITION BY a.m ORDER BY 1 - (a.factors <=> b.factors) DESC, b.m) place,
	b.m, 1 - (a.factors <=> b.factors) FROM films_items a, films_items b WHERE a.m <> b.m AND 999 NOT IN (a.m, b.m)) s
	WHERE place <= 15
EXCEPT SELECT i.m, t.place, t.item, t.similarity
FROM films_items i, mf_similar_items(i.m, 15) WITH ORDINALITY t(item, similarity, place);
SELECT count(*) FROM mf_similar_items(101, 100);
SELECT count(*) FROM mf_similar_items(999);
SELECT * FROM (SELECT a.u, row_number() OVER (PARTITION BY a.u ORDER BY 1 - (a.factors <=> b.factors) DESC, b.u) place,
	b.u, 1 - (a.factors <=> b.factors) FROM words_users a, words_users b WHERE a.u <> b.u) s
	WHERE place <= 15
EXCEPT SELECT i.u, t.place, t.user_id, t.similarity
FROM words_users i, mf_similar_users(i.u, 15, 'words') WITH ORDINALITY t(user_id, similarity, place);
SELECT count(*) FROM mf_similar_items(101) UNION ALL SELECT count(*) FROM mf_similar_items('101', 5)
UNION ALL SELECT count(*) FROM mf_similar_items(101::smallint, 5::smallint, 'films')
UNION ALL SELECT count(*) FROM mf_similar_items(1.5, 4, NULL::numeric, 'days')
UNION ALL SELECT count(*) FROM mf_similar_users(date '2000-01-08', 4, user_type => NULL::date, model => 'days')
UNION ALL SELECT count(*) FROM mf_similar_users('00000000-0000-0000-0000-000000000007'::uuid, 3, 'guids')
UNION ALL SELECT count(*) FROM mf_similar_users(7, 0) UNION ALL SELECT count(*) FROM mf_similar_users(-7)
UNION ALL SELECT count(*) FROM mf_similar_users(NULL::integer);
PREPARE untyped3 AS SELECT count(*) FROM mf_similar_items($1, $2, $3);
EXECUTE untyped3('101', '3', 'films');
DEALLOCATE ALL;
SELECT * FROM mf_similar_items(101, -1);
SELECT * FROM mf_similar_users(7, NULL);
SELECT * FROM mf_similar_users(7, 3, 7, 'films');
SELECT * FROM mf_similar_users(date '2000-01-08', 4, NULL::date, 'films');
SELECT * FROM mf_similar_items(101, 3, 101, 'films');
DELETE FROM films_items WHERE m = 999;

-- A table that somebody edited
BEGIN;
UPDATE films_items SET factors = '{1,2,3}' WHERE m = 105;
SELECT mf_predict(7, 104) IS NOT NULL AS unharmed;
SAVEPOINT s;
SELECT mf_predict(7, 105);
ROLLBACK TO s;
SELECT * FROM mf_topk(7);
ROLLBACK TO s;
UPDATE films_items SET factors = '{1,2,3,NULL,5}' WHERE m = 105;
SELECT mf_predict(7, 105);
ROLLBACK TO s;
UPDATE films_items SET factors = '{{1,2,3,4,5}}' WHERE m = 105;
SELECT mf_predict(7, 105);
ROLLBACK TO s;
UPDATE films_items SET factors = '{NaN,2,3,4,5}' WHERE m = 105;
SELECT mf_predict(7, 105);
SELECT count(*), bool_or(item = 105) FROM mf_topk(7, 100, NULL, false);
ROLLBACK;
BEGIN;
ALTER TABLE films_items ALTER bias DROP NOT NULL;
UPDATE films_items SET bias = NULL WHERE m = 105;
SAVEPOINT s;
SELECT mf_predict(7, 105);
ROLLBACK TO s;
SELECT * FROM mf_topk(7);
ROLLBACK;

-- One function call sees one state: the model changes between two statements
-- of a transaction, and in a loop whose expressions keep their state.
CREATE FUNCTION in_a_loop() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	before float8;
	now float8;
	i integer;
BEGIN
	FOR i IN 1..4 LOOP
		now := mf_predict(7, 105);
		RETURN NEXT coalesce((now - before)::numeric(10, 4)::text, 'first');
		before := now;
		IF i = 1 THEN
			UPDATE films_items SET bias = bias - 0.25 WHERE m = 105;
		ELSIF i = 2 THEN
			UPDATE mf_models SET mean = mean - 0.5 WHERE model = 'films' AND schema = 'mf_serve';
		ELSE
			BEGIN
				UPDATE films_users SET bias = bias + 1 WHERE u = 7;
				RETURN NEXT 'inside ' || (mf_predict(7, 105) - before)::numeric(10, 4);
				RAISE division_by_zero;
			EXCEPTION WHEN division_by_zero THEN NULL;
			END;
		END IF;
	END LOOP;
END $$;
BEGIN;
UPDATE films_users SET bias = 0 WHERE u = 7;
UPDATE films_items SET bias = 0, factors = '{0,0,0,0,0}' WHERE m = 105;
SELECT in_a_loop();
ROLLBACK;

-- Pairs in any order, with room for few rows: those kept, and those that are
-- found again where they lay. Ids of all kinds, longer ones than are kept too.
SELECT make_model('long', 'text', 'repeat(''user '', 20) || i', 'numeric', '100 + i / 10.0');
CREATE FUNCTION shuffled(model text, passes integer) RETURNS TABLE (u text, m text, score float8) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT u.u::text, i.m::text, least(greatest(3.5::float8 + u.bias + i.bias - (u.factors <#> i.factors), 0.5), 5)
		FROM %I u, %I i, generate_series(1, %s) n ORDER BY hashtext(u.u::text || i.m::text || n)', model || '_users', model || '_items', passes);
END $$;
SET work_mem = '64kB';
SELECT model, (SELECT count(*) FILTER (WHERE mf_predict(u, m, model) = score) || ' of ' || count(*) FROM shuffled(model, 8)) AS same
FROM unnest('{films,small,words,guids,mixed,days,chars,long}'::text[]) model;
-- 300 users and items: the index is asked less often than once a pair
SELECT make_model('many', 'integer', 'i', 'bigint', 'i', f => 9);
INSERT INTO many_users SELECT i, cos(i) / 2, (SELECT array_agg(sin(i * k)::real ORDER BY k) FROM generate_series(1, 9) k), 1, 3 FROM generate_series(41, 300) i;
INSERT INTO many_items SELECT i, sin(i) / 2, (SELECT array_agg(cos(i * k)::real ORDER BY k) FROM generate_series(1, 9) k), 1, 3 FROM generate_series(61, 300) i;
UPDATE mf_models SET users = 300, items = 300 WHERE schema = 'mf_serve' AND model = 'many';
CREATE TABLE many_pairs AS SELECT u::integer, m::bigint, score FROM shuffled('many', 1);
BEGIN;
SELECT count(*) AS pairs, bool_and(mf_predict(u, m, 'many') = score) AS same FROM many_pairs;
SELECT pg_stat_get_xact_numscans('many_users_pkey'::regclass) BETWEEN 300 AND 2000 AS few_for_users,
	pg_stat_get_xact_numscans('many_items_pkey'::regclass) BETWEEN 300 AND 2000 AS few_for_items;
ROLLBACK;
-- A cursor goes on to see the rows of its snapshot, wherever they lie.
BEGIN;
DECLARE c CURSOR FOR SELECT mf_predict(u, m, 'many') = score FROM many_pairs;
MOVE 30000 IN c;
UPDATE many_items SET bias = bias + 1, factors = array_append(factors[2:], 0::real);
DELETE FROM many_users WHERE u % 2 = 0;
UPDATE many_items SET bias = bias + 1;
INSERT INTO many_users SELECT u + 1000, bias, factors, 1, 1 FROM many_users;
SELECT count(*) FROM many_items WHERE bias > 1;
CREATE TABLE fetched (same boolean);
CREATE FUNCTION fetch_all(c refcursor) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	b boolean;
BEGIN
	LOOP
		FETCH c INTO b;
		EXIT WHEN NOT FOUND;
		INSERT INTO fetched VALUES (b);
	END LOOP;
END $$;
SELECT fetch_all('c');
SELECT count(*), bool_and(same) FROM fetched;
SELECT count(mf_predict(u, m, 'many')), bool_or(mf_predict(u, m, 'many') = score) FROM many_pairs WHERE score BETWEEN 1 AND 4.4;
ROLLBACK;
RESET work_mem;

-- Privileges: of the table or of the columns that are read
CREATE ROLE regress_mf_reader;
GRANT USAGE ON SCHEMA mf_serve TO regress_mf_reader;
SET ROLE regress_mf_reader;
SELECT mf_predict(7, 105);
SELECT * FROM mf_topk(8, 1);
RESET ROLE;
GRANT SELECT (u, bias, factors) ON films_users TO regress_mf_reader;
GRANT SELECT (m, bias) ON films_items TO regress_mf_reader;
SET ROLE regress_mf_reader;
SELECT mf_predict(7, 105);
RESET ROLE;
GRANT SELECT (factors) ON films_items TO regress_mf_reader;
SELECT mf_predict(7, 105) AS expected \gset
SET ROLE regress_mf_reader;
SELECT mf_predict(7, 105) = :expected;
SELECT * FROM mf_topk(8, 1);
SELECT count(*) FROM mf_topk(7, 60, exclude_seen => false);
SELECT count(*) FROM mf_similar_items(105), mf_similar_users(7);
RESET ROLE;
GRANT SELECT (u, m) ON seen_films TO regress_mf_reader;
SET ROLE regress_mf_reader;
SELECT count(*) FROM mf_topk(8, 60);
RESET ROLE;

-- Row security: the caller sees what the policies let through
ALTER TABLE films_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE seen_films ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON films_items TO regress_mf_reader USING (m % 2 = 1);
SET ROLE regress_mf_reader;
SELECT mf_predict(7, 105) = :expected, mf_predict(7, 106);
SELECT count(*), bool_and(item % 2 = 1) FROM mf_topk(8, 60);
SELECT count(*) FROM mf_similar_items(105, 60);
SELECT count(*) FROM mf_similar_items(106, 60);
SET row_security = off;
SELECT mf_predict(7, 105);
RESET row_security;
RESET ROLE;
SELECT mf_predict(7, 106) IS NOT NULL AS not_for_the_owner;

-- As an argument of everything: aggregates, parallel workers, cursors
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
ALTER TABLE films_users SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT sum(mf_predict(u, 105)) FROM films_users;
SELECT close_to(sum(mf_predict(u, 105)), (SELECT sum(p) FROM (SELECT mf_predict(u, 105) p FROM films_users OFFSET 0) s))
FROM films_users;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT mf_predict(7, m) = :expected FROM films_items WHERE m = 105 OR m = 104 ORDER BY m DESC;
FETCH c;
SAVEPOINT s;
UPDATE films_items SET bias = 0;
FETCH c;
ROLLBACK TO s;
FETCH BACKWARD c;
ROLLBACK;
-- The planner expects ten rows, and knows that they cost more than a prediction.
SELECT DISTINCT prorows, provolatile FROM pg_proc WHERE proname IN ('mf_topk', 'mf_similar_items', 'mf_similar_users');

-- Every object of the extension has a comment, and so has every column.
SELECT pg_describe_object(classid, objid, 0) AS without_comment
FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'factor')
	AND obj_description(objid, classid::regclass::name) IS NULL
	-- Row types of tables and array types have those of the others.
	AND NOT (classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
		WHERE t.oid = objid AND (t.typcategory = 'A' OR c.relkind = 'r')))
UNION ALL
SELECT pg_describe_object('pg_class'::regclass, attrelid, attnum)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	JOIN pg_depend d ON (d.classid, d.objid) IN (('pg_class'::regclass, c.oid), ('pg_type'::regclass, c.reltype))
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'factor')
	AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL
ORDER BY 1;

SET client_min_messages = warning;
DELETE FROM mf_models WHERE schema = 'mf_serve';
DROP SCHEMA mf_serve CASCADE;
DROP OWNED BY regress_mf_reader;
DROP ROLE regress_mf_reader;

-- What a query keeps of the rows it has read stays within work_mem, also where
-- the first rows that it looked for are not there.
CREATE TABLE wide AS
SELECT u AS user_id, 1 + u % 7 AS item_id, (1 + u % 5)::real AS rating FROM generate_series(1, 3000) u;
SELECT users, items FROM mf_train('wide', factors => 200, iterations => 1, verbose => false, options => '{"index": false}');
CREATE FUNCTION kept() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	RETURN (SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'factor open model');
END $$;
SET work_mem = '1MB';
SELECT count(mf_predict(u, 1, 'wide')) AS predicted, max(kept()) FILTER (WHERE u = 3000) < 1024 * 1024 AS within
FROM (SELECT CASE WHEN g <= 50 THEN -g ELSE g END AS u FROM generate_series(1, 3000) g) AS asked;
RESET work_mem;
DROP FUNCTION kept;
SELECT mf_drop('wide');
DROP TABLE wide;

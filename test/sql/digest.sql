--
-- What has changed since a training is found by digests: whatever a user's or an
-- item's ratings were replaced by, and nothing else
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA digests;
SET search_path = digests, public;
SELECT setseed(0.5);

-- One item replaced by another, up here and down there: counts and sums stay
CREATE TABLE likes AS SELECT u AS user_id, i AS item_id
FROM generate_series(1, 60) u, generate_series(1, 30) i WHERE abs(hashint4(u * 31 + i)) % 5 = 0 AND (u + i) % 2 = 0;
SELECT 1 FROM mf_train('likes', rating_col => NULL, model => 'likes', feedback => 'implicit', factors => 4, verbose => false);
CREATE TABLE stars AS SELECT user_id, item_id, 1 + (user_id * item_id) % 4 AS rating FROM likes;
SELECT 1 FROM mf_train('stars', model => 'stars', factors => 4, verbose => false);
CREATE TABLE before AS SELECT factors FROM likes_users WHERE user_id = 2;
UPDATE likes SET item_id = item_id % 30 + 1 WHERE user_id = 2;
SELECT users, items FROM mf_refresh('likes');
SELECT factors <=> (SELECT factors FROM before) > 0.1 AS moved FROM likes_users WHERE user_id = 2;
SELECT users, items FROM mf_refresh('likes');
UPDATE stars SET rating = rating + CASE item_id WHEN (SELECT min(item_id) FROM stars WHERE user_id = 4) THEN 1
	WHEN (SELECT max(item_id) FROM stars WHERE user_id = 4) THEN -1 ELSE 0 END WHERE user_id = 4;
SELECT users, items FROM mf_refresh('stars');
-- A row that is there twice, and twice again: an exclusive or would see nothing
INSERT INTO stars SELECT * FROM stars WHERE user_id = 6;
SELECT users FROM mf_refresh('stars');
INSERT INTO stars SELECT * FROM stars WHERE user_id = 6;
SELECT users FROM mf_refresh('stars');
SELECT users, items FROM mf_refresh('stars');
-- Minus zero is zero
CREATE TABLE zeros AS SELECT user_id, item_id, CASE WHEN rating = 2 THEN 0 ELSE rating END::float8 AS rating FROM stars;
SELECT 1 FROM mf_train('zeros', model => 'zeros', factors => 2, verbose => false);
UPDATE zeros SET rating = '-0' WHERE rating = 0;
SELECT users, items FROM mf_refresh('zeros');

-- The same from SQL, for ids and ratings of any type
CREATE FUNCTION digests(model text, ratings text, user_col text, item_col text) RETURNS TABLE (users text, items text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
		SELECT (SELECT format('%%s of %%s', count(*) FILTER (WHERE m.digest = s.d), count(*)) FROM %1$I m
				FULL JOIN (SELECT %4$I id, mf_digest(%5$I, rating::float8) d FROM %3$I GROUP BY 1) s ON m.%4$I = s.id),
			(SELECT format('%%s of %%s', count(*) FILTER (WHERE m.digest = s.d), count(*)) FROM %2$I m
				FULL JOIN (SELECT %5$I id, mf_digest(%4$I, rating::float8) d FROM %3$I GROUP BY 1) s ON m.%5$I = s.id)
		$q$, model || '_users', model || '_items', ratings, user_col, item_col);
END $$;
SELECT * FROM digests('stars', 'stars', 'user_id', 'item_id');
CREATE TABLE types (n int, users text, items text, rating text);
INSERT INTO types VALUES (1, 'u', '''item '' || i', 'rating'), (2, 'u::bigint', 'i::smallint', 'rating::numeric'),
	(3, '(''00000000-0000-0000-0000-'' || lpad(u::text, 12, ''0''))::uuid', 'date ''2024-01-01'' + i', 'rating + 0.1'),
	(4, '(''u'' || u)::char(9)', '(i || ''.50'')::numeric', '(rating / 3.0)::real'),
	(5, 'inet ''10.0.0.0'' + u', 'timestamptz ''2024-01-01 00:00+00'' + i * interval ''1 hour''', 'rating * 1e10');
DO $$
DECLARE
	t types;
BEGIN
	FOR t IN SELECT * FROM types LOOP
		EXECUTE format('CREATE TABLE typed%s AS SELECT %s AS user_id, %s AS item_id, %s AS rating FROM (SELECT user_id u, item_id i, rating FROM stars) s',
			t.n, t.users, t.items, t.rating);
		PERFORM mf_train(format('typed%s', t.n)::regclass, model => 'typed' || t.n, factors => 2, iterations => 2, verbose => false, options => '{"index": false}');
	END LOOP;
END $$;
SET timezone = 'Asia/Tokyo';
SET datestyle = 'German';
SELECT n, d.* FROM types, digests('typed' || n, 'typed' || n, 'user_id', 'item_id') d ORDER BY n;
SELECT n, r.users, r.items FROM types, mf_refresh('typed' || n) r ORDER BY n;
RESET timezone;
RESET datestyle;
SELECT mf_digest(1, 2) = mf_digest('1'::text, 2) AS one_text, mf_digest(NULL::int, 1) AS of_null, mf_digest(1, NULL) AS of_no_rating FROM generate_series(1, 3);

-- Changes at random: those whose ratings are others are found, and no others
CREATE TABLE many AS SELECT u AS user_id, i AS item_id, 1 + abs(hashint4(u * 1000 + i)) % 5 AS rating
FROM generate_series(1, 300) u, generate_series(1, 80) i WHERE abs(hashint4(u * 7919 + i)) % 4 = 0;
SELECT 1 FROM mf_train('many', model => 'many', factors => 3, iterations => 2, verbose => false, options => '{"index": false}');
CREATE FUNCTION contents() RETURNS TABLE (side text, id int, contents text) LANGUAGE sql AS $$
	SELECT 'user', user_id, string_agg(item_id || ':' || rating, ',' ORDER BY item_id, rating) FROM many GROUP BY 2
	UNION ALL SELECT 'item', item_id, string_agg(user_id || ':' || rating, ',' ORDER BY user_id, rating) FROM many GROUP BY 2 $$;
CREATE FUNCTION try(kind int, n int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	expected bigint[];
	found bigint[];
BEGIN
	CREATE TEMP TABLE was ON COMMIT DROP AS SELECT * FROM contents();
	CASE kind
		WHEN 1 THEN UPDATE many SET item_id = 1 + (item_id + (random() * 3)::int) % 80 WHERE user_id = n;
		WHEN 2 THEN UPDATE many SET rating = 6 - rating WHERE user_id IN (n, n + 1) AND item_id < 40;
		WHEN 3 THEN DELETE FROM many WHERE user_id = n;
		WHEN 4 THEN INSERT INTO many SELECT 1000 + n, i, i % 5 + 1 FROM generate_series(1, 10) i;
		WHEN 5 THEN UPDATE many SET user_id = CASE user_id WHEN n THEN n + 1 ELSE n END WHERE user_id IN (n, n + 1);
		WHEN 6 THEN UPDATE many SET item_id = CASE item_id WHEN 7 THEN 8 ELSE 7 END WHERE item_id IN (7, 8) AND user_id < n;
		WHEN 7 THEN INSERT INTO many SELECT * FROM many WHERE user_id = n AND item_id < 20;
		WHEN 8 THEN UPDATE many SET rating = rating;
	END CASE;
	SELECT ARRAY[count(*) FILTER (WHERE side = 'user' AND c.id IS NOT NULL), count(*) FILTER (WHERE side = 'item' AND c.id IS NOT NULL),
			count(*) FILTER (WHERE side = 'user' AND c.id IS NULL), count(*) FILTER (WHERE side = 'item' AND c.id IS NULL)] INTO expected
	FROM was w FULL JOIN contents() c USING (side, id) WHERE w.contents IS DISTINCT FROM c.contents;
	SELECT ARRAY[users, items, gone_users, gone_items] INTO found FROM mf_refresh('many');
	DROP TABLE was;
	IF found <> expected THEN RAISE WARNING 'kind %, %: % found of %', kind, n, found, expected; END IF;
	RETURN found = expected AND (SELECT d.users = m.users || ' of ' || m.users AND d.items = m.items || ' of ' || m.items
		FROM digests('many', 'many', 'user_id', 'item_id') d, mf_models m WHERE m.model = 'many' AND m.schema = 'digests');
END $$;
SELECT kind, count(*), bool_and(try(kind, n * 17)) AS right FROM generate_series(1, 8) kind, generate_series(1, 4) n GROUP BY 1 ORDER BY 1;
-- ... from files too, and in a training
INSERT INTO many SELECT user_id + 2000, item_id, rating FROM many, generate_series(1, 20);
SET maintenance_work_mem = '1MB';
SELECT users, new_users FROM mf_refresh('many');
SELECT try(2, 50), try(5, 60);
SELECT 1 FROM mf_train('many', model => 'many', factors => 3, iterations => 2, verbose => false, options => '{"index": false}');
SELECT d.users = m.users || ' of ' || m.users AS users, d.items = m.items || ' of ' || m.items AS items
FROM digests('many', 'many', 'user_id', 'item_id') d, mf_models m WHERE m.model = 'many' AND m.schema = 'digests';
SELECT users, items FROM mf_refresh('many');
RESET maintenance_work_mem;
SELECT users, items FROM mf_refresh('many');

-- Where training chose among the pairs, others decide about one's own
CREATE TABLE chosen AS SELECT user_id, item_id, rating FROM stars;
INSERT INTO chosen VALUES (1, 900, 3), (3, 900, 2);
SELECT 1 FROM mf_train('chosen', model => 'chosen', factors => 2, verbose => false, options => '{"min_item_ratings": 3}');
SELECT users, items, new_items FROM mf_refresh('chosen');
INSERT INTO chosen VALUES (5, 900, 4);
SELECT users, items, new_items FROM mf_refresh('chosen');
UPDATE chosen SET item_id = 901 WHERE user_id = 5 AND item_id = 900;
SELECT users, items, gone_items FROM mf_refresh('chosen');
INSERT INTO chosen VALUES (7, 902, 1);
SELECT users, items FROM mf_refresh('chosen');
SELECT 1 FROM mf_train('stars', model => 'held', factors => 2, holdout => 0.3, verbose => false);
SELECT users, items FROM mf_refresh('held');
SELECT count(*) > 0 AS not_of_all FROM held_users m JOIN (SELECT user_id, mf_digest(item_id, rating) d FROM stars GROUP BY 1) s USING (user_id) WHERE m.digest <> s.d;

-- Over shards: mf_refresh finds nothing after a training there
CREATE TABLE item_copy (item_id int, bias real, factors real[]);
CREATE TABLE user_copy (user_id int, bias real, factors real[]);
CREATE VIEW by_user AS SELECT user_id, item_id, rating, bias, factors FROM stars LEFT JOIN item_copy USING (item_id);
CREATE VIEW by_item AS SELECT user_id, item_id, rating, bias, factors FROM stars LEFT JOIN user_copy USING (user_id);
SELECT 1 FROM mf_train_sharded('by_user', 'by_item', '{user_copy}'::regclass[], '{item_copy}'::regclass[],
	model => 'shards', factors => 3, iterations => 2, verbose => false);
SELECT * FROM digests('shards', 'stars', 'user_id', 'item_id');
SELECT users, items FROM mf_refresh('shards');

-- Tables without digests are none of a model
ALTER TABLE likes_users RENAME digest TO other;
\set VERBOSITY default
SELECT mf_refresh('likes');
\set VERBOSITY terse
CREATE VIEW badly AS SELECT user_id AS digest, item_id FROM likes;
SELECT mf_train('badly', 'digest', rating_col => NULL);

DELETE FROM mf_history WHERE schema = 'digests';
DELETE FROM mf_models WHERE schema = 'digests';
DROP SCHEMA digests CASCADE;

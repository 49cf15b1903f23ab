-- What training reads: kinds of relations, columns, types of ids and ratings,
-- NULLs, repeated pairs, and values that it refuses.
SET client_min_messages = warning;
CREATE SCHEMA input;
SET search_path = input, public;
\set VERBOSITY default
\set SHOW_CONTEXT never

CREATE TABLE stars AS
SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
FROM generate_series(1, 20) u, generate_series(1, 15) i WHERE (u + i) % 3 > 0;

-- Relations that hold no ratings.
CREATE SEQUENCE counter;
SELECT mf_train('counter');
CREATE INDEX stars_user ON stars (user_id);
SELECT mf_train('stars_user');
CREATE TYPE shape AS (user_id int, item_id int, rating real);
SELECT mf_train('shape');
SELECT mf_train(4000000000::oid::regclass);
SELECT mf_train('nowhere');
CREATE TABLE nothing (LIKE stars);
SELECT mf_train('nothing');
INSERT INTO nothing VALUES (NULL, 1, 1), (1, NULL, 1), (1, 1, NULL);
SELECT mf_train('nothing');

-- Columns.
SELECT mf_train('stars', 'userid');
SELECT mf_train('stars', item_col => 'ctid');
SELECT mf_train('stars', rating_col => 'Rating');
SELECT mf_train('stars', 'user_id', 'user_id');
SELECT mf_train('stars', 'user_id', 'item_id', 'item_id');
CREATE TABLE dropped AS SELECT *, 1 AS gone FROM stars;
ALTER TABLE dropped DROP COLUMN gone;
SELECT mf_train('dropped', rating_col => 'gone');
CREATE TABLE odd (place point, doc json, stars text, liked boolean, user_id int, item_id int, since interval);
SELECT mf_train('odd', 'place', 'item_id', NULL);
SELECT mf_train('odd', 'user_id', 'doc', NULL);
SELECT mf_train('odd', rating_col => 'stars');
SELECT mf_train('odd', rating_col => 'liked');
SELECT mf_train('odd', rating_col => 'since');

-- Values that are refused, of each type that can hold them.
CREATE TABLE bad (user_id text, item_id int, r4 real, r8 double precision, rn numeric, ri int);
INSERT INTO bad VALUES ('ann', 1, 1, 1, 1, 1), ('ann', 2, 2, 2, 2, 2), ('bob "b"', 1, 3, 3, 3, 3);
INSERT INTO bad VALUES ('eve', 7, 'NaN', 'NaN', 'NaN', -1);
SELECT mf_train('bad', rating_col => 'r4');
SELECT mf_train('bad', rating_col => 'r8');
SELECT mf_train('bad', rating_col => 'rn');
SELECT mf_train('bad', rating_col => 'ri', feedback => 'implicit');
UPDATE bad SET r4 = '-infinity', r8 = 'infinity', rn = '-infinity' WHERE user_id = 'eve';
SELECT mf_train('bad', rating_col => 'r4');
SELECT mf_train('bad', rating_col => 'r8');
SELECT mf_train('bad', rating_col => 'rn');
UPDATE bad SET user_id = repeat('long', 50), r8 = 1e300, rn = -1e50, r4 = -1e-40 WHERE user_id = 'eve';
SELECT mf_train('bad', rating_col => 'r8');
SELECT mf_train('bad', rating_col => 'rn');
SELECT mf_train('bad', rating_col => 'r4', feedback => 'implicit');
-- the sum of a pair, rather than any of its values
UPDATE bad SET item_id = 1, r4 = 3e38 WHERE user_id <> 'ann';
INSERT INTO bad SELECT * FROM bad WHERE r4 > 1e38;
SELECT mf_train('bad', rating_col => 'r4', feedback => 'implicit');
-- no model came of any of it
SELECT count(*) FROM mf_models WHERE schema = 'input';

-- NULLs are skipped and counted.
CREATE TABLE holes AS SELECT * FROM stars;
INSERT INTO holes VALUES (NULL, 1, 1), (1, NULL, 1), (1, 1, NULL), (NULL, NULL, NULL), (99, 1, NULL);
SET client_min_messages = notice;
SELECT users, items, ratings FROM mf_train('holes', factors => 2, verbose => false);
SET client_min_messages = warning;
SELECT ratings, skipped FROM mf_models WHERE schema = 'input' AND model = 'holes';

-- What a model must say of the ratings, by plain SQL; the ids' order and the
-- values of repeated pairs show in ratings and rating_sum.
CREATE FUNCTION check_model(source text, rating text, merge text,
	OUT users bigint, OUT items bigint, OUT ratings bigint, OUT differing bigint)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($q$
		CREATE TEMP TABLE pairs AS
			SELECT user_id, item_id, %s(%s)::real AS value FROM %s
			WHERE user_id IS NOT NULL AND item_id IS NOT NULL AND %s IS NOT NULL
			GROUP BY user_id, item_id$q$, merge, rating, source, rating);
	SELECT count(DISTINCT user_id), count(DISTINCT item_id), count(*) INTO users, items, ratings FROM pairs;
	EXECUTE format($q$
		SELECT count(*) FROM (
			SELECT 1 FROM (SELECT user_id, count(*) AS n, sum(value::float8) AS total FROM pairs GROUP BY 1) want
				FULL JOIN %1$I m USING (user_id)
				WHERE n IS DISTINCT FROM m.ratings
					OR abs(total - m.rating_sum) > 1e-6 * abs(total) OR m.rating_sum IS NULL
			UNION ALL
			SELECT 1 FROM (SELECT item_id, count(*) AS n, sum(value::float8) AS total FROM pairs GROUP BY 1) want
				FULL JOIN %2$I m USING (item_id)
				WHERE n IS DISTINCT FROM m.ratings
					OR abs(total - m.rating_sum) > 1e-6 * abs(total) OR m.rating_sum IS NULL) d$q$,
		'input_users', 'input_items') INTO differing;
	DROP TABLE pairs;
END $$;

CREATE FUNCTION try(source text, feedback text DEFAULT 'explicit', rating_col name DEFAULT 'rating',
	OUT users bigint, OUT items bigint, OUT ratings bigint, OUT differing bigint)
LANGUAGE plpgsql AS $$
DECLARE
	t record;
BEGIN
	SELECT * INTO t FROM mf_train(source::regclass, rating_col => rating_col, model => 'input',
		feedback => feedback, factors => 2, iterations => 1, verbose => false);
	SELECT * INTO users, items, ratings, differing
		FROM check_model(source, coalesce(rating_col, '1'), CASE feedback WHEN 'implicit' THEN 'sum' ELSE 'avg' END);
	IF (users, items, ratings) IS DISTINCT FROM (t.users, t.items, t.ratings) THEN
		RAISE EXCEPTION 'mf_train counted %, not % % %', t, users, items, ratings;
	END IF;
	PERFORM mf_drop('input');
END $$;

SELECT * FROM try('holes');

-- Repeated pairs: the mean, or the sum.
CREATE TABLE repeated AS
	SELECT n * n % 101 AS user_id, n % 37 AS item_id, (n % 7)::real / 2 AS rating FROM generate_series(1, 20000) n;
SELECT * FROM try('repeated');
SELECT * FROM try('repeated', 'implicit');
SELECT * FROM try('repeated', 'implicit', NULL);

-- Kinds of relations.
CREATE VIEW seen AS SELECT * FROM stars WHERE user_id > 10;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM stars WHERE user_id > 5;
CREATE TABLE parted (LIKE stars) PARTITION BY LIST (item_id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1, 2, 3);
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
INSERT INTO parted SELECT * FROM stars;
CREATE TABLE parent (LIKE stars);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent SELECT * FROM stars WHERE user_id <= 10;
INSERT INTO child SELECT * FROM stars WHERE user_id > 10;
SELECT * FROM try('seen');
SELECT * FROM try('kept');
SELECT * FROM try('parted');
SELECT * FROM try('parent');
-- rows of this transaction count
BEGIN;
INSERT INTO stars VALUES (21, 16, 3);
SELECT * FROM try('stars');
ROLLBACK;
-- names that need quotes
CREATE TABLE "Odd ""T" ("select" int, "I d" int, "r'" int);
INSERT INTO "Odd ""T" SELECT user_id, item_id, rating FROM stars;
SELECT users, items, ratings FROM mf_train('"Odd ""T"', 'select', 'I d', 'r''', model => 'quoted', factors => 2, verbose => false);
SELECT mf_drop('quoted');

-- Types: passed by value, by reference, hashed by their own functions, or
-- ordered alone; equal ids that look unlike; domains.
CREATE DOMAIN mark AS numeric(3,1) CHECK (value > 0);
CREATE DOMAIN login AS text;
CREATE TYPE level AS ENUM ('low', 'high', 'beyond');
CREATE FUNCTION try_types(user_expr text, item_expr text, rating_expr text DEFAULT 'rating',
	OUT users bigint, OUT items bigint, OUT ratings bigint, OUT differing bigint)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TEMP TABLE typed AS SELECT %s AS user_id, %s AS item_id, %s AS rating FROM repeated',
		user_expr, item_expr, rating_expr);
	SELECT * INTO users, items, ratings, differing FROM try('typed');
	DROP TABLE typed;
END $$;
SELECT * FROM try_types('(user_id - 50)::smallint', '(item_id - 20) * 10000000000', 'rating::numeric');
SELECT * FROM try_types('''u'' || user_id', 'md5(item_id::text)::uuid', '(rating * 2)::smallint');
SELECT * FROM try_types('repeat(''u'' || user_id, 2000)', '(''n'' || item_id)::name', 'rating::double precision');
SELECT * FROM try_types('(user_id::text || CASE WHEN rating > 1 THEN ''.0'' ELSE ''.00'' END)::numeric',
	'CASE WHEN rating > 1 THEN make_interval(months => item_id) ELSE make_interval(days => 30 * item_id) END',
	'(rating + 0.5)::mark');
SELECT * FROM try_types('to_tsvector(''simple'', ''w'' || user_id)', 'item_id::bit(8)::bit varying', '(rating * 2)::bigint');
SELECT * FROM try_types('(''u'' || user_id)::login', '(ARRAY[''beyond'', ''low'', ''high''])[1 + item_id % 3]::level', '(rating * 2)::int');
SELECT * FROM try_types('date ''2000-01-01'' + user_id', 'timestamptz ''2000-01-01 00:00+00'' + item_id * interval ''1 hour''');
SELECT * FROM try_types('ARRAY[user_id, 1]', 'CASE WHEN item_id = 0 AND rating > 1 THEN ''-0'' ELSE item_id::double precision END');

-- A domain's base type becomes the key's type.
CREATE TABLE logins AS SELECT ('u' || user_id)::login AS user_id, item_id, rating FROM stars;
SELECT model FROM mf_train('logins', factors => 2, verbose => false);
SELECT format_type(atttypid, atttypmod) FROM pg_attribute
	WHERE attrelid = 'logins_users'::regclass AND attname = 'user_id';

-- More ratings than fit in memory.
SET maintenance_work_mem = '1MB';
CREATE TABLE many AS
	SELECT (n * 7919::bigint) % 3001 AS user_id, 'i' || (n % 89) * (n % 97) AS item_id, (n % 9)::real AS rating
	FROM generate_series(1, 100000) n;
SELECT * FROM try('many');
SELECT * FROM try('many', 'implicit');

DROP SCHEMA input CASCADE;

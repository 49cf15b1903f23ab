-- What a message says of mistakes that are easily made, and what it proposes.
SET client_min_messages = warning;
CREATE SCHEMA messages;
SET search_path = messages, public;
CREATE TABLE r AS SELECT u AS user_id, i AS item_id, 1 + (u * i) % 5 AS rating
FROM generate_series(1, 20) u, generate_series(1, 15) i WHERE (u + i) % 3 > 0;
SELECT users FROM mf_train('r', model => 'm', factors => 3, verbose => false);

-- ids of a type that takes the form with a witness, and the model in its place
SELECT * FROM mf_topk(1.0, 3, 'm');
SELECT * FROM mf_topk(1::double precision, 3, 'm');
SELECT * FROM mf_topk(1.0, 3, item_type => NULL::bigint, model => 'm') LIMIT 0;
SELECT * FROM mf_topk(1, 3, item_type => 5, model => 'm');
SELECT * FROM mf_map(NULL::text, 'm');
SELECT count(*) FROM mf_map(id_type => NULL::text, model => 'm');

-- models whose names need quotes
SELECT users FROM mf_train('r', model => '"my films"', factors => 3, verbose => false, options => '{"index": false}');
SELECT users FROM mf_train('r', model => '"Mixed"', factors => 3, verbose => false, options => '{"index": false}');
SELECT * FROM mf_topk(1, 3, 'my films');
SELECT * FROM mf_topk(1, 3, 'Mixed');
SELECT * FROM mf_topk(1, 3, 'messages.Mixed');
SELECT * FROM mf_topk(1, 3, 'messages.my films');
SELECT mf_drop('Mixed');
SELECT mf_default('my films');
SELECT * FROM mf_refresh('Mixed');
SELECT users FROM mf_train('r', model => 'my films');
SELECT * FROM mf_topk(1, 3, 'mixed');
SELECT * FROM mf_topk(1, 3, 'Other');
SELECT * FROM mf_topk(1, 3, 'a.b.c');
SELECT * FROM mf_topk(1, 3, '');
SELECT count(*) FROM mf_topk(1, 3, '"my films"') a, mf_topk(1, 3, '"Mixed"') b;
SET factor.model = 'Mixed';
SELECT * FROM mf_topk(1, 3);
RESET factor.model;

-- columns
CREATE TABLE views (customer uuid, movie text, title text, stars int, weight real, seen_at timestamptz, liked boolean);
SELECT mf_train('views');
SELECT mf_train('views', 'customer');
SELECT mf_train('views', 'customer', 'movie');
SELECT mf_train('views', 'customer', 'movie', 'stars', time_col => 'created', options => jsonb_build_object('since', now()));
SELECT mf_train('views', 'customers', 'movie', 'stars');
SELECT mf_train('views', 'Customer', 'Movie', 'Stars');
CREATE TABLE letters (a int, b int, c int, d text);
SELECT mf_train('letters');
SELECT mf_train('letters', 'a', 'b');
CREATE TABLE pairs (user_id int, item_id int);
SELECT mf_train('pairs');
CREATE TABLE wide AS SELECT 1 AS user_id, 1 AS c1, 2 AS c2, 3 AS c3, 4 AS c4, 5 AS c5, 6 AS c6, 7 AS c7, 8 AS c8, 9 AS c9, 10 AS c10, 11 AS c11;
SELECT mf_train('wide');
SELECT users FROM mf_train('r', model => 'renamed', factors => 3, verbose => false, options => '{"index": false}');
ALTER TABLE r RENAME rating TO stars;
SELECT mf_refresh('renamed');
SELECT mf_retrain('renamed');
ALTER TABLE r RENAME stars TO rating;

-- ratings that single precision does not tell apart, and such as get lost in it
SET client_min_messages = notice;
CREATE TABLE cents AS SELECT user_id, item_id, 1700000000 + rating AS rating FROM r;
CREATE INDEX ON cents (user_id);
SELECT users FROM mf_train('cents', factors => 3, verbose => false, options => '{"index": false}');
CREATE TABLE counts AS SELECT user_id, item_id, rating * 10000001 AS rating FROM r;
SELECT users FROM mf_train('counts', factors => 3, verbose => false, options => '{"index": false}');
CREATE TABLE same AS SELECT user_id, item_id, 1700000001 AS rating FROM r;
SELECT users FROM mf_train('same', factors => 3, verbose => false, options => '{"index": false}');
SET client_min_messages = warning;
CREATE TABLE tiny AS SELECT u AS user_id, i AS item_id, (1 + (u * i) % 3) * 1e-18::float8 AS rating
FROM generate_series(1, 20) u, generate_series(1, 20) i WHERE (u + i) % 3 > 0;
SELECT users FROM mf_train('tiny', verbose => false);
SELECT users FROM mf_train('r', model => 'unregularized', factors => 20, regularization => 0, verbose => false, options => '{"bias_regularization": 0}');

-- a column's type or name that changes: the model's tables can follow it
ALTER TABLE r ALTER user_id TYPE bigint;
SELECT users FROM mf_train('r', model => 'm', factors => 3, verbose => false);
ALTER TABLE m_users ALTER user_id TYPE bigint;
SELECT users FROM mf_train('r', model => 'm', factors => 3, verbose => false);
ALTER TABLE r RENAME item_id TO movie_id;
SELECT users FROM mf_train('r', item_col => 'movie_id', model => 'm', factors => 3, verbose => false);
ALTER TABLE m_items RENAME item_id TO movie_id;
SELECT users FROM mf_train('r', item_col => 'movie_id', model => 'm', factors => 3, verbose => false);
ALTER TABLE r RENAME movie_id TO item_id;
CREATE TABLE by_name AS SELECT user_id::text AS user_id, item_id, rating FROM r;
SELECT users FROM mf_train('by_name', model => 'm', factors => 3, verbose => false);

-- ids that no index takes are refused before the training, such as can be compressed are not
CREATE TABLE urls AS SELECT u AS user_id,
	(SELECT string_agg(md5((i * 1000 + g)::text), '') FROM generate_series(1, 120) g) AS item_id, 1 + (u * i) % 5 AS rating
FROM generate_series(1, 10) u, generate_series(1, 5) i;
\set VERBOSITY terse
SELECT users FROM mf_train('urls', factors => 2, iterations => 1, options => '{"index": false}');
SELECT users FROM mf_train('urls', 'item_id', 'user_id', factors => 2, iterations => 1, options => '{"index": false}');
\set VERBOSITY default
UPDATE urls SET item_id = repeat(left(item_id, 100), 300);
SELECT items FROM mf_train('urls', factors => 2, iterations => 1, verbose => false, options => '{"index": false}');

-- a name that is taken from the table, by another schema's table of that name
CREATE SCHEMA messages_a;
CREATE SCHEMA messages_b;
CREATE TABLE messages_a.stars AS SELECT * FROM r;
CREATE TABLE messages_b.stars AS SELECT user_id + 100 AS user_id, item_id, rating FROM r;
SELECT model FROM mf_train('messages_a.stars', factors => 2, verbose => false, options => '{"index": false}');
SELECT model FROM mf_train('messages_b.stars', factors => 2, verbose => false, options => '{"index": false}');
\set VERBOSITY terse
SELECT model FROM mf_train('messages_b.stars', options => '{"factors": 2, "verbose": false}');
\set VERBOSITY default
SELECT model FROM mf_train('messages_a.stars', factors => 2, verbose => false, options => '{"index": false}');
SELECT model FROM mf_train('messages_b.stars', model => 'stars', factors => 2, verbose => false, options => '{"index": false}');
DROP TABLE messages_b.stars;
SELECT model FROM mf_train('messages_a.stars', factors => 2, verbose => false, options => '{"index": false}');

-- whole numbers as JavaScript and data frames write them
SELECT iterations FROM mf_train('r', model => 'j', options => '{"iterations": 2.0, "factors": 3.00, "seed": 1e1, "verbose": false}');
SELECT options FROM mf_models WHERE schema = 'messages' AND model = 'j';
SELECT iterations FROM mf_train('r', model => 'j', options => '{"iterations": "2.0", "verbose": false}');
SELECT iterations FROM mf_train('r', model => 'j', options => '{"iterations": 2.5}');
UPDATE mf_models SET options = options || '{"iterations": 2.0}' WHERE schema = 'messages' AND model = 'j';
SELECT iterations > 0 AS retrained FROM mf_retrain('j', verbose => false);
CALL mf_tune('r', grid => '{"factors": [2.0, 2, 4.0], "iterations": 1}', verbose => false, results => 'found') \gset
SELECT options FROM found ORDER BY trial;

-- parameters as drivers send them, with the casts that they need
SELECT users FROM mf_train('r', model => 'n', factors => 3, verbose => false);
PREPARE floats(double precision[]) AS SELECT count(*) FROM (SELECT item_id FROM n_items ORDER BY factors <#> $1::real[] LIMIT 2) x;
EXECUTE floats('{1,2,3}');
PREPARE untyped AS SELECT count(*) FROM (SELECT item_id FROM n_items ORDER BY factors <#> $1 LIMIT 2) x;
EXECUTE untyped('{1,2,3}');
SELECT count(*) FROM (SELECT item_id FROM n_items ORDER BY factors <#> ARRAY[0.5, 1, 2] LIMIT 2) x;
CREATE TABLE timed AS SELECT *, date '2020-01-01' + item_id AS at FROM r;
PREPARE since AS SELECT ratings FROM mf_train('timed', model => 'n', factors => 3, verbose => false, time_col => 'at', options => jsonb_build_object('since', $1::text));
EXECUTE since('2020-01-11');
PREPARE holdout AS SELECT ratings FROM mf_train('r', model => 'n', factors => 3, verbose => false, holdout => $1::text);
EXECUTE holdout(NULL);
EXECUTE holdout('0.25');
PREPARE held AS SELECT mf_holdout($1::bigint, $2::text);
EXECUTE held(1, 'x');
PREPARE basket AS SELECT count(*) FROM mf_topk_for($1::text[], $2, 2, 'n');
EXECUTE basket('{1,2}', NULL);
PREPARE topk(double precision, bigint) AS SELECT count(*) FROM mf_topk($1::bigint, $2::int, 'n');
EXECUTE topk(1, 2);
DEALLOCATE ALL;

SELECT mf_drop(quote_ident(schema) || '.' || quote_ident(model)) FROM mf_models WHERE schema = 'messages';
DROP SCHEMA messages, messages_a, messages_b CASCADE;

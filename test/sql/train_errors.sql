-- Wrong options, names and rights: a clear error, and the old model unharmed.
SET client_min_messages = warning;
CREATE SCHEMA errors;
SET search_path = errors, public;
\set VERBOSITY default
\set SHOW_CONTEXT never

CREATE TABLE stars AS
SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
FROM generate_series(1, 20) u, generate_series(1, 15) i WHERE (u + i) % 3 > 0;
SELECT users, items FROM mf_train('stars', factors => 3, verbose => false);
CREATE TABLE before AS SELECT user_id, bias, factors FROM stars_users;

-- Options out of range, or for the other feedback.
SELECT mf_train('stars', factors => 0);
SELECT mf_train('stars', factors => 2001);
SELECT mf_train('stars', iterations => 0);
SELECT mf_train('stars', regularization => -1);
SELECT mf_train('stars', regularization => 'NaN');
SELECT mf_train('stars', options => '{"reg_exponent": 1.5}');
SELECT mf_train('stars', options => '{"bias_regularization": 1e10}');
SELECT mf_train('stars', feedback => 'implicit', alpha => -2);
SELECT mf_train('stars', feedback => 'implicit', options => '{"unobserved_weight": -0.1}');
SELECT mf_train('stars', feedback => 'guessed');
SELECT mf_train('stars', alpha => 2);
SELECT mf_train('stars', feedback => 'implicit', options => '{"bias_regularization": 2}');
SELECT mf_train(NULL);
SELECT mf_train('stars', NULL);

-- Names.
SELECT mf_train('stars', model => '');
SELECT mf_train('stars', model => repeat('x', 58));
SELECT mf_train('stars', model => 'a.b.c');
SELECT mf_train('stars', model => 'nowhere.films');
SELECT mf_train('stars', model => 'pg_temp.films');
SELECT model FROM mf_train('stars', model => repeat('x', 57), verbose => false);
SELECT model FROM mf_train('stars', model => '"Odd ""Name"', verbose => false);
SELECT count(*) FROM "Odd ""Name_users";
SELECT mf_drop('"Odd ""Name"');

-- Tables in the way.
CREATE TABLE taken_users (id int);
SELECT mf_train('stars', model => 'taken');
CREATE VIEW viewed_items AS SELECT 1 AS one;
SELECT mf_train('stars', model => 'viewed');
-- another key name or type
ALTER TABLE stars RENAME COLUMN user_id TO person;
SELECT mf_train('stars', 'person');
ALTER TABLE stars RENAME COLUMN person TO user_id;
ALTER TABLE stars ALTER COLUMN user_id TYPE text;
SELECT mf_train('stars');
ALTER TABLE stars ALTER COLUMN user_id TYPE int USING user_id::int;
-- key columns that the model's tables need for themselves
CREATE TABLE clash AS SELECT user_id AS bias, item_id, rating FROM stars;
SELECT mf_train('clash', 'bias');

-- A training that diverges: two users of one rating each and no regularization.
CREATE TABLE thin (user_id int, item_id int, rating real);
INSERT INTO thin VALUES (1, 1, 1), (2, 2, 5), (3, 1, 2);
SELECT mf_train('thin', model => 'stars', factors => 8, regularization => 0, options => '{"bias_regularization": 0}');

-- Read-only.
BEGIN READ ONLY;
SELECT mf_train('stars');
ROLLBACK;

-- Rights.
CREATE ROLE factor_reader;
CREATE ROLE factor_trainer;
GRANT USAGE ON SCHEMA errors TO factor_reader, factor_trainer;
CREATE SCHEMA lab AUTHORIZATION factor_trainer;
GRANT USAGE ON SCHEMA lab TO factor_reader;

SET ROLE factor_trainer;
SELECT mf_train('stars', model => 'lab.own', verbose => false);	-- may not read the ratings
RESET ROLE;
GRANT SELECT ON stars TO factor_trainer;
SET ROLE factor_trainer;
SELECT mf_train('stars');							-- another's model
SELECT mf_train('stars', model => 'mine');				-- may not create here
SELECT mf_drop('stars');
SELECT model, users FROM mf_train('stars', model => 'lab.own', verbose => false);
SET ROLE factor_reader;
SELECT mf_train('stars', model => 'lab.own');
SELECT mf_drop('lab.own');
RESET ROLE;

-- Row security on the ratings: the trainer's own view of them.
ALTER TABLE stars ENABLE ROW LEVEL SECURITY;
CREATE POLICY half ON stars USING (user_id <= 10);
SET ROLE factor_trainer;
SELECT model, users FROM mf_train('stars', model => 'lab.own', verbose => false);
SELECT mf_drop('lab.own');
RESET ROLE;
ALTER TABLE stars DISABLE ROW LEVEL SECURITY;

-- After all that, the model is what it was.
SELECT count(*) AS differing FROM
	(SELECT * FROM before EXCEPT SELECT user_id, bias, factors FROM stars_users) d;
SELECT schema, model, is_default FROM mf_models WHERE schema IN ('errors', 'lab') ORDER BY 1, 2;

DROP SCHEMA lab;
REVOKE ALL ON stars FROM factor_trainer;
REVOKE ALL ON SCHEMA errors FROM factor_reader, factor_trainer;
DROP ROLE factor_reader;
DROP ROLE factor_trainer;

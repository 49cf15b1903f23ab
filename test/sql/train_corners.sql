-- Training from where it may not be expected: exception blocks, savepoints,
-- cursors, prepared statements, procedures, other roles; and with what users do
-- to a model's tables.
SET client_min_messages = warning;
SET search_path = public;
\set VERBOSITY default
\set SHOW_CONTEXT never

CREATE TABLE stars AS
SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
FROM generate_series(1, 20) u, generate_series(1, 15) i WHERE (u + i) % 3 > 0;
CREATE INDEX ON stars (user_id, item_id);

-- The model m as the tables and the catalogue have it: all of one training?
CREATE FUNCTION look(OUT d int, OUT n bigint, OUT whole boolean) LANGUAGE plpgsql AS $$
BEGIN
	SELECT m.factors, (SELECT count(*) FROM m_users),
		(SELECT count(*) = m.users AND bool_and(cardinality(u.factors) = m.factors) FROM m_users u)
		AND (SELECT count(*) = m.items AND bool_and(cardinality(i.factors) = m.factors) FROM m_items i)
		AND (SELECT abs(sqrt(avg((m.mean + u.bias + i.bias - (u.factors <#> i.factors) - s.rating) ^ 2)) - m.error) < 1e-5
			FROM stars s JOIN m_users u USING (user_id) JOIN m_items i USING (item_id))
	INTO d, n, whole FROM mf_models m WHERE model = 'm';
END $$;

-- Errors caught: nothing stays of a training that is undone.
DO $$
BEGIN
	BEGIN
		PERFORM mf_train('stars', model => 'm', factors => 3);
		RAISE 'undo';
	EXCEPTION WHEN raise_exception THEN
		RAISE WARNING '%, and there is no model: %', SQLERRM, to_regclass('m_users') IS NULL;
	END;
	PERFORM mf_train('stars', model => 'm', factors => 3);
	BEGIN
		PERFORM mf_train('stars', model => 'm', factors => 0);
	EXCEPTION WHEN invalid_parameter_value THEN
		RAISE WARNING '%', SQLERRM;
	END;
	BEGIN
		PERFORM mf_train('stars', model => 'm', factors => 64, regularization => 0, options => '{"bias_regularization": 0}');
	EXCEPTION WHEN numeric_value_out_of_range THEN
		RAISE WARNING '%', SQLERRM;
	END;
END $$;
SELECT * FROM look();

-- Twice in a transaction, once undone.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT users FROM mf_train('stars', model => 'm', factors => 4);
SAVEPOINT s;
SELECT users FROM mf_train('stars', model => 'm', factors => 5);
SELECT * FROM look();
ROLLBACK TO s;
SELECT * FROM look();
COMMIT;
BEGIN;
DELETE FROM stars WHERE user_id > 10;
SELECT users FROM mf_train('stars', model => 'm', factors => 5);
SELECT * FROM look();
ROLLBACK;
SELECT * FROM look();

-- A cursor open meanwhile, and one over the training itself.
BEGIN;
DECLARE c CURSOR FOR SELECT count(*) OVER (), cardinality(factors) FROM m_users;
FETCH 1 FROM c;
SELECT users FROM mf_train('stars', model => 'm', factors => 6);
FETCH 1 FROM c;
CLOSE c;
DECLARE c CURSOR WITH HOLD FOR SELECT users FROM mf_train('stars', model => 'm', factors => 7);
COMMIT;
FETCH ALL FROM c;
CLOSE c;
SELECT * FROM look();

-- Prepared, often enough for a generic plan; many in one statement; a procedure
-- that commits.
PREPARE train(int) AS SELECT users FROM mf_train('stars', model => 'm', factors => $1);
EXECUTE train(1);
EXECUTE train(2);
EXECUTE train(3);
EXECUTE train(4);
EXECUTE train(5);
EXECUTE train(6);
EXECUTE train(7);
DEALLOCATE train;
SELECT * FROM look();
SELECT d, users FROM generate_series(1, 3) d, mf_train('stars', model => 'm', factors => d);
SELECT * FROM look();
CREATE PROCEDURE nightly() LANGUAGE plpgsql AS $$
BEGIN
	FOR d IN 4 .. 6 LOOP
		PERFORM mf_train('stars', model => 'm', factors => d);
		COMMIT;
	END LOOP;
END $$;
CALL nightly();
SELECT * FROM look();

-- As the owner of a function; a search_path that shadows everything.
CREATE ROLE factor_corner_owner;
CREATE ROLE factor_corner_user;
CREATE SCHEMA corner AUTHORIZATION factor_corner_owner;
GRANT SELECT ON stars TO factor_corner_owner;
CREATE FUNCTION corner.retrain() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public
	AS $$ SELECT users FROM mf_train('stars', model => 'corner.films', factors => 3, verbose => false) $$;
ALTER FUNCTION corner.retrain() OWNER TO factor_corner_owner;
GRANT USAGE ON SCHEMA corner TO factor_corner_user;
SET ROLE factor_corner_user;
SELECT corner.retrain();
SELECT corner.retrain();
RESET ROLE;
SELECT owner, trained_by FROM mf_models WHERE model = 'films';
SELECT mf_drop('corner.films');
DROP SCHEMA corner CASCADE;
REVOKE ALL ON stars FROM factor_corner_owner;
DROP ROLE factor_corner_owner, factor_corner_user;

CREATE SCHEMA evil;
CREATE TABLE evil.mf_models (x int);
CREATE TYPE evil.float4 AS (x int);
CREATE FUNCTION evil.no(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / 0 = 1';
CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.no);
SET search_path = evil, public, pg_catalog;
SELECT users FROM mf_train('stars', model => 'public.m', factors => 5);
SELECT users FROM mf_train('stars', model => 'public.second', factors => 5);
SET search_path = public;
SELECT * FROM look();
DROP SCHEMA evil CASCADE;

-- Ratings in a temporary table; ids that are long.
CREATE TEMP TABLE mine AS SELECT * FROM stars;
SELECT users FROM mf_train('mine', model => 'm', factors => 4);
SELECT * FROM look();
CREATE TABLE wordy AS
	SELECT repeat(md5(user_id::text), 5000) || user_id AS user_id, repeat('e', 500) || item_id AS item_id, rating
	FROM stars;
SELECT users, items FROM mf_train('wordy', factors => 4);
SELECT count(*) FROM mf_topk((SELECT user_id FROM wordy LIMIT 1), 3, 'wordy');
SELECT mf_drop('wordy');

-- Triggers fire, and may not keep a row from being of this training.
CREATE TABLE log (what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log VALUES (concat_ws(' ', TG_OP, TG_WHEN, TG_LEVEL));
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER note1 BEFORE INSERT OR UPDATE OR DELETE ON m_items FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note2 AFTER INSERT OR UPDATE OR DELETE ON m_items FOR EACH ROW EXECUTE FUNCTION note();
BEGIN;
DELETE FROM stars WHERE item_id = 15;
INSERT INTO stars VALUES (1, 16, 2);
SELECT users, items FROM mf_train('stars', model => 'm', factors => 3);
SELECT what, count(*) FROM log GROUP BY what ORDER BY what;
ROLLBACK;
DROP TRIGGER note1 ON m_items;
DROP TRIGGER note2 ON m_items;

CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER skip BEFORE UPDATE ON m_items FOR EACH ROW WHEN (NEW.item_id = 3) EXECUTE FUNCTION skip();
SELECT users FROM mf_train('stars', model => 'm', factors => 3);
DROP TRIGGER skip ON m_items;
CREATE RULE skip AS ON INSERT TO m_users DO INSTEAD NOTHING;
SELECT users FROM mf_train('stars', model => 'm', factors => 3);
DROP RULE skip ON m_users;
SELECT * FROM look();

-- No training within a training.
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM mf_train('stars', model => 'm', factors => 2);
	RETURN NULL;
END $$;
CREATE TRIGGER again AFTER INSERT ON m_items FOR EACH STATEMENT EXECUTE FUNCTION again();
SELECT users FROM mf_train('stars', model => 'm', factors => 3);
DROP TRIGGER again ON m_items;
SELECT users FROM mf_train('stars', model => 'm', factors => 3);
SELECT * FROM look();

-- Columns, tables that inherit, and what else may be added.
ALTER TABLE m_items ADD norm float8 GENERATED ALWAYS AS (factors <#> factors) STORED,
	ADD title text DEFAULT 'new', ADD number int GENERATED BY DEFAULT AS IDENTITY;
UPDATE m_items SET title = 'kept' WHERE item_id = 4;
CREATE INDEX ON m_items (title);
CREATE TABLE m_child () INHERITS (m_users);
INSERT INTO m_child (user_id, bias, factors, ratings, rating_sum, digest) VALUES (1000, 0, '{}', 0, 0, 0);
SELECT users FROM mf_train('stars', model => 'm', factors => 4);
SELECT bool_and(norm = (factors <#> factors)) AS generated, min(title), max(title), count(number) FROM m_items;
SELECT count(*) FROM m_child;
-- Its rows are none of the model's.
SELECT (SELECT count(*) FROM mf_topk_all(ARRAY[1, 1000], 3, 'm')) AS everyone,
	(SELECT count(*) FROM mf_similar_users(1, 100, 'm')) AS alike, (SELECT count(*) FROM mf_map('m', 'users')) AS points;
SELECT * FROM mf_refresh('m');
DROP TABLE m_child;
ALTER TABLE m_items ADD must int NOT NULL DEFAULT 1;
SELECT users FROM mf_train('stars', model => 'm', factors => 5);
ALTER TABLE m_items ALTER must DROP DEFAULT;
\set VERBOSITY terse
SELECT users FROM mf_train('stars', model => 'm', factors => 6);
\set VERBOSITY default
ALTER TABLE m_items DROP must, DROP norm;
SELECT * FROM look();
ALTER TABLE m_users SET UNLOGGED;
SELECT users FROM mf_train('stars', model => 'm', factors => 6);
ALTER TABLE m_users SET LOGGED;

-- Tables that are no longer a model's.
ALTER TABLE m_items RENAME TO m_things;
SELECT users FROM mf_train('stars', model => 'm');
ALTER TABLE m_things RENAME TO m_items;
ALTER TABLE m_items RENAME factors TO vectors;
SELECT users FROM mf_train('stars', model => 'm');
ALTER TABLE m_items RENAME vectors TO factors;
ALTER TABLE m_users ALTER bias TYPE float8;
SELECT users FROM mf_train('stars', model => 'm');
ALTER TABLE m_users ALTER bias TYPE real;
ALTER TABLE m_items DROP CONSTRAINT m_items_pkey;
SELECT users FROM mf_train('stars', model => 'm');
ALTER TABLE m_items ADD PRIMARY KEY (item_id) DEFERRABLE;
SELECT users FROM mf_train('stars', model => 'm');
ALTER TABLE m_items RENAME TO m_rows;
CREATE TABLE m_items (LIKE m_rows) PARTITION BY HASH (item_id);
SELECT users FROM mf_train('stars', model => 'm');
DROP TABLE m_items;
ALTER TABLE m_rows RENAME TO m_items;
ALTER TABLE m_items DROP CONSTRAINT m_items_pkey;
ALTER TABLE m_items ADD PRIMARY KEY (item_id);
SELECT users FROM mf_train('stars', model => 'm', factors => 7);
SELECT * FROM look();

-- Without the extension the tables are tables; another one does not take them.
BEGIN;
DROP EXTENSION factor CASCADE;
SELECT count(*) FROM m_users;
CREATE EXTENSION factor;
SELECT users FROM mf_train('stars', model => 'm');
ROLLBACK;
SELECT * FROM look();

SELECT mf_drop('m');
SELECT mf_drop('second');
DROP TABLE stars, log;
DROP FUNCTION look(), note(), skip(), again();
DROP PROCEDURE nightly();

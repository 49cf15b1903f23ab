--
-- Models in the catalogue: mf_models, its guard, the default, mf_drop.
-- The models here are made with plain SQL, as their owner may.
--
\set VERBOSITY default
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_mf_ann, regress_mf_bob, regress_mf_team, regress_mf_eve;
RESET client_min_messages;
CREATE ROLE regress_mf_ann;
CREATE ROLE regress_mf_bob;
CREATE ROLE regress_mf_team;
CREATE ROLE regress_mf_eve;
GRANT regress_mf_team TO regress_mf_ann;
CREATE SCHEMA mf_test;
GRANT USAGE, CREATE ON SCHEMA mf_test TO regress_mf_ann, regress_mf_bob, regress_mf_team;
GRANT USAGE ON SCHEMA mf_test TO regress_mf_eve;
SET search_path = mf_test, public;

CREATE FUNCTION make_tables(model text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	side text;
BEGIN
	FOREACH side IN ARRAY ARRAY['users', 'items'] LOOP
		EXECUTE pg_catalog.format('CREATE TABLE mf_test.%I (id integer PRIMARY KEY, bias real NOT NULL,
			factors real[] NOT NULL, ratings integer NOT NULL, rating_sum double precision NOT NULL, digest bigint NOT NULL DEFAULT 0)',
			model || '_' || side);
		EXECUTE pg_catalog.format('INSERT INTO mf_test.%I SELECT i, 0.1 * i, ARRAY[i, 1], 1, 3
			FROM generate_series(1, 3) i', model || '_' || side);
	END LOOP;
END $$;

-- Says what became of the row: a guard may leave it out.
CREATE FUNCTION make_row(name text, is_default boolean DEFAULT false, owner text DEFAULT 'nobody',
	in_schema text DEFAULT 'mf_test') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	INSERT INTO public.mf_models VALUES (in_schema, make_row.name, make_row.owner, make_row.is_default, now(),
		'explicit', true, 2, 3, 1, 5, 'mf_test', 'ratings', 'id', 'id', NULL, 3, 3, 3, 0, 1,
		0.1, 1, 0.1, 1, 0, 0, NULL, NULL, 0, 0, 0, now(), 'nobody');
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END $$;

CREATE VIEW models AS SELECT model, owner, is_default FROM mf_models WHERE schema = 'mf_test' ORDER BY model COLLATE "C";
GRANT SELECT ON models TO PUBLIC;

-- The owner of the tables may write the row, and no other owner gets into it.
SET ROLE regress_mf_ann;
SELECT make_tables('films');
SELECT make_row('films', true, 'regress_mf_bob');
TABLE models;
SELECT mf_default();
SELECT mf_predict(1, 2);

-- Nobody else may: neither forge one, nor change or delete it.
SET ROLE regress_mf_bob;
UPDATE mf_models SET mean = 4 WHERE model = 'films';
UPDATE mf_models SET is_default = false WHERE model = 'films';
UPDATE mf_models SET model = 'mine' WHERE model = 'films';
DELETE FROM mf_models WHERE model = 'films';
INSERT INTO mf_history VALUES ('mf_test', 'films', 1, 0.5, 1, 0.1);
SELECT mf_drop('films');
SELECT make_tables('mine');
SELECT make_row('mine');
UPDATE mf_models SET model = 'films' WHERE model = 'mine';
DELETE FROM mf_models WHERE model = 'mine';
SELECT make_row('mine');
TRUNCATE mf_models;

-- The history has the same guard.
SET ROLE regress_mf_ann;
INSERT INTO mf_history VALUES ('mf_test', 'films', 1, 0.5, 1, 0.1);
SET ROLE regress_mf_bob;
UPDATE mf_history SET error = 0;
DELETE FROM mf_history;
SET ROLE regress_mf_ann;
UPDATE mf_history SET error = 0.25;
SELECT model, iteration, error FROM mf_history;

-- A row without tables is left out, so that a restore goes on; a null is an error.
SELECT make_row('nowhere');
SELECT make_row('films', in_schema => 'no_such_schema');
INSERT INTO mf_history VALUES ('mf_test', 'nowhere', 1, 0.5, 1, 0.1);
INSERT INTO mf_history VALUES (NULL, 'films', 1, 0.5, 1, 0.1);
SELECT count(*) FROM mf_history;

-- Tables of two owners make no model that is served; nor does a row that was
-- written past the guard.
RESET ROLE;
ALTER TABLE films_items OWNER TO regress_mf_bob;
SELECT mf_default();
SELECT mf_predict(1, 2, 'films');
SET ROLE regress_mf_bob;
UPDATE mf_models SET mean = 1 WHERE model = 'films';
RESET ROLE;
ALTER TABLE films_items OWNER TO regress_mf_ann;
BEGIN;
ALTER TABLE mf_models DISABLE TRIGGER mf_guard;
UPDATE mf_models SET owner = 'regress_mf_bob' WHERE model = 'films';
SELECT mf_predict(1, 2, 'films');
SELECT mf_default();
ROLLBACK;

-- Both tables change hands: the new owner makes the row right.
ALTER TABLE films_items OWNER TO regress_mf_team;
ALTER TABLE films_users OWNER TO regress_mf_team;
SELECT mf_predict(1, 2, 'films');
SET ROLE regress_mf_ann;  -- a member
UPDATE mf_models SET owner = owner WHERE model = 'films';
TABLE models;
GRANT SELECT ON films_users, films_items TO regress_mf_bob;

-- The default: whose is it to change?
SET ROLE regress_mf_bob;
SELECT mf_default('mine');
UPDATE mf_models SET is_default = true WHERE model = 'mine';
SELECT make_tables('another');
SELECT make_row('another', true);
TABLE models;
SET ROLE regress_mf_ann;  -- owns the default, may hand it over
SELECT mf_default('mine');
TABLE models;
SELECT mf_default();
SELECT mf_default('films');
RESET ROLE;
SELECT mf_default('another');
SELECT mf_default('another');
SET ROLE regress_mf_bob;  -- owns the default now
SELECT mf_default('mf_test.mine');
TABLE models;
SELECT mf_default('no_such_model');
SELECT mf_default('no_such_schema.films');
SELECT mf_default(NULL);

-- The schema's owner decides, whoever owns the models.
RESET ROLE;
ALTER SCHEMA mf_test OWNER TO regress_mf_eve;
SET ROLE regress_mf_eve;
SELECT mf_default('films');
TABLE models;
UPDATE mf_models SET mean = 4 WHERE model = 'films';
RESET ROLE;
ALTER SCHEMA mf_test OWNER TO CURRENT_USER;

-- Two flagged rows, as a race may leave them: the older model counts.
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE mf_models SET is_default = true, created_at = '2001-01-01' WHERE model = 'mine';
SELECT mf_default();
UPDATE mf_models SET created_at = '2000-01-01' WHERE model = 'films';
SELECT mf_default();
UPDATE mf_models SET created_at = '2000-01-01' WHERE model = 'mine';
SELECT mf_default();  -- of the same age: the first name
ROLLBACK;

-- factor.model, and names along the search_path
SET factor.model = 'mine';
SELECT mf_default();
SET factor.model = 'mf_test.another';
SELECT mf_default();
SET search_path = public;
SELECT mf_default();
SET factor.model = 'no_such_model';
SELECT mf_predict(1, 2);
RESET factor.model;
SELECT mf_default();
SELECT mf_predict(1, 2);
SELECT mf_predict(1, 2, 'films');
SELECT mf_predict(1, 2, 'mf_test.films');
SELECT mf_predict(1, 2, 'Mf_Test.FILMS');
SELECT mf_predict(1, 2, '"Mf_Test".films');
SET search_path = mf_test, public;
SELECT mf_predict(1, 2, '');
SELECT mf_predict(1, 2, '""');
SELECT mf_predict(1, 2, 'a..b');
SELECT mf_predict(1, 2, 'a.b.c');
SELECT mf_predict(1, 2, '"unclosed');
SELECT mf_predict(1, 2, repeat('x', 58));

-- No right to the schema
REVOKE USAGE ON SCHEMA mf_test FROM regress_mf_eve;
SET ROLE regress_mf_eve;
SELECT mf_predict(1, 2, 'mf_test.films');
SELECT mf_default();
RESET ROLE;

-- Odd names
SELECT make_tables('Odd "Na.me');
SELECT make_row('Odd "Na.me');
SELECT mf_default('"Odd ""Na.me"');
SELECT mf_default();
SELECT mf_predict(1, 2), mf_predict(1, 2, '"Odd ""Na.me"'), mf_predict(1, 2, mf_default());
SELECT mf_predict(1, 2, 'Odd "Na.me');
SELECT mf_drop('"Odd ""Na.me"');
SELECT mf_default();
SELECT mf_default('films');
SELECT make_tables(repeat('ü', 28)), make_row(repeat('ü', 28));  -- 56 bytes
SELECT mf_predict(1, 2, repeat('ü', 28));
SELECT mf_drop(repeat('ü', 28));

-- The same name in two schemas: the first on the path, unless it is gone.
CREATE SCHEMA mf_first;
CREATE TABLE mf_first.films_users AS TABLE films_users WITH NO DATA;
ALTER TABLE mf_first.films_users ADD PRIMARY KEY (id);
CREATE TABLE mf_first.films_items (LIKE mf_first.films_users INCLUDING ALL);
SELECT make_row('films', in_schema => 'mf_first');
SET search_path = mf_first, mf_test, public;
SELECT mf_predict(1, 2, 'films');
SELECT mf_default();  -- not what the bare name means
DROP TABLE mf_first.films_users, mf_first.films_items;
SELECT mf_predict(1, 2, 'films');
SELECT mf_default();
SELECT mf_predict(1, 2, 'mf_first.films');
DROP SCHEMA mf_first;
SELECT mf_predict(1, 2, 'mf_first.films');
SET search_path = mf_test, public;
SET ROLE regress_mf_eve;
DELETE FROM mf_models WHERE schema = 'mf_first';  -- anyone may clear that away
RESET ROLE;
GRANT USAGE ON SCHEMA mf_test TO regress_mf_eve;

-- Tables that are not as training made them
BEGIN;
ALTER TABLE films_items RENAME bias TO bias2;
SELECT mf_predict(1, 2);
ROLLBACK;
BEGIN;
ALTER TABLE films_items ALTER factors TYPE double precision[];
SELECT mf_predict(1, 2);
ROLLBACK;
BEGIN;
ALTER TABLE films_items DROP CONSTRAINT films_items_pkey;
SELECT mf_predict(1, 2);
ROLLBACK;
BEGIN;
ALTER TABLE films_items RENAME TO films_elsewhere;
CREATE VIEW films_items AS TABLE films_elsewhere;
SELECT mf_predict(1, 2);
ROLLBACK;
BEGIN;
ALTER TABLE films_items ADD COLUMN title text DEFAULT 'x', DROP COLUMN rating_sum, ADD COLUMN rating_sum float8;
ALTER TABLE films_items RENAME id TO movie;
SELECT mf_predict(1, 2);  -- harmless
ROLLBACK;

-- Dropped by hand: no default any more, other models are served, another
-- model can take the flag, and what is left goes with mf_drop.
SET ROLE regress_mf_ann;
SELECT mf_drop('mf_test.nowhere');
DROP TABLE films_users;
SELECT mf_default();
SELECT mf_predict(1, 2);
SELECT mf_predict(1, 2, 'films');
SELECT mf_predict(1, 2, 'mine');  -- another's
SET ROLE regress_mf_bob;
SELECT mf_drop('films');
DELETE FROM mf_models WHERE model = 'films';
SELECT mf_default('films');
SELECT mf_default('mine');
SELECT mf_default();
SELECT mf_predict(1, 2);
SET ROLE regress_mf_ann;
SELECT mf_drop('films');
SELECT to_regclass('films_items'), count(*) FROM mf_history;
TABLE models;

-- With both tables gone, who may create in the schema may clear the row away.
SELECT make_tables('films'), make_row('films');
DROP TABLE films_users, films_items;
SET ROLE regress_mf_eve;
SELECT mf_drop('films');
SET ROLE regress_mf_bob;
SELECT mf_drop('films');
TABLE models;

-- mf_drop leaves tables alone that somebody made since, and stops at a foreign key.
SELECT make_tables('app'), make_row('app');
DROP TABLE app_users, app_items;
CREATE TABLE app_users (name text PRIMARY KEY);
SELECT mf_drop('app');
SELECT to_regclass('app_users');
DROP TABLE app_users;
CREATE TABLE loans (id integer REFERENCES mine_items);
SELECT mf_drop('mine');
SELECT mf_predict(1, 2, 'mine');
DROP TABLE loans;
-- A row that was deleted leaves tables that are no model.
DELETE FROM mf_models WHERE model = 'mine';
SELECT mf_drop('mine');
SELECT mf_predict(1, 2, 'mine');
DROP TABLE mine_users, mine_items;

-- The schema's owner may drop a model in it, as he may drop the tables.
RESET ROLE;
ALTER SCHEMA mf_test OWNER TO regress_mf_eve;
SET ROLE regress_mf_eve;
SELECT mf_drop('another');
TABLE models;
RESET ROLE;

-- Nothing is written in a read-only transaction.
SELECT make_tables('films'), make_row('films');
BEGIN READ ONLY;
SELECT mf_predict(1, 2, 'films');
SELECT mf_drop('films');
ROLLBACK;
BEGIN READ ONLY;
SELECT mf_default('films');
ROLLBACK;

-- The guard is of no use to other tables, nor as a plain function.
CREATE TABLE other (schema name, model name);
CREATE TRIGGER t BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION mf_guard();
INSERT INTO other VALUES ('a', 'b');
SELECT mf_guard();

-- Every column has a comment.
SELECT attrelid::regclass, attname FROM pg_attribute
WHERE attrelid IN ('mf_models'::regclass, 'mf_history'::regclass) AND attnum > 0
	AND col_description(attrelid, attnum) IS NULL;

SET client_min_messages = warning;
SELECT mf_drop('films');
DROP SCHEMA mf_test CASCADE;
DROP ROLE regress_mf_ann, regress_mf_bob, regress_mf_team, regress_mf_eve;
SELECT count(*) FROM mf_models;

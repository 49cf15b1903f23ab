--
-- Writing another role's model: what may be read, as whom, and what the owner's
-- own code can do meanwhile
--
\set VERBOSITY terse
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_owner_team, regress_owner_member, regress_owner_other;
CREATE ROLE regress_owner_team;
CREATE ROLE regress_owner_member IN ROLE regress_owner_team;
CREATE ROLE regress_owner_other;
CREATE SCHEMA owner_rights;
SET search_path = owner_rights, public;
GRANT USAGE ON SCHEMA owner_rights TO PUBLIC;
GRANT CREATE ON SCHEMA owner_rights TO regress_owner_team, regress_owner_member;
CREATE TABLE ratings (user_id int, item_id int, rating real);
INSERT INTO ratings SELECT u, i, 1 + (u * i) % 5
FROM generate_series(1, 30) u, generate_series(1, 20) i WHERE (u * 7 + i * 3) % 4 > 0;
CREATE TABLE private AS SELECT user_id + 1000 AS user_id, item_id, rating FROM ratings;
GRANT SELECT ON ratings TO regress_owner_team;
GRANT SELECT ON private TO regress_owner_member;
SET ROLE regress_owner_team;
SELECT users FROM mf_train('ratings', model => 'films', factors => 3, verbose => false);
RESET ROLE;
CREATE FUNCTION look() RETURNS TABLE (users bigint, private_ones bigint, owner name, by_caller boolean, me name, path text) LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM owner_rights.films_users), (SELECT count(*) FROM owner_rights.films_users WHERE user_id > 1000),
		m.owner, m.trained_by = current_user, current_user, current_setting('search_path')
	FROM public.mf_models m WHERE schema = 'owner_rights' AND model = 'films' $$;

-- A superuser's training of the owner's model reads what the owner may read
SELECT users FROM mf_retrain('films', verbose => false);
SELECT users FROM mf_train('ratings', model => 'films', factors => 3, verbose => false);
SELECT by_caller, owner FROM look();
\set VERBOSITY default
SELECT users FROM mf_train('private', model => 'films', factors => 3, verbose => false);
\set VERBOSITY terse
SET ROLE regress_owner_team;
UPDATE mf_models SET source_table = 'private' WHERE model = 'films' AND schema = 'owner_rights';
RESET ROLE;
SELECT users FROM mf_retrain('films', verbose => false);
SELECT users FROM mf_refresh('films');
SELECT users FROM mf_refresh('films', users => ARRAY[1001]);
SELECT users, private_ones, me, path FROM look();
-- ... in whatever schema
CREATE SCHEMA owner_closed;
CREATE TABLE owner_closed.shut AS SELECT * FROM private;
GRANT SELECT ON owner_closed.shut TO regress_owner_team;
SELECT users FROM mf_train('owner_closed.shut', model => 'films', factors => 3, verbose => false);
-- ... and so does a member's who may read more; his own model may learn from it
SET ROLE regress_owner_member;
SELECT users FROM mf_retrain('films', verbose => false);
SELECT users FROM mf_refresh('films');
SELECT users FROM mf_train('private', model => 'films', verbose => false);
SELECT users FROM mf_train('private', model => 'members', factors => 3, verbose => false);
RESET ROLE;
-- Columns suffice
REVOKE SELECT ON ratings FROM regress_owner_team;
GRANT SELECT (user_id, item_id) ON ratings TO regress_owner_team;
SELECT users FROM mf_train('ratings', model => 'films', factors => 3, verbose => false);
GRANT SELECT (rating) ON ratings TO regress_owner_team;
SELECT users FROM mf_train('ratings', model => 'films', factors => 3, verbose => false);
INSERT INTO ratings VALUES (31, 1, 3), (31, 4, 5), (1, 4, 1);
SELECT users, new_users FROM mf_refresh('films', users => ARRAY[31]);
SELECT new_users, gone_users FROM mf_refresh('films');

-- Row security is the owner's
ALTER TABLE ratings ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON ratings TO regress_owner_team USING (user_id <= 10 AND current_user = 'regress_owner_team');
SELECT gone_users FROM mf_refresh('films');
SET ROLE regress_owner_member;
SELECT users FROM mf_retrain('films', verbose => false);
RESET ROLE;
SELECT users FROM mf_retrain('films', verbose => false);
SET row_security = off;
SELECT users FROM mf_retrain('films', verbose => false);
RESET row_security;
ALTER TABLE ratings DISABLE ROW LEVEL SECURITY;

-- The owner's triggers fire as the owner, and can leave nothing behind
CREATE TABLE fired (command text, by name);
GRANT SELECT, INSERT, TRUNCATE ON fired TO regress_owner_team, regress_owner_member;
SET ROLE regress_owner_team;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO owner_rights.fired VALUES (lower(TG_OP), current_user);
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON films_users EXECUTE FUNCTION note();
RESET ROLE;
SELECT users FROM mf_retrain('films', verbose => false);
DELETE FROM ratings WHERE user_id = 31;
SELECT gone_users FROM mf_refresh('films');
SET ROLE regress_owner_member;
SELECT users FROM mf_train('ratings', model => 'films', factors => 3, verbose => false);
RESET ROLE;
SELECT DISTINCT command, by FROM fired ORDER BY 1, 2;
SET ROLE regress_owner_team;
CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RESET ROLE;
	RETURN NULL;
END $$;
RESET ROLE;
SELECT users FROM mf_retrain('films', verbose => false);
SELECT me, path FROM look();
SET ROLE regress_owner_team;
DROP TRIGGER note ON films_users;
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR UPDATE ON films_users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
RESET ROLE;
SELECT users FROM mf_retrain('films', verbose => false);
-- ... which the owner himself may have
SET ROLE regress_owner_team;
CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SELECT users FROM mf_retrain('films', verbose => false);
DROP TRIGGER later ON films_users;
-- Nor can what a view calls
CREATE FUNCTION tempting(int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE IF NOT EXISTS left_behind (n int);
	RETURN $1;
END $$;
CREATE VIEW calling AS SELECT tempting(user_id) AS user_id, item_id, rating FROM ratings;
UPDATE mf_models SET source_table = 'calling' WHERE model = 'films' AND schema = 'owner_rights';
RESET ROLE;
SELECT users FROM mf_retrain('films', verbose => false);
SELECT users FROM mf_refresh('films');
SELECT to_regclass('pg_temp.left_behind');
-- An error that is caught gives the caller back
DO $$
BEGIN
	PERFORM mf_refresh('films');
EXCEPTION WHEN insufficient_privilege THEN
	RAISE WARNING 'caught as %', current_user;
END $$;
SELECT me, path FROM look();

-- Training over shards, over another's model
CREATE TABLE item_copy (item_id int, bias real, factors real[]);
CREATE TABLE user_copy (user_id int, bias real, factors real[]);
CREATE VIEW by_user AS SELECT user_id, item_id, rating, bias, factors FROM ratings LEFT JOIN item_copy USING (item_id);
CREATE VIEW by_item AS SELECT user_id, item_id, rating, bias, factors FROM ratings LEFT JOIN user_copy USING (user_id);
CREATE FUNCTION shards(model text) RETURNS bigint LANGUAGE sql AS $$
	SELECT users FROM mf_train_sharded('by_user', 'by_item', '{user_copy}'::regclass[], '{item_copy}'::regclass[],
		model => shards.model, factors => 3, iterations => 2, verbose => false) $$;
SELECT shards('films');
GRANT SELECT ON by_user, by_item TO regress_owner_team;
SELECT shards('films');
GRANT INSERT, TRUNCATE ON item_copy, user_copy TO regress_owner_team;
SELECT shards('films');
SELECT owner, me FROM look();

-- Trials in another's table: who owns it may read what they tell of
SET ROLE regress_owner_team;
CALL mf_tune('ratings', grid => '{"factors": [2]}', results => 'trials', trials => 1, verbose => false, best => NULL, score => NULL) \gset
CREATE FUNCTION note_trial() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO owner_rights.fired VALUES ('trial', current_user);
	RETURN NEW;
END $$;
CREATE TRIGGER note BEFORE INSERT ON trials FOR EACH ROW EXECUTE FUNCTION note_trial();
RESET ROLE;
CALL mf_tune('ratings', grid => '{"factors": [3]}', results => 'trials', trials => 1, verbose => false, best => NULL, score => NULL) \gset
SELECT command, by, :score > 0 AS scored FROM fired WHERE command = 'trial';
CALL mf_tune('private', grid => '{"factors": [3]}', results => 'trials', trials => 1, verbose => false, best => NULL, score => NULL) \gset
CALL mf_tune('ratings', grid => '{"factors": [4]}', results => 'trials', trials => 1, verbose => false, best => NULL, score => NULL, options => '{"test": "private"}') \gset
ALTER TABLE ratings ENABLE ROW LEVEL SECURITY;
CALL mf_tune('ratings', grid => '{"factors": [5]}', results => 'trials', trials => 1, verbose => false, best => NULL, score => NULL) \gset
ALTER TABLE ratings DISABLE ROW LEVEL SECURITY;
GRANT SELECT ON ratings TO regress_owner_other;
GRANT CREATE ON SCHEMA owner_rights TO regress_owner_other;
SET ROLE regress_owner_other;
CALL mf_tune('ratings', grid => '{"factors": [6]}', results => 'trials', trials => 1, verbose => false, best => NULL, score => NULL) \gset
RESET ROLE;
GRANT SELECT, INSERT ON trials TO regress_owner_other;
SET ROLE regress_owner_other;
CALL mf_tune('ratings', grid => '{"factors": [6]}', results => 'trials', trials => 1, verbose => false, best => NULL, score => NULL) \gset
RESET ROLE;
SELECT trial, source, options, error IS NULL AS ok FROM trials ORDER BY trial;

-- Those who do not own a model
SET ROLE regress_owner_other;
\set VERBOSITY default
SELECT mf_refresh('films');
\set VERBOSITY terse
SELECT mf_refresh('films', users => ARRAY[1]);
SELECT mf_retrain('films');
SELECT mf_train('ratings', model => 'films', verbose => false);
RESET ROLE;

DELETE FROM mf_history WHERE schema = 'owner_rights';
DELETE FROM mf_models WHERE schema = 'owner_rights';
DROP SCHEMA owner_rights CASCADE;
DROP SCHEMA owner_closed CASCADE;
DROP ROLE regress_owner_member, regress_owner_team, regress_owner_other;

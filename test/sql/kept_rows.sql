--
-- Rules and triggers on a model's tables that keep rows out, or in; tables that
-- came without their row in mf_models; and those who name nobody
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA kept_rows;
SET search_path = kept_rows, public;
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
FROM generate_series(1, 30) u, generate_series(1, 20) i WHERE (u + i) % 3 > 0;
SELECT users, items FROM mf_train('ratings', model => 'm', factors => 3, verbose => false, options => '{"index": false}');
CREATE TABLE before AS SELECT * FROM m_users;
DELETE FROM ratings WHERE user_id = 7;
CREATE FUNCTION try(obstacle text) RETURNS TABLE (what text, error text, code text) LANGUAGE plpgsql AS $$
DECLARE
	q text;
BEGIN
	FOREACH q IN ARRAY ARRAY['mf_train(''ratings'', model => ''m'', factors => 3, verbose => false)', 'mf_retrain(''m'', verbose => false)',
			'mf_refresh(''m'')', 'mf_refresh(''m'', users => ARRAY[7])'] LOOP
		what := format('%s, %s', obstacle, split_part(q, '(', 1));
		error := 'none';
		code := '';
		BEGIN
			EXECUTE 'SELECT ' || q;
			RAISE EXCEPTION 'undo';
		EXCEPTION WHEN OTHERS THEN
			IF SQLERRM <> 'undo' THEN
				error := SQLERRM;
				code := SQLSTATE;
			END IF;
		END;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT * FROM try('nothing');
CREATE RULE r AS ON DELETE TO m_users DO INSTEAD NOTHING;
SELECT * FROM try('DELETE does nothing');
\set VERBOSITY default
SELECT mf_refresh('m');
\set VERBOSITY terse
DROP RULE r ON m_users;
CREATE RULE r AS ON DELETE TO m_users DO INSTEAD UPDATE m_users SET bias = 0 WHERE user_id = old.user_id;
SELECT * FROM try('DELETE updates');
DROP RULE r ON m_users;
CREATE RULE r AS ON DELETE TO m_users DO ALSO SELECT 1;
SELECT * FROM try('DELETE selects too');
DROP RULE r ON m_users;
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER t BEFORE DELETE ON m_users FOR EACH ROW EXECUTE FUNCTION keep();
SELECT * FROM try('trigger on DELETE');
DROP TRIGGER t ON m_users;
CREATE TRIGGER t BEFORE UPDATE ON m_users FOR EACH ROW EXECUTE FUNCTION keep();
INSERT INTO ratings VALUES (8, 20, 1);
SELECT * FROM try('trigger on UPDATE');
DROP TRIGGER t ON m_users;
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN old; END';
CREATE TRIGGER t BEFORE DELETE ON m_users FOR EACH ROW EXECUTE FUNCTION pass();
SELECT * FROM try('trigger that lets go');
DROP TRIGGER t ON m_users;
CREATE RULE r AS ON INSERT TO m_items DO INSTEAD NOTHING;
SELECT * FROM try('INSERT does nothing');
DROP RULE r ON m_items;
SELECT count(*) = count(b.user_id) AS untouched FROM m_users m LEFT JOIN before b USING (user_id, bias, factors, ratings, rating_sum, digest);

-- Arrays of nobody mean nobody: NULL as well as the empty one
SELECT mf_refresh('m', users => (SELECT array_agg(user_id) FROM ratings WHERE false));
SELECT mf_refresh('m', users => (SELECT array_agg(user_id) FROM ratings WHERE false), items => (SELECT array_agg(item_id) FROM ratings WHERE false));
SELECT mf_refresh('m', '{}'::int[], '{}');
SELECT mf_refresh('m', ARRAY[NULL]::text[]);
SELECT count(*) = count(b.user_id) AS untouched FROM m_users m LEFT JOIN before b USING (user_id, bias, factors, ratings, rating_sum, digest);
CREATE VIEW refusing AS SELECT user_id, item_id, rating / 0 AS rating FROM ratings;
UPDATE mf_models SET source_table = 'refusing' WHERE schema = 'kept_rows' AND model = 'm';
SELECT mf_refresh('m', NULL::int[]);
UPDATE mf_models SET source_table = 'ratings' WHERE schema = 'kept_rows' AND model = 'm';
SELECT * FROM mf_refresh('m');

-- Tables as pg_dump --schema brings them
CREATE TEMP TABLE record AS SELECT * FROM mf_models WHERE schema = 'kept_rows';
DELETE FROM mf_models WHERE schema = 'kept_rows';
\set VERBOSITY default
SELECT mf_train('ratings', model => 'm', verbose => false);
SELECT mf_refresh('m');
\set VERBOSITY terse
INSERT INTO mf_models SELECT * FROM record;
SELECT users FROM mf_train('ratings', model => 'm', factors => 3, verbose => false, options => '{"index": false}');
DELETE FROM mf_models WHERE schema = 'kept_rows';
ALTER TABLE m_users DROP COLUMN bias;
\set VERBOSITY default
SELECT mf_train('ratings', model => 'm', verbose => false);
\set VERBOSITY terse

DELETE FROM mf_history WHERE schema = 'kept_rows';
DELETE FROM mf_models WHERE schema = 'kept_rows';
DROP SCHEMA kept_rows CASCADE;

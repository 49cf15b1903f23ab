--
-- Who may ask what: each serving function for callers with different rights, and
-- under row security. There it gives what it gives to the owner of a model that
-- has the visible rows alone.
--
\set VERBOSITY terse
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_rights_none, regress_rights_model, regress_rights_ratings, regress_rights_both, regress_rights_some;
CREATE SCHEMA serve_rights;
SET search_path = serve_rights, public;
CREATE TABLE ratings (user_id int, item_id int, rating real, secret text);
INSERT INTO ratings SELECT u, i, 1 + abs(hashint4(u * 1009 + i)) % 9 / 2.0
FROM generate_series(1, 60) u, generate_series(1, 80) i WHERE abs(hashint4(u * 7919 + i)) % 4 = 0;
CREATE INDEX ON ratings (user_id, item_id);
SELECT 1 FROM mf_train('ratings', model => 'films', factors => 4, iterations => 3, verbose => false);
INSERT INTO ratings VALUES (1000, 3, 4), (1000, 4, 2), (1000, 5, 5);
CREATE TABLE titles AS SELECT item_id, 'Film ' || item_id AS title FROM films_items;

-- Every function that reads, for a model
CREATE FUNCTION questions() RETURNS TABLE (number int, what text, sql text) LANGUAGE sql AS $$
	SELECT row_number() OVER ()::int, w, s FROM (VALUES
		('mf_predict', 'SELECT u, i, mf_predict(u, i, %1$L) FROM generate_series(1, 12) u, generate_series(1, 12) i'),
		('mf_topk', 'SELECT * FROM mf_topk(7, 20, %1$L)'),
		('mf_topk, seen too', 'SELECT * FROM mf_topk(7, 20, %1$L, exclude_seen => false)'),
		('mf_topk, lists', 'SELECT * FROM mf_topk(7, 9, %1$L, candidates => ARRAY(SELECT generate_series(1, 40)), exclude => ARRAY[1, 2, 5])'),
		('mf_topk, diverse', 'SELECT * FROM mf_topk(7, 9, %1$L, diversity => 0.4)'),
		('mf_topk, live', 'SELECT * FROM mf_topk(7, 20, %1$L, live => true)'),
		('mf_topk, new user', 'SELECT * FROM mf_topk(1000, 20, %1$L)'),
		('mf_topk, unknown', 'SELECT * FROM mf_topk(2000, 20, %1$L)'),
		('mf_topk_for', 'SELECT * FROM mf_topk_for(ARRAY[3, 5, 8, 10], ARRAY[4, 2, 5, 1], 20, %1$L)'),
		('mf_fold_in', 'SELECT mf_fold_in(i, i, %1$L) FROM generate_series(1, 5) i'),
		('mf_explain', 'SELECT * FROM mf_explain(7, 4, 30, %1$L)'),
		('mf_similar_items', 'SELECT * FROM mf_similar_items(4, 9, %1$L)'),
		('mf_similar_users', 'SELECT * FROM mf_similar_users(7, 9, %1$L)'),
		('mf_topk_all', 'SELECT * FROM mf_topk_all(5, %1$L)'),
		('mf_topk_all, some', 'SELECT * FROM mf_topk_all(ARRAY[7, 8, 9], 5, %1$L)'),
		('mf_topk_all, seen too', 'SELECT * FROM mf_topk_all(5, %1$L, exclude_seen => false)'),
		('mf_map, items', 'SELECT * FROM mf_map(%1$L)'),
		('mf_map, users', 'SELECT * FROM mf_map(%1$L, ''users'')'),
		('mf_map_svg', 'SELECT replace(mf_map_svg(%1$L), %1$L, ''M'')'),
		('mf_map_svg, titles', 'SELECT replace(mf_map_svg(%1$L, labels => ''titles''), %1$L, ''M'')'),
		('mf_history_svg', 'SELECT replace(mf_history_svg(%1$L), %1$L, ''M'')')) v (w, s)
$$;
CREATE FUNCTION ask(model text, question text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT string_agg(t::text, chr(10)) FROM (' || question || ') t', model) INTO result;
	RETURN coalesce(result, 'nothing');
EXCEPTION WHEN insufficient_privilege THEN
	RETURN SQLERRM;
END $$;
CREATE TABLE asked AS SELECT * FROM questions();
CREATE TABLE owners AS SELECT number, ask('films', sql) AS answer FROM asked;
SELECT count(*) FILTER (WHERE length(answer) > 30) AS answers FROM owners;

CREATE ROLE regress_rights_none;
CREATE ROLE regress_rights_model;
CREATE ROLE regress_rights_ratings;
CREATE ROLE regress_rights_both;
CREATE ROLE regress_rights_some;
GRANT USAGE ON SCHEMA serve_rights TO regress_rights_none, regress_rights_model, regress_rights_ratings, regress_rights_both, regress_rights_some;
GRANT SELECT ON asked, owners TO PUBLIC;
GRANT SELECT ON films_users, films_items TO regress_rights_model, regress_rights_both, regress_rights_some;
GRANT SELECT (user_id, item_id, rating) ON ratings TO regress_rights_ratings, regress_rights_both, regress_rights_some;
GRANT SELECT ON titles TO regress_rights_both;
CREATE FUNCTION compare() RETURNS TABLE (what text, result text) LANGUAGE sql AS $$
	SELECT what, CASE a.answer WHEN o.answer THEN 'as the owner' WHEN 'nothing' THEN a.answer
		ELSE CASE WHEN a.answer LIKE 'permission denied%' THEN a.answer ELSE 'other rows' END END
	FROM asked q JOIN owners o USING (number), LATERAL (SELECT ask('films', sql) AS answer) a ORDER BY number
$$;
SET ROLE regress_rights_none;
SELECT * FROM compare();
SET ROLE regress_rights_model;
SELECT * FROM compare();
SET ROLE regress_rights_ratings;
SELECT * FROM compare();
SET ROLE regress_rights_both;
SELECT * FROM compare() WHERE result <> 'as the owner';
RESET ROLE;

-- Some users and items, or some columns, alone
REVOKE SELECT ON films_users, films_items FROM regress_rights_some;
GRANT SELECT ON films_items TO regress_rights_some;
SET ROLE regress_rights_some;
SELECT * FROM compare();
RESET ROLE;
REVOKE SELECT ON films_items FROM regress_rights_some;
GRANT SELECT (item_id, factors) ON films_items TO regress_rights_some;
GRANT SELECT ON films_users TO regress_rights_some;
SET ROLE regress_rights_some;
SELECT * FROM compare();
RESET ROLE;

-- Row security on the ratings, the users and the items. The reference: a model
-- of the visible rows.
GRANT SELECT ON films_items, titles TO regress_rights_some;
CREATE VIEW visible AS SELECT user_id, item_id, rating FROM ratings WHERE item_id % 5 > 0;
CREATE TABLE few_users (LIKE films_users INCLUDING ALL);
CREATE TABLE few_items (LIKE films_items INCLUDING ALL);
INSERT INTO few_users SELECT * FROM films_users WHERE user_id <> 8;
INSERT INTO few_items SELECT * FROM films_items WHERE item_id % 3 > 0;
CREATE TEMP TABLE record AS SELECT * FROM mf_models WHERE model = 'films' AND schema = 'serve_rights';
UPDATE record SET model = 'few', source_table = 'visible', is_default = false;
INSERT INTO mf_models SELECT * FROM record;
INSERT INTO mf_history SELECT schema, 'few', iteration, error, objective, seconds, held_out_loss FROM mf_history
WHERE model = 'films' AND schema = 'serve_rights';
CREATE TABLE few_answers AS SELECT number, ask('few', sql) AS answer FROM asked;
SELECT what FROM asked JOIN owners o USING (number) JOIN few_answers f USING (number) WHERE o.answer = f.answer ORDER BY number;
TRUNCATE owners;
INSERT INTO owners SELECT * FROM few_answers;
ALTER TABLE ratings ENABLE ROW LEVEL SECURITY;
ALTER TABLE films_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE films_items ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON ratings TO regress_rights_some USING (item_id % 5 > 0);
CREATE POLICY p ON films_users TO regress_rights_some USING (user_id <> 8);
CREATE POLICY p ON films_items TO regress_rights_some USING (item_id % 3 > 0);
SET ROLE regress_rights_some;
SELECT count(*) FROM compare() WHERE result = 'as the owner';
SELECT * FROM compare() WHERE result <> 'as the owner';
-- ... in a prepared statement that was planned for another role too
RESET ROLE;
PREPARE list AS SELECT count(*), count(*) FILTER (WHERE item % 3 = 0) > 0 AS hidden_too FROM mf_topk(7, 100, 'films', exclude_seen => false);
EXECUTE list;
SET ROLE regress_rights_some;
EXECUTE list;
SET ROLE regress_rights_both;
EXECUTE list;
RESET ROLE;
EXECUTE list;
-- Policies that nobody passes
ALTER POLICY p ON films_items USING (false);
SET ROLE regress_rights_some;
SELECT * FROM compare() WHERE what LIKE 'mf\_topk%' OR what LIKE 'mf\_map,%';
SET row_security = off;
SELECT * FROM mf_topk(7, 3, 'films');
SELECT * FROM mf_topk_all(3, 'films');
SELECT mf_predict(7, 4, 'films');
RESET row_security;
RESET ROLE;

-- A function that runs as its owner lends its rights, and no more than those
CREATE FUNCTION lent(u int) RETURNS SETOF bigint LANGUAGE sql SECURITY DEFINER SET search_path = serve_rights, public, pg_temp
	AS 'SELECT item FROM mf_topk(u, 3, ''films'')';
SET ROLE regress_rights_none;
SELECT count(*) FROM lent(7);
SELECT count(*) FROM mf_topk(7, 3, 'films');
RESET ROLE;

-- What writes is for the owner of the model's tables; what checks an index, of it
GRANT SELECT, INSERT, UPDATE, DELETE ON films_users, films_items, ratings TO regress_rights_both;
GRANT CREATE ON SCHEMA serve_rights TO regress_rights_both;
SELECT indexrelid::regclass AS index FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam
WHERE indrelid = 'films_items'::regclass AND amname = 'topk' ORDER BY 1 LIMIT 1 \gset
SELECT mf_index_check(:'index') > 0 AS checked;
SET ROLE regress_rights_both;
SELECT mf_refresh('films');
SELECT mf_refresh('films', ARRAY[7]);
SELECT mf_retrain('films');
SELECT mf_train('ratings', model => 'films');
SELECT mf_drop('films');
SELECT mf_default('films');
SELECT mf_index_check(:'index');
RESET ROLE;
-- ... who also needs to read the ratings
ALTER TABLE films_users OWNER TO regress_rights_model;
ALTER TABLE films_items OWNER TO regress_rights_model;
UPDATE mf_models SET owner = 'regress_rights_model' WHERE model = 'films' AND schema = 'serve_rights';
GRANT CREATE ON SCHEMA serve_rights TO regress_rights_model;
SET ROLE regress_rights_model;
SELECT mf_refresh('films');
SELECT mf_refresh('films', ARRAY[7]);
SELECT mf_retrain('films');
RESET ROLE;
-- ... of which row security shows it some: it learns from those
GRANT SELECT (user_id, item_id, rating) ON ratings TO regress_rights_model;
CREATE POLICY q ON ratings TO regress_rights_model USING (user_id <= 10);
SET ROLE regress_rights_model;
SELECT users, new_users, gone_users FROM mf_refresh('films', users => ARRAY[7, 8, 11, 1000]);
SELECT count(*) FROM films_users WHERE user_id = 11;
RESET ROLE;

DELETE FROM mf_history WHERE schema = 'serve_rights';
DELETE FROM mf_models WHERE schema = 'serve_rights';
DROP SCHEMA serve_rights CASCADE;
DROP ROLE regress_rights_none, regress_rights_model, regress_rights_ratings, regress_rights_both, regress_rights_some;

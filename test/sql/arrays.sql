-- Arrays that come from SQL: their length, dimensions, NULLs, element type and
-- bounds are looked at before their elements are.
SET client_min_messages = warning;
CREATE SCHEMA arrays;
SET search_path = arrays, public;
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE (u * 7 + i * 3) % 4 = 0;
CREATE FUNCTION outcome(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM (%s) q', query) INTO n;
	RETURN n || ' rows';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- ---- mf_train_sharded: vectors as long as a view shows them ----
CREATE TABLE uv (user_id int PRIMARY KEY, bias real, factors real[]);
CREATE TABLE iv (item_id int PRIMARY KEY, bias real, factors real[]);
CREATE VIEW by_user AS SELECT r.*, bias, factors FROM ratings r LEFT JOIN iv USING (item_id);
CREATE VIEW by_item AS SELECT r.*, bias, factors FROM ratings r LEFT JOIN uv USING (user_id);
CREATE FUNCTION sharded(options text) RETURNS text LANGUAGE sql AS $$
	SELECT outcome(format($q$SELECT mf_train_sharded('by_user', 'by_item', '{uv}', '{iv}', model => 'm', iterations => 1,
		verbose => false, %s)$q$, options))
$$;
CREATE FUNCTION show_factors(expression text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE VIEW by_user AS SELECT r.*, bias, %s AS factors FROM ratings r LEFT JOIN iv USING (item_id)', expression);
	EXECUTE format('CREATE OR REPLACE VIEW by_item AS SELECT r.*, bias, %s AS factors FROM ratings r LEFT JOIN uv USING (user_id)', expression);
	RETURN expression;
END $$;
SELECT sharded('factors => 4'), sharded($$factors => 4, feedback => 'implicit'$$);
SELECT show_factors('factors[1:2]');
SELECT sharded('factors => 4'), sharded($$factors => 4, feedback => 'implicit'$$), sharded('factors => 2000');
SELECT show_factors('CASE WHEN factors IS NOT NULL THEN factors || 1::real END');
SELECT sharded('factors => 4'), sharded($$factors => 4, feedback => 'implicit'$$);
SELECT show_factors('CASE WHEN factors IS NOT NULL THEN ARRAY[factors, factors] END');
SELECT sharded('factors => 4');
SELECT show_factors('CASE WHEN factors IS NOT NULL THEN factors || NULL::real END');
SELECT sharded('factors => 4');
SELECT show_factors('CASE WHEN factors IS NOT NULL THEN ''{}''::real[] END');
SELECT sharded('factors => 4');
SELECT show_factors($$CASE WHEN factors IS NOT NULL THEN '{NaN,0,0,0}'::real[] END$$);
SELECT sharded('factors => 4');
-- bounds do not matter
SELECT show_factors($$CASE WHEN factors IS NOT NULL THEN format('[0:3]={%s,%s,%s,%s}', factors[1], factors[2], factors[3], factors[4])::real[] END$$);
SELECT sharded('factors => 4');
SELECT show_factors('factors');
-- a copy that is named twice; one that a rule or a trigger keeps rows from
SELECT outcome($$SELECT mf_train_sharded('by_user', 'by_item', '{uv,uv}', '{iv}', model => 'm', factors => 4, iterations => 1)$$);
CREATE RULE nothing AS ON INSERT TO uv DO INSTEAD NOTHING;
SELECT sharded('factors => 4');
DROP RULE nothing ON uv;
CREATE RULE elsewhere AS ON INSERT TO uv DO INSTEAD DELETE FROM iv;
SELECT sharded('factors => 4');
DROP RULE elsewhere ON uv;

-- ---- Rows of a model ----
SELECT users, items FROM mf_train('ratings', model => 'm', factors => 4, iterations => 2, feedback => 'implicit', verbose => false);
CREATE FUNCTION everything() RETURNS TABLE (call text, outcome text) LANGUAGE sql AS $$
	SELECT call, outcome(query) FROM (VALUES
		('predict', $q$SELECT mf_predict(1, 4, 'm')$q$),
		('topk', $q$SELECT * FROM mf_topk(1, 5, 'm', exclude_seen => false)$q$),
		('live', $q$SELECT * FROM mf_topk(1, 5, 'm', live => true, exclude_seen => false)$q$),
		('topk_for', $q$SELECT * FROM mf_topk_for(ARRAY[4, 8], k => 5, model => 'm')$q$),
		('topk_all', $q$SELECT * FROM mf_topk_all(5, 'm', exclude_seen => false)$q$),
		('similar', $q$SELECT * FROM mf_similar_items(4, 5, 'm')$q$),
		('explain', $q$SELECT * FROM mf_explain(1, 4, model => 'm')$q$),
		('fold_in', $q$SELECT mf_fold_in(4, 1, 'm')$q$),
		('map', $q$SELECT * FROM mf_map('m')$q$),
		('evaluate', $q$SELECT * FROM mf_evaluate('m', 'ratings', exclude_train => false)$q$),
		('refresh', $q$SELECT mf_refresh('m')$q$),
		('retrain', $q$SELECT mf_retrain('m', 1, verbose => false)$q$)) v(call, query)
$$;
CREATE TABLE seen (change text, call text, outcome text);
CREATE FUNCTION tries(change text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	-- what they write is undone
	BEGIN
		EXECUTE change;
		CREATE TEMP TABLE now_seen AS SELECT * FROM everything();
		RAISE EXCEPTION USING ERRCODE = 'P0099', MESSAGE = (SELECT json_agg(s)::text FROM now_seen s);
	EXCEPTION WHEN SQLSTATE 'P0099' THEN
		INSERT INTO seen SELECT change, s.call, s.outcome FROM json_to_recordset(SQLERRM::json) s (call text, outcome text);
	END;
END $$;
SELECT count(tries(c)) AS changes FROM unnest(ARRAY[
	'SELECT',
	-- no NULL, but room to note one: a slice of an array that had one
	'UPDATE m_items SET factors = (factors || NULL::real)[1:4]',
	'UPDATE m_items SET factors = factors[1:3]',
	'UPDATE m_users SET factors = ''{{1,2,3,4}}''',
	'UPDATE m_items SET factors[2] = NULL',
	'UPDATE m_items SET factors = ''{}''',
	'UPDATE m_items SET factors[2] = ''NaN''',
	'UPDATE m_users SET factors[2] = ''Infinity''',
	'UPDATE m_users SET bias = ''NaN''']) c;
SELECT call, outcome FROM seen WHERE change = 'SELECT';
SELECT count(*) AS like_before FROM seen a JOIN seen b USING (call, outcome) WHERE a.change = 'SELECT' AND b.change ~ '1:4';
SELECT change, string_agg(call, ' ' ORDER BY call) AS calls, outcome FROM seen WHERE outcome !~ 'rows$' GROUP BY change, outcome ORDER BY 1, 3;
TRUNCATE seen;
-- The Gramian in a model's row, where nothing keeps others out of it
SELECT count(tries('ALTER TABLE mf_models DROP CONSTRAINT mf_models_gramian_items_check; UPDATE mf_models SET ' || c || ' WHERE model = ''m''')) AS changes FROM unnest(ARRAY[
	'gramian_items = gramian_items[1:2][1:2]',
	'gramian_items = ARRAY[1, 2, 3]',
	'gramian_items = ''{}''',
	'gramian_items[2][2] = NULL',
	'gramian_items[2][2] = ''NaN''']) c;
SELECT substring(change FROM 'SET (.*) WHERE') AS change, string_agg(call, ' ' ORDER BY call) AS calls, outcome
FROM seen WHERE outcome !~ 'rows$' GROUP BY change, outcome ORDER BY 1, 3;
DROP TABLE seen;

-- ---- mf_options that a user wrote ----
CREATE FUNCTION solve(options mf_options) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	solution real[];
BEGIN
	solution := mf_solve('{1,2}', 3, options);
	RETURN (SELECT array_agg(round(x::numeric, 3)) FROM unnest(solution) x);
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT solve(o::mf_options) FROM (VALUES
	('(t,0,1,0.5,0,1,0.1,3,"{1,0,0,1}")'),
	('(t,0,1,0.5,0,1,0.1,3,"[0:3]={1,0,0,1}")'),
	('(t,0,1,0.5,0,1,0.1,3,"{{1,0},{0,1}}")'),
	('(t,0,1,0.5,0,1,0.1,3,"{1,0,0}")'),
	('(t,0,1,0.5,0,1,0.1,3,"{1,0,NULL,1}")'),
	('(t,0,1,0.5,0,1,0.1,3,"{1,0,NaN,1}")'),
	('(t,0,1,0.5,0,1,0.1,3,"{}")'),
	('(t,0,1,0.5,0,1,0.1,3,"{1}")'),
	('(t,0,1,0.5,0,1,0.1,-3,"{1,0,0,1}")'),
	('(t,0,1,0.5,0,1,0.1,,"{1,0,0,1}")'),
	('(t,0,1,0.5,0,1,NaN,3,"{1,0,0,1}")'),
	('(t,0,-1,0.5,0,1,0,,)'),
	('(,0,1,0.5,0,1,0,,)'),
	(NULL)) v(o);
-- ... of a type that was altered since
BEGIN;
ALTER TYPE mf_options DROP ATTRIBUTE gramian CASCADE;
SELECT solve('(t,0,1,0.5,0,1,0.1,3)');
ALTER TYPE mf_options ADD ATTRIBUTE gramian text CASCADE;
SELECT solve('(t,0,1,0.5,0,1,0.1,3,"{1,0,0,1}")');
ROLLBACK;

SELECT mf_drop('m');
SET client_min_messages = error;
DROP SCHEMA arrays CASCADE;

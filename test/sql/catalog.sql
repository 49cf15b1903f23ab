-- What stands in mf_models and mf_history is what somebody wrote: the owner of a
-- model may UPDATE its row, and a superuser alter the tables. CHECK constraints
-- refuse what the code cannot do with; and where they have been dropped, each
-- value is looked at before it is used.
SET client_min_messages = warning;
CREATE SCHEMA mf_catalog;
SET search_path = mf_catalog, public;
CREATE TABLE ratings AS
	SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating, u + i AS at
	FROM generate_series(1, 20) u, generate_series(1, 15) i WHERE (u * 7 + i * 3) % 4 > 0;
SELECT users, items FROM mf_train('ratings', model => 'clicks', feedback => 'implicit', factors => 4, iterations => 2, verbose => false);
SELECT users, items FROM mf_train('ratings', model => 'stars', factors => 4, iterations => 2, verbose => false);

CREATE TABLE changes (n serial, change text);
INSERT INTO changes (change) VALUES
	('factors = 0'), ('factors = -4'), ('factors = 2147483647'), ('factors = 3'), ('factors = 5'), ('factors = 2000'),
	('users = -5'), ('users = 9223372036854775807'), ('items = -5'), ('items = 9223372036854775807'), ('items = 0'),
	('ratings = -1'), ('ratings = 9223372036854775807'), ('skipped = -1'), ('held_out = -1'),
	('mean = ''NaN'''), ('mean = ''Infinity'''), ('mean = 1e308'),
	('rating_min = ''NaN'''), ('rating_min = ''-Infinity'''), ('rating_max = ''NaN'''), ('rating_max = ''Infinity'''),
	('rating_min = 10, rating_max = -10'),
	('alpha = ''NaN'''), ('alpha = -1'), ('alpha = ''Infinity'''), ('alpha = 1e300'),
	('unobserved_weight = ''NaN'''), ('unobserved_weight = -1'), ('unobserved_weight = 1'),
	('regularization = ''NaN'''), ('regularization = -1e9'), ('reg_exponent = 1e300'), ('reg_exponent = -1'),
	('bias_regularization = -1e300'), ('bias_regularization = ''Infinity'''),
	('objective = ''NaN'''), ('error = ''Infinity'''), ('seconds = -1'), ('held_out_loss = ''NaN'''),
	('gramian_items = ''{1}'', gramian_users = ''{1}'', unobserved_weight = 1'),
	('gramian_items = ''{}'', gramian_users = ''{}'', unobserved_weight = 1'),
	('gramian_items = ''{{1}}'', gramian_users = ''{{1}}'', unobserved_weight = 1'),
	('gramian_items = NULL, gramian_users = NULL, unobserved_weight = 0.5'),
	('gramian_items = array_fill(NULL::real, ARRAY[4, 4]), unobserved_weight = 1'),
	('gramian_items = array_fill(''NaN''::real, ARRAY[4, 4]), unobserved_weight = 1'),
	('gramian_items = array_fill(3e38::real, ARRAY[4, 4]), gramian_users = array_fill(3e38::real, ARRAY[4, 4]), unobserved_weight = 1'),
	('link_low = ''NaN'', link_high = 1'), ('link_low = 1, link_high = -1'), ('link_low = 0'),
	('link_low = -1e308, link_high = 1e308'), ('link_low = 0, link_high = 1'),
	('loss = ''bpr'''), ('loss = ''bpr'', solver = ''sgd'''), ('loss = ''hinge'''), ('solver = ''sgd'''), ('solver = ''svd'''),
	('biased = NOT biased'), ('feedback = ''guessed'''),
	('feedback = CASE feedback WHEN ''implicit'' THEN ''explicit'' ELSE ''implicit'' END'),
	('source_table = ''stars_users'''), ('source_table = '''''), ('source_table = ''"'''), ('source_schema = ''nowhere'''),
	('user_col = ''item_id'', item_col = ''user_id'''), ('rating_col = ''user_id'''), ('rating_col = NULL'),
	('user_col = ''ctid'''), ('item_col = ''xmin'''), ('rating_col = ''tableoid'''), ('user_col = ''"; --'''),
	('options = ''[]'''), ('options = ''3'''), ('settings = ''[1]'''),
	('options = ''{"min_rating": "NaN"}'''), ('options = ''{"min_rating": "none"}'''), ('options = ''{"min_rating": -1e400}'''),
	('options = ''{"min_rating": [2]}'''), ('options = ''{"min_rating": true}'''), ('options = ''{"min_rating": 2}'''),
	('options = ''{"time_col": "at", "since": "x''''y\\"}'''), ('options = ''{"time_col": "ctid", "since": "(0,1)"}'''),
	('options = ''{"time_col": [], "since": {}}'''), ('options = ''{"holdout": "time", "time_col": "at"}'''),
	('options = ''{"holdout": 0.5, "patience": 1}'''), ('options = ''{"factors": 7, "model": "other", "seed": "a"}'''),
	('options = ''{"min_user_ratings": 5, "min_item_ratings": 3}'''), ('options = ''{"color": "red"}'''),
	('settings = ''{"negatives": 3}'''), ('settings = ''{"negatives": "x"}'''), ('settings = ''{"weight_decay": {}}'''),
	('seed = -9223372036854775808'), ('iterations = -1'), ('iterations = 2147483647'), ('best_iteration = -7'), ('best_iteration = 3'),
	('owner = '''''), ('created_at = ''-infinity'''), ('created_at = ''infinity'', is_default = false');

CREATE TABLE calls (n serial, call text);
INSERT INTO calls (call) VALUES
	('mf_predict(1, 3, %1$L)'), ('mf_topk(1, 5, %1$L)'), ('mf_topk(1, 5, %1$L, live => true)'),
	('mf_topk(1, 5, %1$L, diversity => 0.5, candidates => ARRAY(SELECT generate_series(1, 70)))'),
	('mf_topk_for(ARRAY[1, 2, 3], NULL, 5, %1$L)'), ('mf_topk_all(3, %1$L)'), ('mf_explain(1, 3, 5, %1$L)'),
	('mf_similar_items(3, 5, %1$L)'), ('mf_similar_users(3, 5, %1$L)'),
	('(SELECT mf_fold_in(i, 1, %1$L) FROM generate_series(1, 5) i)'),
	('mf_map(%1$L)'), ('mf_map_svg(%1$L)'), ('mf_history_svg(%1$L)'),
	('mf_evaluate(%1$L, ''ratings'', exclude_train => false)'),
	('mf_refresh(%1$L)'), ('mf_refresh(%1$L, ARRAY[1, 2])'), ('mf_retrain(%1$L, 1, verbose => false)'),
	('mf_train(''ratings'', model => %1$L, factors => 2, iterations => 1, verbose => false)'), ('mf_drop(%1$L)');

-- What becomes of a change, and of each call after it
CREATE TABLE outcomes (pass text, change int, model text, call int, state text, message text, detail text, constraint_name text);
CREATE FUNCTION try(pass text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	change record;
	name text;
	call record;
	answer text;
	state text;
	said text;
	more text;
	rule text;
BEGIN
	FOR change IN TABLE changes LOOP FOREACH name IN ARRAY ARRAY['clicks', 'stars'] LOOP FOR call IN TABLE calls LOOP
		BEGIN
			EXECUTE format('UPDATE mf_models SET %s WHERE schema = %L AND model = %L', change.change, 'mf_catalog', name);
			EXECUTE format('SELECT string_agg(t::text, chr(10)) FROM (SELECT * FROM ' || call.call || ') t', name) INTO answer;
			RAISE EXCEPTION 'served' USING ERRCODE = '00001';
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, said = MESSAGE_TEXT, more = PG_EXCEPTION_DETAIL, rule = CONSTRAINT_NAME;
			INSERT INTO outcomes VALUES (pass, change.n, name, call.n, state, said, more, rule);
		END;
	END LOOP; END LOOP; END LOOP;
END $$;

-- With the constraints: the one that refuses
SELECT try('checked');
SELECT c.change, string_agg(DISTINCT o.constraint_name, ' ') FILTER (WHERE state = '23514') AS refused_by
FROM changes c JOIN outcomes o ON o.change = c.n WHERE pass = 'checked' AND model = 'stars' GROUP BY c.n, c.change ORDER BY c.n;
SELECT DISTINCT state FROM outcomes WHERE state LIKE 'XX%' OR state IN ('P0001', '42883');

-- Without them: what the code says of a row that it cannot use
BEGIN;
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT conrelid::regclass AS rel, conname FROM pg_constraint
		WHERE conrelid IN ('mf_models'::regclass, 'mf_history'::regclass) AND contype = 'c'
	LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.rel, c.conname);
	END LOOP;
END $$;
SELECT try('unchecked');
SELECT c.change, string_agg(DISTINCT o.state || ' ' || coalesce(nullif(detail, ''), message), '; ') AS predict
FROM changes c JOIN outcomes o ON o.change = c.n WHERE pass = 'unchecked' AND model = 'stars' AND call = 1 AND state <> '00001'
GROUP BY c.n, c.change ORDER BY c.n;
SELECT c.change, a.call, o.state, o.message FROM outcomes o JOIN changes c ON c.n = o.change JOIN calls a ON a.n = o.call
WHERE state LIKE 'XX%' OR state IN ('P0001', '42883');

-- A row that cannot be used does not keep its model from being trained anew or dropped.
SELECT a.call, c.change, o.state, o.message FROM outcomes o JOIN changes c ON c.n = o.change JOIN calls a ON a.n = o.call
WHERE (a.call LIKE 'mf_train%' OR a.call LIKE 'mf_drop%') AND pass = 'unchecked' AND state <> '00001';

-- Nulls where there are none
ALTER TABLE mf_models ALTER factors DROP NOT NULL, ALTER owner DROP NOT NULL, ALTER is_default DROP NOT NULL,
	ALTER created_at DROP NOT NULL, ALTER options DROP NOT NULL, ALTER mean DROP NOT NULL;
SAVEPOINT s;
UPDATE mf_models SET factors = NULL WHERE schema = 'mf_catalog' AND model = 'stars';
SELECT mf_predict(1, 3, 'stars');
ROLLBACK TO s;
UPDATE mf_models SET options = NULL WHERE schema = 'mf_catalog' AND model = 'stars';
SELECT mf_predict(1, 3, 'stars');
ROLLBACK TO s;
ALTER TABLE mf_models DISABLE TRIGGER mf_guard;
UPDATE mf_models SET owner = NULL, is_default = NULL, created_at = NULL WHERE schema = 'mf_catalog' AND model = 'clicks';
SELECT mf_default();
SELECT mf_predict(1, 3, 'clicks');
ROLLBACK TO s;
-- A history that cannot be drawn
UPDATE mf_history SET objective = 'NaN' WHERE schema = 'mf_catalog' AND model = 'stars';
SELECT length(mf_history_svg('stars'));
ROLLBACK TO s;
UPDATE mf_history SET objective = 1e308 * (iteration * 2 - 3), error = 1e17 + 16 * iteration WHERE schema = 'mf_catalog' AND model = 'stars';
SELECT length(mf_history_svg('stars')) > 1000 AS drawn;
ROLLBACK;

-- Each column with another type, or gone, or under another name
CREATE FUNCTION altered(what regclass, alteration text, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	state text;
	said text;
	more text;
BEGIN
	FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = what AND contype = 'c' LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', what, c.conname);
	END LOOP;
	EXECUTE format('ALTER TABLE %s %s', what, alteration);
	EXECUTE 'SELECT ' || call INTO said;
	RAISE EXCEPTION 'served' USING ERRCODE = '00001';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, said = MESSAGE_TEXT, more = PG_EXCEPTION_DETAIL;
	RETURN state || ' ' || said || coalesce(': ' || nullif(more, ''), '');
END $$;
SELECT attnum, altered(attrelid::regclass, format('ALTER %I DROP DEFAULT, ALTER %1$I DROP NOT NULL, ALTER %1$I TYPE %s USING NULL', attname,
		CASE atttypid WHEN 'text'::regtype THEN 'varchar' ELSE 'text' END),
	'mf_predict(1, 3, ''stars'')')
FROM pg_attribute WHERE attrelid = 'mf_models'::regclass AND attnum > 2 ORDER BY attnum;
SELECT DISTINCT alteration, altered('mf_models', alteration, call)
FROM (VALUES ('ALTER model TYPE text'), ('ALTER schema TYPE name COLLATE "POSIX"'), ('DROP factors'), ('DROP settings'), ('RENAME mean TO average'),
		('DROP CONSTRAINT mf_models_pkey'), ('DROP CONSTRAINT mf_models_pkey, ADD PRIMARY KEY (model, schema)'), ('RENAME TO models'),
		('ADD note text'), ('ALTER held_out TYPE numeric')) a (alteration),
	(VALUES ('mf_predict(1, 3, ''stars'')'), ('mf_default()'), ('mf_drop(''stars'')'),
		('mf_train(''ratings'', model => ''stars'', factors => 2, iterations => 1, verbose => false)')) c (call)
WHERE alteration <> 'ADD note text' OR call LIKE 'mf_d%' ORDER BY 1, 2;
SELECT alteration, altered('mf_history', alteration, call)
FROM (VALUES ('ALTER iteration TYPE bigint'), ('ALTER schema TYPE text'), ('ALTER error TYPE text'), ('DROP objective'), ('RENAME TO history')) a (alteration),
	(VALUES ('length(mf_history_svg(''stars''))'),
		('mf_train(''ratings'', model => ''stars'', factors => 2, iterations => 1, verbose => false)')) c (call);

-- A model's tables are its owner's to write, and so are Gramians.
BEGIN;
SAVEPOINT s;
UPDATE clicks_items SET ratings = -5 WHERE item_id = 3;
SELECT count(*) FROM mf_map('clicks');
ROLLBACK TO s;
SELECT * FROM mf_refresh('clicks');
ROLLBACK TO s;
UPDATE clicks_users SET ratings = -5 WHERE user_id = 3;
SELECT * FROM mf_refresh('clicks');
ROLLBACK TO s;
ALTER TABLE clicks_users ALTER ratings DROP NOT NULL;
UPDATE clicks_users SET ratings = NULL WHERE user_id = 3;
SELECT * FROM mf_refresh('clicks');
ROLLBACK TO s;
UPDATE clicks_items SET factors = '{NaN,0,Infinity,0}' WHERE item_id = 3;
SELECT mf_predict(1, 3, 'clicks'), (SELECT count(*) FROM mf_topk(1, 100, 'clicks')) < 15 AS ranked, (SELECT count(*) FROM mf_topk_all(100, 'clicks')) > 0 AS all_ranked;
SELECT count(*) FROM mf_map('clicks');
ROLLBACK TO s;
UPDATE clicks_items SET factors = '{1,2,3}' WHERE item_id = 3;
SELECT mf_predict(1, 3, 'clicks');
ROLLBACK TO s;
UPDATE mf_models SET gramian_items = array_fill('NaN'::real, ARRAY[4, 4]), unobserved_weight = 1 WHERE schema = 'mf_catalog' AND model = 'clicks';
SELECT count(*) FROM mf_topk_for(ARRAY[1, 2], NULL, 3, 'clicks');
ROLLBACK TO s;
-- A policy that gives other rows when the users are read for the second time
CREATE ROLE regress_catalog_reader;
GRANT ALL ON SCHEMA mf_catalog TO regress_catalog_reader;
GRANT ALL ON ALL TABLES IN SCHEMA mf_catalog TO regress_catalog_reader;
CREATE SEQUENCE looks;
GRANT ALL ON looks TO regress_catalog_reader;
ALTER TABLE stars_users ENABLE ROW LEVEL SECURITY;
CREATE POLICY fickle ON stars_users USING (nextval('mf_catalog.looks') NOT BETWEEN 21 AND 25);
SET LOCAL ROLE regress_catalog_reader;
SELECT count(*) FROM mf_topk_all(3, 'stars', exclude_seen => false);
ROLLBACK;

-- An option that cannot be read concerns its model alone, though it is flagged as the default of a schema that others use.
CREATE ROLE regress_catalog_intruder;
CREATE ROLE regress_catalog_keeper;
GRANT ALL ON SCHEMA mf_catalog TO regress_catalog_intruder, regress_catalog_keeper;
GRANT SELECT ON ratings TO regress_catalog_intruder, regress_catalog_keeper;
SELECT mf_drop('clicks'), mf_drop('stars');
SET ROLE regress_catalog_intruder;
SELECT users FROM mf_train('ratings', model => 'first', factors => 2, verbose => false);
UPDATE mf_models SET options = '{"min_rating": "none"}' WHERE schema = 'mf_catalog' AND model = 'first';
SELECT mf_default();
SELECT mf_predict(1, 2);
SET ROLE regress_catalog_keeper;
SELECT users FROM mf_train('ratings', model => 'keepers', factors => 2, verbose => false);
SELECT mf_default();
SELECT mf_predict(1, 2, 'keepers') IS NOT NULL AS served;
RESET ROLE;
SELECT users FROM mf_train('ratings', model => 'mine', factors => 2, verbose => false);
SELECT mf_default('mine');
SELECT mf_default();
SELECT mf_drop('first'), mf_drop('keepers'), mf_drop('mine');
DROP SCHEMA mf_catalog CASCADE;
DROP ROLE regress_catalog_intruder, regress_catalog_keeper;

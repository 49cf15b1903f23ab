--
-- A model and its ratings under other collations than those it was trained with:
-- ids are found whatever their order, and none is deleted for it
--
SELECT count(*) < 2 AS no_icu FROM pg_collation WHERE collname IN ('en-x-icu', 'und-x-icu') \gset
\if :no_icu
\quit
\endif
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA collations;
SET search_path = collations, public;
CREATE TABLE ratings (user_id text COLLATE "C", item_id text COLLATE "en-x-icu", rating real);
-- In "C" all capitals come before all small letters
CREATE FUNCTION letter(k int) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN k % 2 = 0 THEN upper(chr(96 + k)) ELSE chr(96 + k) END $$;
INSERT INTO ratings SELECT letter(u), letter(i), 1 + (u * i) % 5
FROM generate_series(1, 20) u, generate_series(1, 20) i WHERE (u * 7 + i * 3) % 11 > 4;
SELECT users, items FROM mf_train('ratings', model => 'm', factors => 4, verbose => false);
CREATE FUNCTION look() RETURNS TABLE (users text, items text, missing bigint, recorded bigint) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(user_id, '' ORDER BY lower(user_id) COLLATE "C", user_id COLLATE "C") FROM m_users),
		(SELECT string_agg(item_id, '' ORDER BY lower(item_id) COLLATE "C", item_id COLLATE "C") FROM m_items),
		(SELECT count(*) FROM (SELECT user_id COLLATE "C" FROM ratings EXCEPT SELECT user_id COLLATE "C" FROM m_users) x),
		(SELECT m.users FROM mf_models m WHERE schema = 'collations' AND model = 'm') $$;
SELECT * FROM look();
ALTER TABLE ratings ALTER user_id TYPE text COLLATE "en-x-icu", ALTER item_id TYPE text COLLATE "C";
SELECT * FROM mf_refresh('m');
SELECT * FROM mf_refresh('m', users => ARRAY['a', 'B', 'zz'], items => ARRAY['c']);
SELECT * FROM look();
INSERT INTO ratings VALUES ('Za', 'a', 3), ('b', 'B', 4);
DELETE FROM ratings WHERE user_id = 'T';
SELECT * FROM mf_refresh('m');
SELECT * FROM look();
-- A retraining starts from what is there: of an unchanged table the first error is the last one's
SELECT users, items FROM mf_train('ratings', model => 'm', factors => 4, iterations => 60, verbose => false);
CREATE TABLE first AS SELECT error FROM mf_history WHERE schema = 'collations' AND model = 'm' ORDER BY iteration DESC LIMIT 1;
SELECT users, items FROM mf_retrain('m', iterations => 1, verbose => false);
SELECT abs(h.error - first.error) < 0.02 * first.error AS warm FROM mf_history h, first WHERE schema = 'collations' AND model = 'm' AND iteration = 1;
SELECT users, items FROM mf_train('ratings', model => 'm', factors => 4, verbose => false);
SELECT * FROM look();

-- Ids that are one under a collation that is not deterministic, and two under another
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE loose (user_id text COLLATE any_case, item_id int, rating real);
INSERT INTO loose SELECT CASE WHEN i % 2 = 0 THEN upper(chr(96 + u)) ELSE chr(96 + u) END, i, 1 + (u * i) % 5
FROM generate_series(1, 15) u, generate_series(1, 12) i WHERE (u + i) % 3 > 0;
SELECT users FROM mf_train('loose', model => 'l', factors => 3, verbose => false);
UPDATE loose SET user_id = upper(user_id), rating = 2 WHERE user_id IN ('a', 'B');
SELECT users, new_users, gone_users FROM mf_refresh('l');
SELECT users, gone_users FROM mf_refresh('l', users => ARRAY['C', 'c']);
ALTER TABLE loose ALTER user_id TYPE text COLLATE "C";
SELECT count(DISTINCT user_id) AS users_now FROM loose;
\set VERBOSITY default
SELECT * FROM mf_refresh('l');
\set VERBOSITY terse
SELECT * FROM mf_refresh('l', users => ARRAY['a']);
SELECT * FROM mf_retrain('l');
SELECT * FROM mf_train('loose', model => 'l', factors => 3, verbose => false);
SELECT count(*) FROM l_users;
ALTER TABLE l_users ALTER user_id TYPE text COLLATE "C";
SELECT users > 15 AS more, new_users > 0 AS new_ones, gone_users FROM mf_refresh('l');
SELECT count(*) = (SELECT count(DISTINCT user_id) FROM loose) AS all_there FROM l_users;
SELECT users > 15 AS more FROM mf_retrain('l', verbose => false);
-- ... and back, which the model's own rows stand against
ALTER TABLE loose ALTER user_id TYPE text COLLATE any_case;
SELECT * FROM mf_refresh('l');
SELECT mf_drop('l');
SELECT users FROM mf_train('loose', model => 'l', factors => 3, verbose => false);

DELETE FROM mf_history WHERE schema = 'collations';
DELETE FROM mf_models WHERE schema = 'collations';
DROP SCHEMA collations CASCADE;

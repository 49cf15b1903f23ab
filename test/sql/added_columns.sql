-- A column that was added with a default is not in the rows of before: whoever reads
-- them sees the default all the same, by the primary key's index, by where a row was
-- found before, or by a scan.
SET client_min_messages = warning;
CREATE SCHEMA added_columns;
SET search_path = added_columns, public;
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE (u * 7 + i * 3) % 4 = 0;
SELECT users, items FROM mf_train('ratings', model => 'm', factors => 4, verbose => false);

-- What all functions that read a row say of it
CREATE FUNCTION answers() RETURNS TABLE (name text, answer text) LANGUAGE sql AS $$
	SELECT 'mf_predict', md5(string_agg(mf_predict(u, i, 'm')::text, ',' ORDER BY n, u, i))
	FROM generate_series(1, 3) n, generate_series(1, 41) u, generate_series(1, 31) i
	UNION ALL SELECT 'mf_topk', md5(string_agg(t::text, '' ORDER BY u)) FROM generate_series(1, 40) u, mf_topk(u, 3, 'm') t
	UNION ALL SELECT 'mf_topk live', md5(string_agg(t::text, '' ORDER BY u)) FROM generate_series(1, 40) u, mf_topk(u, 3, 'm', live => true) t
	UNION ALL SELECT 'candidates', md5(string_agg(t::text, '' ORDER BY u)) FROM generate_series(1, 40) u, mf_topk(u, 3, 'm', candidates => '{1,2,3,4,5}') t
	UNION ALL SELECT 'mf_topk_for', md5(string_agg(t::text, '' ORDER BY i)) FROM generate_series(1, 30) i, mf_topk_for(ARRAY[i, 2], NULL, 3, 'm') t
	UNION ALL SELECT 'mf_topk_all', md5(string_agg(t::text, '' ORDER BY user_id, rank)) FROM mf_topk_all(3, 'm') t
	UNION ALL SELECT 'mf_similar_items', md5(string_agg(t::text, '' ORDER BY i)) FROM generate_series(1, 30) i, mf_similar_items(i, 3, 'm') t
	UNION ALL SELECT 'mf_explain', md5(string_agg(t::text, '' ORDER BY i)) FROM generate_series(1, 30) i, mf_explain(1, i, 3, 'm') t
	UNION ALL SELECT 'mf_fold_in', md5(string_agg(v, '' ORDER BY user_id)) FROM (SELECT user_id, mf_fold_in(item_id, rating, 'm')::text AS v FROM ratings GROUP BY 1) s
	UNION ALL SELECT 'mf_map', md5(string_agg(t::text, '' ORDER BY id)) FROM mf_map('m', 'users') t
	UNION ALL SELECT 'mf_evaluate', md5(string_agg(t::text, '')) FROM mf_evaluate('m', 'ratings', exclude_train => false) t $$;

ALTER TABLE m_users DROP COLUMN bias;
ALTER TABLE m_users ADD COLUMN bias real NOT NULL DEFAULT 0.25;
ALTER TABLE m_items DROP COLUMN bias, DROP COLUMN factors;
ALTER TABLE m_items ADD COLUMN bias real NOT NULL DEFAULT -0.5, ADD COLUMN factors real[] NOT NULL DEFAULT '{1,-0.5,0.25,0}';
CREATE TABLE before AS SELECT * FROM answers();
SELECT round(mf_predict(1, 3, 'm')::numeric, 4) = (SELECT round((mean + 0.25 - 0.5 - (m_users.factors <#> '{1,-0.5,0.25,0}'))::numeric, 4)
	FROM mf_models, m_users WHERE schema = 'added_columns' AND user_id = 1) AS predicted;

-- Rows that have them say the same.
UPDATE m_users SET bias = bias;
UPDATE m_items SET bias = bias, factors = factors;
SELECT name, b.answer = a.answer AS same FROM before b JOIN answers() a USING (name) ORDER BY name;

-- So do refreshing and training again.
ALTER TABLE m_users DROP COLUMN bias, ADD COLUMN more int DEFAULT 7;
ALTER TABLE m_users ADD COLUMN bias real NOT NULL DEFAULT 0.25;
SELECT refreshed_users > 0 AS refreshed FROM (SELECT (mf_refresh('m', ARRAY[1, 2], NULL::int[])).*) t (refreshed_users);
SELECT users, items FROM mf_retrain('m', iterations => 2, verbose => false);
SELECT count(*), count(DISTINCT bias) > 1 AS biases, min(more), max(more) FROM m_users;

SELECT mf_drop('m');
DROP SCHEMA added_columns CASCADE;

--
-- mf_holdout and mf_evaluate: a split, and a judgement by hand and by slow SQL
--
SET client_min_messages = warning;
CREATE SCHEMA evaluating;
SET search_path = evaluating, public;
SET extra_float_digits = 0;

-- ---------------------------------------------------------------------------
-- mf_holdout
-- ---------------------------------------------------------------------------

-- a split is for ever: these pairs are held out in every version, on every machine
SELECT string_agg(u || '/' || i, ' ' ORDER BY u, i) AS held_out
FROM generate_series(1, 10) u, generate_series(1, 10) i
WHERE mf_holdout(u, i, 0.1, 42);

-- an id is its text, whatever its type
SELECT count(*) AS differ
FROM generate_series(1, 50) u, generate_series(1, 50) i
WHERE mf_holdout(u, i) <> mf_holdout(u::bigint, i::smallint)
   OR mf_holdout(u, i) <> mf_holdout(u::text, i::numeric);
SELECT mf_holdout('ann', 7, 0.5) = mf_holdout('ann'::text, '7'::varchar, 0.5) AS literal;

-- the fraction, a larger one with the same pairs and more, another seed, and no symmetry
SELECT round(avg(mf_holdout(u, i, 0.2)::int), 2) AS fraction,
	   count(*) FILTER (WHERE mf_holdout(u, i, 0.1) AND NOT mf_holdout(u, i, 0.2)) AS lost,
	   round(avg((mf_holdout(u, i, 0.5, 1) = mf_holdout(u, i, 0.5, 2))::int), 1) AS same_by_chance,
	   round(avg((mf_holdout(u, i, 0.5) = mf_holdout(i, u, 0.5))::int), 1) AS mirrored_by_chance,
	   count(*) FILTER (WHERE mf_holdout(u, i, 0)) AS none,
	   count(*) FILTER (WHERE NOT mf_holdout(u, i, 1)) AS all_but
FROM generate_series(1, 300) u, generate_series(1, 300) i;

-- settings that change a text do not change the split
SET DateStyle = 'ISO';
CREATE TABLE stamps AS
SELECT t, mf_holdout(t, 1, 0.5) AS held_out
FROM generate_series(timestamptz '2020-01-01 00:00+00', '2020-03-01 00:00+00', '1 day') t;
SET DateStyle = 'German';
SET TimeZone = 'Asia/Tokyo';
SELECT count(*) AS stamps, count(*) FILTER (WHERE held_out <> mf_holdout(t, 1, 0.5)) AS differ FROM stamps;
RESET TimeZone;
RESET DateStyle;

-- immutable: an index may use it; NULL in, NULL out; a fraction is one
CREATE TABLE pairs (u int, i int);
CREATE INDEX ON pairs (u) WHERE mf_holdout(u, i);
SELECT mf_holdout(NULL::int, 1) IS NULL AS null_in;
SELECT mf_holdout(1, 2, 1.5);
SELECT mf_holdout(1, 2, 'NaN');

-- ---------------------------------------------------------------------------
-- By hand
-- ---------------------------------------------------------------------------

CREATE TABLE training (user_id int, item_id int, rating real);
INSERT INTO training VALUES (1, 1, 4), (2, 2, 2), (3, 3, 3), (3, 4, 3), (3, 5, 5), (3, 6, 1);
CREATE TABLE testing (user_id int, item_id int, rating real);
INSERT INTO testing VALUES
	(1, 3, 5), (1, 5, 4), (1, 6, 2), (2, 5, 5), (2, 1, 1), (3, 1, 4),
	(2, 2, 2),					-- in training too
	(9, 1, 4), (1, 99, 3);		-- unknown: predicted by the mean and what bias there is
SELECT users, items FROM mf_train('training', model => 'hand', factors => 2, verbose => false);
UPDATE hand_users SET bias = 0, factors = CASE user_id WHEN 1 THEN '{1,0}' WHEN 2 THEN '{0,1}' ELSE '{1,1}' END::real[];
UPDATE hand_items SET bias = 0, factors = (ARRAY['{2,0}', '{1.5,0.5}', '{1,0}', '{0.5,1}', '{0,1}', '{-1,-1}'])[item_id]::real[];

-- User 1 is shown 2, 3 (then 4, 5, 6), wants 3 and 5; user 2 is shown 4, 5, which
-- tie (then 1, 3, 6), wants 5; user 3 is shown 1, 2, which tie, wants 1. So
--	precision 1/2 1/2 1/2		recall 1/2 1 1			hit rate 1 1 1
--	NDCG 0.38685 0.63093 1		AP 1/4 1/2 1			RR 1/2 1/2 1
--	AUC (2/3 + 1/3)/2, 3.5/4, 1/2					coverage 5 of 6
--	diversity 0.05132 0.10557 0.05132				each item has one user of three
-- Errors: -1 -1 0 -1 2 1 -1 0.
CREATE FUNCTION shown(double precision) RETURNS numeric LANGUAGE sql RETURN round($1::numeric, 5);
\x
SELECT method, shown(rmse) AS rmse, shown(mae) AS mae, shown(precision) AS precision, shown(recall) AS recall,
	   shown(ndcg) AS ndcg, shown(map) AS map, shown(mrr) AS mrr, shown(hit_rate) AS hit_rate,
	   shown(auc) AS auc, shown(coverage) AS coverage, shown(diversity) AS diversity,
	   shown(popularity) AS popularity, shown(novelty) AS novelty,
	   users, pairs, relevant_pairs, in_training, unknown_users, unknown_items, unknown_pairs
FROM mf_evaluate('hand', 'testing', k => 2, relevant => 4);
\x
-- what training has too is said, and left out or not
SET client_min_messages = notice;
SELECT pairs, in_training, relevant_pairs FROM mf_evaluate('hand', 'testing', k => 2);
SELECT pairs, in_training, relevant_pairs, shown(rmse) FROM mf_evaluate('hand', 'testing', k => 2, exclude_train => false);
SET client_min_messages = warning;

-- a list longer than the catalogue is the catalogue; nothing relevant is no ranking
SELECT shown(precision) AS precision, shown(recall) AS recall, coverage, users FROM mf_evaluate('hand', 'testing', k => 100, relevant => 4);
SELECT ndcg, auc, coverage, users, relevant_pairs, shown(rmse) AS rmse FROM mf_evaluate('hand', 'testing', relevant => 6);

-- rows with a NULL are left out, and told; a pair that comes twice counts once; one
-- of nobody and nothing known is predicted by the mean, and ranked for no one
CREATE TABLE testing_nulls AS
SELECT * FROM testing UNION ALL VALUES (NULL, 3, 5), (1, NULL, 5), (2, 4, NULL), (1, 3, 5);
SET client_min_messages = notice;
SELECT users, pairs, relevant_pairs, in_training, shown(rmse) AS rmse, shown(ndcg) AS ndcg FROM mf_evaluate('hand', 'testing_nulls', k => 2, relevant => 4);
SET client_min_messages = warning;
CREATE TABLE strangers AS SELECT 77 AS user_id, 88 AS item_id, 5::real AS rating;
SELECT method, rmse = 2, mae = 2, ndcg, auc, coverage, diversity, novelty, users, pairs, relevant_pairs, unknown_users, unknown_items, unknown_pairs
FROM mf_evaluate('hand', 'strangers', baselines => true);

-- both baselines by hand. Popular: each item has one user, so the ties go by item:
-- user 1 is shown 2, 3, user 2 1, 3, user 3 1, 2. The biases: each has its row's
-- only residual from 3, or of user 3's four (3, 3, 5, 1), and lambda_b is 4:
-- b_1 and b_item1 share 1: 1/6 each; b_2 and b_item2 share -1: -1/6; user 3's sum
-- is 0, items 5 and 6 have 2/5 and -2/5. So user 1 is shown 5, 3, user 2 5, 1, user
-- 3 1, 2. AUC: 5.5/6, 1, 1. Errors, in 30ths: -55 -13 23 -53 60 -25 -25 5.
SELECT method, shown(precision) AS precision, shown(recall) AS recall, shown(ndcg) AS ndcg, shown(map) AS map, shown(mrr) AS mrr,
	   shown(hit_rate) AS hit_rate, shown(coverage) AS coverage, shown(auc) AS auc, shown(rmse) AS rmse, shown(mae) AS mae
FROM mf_evaluate('hand', 'testing', k => 2, relevant => 4, baselines => true) WHERE method <> 'model';

-- ids of other types, columns of other names, a part of training given as train
CREATE TABLE testing_text AS SELECT user_id::text AS who, item_id::bigint AS what, rating::numeric AS stars FROM testing;
SELECT a = b AS same
FROM mf_evaluate('hand', 'testing', k => 2, relevant => 4) a,
	 mf_evaluate('hand', 'testing_text', 'who', 'what', 'stars', k => 2, relevant => 4) b;
CREATE VIEW less_training AS SELECT * FROM training WHERE user_id <> 2;
SELECT pairs, in_training FROM mf_evaluate('hand', 'testing', train => 'less_training');

-- ---------------------------------------------------------------------------
-- Slow SQL, for the model and both baselines
-- ---------------------------------------------------------------------------

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id,
	   (3 + CASE WHEN u % 3 = i % 3 THEN 1.5 ELSE -0.5 END + (hashint4(u * 1000 + i) % 3) / 2.0)::real AS rating
FROM generate_series(1, 120) u, generate_series(1, 90) i
WHERE hashint4(u * 7919 + i) % 4 = 0 AND hashint4(i) % 100 < u;
CREATE VIEW learn AS SELECT * FROM ratings WHERE NOT mf_holdout(user_id, item_id, 0.3);
CREATE VIEW exam AS SELECT * FROM ratings WHERE mf_holdout(user_id, item_id, 0.3);
SELECT count(*) > 500 AS enough FROM exam;
SELECT users > 80 AS users, items > 80 AS items FROM mf_train('learn', model => 'm', factors => 5, iterations => 3, verbose => false);

-- the biases, by turns
CREATE TABLE b_u AS SELECT DISTINCT user_id, 0::float8 AS b FROM learn;
CREATE TABLE b_i AS SELECT DISTINCT item_id, 0::float8 AS b FROM learn;
DO $$
DECLARE
	mu float8 := (SELECT avg(rating::float8) FROM learn);
BEGIN
	FOR turn IN 1 .. 60 LOOP
		UPDATE b_i SET b = n.b FROM (SELECT l.item_id, sum(l.rating - mu - b_u.b) / (count(*) + 4) AS b
			FROM learn l JOIN b_u USING (user_id) GROUP BY 1) n WHERE n.item_id = b_i.item_id;
		UPDATE b_u SET b = n.b FROM (SELECT l.user_id, sum(l.rating - mu - b_i.b) / (count(*) + 4) AS b
			FROM learn l JOIN b_i USING (item_id) GROUP BY 1) n WHERE n.user_id = b_u.user_id;
	END LOOP;
END $$;

CREATE TABLE scores AS
SELECT 'model' AS method, u.user_id, i.item_id, i.bias - (u.factors <#> i.factors) AS score,
	   greatest(rating_min, least(rating_max, mean + u.bias + i.bias - (u.factors <#> i.factors))) AS predicted
FROM m_users u CROSS JOIN m_items i CROSS JOIN mf_models WHERE model = 'm'
UNION ALL
SELECT 'popular', u.user_id, i.item_id, i.ratings, NULL FROM m_users u CROSS JOIN m_items i
UNION ALL
SELECT 'biases', u.user_id, i.item_id, i.b::real,
	   greatest(l.low, least(l.high, l.mu + u.b + i.b))
FROM b_u u CROSS JOIN b_i i CROSS JOIN (SELECT avg(rating::float8) AS mu, min(rating) AS low, max(rating) AS high FROM learn) l;

CREATE TABLE slow AS
WITH relevant AS (
	SELECT user_id, item_id FROM exam WHERE rating >= 4
		AND user_id IN (SELECT user_id FROM m_users) AND item_id IN (SELECT item_id FROM m_items)
), people AS (
	SELECT user_id, count(*) AS n, least(7, count(*)) AS possible FROM relevant GROUP BY 1
), ranked AS (
	SELECT s.method, user_id, item_id, s.score, r.item_id IS NOT NULL AS hit, p.possible,
		   row_number() OVER (PARTITION BY s.method, user_id ORDER BY s.score DESC, item_id) AS place
	FROM scores s JOIN people p USING (user_id) LEFT JOIN relevant r USING (user_id, item_id)
	WHERE NOT EXISTS (SELECT FROM learn l WHERE l.user_id = s.user_id AND l.item_id = s.item_id)
), list AS (
	SELECT *, count(*) FILTER (WHERE hit) OVER (PARTITION BY method, user_id ORDER BY place) AS hits
	FROM ranked WHERE place <= 7
), per_user AS (
	SELECT method, user_id,
		   count(*) FILTER (WHERE hit) / 7.0::float8 AS precision,
		   count(*) FILTER (WHERE hit) / max(possible)::float8 AS recall,
		   coalesce(sum(1 / ln(place + 1.0::float8)) FILTER (WHERE hit), 0)
			/ (SELECT sum(1 / ln(j + 1.0::float8)) FROM generate_series(1, max(possible)) j) AS ndcg,
		   coalesce(sum(hits / place::float8) FILTER (WHERE hit), 0) / max(possible) AS ap,
		   coalesce(1.0::float8 / min(place) FILTER (WHERE hit), 0) AS rr,
		   bool_or(hit)::int AS hit,
		   avg(i.ratings / (SELECT count(DISTINCT user_id) FROM learn)::float8) AS popularity,
		   avg(- ln(i.ratings / (SELECT count(DISTINCT user_id) FROM learn)::float8) / ln(2::float8)) AS novelty
	FROM list JOIN m_items i USING (item_id) GROUP BY 1, 2
), auc AS (
	SELECT a.method, a.user_id, avg(CASE WHEN a.score > b.score THEN 1 WHEN a.score = b.score THEN 0.5 ELSE 0 END) AS auc
	FROM ranked a JOIN ranked b USING (method, user_id) WHERE a.hit AND NOT b.hit GROUP BY 1, 2
), diversity AS (
	SELECT a.method, a.user_id, avg(x.factors <=> y.factors) AS diversity
	FROM list a JOIN list b USING (method, user_id) JOIN m_items x ON x.item_id = a.item_id JOIN m_items y ON y.item_id = b.item_id
	WHERE a.item_id < b.item_id GROUP BY 1, 2
)
SELECT method, avg(precision) AS precision, avg(recall) AS recall, avg(ndcg) AS ndcg, avg(ap) AS map,
	   avg(rr) AS mrr, avg(hit) AS hit_rate, avg(auc) AS auc,
	   (SELECT count(DISTINCT item_id) FROM list l WHERE l.method = p.method) / (SELECT count(*) FROM m_items)::float8 AS coverage,
	   avg(diversity) AS diversity, avg(popularity) AS popularity, avg(novelty) AS novelty, count(*) AS users,
	   (SELECT sqrt(avg((predicted - rating) ^ 2)) FROM exam JOIN scores s USING (user_id, item_id) WHERE s.method = p.method) AS rmse,
	   (SELECT avg(abs(predicted - rating)) FROM exam JOIN scores s USING (user_id, item_id) WHERE s.method = p.method) AS mae
FROM per_user p JOIN auc USING (method, user_id) JOIN diversity USING (method, user_id)
GROUP BY 1;

-- every pair is of a known user and item, so that errors are over the same pairs
CREATE TABLE fast AS SELECT * FROM mf_evaluate('m', 'exam', k => 7, relevant => 4, baselines => true);
SELECT method, unknown_pairs, in_training, f.users = s.users AS users,
	   abs(f.precision - s.precision) < 1e-9 AS precision, abs(f.recall - s.recall) < 1e-9 AS recall,
	   abs(f.ndcg - s.ndcg) < 1e-9 AS ndcg, abs(f.map - s.map) < 1e-9 AS map, abs(f.mrr - s.mrr) < 1e-9 AS mrr,
	   abs(f.hit_rate - s.hit_rate) < 1e-9 AS hit_rate, abs(f.auc - s.auc) < 1e-9 AS auc,
	   abs(f.coverage - s.coverage) < 1e-9 AS coverage, abs(f.diversity - s.diversity) < 1e-6 AS diversity,
	   abs(f.popularity - s.popularity) < 1e-9 AS popularity, abs(f.novelty - s.novelty) < 1e-9 AS novelty,
	   abs(f.rmse - s.rmse) < 1e-5 AS rmse, abs(f.mae - s.mae) < 1e-5 AS mae
FROM fast f JOIN slow s USING (method) ORDER BY method;

-- Behind a sigmoid a model's own penalty of the biases is on another scale: the
-- baseline is the same beside it.
SELECT mf_train('learn', model => 'curved', factors => 2, iterations => 1, verbose => false, options => '{"rating_range": "[0,6]"}') IS NOT NULL AS trained;
SELECT c.rmse = f.rmse AND c.mae = f.mae AS same_baseline
FROM fast f, mf_evaluate('curved', 'exam', k => 7, relevant => 4, baselines => true) c
WHERE c.method = 'biases' AND f.method = 'biases';

-- the lists are those of mf_topk
SELECT count(DISTINCT t.item) = (SELECT round(coverage * (SELECT count(*) FROM m_items)) FROM fast WHERE method = 'model') AS same_items
FROM (SELECT DISTINCT user_id FROM exam WHERE rating >= 4) e, mf_topk(e.user_id, 7, 'm') t;

-- ---------------------------------------------------------------------------
-- Implicit feedback; workers
-- ---------------------------------------------------------------------------

SELECT users > 0 AS users FROM mf_train('learn', model => 'seen', rating_col => NULL, feedback => 'implicit', factors => 4, verbose => false);
SELECT method, rmse, mae, ndcg > 0 AS ndcg, auc > 0.4 AS auc, users > 0 AS users FROM mf_evaluate('seen', 'exam', baselines => true);
-- what is relevant is of the test alone
SELECT * FROM mf_evaluate('seen', 'exam', relevant => 4);
SELECT relevant_pairs = (SELECT count(*) FROM exam JOIN seen_users USING (user_id) JOIN seen_items USING (item_id) WHERE rating >= 4) AS relevant
FROM mf_evaluate('seen', 'exam', rating_col => 'rating', relevant => 4);
CREATE VIEW middling AS SELECT *, (rating BETWEEN 3 AND 4)::int AS wanted FROM exam;
SELECT relevant_pairs = (SELECT count(*) FROM exam JOIN m_users USING (user_id) JOIN m_items USING (item_id) WHERE rating BETWEEN 3 AND 4) AS relevant
FROM mf_evaluate('m', 'middling', rating_col => 'wanted', relevant => 1);
DROP VIEW middling;

-- any number of workers gives the same to the bit
CREATE TABLE many AS
SELECT u AS user_id, (hashint4(u * 31 + k) & 8191) AS item_id, (1 + (hashint4(u * 17 + k) & 3))::real AS rating
FROM generate_series(1, 8000) u, generate_series(1, 16) k;
CREATE VIEW many_learn AS SELECT * FROM many WHERE NOT mf_holdout(user_id, item_id);
CREATE VIEW many_exam AS SELECT * FROM many WHERE mf_holdout(user_id, item_id);
SELECT users, items > 8000 AS items FROM mf_train('many_learn', model => 'big', factors => 64, iterations => 1, verbose => false, options => '{"index": false}');
SET max_parallel_maintenance_workers = 2;
CREATE TABLE parallel AS SELECT * FROM mf_evaluate('big', 'many_exam');
SET max_parallel_maintenance_workers = 0;
CREATE TABLE alone AS SELECT * FROM mf_evaluate('big', 'many_exam');
SET maintenance_work_mem = '1MB';
CREATE TABLE little_memory AS SELECT * FROM mf_evaluate('big', 'many_exam');
RESET maintenance_work_mem;
RESET max_parallel_maintenance_workers;
SELECT (SELECT p FROM parallel p) = (SELECT a FROM alone a) AS same_alone, (SELECT a FROM alone a) = (SELECT l FROM little_memory l) AS same_in_little;

-- ---------------------------------------------------------------------------
-- What cannot be
-- ---------------------------------------------------------------------------

SELECT * FROM mf_evaluate('hand', 'testing', k => 0);
SELECT * FROM mf_evaluate('hand', 'testing', k => NULL);
SELECT * FROM mf_evaluate('hand', NULL);
SELECT * FROM mf_evaluate('nothing', 'testing');
SELECT * FROM mf_evaluate('hand', 'testing', user_col => 'who');
SELECT * FROM mf_evaluate('hand', 'testing', relevant => 'NaN');
SELECT * FROM mf_evaluate('hand', 'testing', baselines => NULL);
CREATE VIEW no_pairs AS SELECT * FROM testing WHERE false;
SELECT * FROM mf_evaluate('hand', 'no_pairs');
CREATE TABLE wrong_ids (user_id uuid, item_id int, rating real);
INSERT INTO wrong_ids VALUES ('00000000-0000-0000-0000-000000000000', 1, 1);
SELECT * FROM mf_evaluate('hand', 'wrong_ids');
BEGIN;
UPDATE hand_items SET factors = '{NaN,1}' WHERE item_id = 1;
SELECT * FROM mf_evaluate('hand', 'testing');
ROLLBACK;
ALTER TABLE training RENAME TO renamed;
SELECT * FROM mf_evaluate('hand', 'testing');
SELECT users FROM mf_evaluate('hand', 'testing', train => 'renamed');
ALTER TABLE renamed RENAME TO training;

-- the caller's rights, of the test, of training and of the model
CREATE ROLE regress_judge;
GRANT USAGE ON SCHEMA evaluating TO regress_judge;
SET ROLE regress_judge;
SELECT users FROM mf_evaluate('hand', 'testing');
RESET ROLE;
GRANT SELECT ON testing TO regress_judge;
SET ROLE regress_judge;
SELECT users FROM mf_evaluate('hand', 'testing');
RESET ROLE;
GRANT SELECT ON training TO regress_judge;
SET ROLE regress_judge;
SELECT users FROM mf_evaluate('hand', 'testing');
RESET ROLE;
GRANT SELECT ON hand_users, hand_items TO regress_judge;
ALTER TABLE testing ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON testing FOR SELECT TO regress_judge USING (user_id = 1);
SET ROLE regress_judge;
SELECT users, pairs FROM mf_evaluate('hand', 'testing');
RESET ROLE;

DROP VIEW many_learn, many_exam, learn, exam, less_training, no_pairs;
SELECT mf_drop(model) FROM mf_models WHERE schema = 'evaluating' ORDER BY model;
DROP SCHEMA evaluating CASCADE;
DROP ROLE regress_judge;

--
-- mf_tune: a search, resumed, and its best used by mf_train
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE SCHEMA tuning;
SET search_path = tuning, public;

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id,
	   (3 + CASE WHEN u % 3 = i % 3 THEN 1.5 ELSE -0.5 END + (hashint4(u * 1000 + i) % 3) / 2.0)::real AS rating
FROM generate_series(1, 120) u, generate_series(1, 90) i
WHERE hashint4(u * 7919 + i) % 4 = 0;

-- every combination, in order; the options stay as they are written
CALL mf_tune('ratings', grid => '{"factors": [2, 4], "regularization": [1, 100], "iterations": 4}', verbose => false,
	best => NULL, score => NULL) \gset
SELECT trial, options, source, users > 50 AS users, pairs > 100 AS pairs, error, seconds >= 0 AS seconds
FROM ratings_trials ORDER BY trial;
SELECT :'best'::jsonb = (SELECT options FROM ratings_trials ORDER BY rmse, trial LIMIT 1) AS best_is_the_least,
	   :score = (SELECT min(rmse) FROM ratings_trials) AS its_score;
SELECT protocol FROM ratings_trials LIMIT 1;

-- a trial is what anyone would get by hand
CREATE VIEW learn AS SELECT * FROM ratings WHERE NOT mf_holdout(user_id, item_id, 0.1, 1);
CREATE VIEW exam AS SELECT * FROM ratings WHERE mf_holdout(user_id, item_id, 0.1, 1);
SELECT users FROM mf_train('learn', model => 'by_hand', options => '{"factors": 4, "regularization": 1, "iterations": 4, "verbose": false}');
SELECT t.rmse = e.rmse AND t.ndcg = e.ndcg AND t.auc = e.auc AND t.pairs = e.pairs AS same
FROM mf_evaluate('by_hand', 'exam') e, ratings_trials t
WHERE t.options = '{"factors": 4, "regularization": 1, "iterations": 4}';

-- nothing is left of the trials but their rows
SELECT model FROM mf_models WHERE schema = 'tuning';
SELECT count(*) AS left_over FROM pg_class WHERE relname LIKE 'mf_tune%';

-- what has been tried is not tried again, though it would be told
SET client_min_messages = notice;
CALL mf_tune('ratings', grid => '{"factors": [2, 4, 6], "regularization": [1], "iterations": 4}', metric => 'pairs');
DO $$
DECLARE
	best jsonb;
	score float8;
BEGIN
	CALL mf_tune('ratings', grid => '{"factors": [2, 4], "regularization": [1, 100], "iterations": 4}', best => best, score => score);
	RAISE NOTICE 'found % again', best->'regularization';
END $$;
SET client_min_messages = warning;
SELECT max(finished_at) AS before FROM ratings_trials \gset
CALL mf_tune('ratings', grid => '{"factors": [2, 4, 6], "regularization": 1, "iterations": 4}', verbose => false) \gset
SELECT count(*) AS trials, count(*) FILTER (WHERE finished_at > :'before') AS new FROM ratings_trials;

-- another protocol is another trial; folds are averaged
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 4}', seed => 5, verbose => false, results => 'single') \gset
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 4}', seed => 6, verbose => false, results => 'single') \gset
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 4}', seed => 5, verbose => false, results => 'single', options => '{"folds": 2}') \gset
SELECT count(*) AS trials,
	   abs(sum(rmse) FILTER (WHERE protocol @> '{"folds": 1}') / 2 - sum(rmse) FILTER (WHERE protocol @> '{"folds": 2}')) < 1e-12 AS mean,
	   sum(pairs) FILTER (WHERE protocol @> '{"folds": 1}') = sum(pairs) FILTER (WHERE protocol @> '{"folds": 2}') AS pairs
FROM single;

-- a test of one's own; then ratings is trained on whole
CALL mf_tune('learn', grid => '{"factors": 4, "regularization": 1, "iterations": 4}', verbose => false, results => 'given', options => '{"test": "exam"}') \gset
SELECT g.rmse = t.rmse AS same FROM given g, ratings_trials t
WHERE t.options = '{"factors": 4, "regularization": 1, "iterations": 4}';

-- what mf_holdout left can be split again: the default seeds differ
CREATE VIEW rest AS SELECT * FROM ratings WHERE NOT mf_holdout(user_id, item_id);
CALL mf_tune('rest', grid => '{"factors": 2, "iterations": 1}', verbose => false) \gset
SELECT pairs > 100 AS pairs FROM rest_trials;

-- options of any type: holdout as data, numbers and words alike
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 2, "holdout": [0.1, "0.2"]}', verbose => false, results => 'nested') \gset
SELECT count(*) AS trials, count(rmse) AS judged FROM nested;
SELECT model, ratings < (SELECT count(*) FROM ratings) AS held_out
FROM mf_train('ratings', model => 'with_holdout', options => '{"factors": 2, "iterations": 2, "holdout": 0.1, "patience": 1, "verbose": false}');

-- and the column of times, wherever training needs it
CREATE TABLE dated AS SELECT *, date '2026-01-01' + user_id AS at FROM ratings;
CALL mf_tune('dated', grid => '{"factors": 2, "iterations": 2, "time_col": "at", "holdout": "time 0.2", "since": [null, "2026-01-31"]}', verbose => false) \gset
SELECT options->>'since' AS since, users FROM dated_trials ORDER BY trial;

-- random draws: different sets, inside their ranges, the same when called again
CALL mf_tune('ratings', grid => '{"factors": {"min": 2, "max": 5}, "regularization": {"min": 0.1, "max": 10, "log": true}, "reg_exponent": [0.5, 1], "iterations": 2}',
	trials => 6, verbose => false, results => 'drawn') \gset
CREATE TABLE first_drawn AS TABLE drawn;
SELECT count(DISTINCT options) AS sets, bool_and((options->>'factors')::int BETWEEN 2 AND 5) AS factors,
	   bool_and((options->>'regularization')::float8 BETWEEN 0.1 AND 10) AS regularization,
	   count(DISTINCT options->>'reg_exponent') AS reg_exponents
FROM drawn;
DELETE FROM drawn WHERE trial IN (2, 5);
CALL mf_tune('ratings', grid => '{"factors": {"min": 2, "max": 5}, "regularization": {"min": 0.1, "max": 10, "log": true}, "reg_exponent": [0.5, 1], "iterations": 2}',
	trials => 6, verbose => false, results => 'drawn') \gset
SELECT count(*) AS trials, count(*) FILTER (WHERE d.rmse = f.rmse) AS same FROM drawn d JOIN first_drawn f USING (options);

-- more draws than there are combinations are all of them
CALL mf_tune('ratings', grid => '{"factors": [1, 2, 3], "iterations": 1}', trials => 50, verbose => false, results => 'few') \gset
SELECT count(*) FROM few;

-- a training that diverges is a result, and the others go on
CALL mf_tune('ratings', grid => '{"regularization": [0, 1], "bias_regularization": 0, "factors": 90, "iterations": 2}', verbose => false, results => 'hard') \gset
SELECT options->'regularization' AS regularization, rmse IS NULL AS no_rmse, error FROM hard ORDER BY trial;
SELECT count(*) AS left_over FROM pg_class WHERE relname LIKE 'mf_tune%';

-- so is a combination that cannot be, as a grid may well have; called again, it is
-- not tried again, and where its row is deleted it is
CALL mf_tune('ratings', grid => '{"solver": ["als", "sgd"], "loss": ["squared", "bpr"], "optimizer": [null, "adam"], "factors": 2, "iterations": 1}',
	metric => 'ndcg', verbose => false, results => 'mixed') \gset
SELECT options->>'solver' AS solver, options->>'loss' AS loss, options->>'optimizer' AS optimizer, ndcg IS NOT NULL AS judged,
	   users, pairs > 100 AS pairs, error
FROM mixed ORDER BY trial;
SELECT :score = max(ndcg) AS best_of_the_others FROM mixed;
SET client_min_messages = notice;
CALL mf_tune('ratings', grid => '{"solver": "als", "loss": ["squared", "bpr"], "optimizer": null, "factors": 2, "iterations": 1}',
	metric => 'ndcg', results => 'mixed') \gset
DELETE FROM mixed WHERE options = '{"solver": "als", "loss": "bpr", "optimizer": null, "factors": 2, "iterations": 1}';
CALL mf_tune('ratings', grid => '{"solver": "als", "loss": ["squared", "bpr"], "optimizer": null, "factors": 2, "iterations": 1}',
	metric => 'ndcg', verbose => false, results => 'mixed') \gset
SET client_min_messages = warning;
SELECT count(*) AS left_over FROM pg_class WHERE relname LIKE 'mf_tune%';
-- and one that leaves nothing to train on, or nothing of a time that is none
CALL mf_tune('dated', grid => '{"factors": 2, "iterations": 1, "min_user_ratings": [1, 1000], "time_col": "at", "since": ["2026-01-31", "2027-01-01", "soon"]}',
	verbose => false, results => 'emptied') \gset
SELECT options->'min_user_ratings' AS least, options->>'since' AS since, rmse IS NOT NULL AS judged, error FROM emptied ORDER BY trial;
-- where all have failed, that is an error
\set VERBOSITY default
CALL mf_tune('ratings', grid => '{"solver": "als", "loss": ["logistic", "bpr"]}', verbose => false, results => 'none');
CALL mf_tune('ratings', grid => '{"solver": "als", "loss": ["logistic", "bpr"]}', verbose => false, results => 'none');
SELECT count(*) AS kept FROM none;
BEGIN;
CALL mf_tune('ratings', grid => '{"solver": "als", "loss": "bpr"}', verbose => false, results => 'undone');
ROLLBACK;

-- implicit feedback, by a metric of the ranking
CALL mf_tune('ratings', grid => '{"feedback": "implicit", "factors": [2, 3], "iterations": 2}', rating_col => NULL, metric => 'ndcg', verbose => false, results => 'seen') \gset
SELECT count(*) AS trials, :score = max(ndcg) AS best, count(rmse) AS rmse FROM seen;

-- a metric that there is not for this feedback is told
CALL mf_tune('ratings', grid => '{"feedback": "implicit", "factors": 2, "iterations": 2}', verbose => false, results => 'seen') \gset

-- trials are committed one by one: an error that is not of the options ends the
-- search, and what was found is kept
\set VERBOSITY terse
CALL mf_tune('dated', grid => '{"factors": 2, "iterations": 1, "since": "2026-01-31", "time_col": ["at", "when"]}', verbose => false, results => 'ended');
SELECT options FROM ended;
SELECT count(*) AS left_over FROM pg_class WHERE relname LIKE 'mf_tune%';

-- in a transaction block it is all or nothing
BEGIN;
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 1}', verbose => false, results => 'undone') \gset
SELECT count(*) FROM undone;
ROLLBACK;
SELECT to_regclass('undone');

-- types of the caller's own do not get in the way
CREATE SCHEMA shadow;
CREATE DOMAIN shadow.text AS pg_catalog.int4;
CREATE DOMAIN shadow.jsonb AS pg_catalog.int4;
SELECT current_setting('search_path') AS path \gset
SET search_path = shadow, pg_catalog, :path;
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 1}', verbose => false, results => 'tuning.shadowed') \gset
SET search_path = :path;
SELECT count(*) FROM shadowed;
DROP SCHEMA shadow CASCADE;

-- the best, passed on
SELECT model, users, iterations FROM mf_train('ratings', model => 'best', options => (SELECT options FROM ratings_trials ORDER BY rmse LIMIT 1) || '{"verbose": false, "index": false}');

-- what cannot be
\set SHOW_CONTEXT never
\set VERBOSITY terse
CALL mf_tune('ratings', grid => '{"factor": [2, 4]}');
CALL mf_tune('ratings', grid => '{"model": "x"}');
SELECT * FROM mf_train('ratings', options => '{"colour": 1}');
\set VERBOSITY default
CALL mf_tune('ratings', grid => '[]');
CALL mf_tune('ratings', grid => '{"factors": []}');
CALL mf_tune('ratings', grid => '{"factors": [[1]]}');
\set SHOW_CONTEXT errors
CALL mf_tune('ratings', grid => '{"factors": ["many"]}');
\set SHOW_CONTEXT never
CALL mf_tune('ratings', grid => '{"factors": {"min": 1, "max": 3}}');
CALL mf_tune('ratings', grid => '{"factors": {"min": 1}}', trials => 2);
CALL mf_tune('ratings', grid => '{"factors": {"min": 3, "max": 1}}', trials => 2);
CALL mf_tune('ratings', grid => '{"factors": {"min": 1, "max": 3, "step": 1}}', trials => 2);
CALL mf_tune('ratings', grid => '{"regularization": {"min": 0, "max": 3, "log": true}}', trials => 2);
CALL mf_tune('ratings', grid => '{"feedback": {"min": 0, "max": 3}}', trials => 2);
CALL mf_tune('ratings', grid => '{"factors": -1}', results => 'negative');
CALL mf_tune('ratings', grid => '{}', metric => 'accuracy');
CALL mf_tune('ratings', grid => '{}', holdout => 1);
CALL mf_tune('ratings', grid => '{}', options => '{"folds": 0}');
CALL mf_tune('ratings', grid => '{}', trials => 0);
CALL mf_tune('ratings', grid => '{}', options => '{"test": "exam", "folds": 2}');
CALL mf_tune('ratings', grid => '{}', rating_col => 'stars');
CALL mf_tune('ratings', grid => NULL);
CALL mf_tune('ratings', grid => '{}', results => 'exam');

-- A table of trials is its owner's to alter and to write: other types are refused, and what no trial found is not the best.
CREATE TABLE altered (LIKE single INCLUDING ALL);
ALTER TABLE altered ALTER rmse TYPE text;
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 1}', results => 'altered', verbose => false);
ALTER TABLE altered ALTER rmse TYPE real USING rmse::real;
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 1}', results => 'altered', verbose => false);
CREATE TABLE written (LIKE single INCLUDING ALL);
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 1}', results => 'written', metric => 'ndcg', verbose => false) \gset
ALTER TABLE written DROP CONSTRAINT written_pkey, ALTER options DROP NOT NULL;
INSERT INTO written (trial, source, protocol, options, ndcg, seconds, finished_at)
	SELECT 7, source, protocol, NULL::jsonb, 2::float8, 0, now() FROM written UNION ALL SELECT 8, source, protocol, '{"factors": 5}', 'NaN', 0, now() FROM written;
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 1}', results => 'written', metric => 'ndcg', verbose => false) \gset
SELECT :'best', :score BETWEEN 0 AND 1 AS score;
CREATE TABLE ruled (LIKE single INCLUDING ALL);
CREATE RULE nothing AS ON INSERT TO ruled DO INSTEAD NOTHING;
\set VERBOSITY sqlstate
CALL mf_tune('ratings', grid => '{"factors": 2, "iterations": 1}', results => 'ruled', verbose => false);
\set VERBOSITY default
CREATE TABLE two AS VALUES (1, 1, 1.0), (2, 1, 2.0);
ALTER TABLE two RENAME column1 TO user_id;
ALTER TABLE two RENAME column2 TO item_id;
ALTER TABLE two RENAME column3 TO rating;
CALL mf_tune('two', grid => '{}', holdout => 1e-9);
CALL mf_tune('two', grid => '{}', holdout => 0.9999);
SELECT * FROM mf_train('ratings', options => '{"factors": [1]}');
SELECT * FROM mf_train('ratings', options => '3');
SELECT users FROM mf_train('ratings', model => 'nothing', options => NULL, verbose => false);
SELECT mf_drop('nothing');

SELECT mf_drop('best'), mf_drop('by_hand');
DROP SCHEMA tuning CASCADE;

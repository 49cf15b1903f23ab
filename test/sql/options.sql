-- Options by name: from arguments and from jsonb through one table; what is
-- checked of each, and what mf_models keeps of them.
SET client_min_messages = warning;
CREATE SCHEMA options;
SET search_path = options, public;
\set VERBOSITY default
\set SHOW_CONTEXT never

CREATE TABLE stars AS
SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating, date '2026-01-01' + (u + i) % 7 AS day
FROM generate_series(1, 20) u, generate_series(1, 15) i WHERE (u + i) % 3 > 0;

-- Whether named or in options, an option means the same, and is kept the same.
SELECT users FROM mf_train('stars', model => 'named', feedback => 'explicit', loss => 'squared', factors => 3, iterations => 4,
	regularization => 0.7, holdout => 0.2, time_col => NULL, seed => 42, verbose => false);
SELECT users FROM mf_train('stars', model => 'given', options => '{"feedback": "explicit", "loss": "squared", "factors": 3.0, "iterations": 4.00,
	"regularization": 0.7, "holdout": 0.2, "time_col": null, "seed": 4.2e1, "verbose": false, "index": false}');
SELECT count(*) AS users, count(*) FILTER (WHERE n = g) AS same FROM named_users n FULL JOIN given_users g USING (user_id);
SELECT model, options FROM mf_models WHERE schema = 'options' ORDER BY model;
SELECT users FROM mf_train('stars', model => 'given', feedback => 'implicit', alpha => 2, verbose => false, options => '{"unobserved_weight": 0.10, "factors": 2, "since": "2026-01-02", "time_col": "day", "min_rating": 1.500}');
SELECT options, round(alpha::numeric, 3) AS alpha, round(unobserved_weight::numeric, 3) AS unobserved_weight FROM mf_models WHERE schema = 'options' AND model = 'given';
-- Extremes of a seed, which a double would not hold
SELECT users FROM mf_train('stars', model => 'given', verbose => false, options => '{"seed": 9223372036854775807, "factors": 2}');
SELECT users FROM mf_train('stars', model => 'named', verbose => false, seed => 9223372036854775807, factors => 2);
SELECT count(*) AS users, count(*) FILTER (WHERE n = g) AS same FROM named_users n FULL JOIN given_users g USING (user_id);
SELECT model, seed, options FROM mf_models WHERE schema = 'options' ORDER BY model;
-- Nothing given at all
SELECT users FROM mf_train('stars', model => 'given', verbose => false, options => '{"factors": null}');
SELECT options FROM mf_models WHERE schema = 'options' AND model = 'given';

-- Explicit feedback may weigh unobserved pairs too.
SELECT users FROM mf_train('stars', model => 'named', factors => 2, verbose => false, options => '{"unobserved_weight": 0.05}');
SELECT feedback, unobserved_weight, gramian_items IS NOT NULL AS gramian FROM mf_models WHERE schema = 'options' AND model = 'named';

-- What every call is refused for: each option with a value of every JSON type, and each number beyond its range.
CREATE FUNCTION refusal(options jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	PERFORM mf_train('stars', model => 'tried', options => options || '{"verbose": false, "index": false}');
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || ' ' || SQLERRM || CASE WHEN hint <> '' THEN ' (' || left(hint, 80) || ')' ELSE '' END;
END $$;
CREATE TABLE names (option text, n serial);
INSERT INTO names SELECT unnest(string_to_array('feedback,loss,solver,factors,iterations,regularization,reg_exponent,bias_regularization,alpha,
	unobserved_weight,bias,center,rating_range,init_std,seed,optimizer,learning_rate,batch_size,weight_decay,schedule,negatives,negative_sampling,
	observed_negatives,holdout,time_col,patience,min_user_ratings,min_item_ratings,min_rating,since', ','));
UPDATE names SET option = trim(E'\n\t' FROM option);
SELECT option, refusal(jsonb_build_object(option, '[1]'::jsonb)) AS array FROM names ORDER BY n;
SELECT option, refusal(jsonb_build_object(option, 'words'::text)) AS string FROM names ORDER BY n;
SELECT option, refusal(jsonb_build_object(option, -1e12)) AS number FROM names ORDER BY n;
SELECT option, refusal(jsonb_build_object(option, 1.5)) AS fraction FROM names WHERE option IN ('factors', 'iterations', 'seed', 'negatives') ORDER BY n;
SELECT option, refusal(jsonb_build_object(option, true)) AS boolean FROM names WHERE option NOT IN ('bias', 'center', 'observed_negatives') ORDER BY n;

-- Names: misspelt, of nothing that there is, of arguments that are no options, and twice
SELECT name, refusal(jsonb_build_object(name, 1)) FROM unnest('{factor,Factors,iteration,regularisation,min_ratings,unobserved,learning-rate,epochs,k,"",model,ratings,user_col}'::text[]) name;
SELECT refusal(jsonb_build_object(repeat('x', 300), 1)) LIKE '22023 unrecognized option "xxx%' AS long;
SELECT mf_train('stars', factors => 2, options => '{"factors": 2}');
SELECT mf_train('stars', verbose => true, options => '{"verbose": false}');
SELECT mf_train('stars', seed => 0, options => '{"seed": null, "verbose": false, "index": false}') IS NOT NULL AS trained;
SELECT mf_train('stars', options => '[1]');
SELECT mf_train('stars', options => '"factors"');
SELECT mf_train('stars', options => 'null');

-- Combinations: what does not apply, and what to use instead
SELECT options, refusal(options) FROM unnest(ARRAY['{"alpha": 1}', '{"negatives": 2}', '{"feedback": "implicit", "negatives": 2}',
	'{"solver": "sgd", "negatives": 2}', '{"feedback": "implicit", "bias": true}', '{"feedback": "implicit", "bias": false}',
	'{"loss": "logistic", "bias": true, "bias_regularization": 1}', '{"bias": false, "bias_regularization": 1}', '{"loss": "bpr", "center": true}',
	'{"loss": "bpr", "center": false}', '{"loss": "bpr", "rating_range": "[0,6]"}', '{"loss": "logistic", "feedback": "explicit", "rating_range": "[0,6]"}',
	'{"solver": "als", "rating_range": "[0,6]"}', '{"solver": "als", "loss": "bpr"}', '{"feedback": "explicit", "loss": "bpr"}', '{"loss": "bpr", "negatives": 0}',
	'{"loss": "logistic", "negatives": 0, "negative_sampling": "uniform"}', '{"loss": "bpr", "negative_sampling": "in_batch", "batch_size": 1}',
	'{"feedback": "implicit", "solver": "sgd"}', '{"patience": 2}', '{"since": "2026-01-02"}', '{"time_col": "day"}', '{"rating_range": "[6,6]"}',
	'{"rating_range": "(,6]"}', '{"rating_range": "6"}', '{"observed_negatives": false}', '{"batch_size": 2}', '{"unobserved_weight": 0}']::jsonb[]) options;

-- The other functions that take options
SELECT mf_train_sharded('stars', 'stars', '{stars}', '{stars}', options => '{"holdout": 0.1}');
SELECT mf_train_sharded('stars', 'stars', '{stars}', '{stars}', factors => 2, options => '{"factors": 2}');
SELECT mf_train_sharded('stars', 'stars', '{stars}', '{stars}', options => '{"solver": "sgd"}');
SELECT mf_train_sharded('stars', NULL, '{stars}', '{stars}');
CALL mf_tune('stars', grid => '{}', options => '{"fold": 2}');
CALL mf_tune('stars', grid => '{}', options => '{"folds": 101}');
CALL mf_tune('stars', grid => '{}', options => '{"k": 0}');
CALL mf_tune('stars', grid => '{}', options => '{"relevant": "4"}');
CALL mf_tune('stars', grid => '{}', options => '{"test": "nowhere"}');
CALL mf_tune('stars', grid => '{"regularisation": 1}');
CALL mf_tune('stars', grid => '{"factors": [2, 2001]}');
CALL mf_tune('stars', grid => '{"factors": {"min": 0, "max": 3}}', trials => 2);
CALL mf_tune('stars', grid => '{"verbose": true}');
CALL mf_tune('stars', grid => '{"loss": ["squared", "hinge"]}');
CALL mf_tune('stars');
-- mf_holdout's default left these: they can be split again.
CREATE TABLE learn AS SELECT * FROM stars WHERE NOT mf_holdout(user_id, item_id);
CALL mf_tune('learn', grid => '{"factors": 2, "iterations": 2}', verbose => false) \gset
SELECT count(*) AS trials, min(pairs) > 0 AS judged, min(protocol->>'seed') AS seed FROM learn_trials;
SELECT pairs = (SELECT count(*) FROM learn WHERE mf_holdout(user_id, item_id, 0.1, 1)) AS first_fold FROM learn_trials;

-- A training repeated has what was given, read the same way.
SELECT users FROM mf_train('stars', model => 'again', verbose => false, options => '{"factors": 2, "min_rating": 2, "iterations": 2}');
SELECT users FROM mf_retrain('again', verbose => false);
SELECT options FROM mf_models WHERE schema = 'options' AND model = 'again';
UPDATE mf_models SET options = '{"min_rating": 2, "colour": 1}' WHERE schema = 'options' AND model = 'again';
SELECT users FROM mf_retrain('again', verbose => false);
UPDATE mf_models SET options = '{"iterations": 0}' WHERE schema = 'options' AND model = 'again';
SELECT users FROM mf_retrain('again', verbose => false);
UPDATE mf_models SET options = '{"alpha": 1}' WHERE schema = 'options' AND model = 'again';
SELECT users FROM mf_retrain('again', verbose => false);

SELECT count(mf_drop(quote_ident(model))) AS dropped FROM mf_models WHERE schema = 'options';
DROP SCHEMA options CASCADE;

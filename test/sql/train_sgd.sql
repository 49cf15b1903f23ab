-- Losses, the stochastic solver, holdout, filters and unobserved pairs.
CREATE SCHEMA sgd;
SET search_path = sgd, public;
SET client_min_messages = warning;

-- Ratings with two tastes, a level of each item, and a time; enough of them for
-- several blocks. Every figure is a hash, so the data are the same everywhere.
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id,
	greatest(0.5, least(5, round((3 + CASE WHEN (u + i) % 2 = 0 THEN 0.8 ELSE -0.8 END
		+ (i % 7 - 3) * 0.2 + (abs(hashint4(u * 1009 + i)) % 1000) / 1000.0 - 0.5) * 2) / 2))::real AS rating,
	timestamp '2020-01-01' + abs(hashint4(u * 31 + i * 17)) % 1000000 * interval '1 second' AS at
FROM generate_series(1, 600) u, generate_series(1, 300) i
WHERE abs(hashint4(u * 7919 + i * 13)) % 6 = 0;
CREATE TABLE chosen AS SELECT user_id, item_id FROM ratings WHERE (user_id + item_id) % 2 = 0;

-- ---------------------------------------------------------------------------
-- Losses and optimizers learn what there is
-- ---------------------------------------------------------------------------

SELECT o AS optimizer, b AS batch_size, error < 0.5 AS learnt, t.iterations
FROM (VALUES ('sgd', 1, 0.02, 0), ('sgd', 16, 0.2, 0), ('adagrad', 1, 0.05, 0), ('adam', 64, 0.01, 0.05),
		('adam', 0, 0.05, 0)) v(o, b, r, w),
	mf_train('ratings', model => 'ratings_' || o || b, factors => 4, iterations => CASE b WHEN 0 THEN 150 ELSE 20 END,
		regularization => 0.02, verbose => false, options => jsonb_build_object('solver', 'sgd', 'optimizer', o, 'batch_size', b, 'learning_rate', r, 'weight_decay', w)) t;

-- A full batch with unobserved pairs: the gradient is exact, so it comes where
-- alternating least squares does.
SELECT mf_train('ratings', model => 'pull', factors => 3, regularization => 4, iterations => 60, verbose => false, options => '{"unobserved_weight": 0.05, "bias_regularization": 2}') IS NOT NULL AS trained;
SELECT mf_train('ratings', model => 'pull_sgd', factors => 3, regularization => 4,
	iterations => 400, verbose => false, options => '{"solver": "sgd", "unobserved_weight": 0.05, "reg_exponent": 0.5, "bias_regularization": 2, "batch_size": 0, "learning_rate": 0.03, "schedule": "one_cycle"}') IS NOT NULL AS trained;
SELECT abs(s.objective / a.objective - 1) < 0.001 AS same_objective, s.unobserved_weight = a.unobserved_weight AS same_weight
FROM mf_models a, mf_models s WHERE a.model = 'pull' AND s.model = 'pull_sgd';

-- Ranking losses put what was chosen before what was not.
CREATE FUNCTION auc(model text) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
	result double precision;
BEGIN
	EXECUTE format('
		SELECT avg((a.score > b.score)::int) FROM
			(SELECT user_id, i.item_id, i.bias - (u.factors <#> i.factors) AS score, c.item_id IS NOT NULL AS chosen
			FROM %1$I_users u CROSS JOIN %1$I_items i LEFT JOIN chosen c USING (user_id, item_id)
			WHERE user_id <= 20) a
		JOIN (SELECT user_id, i.item_id, i.bias - (u.factors <#> i.factors) AS score
			FROM %1$I_users u CROSS JOIN %1$I_items i WHERE user_id <= 20) b
		ON a.user_id = b.user_id AND a.chosen AND (b.user_id + b.item_id) %% 2 = 1', model) INTO result;
	RETURN result;
END $$;
SELECT t.model, auc(t.model) > 0.95 AS ranks
FROM (VALUES ('bpr', 'uniform', 1, 1), ('bpr', 'popularity', 2, 1), ('bpr', 'in_batch', 3, 32),
		('logistic', 'uniform', 4, 1), ('logistic', 'popularity', 4, 32), ('logistic', 'in_batch', 7, 32),
		('squared', 'uniform', 2, 1)) v(l, s, n, b),
	mf_train('chosen', rating_col => NULL, model => l || '_' || s, feedback => 'implicit', loss => l, factors => 4, iterations => 20, verbose => false, options => jsonb_build_object('solver', 'sgd', 'negative_sampling', s, 'negatives', n, 'batch_size', b, 'learning_rate', CASE b WHEN 1 THEN 0.1 ELSE 0.2 END)) t;
SELECT auc('unobserved') > 0.95 AS ranks
FROM mf_train('chosen', rating_col => NULL, model => 'unobserved', feedback => 'implicit',
	factors => 4, iterations => 20, verbose => false, options => '{"solver": "sgd", "unobserved_weight": 0.4, "learning_rate": 0.1}');
-- feedback follows the loss
SELECT model, feedback, loss, solver, biased FROM mf_models
WHERE model IN ('bpr_uniform', 'pull', 'ratings_adam64') ORDER BY 1;

-- 0 and 1 as ratings, with the logistic loss: predictions are probabilities.
CREATE TABLE labels AS SELECT user_id, item_id, (rating >= 3)::int AS rating FROM ratings;
SELECT mf_train('labels', model => 'labels', loss => 'logistic', feedback => 'explicit', factors => 4, iterations => 20, verbose => false, options => '{"learning_rate": 0.1}') IS NOT NULL AS trained;
SELECT min(p) >= 0 AND max(p) <= 1 AS in_range, avg(((p > 0.5)::int = rating)::int) > 0.85 AS learnt
FROM (SELECT rating, mf_predict(user_id, item_id, 'labels') AS p FROM labels WHERE user_id <= 100) x;

-- rating_range: through a sigmoid, and the model says so.
SELECT error < 0.5 AS learnt FROM mf_train('ratings', model => 'ranged', factors => 4,
	iterations => 20, verbose => false, options => '{"rating_range": "[0,5.5]", "learning_rate": 0.02}');
SELECT solver, link_low, link_high FROM mf_models WHERE model = 'ranged';
SELECT max(abs(mf_predict(user_id, item_id, 'ranged')
		- (0 + 5.5 / (1 + exp(-(m.mean + u.bias + i.bias - (u.factors <#> i.factors))))))) < 1e-9 AS formula,
	min(mf_predict(user_id, item_id, 'ranged')) > 0 AS above, max(mf_predict(user_id, item_id, 'ranged')) < 5.5 AS below
FROM ranged_users u, ranged_items i, mf_models m WHERE m.model = 'ranged' AND user_id <= 50;

-- bias and center
SELECT mf_train('ratings', model => 'bare', factors => 4, verbose => false, options => '{"bias": false, "center": false}') IS NOT NULL AS trained;
SELECT biased, mean = 0 AS no_mean, (SELECT max(abs(bias)) = 0 FROM bare_users) AS no_bias, error < 0.5 AS learnt
FROM mf_models WHERE model = 'bare';
SELECT mf_train('ratings', model => 'bare', factors => 5, verbose => false, options => '{"solver": "sgd", "bias": false, "center": false, "learning_rate": 0.02, "init_std": 0.3}') IS NOT NULL AS trained;
SELECT biased, mean = 0 AS no_mean, (SELECT max(abs(bias)) = 0 FROM bare_users) AS no_bias, error < 0.5 AS learnt
FROM mf_models WHERE model = 'bare';

-- ---------------------------------------------------------------------------
-- Holding out
-- ---------------------------------------------------------------------------

-- A tenth by a hash: whatever the order of the rows, the width of the ids, the
-- seed and the solver.
CREATE TABLE texts AS SELECT user_id::text AS user_id, item_id::bigint AS item_id, rating FROM ratings ORDER BY rating, at;
SELECT mf_train('ratings', model => 'held', holdout => 0.1, factors => 8, regularization => 0.01, iterations => 30,
	verbose => false) IS NOT NULL AS trained;
SELECT mf_train('texts', model => 'held_texts', holdout => '0.1', seed => 5, iterations => 2, factors => 8,
	verbose => false, options => '{"solver": "sgd"}') IS NOT NULL AS trained;
SELECT abs(held_out / (held_out + ratings)::float8 - 0.1) < 0.005 AS a_tenth,
	held_out + ratings = (SELECT count(*) FROM ratings) AS all_counted FROM mf_models WHERE model = 'held';
SELECT m.ratings = r.kept AS of_seed_minus_one
FROM mf_models m, (SELECT count(*) FILTER (WHERE NOT mf_holdout(user_id, item_id, 0.1, -1)) AS kept FROM ratings) r
WHERE m.model = 'held';
SELECT count(*) AS differing
FROM held_users a JOIN held_texts_users b ON b.user_id = a.user_id::text WHERE a.ratings <> b.ratings;
SELECT count(*) AS differing FROM held_items a JOIN held_texts_items b USING (item_id) WHERE a.rating_sum <> b.rating_sum;

-- The best iteration is stored, not the last.
SELECT best_iteration < iterations AS overfitted, best_iteration =
		(SELECT iteration FROM mf_history WHERE model = 'held' ORDER BY held_out_loss, iteration LIMIT 1) AS best,
	m.held_out_loss = (SELECT min(held_out_loss) FROM mf_history WHERE model = 'held') AS least,
	m.error = h.error AND m.objective = h.objective AS its_error
FROM mf_models m JOIN mf_history h USING (schema, model) WHERE m.model = 'held' AND h.iteration = m.best_iteration;
-- By time it is plain which they are: the last floor(n / 5) of each user.
CREATE TABLE last AS
SELECT user_id, item_id, rating, place > n - floor(n * 0.2) AS held
FROM (SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY at, item_id) AS place,
	count(*) OVER (PARTITION BY user_id) AS n FROM ratings) r;
SELECT s AS solver, t.ratings = (SELECT count(*) FROM last WHERE NOT held) AS trained_on_the_rest
FROM (VALUES ('als', NULL::float8), ('sgd', 0.02)) v(s, r),
	mf_train('ratings', model => 'late_' || s, holdout => 'time 0.2', time_col => 'at',
		factors => 16, regularization => 0.001, iterations => 40, verbose => false, options => jsonb_build_object('solver', s, 'learning_rate', r, 'patience', 3)) t;
SELECT t.model, m.iterations = m.best_iteration + 3 AND m.iterations < 40 AS stopped_early,
	abs(t.rmse - m.held_out_loss) < 1e-6 AS stored_is_best,
	(SELECT bool_and(h.held_out_loss > m.held_out_loss) FROM mf_history h
		WHERE h.model = m.model AND h.iteration > m.best_iteration) AS later_are_worse
FROM (SELECT 'late_als' AS model, sqrt(avg((rating - mf_predict(user_id, item_id, 'late_als')) ^ 2)) AS rmse
		FROM last WHERE held
	UNION ALL SELECT 'late_sgd', sqrt(avg((rating - mf_predict(user_id, item_id, 'late_sgd')) ^ 2))
		FROM last WHERE held) t JOIN mf_models m USING (model) ORDER BY 1;
-- What mf_holdout leaves by its default can be held out from again; what it
-- leaves by the seed that training has cannot.
CREATE VIEW rest AS SELECT * FROM ratings WHERE NOT mf_holdout(user_id, item_id, 0.1);
CREATE VIEW rest_again AS SELECT * FROM ratings WHERE NOT mf_holdout(user_id, item_id, 0.1, -1);
SELECT mf_train('rest', holdout => 0.1, factors => 2, iterations => 1, verbose => false) IS NOT NULL AS trained;
SELECT m.held_out > 0.08 * count(*) AS held_out FROM mf_models m, rest WHERE m.model = 'rest' GROUP BY m.held_out;
SELECT mf_train('rest_again', holdout => 0.1, factors => 2, iterations => 1, verbose => false);
-- Training on those rows alone is the same training.
CREATE VIEW early AS SELECT user_id, item_id, rating FROM last WHERE NOT held;
SELECT mf_train('early', model => 'early', factors => 16, regularization => 0.001, verbose => false,
	iterations => (SELECT best_iteration FROM mf_models WHERE model = 'late_als')) IS NOT NULL AS trained;
SELECT count(*) AS differing FROM
	(SELECT * FROM early_users EXCEPT SELECT * FROM late_als_users) d;
-- Gramians are those of the stored vectors.
SELECT mf_train('chosen', rating_col => NULL, model => 'kept', feedback => 'implicit', factors => 3, holdout => 0.2,
	regularization => 0.0001, iterations => 20, verbose => false) IS NOT NULL AS trained;
SELECT max(abs(g - exact)) < 1e-5 * max(abs(exact)) AS gramian
FROM (SELECT ordinality - 1 AS n, g FROM mf_models, unnest(gramian_users) WITH ORDINALITY AS t(g)
	WHERE model = 'kept') stored
JOIN LATERAL (SELECT sum(factors[n / 3 + 1]::double precision * factors[n % 3 + 1]) AS exact FROM kept_users) x ON true;

-- ---------------------------------------------------------------------------
-- Which ratings count
-- ---------------------------------------------------------------------------

-- Least numbers of ratings, to a fixed point: 3 goes for having one, which leaves
-- item 12 with one, so user 2 has one, and so on.
CREATE TABLE chain (user_id int, item_id int, rating int);
INSERT INTO chain SELECT u, i, 3 FROM generate_series(10, 13) u, generate_series(100, 103) i;
INSERT INTO chain VALUES (1, 100, 3), (1, 11, 3), (2, 11, 3), (2, 12, 3), (3, 12, 3), (2, 11, 5);
SELECT users, items, t.ratings FROM mf_train('chain', model => 'chain',
	verbose => false, options => '{"min_user_ratings": 2, "min_item_ratings": 2}') t;
SELECT users, items, t.ratings FROM mf_train('chain', model => 'chain', verbose => false, options => '{"min_user_ratings": 2}') t;
SELECT mf_train('chain', options => '{"min_user_ratings": 5}');
SELECT mf_train('chain', options => '{"min_rating": 6}');
SELECT t.ratings = (SELECT count(*) FROM ratings WHERE rating >= 3.5) AS rated
FROM mf_train('ratings', model => 'some', verbose => false, options => '{"min_rating": 3.5}') t;
SELECT t.ratings = (SELECT count(*) FROM ratings WHERE at >= '2020-01-05') AS recent
FROM mf_train('ratings', model => 'some', time_col => 'at', verbose => false, options => '{"since": "2020-01-05"}') t;
SELECT t.ratings = (SELECT count(*) FROM ratings WHERE rating >= 2 AND at >= '2020-01-05') AS both
FROM mf_train('ratings', model => 'some', time_col => 'at', verbose => false, options => '{"since": "2020-01-05", "min_rating": 2}') t;

-- ---------------------------------------------------------------------------
-- The same model by any number of workers, from any order of the rows
-- ---------------------------------------------------------------------------

CREATE TABLE shuffled AS SELECT * FROM ratings ORDER BY hashint4(user_id * 17 + item_id);
SET max_parallel_maintenance_workers = 0;
SELECT count(mf_train('ratings', model => 'same0_' || l || b, loss => l, factors => 16,
	iterations => 12, holdout => 0.1, verbose => false, options => jsonb_build_object('solver', 'sgd', 'batch_size', b))) FROM unnest('{squared,logistic,bpr}'::text[]) l, unnest('{0,1,32}'::int[]) b;
SET max_parallel_maintenance_workers = 1;
SELECT count(mf_train('shuffled', model => 'same1_' || l || b, loss => l, factors => 16,
	iterations => 12, holdout => 0.1, verbose => false, options => jsonb_build_object('solver', 'sgd', 'batch_size', b))) FROM unnest('{squared,logistic,bpr}'::text[]) l, unnest('{0,1,32}'::int[]) b;
SET max_parallel_maintenance_workers = 2;
SELECT count(mf_train('ratings', model => 'same2_' || l || b, loss => l, factors => 16,
	iterations => 12, holdout => 0.1, verbose => false, options => jsonb_build_object('solver', 'sgd', 'batch_size', b))) FROM unnest('{squared,logistic,bpr}'::text[]) l, unnest('{0,1,32}'::int[]) b;
CREATE FUNCTION print(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT md5(concat((SELECT string_agg(t::text, '','' ORDER BY user_id) FROM %1$I_users t),
		(SELECT string_agg(t::text, '','' ORDER BY item_id) FROM %1$I_items t),
		(SELECT string_agg(concat_ws('' '', error, objective, held_out_loss), '','' ORDER BY iteration)
			FROM mf_history WHERE model = %1$L)))', model) INTO result;
	RETURN result;
END $$;
SELECT l AS loss, b AS batch_size, print('same0_' || l || b) = print('same1_' || l || b) AS one,
	print('same0_' || l || b) = print('same2_' || l || b) AS two
FROM unnest('{squared,logistic,bpr}'::text[]) l, unnest('{0,1,32}'::int[]) b;
SELECT mf_train('ratings', model => 'same2_bpr1', loss => 'bpr', factors => 16, iterations => 12, holdout => 0.1, seed => 1,
	verbose => false) IS NOT NULL AS trained;
SELECT print('same0_bpr1') = print('same2_bpr1') AS same_by_another_seed;
-- from temporary files too
SET maintenance_work_mem = '1MB';
SELECT count(mf_train('shuffled', model => 'same1_' || l || '32', loss => l, factors => 16,
	iterations => 12, holdout => 0.1, verbose => false, options => '{"solver": "sgd", "batch_size": 32}')) FROM unnest('{squared,bpr}'::text[]) l;
SELECT l AS loss, print('same0_' || l || '32') = print('same1_' || l || '32') AS from_files FROM unnest('{squared,bpr}'::text[]) l;
RESET maintenance_work_mem;
RESET max_parallel_maintenance_workers;

-- ---------------------------------------------------------------------------
-- What was given is kept
-- ---------------------------------------------------------------------------

SELECT options, settings FROM mf_models WHERE model IN ('late_sgd', 'late_als', 'bpr_in_batch') ORDER BY model;

-- ---------------------------------------------------------------------------
-- Wrong input
-- ---------------------------------------------------------------------------

\set VERBOSITY default
SELECT mf_train('ratings', loss => 'hinge');
SELECT mf_train('ratings', loss => 'bpr', feedback => 'explicit');
SELECT mf_train('ratings', loss => 'bpr', options => '{"solver": "als"}');
SELECT mf_train('ratings', options => '{"solver": "newton"}');
SELECT mf_train('ratings', options => '{"rating_range": "[0,5.5]", "solver": "als"}');
SELECT mf_train('ratings', options => '{"rating_range": "[5,5]"}');
SELECT mf_train('ratings', options => '{"rating_range": "[0,)"}');
SELECT mf_train('ratings', verbose => false, options => '{"rating_range": "[1,4]"}');
SELECT mf_train('ratings', loss => 'logistic', options => '{"rating_range": "[0,1]"}');
SELECT mf_train('ratings', loss => 'logistic', feedback => 'explicit', verbose => false);
SELECT mf_train('ratings', options => '{"learning_rate": 0.1}');
SELECT mf_train('ratings', options => '{"optimizer": "adam"}');
SELECT mf_train('ratings', options => '{"solver": "sgd", "optimizer": "lbfgs"}');
SELECT mf_train('ratings', options => '{"solver": "sgd", "schedule": "cosine"}');
SELECT mf_train('ratings', options => '{"solver": "sgd", "learning_rate": -1}');
SELECT mf_train('ratings', options => '{"solver": "sgd", "batch_size": -1}');
SELECT mf_train('ratings', options => '{"solver": "sgd", "negatives": 3}');
SELECT mf_train('ratings', loss => 'bpr', options => '{"negatives": 0}');
SELECT mf_train('ratings', loss => 'bpr', options => '{"negative_sampling": "hard"}');
SELECT mf_train('ratings', loss => 'bpr', options => '{"negative_sampling": "in_batch", "batch_size": 1}');
SELECT mf_train('ratings', loss => 'logistic', options => '{"negatives": 0, "negative_sampling": "uniform"}');
SELECT mf_train('ratings', feedback => 'implicit', options => '{"solver": "sgd"}');
SELECT mf_train('ratings', feedback => 'implicit', options => '{"bias": true}');
SELECT mf_train('ratings', feedback => 'implicit', options => '{"center": true}');
SELECT mf_train('ratings', options => '{"bias": false, "bias_regularization": 1}');
SELECT mf_train('ratings', options => '{"unobserved_weight": -1}');
SELECT mf_train('ratings', holdout => 1.5);
SELECT mf_train('ratings', holdout => 'some');
SELECT mf_train('ratings', holdout => 'time');
SELECT mf_train('ratings', holdout => 1e-9, verbose => false);
SELECT mf_train('ratings', holdout => 'time', time_col => 'when');
SELECT mf_train('ratings', options => '{"since": "2020-01-01"}');
SELECT mf_train('ratings', time_col => 'at');
SELECT mf_train('ratings', options => '{"patience": 3}');
SELECT mf_train('ratings', options => '{"min_user_ratings": 0}');
SELECT mf_train('ratings', time_col => 'at', options => '{"since": "last week"}');
SELECT mf_train('chosen', rating_col => NULL, feedback => 'implicit', options => '{"min_rating": 1}');
SELECT mf_train('ratings', verbose => false, options => '{"solver": "sgd", "optimizer": "sgd", "batch_size": 1, "learning_rate": 1000}');
SELECT mf_train('ratings', feedback => 'implicit', options => '{"rating_range": "[0,1]"}');
SELECT mf_train('ratings', options => '{"rating_range": "empty"}');
SELECT mf_train('ratings', options => '{"rating_range": "0 to 5"}');
SELECT mf_train('ratings', options => '{"init_std": -0.1}');
SELECT mf_train('ratings', options => '{"solver": "sgd", "init_std": "NaN"}');
SELECT mf_train('ratings', options => '{"batch_size": 64}');
SELECT mf_train('ratings', options => '{"weight_decay": 0.1}');
SELECT mf_train('ratings', options => '{"solver": "sgd", "weight_decay": -0.1}');
SELECT mf_train('ratings', options => '{"schedule": "one_cycle"}');
SELECT mf_train('ratings', feedback => 'implicit', options => '{"negatives": 3}');
SELECT mf_train('ratings', feedback => 'implicit', options => '{"negative_sampling": "popularity"}');
SELECT mf_train('ratings', feedback => 'implicit', options => '{"observed_negatives": true}');
SELECT mf_train('ratings', loss => 'bpr', options => '{"negatives": 1001}');
SELECT mf_train('ratings', loss => 'logistic', options => '{"negatives": 0, "observed_negatives": true}');
SELECT mf_train('ratings', loss => 'bpr', iterations => 0);
SELECT mf_train('ratings', loss => 'bpr', options => '{"center": true}');
SELECT mf_train('ratings', loss => 'bpr', options => '{"bias_regularization": 1}');
SELECT mf_train('ratings', options => '{"unobserved_weight": "NaN"}');
SELECT mf_train('ratings', holdout => 0);
SELECT mf_train('ratings', holdout => 'time 2', time_col => 'at');
SELECT mf_train('ratings', holdout => 'timely', time_col => 'at');
SELECT mf_train('ratings', holdout => true);
SELECT mf_train('ratings', holdout => 0.1, options => '{"patience": 0}');
SELECT mf_train('ratings', options => '{"min_item_ratings": -1}');
SELECT mf_train('ratings', options => '{"min_rating": "NaN"}');
SELECT mf_train('ratings', options => '{"min_rating": 9}');
SELECT mf_train('ratings', time_col => 'at', options => '{"since": "2040-01-01"}');
SELECT mf_train('ratings', time_col => 'at', options => '{"since": 5}');
CREATE VIEW untimed AS SELECT *, json '{}' AS said, point '(0,0)' AS place FROM ratings;
SELECT mf_train('untimed', holdout => 'time', time_col => 'said');
SELECT mf_train('untimed', time_col => 'place', options => '{"since": "(0,0)"}');

-- A rating column that the loss makes nothing of is told, before anything is read;
-- not where it serves.
SET client_min_messages = notice;
CREATE VIEW nothing AS SELECT * FROM ratings WHERE false;
SELECT mf_train('nothing', loss => 'bpr');
SELECT mf_train('nothing', loss => 'logistic', options => '{"negatives": 2}');
SELECT mf_train('nothing', loss => 'bpr', alpha => 1);
SELECT mf_train('nothing', loss => 'bpr', options => '{"min_rating": 3}');
SELECT mf_train('nothing', loss => 'logistic', feedback => 'explicit');
SELECT mf_train('nothing', feedback => 'implicit');
SELECT mf_train('nothing', rating_col => NULL, loss => 'bpr');
SELECT mf_train('nothing', loss => 'bpr', verbose => false);
SET client_min_messages = warning;

\set VERBOSITY terse
DROP SCHEMA sgd CASCADE;

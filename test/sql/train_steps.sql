-- What the stochastic solver does, step by step, against the same in plain SQL;
-- the losses of pairs held out, and which pairs those are.
CREATE SCHEMA steps;
SET search_path = steps, public;
SET client_min_messages = warning;

-- ---------------------------------------------------------------------------
-- Full batches: every optimizer, loss and schedule
-- ---------------------------------------------------------------------------

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (1 + (u * 3 + i * 5 + u * i) % 9 / 2.0)::real AS rating
FROM generate_series(1, 12) u, generate_series(1, 9) i WHERE (u * 7 + i * 11) % 5 < 3;
CREATE TABLE labels AS SELECT user_id, item_id, (rating > 3)::int AS rating FROM ratings;

-- The vectors and biases (k = 0) as numbers, with what an optimizer keeps of each.
CREATE TABLE v (side text, id int, k int, x float8, s float8 DEFAULT 0, t float8 DEFAULT 0, PRIMARY KEY (side, id, k));

CREATE FUNCTION sigmoid(float8) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN 1 / (1 + exp(-$1));

-- From a to b along half a cosine.
CREATE FUNCTION ease(a float8, b float8, t float8) RETURNS float8 LANGUAGE sql IMMUTABLE
RETURN b + (a - b) * (1 + cos(pi() * t)) / 2;

-- Descends from the vectors of a model as far as the record of another says, by the
-- formulas of doc/method.md, all pairs in one batch or, where no two pairs have a row
-- in common, each in one of its own; returns the greatest difference from the other's
-- vectors, over the way from the first ones.
CREATE FUNCTION descend(first text, trained text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	m mf_models := (SELECT r FROM mf_models r WHERE r.schema = 'steps' AND r.model = trained);
	rate0 float8 := m.settings->>'learning_rate';
	decay float8 := m.settings->>'weight_decay';
	optimizer text := m.settings->>'optimizer';
	single boolean := m.settings->>'batch_size' = '1';
	source text := m.source_table;
	rate float8;
	b1 float8 := 0.9;
	b2 float8 := 0.999;
	p1 float8 := 1;
	p2 float8 := 1;
	progress float8;
	way float8;
	result float8;
BEGIN
	TRUNCATE v;
	EXECUTE format('INSERT INTO v SELECT ''u'', user_id, k, CASE k WHEN 0 THEN bias ELSE factors[k] END FROM %I, generate_series(0, %s) k',
		first || '_users', m.factors);
	EXECUTE format('INSERT INTO v SELECT ''i'', item_id, k, CASE k WHEN 0 THEN bias ELSE factors[k] END FROM %I, generate_series(0, %s) k',
		first || '_items', m.factors);
	EXECUTE format('CREATE TEMP TABLE r AS SELECT user_id, item_id, rating::float8,
		count(*) OVER (PARTITION BY user_id) AS nu, count(*) OVER (PARTITION BY item_id) AS ni FROM %I', source);
	CREATE TEMP TABLE start AS SELECT * FROM v;
	FOR epoch IN 0 .. m.iterations - 1 LOOP
		rate := rate0;
		IF m.settings->>'schedule' = 'one_cycle' THEN
			progress := epoch / m.iterations::float8;
			IF progress < 0.25 THEN
				rate := rate0 * ease(1 / 25.0, 1, progress * 4);
				b1 := ease(0.95, 0.85, progress * 4);
			ELSE
				rate := rate0 * ease(1, 1e-5, (progress - 0.25) / 0.75);
				b1 := ease(0.85, 0.95, (progress - 0.25) / 0.75);
			END IF;
		END IF;
		p1 := p1 * b1;
		p2 := p2 * b2;
		-- the loss's derivative by each pair's score
		CREATE TEMP TABLE slope AS
		SELECT user_id, item_id, nu, ni, CASE
			WHEN m.feedback = 'implicit' THEN sigmoid(score) - 1
			WHEN m.loss = 'logistic' THEN sigmoid(score) - rating
			WHEN m.link_low IS NOT NULL THEN -2 * (rating - m.link_low - (m.link_high - m.link_low) * sigmoid(score))
				* (m.link_high - m.link_low) * sigmoid(score) * (1 - sigmoid(score))
			ELSE -2 * (rating - score) END AS g
		FROM (SELECT r.*, m.mean + (SELECT sum(x) FROM v WHERE k = 0 AND ((side = 'u' AND id = user_id) OR (side = 'i' AND id = item_id)))
				+ (SELECT sum(p.x * q.x) FROM v p JOIN v q USING (k)
					WHERE k > 0 AND p.side = 'u' AND p.id = user_id AND q.side = 'i' AND q.id = item_id) AS score FROM r) scored;
		-- the objective's gradient, and of unobserved pairs' through no Gramian but pair by pair
		CREATE TEMP TABLE gradient AS
		SELECT side, id, k,
			(CASE side WHEN 'u' THEN (SELECT sum(g * CASE WHEN k = 0 THEN 1 ELSE q.x END) FROM slope JOIN v q ON q.side = 'i' AND q.id = item_id AND q.k = w.k WHERE user_id = w.id)
				ELSE (SELECT sum(g * CASE WHEN k = 0 THEN 1 ELSE p.x END) FROM slope JOIN v p ON p.side = 'u' AND p.id = user_id AND p.k = w.k WHERE item_id = w.id) END
			+ 2 * x * CASE WHEN k = 0 THEN m.bias_regularization
				ELSE m.regularization * (n + m.unobserved_weight * others) ^ m.reg_exponent END
			+ CASE WHEN k = 0 OR m.unobserved_weight = 0 THEN 0 ELSE 2 * m.unobserved_weight *
				(SELECT sum(a.x * b.x * b2.x) FROM v a JOIN v b ON b.side <> w.side AND b.k = a.k
					JOIN v b2 ON b2.side = b.side AND b2.id = b.id AND b2.k = w.k
					WHERE a.side = w.side AND a.id = w.id AND a.k > 0) END) / CASE WHEN single THEN 1 ELSE m.ratings END AS g
		FROM (SELECT v.*, CASE side WHEN 'u' THEN m.items ELSE m.users END AS others,
			CASE side WHEN 'u' THEN (SELECT count(*) FROM r WHERE user_id = id) ELSE (SELECT count(*) FROM r WHERE item_id = id) END AS n FROM v) w
		WHERE k > 0 OR m.biased;
		UPDATE v SET s = CASE optimizer WHEN 'adagrad' THEN s + g * g WHEN 'adam' THEN b1 * s + (1 - b1) * g ELSE 0 END,
			t = b2 * t + (1 - b2) * g * g
		FROM gradient d WHERE (v.side, v.id, v.k) = (d.side, d.id, d.k);
		UPDATE v SET x = (1 - rate * decay) * x - rate * CASE optimizer WHEN 'sgd' THEN g
			WHEN 'adagrad' THEN g / (sqrt(s) + 1e-10) ELSE s / (1 - p1) / (sqrt(t / (1 - p2)) + 1e-8) END
		FROM gradient d WHERE (v.side, v.id, v.k) = (d.side, d.id, d.k);
		DROP TABLE slope, gradient;
	END LOOP;
	EXECUTE format('SELECT sqrt(avg((v.x - start.x) ^ 2)), max(abs(v.x - CASE k WHEN 0 THEN bias ELSE factors[k] END))
		FROM v JOIN start USING (side, id, k) JOIN (SELECT ''u'' AS side, user_id AS id, bias, factors FROM %I
			UNION ALL SELECT ''i'', item_id, bias, factors FROM %I) t USING (side, id)',
		trained || '_users', trained || '_items') INTO way, result;
	DROP TABLE r, start;
	RETURN result / way;
END $$;

-- Where the rate is 0 nothing moves: these are the first vectors. Their deviation
-- is init_std.
CREATE TABLE wide AS SELECT u AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 300) u, generate_series(1, 300) i WHERE u = i;
SELECT count(*) AS trained FROM unnest('{0.02,0.5}'::float8[]) s, mf_train('wide', model => format('"wide_%s"', s), loss => 'bpr', factors => 32, iterations => 1, rating_col => NULL, verbose => false, options => jsonb_build_object('init_std', s, 'learning_rate', 0));
SELECT round(stddev(f)::numeric, 3) AS deviation, round(avg(f)::numeric, 2) AS mean FROM "wide_0.02_users", unnest(factors) f
UNION ALL SELECT round(stddev(f)::numeric, 3), round(avg(f)::numeric, 2) FROM "wide_0.02_items", unnest(factors) f
UNION ALL SELECT round(stddev(f)::numeric, 1), round(avg(f)::numeric, 1) FROM "wide_0.5_items", unnest(factors) f;
-- Least squares from nothing stay there: zero is a saddle.
SELECT count(*) AS trained FROM mf_train('ratings', model => 'flat', factors => 3, verbose => false, options => '{"init_std": 0}');
SELECT max(abs(f)) AS greatest FROM flat_users, unnest(factors) f;

SELECT count(*) AS trained FROM mf_train('ratings', model => 'first',
	iterations => 1, factors => 3, verbose => false, options => '{"solver": "sgd", "batch_size": 0, "learning_rate": 0, "init_std": 0.5}');
SELECT count(*) AS trained FROM mf_train('labels', model => 'first_labels',
	iterations => 1, factors => 3, verbose => false, options => '{"solver": "sgd", "batch_size": 0, "learning_rate": 0, "init_std": 0.5}');
CREATE TABLE trainings (name text, options jsonb);
INSERT INTO trainings VALUES
	('sgd', '{"optimizer": "sgd", "learning_rate": 0.2}'),
	('sgd_decay', '{"optimizer": "sgd", "learning_rate": 0.2, "weight_decay": 0.3, "schedule": "one_cycle"}'),
	('adagrad', '{"optimizer": "adagrad", "learning_rate": 0.1}'),
	('adagrad_decay', '{"optimizer": "adagrad", "learning_rate": 0.1, "weight_decay": 0.3, "schedule": "one_cycle"}'),
	('adam', '{"optimizer": "adam", "learning_rate": 0.05}'),
	('adam_decay', '{"optimizer": "adam", "learning_rate": 0.1, "weight_decay": 0.3, "schedule": "one_cycle"}'),
	('adam_unobserved', '{"optimizer": "adam", "learning_rate": 0.05, "unobserved_weight": 0.42}'),
	('sgd_unobserved', '{"optimizer": "sgd", "learning_rate": 0.2, "unobserved_weight": 0.42, "regularization": 0.5, "reg_exponent": 0.3}'),
	('ranged', '{"optimizer": "adam", "learning_rate": 0.05, "rating_range": "[0,6]", "unobserved_weight": 0.12}'),
	('bare', '{"optimizer": "adagrad", "learning_rate": 0.1, "bias": false, "center": false}');
SELECT count(t.model) AS trained
FROM trainings, mf_train('ratings',
	model => name, options => options || '{"solver": "sgd", "batch_size": 0, "iterations": 6, "factors": 3, "init_std": 0.5, "verbose": false}') t;
INSERT INTO trainings VALUES
	('probable', '{"loss": "logistic", "feedback": "explicit", "optimizer": "adam", "learning_rate": 0.1, "unobserved_weight": 0.18, "weight_decay": 0.1}'),
	('chosen', '{"loss": "logistic", "negatives": 0, "optimizer": "sgd", "learning_rate": 0.5, "bias": true, "bias_regularization": 0.4}');
SELECT count(t.model) AS trained
FROM trainings, mf_train('labels',
	model => name, options => options || '{"solver": "sgd", "batch_size": 0, "iterations": 6, "factors": 3, "init_std": 0.5, "verbose": false}') t WHERE name IN ('probable', 'chosen');
SELECT name, descend(CASE WHEN name IN ('probable', 'chosen') THEN 'first_labels' ELSE 'first' END, name) < 1e-4 AS same FROM trainings;
-- and it would be seen if it were not: another's vectors
UPDATE adam_users SET factors = a.factors FROM adam_decay_users a WHERE a.user_id = adam_users.user_id;
SELECT descend('first', 'adam') > 0.1 AS seen;

-- Pairs that have no row in common: their order is nothing to single samples.
CREATE TABLE pairs AS SELECT u AS user_id, u AS item_id, (1 + u * 7 % 9 / 2.0)::real AS rating FROM generate_series(1, 12) u;
SELECT count(*) AS trained FROM mf_train('pairs', model => 'first_single',
	iterations => 1, factors => 3, verbose => false, options => '{"solver": "sgd", "batch_size": 1, "learning_rate": 0, "init_std": 0.5}');
INSERT INTO trainings
SELECT 'single_' || name, options || jsonb_build_object('batch_size', 1, 'learning_rate', r)
FROM trainings JOIN (VALUES ('sgd', 0.02), ('adagrad', 0.1), ('adam', 0.05), ('ranged', 0.05), ('bare', 0.1)) v(name, r) USING (name);
UPDATE trainings SET options = options - 'unobserved_weight' WHERE name = 'single_ranged';
SELECT count(t.model) AS trained
FROM trainings, mf_train('pairs',
	model => name, options => options || '{"solver": "sgd", "iterations": 6, "factors": 3, "init_std": 0.5, "verbose": false}') t WHERE name LIKE 'single%';
SELECT name, descend('first_single', name) < 1e-4 AS same FROM trainings WHERE name LIKE 'single%';

-- ---------------------------------------------------------------------------
-- Unobserved pairs of ratings in alternating least squares: the objective, pair by pair
-- ---------------------------------------------------------------------------

SELECT count(*) AS trained FROM mf_train('ratings', model => 'pulled', factors => 3, regularization => 0.5, iterations => 4, verbose => false, options => '{"unobserved_weight": 0.36, "reg_exponent": 0.3, "bias_regularization": 0.7}');
SELECT unobserved_weight,
	abs(objective / ((SELECT sum((r.rating - mf_predict_exactly) ^ 2) FROM ratings r JOIN LATERAL (
			SELECT m.mean + u.bias + i.bias - (u.factors <#> i.factors) AS mf_predict_exactly
			FROM pulled_users u, pulled_items i WHERE u.user_id = r.user_id AND i.item_id = r.item_id) x ON true)
		+ unobserved_weight * (SELECT sum((u.factors <#> i.factors) ^ 2) FROM pulled_users u, pulled_items i)
		+ 0.5 * (SELECT sum((u.ratings + unobserved_weight * m.items) ^ 0.3 * (u.factors <#> u.factors) * -1) FROM pulled_users u)
		+ 0.5 * (SELECT sum((i.ratings + unobserved_weight * m.users) ^ 0.3 * (i.factors <#> i.factors) * -1) FROM pulled_items i)
		+ 0.7 * (SELECT sum(bias ^ 2) FROM pulled_users) + 0.7 * (SELECT sum(bias ^ 2) FROM pulled_items)) - 1) < 1e-5 AS objective
FROM mf_models m WHERE model = 'pulled';

-- ---------------------------------------------------------------------------
-- The loss of the pairs held out, by every loss, is that of what is stored; and
-- patience stops by it
-- ---------------------------------------------------------------------------

-- Two items: a negative is always the other one.
CREATE TABLE two AS
SELECT u AS user_id, i AS item_id, (1 + (u + i) % 3)::real AS rating
FROM generate_series(1, 600) u, generate_series(1, 2) i WHERE i = 1 + abs(hashint4(u)) % 2 OR abs(hashint4(u + 1000)) % 3 = 0;
CREATE TABLE many AS
SELECT u AS user_id, i AS item_id, (abs(hashint4(u * 1009 + i)) % 4 > 0 AND (u + i) % 2 = 0)::int AS rating
FROM generate_series(1, 120) u, generate_series(1, 60) i WHERE abs(hashint4(u * 7919 + i * 13)) % 4 = 0;
CREATE FUNCTION softplus(float8) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN greatest($1, 0) + ln(1 + exp(-abs($1)));

-- Scores of a model's held-out pairs, and of the other item.
CREATE FUNCTION held(name text) RETURNS TABLE (rating float8, score float8, other float8) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('
		SELECT t.rating::float8, m.mean + u.bias + i.bias - (u.factors <#> i.factors),
			(SELECT m.mean + u.bias + o.bias - (u.factors <#> o.factors) FROM %3$I o WHERE o.item_id <> t.item_id LIMIT 1)
		FROM %1$I t JOIN %2$I u USING (user_id) JOIN %3$I i USING (item_id), mf_models m
		WHERE m.schema = ''steps'' AND m.model = %4$L AND mf_holdout(user_id, item_id, 0.2, -1)',
		(SELECT source_table FROM mf_models WHERE schema = 'steps' AND model = name), name || '_users', name || '_items', name);
END $$;
-- Is the loss that of the record, is that the least of the history, and did the
-- training stop three iterations after it?
CREATE FUNCTION course(name text, expected float8) RETURNS text LANGUAGE sql
RETURN (SELECT concat_ws(' ', abs(expected / m.held_out_loss - 1) < 1e-5,
	m.held_out_loss = (SELECT min(held_out_loss) FROM mf_history h WHERE h.schema = 'steps' AND h.model = name),
	m.iterations = m.best_iteration + 3 AND m.iterations < 200)
	FROM mf_models m WHERE m.schema = 'steps' AND m.model = name);

SELECT count(t.model) AS trained FROM (VALUES
	('rated', 'many', '{"solver": "sgd", "factors": 8, "regularization": 0}'),
	('rated_ranged', 'many', '{"rating_range": "[-0.1,1.1]", "factors": 8, "regularization": 0}'),
	('rated_als', 'many', '{"factors": 8, "regularization": 0.1}'),
	('labelled', 'many', '{"loss": "logistic", "feedback": "explicit", "factors": 8, "regularization": 0}'),
	('weighed_als', 'two', '{"feedback": "implicit", "alpha": 0.5, "factors": 2, "unobserved_weight": 0.3, "regularization": 0.001}'),
	('weighed', 'two', '{"feedback": "implicit", "solver": "sgd", "alpha": 0.5, "factors": 2, "negatives": 2, "unobserved_weight": 0.26, "regularization": 0}'),
	('likely', 'two', '{"loss": "logistic", "alpha": 0.5, "factors": 2, "negatives": 3, "bias": true, "regularization": 0}'),
	('ranked', 'two', '{"loss": "bpr", "factors": 2, "negatives": 3, "unobserved_weight": 0.066, "regularization": 0}')) v(name, source, options),
	mf_train(source, model => name, options => options::jsonb || '{"holdout": 0.2, "patience": 3, "iterations": 200, "verbose": false}') t;
CREATE VIEW many_rest AS SELECT * FROM many WHERE NOT mf_holdout(user_id, item_id, 0.2, -1);
CREATE VIEW many_held AS SELECT * FROM many WHERE mf_holdout(user_id, item_id, 0.2, -1);
CREATE FUNCTION allpairs(name text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	result float8;
BEGIN
	EXECUTE format('SELECT m.unobserved_weight / m.ratings * (SELECT sum((u.factors <#> i.factors) ^ 2) FROM %I u, %I i)
		FROM mf_models m WHERE m.schema = ''steps'' AND m.model = %L', name || '_users', name || '_items', name) INTO result;
	RETURN result;
END $$;
SELECT name, course(name, loss) FROM (
	SELECT name, rmse AS loss FROM unnest('{rated,rated_ranged,rated_als}'::text[]) name, mf_evaluate(name, 'many_held', train => 'many_rest')
	UNION ALL SELECT 'labelled', (SELECT avg(softplus(score) - rating * score) FROM held('labelled'))
	UNION ALL SELECT 'weighed_als', allpairs('weighed_als') + (SELECT sum(0.5 * rating * (1 - score) ^ 2) / sum(0.5 * rating) FROM held('weighed_als'))
	UNION ALL SELECT 'weighed', allpairs('weighed') + (SELECT sum(0.5 * rating * (1 - score) ^ 2 + 2 * other ^ 2) / sum(0.5 * rating) FROM held('weighed'))
	UNION ALL SELECT 'likely', (SELECT sum(0.5 * rating * softplus(-score) + 3 * softplus(other)) / sum(0.5 * rating) FROM held('likely'))
	UNION ALL SELECT 'ranked', allpairs('ranked') + (SELECT avg(3 * softplus(other - score)) FROM held('ranked'))) l;

-- ---------------------------------------------------------------------------
-- Which pairs are held out, and which are left
-- ---------------------------------------------------------------------------

-- What a model was trained on, id by id.
CREATE FUNCTION differing(name text, kept text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	result bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM (
		(SELECT ''u'', user_id, ratings, rating_sum FROM %1$I UNION ALL SELECT ''i'', item_id, ratings, rating_sum FROM %2$I)
		EXCEPT (SELECT ''u'', user_id, count(*), sum(rating::float8) FROM %3$I GROUP BY 2
			UNION ALL SELECT ''i'', item_id, count(*), sum(rating::float8) FROM %3$I GROUP BY 2)) d',
		name || '_users', name || '_items', kept) INTO result;
	EXECUTE format('SELECT %s + abs((SELECT count(*) FROM %I) - m.ratings) FROM mf_models m WHERE schema = ''steps'' AND model = %L',
		result, kept, name) INTO result;
	RETURN result;
END $$;
SELECT differing('rated', 'many_rest') AS by_hash;

-- By time: days that many pairs share, so that items decide, and some without a day.
CREATE TABLE dated AS
SELECT *, CASE WHEN (user_id + item_id) % 19 > 0 THEN date '2026-01-01' + abs(hashint4(user_id * 31 + item_id)) % 4 END AS day FROM many;
CREATE TABLE dated_rest AS
SELECT user_id, item_id, rating FROM (
	SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY day, item_id) AS place, count(*) OVER (PARTITION BY user_id) AS n
	FROM dated WHERE day IS NOT NULL) p WHERE place <= n - floor(n * 0.3);
SELECT count(*) AS trained FROM mf_train('dated', model => 'by_day', holdout => 'time 0.3', time_col => 'day', factors => 2, iterations => 1, verbose => false);
SELECT differing('by_day', 'dated_rest') AS by_time;
SELECT skipped = (SELECT count(*) FROM dated WHERE day IS NULL) AS skipped,
	held_out = (SELECT count(*) FROM dated WHERE day IS NOT NULL) - (SELECT count(*) FROM dated_rest) AS held_out FROM mf_models WHERE model = 'by_day';
-- Pairs that come twice are where they are on average: of users 1 to 3 both items 2
-- and 3 at 3.5, of which the one is held out.
CREATE TABLE twice (user_id int, item_id int, rating int, day date);
INSERT INTO twice SELECT u, i, i, date '2026-01-01' + d
FROM generate_series(1, 3) u, (VALUES (1, 1), (2, 2), (2, 5), (3, 3), (3, 4)) v(i, d)
UNION ALL VALUES (4, 3, 3, date '2026-01-01');
SELECT count(*) AS trained FROM mf_train('twice', model => 'twice', holdout => 'time 0.34', time_col => 'day', factors => 1, iterations => 1, verbose => false);
SELECT item_id, ratings FROM twice_items ORDER BY 1;

-- Least numbers, with a least rating and a least day, against taking turns.
CREATE PROCEDURE fixed_point(users int, items int) LANGUAGE plpgsql AS $$
DECLARE
	gone bigint := 1;
	more bigint;
BEGIN
	WHILE gone > 0 LOOP
		DELETE FROM left_over WHERE user_id IN (SELECT user_id FROM left_over GROUP BY 1 HAVING count(*) < users);
		GET DIAGNOSTICS gone = ROW_COUNT;
		DELETE FROM left_over WHERE item_id IN (SELECT item_id FROM left_over GROUP BY 1 HAVING count(*) < items);
		GET DIAGNOSTICS more = ROW_COUNT;
		gone := gone + more;
	END LOOP;
END $$;
CREATE TABLE left_over AS SELECT user_id, item_id, rating FROM dated WHERE rating >= 1 AND day >= '2026-01-02';
SELECT count(*) > 100 AS enough FROM left_over;
CALL fixed_point(3, 4);
SELECT count(*) > 20 AS enough FROM left_over;
SELECT count(*) AS trained FROM mf_train('dated', model => 'left', time_col => 'day', factors => 2, iterations => 1, verbose => false, options => '{"min_user_ratings": 3, "min_item_ratings": 4, "min_rating": 1, "since": "2026-01-02"}');
SELECT differing('left', 'left_over') AS differing;
-- then the holdout takes its part of what is left
DELETE FROM left_over WHERE mf_holdout(user_id, item_id, 0.3, -1);
SELECT count(*) AS trained FROM mf_train('dated', model => 'left', holdout => 0.3, time_col => 'day', factors => 2, iterations => 1, verbose => false, options => '{"min_user_ratings": 3, "min_item_ratings": 4, "min_rating": 1, "since": "2026-01-02"}');
SELECT differing('left', 'left_over') AS differing;

SELECT count(mf_drop(quote_ident(model))) > 20 AS dropped FROM mf_models WHERE schema = 'steps';
DROP SCHEMA steps CASCADE;

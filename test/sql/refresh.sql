--
-- mf_refresh and mf_retrain, against the normal equations in plain SQL
--
\set VERBOSITY terse
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_mf_refresh;
CREATE SCHEMA mf_refresh;
SET search_path = mf_refresh, public;
CREATE TABLE ratings (user_id int, item_id int, rating real, PRIMARY KEY (user_id, item_id));
INSERT INTO ratings SELECT u, i, 1 + abs(hashint4(u * 1000 + i)) % 9 / 2.0
FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE abs(hashint4(u * 7919 + i)) % 4 = 0;
SELECT 1 FROM mf_train('ratings', model => 'stars', factors => 3, verbose => false);
SELECT 1 FROM mf_train('ratings', model => 'clicks', feedback => 'implicit', factors => 3, verbose => false);

-- How far a row is from its normal equations: the largest residual over users
-- or items. Implicit: (sum alpha r q q' + alpha0 G + Lambda) p = sum alpha r q
CREATE FUNCTION residual(model text, side text, which int[]) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	m mf_models := (SELECT m FROM mf_models m WHERE m.schema = 'mf_refresh' AND m.model = residual.model);
	me text := CASE side WHEN 'users' THEN 'user_id' ELSE 'item_id' END;
	other text := CASE side WHEN 'users' THEN 'item_id' ELSE 'user_id' END;
	others text := model || CASE side WHEN 'users' THEN '_items' ELSE '_users' END;
	result float8;
BEGIN
	EXECUTE format($q$
		SELECT max(abs(e)) FROM (
			-- the derivative of the objective by each factor
			SELECT x.%1$I, d,
				(SELECT sum(CASE WHEN $1.biased THEN 1 ELSE $1.alpha * r.rating END *
					((CASE WHEN $1.biased THEN r.rating - $1.mean - x.bias - o.bias ELSE 1 END)
						+ (x.factors <#> o.factors)) * o.factors[d])
				 FROM ratings r JOIN %3$I o USING (%2$I) WHERE r.%1$I = x.%1$I)
				+ $1.unobserved_weight * (SELECT coalesce(sum((x.factors <#> o.factors) * o.factors[d]), 0) FROM %3$I o)
				- $1.regularization * ((SELECT count(*) FROM ratings r JOIN %3$I o USING (%2$I) WHERE r.%1$I = x.%1$I)
					+ $1.unobserved_weight * (SELECT count(*) FROM %3$I)) ^ $1.reg_exponent * x.factors[d] e
			FROM %4$I x, generate_series(1, 3) d WHERE x.%1$I = ANY ($2)) s $q$, me, other, others, model || '_' || side)
	INTO result USING m, which;
	RETURN result;
END $$;
SELECT residual('stars', 'users', array_agg(user_id)) < 1e-3 AS users_solved FROM stars_users;
SELECT residual('clicks', 'users', array_agg(user_id)) < 1e-3 AS users_solved FROM clicks_users;

-- Nothing has changed: nothing is done
CREATE TABLE before AS SELECT * FROM stars_users;
SELECT * FROM mf_refresh('stars');
SELECT * FROM mf_refresh('clicks');
SELECT count(*) FROM before NATURAL JOIN stars_users;

-- Other values, more, fewer, new ids and ids that are gone
CREATE FUNCTION change() RETURNS void LANGUAGE sql AS $$
	UPDATE ratings SET rating = 5 - rating / 2 WHERE user_id = 7 AND item_id < 20;
	DELETE FROM ratings WHERE user_id = 8;
	INSERT INTO ratings SELECT 101, i, 4 FROM generate_series(1, 30, 3) i;
	INSERT INTO ratings SELECT u, 201, u % 5 + 1 FROM generate_series(1, 7) u;
	INSERT INTO ratings VALUES (101, 201, 2), (102, 201, 3);
$$;
BEGIN;
SELECT change();
CREATE TEMP TABLE old AS SELECT * FROM stars_users;
SELECT * FROM mf_refresh('stars');
SELECT residual('stars', 'users', ARRAY[1, 2, 3, 4, 5, 6, 7, 101, 102]) < 1e-3 AS solved;
SELECT count(*) AS untouched FROM old NATURAL JOIN stars_users;
SELECT array_agg(user_id ORDER BY user_id) AS written FROM (SELECT * FROM stars_users EXCEPT SELECT * FROM old) x;
SELECT count(*) FROM stars_users WHERE user_id = 8;
SELECT bool_and(u.ratings = r.n AND u.rating_sum = r.s) AS recorded, count(*) FROM stars_users u
FULL JOIN (SELECT user_id, count(*) n, sum(rating) s FROM ratings GROUP BY 1) r USING (user_id);
SELECT bool_and(i.ratings = r.n AND i.rating_sum = r.s) AS recorded, count(*) FROM stars_items i
FULL JOIN (SELECT item_id, count(*) n, sum(rating) s FROM ratings GROUP BY 1) r USING (item_id);
SELECT users, items, ratings = (SELECT count(*) FROM ratings) AS ratings FROM mf_models WHERE model = 'stars' AND schema = 'mf_refresh';
SELECT * FROM mf_refresh('stars');
ROLLBACK;

BEGIN;
SELECT change();
SELECT * FROM mf_refresh('clicks');
SELECT residual('clicks', 'users', ARRAY[1, 2, 3, 4, 5, 6, 7, 101, 102]) < 1e-3 AS solved;
SELECT bool_and(abs(g.e - s.e) < 1e-4 * (1 + abs(s.e))) AS gramians, count(*) FROM
	(SELECT a, b, gramian_users[a][b] e, gramian_items[a][b] f FROM mf_models, generate_series(1, 3) a, generate_series(1, 3) b
	 WHERE model = 'clicks' AND schema = 'mf_refresh') g
JOIN (SELECT a, b, sum(factors[a] * factors[b]::float8) e FROM clicks_users, generate_series(1, 3) a, generate_series(1, 3) b
	 GROUP BY 1, 2) s USING (a, b)
JOIN (SELECT a, b, sum(factors[a] * factors[b]::float8) f FROM clicks_items, generate_series(1, 3) a, generate_series(1, 3) b
	 GROUP BY 1, 2) t USING (a, b) WHERE abs(g.f - t.f) < 1e-4 * (1 + abs(t.f));

-- Items are solved before the users: with users named no more, an item is exact
SELECT * FROM mf_refresh('clicks', users => NULL, items => ARRAY[1, 201, 999]);
SELECT residual('clicks', 'items', ARRAY[1, 201]) < 1e-3 AS solved;
ROLLBACK;

-- Some that are named, of any spelling; pairs with what is unknown are left out
BEGIN;
SELECT change();
CREATE TEMP TABLE old AS SELECT * FROM stars_users;
SELECT * FROM mf_refresh('stars', users => ARRAY[7, 8, 101, 7, NULL, 12345678901]);
SELECT array_agg(user_id ORDER BY user_id) AS written FROM (SELECT * FROM stars_users EXCEPT SELECT * FROM old) x;
SELECT residual('stars', 'users', ARRAY[7, 101]) < 1e-3 AS solved;
SELECT count(*) FROM stars_items WHERE item_id = 201;
SELECT * FROM mf_refresh('stars', ARRAY['9'], ARRAY['201']);
SELECT residual('stars', 'items', ARRAY[201]) < 1e-3 AS solved;
SELECT * FROM mf_refresh('stars', NULL::int[], NULL::int[]);
ROLLBACK;

-- Items and users whose ratings are all gone, found and named
BEGIN;
DELETE FROM ratings WHERE item_id IN (5, 9) OR user_id = 3;
INSERT INTO ratings VALUES (201, 5, 3);
DELETE FROM ratings WHERE user_id = 201;
SELECT 1 FROM mf_refresh('stars', users => ARRAY[3], items => ARRAY[5]);
SELECT count(*) FILTER (WHERE item_id = 5) AS named, count(*) FILTER (WHERE item_id = 9) AS not_named FROM stars_items;
SELECT gone_users, gone_items, new_users, new_items FROM mf_refresh('stars');
SELECT gone_users, gone_items, new_users, new_items FROM mf_refresh('clicks');
SELECT (SELECT count(*) FROM stars_items WHERE item_id IN (5, 9)) + (SELECT count(*) FROM clicks_items WHERE item_id IN (5, 9))
	+ (SELECT count(*) FROM stars_users WHERE user_id = 3) + (SELECT count(*) FROM clicks_users WHERE user_id = 3) AS left_over;
SELECT residual('stars', 'users', (SELECT array_agg(DISTINCT u.user_id) FROM stars_users u JOIN before b USING (user_id) WHERE u.factors <> b.factors)) < 1e-3 AS solved;
SELECT model, m.users = (SELECT count(DISTINCT user_id) FROM ratings) AS users, m.items = (SELECT count(DISTINCT item_id) FROM ratings) AS items
FROM mf_models m WHERE schema = 'mf_refresh' AND model IN ('stars', 'clicks') ORDER BY 1;
ROLLBACK;

-- In the transaction: undone with it
BEGIN;
SELECT change();
SELECT users FROM mf_refresh('stars');
ROLLBACK;
SELECT count(*) FROM before NATURAL JOIN stars_users;

-- Found or named, by an index or by reading all: the same rows
SELECT 1 FROM mf_train('ratings', model => 'stars2', factors => 3, verbose => false);
SELECT 1 FROM mf_train('ratings', model => 'clicks2', feedback => 'implicit', factors => 3, verbose => false);
CREATE FUNCTION differing(model text, side text) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	result int[];
BEGIN
	EXECUTE format($q$
		SELECT array_agg(%1$I) FROM %2$I m FULL JOIN (SELECT %1$I, count(*) n, sum(rating) s FROM ratings GROUP BY 1) r USING (%1$I)
		WHERE (m.ratings, m.rating_sum) IS DISTINCT FROM (r.n, r.s) $q$, rtrim(side, 's') || '_id', model || '_' || side) INTO result;
	RETURN result;
END $$;
-- How many rows are alike; vectors to rounding, which the order of the sums in a Gramian decides
CREATE FUNCTION compare_models(a text, b text) RETURNS TABLE (users text, items text, records boolean) LANGUAGE plpgsql AS $$
DECLARE
	alike text := 'format(''%s of %s'', count(*) FILTER (WHERE (x.factors <-> y.factors) < 1e-5 AND abs(x.bias - y.bias) < 1e-5
		AND (x.ratings, x.rating_sum) = (y.ratings, y.rating_sum)), count(*))';
BEGIN
	RETURN QUERY EXECUTE format($q$
		SELECT (SELECT %5$s FROM %1$I x FULL JOIN %2$I y USING (user_id)), (SELECT %5$s FROM %3$I x FULL JOIN %4$I y USING (item_id)),
			(SELECT (x.users, x.items, x.ratings) = (y.users, y.items, y.ratings)
			 FROM mf_models x, mf_models y WHERE x.schema = 'mf_refresh' AND y.schema = 'mf_refresh' AND x.model = $1 AND y.model = $2)
		$q$, a || '_users', b || '_users', a || '_items', b || '_items', alike) USING a, b;
END $$;
BEGIN;
SELECT change();
SELECT cardinality(differing('stars', 'users')) AS users, cardinality(differing('stars', 'items')) AS items;
SELECT * FROM mf_refresh('stars2', differing('stars2', 'users'), differing('stars2', 'items'));
SELECT * FROM mf_refresh('clicks2', differing('clicks2', 'users'), differing('clicks2', 'items'));
SELECT * FROM mf_refresh('stars');
SELECT * FROM mf_refresh('clicks');
SELECT * FROM compare_models('stars', 'stars2');
SELECT * FROM compare_models('clicks', 'clicks2');
ROLLBACK;

-- What is named is read by an index: how many rows a view lets through
CREATE SEQUENCE seen;
CREATE FUNCTION see() RETURNS boolean LANGUAGE sql VOLATILE COST 100000 AS 'SELECT nextval(''mf_refresh.seen'') > 0';
CREATE TABLE many AS SELECT u AS user_id, i AS item_id, 1 + abs(hashint4(u * 1000 + i)) % 5 AS rating
FROM generate_series(1, 400) u, generate_series(1, 100) i WHERE abs(hashint4(u * 7919 + i)) % 4 = 0;
CREATE INDEX ON many (user_id);
CREATE INDEX ON many (item_id);
ANALYZE many;
CREATE VIEW watched AS SELECT * FROM many WHERE see();
SELECT 1 FROM mf_train('watched', model => 'watched', factors => 3, verbose => false);
SELECT setval('seen', 1, false);
SELECT users, items FROM mf_refresh('watched', users => ARRAY[17, 18]);
SELECT currval('seen') = (SELECT count(*) FROM many WHERE user_id IN (17, 18)) AS only_those;
SELECT setval('seen', 1, false);
SELECT users, items FROM mf_refresh('watched', users => ARRAY[17, 18], items => ARRAY[5]);
SELECT currval('seen') = (SELECT count(*) FROM many WHERE user_id IN (17, 18) OR item_id = 5) AS only_those;
SELECT setval('seen', 1, false);
SELECT users, items FROM mf_refresh('watched', users => ARRAY[NULL, 12345678901]);
SELECT users, items FROM mf_refresh('watched', users => ARRAY[401], items => '{}');
SELECT last_value FROM seen;
SELECT setval('seen', 1, false);
SELECT * FROM mf_refresh('watched');
SELECT currval('seen') = count(*) AS all_once FROM many;

-- Few that are named, of a model with Gramians: the other rows are not read, but count
SELECT 1 FROM mf_train('many', model => 'views', feedback => 'implicit', factors => 3, verbose => false);
CREATE FUNCTION solved(side text, which int[]) RETURNS TABLE (rows bigint, solved boolean, gramians boolean) LANGUAGE plpgsql AS $$
DECLARE
	me text := rtrim(side, 's') || '_id';
	other text := CASE side WHEN 'users' THEN 'items' ELSE 'users' END;
BEGIN
	RETURN QUERY EXECUTE format($q$
		SELECT count(*), bool_and((x.factors <-> s.x) < 1e-4),
			(SELECT bool_and(abs(CASE side WHEN 'users' THEN m.gramian_users[a][b] ELSE m.gramian_items[a][b] END - g) < 1e-5 * (1 + abs(g)))
			 FROM (SELECT 'users' side, a, b, sum(factors[a]::float8 * factors[b]) g FROM views_users, generate_series(1, 3) a, generate_series(1, 3) b GROUP BY 2, 3
				UNION ALL SELECT 'items', a, b, sum(factors[a]::float8 * factors[b]) FROM views_items, generate_series(1, 3) a, generate_series(1, 3) b GROUP BY 2, 3) t,
				mf_models m WHERE m.schema = 'mf_refresh' AND m.model = 'views')
		FROM %1$I x JOIN (SELECT %2$I, mf_solve(o.factors, r.rating, (SELECT mf_solve_options(jsonb_build_object('feedback', 'implicit', 'alpha', alpha, 'regularization', regularization, 'reg_exponent', reg_exponent, 'unobserved_weight', unobserved_weight, 'others', (SELECT count(*) FROM %3$I)), (SELECT mf_gramian(factors) FROM %3$I)) FROM mf_models WHERE schema = 'mf_refresh' AND model = 'views')) x
			FROM many r JOIN %3$I o USING (%4$I) WHERE %2$I = ANY ($1) GROUP BY 1) s USING (%2$I)
		$q$, 'views_' || side, me, 'views_' || other, rtrim(other, 's') || '_id') USING which;
END $$;
SELECT * FROM solved('users', ARRAY(SELECT user_id FROM views_users));
BEGIN;
UPDATE many SET rating = 6 - rating WHERE user_id = 17 AND item_id < 70;
INSERT INTO many SELECT 401, i, 3 FROM generate_series(1, 100, 4) i;
DELETE FROM many WHERE user_id = 18;
DELETE FROM many WHERE item_id = 7;
SELECT * FROM mf_refresh('views', users => ARRAY[17]);
SELECT * FROM solved('users', ARRAY[17]);
SELECT * FROM mf_refresh('views', users => ARRAY[18, 401]);
SELECT * FROM solved('users', ARRAY[17, 401]);
SELECT * FROM mf_refresh('views', users => NULL, items => ARRAY[5]);
SELECT * FROM solved('items', ARRAY[5]);
SELECT * FROM mf_refresh('views', users => ARRAY[401], items => ARRAY[7]);
SELECT * FROM solved('users', ARRAY[401]);
SELECT m.users = (SELECT count(*) FROM views_users) AS users, m.items = (SELECT count(*) FROM views_items) AS items
FROM mf_models m WHERE schema = 'mf_refresh' AND model = 'views';
-- ... however often
SELECT count(*) FROM generate_series(1, 100) n, mf_refresh('views', users => ARRAY[n % 5 + 1]);
SELECT * FROM solved('users', ARRAY[5, 1]);
UPDATE views_users SET factors = '{1}' WHERE user_id = 300;
SELECT users FROM mf_refresh('views', users => ARRAY[17]);
SELECT users FROM mf_refresh('views');
ROLLBACK;

-- Ratings beyond maintenance_work_mem go to files: the same
CREATE TABLE large AS SELECT u AS user_id, i AS item_id, 1 + abs(hashint4(u * 1000 + i)) % 5 AS rating
FROM generate_series(1, 600) u, generate_series(1, 400) i WHERE abs(hashint4(u * 7919 + i)) % 4 = 0;
SELECT 1 FROM mf_train('large', model => 'large', factors => 2, iterations => 2, verbose => false);
SELECT 1 FROM mf_train('large', model => 'large2', factors => 2, iterations => 2, verbose => false);
UPDATE large SET rating = 3 WHERE user_id % 50 = 0;
SET maintenance_work_mem = '1MB';
SELECT users, items FROM mf_refresh('large');
RESET maintenance_work_mem;
SELECT users, items FROM mf_refresh('large2');
SELECT * FROM compare_models('large', 'large2');

-- Pairs that occur twice, and values whose sum depends on the order
CREATE TABLE twice AS SELECT user_id, item_id, rating * random() AS rating FROM ratings, generate_series(1, 2) ORDER BY random();
SELECT 1 FROM mf_train('twice', model => 'twice', factors => 3, verbose => false);
SELECT 1 FROM mf_train('twice', model => 'twice_clicks', feedback => 'implicit', factors => 3, verbose => false);
CREATE TABLE shuffled AS SELECT * FROM twice ORDER BY random();
TRUNCATE twice;
INSERT INTO twice SELECT * FROM shuffled;
SELECT * FROM mf_refresh('twice');
SELECT * FROM mf_refresh('twice_clicks');
INSERT INTO twice VALUES (1, 1, 3), (1, 1, 4);
SELECT * FROM mf_refresh('twice');
SELECT * FROM mf_refresh('twice_clicks');

-- A training that chose among the ratings: the same choice
ALTER TABLE ratings ADD at timestamptz DEFAULT '2024-06-01 00:00+00';
UPDATE ratings SET at = '2024-01-01 00:00+00' WHERE item_id % 3 = 0;
CREATE VIEW lately AS SELECT * FROM ratings WHERE at >= '2024-03-01 00:00+00' AND rating >= 1.5;
CREATE VIEW trained AS SELECT * FROM ratings WHERE NOT mf_holdout(user_id, item_id, 0.25, -1);
CREATE VIEW often AS SELECT * FROM ratings WHERE user_id IN (SELECT user_id FROM ratings GROUP BY 1 HAVING count(*) >= 8);
SELECT 1 FROM mf_train('ratings', model => 'a1', factors => 3, time_col => 'at', verbose => false, options => jsonb_build_object('since', timestamptz '2024-03-01 00:00+00', 'min_rating', 1.5));
SELECT 1 FROM mf_train('lately', model => 'b1', factors => 3, verbose => false);
SELECT 1 FROM mf_train('ratings', model => 'a2', factors => 3, holdout => 0.25, iterations => 1, verbose => false);
SELECT 1 FROM mf_train('trained', model => 'b2', factors => 3, iterations => 1, verbose => false);
SELECT 1 FROM mf_train('ratings', model => 'a3', factors => 3, verbose => false, options => '{"min_user_ratings": 8, "unobserved_weight": 0.25, "center": false}');
SELECT 1 FROM mf_train('often', model => 'b3', factors => 3, verbose => false, options => '{"unobserved_weight": 0.25, "center": false}');
BEGIN;
SELECT change();
DELETE FROM ratings WHERE user_id = 9 AND item_id > 8;
SET datestyle = 'german';
SELECT m, r.* FROM unnest('{a1,b1,a2,b2,a3,b3}'::text[]) m, mf_refresh(m) r;
SELECT * FROM compare_models('a1', 'b1');
SELECT * FROM compare_models('a2', 'b2');
SELECT * FROM compare_models('a3', 'b3');
INSERT INTO ratings SELECT 9, i, 1.5 FROM generate_series(9, 40) i WHERE i % 4 = 0;
SELECT m, r.* FROM unnest('{a1,b1,a2,b2,a3,b3}'::text[]) m, mf_refresh(m, ARRAY[9, 5], ARRAY[12, 16]) r;
SELECT * FROM compare_models('a1', 'b1');
SELECT * FROM compare_models('a2', 'b2');
SELECT * FROM compare_models('a3', 'b3');
SELECT m, r.* FROM unnest('{a1,b1,a2,b2,a3,b3}'::text[]) m,
	LATERAL (SELECT users, items, ratings, iterations FROM mf_retrain(m, iterations => 1, tolerance => 0, verbose => false)) r;
SELECT * FROM compare_models('a1', 'b1');
SELECT * FROM compare_models('a3', 'b3');
ROLLBACK;

-- A model that was stopped early is not taken further, however often it is trained again
SELECT 1 FROM mf_train('ratings', model => 'early', factors => 8, regularization => 0.6, iterations => 20, holdout => 0.25, verbose => false);
CREATE TABLE early AS SELECT best_iteration < iterations AS early, held_out_loss, objective, error FROM mf_models
WHERE model = 'early' AND schema = 'mf_refresh';
CREATE TABLE early_users_were AS SELECT * FROM early_users;
CREATE TABLE early_items_were AS SELECT * FROM early_items;
SELECT 1 FROM generate_series(1, 3), mf_retrain('early', verbose => false);
SELECT early, m.best_iteration, m.iterations > 1 AS went_on, m.held_out_loss = e.held_out_loss AS held_out,
	abs(m.objective - e.objective) < 1e-9 * e.objective AS objective, abs(m.error - e.error) < 1e-9 * e.error AS error
FROM mf_models m, early e WHERE model = 'early' AND schema = 'mf_refresh';
SELECT (SELECT count(*) FROM early_users NATURAL JOIN early_users_were) AS users, (SELECT count(*) FROM early_users) AS of_users,
	(SELECT count(*) FROM early_items NATURAL JOIN early_items_were) AS items, (SELECT count(*) FROM early_items) AS of_items;
-- ... but learns what is new: the first iteration solves new items, and all users given the items
BEGIN;
SELECT change();
SELECT users, items, iterations FROM mf_retrain('early', iterations => 1, verbose => false);
SELECT count(*) FILTER (WHERE i.factors = w.factors AND i.bias = w.bias) AS kept, count(*) FILTER (WHERE w.item_id IS NULL) AS new,
	bool_and(i.factors <> array_fill(0::real, ARRAY[8])) AS solved FROM early_items i LEFT JOIN early_items_were w USING (item_id);
SELECT count(*), bool_and((u.factors <-> s.x[2:]) < 1e-4 AND abs(u.bias - s.x[1]) < 1e-4) AS solved FROM early_users u
JOIN (SELECT r.user_id, mf_solve(i.factors, i.bias, r.rating, (SELECT mf_solve_options(jsonb_build_object('mean', mean, 'regularization', regularization, 'reg_exponent', reg_exponent, 'bias_regularization', bias_regularization))
		FROM mf_models WHERE model = 'early' AND schema = 'mf_refresh')) x
	FROM trained r JOIN early_items i USING (item_id) GROUP BY 1) s USING (user_id);
ROLLBACK;

-- Retraining repeats any training; what is stored of it stays
SELECT 1 FROM mf_train('ratings', model => 'held', factors => 3, holdout => 'time 0.2', time_col => 'at', seed => 5, verbose => false, options => '{"patience": 1}');
SELECT 1 FROM mf_train('ratings', model => 'sgd', factors => 3, verbose => false, options => '{"solver": "sgd"}');
SELECT 1 FROM mf_train('ratings', model => 'range', factors => 3, iterations => 20, verbose => false, options => '{"rating_range": "[0.5,5.5]", "optimizer": "adagrad", "batch_size": 1, "learning_rate": 0.05}');
SELECT 1 FROM mf_train('ratings', model => 'full', factors => 3, verbose => false, options => '{"solver": "sgd", "batch_size": 0, "learning_rate": 0.05}');
SELECT 1 FROM mf_train('ratings', model => 'bpr', factors => 3, loss => 'bpr', iterations => 20, verbose => false);
SELECT 1 FROM mf_train('ratings', model => 'logistic', factors => 3, loss => 'logistic', verbose => false, options => '{"optimizer": "adam", "learning_rate": 0.01, "schedule": "one_cycle"}');
CREATE TABLE cold AS SELECT m.*, h.objective AS first_objective FROM mf_models m JOIN mf_history h USING (schema, model)
WHERE m.schema = 'mf_refresh' AND model IN ('held', 'sgd', 'range', 'full', 'bpr', 'logistic') AND iteration = 1;
SELECT model, users, items FROM unnest('{held,sgd,range,full,bpr,logistic}'::text[]) m, mf_retrain(m, verbose => false);
SELECT m.model, m.iterations < c.iterations AS fewer, m.objective < 1.05 * c.objective AS as_good, m.options = c.options AS options,
	m.settings = c.settings AS settings, m.held_out = c.held_out AS held_out, (m.loss, m.solver, m.link_low, m.link_high)
	IS NOT DISTINCT FROM (c.loss, c.solver, c.link_low, c.link_high) AS kind
FROM mf_models m JOIN cold c USING (schema, model) ORDER BY m.model COLLATE "C";
-- ... warm: the first epoch is nearer to the end of the cold training than to its start
SELECT h.model, h.objective - c.objective < 0.5 * (c.first_objective - c.objective) AS near FROM mf_history h JOIN cold c USING (schema, model)
WHERE h.iteration = 1 AND c.solver = 'sgd' ORDER BY h.model COLLATE "C";
\set VERBOSITY default
SELECT mf_refresh('sgd');
SELECT mf_topk(1, 3, 'bpr', live => true);
\set VERBOSITY terse
SELECT mf_refresh('bpr', ARRAY[1]);
BEGIN;
UPDATE mf_models SET options = options || '{"colour": "red"}' WHERE schema = 'mf_refresh' AND model = 'held';
SELECT mf_retrain('held', verbose => false);
ROLLBACK;
BEGIN;
UPDATE mf_models SET options = options || '{"bias": false}' WHERE schema = 'mf_refresh' AND model = 'held';
SELECT mf_retrain('held', verbose => false);
ROLLBACK;
ALTER TABLE ratings DROP at CASCADE;
SELECT mf_retrain('held', verbose => false);

-- Retraining: warm, so that it needs fewer iterations, to as good an objective
SELECT iterations, objective AS cold FROM mf_models WHERE model = 'stars' AND schema = 'mf_refresh' \gset
SELECT iterations <= 3 AS few, users FROM mf_retrain('stars', verbose => false);
SELECT objective <= :cold * 1.0001 AS as_good, factors, feedback FROM mf_models WHERE model = 'stars' AND schema = 'mf_refresh';
SELECT change();
SELECT iterations < 15 AS few, users, items, ratings FROM mf_retrain('stars', verbose => false);
SELECT residual('stars', 'users', array_agg(user_id)) < 1e-3 AS solved FROM stars_users;
SELECT count(*) = (SELECT iterations FROM mf_models WHERE model = 'stars' AND schema = 'mf_refresh') AS history
FROM mf_history WHERE model = 'stars' AND schema = 'mf_refresh';
SELECT bool_and(objective < before) AS falls, bool_or((before - objective) / before <= 0.001) AS settled FROM
	(SELECT objective, lag(objective) OVER (ORDER BY iteration) before FROM mf_history WHERE model = 'stars' AND schema = 'mf_refresh') h;
SELECT iterations FROM mf_retrain('clicks', iterations => 4, tolerance => 0, verbose => false);
SELECT residual('clicks', 'users', array_agg(user_id)) < 1e-3 AS solved FROM clicks_users;
SELECT mf_default('stars');
SELECT model, users FROM mf_retrain(verbose => false);

-- Errors
SELECT mf_refresh('no_such_model');
SELECT mf_refresh('stars', users => ARRAY['seven']);
SELECT mf_refresh('stars', users => ARRAY['00000000-0000-0000-0000-000000000007'::uuid]);
SELECT mf_retrain('stars', 0);
SELECT mf_retrain('stars', tolerance => 2);
SELECT mf_retrain('stars', tolerance => 'NaN');
SELECT mf_retrain('stars', iterations => NULL);
BEGIN READ ONLY;
SELECT mf_refresh('stars');
ROLLBACK;
BEGIN READ ONLY;
SELECT mf_retrain('stars');
ROLLBACK;
BEGIN;
ALTER TABLE ratings RENAME TO elsewhere;
SAVEPOINT a;
SELECT mf_refresh('stars');
ROLLBACK TO a;
SELECT mf_retrain('stars');
ROLLBACK;
BEGIN;
DELETE FROM ratings;
SELECT mf_refresh('stars');
ROLLBACK;
CREATE ROLE regress_mf_refresh;
GRANT USAGE, CREATE ON SCHEMA mf_refresh TO regress_mf_refresh;
GRANT SELECT ON ALL TABLES IN SCHEMA mf_refresh TO regress_mf_refresh;
SET ROLE regress_mf_refresh;
SELECT mf_refresh('stars');
SELECT mf_retrain('stars');
RESET ROLE;

-- A trigger on the model's tables cannot begin another one
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM mf_retrain(''stars''); RETURN NEW; END';
CREATE TRIGGER t AFTER UPDATE ON stars_users EXECUTE FUNCTION again();
SELECT mf_refresh('stars', users => ARRAY[1]);

DELETE FROM mf_history WHERE schema = 'mf_refresh';
DELETE FROM mf_models WHERE schema = 'mf_refresh';
DROP SCHEMA mf_refresh CASCADE;
DROP ROLE regress_mf_refresh;

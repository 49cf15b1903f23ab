-- Training: the mathematics, against plain SQL.
SET client_min_messages = warning;
CREATE SCHEMA train;
SET search_path = train, public;

-- 80 users, 50 items; about a third of the pairs, from a planted structure.
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id,
	(3 + cos(u * 0.7 + i * 0.3) + sin(u * 1.1 - i * 0.9) / 2 + (hashint4(u * 977 + i) % 100) / 200.0)::real AS rating
FROM generate_series(1, 80) u, generate_series(101, 150) i
WHERE (hashint4(u * 1009 + i * 31) & 7) < 3;
CREATE INDEX ON ratings (user_id, item_id);

-- (the operators are proven in operators.sql)
CREATE FUNCTION dot(a real[], b real[]) RETURNS double precision LANGUAGE sql IMMUTABLE AS 'SELECT - (a <#> b)';

-- The residuals of a model on its own ratings.
CREATE FUNCTION residuals(model text) RETURNS TABLE (u int, i int, c double precision, e double precision)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT r.user_id, r.item_id, CASE WHEN m.feedback = ''implicit'' THEN m.alpha * r.rating ELSE 1 END,
			CASE WHEN m.feedback = ''implicit'' THEN 1 ELSE r.rating END
			- (m.mean + u.bias + i.bias + dot(u.factors, i.factors))
		FROM ratings r JOIN %1$I u USING (user_id) JOIN %2$I i USING (item_id), mf_models m
		WHERE m.model = %3$L', model || '_users', model || '_items', model);
END $$;

-- The largest component of the objective's gradient at a side's vectors and
-- biases, relative to the largest component of the regularization's part.
-- Zero (to rounding) means: every row solves its normal equations.
CREATE FUNCTION gradient(model text, side text) RETURNS double precision
LANGUAGE plpgsql AS $$
DECLARE
	other text := CASE side WHEN 'user' THEN 'item' ELSE 'user' END;
	result double precision;
BEGIN
	EXECUTE format($q$
		WITH m AS (SELECT * FROM mf_models WHERE model = %1$L),
		mine AS (SELECT %2$I AS id, bias, factors, ratings FROM %3$I),
		others AS (SELECT %4$I AS id, bias, factors FROM %5$I),
		-- sum c e q over the observed pairs
		observed AS (
			SELECT %6$s AS id, k, sum(c * e * q) AS value
			FROM residuals(%1$L) JOIN others o ON o.id = %7$s,
				unnest(o.factors) WITH ORDINALITY AS f(q, k)
			GROUP BY 1, 2),
		-- alpha0 sum (p.q) q over all pairs
		everything AS (
			SELECT mine.id, k, sum(dot(mine.factors, o.factors) * q) AS value
			FROM mine, others o, unnest(o.factors) WITH ORDINALITY AS f(q, k)
			WHERE (SELECT unobserved_weight FROM m) > 0
			GROUP BY 1, 2),
		penalty AS (
			SELECT mine.id, k, m.regularization *
				(mine.ratings + m.unobserved_weight * (SELECT count(*) FROM others)) ^ m.reg_exponent * p AS value
			FROM m, mine, unnest(mine.factors) WITH ORDINALITY AS f(p, k)),
		vectors AS (
			SELECT abs(o.value - m.unobserved_weight * coalesce(a.value, 0) - p.value) AS g, abs(p.value) AS scale
			FROM m, penalty p JOIN observed o USING (id, k) LEFT JOIN everything a USING (id, k)),
		biases AS (
			SELECT abs(sum(e) - m.bias_regularization * mine.bias) AS g, abs(m.bias_regularization * mine.bias) AS scale
			FROM m, mine JOIN residuals(%1$L) ON mine.id = %6$s
			WHERE m.biased
			GROUP BY mine.id, mine.bias, m.bias_regularization)
		SELECT max(g) / max(scale) FROM (SELECT * FROM vectors UNION ALL SELECT * FROM biases) x $q$,
		model, side || '_id', model || '_' || side || 's', other || '_id', model || '_' || other || 's',
		CASE side WHEN 'user' THEN 'u' ELSE 'i' END, CASE side WHEN 'user' THEN 'i' ELSE 'u' END)
	INTO result;
	RETURN result;
END $$;

-- The objective in plain SQL.
CREATE FUNCTION objective(name text) RETURNS double precision
LANGUAGE plpgsql AS $$
DECLARE
	result double precision;
BEGIN
	EXECUTE format($q$
		SELECT (SELECT sum(c * e * e) FROM residuals(%1$L))
			+ unobserved_weight * (SELECT sum(dot(u.factors, i.factors) ^ 2) FROM %2$I u, %3$I i)
			+ regularization * (SELECT sum((ratings + unobserved_weight * (SELECT count(*) FROM %3$I)) ^ reg_exponent
				* dot(factors, factors)) FROM %2$I)
			+ regularization * (SELECT sum((ratings + unobserved_weight * (SELECT count(*) FROM %2$I)) ^ reg_exponent
				* dot(factors, factors)) FROM %3$I)
			+ bias_regularization * ((SELECT sum(bias ^ 2) FROM %2$I) + (SELECT sum(bias ^ 2) FROM %3$I))
		FROM mf_models WHERE model = %1$L $q$, name, name || '_users', name || '_items')
	INTO result;
	RETURN result;
END $$;

-- Explicit feedback: users solve their normal equations after any number of
-- iterations, items at convergence too.
SELECT model, users, items, t.ratings, iterations, error > 0 AS error, seconds > 0 AS seconds
FROM mf_train('ratings', model => 'one', factors => 6, iterations => 1, verbose => false) t;
SELECT gradient('one', 'user') < 1e-4 AS users_solved, gradient('one', 'item') > 1e-3 AS items_moved_on;

SELECT iterations FROM mf_train('ratings', model => 'seven', factors => 7, iterations => 7, regularization => 0.8, verbose => false, options => '{"reg_exponent": 0.3, "bias_regularization": 3}');
SELECT gradient('seven', 'user') < 1e-4 AS users_solved;

SELECT iterations FROM mf_train('ratings', model => 'converged', factors => 3, iterations => 400,
	regularization => 2, verbose => false);
SELECT gradient('converged', 'user') < 1e-3 AS users_solved, gradient('converged', 'item') < 1e-3 AS items_solved;

-- Implicit feedback, weighing the unobserved pairs.
SELECT iterations FROM mf_train('ratings', model => 'implicit', feedback => 'implicit', factors => 5,
	iterations => 2, alpha => 2.5, verbose => false, options => '{"unobserved_weight": 0.2}');
SELECT gradient('implicit', 'user') < 1e-4 AS users_solved;
SELECT iterations FROM mf_train('ratings', model => 'implicit_converged', feedback => 'implicit', factors => 3,
	iterations => 400, regularization => 0.02, verbose => false, options => '{"reg_exponent": 1, "unobserved_weight": 0.1}');
SELECT gradient('implicit_converged', 'user') < 1e-3 AS users_solved,
	gradient('implicit_converged', 'item') < 1e-3 AS items_solved;

-- The stored error and objective are those of the stored vectors, and no
-- iteration raised the objective.
SELECT model, abs(m.error / (SELECT sqrt(sum(c * e * e) / sum(c)) FROM residuals(model)) - 1) < 1e-5 AS error,
	abs(objective / objective(model) - 1) < 1e-5 AS objective
FROM mf_models m WHERE schema = 'train' ORDER BY model;
SELECT model, count(*) AS iterations, bool_and(objective <= before * (1 + 1e-6)) AS never_rises
FROM (SELECT *, lag(objective) OVER (PARTITION BY model ORDER BY iteration) AS before
	FROM mf_history WHERE schema = 'train') h
GROUP BY model ORDER BY model;
SELECT model, m.objective = h.objective AND m.error = h.error AS last
FROM mf_models m JOIN mf_history h USING (schema, model) WHERE schema = 'train' AND h.iteration = m.iterations ORDER BY model;

-- The stored Gramians are the sums of outer products of the stored vectors.
SELECT max(abs(g - exact)) < 1e-3 AS gramian
FROM (SELECT ordinality - 1 AS n, g FROM mf_models, unnest(gramian_items) WITH ORDINALITY AS t(g)
	WHERE model = 'implicit') stored
JOIN LATERAL (SELECT sum(factors[n / 5 + 1]::double precision * factors[n % 5 + 1]) AS exact
	FROM implicit_items) x ON true;
SELECT count(*) FROM mf_models WHERE schema = 'train' AND feedback = 'explicit' AND gramian_items IS NOT NULL;

-- What the tables keep of the ratings.
SELECT count(*) AS differing FROM
	(SELECT user_id, count(*) AS n, sum(rating::double precision) AS s FROM ratings GROUP BY 1) r
FULL JOIN seven_users u USING (user_id)
WHERE r.n IS DISTINCT FROM u.ratings OR abs(r.s - u.rating_sum) > 1e-6;
SELECT abs(mean - (SELECT avg(rating::double precision) FROM ratings)) < 1e-9 AS mean,
	rating_min = (SELECT min(rating) FROM ratings) AS min, rating_max = (SELECT max(rating) FROM ratings) AS max,
	m.ratings = (SELECT count(*) FROM ratings) AS count
FROM mf_models m WHERE model = 'seven';
\d seven_items

-- The same model to the bit from a shuffled copy, and from any number of workers.
CREATE TABLE shuffled AS SELECT * FROM ratings ORDER BY hashint4(user_id * 31 + item_id);
SELECT users FROM mf_train('shuffled', model => 'again', factors => 7, iterations => 7, regularization => 0.8, verbose => false, options => '{"reg_exponent": 0.3, "bias_regularization": 3}');
SELECT count(*) AS differing FROM
	(SELECT * FROM seven_users EXCEPT SELECT * FROM again_users
	UNION ALL (SELECT * FROM seven_items EXCEPT SELECT * FROM again_items)) d;
-- and another one from another seed
SELECT users FROM mf_train('shuffled', model => 'again', factors => 7, iterations => 7, seed => 1, regularization => 0.8, verbose => false, options => '{"reg_exponent": 0.3, "bias_regularization": 3}');
SELECT count(*) > 0 AS other FROM
	(SELECT * FROM seven_users EXCEPT SELECT * FROM again_users) d;

-- The same pair twice: the mean for explicit feedback, the sum for implicit;
-- rows with a NULL are skipped and counted.
CREATE TABLE merged (user_id int, item_id int, rating real);
INSERT INTO merged SELECT user_id, item_id, rating FROM ratings;
CREATE TABLE twice AS
	SELECT user_id, item_id, rating - 0.25 AS rating FROM merged
	UNION ALL SELECT user_id, item_id, rating + 0.25 FROM merged
	UNION ALL VALUES (NULL, 101, 3), (1, NULL, 4), (1, 102, NULL);
SET client_min_messages = notice;
SELECT users, items, t.ratings FROM mf_train('twice', model => 'twice', factors => 4, iterations => 3, verbose => false) t;
SET client_min_messages = warning;
SELECT users FROM mf_train('merged', model => 'merged', factors => 4, iterations => 3, verbose => false);
SELECT max(abs(a.rating_sum - b.rating_sum)) < 1e-4 AS mean, bool_and(a.ratings = b.ratings) AS counts,
	max(a.factors <-> b.factors) < 1e-3 AS vectors
FROM twice_users a JOIN merged_users b USING (user_id);
SELECT skipped FROM mf_models WHERE model = 'twice';
SELECT users FROM mf_train('twice', model => 'twice', feedback => 'implicit', factors => 4, iterations => 3, verbose => false);
SELECT max(abs(a.rating_sum - 2 * b.rating_sum)) < 1e-3 AS sum FROM twice_users a JOIN merged_users b USING (user_id);

-- Every row counts one without a rating column.
SELECT users FROM mf_train('ratings', rating_col => NULL, model => 'ones', feedback => 'implicit', factors => 4, verbose => false);
SELECT bool_and(rating_sum = ratings) AS ones FROM ones_items;
SELECT alpha FROM mf_models WHERE model = 'ones';

-- Ids of every kind: the same mathematics, whatever they are called.
CREATE TABLE typed AS
SELECT user_id::bigint AS b, user_id::smallint AS s, user_id::text AS t, user_id::numeric AS n,
	date '2020-01-01' + user_id AS d, md5(user_id::text)::uuid AS g, ('u' || user_id)::varchar(20) AS v,
	user_id::bit(12) AS bits, item_id, rating
FROM ratings;
SELECT c, t.users, t.items, round(t.error::numeric, 3) > 0 AS error
FROM unnest('{b,s,t,n,d,g,v,bits}'::name[]) c, mf_train('typed', c, model => 'typed_' || c, factors => 4, verbose => false) t;
SELECT format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid IN ('typed_v_users'::regclass, 'typed_n_users'::regclass, 'typed_bits_users'::regclass) AND attnum = 1 ORDER BY 1;
-- int and bigint ids give the same vectors
SELECT users FROM mf_train('ratings', model => 'plain', factors => 4, verbose => false);
SELECT count(*) AS differing FROM plain_users p JOIN typed_b_users t ON t.b = p.user_id WHERE p.factors <> t.factors;

-- Retraining keeps what hangs on the tables, and drops the ids that are gone.
CREATE TABLE shelf (item int PRIMARY KEY REFERENCES plain_items);
INSERT INTO shelf SELECT item_id FROM plain_items WHERE item_id > 110;
ALTER TABLE plain_items ADD COLUMN note text;
UPDATE plain_items SET note = 'kept ' || item_id;
CREATE INDEX plain_note ON plain_items (note);
DELETE FROM ratings WHERE item_id <= 105;
INSERT INTO ratings VALUES (1, 151, 5), (99, 120, 1);
SELECT users, items FROM mf_train('ratings', model => 'plain', factors => 9, verbose => false);
SELECT min(item_id), max(item_id), count(*), count(note), min(cardinality(factors)) AS factors,
	bool_and(note = 'kept ' || item_id) AS notes FROM plain_items;
SELECT count(*) FROM shelf JOIN plain_items ON item = item_id;
SELECT count(*) FROM mf_history WHERE model = 'plain';
-- another feedback into the same tables works too
SELECT error > 0 AS error FROM mf_train('ratings', model => 'plain', feedback => 'implicit', verbose => false);
SELECT DISTINCT feedback, biased, mean FROM mf_models WHERE model = 'plain';
-- a foreign key to an id that vanished stops it, and nothing is lost
DELETE FROM ratings WHERE item_id = 112;
SELECT users FROM mf_train('ratings', model => 'plain', verbose => false);
SELECT count(*) AS still FROM plain_items WHERE item_id = 112;

-- Notices, iteration by iteration.
SET client_min_messages = notice;
DO $$
BEGIN
	PERFORM mf_train('shuffled', model => 'said', factors => 2, iterations => 2, verbose => false);
END $$;
SET client_min_messages = warning;

-- Sources of other kinds.
CREATE VIEW seen AS SELECT user_id, item_id, rating FROM ratings WHERE rating > 2;
CREATE MATERIALIZED VIEW seen_then AS SELECT * FROM seen;
CREATE TABLE parted (user_id int, item_id int, rating numeric) PARTITION BY HASH (user_id);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted SELECT user_id, item_id, rating::numeric FROM seen;
SELECT t.model, t.ratings = (SELECT count(*) FROM seen) AS all_of_it
FROM unnest('{seen,seen_then,parted}'::regclass[]) s, mf_train(s, factors => 3, verbose => false) t;
SELECT count(*) AS differing FROM (SELECT * FROM seen_users EXCEPT SELECT * FROM seen_then_users) d;

-- A training sees what its own transaction wrote, and goes with it.
BEGIN;
INSERT INTO ratings VALUES (1000, 150, 3);
SELECT users FROM mf_train('ratings', model => 'gone', factors => 2, verbose => false);
SELECT count(*) FROM gone_users WHERE user_id = 1000;
ROLLBACK;
SELECT to_regclass('gone_users') IS NULL AS gone, count(*) FROM mf_models WHERE model = 'gone';

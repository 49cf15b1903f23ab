-- Bounds include what equals them, as the column stores it; ratings are shown
-- as they are stored.
SET client_min_messages = warning;
\set VERBOSITY terse
CREATE SCHEMA bounds;
SET search_path = bounds, public;

-- the same ratings in each type that may hold them
CREATE DOMAIN stars AS numeric(4,1) CHECK (VALUE > 0);
CREATE TABLE r_numeric AS
SELECT u AS user_id, i AS item_id,
	(ARRAY[0.1, 0.3, 0.7, 0.9, 1.1, 2.2, 3.3, 4.4, 4.9])[1 + abs(hashint4(u * 100 + i)) % 9] AS rating
FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE abs(hashint4(u * 31 + i)) % 3 = 0;
CREATE TABLE r_real AS SELECT user_id, item_id, rating::real FROM r_numeric;
CREATE TABLE r_double AS SELECT user_id, item_id, rating::double precision FROM r_numeric;
CREATE TABLE r_domain AS SELECT user_id, item_id, rating::stars FROM r_numeric;
CREATE TABLE r_int AS SELECT user_id, item_id, ceil(rating)::int AS rating FROM r_numeric;
CREATE TABLE r_smallint AS SELECT user_id, item_id, rating::smallint FROM r_int;
CREATE TABLE r_bigint AS SELECT user_id, item_id, rating::bigint FROM r_int;
CREATE VIEW r_view AS SELECT * FROM r_real;

CREATE FUNCTION trained(t text, bound text, options text DEFAULT '') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
	EXECUTE format('SELECT ratings FROM mf_train(%L, model => ''m'', factors => 2, iterations => 1, verbose => false, options => jsonb_build_object(''min_rating'', %s, ''index'', false %s))', t, bound, options) INTO n;
	RETURN n;
END $$;

-- min_rating: training, and whatever reads a user's rows anew, count the rows that a comparison does
CREATE FUNCTION check_min_rating(t text, type text, bound text, OUT wanted bigint, OUT used bigint, OUT others text)
LANGUAGE plpgsql AS $$
DECLARE c bigint; e bigint; f record;
BEGIN
	EXECUTE format('SELECT count(*) FROM %I WHERE rating >= %s::%s', t, bound, type) INTO wanted;
	used := trained(t, bound);
	EXECUTE format('SELECT count(*) FROM %I WHERE user_id = 1 AND rating >= %s::%s', t, bound, type) INTO c;
	SELECT count(*) INTO e FROM mf_explain(1, (SELECT min(item_id) FROM m_items), 100, 'm');
	others := CASE WHEN c = e THEN '' ELSE format('explained %s of %s ', e, c) END;
	SELECT * INTO f FROM mf_refresh('m');
	others := others || CASE WHEN f.users + f.items + f.gone_users + f.gone_items = 0 THEN '' ELSE 'refreshed ' END;
	PERFORM mf_retrain('m', verbose => false);
	SELECT ratings INTO c FROM mf_models WHERE model = 'm' AND schema = 'bounds';
	others := others || CASE WHEN c = used THEN '' ELSE 'retrained ' || c END;
END $$;
SELECT t.*, bound, c.*, c.wanted = c.used AS same
FROM (VALUES ('r_numeric', 'numeric'), ('r_real', 'real'), ('r_double', 'double precision'), ('r_domain', 'numeric'),
	('r_int', 'numeric'), ('r_smallint', 'numeric'), ('r_bigint', 'numeric'), ('r_view', 'real')) t (name, type),
	unnest(ARRAY['0.1', '0.7', '1.1', '2.2', '2.4', '3', '3.3', '4.4']) bound, check_min_rating(t.name, t.type, bound) c
WHERE t.name NOT IN ('r_smallint', 'r_bigint') OR bound IN ('2.4', '3')
ORDER BY t.name, bound::numeric;
SELECT trained('r_numeric', '4.9') AS highest, trained('r_int', '-1e9') AS everything, trained('r_real', '1e-60') AS above_zero;
SELECT count(*) FROM r_numeric WHERE rating = 4.9;
SELECT ratings FROM mf_train('r_numeric', model => 'm', options => '{"min_rating": 2.2, "verbose": false, "factors": 2}');
SELECT ratings FROM mf_train('r_real', model => 'm', options => '{"min_rating": 3.30, "verbose": false, "factors": 2}');

-- a column whose values are all the bound
CREATE TABLE nines AS SELECT user_id, item_id, 0.9 AS rating FROM r_numeric;
SELECT trained('nines', '0.9');

-- since: integers with what lies between them, dates with times of the day, any type by its own operator
CREATE TYPE season AS ENUM ('winter', 'spring', 'summer');
CREATE DOMAIN seasons AS season;
CREATE TABLE timed AS
SELECT user_id, item_id, rating, item_id % 4 AS year, (item_id % 4 / 10.0)::real AS tenth,
	date '2024-01-01' + item_id % 4 AS day, timestamp '2024-01-01' + item_id % 4 * interval '12 hours' AS at,
	(ARRAY['winter', 'spring', 'summer'])[1 + item_id % 3]::seasons AS season
FROM r_numeric;
CREATE FUNCTION check_since(col text, bound text, cond text, OUT wanted bigint, OUT used bigint, OUT refreshed bigint)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT count(*) FROM timed WHERE %s', cond) INTO wanted;
	EXECUTE format('SELECT ratings FROM mf_train(''timed'', model => ''m'', factors => 2, iterations => 1,
		time_col => %L, verbose => false, options => jsonb_build_object(''since'', %s, ''index'', false))', col, bound) INTO used;
	SELECT f.users + f.items INTO refreshed FROM mf_refresh('m') f;
END $$;
SELECT * FROM check_since('year', '2', 'year >= 2');
SELECT * FROM check_since('year', '1.4', 'year >= 1.4');
SELECT * FROM check_since('year', '''2.0''', 'year >= 2');
SELECT * FROM check_since('tenth', '0.3', 'tenth >= 0.3::real');
SELECT * FROM check_since('tenth', '0.3::float8', 'tenth >= 0.3::real');
SELECT * FROM check_since('day', 'date ''2024-01-03''', 'day >= ''2024-01-03''');
SELECT * FROM check_since('day', 'timestamp ''2024-01-02 12:00''', 'day >= timestamp ''2024-01-02 12:00''');
SELECT * FROM check_since('at', 'timestamp ''2024-01-01 12:00''', 'at >= ''2024-01-01 12:00''');
SELECT * FROM check_since('season', '''spring''', 'season::season >= ''spring''');
\set VERBOSITY sqlstate
SELECT ratings FROM mf_train('timed', model => 'm', time_col => 'year', verbose => false, options => '{"since": "summer"}');
\set VERBOSITY terse

-- relevant
CREATE VIEW shown AS SELECT * FROM r_numeric WHERE NOT mf_holdout(user_id, item_id, 0.2);
SELECT users FROM mf_train('shown', model => 'm', factors => 2, verbose => false, options => '{"index": false}');
CREATE FUNCTION check_relevant(t text, type text, x text, OUT wanted bigint, OUT got bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE VIEW held AS SELECT * FROM %I WHERE mf_holdout(user_id, item_id, 0.2)', t);
	EXECUTE format('SELECT count(*) FROM held WHERE rating >= %s::%s', x, type) INTO wanted;
	EXECUTE format('SELECT relevant_pairs FROM mf_evaluate(''m'', ''held'', relevant => %s)', x) INTO got;
	DROP VIEW held;
END $$;
SELECT t.*, x, c.*, c.wanted = c.got AS same
FROM (VALUES ('r_numeric', 'numeric'), ('r_real', 'real'), ('r_double', 'double precision'), ('r_int', 'numeric')) t (name, type),
	unnest(ARRAY['0.3', '0.7', '0.9', '2.4', '3.3', '4.9']) x, check_relevant(t.name, t.type, x) c
ORDER BY t.name, x::numeric;
CALL mf_tune('r_numeric', grid => '{"factors": [2], "iterations": [1]}', metric => 'ndcg', verbose => false, results => 'found', options => '{"relevant": 4.9}') \gset
CALL mf_tune('r_numeric', grid => '{"factors": [2], "iterations": [1]}', metric => 'ndcg', verbose => false, results => 'found_below', options => '{"relevant": 4.8}') \gset
SELECT f.ndcg = b.ndcg AS same FROM found f, found_below b;

-- rating_range
CREATE TABLE thirds AS SELECT user_id, item_id, CASE item_id % 3 WHEN 0 THEN 0.1 WHEN 1 THEN 0.2 ELSE 0.3 END AS rating FROM r_numeric;
CREATE TABLE thirds_real AS SELECT user_id, item_id, rating::real FROM thirds;
SELECT ratings FROM mf_train('thirds', model => 'm', factors => 2, iterations => 1, verbose => false, options => '{"rating_range": "[0.1,0.3]"}');
SELECT link_low, link_high, rating_min, rating_max FROM mf_models WHERE schema = 'bounds' AND model = 'm';
SELECT ratings FROM mf_train('thirds_real', model => 'm', factors => 2, iterations => 1, verbose => false, options => '{"rating_range": "[0.1,0.3]"}');
SELECT link_low, link_high, rating_min = 0.1::real AS min, rating_max = 0.3::real AS max FROM mf_models WHERE schema = 'bounds' AND model = 'm';
SELECT ratings FROM mf_train('thirds', model => 'm', factors => 2, verbose => false, options => '{"rating_range": "[0.1,0.29]"}');

-- ratings are shown as they are stored: of single pairs, and the ends of predictions
CREATE FUNCTION check_shown(t text, OUT equal bigint, OUT of bigint, OUT ends bool, OUT within bool) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM mf_train(t::regclass, model => 'm', factors => 2, verbose => false, options => '{"index": false}');
	EXECUTE format('SELECT count(*) FROM %I r JOIN mf_explain(1, 2, 1000, ''m'') e ON e.item = r.item_id AND e.rating = r.rating
		WHERE r.user_id = 1', t) INTO equal;
	EXECUTE format('SELECT count(*) FROM %I WHERE user_id = 1', t) INTO of;
	EXECUTE format('SELECT bool_and(m.rating_min = r.min AND m.rating_max = r.max)
		FROM mf_models m, (SELECT min(rating), max(rating) FROM %I) r WHERE m.schema = ''bounds'' AND m.model = ''m''', t) INTO ends;
	EXECUTE format('SELECT bool_and(p BETWEEN min AND max) FROM (SELECT min(rating), max(rating) FROM %I) r,
		(SELECT mf_predict(u.user_id, i.item_id, ''m'') p FROM m_users u, m_items i) p', t) INTO within;
END $$;
SELECT t, c.* FROM unnest(ARRAY['r_numeric', 'r_real', 'r_double', 'r_domain', 'r_int', 'r_bigint']) t, check_shown(t) c;

-- a pair rated twice is shown by the mean of what is stored, by the sum where amounts add up
CREATE TABLE twice AS TABLE r_numeric;
INSERT INTO twice SELECT user_id, item_id, rating + 0.2 FROM r_numeric;
SELECT ratings FROM mf_train('twice', model => 'm', factors => 2, verbose => false, options => '{"index": false}');
SELECT count(*) AS mean FROM r_numeric r JOIN mf_explain(1, 2, 1000, 'm') e ON e.item = r.item_id AND e.rating::numeric(4,2) = r.rating + 0.1 WHERE r.user_id = 1;
SELECT ratings FROM mf_train('twice', model => 'm', feedback => 'implicit', factors => 2, verbose => false, options => '{"index": false}');
SELECT count(*) AS sum FROM r_numeric r JOIN mf_explain(1, 2, 1000, 'm') e ON e.item = r.item_id AND e.rating::numeric(4,2) = 2 * r.rating + 0.2 WHERE r.user_id = 1;

-- messages and records show the numbers that were given
SELECT mf_holdout(1, 2, 1.0000001);
SELECT * FROM mf_topk(1, 2, 'm', diversity => 1.0000001);
SELECT * FROM mf_train('r_int', model => 'm', options => '{"reg_exponent": 1.0000001}');
SELECT ratings FROM mf_train('r_numeric', model => 'm', factors => 2, iterations => 1, verbose => false, options => '{"solver": "sgd", "learning_rate": 0.012345678, "index": false}');
SELECT settings->>'learning_rate' AS learning_rate FROM mf_models WHERE schema = 'bounds' AND model = 'm';

-- what a search draws lies within the range that is given
CALL mf_tune('r_numeric', grid => '{"factors": [2], "iterations": [1], "regularization": {"min": 0.123456, "max": 0.123457}}', trials => 2, verbose => false, results => 'drawn') \gset
SELECT bool_and((options->>'regularization')::numeric BETWEEN 0.123456 AND 0.123457) AS within FROM drawn;
CALL mf_tune('r_numeric', grid => '{"factors": {"min": 2.2, "max": 2.8}}', trials => 2, verbose => false, results => 'drawn2');

SELECT mf_drop('m');
DROP SCHEMA bounds CASCADE;

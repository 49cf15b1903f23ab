-- mf_solve: half an iteration in SQL, against the normal equations in plain
-- SQL and against mf_train.
SET client_min_messages = warning;
CREATE SCHEMA solve;
SET search_path = solve, public;

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id,
	(3 + cos(u * 0.7 + i * 0.3) + sin(u * 1.1 - i * 0.9) / 2 + (hashint4(u * 977 + i) % 100) / 200.0)::real AS rating
FROM generate_series(1, 80) u, generate_series(101, 150) i
WHERE (hashint4(u * 1009 + i * 31) & 7) < 3;
CREATE INDEX ON ratings (user_id, item_id);
ANALYZE ratings;
SELECT iterations FROM mf_train('ratings', model => 'e1', factors => 6, iterations => 1, regularization => 0.8, verbose => false, options => '{"reg_exponent": 0.3, "bias_regularization": 3}');
SELECT iterations FROM mf_train('ratings', model => 'e2', factors => 6, iterations => 2, regularization => 0.8, verbose => false, options => '{"reg_exponent": 0.3, "bias_regularization": 3}');
SELECT iterations FROM mf_train('ratings', model => 'i1', feedback => 'implicit', factors => 5, iterations => 1,
	alpha => 2.5, regularization => 0.3, verbose => false, options => '{"unobserved_weight": 0.2}');
SELECT iterations FROM mf_train('ratings', model => 'i2', feedback => 'implicit', factors => 5, iterations => 2,
	alpha => 2.5, regularization => 0.3, verbose => false, options => '{"unobserved_weight": 0.2}');

-- Both halves of mf_train's iterations: the users that the items of the same
-- training make, and the items that the users of the iteration before make.
CREATE FUNCTION explicit_options() RETURNS mf_options LANGUAGE sql STABLE AS
	$$SELECT mf_solve_options(jsonb_build_object('mean', mean, 'regularization', 0.8, 'reg_exponent', 0.3, 'bias_regularization', 3)) FROM mf_models WHERE schema = 'solve' AND model = 'e1'$$;
CREATE FUNCTION implicit_options(others text) RETURNS mf_options LANGUAGE plpgsql STABLE AS $$
DECLARE
	result mf_options;
BEGIN
	EXECUTE format('SELECT (mf_solve_options(jsonb_build_object(''feedback'', ''implicit'', ''alpha'', 2.5, ''regularization'', 0.3, ''reg_exponent'', 0.5, ''unobserved_weight'', 0.2, ''others'', count(*)), mf_gramian(factors))).* FROM %I', others) INTO result;
	RETURN result;
END $$;

CREATE VIEW halves AS
SELECT 'e1 users' AS half, s[1] - bias AS bias, s[2:] <-> factors AS factors
FROM (SELECT user_id, mf_solve(i.factors, i.bias, r.rating, (SELECT explicit_options())) AS s
	FROM ratings r JOIN e1_items i USING (item_id) GROUP BY user_id) x FULL JOIN e1_users USING (user_id)
UNION ALL
SELECT 'e2 items', s[1] - bias, s[2:] <-> factors
FROM (SELECT item_id, mf_solve(u.factors, u.bias, r.rating, (SELECT explicit_options())) AS s
	FROM ratings r JOIN e1_users u USING (user_id) GROUP BY item_id) x FULL JOIN e2_items USING (item_id)
UNION ALL
SELECT 'i1 users', 0, s <-> factors
FROM (SELECT user_id, mf_solve(i.factors, r.rating, (SELECT implicit_options('i1_items'))) AS s
	FROM ratings r JOIN i1_items i USING (item_id) GROUP BY user_id) x FULL JOIN i1_users USING (user_id)
UNION ALL
SELECT 'i2 items', 0, s <-> factors
FROM (SELECT item_id, mf_solve(u.factors, r.rating, (SELECT implicit_options('i1_users'))) AS s
	FROM ratings r JOIN i1_users u USING (user_id) GROUP BY item_id) x FULL JOIN i2_items USING (item_id);
CREATE VIEW checked AS
SELECT half, count(*) AS rows, count(factors) = count(*) AS whole,
	max(abs(bias)) < 1e-4 AS bias, max(factors) < 1e-4 AS factors
FROM halves GROUP BY half;
SELECT * FROM checked ORDER BY half;

-- Without options, in the words of the documentation: explicit feedback without
-- mean and biases. Both halves again, and the normal equations in plain SQL.
SELECT iterations FROM mf_train('ratings', model => 'p1', factors => 6, iterations => 1,
	regularization => 1.25, verbose => false, options => '{"center": false, "bias": false}');
SELECT iterations FROM mf_train('ratings', model => 'p2', factors => 6, iterations => 2,
	regularization => 1.25, verbose => false, options => '{"center": false, "bias": false}');
CREATE VIEW items AS SELECT item_id, factors FROM p1_items;
CREATE TABLE solved AS
SELECT user_id, mf_solve(i.factors, r.rating, NULL) FROM ratings r JOIN items i USING (item_id) GROUP BY user_id;
SELECT count(*), max(mf_solve <-> factors) < 1e-4 AS users FROM solved FULL JOIN p1_users USING (user_id);
SELECT count(*), max(mf_solve <-> factors) < 1e-4 AS items
FROM (SELECT item_id, mf_solve(u.factors, r.rating, NULL) FROM ratings r JOIN p1_users u USING (user_id) GROUP BY item_id) x
FULL JOIN p2_items USING (item_id);
CREATE FUNCTION dot(a real[], b real[]) RETURNS double precision LANGUAGE sql IMMUTABLE AS 'SELECT - (a <#> b)';
SELECT count(*), max(abs(g)) < 1e-4 AS solves FROM (
	SELECT user_id, k, sum((rating - dot(factors, mf_solve)) * q) - 1.25 * sqrt(count(*)) * min(mf_solve[k]) AS g
	FROM ratings JOIN items USING (item_id) JOIN solved USING (user_id), unnest(factors) WITH ORDINALITY AS f(q, k) GROUP BY 1, 2) e;
SELECT max(mf_solve <-> s) = 0 AS same, max(abs(e - f)) = 0 AS error FROM solved JOIN (
	SELECT user_id, mf_solve(i.factors, r.rating, mf_solve_options('{"mean": 0, "regularization": 1.25}')) AS s, mf_solve_error(i.factors, r.rating, NULL) AS e,
		mf_solve_error(i.factors, r.rating, mf_solve_options('{"mean": 0, "regularization": 1.25}')) AS f
	FROM ratings r JOIN items i USING (item_id) GROUP BY user_id) x USING (user_id);
-- Ratings of any type that becomes double precision by itself
SELECT pg_typeof(r), mf_solve('{2}', r, NULL) FROM (SELECT 3::smallint r) x GROUP BY 1
UNION ALL SELECT pg_typeof(r), mf_solve('{2}', r, NULL) FROM (SELECT 3::integer r) x GROUP BY 1
UNION ALL SELECT pg_typeof(r), mf_solve('{2}', r, NULL) FROM (SELECT 3::bigint r) x GROUP BY 1
UNION ALL SELECT pg_typeof(r), mf_solve('{2}', r, NULL) FROM (SELECT 3::numeric r) x GROUP BY 1
UNION ALL SELECT pg_typeof(r), mf_solve('{2}', r, NULL) FROM (SELECT 3::real r) x GROUP BY 1;

-- The same by partial sums in parallel workers.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET parallel_leader_participation = off;
ALTER TABLE ratings SET (parallel_workers = 2);
CREATE FUNCTION plan_has(query text, what text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ what THEN RETURN true; END IF;
	END LOOP;
	RETURN false;
END $$;
SELECT plan_has(query, 'Partial .*Aggregate') AS partial, plan_has(query, 'Finalize .*Aggregate') AS finalize
FROM (VALUES ('SELECT user_id, mf_solve(i.factors, i.bias, r.rating, mf_solve_options(''{"mean": 3, "regularization": 0.8, "reg_exponent": 0.3, "bias_regularization": 3}''))
	FROM ratings r JOIN e1_items i USING (item_id) GROUP BY user_id'),
	('SELECT user_id, mf_solve(i.factors, r.rating, mf_solve_options(''{"feedback": "implicit"}''))
	FROM ratings r JOIN e1_items i USING (item_id) GROUP BY user_id'),
	('SELECT user_id, mf_solve(i.factors, r.rating, NULL) FROM ratings r JOIN items i USING (item_id) GROUP BY user_id'),
	('SELECT mf_gramian(factors) FROM ratings JOIN e1_items USING (item_id)')) v(query);
SELECT count(*), max(x.mf_solve <-> solved.mf_solve) < 1e-5 AS same
FROM (SELECT user_id, mf_solve(i.factors, r.rating, NULL) FROM ratings r JOIN items i USING (item_id) GROUP BY user_id) x
FULL JOIN solved USING (user_id);
CREATE TABLE parallel AS
SELECT user_id, mf_solve(i.factors, i.bias, r.rating, mf_solve_options('{"mean": 3, "regularization": 0.8, "reg_exponent": 0.3, "bias_regularization": 3}')) AS biased,
	mf_solve_error(i.factors, i.bias, r.rating, mf_solve_options('{"mean": 3, "regularization": 0.8, "reg_exponent": 0.3, "bias_regularization": 3}')) AS error,
	mf_solve(j.factors, r.rating, mf_solve_options('{"feedback": "implicit", "alpha": 2.5, "regularization": 0.3, "reg_exponent": 0.5, "unobserved_weight": 0.2, "others": 50}', (SELECT mf_gramian(factors) FROM i1_items))) AS implicit
FROM ratings r JOIN e1_items i USING (item_id) JOIN i1_items j USING (item_id) GROUP BY user_id;
CREATE TABLE parallel_gramian AS SELECT mf_gramian(factors) AS g FROM ratings JOIN e1_items USING (item_id);
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET parallel_leader_participation;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE serial AS
SELECT user_id, mf_solve(i.factors, i.bias, r.rating, mf_solve_options('{"mean": 3, "regularization": 0.8, "reg_exponent": 0.3, "bias_regularization": 3}')) AS biased,
	mf_solve_error(i.factors, i.bias, r.rating, mf_solve_options('{"mean": 3, "regularization": 0.8, "reg_exponent": 0.3, "bias_regularization": 3}')) AS error,
	mf_solve(j.factors, r.rating, mf_solve_options('{"feedback": "implicit", "alpha": 2.5, "regularization": 0.3, "reg_exponent": 0.5, "unobserved_weight": 0.2, "others": 50}', (SELECT mf_gramian(factors) FROM i1_items))) AS implicit
FROM ratings r JOIN e1_items i USING (item_id) JOIN i1_items j USING (item_id) GROUP BY user_id;
SELECT count(*), max(p.biased <-> s.biased) < 1e-5 AS biased, max(abs(p.error / s.error - 1)) < 1e-9 AS error,
	max(p.implicit <-> s.implicit) < 1e-5 AS implicit
FROM parallel p FULL JOIN serial s USING (user_id);
SELECT max(abs(a - b)) < 1e-9 AS gramian, count(*)
FROM unnest((SELECT g FROM parallel_gramian), (SELECT mf_gramian(factors) FROM ratings JOIN e1_items USING (item_id))) t(a, b);
RESET max_parallel_workers_per_gather;

-- Partition by partition: whole groups where they lie in one, parts of groups
-- that are combined where they do not, the latter in workers too.
CREATE TABLE parted (LIKE ratings) PARTITION BY HASH (user_id);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO parted SELECT * FROM ratings;
ANALYZE parted;
SET enable_partitionwise_aggregate = on;
CREATE VIEW by_user AS
SELECT user_id, mf_solve(x.f, r.rating, mf_solve_options('{"mean": 3, "regularization": 0.8}')) AS s
FROM parted r, LATERAL (SELECT ARRAY[sin(item_id), cos(item_id)]::real[] AS f) x GROUP BY user_id;
CREATE VIEW by_item AS
SELECT item_id, mf_solve(x.f, r.rating, mf_solve_options('{"mean": 3, "regularization": 0.8}')) AS s
FROM parted r, LATERAL (SELECT ARRAY[sin(user_id), cos(user_id)]::real[] AS f) x GROUP BY item_id;
CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		RETURN NEXT substring(line FROM '^ *(?:->)? *([A-Za-z ]*Aggregate|(?:Parallel )?Append|Gather)');
	END LOOP;
END $$;
SELECT count(*) AS whole FROM plan_of('SELECT * FROM by_user') p WHERE p ~ '^(Hash|Group)Aggregate';
CREATE VIEW apart AS
SELECT (SELECT max(a.s <-> b.s) < 1e-6 FROM by_user a FULL JOIN (SELECT user_id, mf_solve(x.f, r.rating, mf_solve_options('{"mean": 3, "regularization": 0.8}')) AS s
	FROM ratings r, LATERAL (SELECT ARRAY[sin(item_id), cos(item_id)]::real[] AS f) x GROUP BY user_id) b USING (user_id)) AS by_user,
	(SELECT max(a.s <-> b.s) < 1e-6 FROM by_item a FULL JOIN (SELECT item_id, mf_solve(x.f, r.rating, mf_solve_options('{"mean": 3, "regularization": 0.8}')) AS s
	FROM ratings r, LATERAL (SELECT ARRAY[sin(user_id), cos(user_id)]::real[] AS f) x GROUP BY item_id) b USING (item_id)) AS by_item;
SELECT * FROM apart;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
SELECT count(*) FILTER (WHERE p LIKE 'Partial %') AS partial, count(*) FILTER (WHERE p LIKE 'Finalize %') AS finalize,
	count(*) FILTER (WHERE p = 'Gather') AS gather FROM plan_of('SELECT * FROM by_item') p;
SELECT * FROM apart;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET parallel_leader_participation;
RESET enable_partitionwise_aggregate;

-- The normal equations in plain SQL: what the solution leaves of
-- sum w (t - z.x) z - penalty x, relative to the largest term.
WITH s AS (SELECT user_id, biased[1] AS bias, biased[2:] AS x, error FROM serial),
e AS (
	SELECT user_id, factors, rating - 3 - i.bias - s.bias - dot(factors, x) AS e
	FROM ratings JOIN e1_items i USING (item_id) JOIN s USING (user_id))
SELECT max(abs(g - 0.8 * n ^ 0.3 * x[k])) < 1e-4 AS factors,
	max(abs(total - 3 * bias)) < 1e-4 AS bias, max(abs(squares / error - 1)) < 1e-5 AS error
FROM (SELECT user_id, k, sum(e * q) AS g FROM e, unnest(factors) WITH ORDINALITY AS f(q, k) GROUP BY 1, 2) v
JOIN (SELECT user_id, sum(e) AS total, sum(e * e) AS squares, count(*) AS n FROM e GROUP BY 1) t USING (user_id)
JOIN s USING (user_id);
WITH s AS (SELECT user_id, implicit AS x FROM serial),
v AS (
	SELECT user_id, k, sum(2.5 * rating * (1 - dot(factors, x)) * q) AS g
	FROM ratings JOIN i1_items USING (item_id) JOIN s USING (user_id), unnest(factors) WITH ORDINALITY AS f(q, k) GROUP BY 1, 2),
a AS (
	SELECT user_id, k, sum(dot(factors, x) * q) AS g
	FROM s, i1_items, unnest(factors) WITH ORDINALITY AS f(q, k) GROUP BY 1, 2)
SELECT max(abs(v.g - 0.2 * a.g - 0.3 * (n + 0.2 * 50) ^ 0.5 * x[k])) < 1e-4 AS factors, count(*)
FROM v JOIN a USING (user_id, k) JOIN s USING (user_id)
JOIN (SELECT user_id, count(*) AS n FROM ratings GROUP BY 1) t USING (user_id);
-- by hand: (3 - 1) * 2 / (2 * 2 + 4) and, with two more rows, (4 + 3 + 1) / (4 + 1 + 1 + 3)
SELECT mf_solve('{2}', 3, mf_solve_options('{"mean": 1, "regularization": 4, "reg_exponent": 0}')) AS one,
	(SELECT mf_solve(f, r, mf_solve_options('{"mean": 1, "regularization": 1, "reg_exponent": 1}')) FROM (VALUES ('{2}'::real[], 3), ('{1}', 4), ('{1}', 2)) v(f, r)) AS three;
-- The square of what the stored Gramian rounds.
SELECT max(abs(a - b)) < 1e-3 AS gramian, count(*)
FROM unnest((SELECT mf_gramian(factors) FROM i1_items), (SELECT gramian_items FROM mf_models WHERE model = 'i1')) t(a, b);

-- Grouping sets, sorted groups, a window without a frame's end: the state is
-- not spoilt by reading it.
SET enable_hashagg = off;
SELECT count(*), max(x.s <-> s.biased) < 1e-5 AS sorted
FROM (SELECT user_id, mf_solve(i.factors, i.bias, r.rating, mf_solve_options('{"mean": 3, "regularization": 0.8, "reg_exponent": 0.3, "bias_regularization": 3}')) AS s
	FROM ratings r JOIN e1_items i USING (item_id) GROUP BY GROUPING SETS ((user_id), ())) x
JOIN serial s USING (user_id);
RESET enable_hashagg;
SELECT count(*), max(w <-> again) < 1e-5 AS running
FROM (SELECT item_id, mf_solve(factors, rating, mf_solve_options('{"mean": 3, "regularization": 1}')) OVER (ORDER BY item_id) AS w
	FROM ratings JOIN e1_items USING (item_id) WHERE user_id = 5) x
JOIN LATERAL (SELECT mf_solve(factors, rating, mf_solve_options('{"mean": 3, "regularization": 1}')) AS again FROM ratings JOIN e1_items i USING (item_id)
	WHERE user_id = 5 AND i.item_id <= x.item_id) y ON true;

-- Rows with a NULL do not count; none at all make NULL.
SELECT mf_solve('{2}', NULL, mf_solve_options('{"mean": 1, "regularization": 4}')) IS NULL AS rating, mf_solve(NULL, 3, mf_solve_options('{"mean": 1, "regularization": 4}')) IS NULL AS factors,
	mf_solve('{2}', NULL, 3, mf_solve_options('{"mean": 1, "regularization": 4}')) IS NULL AS bias, mf_gramian(NULL) IS NULL AS gramian;
SELECT mf_solve(f, r, mf_solve_options('{"mean": 1, "regularization": 4, "reg_exponent": 0}')) AS one FROM (VALUES ('{2}'::real[], 3), (NULL, 4), ('{1}', NULL)) v(f, r);
SELECT mf_solve(factors, rating, mf_solve_options('{"mean": 1, "regularization": 4}')) IS NULL AS empty FROM ratings JOIN e1_items USING (item_id) WHERE false;

-- Errors.
SELECT mf_solve(f, 1, mf_solve_options('{"mean": 0, "regularization": 1}')) FROM (VALUES ('{1,2}'::real[]), ('{1}')) v(f);
SELECT mf_solve('{}', 1, mf_solve_options('{"mean": 0, "regularization": 1}'));
SELECT mf_solve('{1,NULL}', 1, mf_solve_options('{"mean": 0, "regularization": 1}'));
SELECT mf_solve('{{1,2}}', 1, mf_solve_options('{"mean": 0, "regularization": 1}'));
SELECT mf_solve('{1}', 'NaN', mf_solve_options('{"mean": 0, "regularization": 1}'));
SELECT mf_solve('{1}', '-Infinity', mf_solve_options('{"mean": 0, "regularization": 1}'));
SELECT mf_solve('{1}', -1, mf_solve_options('{"feedback": "implicit"}'));
SELECT mf_solve('{1}', 1, ROW(false, NULL, 1, 0.5, 4, 1, 0, NULL, NULL)::mf_options);
SELECT mf_solve_options('{"mean": "3"}');
SELECT mf_solve_options('{"meen": 3}');
SELECT mf_solve_options('{"mean": 3, "feedback": "implicit"}');
SELECT mf_solve_options('{"alpha": 3}');
SELECT mf_solve_options('{"unobserved_weight": 1, "others": 0}', '{1}');
SELECT mf_solve_options('[]');
-- A NULL stands for the defaults, beside other options too.
SELECT mf_solve_options(NULL) = mf_solve_options('{}') AS nothing, mf_solve('{1}', 1, NULL) = mf_solve('{1}', 1, mf_solve_options('{}')) AS defaults,
	mf_solve('{1}', 0, 1, NULL) = mf_solve('{1}', 0, 1, mf_solve_options('{"mean": 0.0, "regularization": null}')) AS biased;
SELECT k, mf_solve('{2}', 3, CASE k % 2 WHEN 0 THEN mf_solve_options('{"regularization": 4, "reg_exponent": 0}') END) AS s FROM generate_series(0, 3) k GROUP BY k ORDER BY k;
SELECT mf_solve('{1}', 1, mf_solve_options('{"mean": 0, "regularization": -1}'));
SELECT mf_solve('{1}', 1, mf_solve_options('{"mean": 0, "regularization": 1, "reg_exponent": 2}'));
SELECT mf_solve('{1}', 0, 1, mf_solve_options('{"feedback": "implicit"}'));
SELECT mf_solve('{1}', 1, mf_solve_options('{"feedback": "implicit", "unobserved_weight": 1}'));
SELECT mf_solve('{1}', 1, mf_solve_options('{"feedback": "implicit", "unobserved_weight": 1, "others": 3}', '{1,2}'));
SELECT mf_solve('{1}', 1, mf_solve_options('{"feedback": "implicit", "unobserved_weight": 1, "others": 3}', '{1,2,2,4}'));
SELECT mf_solve('{1}', 1, mf_solve_options('{"feedback": "implicit", "unobserved_weight": 1, "others": 3}', '{NULL}'));
SELECT mf_solve('{1,1}', 1, mf_solve_options('{"mean": 0, "regularization": 0}'));
SELECT mf_solve('{Infinity}', 1, mf_solve_options('{"mean": 0, "regularization": 1}'));
SELECT mf_gramian(f) FROM (VALUES ('{1,2}'::real[]), ('{1}')) v(f);
SELECT mf_gramian(array_fill(1::real, '{2001}'));

-- Bytes that are no state. (Such functions take internal values, which SQL
-- has none of; declared otherwise they can be tried.)
CREATE FUNCTION try_state(bytea) RETURNS boolean AS '$libdir/factor', 'mf_solve_deserialize' LANGUAGE C STRICT;
CREATE FUNCTION state_of(factors text, count text, tail text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN try_state(decode('0100' || factors || count || tail, 'hex'));
EXCEPTION WHEN invalid_binary_representation THEN
	RETURN false;
END $$;
SELECT try_state('');
SELECT try_state('\x02');
SELECT try_state('\x020000000001');
SELECT state_of('00000001', '0000000000000001', repeat('00', 24)) AS good,
	state_of('00000001', '0000000000000001', repeat('00', 23)) AS short,
	state_of('00000001', '0000000000000001', repeat('00', 25)) AS long,
	state_of('00000001', '0000000000000000', repeat('00', 24)) AS nothing,
	state_of('00000000', '0000000000000001', repeat('00', 24)) AS no_factors,
	state_of('000007d1', '0000000000000001', repeat('00', 24)) AS too_many,
	state_of('7fffffff', '0000000000000001', repeat('00', 24)) AS far_too_many,
	state_of('ffffffff', '0000000000000001', repeat('00', 24)) AS negative;
-- flags: without options there is nothing but sums
CREATE FUNCTION flagged(flags integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN try_state(set_byte(decode('0100' || '00000001' || '0000000000000001' || repeat('00', 24), 'hex'), 1, flags));
EXCEPTION WHEN invalid_binary_representation THEN
	RETURN false;
END $$;
SELECT array_agg(flags) AS taken FROM generate_series(0, 255) flags WHERE flagged(flags);

-- A real state, cut at every length and with every byte changed: taken or
-- refused, never worse.
CREATE AGGREGATE state_bytes(real[], double precision, mf_options) (
	SFUNC = mf_solve_accum, STYPE = internal, FINALFUNC = mf_solve_serialize);
CREATE FUNCTION taken(state bytea) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN try_state(state);
EXCEPTION WHEN invalid_binary_representation THEN
	RETURN false;
END $$;
CREATE TABLE state AS SELECT state_bytes('{1,2,3}', 2, mf_solve_options('{"feedback": "implicit", "unobserved_weight": 0.5, "others": 7}', '{2,1,1,1,2,1,1,1,2}')) AS s;
SELECT taken(s) AS whole, length(s) FROM state;
SELECT count(*) AS cut_and_taken FROM state, generate_series(0, length(s) - 1) n WHERE taken(substr(s, 1, n));
SELECT count(*) > 0 AS some_taken, bool_and(b NOT IN (0, 2, 3, 4, 5)) AS where_it_may_be
FROM state, generate_series(0, length(s) - 1) b, unnest('{1,127,128,255}'::int[]) x
WHERE taken(set_byte(s, b, get_byte(s, b) # x));

-- Whatever bytes are taken can be combined and solved, or are refused. (A state
-- is a pointer, which SQL hands over as a bigint.)
CREATE FUNCTION pointer_of(bytea) RETURNS bigint AS '$libdir/factor', 'mf_solve_deserialize' LANGUAGE C STRICT;
CREATE FUNCTION combine_pointer(internal, bigint) RETURNS internal AS '$libdir/factor', 'mf_solve_combine' LANGUAGE C;
CREATE AGGREGATE solve_parts(bigint) (SFUNC = combine_pointer, STYPE = internal, FINALFUNC = mf_solve_final);
CREATE AGGREGATE error_of_parts(bigint) (SFUNC = combine_pointer, STYPE = internal, FINALFUNC = mf_solve_error_final);
CREATE AGGREGATE gramian_of_parts(bigint) (SFUNC = combine_pointer, STYPE = internal, FINALFUNC = mf_gramian_final);
CREATE AGGREGATE biased_bytes(real[], real, double precision, mf_options) (
	SFUNC = mf_solve_accum, STYPE = internal, FINALFUNC = mf_solve_serialize);
CREATE AGGREGATE gramian_bytes(real[]) (
	SFUNC = mf_gramian_accum, STYPE = internal, FINALFUNC = mf_solve_serialize);
CREATE TABLE states AS SELECT 'implicit' AS kind, s FROM state
UNION ALL SELECT 'biased', biased_bytes('{1,2,3}', 0.5, 2, mf_solve_options('{"mean": 1, "regularization": 2}'))
UNION ALL SELECT 'gramian', gramian_bytes('{1,2,3}');
SELECT solve_parts(pointer_of(s)) = mf_solve('{1,2,3}', 2, mf_solve_options('{"feedback": "implicit", "unobserved_weight": 0.5, "others": 7}', '{2,1,1,1,2,1,1,1,2}')) AS implicit FROM state;
SELECT solve_parts(pointer_of(s)) = (SELECT mf_solve(f, 0.5, 2, mf_solve_options('{"mean": 1, "regularization": 2}')) FROM unnest(ARRAY['{1,2,3}', '{1,2,3}']) x(v),
	CAST(v AS real[]) f) AS biased FROM states, generate_series(1, 2) WHERE kind = 'biased';
SELECT gramian_of_parts(pointer_of(s)) FROM states, generate_series(1, 2) WHERE kind = 'gramian';
SELECT solve_parts(pointer_of(s)) FROM states WHERE kind = 'gramian';
SELECT gramian_of_parts(pointer_of(s)) FROM states WHERE kind = 'biased';
SELECT gramian_of_parts(pointer_of(s)) FROM states WHERE kind = 'implicit';
SELECT solve_parts(pointer_of(s)) FROM states;
CREATE FUNCTION outcome(a bytea, b bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM gramian_of_parts(pointer_of(s)) FROM unnest(ARRAY[a, b]) x(s);
	EXCEPTION WHEN invalid_binary_representation OR invalid_parameter_value OR array_subscript_error THEN
		NULL;
	END;
	PERFORM solve_parts(pointer_of(s)), error_of_parts(pointer_of(s)) FROM unnest(ARRAY[a, b]) x(s);
	RETURN 'solved';
EXCEPTION WHEN invalid_binary_representation OR invalid_parameter_value OR numeric_value_out_of_range OR array_subscript_error THEN
	RETURN 'refused';
END $$;
SELECT outcome, count(*) > 100 AS many
FROM states x, states y, generate_series(0, length(x.s) - 1) b, unnest('{1,64,127,128,255}'::int[]) flip,
	LATERAL outcome(set_byte(x.s, b, get_byte(x.s, b) # flip), y.s)
GROUP BY 1 ORDER BY 1;
SELECT outcome, count(*) > 100 AS many
FROM states x, generate_series(0, length(x.s) - 1) b, unnest('{1,64,127,128,255}'::int[]) flip,
	LATERAL set_byte(x.s, b, get_byte(x.s, b) # flip) changed, LATERAL outcome(changed, changed)
GROUP BY 1 ORDER BY 1;
-- ... with several bytes changed at once, by a generator of its own
SELECT outcome IN ('solved', 'refused') AS neither_worse, count(*)
FROM states x, generate_series(1, 3000) n, LATERAL (
	SELECT x.s AS s0, string_agg(set_byte('\x00', 0, CASE WHEN hashint4(n * 1009 + b) % 40 = 0 THEN hashint4(n * 7919 + b) & 255
		ELSE get_byte(x.s, b) END), '' ORDER BY b) AS changed FROM generate_series(0, length(x.s) - 1) b) c,
	LATERAL outcome(changed, s0) GROUP BY 1;

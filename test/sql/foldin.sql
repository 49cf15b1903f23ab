--
-- Folding in: mf_fold_in, mf_topk with live, mf_topk_for and mf_explain, each
-- against the normal equations formed and solved in plpgsql.
--
\set VERBOSITY default
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_mf_visitor;
RESET client_min_messages;
CREATE SCHEMA mf_foldin;
SET search_path = mf_foldin, public;

-- 60 users, 200 items, about 25 each; some pairs twice, some without a rating
CREATE TABLE ratings (user_id int, item_id int, rating real);
INSERT INTO ratings SELECT u, i, 1 + abs(hashint4(u * 1009 + i)) % 9 / 2.0
FROM generate_series(1, 60) u, generate_series(1, 200) i WHERE abs(hashint4(u * 7919 + i)) % 8 = 0;
INSERT INTO ratings SELECT user_id, item_id, 5 - rating / 2 FROM ratings WHERE (user_id + item_id) % 10 = 0;
INSERT INTO ratings SELECT u, u + 100, NULL FROM generate_series(1, 60) u;
CREATE INDEX ON ratings (user_id);
SET client_min_messages = warning;
SELECT model, users, items FROM mf_train('ratings', model => 'films', factors => 6, iterations => 3, verbose => false);
SELECT model, users, items FROM mf_train('ratings', model => 'clicks', feedback => 'implicit', factors => 5, iterations => 3, verbose => false, options => '{"unobserved_weight": 0.1}');
SELECT model, users, items FROM mf_train('ratings', model => 'descent', factors => 4, iterations => 5,
	verbose => false, options => '{"solver": "sgd", "unobserved_weight": 0.025}');
SELECT model, users, items FROM mf_train('ratings', model => 'drawn', feedback => 'implicit', factors => 4, iterations => 5, alpha => 0.7, verbose => false, options => '{"solver": "sgd", "unobserved_weight": 0.375}');
RESET client_min_messages;

-- The reference. `pairs` is a query of (item_id, value); x is the factors and,
-- last, the bias. With `only` all targets but that item's count as zero.
CREATE FUNCTION plain_fold(name text, pairs text, only_item int DEFAULT NULL) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
	m mf_models := (SELECT x FROM mf_models x WHERE schema = 'mf_foldin' AND model = name);
	d int := m.factors;
	n int := d + m.biased::int;
	a float8[] := array_fill(0::float8, ARRAY[d + 1, d + 2]);
	z float8[];
	w float8;
	t float8;
	f float8;
	count int := 0;
	r record;
	x float8[];
BEGIN
	IF m.unobserved_weight > 0 THEN
		FOR r IN EXECUTE format('SELECT factors FROM %I', name || '_items') LOOP
			FOR i IN 1..d LOOP FOR j IN 1..d LOOP
				a[i][j] := a[i][j] + m.unobserved_weight * r.factors[i]::float8 * r.factors[j];
			END LOOP; END LOOP;
		END LOOP;
	END IF;
	FOR r IN EXECUTE format('SELECT item_id, bias, factors, v FROM (SELECT item_id,
			CASE WHEN %L THEN sum(v) ELSE avg(v) END v FROM (%s) q (item_id, v) WHERE v IS NOT NULL GROUP BY 1) p
			JOIN %I i USING (item_id)', m.feedback = 'implicit', pairs, name || '_items') LOOP
		z := r.factors::float8[] || CASE WHEN m.biased THEN 1.0::float8 ELSE 0 END;
		w := CASE m.feedback WHEN 'implicit' THEN m.alpha * r.v ELSE 1 END;
		t := CASE m.feedback WHEN 'implicit' THEN 1 ELSE r.v - m.mean - r.bias END;
		IF r.item_id <> only_item THEN
			t := 0;
		END IF;
		count := count + 1;
		FOR i IN 1..n LOOP
			FOR j IN 1..n LOOP a[i][j] := a[i][j] + w * z[i] * z[j]; END LOOP;
			a[i][d + 2] := a[i][d + 2] + w * t * z[i];
		END LOOP;
	END LOOP;
	IF count = 0 THEN RETURN NULL; END IF;
	FOR i IN 1..n LOOP
		a[i][i] := a[i][i] + CASE WHEN i <= d THEN m.regularization *
			(count + m.unobserved_weight * m.items) ^ m.reg_exponent ELSE m.bias_regularization END;
	END LOOP;
	FOR i IN 1..n LOOP			-- Gauss and Jordan
		FOR k IN 1..n LOOP
			CONTINUE WHEN k = i;
			f := a[k][i] / a[i][i];
			FOR j IN 1..d + 2 LOOP a[k][j] := a[k][j] - f * a[i][j]; END LOOP;
		END LOOP;
	END LOOP;
	FOR i IN 1..d + 1 LOOP
		x[i] := CASE WHEN i <= n THEN a[i][d + 2] / a[i][i] ELSE 0 END;
	END LOOP;
	RETURN x;
END $$;
CREATE FUNCTION as_x(v mf_vector) RETURNS real[] LANGUAGE sql AS 'SELECT v.factors || v.bias';
CREATE FUNCTION near(a float8, b float8, eps float8 DEFAULT 1e-5) RETURNS boolean LANGUAGE sql AS
	'SELECT abs(a - b) <= eps * (1 + abs(b))';

-- The users of the training come out as they were stored.
SELECT count(*), max(as_x(v) <-> (u.factors || u.bias)) < 1e-5 AS same, min(as_x(v) <-> (w.factors || w.bias)) > 1e-3 AS and_no_other
FROM (SELECT user_id, mf_fold_in(item_id, rating, 'films') v FROM ratings GROUP BY user_id) f
	JOIN films_users u USING (user_id) JOIN films_users w ON w.user_id = u.user_id % 60 + 1;
SELECT count(*), max(as_x(v) <-> (u.factors || u.bias)) < 1e-5 AS same, min(as_x(v) <-> (w.factors || w.bias)) > 1e-3 AS and_no_other
FROM (SELECT user_id, mf_fold_in(item_id, rating, 'clicks') v FROM ratings GROUP BY user_id) f
	JOIN clicks_users u USING (user_id) JOIN clicks_users w ON w.user_id = u.user_id % 60 + 1;

-- So they do with all options that the equations know.
CREATE FUNCTION fold_all(options jsonb) RETURNS TABLE (users bigint, same boolean) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM mf_train('ratings', model => 'varied', options => '{"factors": 5, "iterations": 3, "verbose": false, "index": false}' || options);
	RETURN QUERY SELECT count(*), max(as_x(v) <-> (u.factors || u.bias)) < 1e-4
	FROM (SELECT user_id, mf_fold_in(item_id, rating, 'varied') v FROM ratings GROUP BY user_id) f JOIN varied_users u USING (user_id);
	PERFORM mf_drop('varied');
END $$;
SET client_min_messages = warning;
SELECT o AS options, f.* FROM unnest(ARRAY['{"bias": false}', '{"center": false}', '{"bias": false, "center": false}', '{"unobserved_weight": 0.0625}',
	'{"unobserved_weight": 0.25, "bias": false}', '{"reg_exponent": 0}', '{"reg_exponent": 1, "regularization": 0.05}', '{"bias_regularization": 0}',
	'{"min_user_ratings": 25}', '{"init_std": 0.5, "seed": 7}', '{"feedback": "implicit"}',
	'{"feedback": "implicit", "unobserved_weight": 0}', '{"feedback": "implicit", "alpha": 40, "unobserved_weight": 1}',
	'{"feedback": "implicit", "unobserved_weight": 0.375, "reg_exponent": 1}']) WITH ORDINALITY x (o, n),
	LATERAL fold_all(o::jsonb) f ORDER BY n;
RESET client_min_messages;

-- Any basket: the same item again and again, unknown ones, NULLs, in any order
CREATE TABLE baskets (name text, item_id int, rating real);
INSERT INTO baskets VALUES ('one', 7, 4), ('twice', 7, 5), ('twice', 7, 2), ('twice', 9, 1), ('twice', 7, 0.5),
	('unknown', 3, 4.5), ('unknown', 100000, 1), ('unknown', -1, 5), ('nulls', NULL, 3), ('nulls', 12, NULL), ('nulls', 13, 2),
	('zero', 20, 0), ('zero', 21, 0), ('none', 100000, 2), ('null', 5, NULL);
INSERT INTO baskets SELECT 'all', item_id, rating FROM ratings ORDER BY hashint4(item_id * 100 + user_id);
SELECT model, name, CASE WHEN v IS NULL THEN x IS NULL ELSE as_x(v) <-> x::real[] < 1e-5 END AS same, v IS NULL AS is_null
FROM (VALUES ('films'), ('clicks'), ('descent'), ('drawn')) m (model), LATERAL (SELECT name, mf_fold_in(item_id, rating, model) v,
	plain_fold(model, format('SELECT item_id, rating FROM mf_foldin.baskets WHERE name = %L', name)) x
	FROM baskets GROUP BY name) f ORDER BY model, name COLLATE "C";
SELECT mf_fold_in(item_id, rating) IS NULL FROM baskets WHERE false;
SELECT pg_typeof(mf_fold_in(7, 4)), array_length((mf_fold_in(7, 4)).factors, 1);

-- Descent to the end of the same objective gives the same vectors.
CREATE TABLE small AS SELECT user_id, item_id, avg(rating)::real AS rating FROM ratings WHERE user_id <= 8 AND item_id <= 60 GROUP BY 1, 2;
SELECT iterations FROM mf_train('small', model => 'bottom', iterations => 20000, regularization => 0.3, factors => 2, verbose => false, options => '{"solver": "sgd", "optimizer": "adam", "batch_size": 0, "schedule": "one_cycle", "learning_rate": 0.02, "index": false}');
SELECT count(*), max(as_x(v) <-> (u.factors || u.bias)) < 1e-3 AS same, min(-(factors <#> factors)) > 0.01 AS not_nothing
FROM (SELECT user_id, mf_fold_in(item_id, rating, 'bottom') v FROM small GROUP BY user_id) f JOIN bottom_users u USING (user_id);
-- Such models serve newcomers as others do ...
BEGIN;
INSERT INTO ratings SELECT 1000, item_id, rating FROM ratings WHERE user_id = 8;
SELECT model, (SELECT array_agg(item) FROM mf_topk(1000, 10, model)) = (SELECT array_agg(item) FROM mf_topk(8, 10, model, live => true)) AS as_live,
	(SELECT array_agg(item) FROM mf_topk(1000, 10, model)) = (SELECT array_agg(item) FROM mf_topk_for((SELECT array_agg(item_id) FROM ratings
		WHERE user_id = 8 AND rating IS NOT NULL), (SELECT array_agg(rating::float8) FROM ratings WHERE user_id = 8 AND rating IS NOT NULL), 10, model,
		exclude => ARRAY(SELECT item_id FROM ratings WHERE user_id = 8))) AS as_basket,
	(SELECT near(sum(contribution) + min(base), min(score)) FROM mf_explain(1000, 3, 1000, model)) AS explained
FROM (VALUES ('descent'), ('drawn')) m (model);
ROLLBACK;
-- ... and those that no normal equations describe say so.
SET client_min_messages = warning;
SELECT count(*) FROM unnest(ARRAY['{"loss": "bpr"}', '{"loss": "logistic"}', '{"rating_range": "[1,5]"}', '{"solver": "sgd", "weight_decay": 0.01}',
	'{"solver": "sgd", "feedback": "implicit", "negatives": 3}']) WITH ORDINALITY x (o, n),
	mf_train('ratings', model => 'other_' || n, options => '{"factors": 3, "iterations": 1, "verbose": false}' || o::jsonb);
RESET client_min_messages;
SELECT mf_fold_in(3, 4, 'other_1');
SELECT mf_fold_in(3, 4, 'other_2');
SELECT mf_fold_in(3, 4, 'other_3');
SELECT mf_topk_for(ARRAY[3], model => 'other_4');
SELECT mf_topk(7, 3, 'other_5', live => true);
SELECT mf_explain(7, 3, 3, 'other_1');
INSERT INTO ratings VALUES (1000, 3, 4);
SELECT count(*), (SELECT count(*) FROM mf_topk(1000, 3, 'other_1')) AS newcomer FROM mf_topk(7, 3, 'other_1');
DELETE FROM ratings WHERE user_id = 1000;
SELECT mf_drop('other_' || n) FROM generate_series(1, 5) n;

-- Many rows: items that the model does not know are not kept, and the same
-- items again add nothing
SELECT as_x(mf_fold_in(i % 20000, 3, 'films')) <-> as_x((SELECT mf_fold_in(i, 3, 'films') FROM generate_series(0, 200) i)) < 1e-6
FROM generate_series(0, 59999) i;

-- As a window function, over all types of ids, named models; one model a group
SELECT bool_and(as_x(v) = as_x(w)) FROM (SELECT user_id, item_id, mf_fold_in(item_id, rating) OVER (PARTITION BY user_id
	ORDER BY item_id, rating RANGE UNBOUNDED PRECEDING) v FROM ratings WHERE user_id < 4 AND rating > 0) f,
	LATERAL (SELECT mf_fold_in(item_id, rating) w FROM ratings r WHERE r.user_id = f.user_id AND r.item_id <= f.item_id) g
WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = f.user_id AND r.item_id = f.item_id HAVING count(*) > 1);
SELECT as_x(mf_fold_in(i::smallint, 3)) = as_x(mf_fold_in(i::bigint, 3.0)), as_x(mf_fold_in(i::text, 3::real)) = as_x(mf_fold_in(i, '3')),
	as_x(mf_fold_in(i::varchar, 3, NULL)) = as_x(mf_fold_in(i, 3, 'mf_foldin.films')) FROM generate_series(1, 9) i;
SELECT mf_fold_in(i, 3, CASE i WHEN 5 THEN 'films' ELSE 'clicks' END) FROM generate_series(1, 9) i;
SELECT mf_fold_in(i::numeric, 3) FROM generate_series(1, 9) i;
SELECT mf_fold_in('00000000-0000-0000-0000-000000000007'::uuid, 3);
SELECT mf_fold_in(7, 'NaN');
SELECT mf_fold_in(7, '1e39');
SELECT mf_fold_in(7, -1, 'clicks');
SELECT mf_fold_in(7, 1, 'no_such_model');

-- Ranking by what it returns, as the documentation has it, is mf_topk_for.
SELECT ARRAY(SELECT i.item_id::bigint FROM films_items i,
	(SELECT mf_fold_in(item, rating, 'films') v FROM unnest(ARRAY[3, 5, 8], ARRAY[4.5, 1, 3]) b (item, rating)) f
	WHERE i.item_id NOT IN (3, 5, 8)
	ORDER BY (i.bias || i.factors) <#> (1::real || (v).factors), i.item_id LIMIT 10)
	= (SELECT array_agg(item) FROM mf_topk_for(ARRAY[3, 5, 8], ARRAY[4.5, 1, 3], 10, 'films'));

-- mf_topk_for, against plain SQL
CREATE FUNCTION plain_list(name text, x float8[], skip int[], k int, allowed int[] DEFAULT NULL)
RETURNS TABLE (place bigint, item int, score float8) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT row_number() OVER (ORDER BY s DESC, item_id), item_id, least(greatest(s, lo), hi)
		FROM (SELECT item_id, mean + i.bias + ($1)[m.factors + 1] + (SELECT sum(a * b) FROM unnest(i.factors, ($1)[:m.factors]) u (a, b)) s,
			CASE feedback WHEN ''explicit'' THEN rating_min ELSE ''-inf'' END lo, CASE feedback WHEN ''explicit'' THEN rating_max ELSE ''inf'' END hi
		FROM %I i, mf_models m WHERE m.model = %L AND m.schema = ''mf_foldin'' AND item_id <> ALL ($2)
			AND ($3 IS NULL OR item_id = ANY ($3))) t ORDER BY 1 LIMIT $4',
		name || '_items', name) USING x, skip, allowed, k;
END $$;
CREATE FUNCTION differ(name text, items int[], ratings float8[], default_rating float8, k int) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM plain_list(name, plain_fold(name, format('SELECT * FROM unnest(%L::int[], %L::float8[])', items,
		coalesce(ratings, array_fill(default_rating, ARRAY[cardinality(items)])))), items, k) p
	FULL JOIN mf_topk_for(items, ratings, k, name) WITH ORDINALITY t (item, score, place) USING (place)
	WHERE p.item IS DISTINCT FROM t.item OR NOT near(t.score, p.score)
$$;
SELECT differ('films', '{3,5,8}', '{4.5,1,3}', NULL, 10), differ('films', '{3,5,8}', NULL, (SELECT max(rating) FROM ratings), 10),
	differ('films', '{3,3,900}', '{4.5,1,3}', NULL, 300), differ('clicks', '{3,5,8}', NULL, 1, 10),
	differ('clicks', '{3,5,8}', '{1,20,0}', 1, 300);
SELECT count(*), count(DISTINCT item), bool_or(item IN (3, 5)) FROM mf_topk_for('{3,5,NULL}'::int[], k => 300, model => 'clicks');
SELECT count(*), count(DISTINCT item) FROM mf_topk_for('{3,5}'::int[], k => 300, model => 'clicks', exclude_seen => false);
-- An item without a rating says nothing, but is not recommended.
SELECT count(*) FILTER (WHERE a.item = b.item), bool_or(b.item = 5) FROM mf_topk_for('{3}'::int[], '{4}', 300) WITH ORDINALITY a
	JOIN mf_topk_for('{3,5}'::int[], '{4,NULL}', 300, exclude => '{}') WITH ORDINALITY b USING (item);
SELECT count(*) FROM mf_topk_for('{}'::int[]) UNION ALL SELECT count(*) FROM mf_topk_for('{100000}'::int[])
UNION ALL SELECT count(*) FROM mf_topk_for(NULL::int[]) UNION ALL SELECT count(*) FROM mf_topk_for('{3}'::int[], '{NULL}')
UNION ALL SELECT count(*) FROM mf_topk_for(ARRAY[10000000000]) UNION ALL SELECT count(*) FROM mf_topk_for('{3}'::int[], k => 0);
SELECT pg_typeof(item) FROM mf_topk_for(ARRAY[3], k => 1) UNION ALL SELECT pg_typeof(item) FROM mf_topk_for(ARRAY['3'], k => 1)
UNION ALL SELECT pg_typeof(item) FROM mf_topk_for(ARRAY[3::smallint], ARRAY[1::real], 1)
UNION ALL SELECT pg_typeof(item) FROM mf_topk_for(ARRAY[3::bigint], ARRAY[1], 1, 'films', true, ARRAY[9], ARRAY[8], 0.5);
SELECT * FROM mf_topk_for(ARRAY[3, 4], ARRAY[1.0]);
SELECT * FROM mf_topk_for(ARRAY[3, 4], ARRAY[1.0, 'NaN']);
SELECT * FROM mf_topk_for(ARRAY[3], k => -1);
SELECT * FROM mf_topk_for(ARRAY['00000000-0000-0000-0000-000000000007'::uuid]);
SELECT * FROM mf_topk_for(ARRAY['seven']);
SELECT * FROM mf_topk_for('{3}');

-- live: a user of the training gets the same list to rounding ...
SELECT model, count(*), bool_and(near(l.score, s.score)) FROM (VALUES ('films'), ('clicks')) m (model), films_users u,
	LATERAL mf_topk(u.user_id, 300, model) s JOIN LATERAL mf_topk(u.user_id, 300, model, live => true) l USING (item) GROUP BY 1 ORDER BY 1;
-- ... one who rates something now another, with live alone
BEGIN;
INSERT INTO ratings SELECT 7, item, 5 FROM mf_topk(7, 3, 'films') UNION ALL SELECT 7, i, 1 FROM generate_series(60, 90) i;
SELECT count(*) FILTER (WHERE NOT near(s.score, mf_predict(7, item, 'films'), 1e-12)) FROM mf_topk(7, 300, 'films') s;
SELECT count(*) FROM plain_list('films', plain_fold('films', 'SELECT item_id, rating FROM mf_foldin.ratings WHERE user_id = 7'),
	(SELECT array_agg(item_id) FROM ratings WHERE user_id = 7), 20) p
	FULL JOIN mf_topk(7, 20, 'films', live => true) WITH ORDINALITY t (item, score, place) USING (place)
	WHERE p.item IS DISTINCT FROM t.item OR NOT near(t.score, p.score);
ROLLBACK;
-- ... and one whom only the table knows is answered, unless live is false.
BEGIN;
INSERT INTO ratings SELECT 1000, item_id, rating FROM ratings WHERE user_id = 8;
INSERT INTO ratings VALUES (1001, 5, NULL), (1002, 100000, 3);
SELECT count(*), bool_and(near(n.score, o.score)) FROM mf_topk(8, 300, 'films') o JOIN mf_topk(1000, 300, 'films') n USING (item);
SELECT count(*), bool_and(near(n.score, o.score)) FROM mf_topk(8, 300, 'clicks') o JOIN mf_topk('1000', 300, 'clicks', live => true) n
	ON n.item::int = o.item;
SELECT count(*) FROM mf_topk(1000, 300, 'films', exclude_seen => false)
UNION ALL SELECT count(*) FROM mf_topk(1000, 300, 'films', live => false)
UNION ALL SELECT count(*) FROM mf_topk(1001, 300, 'films') UNION ALL SELECT count(*) FROM mf_topk(1002, 300, 'films')
UNION ALL SELECT count(*) FROM mf_topk(1003, 300, 'films') UNION ALL SELECT count(*) FROM mf_topk(1003, 300, 'films', live => true)
UNION ALL SELECT count(*) FROM mf_topk(10000000000, 300, 'films', live => true);
DELETE FROM ratings WHERE user_id = 8;
SELECT count(*) FROM mf_topk(8, 300, 'films') UNION ALL SELECT count(*) FROM mf_topk(8, 300, 'films', live => true);
-- What training would refuse is refused.
INSERT INTO ratings VALUES (1004, 5, 'NaN');
SAVEPOINT s;
SELECT * FROM mf_topk(1004, 3, 'films');
ROLLBACK TO s;
-- The source is gone, or has changed
ALTER TABLE ratings RENAME rating TO stars;
SELECT count(*) FROM mf_topk(8, 3, 'films');
SELECT count(*) FROM mf_topk(1000, 3, 'films');
SELECT count(*) FROM generate_series(0, 2) u, mf_topk(1000 + u, 3, 'films');
SELECT count(*) FROM mf_topk(1000, 3, 'films', live => false);
SELECT * FROM mf_topk(8, 3, 'films', live => true);
ROLLBACK TO s;
ALTER TABLE ratings RENAME TO stars;
SELECT * FROM mf_explain(8, 3, 3, 'films');
ROLLBACK TO s;
ALTER TABLE ratings ALTER rating TYPE text;
SELECT * FROM mf_topk(8, 3, 'films', live => true);
ROLLBACK TO s;
-- A Gramian is needed where pairs without a rating have a weight.
UPDATE mf_models SET gramian_items = NULL WHERE schema = 'mf_foldin' AND model = 'clicks';
SELECT count(*) FROM mf_topk(7, 3, 'clicks');
SELECT * FROM mf_topk(7, 3, 'clicks', live => true);
ROLLBACK;

-- A model of some of the ratings: what training left out says nothing live either, but is not recommended.
CREATE TABLE dated AS SELECT *, date '2024-01-01' + user_id * item_id % 300 AS at FROM ratings;
SET client_min_messages = error;
SELECT users, items FROM mf_train('dated', model => 'picky', factors => 5, time_col => 'at', verbose => false, options => '{"min_rating": 1.7, "since": "2024-02-01"}');
SELECT users, items FROM mf_train('dated', rating_col => NULL, model => 'late', feedback => 'implicit', factors => 5, time_col => 'at', verbose => false, options => jsonb_build_object('since', '2024-02-01'::text));
RESET client_min_messages;
SELECT model, count(*) > 5000 AS many, bool_and(near(l.score, s.score)) AS same FROM (VALUES ('picky'), ('late')) m (model), picky_users u,
	LATERAL mf_topk(u.user_id, 300, model) s JOIN LATERAL mf_topk(u.user_id, 300, model, live => true) l USING (item) GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM dated d JOIN mf_topk(7, 300, 'picky', live => true) ON item = item_id WHERE user_id = 7;
SELECT count(*), bool_and(EXISTS (SELECT FROM dated WHERE user_id = 7 AND item_id = item AND d.rating >= 1.7 AND at >= '2024-02-01')) AS counted
FROM mf_explain(7, 3, 1000, 'picky') d;
BEGIN;
ALTER TABLE dated RENAME at TO since;
SAVEPOINT s;
SELECT count(*) FROM mf_topk(7, 5, 'picky');
SELECT count(*) FROM mf_topk(7, 5, 'picky', live => true);
ROLLBACK TO s;
UPDATE mf_models SET options = '{"min_rating": null}' WHERE schema = 'mf_foldin' AND model = 'late';
SELECT count(*) FROM mf_topk(7, 5, 'late', live => true);
UPDATE mf_models SET options = '{"min_rating": 2, "since": "x"}' WHERE schema = 'mf_foldin' AND model = 'late';
SELECT count(*) FROM mf_topk(7, 5, 'late', live => true);
ROLLBACK;

-- Diversity goes with a folded-in vector, candidates and exclusions as with a stored
-- one: maximal marginal relevance step by step over the ranking of the pool
CREATE FUNCTION plain_diverse(name text, u int, k int, diversity float8, allowed int[], excluded int[]) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	chosen int[] := '{}';
	best int;
BEGIN
	EXECUTE format('CREATE TEMP TABLE pool AS SELECT place, r.item_id, r.factors,
			CASE WHEN max(raw) OVER () > min(raw) OVER () THEN (raw - min(raw) OVER ()) / (max(raw) OVER () - min(raw) OVER ()) ELSE 1 END rel
		FROM (SELECT i.item_id, i.factors, row_number() OVER (ORDER BY raw DESC, i.item_id) place, raw
			FROM %1$I i, LATERAL (SELECT (SELECT sum(a::float8 * b) FROM unnest(i.factors || CASE WHEN m.biased THEN ARRAY[1::real] END, x) s (a, b))
					+ m.mean + i.bias raw
				FROM mf_models m, (SELECT plain_fold($1, $2) x) f WHERE m.schema = ''mf_foldin'' AND m.model = $1) s
			WHERE ($3 IS NULL OR i.item_id = ANY ($3)) AND ($4 IS NULL OR i.item_id <> ALL ($4))
				AND i.item_id NOT IN (SELECT item_id FROM ratings WHERE user_id = $5 AND item_id IS NOT NULL)) r
		WHERE place <= greatest(5 * $6, 100)', name || '_items')
	USING name, format('SELECT item_id, rating FROM mf_foldin.ratings WHERE user_id = %s', u), allowed, excluded, u, k;
	LOOP
		SELECT p.item_id INTO best FROM pool p WHERE p.item_id <> ALL (chosen)
		ORDER BY round(((1 - diversity) * rel - diversity * coalesce((SELECT max(1 - (c.factors <=> p.factors))
			FROM pool c WHERE c.item_id = ANY (chosen)), 0))::numeric, 5) DESC, place LIMIT 1;
		EXIT WHEN NOT FOUND OR cardinality(chosen) = k;
		chosen := chosen || best;
	END LOOP;
	DROP TABLE pool;
	RETURN chosen;
END $$;
SELECT model, what, count(*), bool_and((plain_diverse(model, u, 6, 0.4, c, e)
	= (SELECT array_agg(item::int) FROM mf_topk(u, 6, model, live => true, diversity => 0.4, candidates => c, exclude => e))) IS TRUE) AS same
FROM (VALUES ('films'), ('clicks')) m (model), (VALUES (7), (8), (33)) x (u),
	(VALUES ('all', NULL::int[], NULL::int[]), ('candidates', ARRAY(SELECT generate_series(1, 200, 3)), NULL),
		('exclude', NULL, ARRAY(SELECT generate_series(1, 200, 4))),
		('both', ARRAY(SELECT generate_series(1, 150, 2)), ARRAY(SELECT generate_series(1, 60)))) o (what, c, e)
GROUP BY 1, 2 ORDER BY 1, 2;

-- mf_explain: contributions are what each item's target alone would score
CREATE FUNCTION plain_explain(name text, u int, target int) RETURNS TABLE (item int, contribution float8) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT r.item_id, (SELECT sum(a * b) FROM unnest(i.factors || m.biased::int::real,
			plain_fold(%L, %L, r.item_id)) s (a, b))
		FROM (SELECT DISTINCT item_id FROM ratings WHERE user_id = $1 AND rating IS NOT NULL) r, %I i, mf_models m
		WHERE i.item_id = $2 AND m.model = %L AND m.schema = ''mf_foldin''',
		name, format('SELECT item_id, rating FROM mf_foldin.ratings WHERE user_id = %s', u), name || '_items', name) USING u, target;
END $$;
SELECT model, count(*), bool_and(near(e.contribution, p.contribution, 1e-6)), count(*) FILTER (WHERE p.item IS NULL OR e.item IS NULL)
FROM (VALUES ('films'), ('clicks')) m (model), (VALUES (7, 3), (8, 150)) x (u, target),
	LATERAL (SELECT p.item, p.contribution FROM plain_explain(model, u, target) p) p
	FULL JOIN LATERAL mf_explain(u, target, 1000, model) e USING (item) GROUP BY 1 ORDER BY 1;
-- They add up, with the base, to the score, which is the prediction before it is kept in range.
SELECT bool_and(near(total, score, 1e-12)), bool_and(near(least(greatest(score, 1), 5), mf_predict(user_id, target, 'films'))),
	bool_and(near(base, mean + i.bias, 1e-12)), count(*)
FROM (SELECT user_id, target, min(base) base, min(score) score, min(base) + sum(contribution) total, min(mean) mean
	FROM films_users, (VALUES (3), (30), (199)) t (target), mf_models m, LATERAL mf_explain(user_id, target, 1000, 'films')
	WHERE m.model = 'films' AND m.schema = 'mf_foldin' GROUP BY 1, 2) s JOIN films_items i ON item_id = target;
SELECT bool_and(near(total, score, 1e-12)), bool_and(near(score, mf_predict(user_id, target, 'clicks'))), max(base), count(*)
FROM (SELECT user_id, target, min(base) base, min(score) score, min(base) + sum(contribution) total
	FROM films_users, (VALUES (3), (30), (199)) t (target), LATERAL mf_explain(user_id, target, 1000, 'clicks') GROUP BY 1, 2) s;
SELECT count(*), bool_and(contribution <= before IS NOT FALSE), bool_and(rating = (SELECT avg(r.rating)::real FROM ratings r
	WHERE user_id = 7 AND item_id = item)) FROM (SELECT *, lag(contribution) OVER () before FROM mf_explain(7, 3, 8, 'films')) s;
-- Some speak against it; items that the model does not know, and rows without a rating, say nothing
-- and are not there; what was rated since the training counts, as with live.
BEGIN;
INSERT INTO ratings VALUES (7, 100000, 5), (7, 100001, 1), (7, 199, NULL), (7, 60, 5), (7, 61, 1), (1002, 100000, 4), (1003, 60, 4.5), (1003, 100000, 1);
SELECT model, min(contribution) < 0 AS against, max(contribution) > 0 AS in_favour, count(*) FILTER (WHERE e.item >= 100000) AS unknown,
	count(*) FILTER (WHERE item IN (60, 61)) AS recent, near(sum(contribution) + min(base), min(score), 1e-12) AS adds_up,
	near(min(score), (SELECT score FROM mf_topk(7, 1, model, false, ARRAY[target], live => true))) AS as_live
FROM (VALUES ('films', 3), ('clicks', 3), ('films', 60), ('clicks', 60)) m (model, target), mf_explain(7, target, 1000, model) e
GROUP BY model, target ORDER BY 1, target;
SELECT item, near(contribution + base, score, 1e-12) AS adds_up FROM mf_explain(1003, 7, 5, 'films');
SELECT count(*) FROM mf_explain(1002, 7, 5, 'films') UNION ALL SELECT count(*) FROM mf_explain(7, 100000, 5, 'films');
-- The first n are those that speak for it most
SELECT (SELECT array_agg(item) FROM mf_explain(7, 3, 4, 'films')) = array_agg(item) FROM
	(SELECT item FROM mf_explain(7, 3, 1000, 'films') ORDER BY contribution DESC, item LIMIT 4) s;
ROLLBACK;
SELECT count(*) FROM mf_explain(7, 3) UNION ALL SELECT count(*) FROM mf_explain(7, 3, 0) UNION ALL SELECT count(*) FROM mf_explain(7, 1000)
UNION ALL SELECT count(*) FROM mf_explain(1000, 3) UNION ALL SELECT count(*) FROM mf_explain(NULL::int, 3)
UNION ALL SELECT count(*) FROM mf_explain('7', '3', 4) UNION ALL SELECT count(*) FROM mf_explain(7, 3, 4, 'films')
UNION ALL SELECT count(*) FROM mf_explain(7, '3', n => 3) UNION ALL SELECT count(*) FROM mf_explain(7, 3, 2, item_type => NULL::int)
UNION ALL SELECT count(*) FROM mf_explain(7, 3, 2, NULL::int, 'films');
SELECT pg_typeof(item) FROM mf_explain(7, 3, 1) UNION ALL SELECT pg_typeof(item) FROM mf_explain(7, 3, 1, NULL::int)
UNION ALL SELECT pg_typeof(item) FROM mf_explain('7', '3', 1);
SELECT * FROM mf_explain(7, 3, -1);
SELECT * FROM mf_explain(7, 3, NULL);

-- Items whose rows were replaced lately: dead entries in the index are met.
UPDATE films_items SET ratings = ratings + 1;
UPDATE films_items SET ratings = ratings - 1;
SELECT bool_and(near(l.score, s.score)) FROM films_users u, mf_topk(u.user_id, 300, 'films') s,
	mf_topk(u.user_id, 300, 'films', live => true) l WHERE l.item = s.item;
SELECT count(*) FROM films_users u, mf_topk(u.user_id, 30, 'films', candidates => ARRAY(SELECT generate_series(1, 30))) s;

-- Nothing is written.
BEGIN READ ONLY;
SELECT count(*) FROM mf_topk(7, 3, live => true), mf_topk_for(ARRAY[3]), mf_explain(7, 3, 2);
SELECT mf_fold_in(3, 4) IS NOT NULL;
COMMIT;

-- Ids of other types
CREATE TABLE visits AS SELECT date '2000-01-01' + user_id AS day, lpad(item_id::text, 32, '0')::uuid AS page, count(*)::int AS n
	FROM ratings GROUP BY 1, 2;
CREATE TABLE words AS SELECT 'user ' || user_id AS u, 'item ' || item_id AS i, rating FROM ratings;
SET client_min_messages = error;
SELECT users, items FROM mf_train('visits', 'day', 'page', 'n', 'visits', 'implicit', factors => 4, verbose => false);
SELECT users, items FROM mf_train('words', 'u', 'i', model => 'words', factors => 4, verbose => false);
RESET client_min_messages;
SELECT max((mf_fold_in).factors <-> factors) < 1e-5 FROM (SELECT day, mf_fold_in(page, n, 'visits') FROM visits GROUP BY 1) v
	JOIN visits_users USING (day);
SELECT max((mf_fold_in).factors <-> factors) < 1e-4 FROM (SELECT u, mf_fold_in(i, rating, 'words') FROM words GROUP BY 1) v
	JOIN words_users USING (u);
SELECT count(*) FROM mf_topk(date '2000-01-08', 5, NULL::uuid, live => true, model => 'visits')
UNION ALL SELECT count(*) FROM mf_topk_for(ARRAY['item 3', 'no such'], k => 5, model => 'words', candidates => ARRAY['item 7', 'item 3', 'x'])
UNION ALL SELECT count(*) FROM mf_topk_for(ARRAY['00000000-0000-0000-0000-000000000007'::uuid], k => 5, model => 'visits')
UNION ALL SELECT count(*) FROM mf_explain(date '2000-01-08', '00000000-0000-0000-0000-000000000007', 3, NULL::uuid, 'visits');

-- Rights: those of the caller, on the columns that are read
CREATE ROLE regress_mf_visitor;
GRANT USAGE ON SCHEMA mf_foldin TO regress_mf_visitor;
GRANT SELECT ON films_items, films_users TO regress_mf_visitor;
INSERT INTO ratings SELECT 1000, item_id, rating FROM ratings WHERE user_id = 8;
SET ROLE regress_mf_visitor;
SELECT count(*) FROM mf_topk_for(ARRAY[3], k => 5);
SELECT mf_fold_in(3, 4) IS NOT NULL;
SELECT count(*) FROM mf_topk(8, 5, exclude_seen => false);
SELECT count(*) FROM mf_topk(1000, 5);
SELECT count(*) FROM mf_topk(1000, 5, live => false);
SELECT count(*) FROM mf_topk(1000, 5, live => true);
SELECT count(*) FROM mf_explain(8, 3);
RESET ROLE;
GRANT SELECT (user_id, item_id) ON ratings TO regress_mf_visitor;
SET ROLE regress_mf_visitor;
SELECT count(*) FROM mf_topk(8, 5);
SELECT count(*) FROM mf_topk(8, 5, live => true);
RESET ROLE;
GRANT SELECT (rating) ON ratings TO regress_mf_visitor;
SET ROLE regress_mf_visitor;
SELECT count(*) FROM mf_topk(1000, 5);
SELECT count(*) > 5 FROM mf_explain(8, 3, 100);
RESET ROLE;
REVOKE SELECT ON films_items FROM regress_mf_visitor;
SET ROLE regress_mf_visitor;
SELECT mf_fold_in(3, 4);
SELECT count(*) FROM mf_topk_for(ARRAY[3], candidates => ARRAY[5]);
RESET ROLE;
GRANT SELECT ON films_items TO regress_mf_visitor;

-- Row security: of the ratings and of the items
ALTER TABLE ratings ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ratings TO regress_mf_visitor USING (user_id = 8 AND item_id % 2 = 0);
ALTER TABLE films_items ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON films_items TO regress_mf_visitor USING (item_id <= 100);
SET ROLE regress_mf_visitor;
SELECT count(*) FROM mf_topk(1000, 5);
SELECT bool_and(item % 2 = 0 AND item <= 100), count(*) = count(DISTINCT item) FROM mf_explain(8, 3, 100);
SELECT count(*) > 50, max(item) <= 100 FROM mf_topk(8, 300, live => true);
SELECT array_agg(item ORDER BY item) FROM mf_topk_for(ARRAY[3], candidates => ARRAY[3, 5, 7, 150]);
SELECT mf_fold_in(150, 4) IS NULL, mf_fold_in(50, 4) IS NOT NULL;
RESET ROLE;

SET client_min_messages = warning;
SELECT mf_drop(model) FROM (VALUES ('films'), ('clicks'), ('descent'), ('drawn'), ('bottom'), ('visits'), ('words'), ('picky'), ('late')) m (model);
DROP SCHEMA mf_foldin CASCADE;
DROP OWNED BY regress_mf_visitor;
DROP ROLE regress_mf_visitor;

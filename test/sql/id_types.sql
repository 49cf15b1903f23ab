-- Every function for ids of every kind of type that has a btree operator class. Each
-- model has a twin whose ids are integers, with the same ratings and the same vectors;
-- the ids are in the same order, so every answer must be the same.
SET client_min_messages = warning;
\set VERBOSITY terse
CREATE SCHEMA id_types;
SET search_path = id_types, public;
-- texts of these are as mf_holdout takes them
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';

CREATE TYPE letter AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x');
CREATE DOMAIN letters AS letter;
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN positives AS positive;
CREATE DOMAIN ints AS int[];
CREATE DOMAIN code AS varchar(10) COLLATE "C";
CREATE TYPE place AS (x int, name text);
CREATE TYPE spot AS (at place, marks letter[]);
CREATE TYPE letterrange AS RANGE (subtype = int4, multirange_type_name = lettermultirange);
SELECT count(*) = 0 AS no_icu FROM pg_collation WHERE collname = 'und-x-icu' \gset
\if :no_icu
CREATE COLLATION caseless FROM "C";
\else
CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
\endif

-- the twin: user 24 comes after the training, user 3 goes, user 5 changes
CREATE TABLE base AS SELECT u, i, 1 + abs(hashint4(u * 100 + i)) % 5 AS rating
FROM generate_series(1, 20) u, generate_series(1, 12) i WHERE abs(hashint4(u * 31 + i)) % 3 > 0;
CREATE TABLE r_int AS SELECT u AS user_id, i AS item_id, rating FROM base;

CREATE FUNCTION answers(model text, source text, u1 text, u2 text, u3 text, i1 text, i2 text) RETURNS TABLE (what text, answer text) LANGUAGE plpgsql AS $$
DECLARE
	-- an id's place among the model's, which is the twin's id
	users text := format('(SELECT user_id, rank() OVER (ORDER BY user_id) u FROM %I)', model || '_users');
	items text := format('(SELECT item_id, rank() OVER (ORDER BY item_id) i FROM %I)', model || '_items');
	list text := format('SELECT string_agg(m.i || '':'' || round(x.score::numeric, 4), '' '' ORDER BY x.score DESC, m.i) FROM %%s x JOIN %s m ON m.item_id::text = x.item', items);
	q record;
BEGIN
	PERFORM mf_train(source::regclass, model => model || '_held', factors => 2, holdout => 0.1, iterations => 1, verbose => false, options => '{"index": false}');
	FOR q IN SELECT * FROM (VALUES
		('predict', format('SELECT round(mf_predict(%L, %L, %L)::numeric, 4)', u1, i1, model)),
		('topk', format(list, format('mf_topk(%L, 4, %L)', u1, model))),
		('topk live', format(list, format('mf_topk(%L, 4, %L, live => true)', u1, model))),
		('topk among', format(list, format('mf_topk(%L, 4, %L, exclude_seen => false, candidates => %L::text[], exclude => %L::text[])',
			u1, model, ARRAY[i1, i2], ARRAY[i2]))),
		('topk_for', format(list, format('mf_topk_for(%L::text[], k => 4, model => %L)', ARRAY[i1, i2], model))),
		('topk_all', format('SELECT md5(string_agg(u.u || '':'' || m.i || '':'' || round(x.score::numeric, 3), '' '' ORDER BY u.u, x.rank, m.i)) FROM mf_topk_all(NULL::text[], 3, %L) x JOIN %s m ON m.item_id::text = x.item JOIN %s u ON u.user_id::text = x.user_id', model, items, users)),
		('topk_all of', format('SELECT string_agg(u.u || '':'' || m.i || '':'' || round(x.score::numeric, 3), '' '' ORDER BY u.u, x.rank, m.i) FROM mf_topk_all(%L::text[], 2, %L) x JOIN %s m ON m.item_id::text = x.item JOIN %s u ON u.user_id::text = x.user_id', ARRAY[u1, u3, u1], model, items, users)),
		('similar items', format(list, format('(SELECT item, similarity AS score FROM mf_similar_items(%L, 3, %L))', i1, model))),
		('similar users', format('SELECT string_agg(u.u || '':'' || round(x.similarity::numeric, 4), '' '' ORDER BY x.similarity DESC, u.u) FROM mf_similar_users(%L, 3, %L) x JOIN %s u ON u.user_id::text = x.user_id', u1, model, users)),
		('explain', format('SELECT string_agg(m.i || '':'' || x.rating || '':'' || round(x.contribution::numeric, 3), '' '' ORDER BY m.i) FROM mf_explain(%L, %L, 3, %L) x JOIN %s m ON m.item_id::text = x.item', u1, i1, model, items)),
		('fold_in', format('SELECT round((v).bias::numeric, 4) || '' '' || (SELECT string_agg(round(f::numeric, 3)::text, '','') FROM unnest((v).factors) f) FROM (SELECT mf_fold_in(item_id::text, rating, %L) v FROM %I WHERE user_id::text = %L) x', model, source, u2)),
		('map', format('SELECT md5(string_agg(m.i || '':'' || round(x.x::numeric, 2) || '':'' || round(x.y::numeric, 2), '' '' ORDER BY m.i)) FROM mf_map(NULL::text, model => %L) x JOIN %s m ON m.item_id::text = x.id', model, items)),
		('map picture', format('SELECT (length(mf_map_svg(%L)) > 1000)::text', model)),
		('evaluate', format('SELECT round(rmse::numeric, 4) || '' '' || round(ndcg::numeric, 4) || '' '' || pairs FROM mf_evaluate(%L, %L, exclude_train => false, relevant => 4)', model, source)),
		('holdout', format('SELECT bool_and(mf_holdout(user_id, item_id, 0.4) = mf_holdout(user_id::text, item_id::text, 0.4))::text FROM %I', source)),
		('held out', format('SELECT ((SELECT count(*) FROM %I WHERE mf_holdout(user_id, item_id, 0.1, -1)) = held_out)::text FROM mf_models WHERE schema = ''id_types'' AND model = %L', source, model || '_held'))
	) v (name, sql)
	LOOP
		what := q.name;
		EXECUTE q.sql INTO answer;
		RETURN NEXT;
	END LOOP;
END $$;

-- what refreshing changes, with names and without
CREATE FUNCTION refreshed(model text, source text, u1 text, u3 text, u5 text, u24 text, i1 text, i2 text, type text) RETURNS TABLE (what text, answer text) LANGUAGE plpgsql AS $$
DECLARE
	state text := format('SELECT md5(string_agg(u || '':'' || ratings || '':'' || round(bias::numeric, 2) || '':'' || round(-(factors <#> factors)::numeric, 2), '' '' ORDER BY u)) FROM (SELECT rank() OVER (ORDER BY user_id) u, * FROM %I) x', model || '_users');
	r record;
BEGIN
	EXECUTE format('INSERT INTO %I SELECT %L::%s, item_id, 3 FROM (SELECT DISTINCT item_id FROM %I) x ORDER BY item_id LIMIT 4', source, u24, type, source);
	EXECUTE format('DELETE FROM %I WHERE user_id::text = %L', source, u3);
	EXECUTE format('UPDATE %I SET rating = 6 - rating WHERE user_id::text = %L AND rating <> 3', source, u5);
	SELECT * INTO r FROM mf_refresh(model, users => ARRAY[u3, u24]);
	what := 'refresh users'; answer := r::text; RETURN NEXT;
	SELECT * INTO r FROM mf_refresh(model, users => ARRAY[u1], items => ARRAY[i1, i2]);
	what := 'refresh both'; answer := r::text; RETURN NEXT;
	EXECUTE state INTO answer; what := 'after'; RETURN NEXT;
	SELECT * INTO r FROM mf_refresh(model);
	what := 'refresh'; answer := r::text; RETURN NEXT;
	EXECUTE state INTO answer; what := 'after all'; RETURN NEXT;
	SELECT * INTO r FROM mf_refresh(model);
	what := 'refresh again'; answer := r::text; RETURN NEXT;
	PERFORM mf_retrain(model, iterations => 2, verbose => false);
	EXECUTE state INTO answer; what := 'retrained'; RETURN NEXT;
END $$;

-- Makes ids of a type by an expression over n, trains, gives the model the twin's vectors, and compares.
CREATE FUNCTION check_type(type text, make text, OUT ids text, OUT trained text, OUT differ text) LANGUAGE plpgsql AS $$
DECLARE
	id text[];
BEGIN
	EXECUTE format('CREATE TABLE ids AS SELECT n, (%s)::%s AS id FROM generate_series(1, 24) n', make, type);
	SELECT array_agg(x.id::text ORDER BY n) INTO id FROM ids x;
	ids := id[1] || ' ' || id[24];
	EXECUTE format('CREATE TABLE r_type (user_id %s, item_id %s, rating int)', type, type);
	INSERT INTO r_type SELECT u.id, i.id, rating FROM base b JOIN ids u ON u.n = b.u JOIN ids i ON i.n = b.i;
	TRUNCATE r_int;
	INSERT INTO r_int SELECT u, i, rating FROM base b;

	PERFORM mf_train('r_int', model => 'twin', factors => 3, verbose => false, options => '{"index": false}');
	SELECT t.users || ' ' || t.items || ' ' || t.ratings || ' ' || (abs(t.error - m.error) < 0.05) INTO trained
	FROM mf_train('r_type', model => 'm', factors => 3, verbose => false, options => '{"index": false}') t, mf_models m
	WHERE m.schema = 'id_types' AND m.model = 'twin';
	UPDATE m_users x SET bias = t.bias, factors = t.factors FROM twin_users t JOIN ids i ON i.n = t.user_id WHERE i.id::text = x.user_id::text;
	UPDATE m_items x SET bias = t.bias, factors = t.factors FROM twin_items t JOIN ids i ON i.n = t.item_id WHERE i.id::text = x.item_id::text;

	SELECT coalesce(string_agg(format('%s: %s, not %s', a.what, a.answer, b.answer), '; '), '') INTO differ
	FROM answers('m', 'r_type', id[1], id[2], id[7], id[3], id[4]) a JOIN answers('twin', 'r_int', '1', '2', '7', '3', '4') b USING (what)
	WHERE a.answer IS DISTINCT FROM b.answer OR a.answer IS NULL;
	SELECT differ || coalesce(string_agg(format('%s: %s, not %s', a.what, a.answer, b.answer), '; '), '') INTO differ
	FROM refreshed('m', 'r_type', id[1], id[3], id[5], id[24], id[3], id[4], type) a
		JOIN refreshed('twin', 'r_int', '1', '3', '5', '24', '3', '4', 'int') b USING (what)
	WHERE a.answer IS DISTINCT FROM b.answer OR a.answer IS NULL;
	PERFORM mf_drop('m'), mf_drop('twin'), mf_drop('m_held'), mf_drop('twin_held');
	DROP TABLE ids, r_type;
EXCEPTION WHEN OTHERS THEN
	differ := SQLERRM;
END $$;

SELECT t.type, c.* FROM (VALUES
	(1, 'smallint', 'n'), (2, 'int', 'n'), (3, 'bigint', 'n + 5000000000'), (4, 'oid', 'n'), (5, 'numeric', 'n + 0.5'), (6, 'numeric(6,2)', 'n + 0.25'),
	(7, 'real', 'n + 0.5'), (8, 'double precision', 'n + 0.1'), (9, 'money', 'n'),
	(10, 'text', $$'id' || chr(64 + n)$$), (11, 'varchar(5)', $$'id' || chr(64 + n)$$), (12, 'char(6)', $$'id' || chr(64 + n)$$), (13, 'bpchar', $$'id' || chr(64 + n)$$),
	(14, 'name', $$'id' || chr(64 + n)$$), (15, '"char"', 'chr(64 + n)'), (16, 'text COLLATE caseless', $$'id' || chr(64 + n)$$), (17, 'bytea', $$decode(lpad(to_hex(n), 4, '0'), 'hex')$$),
	(18, 'uuid', $$lpad(to_hex(n), 32, '0')$$), (19, 'date', $$date '2024-01-01' + n$$), (20, 'time', $$time '01:00' + n * interval '1 minute'$$),
	(21, 'timetz', $$(time '01:00' + n * interval '1 minute')::timetz$$), (22, 'timestamp', $$timestamp '2024-01-01' + n * interval '1 hour'$$),
	(23, 'timestamptz(0)', $$timestamptz '2024-01-01 00:00+00' + n * interval '1 hour'$$), (24, 'interval', $$n * interval '36 hours'$$),
	(25, 'inet', $$'10.0.0.' || n$$), (26, 'cidr', $$'10.0.' || n || '.0/24'$$), (27, 'macaddr', $$'08:00:2b:01:02:' || lpad(to_hex(n), 2, '0')$$), (28, 'macaddr8', $$'08:00:2b:01:02:03:04:' || lpad(to_hex(n), 2, '0')$$),
	(29, 'bit(8)', 'n'), (30, 'bit varying(8)', 'n::bit(8)'), (31, 'pg_lsn', $$'0/' || to_hex(n)$$), (32, 'tid', $$'(' || n || ',1)'$$), (33, 'xid8', 'n::text'),
	(34, 'jsonb', $$jsonb_build_object('id', n)$$), (35, 'tsvector', $$'w' || chr(64 + n)$$),
	(36, 'letter', '(enum_range(NULL::letter))[n]'), (37, 'letters', '(enum_range(NULL::letter))[n]'), (38, 'positive', 'n'), (39, 'positives', 'n'), (40, 'code', $$'id' || chr(64 + n)$$),
	(41, 'int[]', 'ARRAY[n, 1]'), (42, 'text[]', $$ARRAY['x', chr(64 + n)]$$), (43, 'letter[]', '(enum_range(NULL::letter))[n:n]'), (44, 'ints', 'ARRAY[n, 1]'), (45, 'int[][]', 'ARRAY[[n, 1], [2, 3]]'),
	(46, 'oidvector', $$n || ' 1'$$),
	(47, 'int4range', 'int4range(n, n + 3)'), (48, 'tstzrange', $$tstzrange(timestamptz '2024-01-01 00:00+00' + n * interval '1 hour', NULL)$$), (49, 'letterrange', 'letterrange(n, n + 2)'), (50, 'int4multirange', 'int4multirange(int4range(n, n + 1))'),
	(51, 'place', $$ROW(n, 'a,"b')$$), (52, 'spot', $$ROW(ROW(n, 'x')::place, '{a,b}'::letter[])$$), (53, 'place[]', $$ARRAY[ROW(n, 'y')::place]$$)
) t (n, type, make), check_type(t.type, t.make) c ORDER BY t.n;

-- the answers that all of these are compared with are answers
TRUNCATE r_int;
INSERT INTO r_int SELECT u, i, rating FROM base;
SELECT users FROM mf_train('r_int', model => 'twin', factors => 3, verbose => false, options => '{"index": false}');
SELECT what, answer IS NOT NULL AND answer <> '' AS answered FROM answers('twin', 'r_int', '1', '2', '7', '3', '4');
SELECT what, CASE WHEN what LIKE 'refresh%' THEN answer END AS counts FROM refreshed('twin', 'r_int', '1', '3', '5', '24', '3', '4', 'int');
SELECT mf_drop('twin'), mf_drop('twin_held');

-- the forms with a witness, for ids of these types as they are
CREATE TABLE r AS SELECT ARRAY[u, u + 1] AS user_id, (enum_range(NULL::letter))[i]::letters AS item_id, rating FROM base;
SELECT users FROM mf_train('r', model => 'm', factors => 3, verbose => false);
SELECT pg_typeof(item), count(*) FROM mf_topk(ARRAY[1, 2], 3, item_type => NULL::letter, model => 'm') GROUP BY 1;
SELECT mf_predict(ARRAY[1, 2], 'a'::letter, NULL::letter, 'm') IS NOT NULL AS predicted;
SELECT pg_typeof(item), count(*) FROM mf_explain(ARRAY[1, 2], 'a'::letter, 3, item_type => NULL::letter, model => 'm') GROUP BY 1;
SELECT pg_typeof(user_id), count(*) FROM mf_similar_users(ARRAY[1, 2], 3, user_type => NULL::int[], model => 'm') GROUP BY 1;
SELECT pg_typeof(id), count(*) FROM mf_map(NULL::int[], model => 'm', side => 'users') GROUP BY 1;

-- padding that an unbounded char type keeps does not tell ids apart
CREATE TABLE padded AS SELECT ('u' || u || CASE WHEN i % 2 = 0 THEN '' ELSE '   ' END)::bpchar AS user_id, i AS item_id, rating FROM base;
SELECT users FROM mf_train('padded', model => 'p', factors => 3, verbose => false, options => '{"index": false}');
SELECT count(*) = (SELECT count(*) FROM base WHERE u = 2) AS all FROM mf_explain('u2', '3', 100, 'p');
SELECT * FROM mf_refresh('p');

-- a column of integers that has become wider, or narrower, holds the model's ids still
CREATE TABLE widened AS SELECT u AS user_id, i AS item_id, rating FROM base;
SELECT users FROM mf_train('widened', model => 'w', factors => 3, verbose => false, options => '{"index": false}');
CREATE TABLE lists AS SELECT 'int' AS type, l, t.* FROM unnest('{f,t}'::bool[]) l, mf_topk(1, 20, 'w', live => l) t;
CREATE TABLE reasons AS SELECT 'int' AS type, e.* FROM mf_explain(1, 2, 20, 'w') e;
CREATE TABLE everyone AS SELECT 'int' AS type, a.* FROM mf_topk_all(20, 'w') a;
CREATE TABLE some_users AS SELECT 'int' AS type, a.* FROM mf_topk_all(ARRAY[1, 2], 20, 'w') a;
ALTER TABLE widened ALTER user_id TYPE bigint, ALTER item_id TYPE bigint;
INSERT INTO widened VALUES (1, 5000000000, 5), (5000000001, 1, 5);
INSERT INTO lists SELECT 'bigint', l, t.* FROM unnest('{f,t}'::bool[]) l, mf_topk(1, 20, 'w', live => l) t;
INSERT INTO reasons SELECT 'bigint', e.* FROM mf_explain(1, 2, 20, 'w') e;
INSERT INTO everyone SELECT 'bigint', a.* FROM mf_topk_all(20, 'w') a;
INSERT INTO some_users SELECT 'bigint', a.* FROM mf_topk_all(ARRAY[1, 2], 20, 'w') a;
DELETE FROM widened WHERE item_id > 100 OR user_id > 100;
ALTER TABLE widened ALTER user_id TYPE smallint, ALTER item_id TYPE smallint;
INSERT INTO lists SELECT 'smallint', l, t.* FROM unnest('{f,t}'::bool[]) l, mf_topk(1, 20, 'w', live => l) t;
INSERT INTO reasons SELECT 'smallint', e.* FROM mf_explain(1, 2, 20, 'w') e;
INSERT INTO everyone SELECT 'smallint', a.* FROM mf_topk_all(20, 'w') a;
INSERT INTO some_users SELECT 'smallint', a.* FROM mf_topk_all(ARRAY[1, 2], 20, 'w') a;
SELECT 'topk' AS what, count(DISTINCT list) AS lists FROM (SELECT type, string_agg(l || ' ' || item || ':' || round(score::numeric, 4), ' ' ORDER BY l, score DESC, item) list FROM lists GROUP BY 1) x
UNION ALL SELECT 'explain', count(DISTINCT list) FROM (SELECT type, string_agg(item || ':' || rating || ':' || round(contribution::numeric, 4), ' ' ORDER BY item) list FROM reasons GROUP BY 1) x
UNION ALL SELECT 'topk_all', count(DISTINCT list) FROM (SELECT type, string_agg(user_id || ':' || item || ':' || round(score::numeric, 4), ' ' ORDER BY user_id, rank) list FROM everyone GROUP BY 1) x
UNION ALL SELECT 'topk_all of', count(DISTINCT list) FROM (SELECT type, string_agg(user_id || ':' || item || ':' || round(score::numeric, 4), ' ' ORDER BY user_id, rank) list FROM some_users GROUP BY 1) x;
SELECT count(*) AS seen FROM lists JOIN base ON u = 1 AND i = item;

SELECT mf_drop('m'), mf_drop('p'), mf_drop('w');
DROP SCHEMA id_types CASCADE;

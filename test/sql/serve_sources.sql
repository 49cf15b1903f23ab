--
-- Serving over all kinds of rating tables: types of ratings and ids, views,
-- partitions, other schemas, temporary tables, names that need quotes. For each,
-- every user's folded-in vector and list are those of the stored vector; lists
-- with candidates and exclusions are what plain SQL makes of them.
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA serve_sources;
CREATE SCHEMA "Other ""s";
SET search_path = serve_sources, public;
CREATE TABLE base AS SELECT u, i, 1 + abs(hashint4(u * 1009 + i)) % 9 AS r, timestamptz '2024-01-01 00:00+00' + u * i % 300 * interval '1 day' AS t
FROM generate_series(1, 10) u, generate_series(1, 40) i WHERE abs(hashint4(u * 7919 + i)) % 3 = 0;
INSERT INTO base SELECT u, i, 10 - r, t FROM base WHERE (u + i) % 10 = 0;
INSERT INTO base SELECT NULL, 1, 1, NULL UNION ALL SELECT 1, NULL, 1, NULL;
CREATE INDEX ON base (u);

-- Trains on a source, and checks what is served from it. The column names are
-- those of the source; `options` are further arguments of mf_train.
CREATE FUNCTION check_source(source text, user_col name, item_col name, rating_col name, options text DEFAULT '',
	OUT users bigint, OUT folded boolean, OUT live boolean, OUT unknown boolean, OUT unseen boolean, OUT differ text)
LANGUAGE plpgsql AS $$
DECLARE
	rating text := CASE WHEN rating_col IS NULL THEN '1' ELSE format('%I::float8', rating_col) END;
	counts text := CASE WHEN options LIKE '%since%' THEN (regexp_match(options, '''since'', (.*)\)$'))[1] END;
	itype text;
BEGIN
	counts := coalesce('at >= ' || counts, 'true');
	EXECUTE format('SELECT users FROM mf_train(%L, %L, %L, %L, model => ''served'', factors => 3, iterations => 2, verbose => false %s)',
		source, user_col, item_col, rating_col, options) INTO users;
	SELECT format_type(atttypid, atttypmod) FROM pg_attribute INTO itype WHERE attrelid = 'served_items'::regclass AND attname = item_col;

	-- each user's vector from all of the user's rows
	EXECUTE format('SELECT count(*) = %s AND max(abs((v).bias - bias)) < 1e-4 AND max((v).factors <-> factors) < 1e-4
		FROM (SELECT %I AS id, mf_fold_in(%I::text, %s, ''served'') v FROM %s WHERE %s GROUP BY 1) f JOIN served_users u ON u.%2$I = f.id',
		users, user_col, item_col, rating, source, counts) INTO folded;

	-- all that a user can be recommended, by plain SQL
	EXECUTE format('CREATE TABLE plain AS SELECT u.%1$I::text AS u, i.%2$I::text AS item,
			least(greatest(mean + u.bias + i.bias - (u.factors <#> i.factors), CASE feedback WHEN ''explicit'' THEN rating_min ELSE ''-inf'' END),
				CASE feedback WHEN ''explicit'' THEN rating_max ELSE ''inf'' END) AS score,
			row_number() OVER (PARTITION BY u.%1$I ORDER BY mean + u.bias + i.bias - (u.factors <#> i.factors) DESC, i.%2$I) AS place
		FROM served_users u, served_items i, mf_models m WHERE m.schema = current_schema AND m.model = ''served''
			AND NOT EXISTS (SELECT FROM %3$s r WHERE r.%1$I = u.%1$I AND r.%2$I = i.%2$I)', user_col, item_col, source);
	CREATE TABLE lists AS
		SELECT l AS live, u.u, t.item, t.score FROM (SELECT DISTINCT plain.u FROM plain) u, unnest('{f,t}'::boolean[]) l,
			LATERAL mf_topk(u.u, 1000, 'served', live => l) t;
	-- users whom the model has forgotten are answered from their rows
	CREATE TABLE forgotten AS SELECT * FROM served_users;
	DELETE FROM served_users;
	INSERT INTO lists SELECT NULL, u.u, t.item, t.score FROM (SELECT DISTINCT plain.u FROM plain) u, mf_topk(u.u, 1000, 'served') t;
	INSERT INTO served_users SELECT * FROM forgotten;
	SELECT bool_and(p.u IS NOT NULL AND t.u IS NOT NULL AND abs(p.score - t.score) < 1e-12) INTO unseen
		FROM plain p FULL JOIN (SELECT * FROM lists l WHERE NOT l.live) t USING (u, item);
	SELECT bool_and(p.u IS NOT NULL AND t.u IS NOT NULL AND abs(p.score - t.score) < 1e-4) INTO live
		FROM plain p FULL JOIN (SELECT * FROM lists l WHERE l.live) t USING (u, item);
	SELECT bool_and(p.u IS NOT NULL AND t.u IS NOT NULL AND abs(p.score - t.score) < 1e-4) INTO unknown
		FROM plain p FULL JOIN (SELECT * FROM lists l WHERE l.live IS NULL) t USING (u, item);

	-- lists with candidates and exclusions: how many, of those that differ from
	-- plain SQL's; each array with NULLs, repetitions and ids that are not there
	EXECUTE format($q$
		SELECT count(*) FILTER (WHERE got IS DISTINCT FROM want) || ' of ' || count(*)
		FROM (SELECT %1$I AS id, %1$I::text AS u FROM served_users) u, (VALUES (3), (1000)) k (k),
			(SELECT array_agg(a) AS few FROM (SELECT item a FROM (SELECT DISTINCT item FROM plain) x ORDER BY hashtext(item) LIMIT 12) y) s,
			(SELECT array_agg(a) AS many FROM (SELECT item a FROM (SELECT DISTINCT item FROM plain) x ORDER BY hashtext(item) OFFSET 9) y) o,
			LATERAL (VALUES (few, NULL), (NULL, few), (few, many), (many || few || NULL || few, few[1:5] || NULL || few[1:5]),
				('{}', NULL), (NULL, '{}'), (ARRAY[NULL], '{}'), (many, ARRAY[NULL])) c (c, x),
			LATERAL (SELECT array_agg(t.item::text ORDER BY n) AS got FROM mf_topk(id, k, item_type => NULL::%2$s, model => 'served',
				candidates => c::%2$s[], exclude => x::%2$s[]) WITH ORDINALITY t (item, score, n)) g,
			LATERAL (SELECT array_agg(item ORDER BY place) AS want FROM (SELECT item, place FROM plain p WHERE p.u = u.u
				AND (c IS NULL OR item = ANY (c)) AND (x IS NULL OR item <> ALL (array_remove(x, NULL))) ORDER BY place LIMIT k) l) w$q$,
		user_col, itype) INTO differ;
	DROP TABLE plain, lists, forgotten;
	PERFORM mf_drop('served');
END $$;

-- Types of ratings
CREATE DOMAIN stars AS numeric CHECK (VALUE BETWEEN 1 AND 9);
CREATE DOMAIN half AS real;
CREATE FUNCTION check_rating(type text, options text DEFAULT '') RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE rated AS SELECT u, i, r::%s AS r, t AS at FROM base', type);
	CREATE INDEX ON rated (u);
	RETURN QUERY SELECT * FROM check_source('rated', 'u', 'i', 'r', options);
	DROP TABLE rated;
END $$;
SELECT type, c.* FROM unnest('{smallint,integer,bigint,real,float8,numeric,"numeric(5,2)",stars,half}'::text[]) WITH ORDINALITY t (type, n),
	LATERAL check_rating(type) c (users bigint, folded boolean, live boolean, unknown boolean, unseen boolean, differ text) ORDER BY n;
SELECT type, c.* FROM unnest('{smallint,numeric,half}'::text[]) WITH ORDINALITY t (type, n),
	LATERAL check_rating(type, ', feedback => ''implicit''') c (users bigint, folded boolean, live boolean, unknown boolean, unseen boolean, differ text) ORDER BY n;
SELECT * FROM check_source('base', 'u', 'i', NULL, ', feedback => ''implicit''');

-- Types of ids, which the functions with a witness take
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN more AS positive;
CREATE DOMAIN login AS text CHECK (VALUE <> '');
CREATE TYPE level AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
CREATE FUNCTION check_ids(user_id text, item_id text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE identified AS SELECT %s AS u, %s AS i, r, t AS at FROM base', user_id, item_id);
	CREATE INDEX ON identified (u);
	RETURN QUERY SELECT * FROM check_source('identified', 'u', 'i', 'r');
	DROP TABLE identified;
END $$;
SELECT t.*, c.users, folded, live, unknown, unseen, differ FROM (VALUES (1, 'u::smallint', 'i::smallint'), (2, 'u::bigint + 3000000000', 'i - 20'),
	(3, 'md5(u::text)::uuid', 'lpad(i::text, 32, ''0'')::uuid'), (4, '''user '' || u', '''item '' || i'), (5, '(u || ''x'')::varchar(9)', 'i::text::char(5)'),
	(6, 'u::more', 'i::positive'), (7, '(''u'' || u)::login', '(''i'' || i)::login'), (8, 'date ''2000-01-01'' + u', 'i / 4.0'),
	(9, 'u::float8 / 8', 'timestamptz ''2024-01-01 00:00+00'' + i * interval ''1 hour'''), (10, '(''u'' || u)::name', 'inet ''10.0.0.0'' + i'),
	(11, 'ARRAY[u % 7, u]', '(''{a,b,c,d,e,f,g,h}''::level[])[i % 8 + 1]'), (12, 'repeat(u || ''long'', 600)', 'repeat(''i'' || i, 30)')) t (n, users, items),
	LATERAL check_ids(t.users, t.items) c (users bigint, folded boolean, live boolean, unknown boolean, unseen boolean, differ text) ORDER BY n;

-- Kinds of relations
CREATE VIEW viewed AS SELECT u AS "user", i AS "Item", r / 2.0 AS stars, t AS at FROM base WHERE i > 3 OR i IS NULL;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM viewed;
CREATE TABLE parted (u int, r int, i int, at timestamptz) PARTITION BY RANGE (u);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (5);
CREATE TABLE "Other ""s".parted_high PARTITION OF parted FOR VALUES FROM (5) TO (MAXVALUE) PARTITION BY HASH (i);
CREATE TABLE parted_0 PARTITION OF "Other ""s".parted_high FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF "Other ""s".parted_high FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted SELECT u, r, i, t FROM base WHERE u IS NOT NULL;
CREATE TABLE parent (LIKE base);
CREATE TABLE child (extra int) INHERITS (parent);
INSERT INTO parent SELECT * FROM base WHERE i < 20;
INSERT INTO child SELECT * FROM base WHERE i >= 20;
CREATE TABLE "Other ""s"."Rat""ings" ("User Id" int, dropped int, "select" int, "r'" real, at date);
ALTER TABLE "Other ""s"."Rat""ings" DROP COLUMN dropped;
INSERT INTO "Other ""s"."Rat""ings" SELECT u, i, r, t::date FROM base;
CREATE TEMP TABLE passing AS SELECT u, i, r, t AS at FROM base;
CREATE UNLOGGED TABLE fast AS SELECT u, i, r, t AT TIME ZONE 'UTC' AS at, row_number() OVER () AS n, i * 2 AS twice FROM base;
CREATE TABLE made (u int, j int, i int GENERATED ALWAYS AS (j + 100) STORED, r int, at text);
INSERT INTO made (u, j, r, at) SELECT u, i, r, to_char(t, 'YYYY-MM-DD') FROM base;
SELECT s.*, c.* FROM (VALUES ('viewed', 'user', 'Item', 'stars'), ('kept', 'user', 'Item', 'stars'), ('parted', 'u', 'i', 'r'), ('parent', 'u', 'i', 'r'),
	('"Other ""s"."Rat""ings"', 'User Id', 'select', 'r'''), ('pg_temp.passing', 'u', 'i', 'r'), ('fast', 'u', 'i', 'r'), ('made', 'u', 'i', 'r')) s,
	LATERAL check_source(column1, column2, column3, column4) c;
-- Since a time, of each type that times have
SELECT s.*, c.* FROM (VALUES ('viewed', 'user', 'Item', 'stars', 'timestamptz ''2024-03-01 00:00+02'''), ('"Other ""s"."Rat""ings"', 'User Id', 'select', 'r''', 'date ''2024-03-01'''),
	('fast', 'u', 'i', 'r', 'timestamp ''2024-03-01'''), ('pg_temp.passing', 'u', 'i', 'r', '''2024-03-01 12:00+05'''), ('made', 'u', 'i', 'r', 'text ''2024-03-01''')) s,
	LATERAL check_source(column1, column2, column3, column4, ', time_col => ''at'', options => jsonb_build_object(''since'', ' || column5 || ')') c;
-- A setting of the session does not move what a model was trained since.
CREATE TABLE timed AS SELECT * FROM base;
SELECT users FROM mf_train('timed', 'u', 'i', 'r', model => 'timed', factors => 2, time_col => 't', verbose => false, options => '{"since": "2024-03-01 00:00"}');
SELECT count(*) > 0 AS in_between FROM timed WHERE t >= '2024-03-01 00:00+09' AND t < '2024-03-01 00:00';
SELECT md5(string_agg(u || ' ' || item || ' ' || score, ',' ORDER BY u, item)) AS before
FROM generate_series(1, 10) u, mf_topk(u, 1000, 'timed', live => true) \gset
SET timezone = 'Asia/Tokyo';
SET datestyle = 'SQL, DMY';
SELECT md5(string_agg(u || ' ' || item || ' ' || score, ',' ORDER BY u, item)) = :'before' AS same
FROM generate_series(1, 10) u, mf_topk(u, 1000, 'timed', live => true);
RESET timezone;
RESET datestyle;
SELECT mf_drop('timed');

DROP SCHEMA "Other ""s" CASCADE;
DROP SCHEMA serve_sources CASCADE;

-- An id as text is what a cast to text gives, so that it joins with what it came from.
SET client_min_messages = warning;
\set VERBOSITY terse
CREATE SCHEMA id_text;
SET search_path = id_text, public;

-- types whose casts to text are not their output functions
CREATE TYPE grade AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
CREATE FUNCTION grade_text(grade) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'grade ' || enum_out($1)::text $$;
CREATE CAST (grade AS text) WITH FUNCTION grade_text(grade);
CREATE TYPE place AS (x int, y int);
CREATE FUNCTION place_text(place, int, boolean) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT ($1).x || '/' || ($1).y || $2 || $3 $$;
CREATE CAST (place AS text) WITH FUNCTION place_text(place, int, boolean);
CREATE DOMAIN code AS char(6);

CREATE TABLE base AS SELECT u, i, 1 + abs(hashint4(u * 100 + i)) % 5 AS rating
FROM generate_series(1, 12) u, generate_series(1, 8) i WHERE abs(hashint4(u * 31 + i)) % 3 > 0;

CREATE FUNCTION check_type(type text, make text, OUT users bigint, OUT items bigint, OUT vectors bool, OUT topk bool, OUT live bool,
	OUT back bool, OUT similar bool, OUT basket bool, OUT explained bool, OUT everyone bool, OUT mapped bool, OUT held bool) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE r (user_id int, item_id %s, rating int)', type);
	EXECUTE format('INSERT INTO r SELECT u, (%s)::%s, rating FROM base', make, type);
	CREATE TABLE t AS SELECT user_id, item_id::text COLLATE "C" AS item_id, rating FROM r;
	SELECT m.users, m.items INTO users, items FROM mf_train('r', model => 'm', factors => 3, verbose => false) m;
	PERFORM mf_train('t', model => 'mt', factors => 3, verbose => false);
	-- the first vectors come from a hash of the texts
	SELECT bool_and(max < 1e-4) INTO vectors FROM (SELECT max(abs(a.factors <-> b.factors)) FROM m_items a JOIN mt_items b ON b.item_id = a.item_id::text) x;
	CREATE TABLE ids AS SELECT DISTINCT item_id, item_id::text AS txt FROM r;
	SELECT count(*) = count(i.item_id) AND count(*) > 0 INTO topk FROM mf_topk('1', 20, 'm', exclude_seen => false) k LEFT JOIN ids i ON i.txt = k.item;
	SELECT count(*) = count(i.item_id) AND count(*) > 0 INTO live FROM mf_topk('1', 20, 'm', exclude_seen => false, live => true) k LEFT JOIN ids i ON i.txt = k.item;
	SELECT bool_and(mf_predict('2', item_id::text, 'm') IS NOT NULL) INTO back FROM m_items;
	SELECT count(*) = count(b.item_id) AND count(*) > 0 INTO similar FROM mf_similar_items((SELECT item_id FROM m_items LIMIT 1)::text, 20, 'm') k LEFT JOIN ids b ON b.txt = k.item;
	SELECT count(*) = count(i.item_id) AND count(*) > 0 INTO basket FROM mf_topk_for((SELECT array_agg(item_id::text) FROM (SELECT item_id FROM m_items LIMIT 1) x), k => 20, model => 'm') k LEFT JOIN ids i ON i.txt = k.item;
	SELECT count(*) = count(i.item_id) AND count(*) > 0 INTO explained FROM mf_explain('1', (SELECT item_id FROM m_items LIMIT 1)::text, 20, 'm') k LEFT JOIN ids i ON i.txt = k.item;
	SELECT count(*) = count(i.item_id) AND count(*) > 0 INTO everyone FROM mf_topk_all(NULL::text[], 20, 'm') k LEFT JOIN ids i ON i.txt = k.item;
	SELECT count(*) = count(i.item_id) AND count(*) > 0 INTO mapped FROM mf_map(NULL::text, model => 'm') k LEFT JOIN ids i ON i.txt = k.id;
	SELECT bool_and(mf_holdout(user_id, item_id, 0.5, s) = mf_holdout(user_id::text, item_id::text, 0.5, s)) INTO held FROM r, generate_series(1, 4) s;
	PERFORM mf_drop('m'), mf_drop('mt');
	DROP TABLE r, t, ids;
END $$;
SELECT * FROM check_type('char(8)', $$'S' || i$$);
SELECT * FROM check_type('code', $$'S' || i$$);
SELECT * FROM check_type('varchar(8)', $$'S' || i$$);
SELECT * FROM check_type('name', $$'S' || i$$);
SELECT * FROM check_type('"char"', 'chr(64 + i)');
SELECT * FROM check_type('boolean', 'i > 4');
SELECT * FROM check_type('inet', $$'10.0.0.' || i$$);
SELECT * FROM check_type('cidr', $$'10.0.0.' || i$$);
SELECT * FROM check_type('int', 'i');

-- a cast that a type's owner declared: what comes out is its text; what goes in as text is read as the type is
CREATE FUNCTION check_cast(type text, make text, OUT topk bool, OUT held bool, OUT shown text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE r AS SELECT u AS user_id, (%s)::%s AS item_id, rating FROM base', make, type);
	PERFORM mf_train('r', model => 'm', factors => 3, verbose => false);
	SELECT count(*) = count(i.item_id) AND count(*) > 0, min(i.item_id::text) INTO topk, shown
	FROM mf_topk('1', 20, 'm', exclude_seen => false) k LEFT JOIN m_items i ON i.item_id::text = k.item;
	SELECT bool_and(mf_holdout(user_id, item_id, 0.5, s) = mf_holdout(user_id::text, item_id::text, 0.5, s)) INTO held FROM r, generate_series(1, 4) s;
	PERFORM mf_drop('m');
	DROP TABLE r;
END $$;
SELECT * FROM check_cast('grade', $$(enum_range(NULL::grade))[i]$$);
SELECT * FROM check_cast('place', 'ROW(i, i * i)');

-- the caller's right to the cast's function counts, and a cast that gives null is an error
CREATE TABLE graded AS SELECT u AS user_id, (enum_range(NULL::grade))[i] AS item_id, rating FROM base;
SELECT users FROM mf_train('graded', model => 'm', factors => 3, verbose => false);
CREATE ROLE regress_id_text;
GRANT USAGE ON SCHEMA id_text TO regress_id_text;
GRANT SELECT ON graded, m_users, m_items TO regress_id_text;
REVOKE EXECUTE ON FUNCTION grade_text FROM public;
SET ROLE regress_id_text;
SELECT * FROM mf_topk('1', 1, 'm');
SELECT mf_holdout(user_id, item_id) FROM graded LIMIT 1;
RESET ROLE;
CREATE OR REPLACE FUNCTION grade_text(grade) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT NULL::text';
SELECT * FROM mf_topk('1', 1, 'm');
SELECT mf_drop('m');
DROP SCHEMA id_text CASCADE;
DROP ROLE regress_id_text;

--
-- An id type whose order can change, as that of text does with the version of a
-- collation: the model's primary key is then built in an order that is not that
-- of its type. No user is lost for it.
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA id_order;
SET search_path = id_order, public;
CREATE TYPE code;
CREATE FUNCTION code_in(cstring) RETURNS code LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION code_out(code) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE code (INPUT = code_in, OUTPUT = code_out, LIKE = int4);
CREATE CAST (int4 AS code) WITHOUT FUNCTION;
CREATE CAST (code AS int4) WITHOUT FUNCTION;
CREATE FUNCTION code_cmp(a code, b code) RETURNS int LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
	RETURN CASE current_setting('id_order.falling', true) WHEN 'on' THEN -1 ELSE 1 END * btint4cmp(a::int4, b::int4);
END $$;
SET client_min_messages = error;
DO $$
DECLARE
	op text;
	name text;
BEGIN
	FOR op, name IN VALUES ('<', 'lt'), ('<=', 'le'), ('=', 'eq'), ('>=', 'ge'), ('>', 'gt') LOOP
		EXECUTE format('CREATE FUNCTION code_%s(a code, b code) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT AS '
			'''BEGIN RETURN id_order.code_cmp(a, b) %s 0; END''', name, op);
		EXECUTE format('CREATE OPERATOR %s (LEFTARG = code, RIGHTARG = code, FUNCTION = code_%s)', op, name);
	END LOOP;
END $$;
SET client_min_messages = warning;
CREATE OPERATOR CLASS code_ops DEFAULT FOR TYPE code USING btree AS
	OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 code_cmp(code, code);
CREATE TABLE ratings (user_id code, item_id int, rating real);
INSERT INTO ratings SELECT u::code, i, 1 + (u * i) % 5
FROM generate_series(1, 30) u, generate_series(1, 20) i WHERE (u * 7 + i * 3) % 11 > 4;
SELECT users, items FROM mf_train('ratings', model => 'm', factors => 4, verbose => false);

-- Rows that come in the order of an index that is no more the type's
SET id_order.falling = on;
SET enable_seqscan = off;
SET enable_sort = off;
\set VERBOSITY default
SELECT * FROM mf_refresh('m');
\set VERBOSITY terse
SELECT * FROM mf_retrain('m', verbose => false);
SELECT * FROM mf_topk_all(NULL::text[], 1, 'm');
SELECT pairs FROM mf_evaluate('m', 'ratings');
SELECT count(*) FROM m_users;
-- ... and of a sort
RESET enable_seqscan;
RESET enable_sort;
SET enable_indexscan = off;
SELECT * FROM mf_refresh('m');
SELECT count(*) FROM m_users;
RESET enable_indexscan;
-- With the index built anew
REINDEX TABLE m_users;
UPDATE ratings SET rating = 5 WHERE user_id::int = 7 AND item_id < 9;
DELETE FROM ratings WHERE user_id::int = 8;
INSERT INTO ratings VALUES (31::code, 1, 4), (31::code, 5, 2);
SELECT users, new_users, gone_users FROM mf_refresh('m');
SELECT count(*) FILTER (WHERE user_id::int = 8) AS gone, count(*) FILTER (WHERE user_id::int = 31) AS new, count(*) FROM m_users;
SELECT users FROM mf_retrain('m', iterations => 2, verbose => false);

RESET id_order.falling;
DELETE FROM mf_history WHERE schema = 'id_order';
DELETE FROM mf_models WHERE schema = 'id_order';
DROP SCHEMA id_order CASCADE;

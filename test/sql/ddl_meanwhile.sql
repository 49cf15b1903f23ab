-- DDL in the middle of every long function: code of the caller's in the view of
-- ratings, in a policy or in a trigger changes the model's tables or that view.
-- Whatever it does, the answer is the one without it, or an error that says what
-- happened; never a look at what is not there any more.
SET client_min_messages = warning;
CREATE ROLE regress_meanwhile_owner;
CREATE ROLE regress_meanwhile_reader;
CREATE ROLE regress_meanwhile_heir;
GRANT regress_meanwhile_heir TO regress_meanwhile_owner;
CREATE SCHEMA meanwhile AUTHORIZATION regress_meanwhile_owner;
CREATE SCHEMA meanwhile_else AUTHORIZATION regress_meanwhile_owner;
GRANT USAGE, CREATE ON SCHEMA meanwhile TO regress_meanwhile_reader, regress_meanwhile_heir;
GRANT USAGE, CREATE ON SCHEMA meanwhile_else TO regress_meanwhile_owner, regress_meanwhile_heir;
SET search_path = meanwhile, public;
SET ROLE regress_meanwhile_owner;

-- Once: what the setting says, as the owner.
CREATE FUNCTION hook() RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
	ddl text := current_setting('meanwhile.ddl', true);
BEGIN
	IF ddl <> '' THEN
		PERFORM set_config('meanwhile.ddl', '', true);
		EXECUTE ddl;
	END IF;
	RETURN true;
END $$;
CREATE FUNCTION hook_row() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN PERFORM meanwhile.hook(); RETURN CASE TG_OP WHEN ''DELETE'' THEN old ELSE new END; END';

CREATE TABLE pairs (user_id int, item_id int, rating real);
INSERT INTO pairs SELECT u, i, 1 + (u * i) % 5 FROM generate_series(1, 20) u, generate_series(1, 10) i WHERE (u * 7 + i * 3) % 4 < 3;
CREATE VIEW v AS SELECT user_id, item_id, rating FROM pairs WHERE (SELECT meanwhile.hook());
CREATE VIEW names AS SELECT i AS item_id, 'item ' || i AS name FROM generate_series(1, 10) i WHERE (SELECT meanwhile.hook());
SELECT users, items FROM mf_train('v', model => 'm', feedback => 'implicit', factors => 2, iterations => 2, verbose => false, options => '{"index": false}');

-- What might be taken for the tables: the id is where a pointer could be.
CREATE TABLE other_items (item_id bigint PRIMARY KEY, bias real, factors real[], ratings int, rating_sum float8, digest bigint);
INSERT INTO other_items VALUES (4702111234474983745, 0, '{1,1}', 1, 1, 0);
CREATE TABLE other_users (user_id bigint PRIMARY KEY, bias real, factors real[], ratings int, rating_sum float8, digest bigint);
INSERT INTO other_users VALUES (4702111234474983745, 0, '{1,1}', 1, 1, 0);
CREATE VIEW other_names AS SELECT 4702111234474983745 AS item_id, 4702111234474983745 AS name;
CREATE VIEW other_v AS SELECT 4702111234474983745 AS user_id, 4702111234474983745 AS item_id, 1::real AS rating;

-- A sharded training's tables
CREATE TABLE user_copy (user_id int, bias real, factors real[]);
CREATE TABLE item_copy (item_id int, bias real, factors real[]);
CREATE TABLE other_copy (item_id bigint, bias real, factors real[]);
CREATE VIEW by_user AS SELECT user_id, item_id, rating, bias, factors FROM pairs LEFT JOIN item_copy USING (item_id) WHERE (SELECT meanwhile.hook());
CREATE VIEW by_item AS SELECT user_id, item_id, rating, bias, factors FROM pairs LEFT JOIN user_copy USING (user_id);
GRANT ALL ON ALL TABLES IN SCHEMA meanwhile TO regress_meanwhile_reader;
RESET ROLE;

/*
 * What becomes of a call: "same", the answer that it gives undisturbed; "other",
 * another; the SQLSTATE of its error. Nothing of it stays.
 */
CREATE FUNCTION outcome(call text, ddl text, caller text, OUT result text, OUT happened boolean) LANGUAGE plpgsql AS $$
DECLARE
	undisturbed text;
	answer text;
BEGIN
	FOR disturbed IN 0 .. 1 LOOP
		BEGIN
			PERFORM set_config('role', caller, true), set_config('meanwhile.ddl', CASE disturbed WHEN 1 THEN ddl ELSE '' END, true);
			EXECUTE call INTO answer;
			RAISE EXCEPTION USING ERRCODE = 'UNDO0', MESSAGE = current_setting('meanwhile.ddl') || '|' || coalesce(answer, 'none');
		EXCEPTION
			WHEN SQLSTATE 'UNDO0' THEN
				happened := split_part(sqlerrm, '|', 1) = '';
				answer := split_part(sqlerrm, '|', 2);
				result := CASE WHEN disturbed = 0 THEN answer WHEN answer = undisturbed THEN 'same' ELSE 'other' END;
			WHEN OTHERS THEN
				result := sqlstate;
				happened := true;
				IF sqlstate LIKE 'XX%' OR current_setting('meanwhile.tell', true) = 'on' THEN
					RAISE WARNING '% during %: %', ddl, call, sqlerrm;
				END IF;
		END;
		undisturbed := result;
	END LOOP;
END $$;

/*
 * The calls: how the hook comes into each is by the view, by policies that apply to
 * the reader, or by triggers.
 */
CREATE TABLE calls (n int GENERATED ALWAYS AS IDENTITY, name text, hook text, caller text, call text);
INSERT INTO calls (name, hook, caller, call) VALUES
	('mf_train', 'view', 'owner', $$SELECT (users, items, ratings)::text FROM mf_train('v', model => 'm', feedback => 'implicit', factors => 2, iterations => 2, verbose => false, options => '{"index": false}')$$),
	('mf_retrain', 'view', 'owner', $$SELECT (users, items, ratings)::text FROM mf_retrain('m', iterations => 1, verbose => false)$$),
	('mf_refresh', 'view', 'owner', $$SELECT t::text FROM mf_refresh('m') t$$),
	('mf_refresh of some', 'view', 'owner', $$SELECT t::text FROM mf_refresh('m', ARRAY[1, 2], ARRAY[3]) t$$),
	('mf_train_sharded', 'view', 'owner', $$SELECT (users, items, ratings)::text FROM mf_train_sharded('by_user', 'by_item', '{user_copy}'::regclass[], '{item_copy}'::regclass[], model => 'm', feedback => 'implicit', factors => 2, iterations => 2, verbose => false)$$),
	('mf_topk live', 'view', 'reader', $$SELECT string_agg(t::text, '') FROM mf_topk(1, 3, 'm', live => true) t$$),
	('mf_topk_all', 'view', 'reader', $$SELECT md5(string_agg(t::text, '' ORDER BY user_id, rank)) FROM mf_topk_all(3, 'm') t$$),
	('mf_topk_all of some', 'view', 'reader', $$SELECT string_agg(t::text, '') FROM mf_topk_all(ARRAY[1, 2], 3, 'm') t$$),
	('mf_explain', 'view', 'reader', $$SELECT string_agg(t::text, '') FROM mf_explain(1, 5, 3, 'm') t$$),
	('mf_evaluate', 'view', 'reader', $$SELECT t::text FROM mf_evaluate('m', 'v', exclude_train => false) t WHERE method = 'model'$$),
	('mf_tune', 'view', 'owner', $$CALL mf_tune('v', grid => '{"factors": 2, "iterations": 1, "feedback": "implicit"}', results => 'trials', metric => 'ndcg', verbose => false, best => NULL, score => NULL)$$),
	('mf_map_svg', 'view', 'reader', $$SELECT md5(mf_map_svg('m', 'items', 'names', 'name'))$$),
	('mf_fold_in', 'row', 'reader', $$SELECT mf_fold_in(CASE WHEN item_id = 5 AND hook() THEN 5 ELSE item_id END, rating, 'm')::text FROM (SELECT * FROM pairs WHERE user_id = 1 ORDER BY item_id OFFSET 0) s$$),
	('mf_topk', 'policy', 'reader', $$SELECT string_agg(t::text, '') FROM mf_topk(1, 3, 'm') t$$),
	('mf_topk of candidates', 'policy', 'reader', $$SELECT string_agg(t::text, '') FROM mf_topk(1, 3, 'm', candidates => ARRAY[2, 5, 7], exclude_seen => false) t$$),
	('mf_topk_for', 'policy', 'reader', $$SELECT string_agg(t::text, '') FROM mf_topk_for(ARRAY[1, 2], NULL, 3, 'm') t$$),
	('mf_topk_all', 'policy', 'reader', $$SELECT md5(string_agg(t::text, '' ORDER BY user_id, rank)) FROM mf_topk_all(3, 'm') t$$),
	('mf_predict', 'policy', 'reader', $$SELECT mf_predict(1, 5, 'm')::text$$),
	('mf_similar_items', 'policy', 'reader', $$SELECT string_agg(t::text, '') FROM mf_similar_items(5, 3, 'm') t$$),
	('mf_explain', 'policy', 'reader', $$SELECT string_agg(t::text, '') FROM mf_explain(1, 5, 3, 'm') t$$),
	('mf_evaluate', 'policy', 'reader', $$SELECT t::text FROM mf_evaluate('m', 'v', exclude_train => false) t WHERE method = 'model'$$),
	('mf_fold_in', 'policy', 'reader', $$SELECT mf_fold_in(item_id, rating, 'm')::text FROM pairs WHERE user_id = 1$$),
	('mf_map', 'policy', 'reader', $$SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM mf_map('m', 'items') t$$),
	('mf_map_svg', 'policy', 'reader', $$SELECT md5(mf_map_svg('m', 'users'))$$),
	('mf_train', 'trigger', 'owner', $$SELECT (users, items, ratings)::text FROM mf_train('v', model => 'm', feedback => 'implicit', factors => 2, iterations => 2, verbose => false, options => '{"index": false}')$$),
	('mf_retrain', 'trigger', 'owner', $$SELECT (users, items, ratings)::text FROM mf_retrain('m', iterations => 1, verbose => false)$$),
	('mf_refresh of some', 'trigger', 'owner', $$SELECT t::text FROM mf_refresh('m', ARRAY[1, 2], ARRAY[3]) t$$),
	('mf_train_sharded', 'trigger', 'owner', $$SELECT (users, items, ratings)::text FROM mf_train_sharded('by_user', 'by_item', '{user_copy}'::regclass[], '{item_copy}'::regclass[], model => 'm', feedback => 'implicit', factors => 2, iterations => 2, verbose => false)$$);

/* %1$s is the relation, %2$s its key, %3$s its side. */
CREATE TABLE changes (n int GENERATED ALWAYS AS IDENTITY, kind text, change text, ddl text);
INSERT INTO changes (kind, change, ddl) VALUES
	('table', 'rename', 'ALTER TABLE meanwhile.%1$s RENAME TO %1$s_was'),
	('table', 'replace', 'ALTER TABLE meanwhile.%1$s RENAME TO %1$s_was; ALTER TABLE meanwhile.other_%3$s RENAME TO %1$s'),
	('table', 'schema', 'ALTER TABLE meanwhile.%1$s SET SCHEMA meanwhile_else'),
	('table', 'drop', 'DROP TABLE meanwhile.%1$s CASCADE'),
	('table', 'truncate', 'TRUNCATE meanwhile.%1$s'),
	('table', 'add column', 'ALTER TABLE meanwhile.%1$s ADD COLUMN more int DEFAULT 5'),
	('table', 'drop column', 'ALTER TABLE meanwhile.%1$s DROP COLUMN factors'),
	('table', 'rename column', 'ALTER TABLE meanwhile.%1$s RENAME COLUMN bias TO intercept'),
	('table', 'swap columns', 'ALTER TABLE meanwhile.%1$s RENAME COLUMN %2$s TO x; ALTER TABLE meanwhile.%1$s RENAME COLUMN ratings TO %2$s; ALTER TABLE meanwhile.%1$s RENAME COLUMN x TO ratings'),
	('table', 'type', 'ALTER TABLE meanwhile.%1$s ALTER COLUMN %2$s TYPE text'),
	('table', 'key', 'ALTER TABLE meanwhile.%1$s DROP CONSTRAINT m_%3$s_pkey'),
	('table', 'owner', 'ALTER TABLE meanwhile.%1$s OWNER TO regress_meanwhile_heir'),
	('table', 'revoke', 'REVOKE ALL ON meanwhile.%1$s FROM regress_meanwhile_reader, regress_meanwhile_owner'),
	('copy', 'rename', 'ALTER TABLE meanwhile.item_copy RENAME TO item_copy_was'),
	('copy', 'replace', 'ALTER TABLE meanwhile.item_copy RENAME TO item_copy_was; ALTER TABLE meanwhile.other_copy RENAME TO item_copy'),
	('copy', 'drop', 'DROP TABLE meanwhile.item_copy CASCADE'),
	('copy', 'drop column', 'ALTER TABLE meanwhile.item_copy DROP COLUMN bias CASCADE'),
	('copy', 'type', 'ALTER TABLE meanwhile.item_copy ALTER COLUMN item_id TYPE bigint'),
	('copy', 'owner', 'ALTER TABLE meanwhile.item_copy OWNER TO regress_meanwhile_heir'),
	('copy', 'revoke', 'REVOKE ALL ON meanwhile.item_copy FROM regress_meanwhile_owner'),
	('names', 'rename', 'ALTER VIEW meanwhile.names RENAME TO names_was'),
	('names', 'replace', 'ALTER VIEW meanwhile.names RENAME TO names_was; ALTER VIEW meanwhile.other_names RENAME TO names'),
	('names', 'drop', 'DROP VIEW meanwhile.names'),
	('names', 'or replace', 'CREATE OR REPLACE VIEW meanwhile.names AS SELECT 1 AS item_id, ''one'' AS name'),
	('names', 'rename column', 'ALTER VIEW meanwhile.names RENAME COLUMN name TO title'),
	('names', 'owner', 'ALTER VIEW meanwhile.names OWNER TO regress_meanwhile_heir'),
	('names', 'revoke', 'REVOKE ALL ON meanwhile.names FROM regress_meanwhile_reader, regress_meanwhile_owner'),
	('view', 'rename', 'ALTER VIEW meanwhile.v RENAME TO v_was'),
	('view', 'replace', 'ALTER VIEW meanwhile.v RENAME TO v_was; ALTER VIEW meanwhile.other_v RENAME TO v'),
	('view', 'schema', 'ALTER VIEW meanwhile.v SET SCHEMA meanwhile_else'),
	('view', 'drop', 'DROP VIEW meanwhile.v CASCADE'),
	('view', 'or replace', 'CREATE OR REPLACE VIEW meanwhile.v AS SELECT 1 AS user_id, 1 AS item_id, 1::real AS rating'),
	('view', 'rename column', 'ALTER VIEW meanwhile.v RENAME COLUMN rating TO stars'),
	('view', 'swap columns', 'ALTER VIEW meanwhile.v RENAME COLUMN user_id TO x; ALTER VIEW meanwhile.v RENAME COLUMN item_id TO user_id; ALTER VIEW meanwhile.v RENAME COLUMN x TO item_id'),
	('view', 'owner', 'ALTER VIEW meanwhile.v OWNER TO regress_meanwhile_heir'),
	('view', 'revoke', 'REVOKE ALL ON meanwhile.v FROM regress_meanwhile_reader, regress_meanwhile_owner');

CREATE TABLE outcomes AS SELECT c.n AS call, c.name, c.hook, c.caller, c.call AS sql, r.relation, d.n AS change, d.change AS what,
	format(d.ddl, r.relation, r.key, r.side) AS ddl, NULL::text AS result, NULL::boolean AS happened
FROM calls c, (VALUES ('table', 'm_users', 'user_id', 'users'), ('table', 'm_items', 'item_id', 'items'), ('view', 'v', NULL, NULL),
		('copy', 'item_copy', NULL, NULL), ('names', 'names', NULL, NULL)) r (kind, relation, key, side)
	JOIN changes d USING (kind)
WHERE (kind = 'copy' AND c.name = 'mf_train_sharded' AND c.hook = 'view') OR (kind = 'names' AND c.name = 'mf_map_svg' AND c.hook = 'view')
	OR kind = 'table' OR (kind = 'view' AND c.call ~ '''v''|mf_retrain|mf_refresh|mf_topk|mf_explain');

CREATE PROCEDURE run(kind text) LANGUAGE plpgsql AS $$
DECLARE
	o record;
BEGIN
	FOR o IN SELECT * FROM outcomes WHERE hook = kind ORDER BY call, relation, change LOOP
		UPDATE outcomes u SET (result, happened) = (SELECT t.result, t.happened FROM outcome(o.sql, o.ddl, 'regress_meanwhile_' || o.caller) t)
		WHERE u.call = o.call AND u.relation = o.relation AND u.change = o.change;
	END LOOP;
END $$;

CALL run('view');
CALL run('row');

SET ROLE regress_meanwhile_owner;
ALTER TABLE m_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE m_items ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON m_users USING ((SELECT meanwhile.hook()));
CREATE POLICY p ON m_items USING ((SELECT meanwhile.hook()));
RESET ROLE;
CALL run('policy');

SET ROLE regress_meanwhile_owner;
ALTER TABLE m_users DISABLE ROW LEVEL SECURITY;
ALTER TABLE m_items DISABLE ROW LEVEL SECURITY;
CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON m_users FOR EACH ROW EXECUTE FUNCTION hook_row();
CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON m_items FOR EACH ROW EXECUTE FUNCTION hook_row();
CREATE OR REPLACE VIEW v AS SELECT user_id, item_id, rating FROM pairs;
CREATE OR REPLACE VIEW by_user AS SELECT user_id, item_id, rating, bias, factors FROM pairs LEFT JOIN item_copy USING (item_id);
RESET ROLE;
CALL run('trigger');

-- Nothing that a program alone could have done wrong, and no hook that was not called
SELECT name, hook, relation, what, result FROM outcomes WHERE result LIKE 'XX%' OR result IS NULL ORDER BY call, relation, change;
SELECT name, hook, relation, what, result FROM outcomes WHERE NOT happened ORDER BY call, relation, change;
-- And what came of it
SELECT name, hook, relation, string_agg(what || ' ' || result, ', ' ORDER BY change) AS outcome
FROM outcomes GROUP BY call, name, hook, relation ORDER BY call, relation;

SELECT mf_drop('m');
RESET search_path;
DROP SCHEMA meanwhile, meanwhile_else CASCADE;
DROP ROLE regress_meanwhile_owner, regress_meanwhile_reader, regress_meanwhile_heir;

-- Parallel labels are true: what runs the caller's ratings, whatever they are,
-- is unsafe; what reads the model alone is safe, and where the policies of the
-- model's tables are not, says so in a parallel query.
SET client_min_messages = warning;
CREATE SCHEMA mf_parallel;
SET search_path = mf_parallel, public;
CREATE ROLE regress_parallel_reader;
CREATE TABLE ratings AS
	SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating
	FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE (u * 7 + i * 3) % 4 = 0;
SELECT users, items FROM mf_train('ratings', model => 'm', factors => 2, verbose => false);
CREATE TABLE asked AS SELECT 1 + i % 40 AS u, 1 + i % 30 AS i FROM generate_series(1, 20000) i;
ANALYZE asked;
CREATE SEQUENCE looks;
CREATE FUNCTION unsafe() RETURNS boolean LANGUAGE sql VOLATILE PARALLEL UNSAFE AS 'SELECT nextval(''mf_parallel.looks'') > 0';
CREATE FUNCTION restricted() RETURNS boolean LANGUAGE sql STABLE PARALLEL RESTRICTED AS 'SELECT true';
CREATE FUNCTION safe() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT true';
CREATE TABLE tenants AS SELECT i AS id FROM generate_series(1, 100) i;
CREATE TABLE hidden_tenants AS TABLE tenants;
GRANT ALL ON SCHEMA mf_parallel TO regress_parallel_reader;
GRANT ALL ON ALL TABLES IN SCHEMA mf_parallel TO regress_parallel_reader;
GRANT ALL ON looks TO regress_parallel_reader;

SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;

-- Without policies: many predictions take workers; recommendations from ratings that are a view do not, and work.
EXPLAIN (COSTS OFF) SELECT count(mf_predict(u, i, 'm')) FROM asked;
SELECT count(mf_predict(u, i, 'm')) FROM asked;
ALTER TABLE ratings RENAME TO stored;
CREATE VIEW ratings AS SELECT * FROM stored WHERE unsafe();
EXPLAIN (COSTS OFF) SELECT (SELECT count(*) FROM mf_topk(u, 3, 'm')) FROM asked;
SELECT count(*) FROM asked a, LATERAL mf_topk(a.u, 3, 'm') WHERE a.u < 3 AND a.i = 1;
SELECT count(*) FROM asked a, LATERAL mf_explain(a.u, a.i, 3, 'm') WHERE a.u < 3 AND a.i = 1;
SELECT count(*) FROM asked a WHERE a.i = 1 AND a.u IN (SELECT user_id FROM mf_topk_all(ARRAY[1, 2, 3], 3, 'm'));

-- With them: what is safe, tried with policies of all kinds, beside a parallel scan and alone
CREATE FUNCTION outcome(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
	answer text;
	state text;
	said text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line;
	END LOOP;
	EXECUTE query INTO answer;
	RETURN CASE WHEN plan LIKE '%Gather%' THEN 'parallel: ' ELSE 'alone: ' END || coalesce(answer, 'null');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, said = MESSAGE_TEXT;
	RETURN CASE WHEN plan LIKE '%Gather%' THEN 'parallel: ' ELSE 'alone: ' END || state || ' ' || said;
END $$;
CREATE TABLE policies (n serial, condition text);
INSERT INTO policies (condition) VALUES ('true'), ('safe()'), ('user_id IN (SELECT id FROM tenants)'), ('restricted()'), ('unsafe()'),
	('CASE WHEN user_id > 0 THEN true ELSE unsafe() END'), ('user_id IN (SELECT id FROM tenants WHERE unsafe())'),
	('user_id IN (SELECT id FROM hidden_tenants)');
CREATE TABLE queries (n serial, query text);
INSERT INTO queries (query) VALUES
	('SELECT count(mf_predict(u, i, ''m'')) FROM asked WHERE u < 3'),
	('SELECT count((SELECT max(similarity) FROM mf_similar_users(u, 3, ''m''))) FROM asked WHERE u < 3 AND i = 1'),
	('SELECT count((SELECT max(score) FROM mf_topk_for(ARRAY[i], NULL, 3, ''m''))) FROM asked WHERE u < 3 AND i = 1'),
	('SELECT count(f) FROM (SELECT mf_fold_in(i, 1, ''m'') AS f FROM asked WHERE u < 3 GROUP BY u) s'),
	('SELECT count((SELECT max(x) FROM mf_map(CASE WHEN u > 0 THEN ''m'' END))) > 0 FROM asked WHERE u < 2 AND i = 1'),
	('SELECT count(*) FROM asked WHERE u < 2 AND i = 1 AND (SELECT count(*) FROM mf_map(''m'')) > 0');
GRANT ALL ON ALL TABLES IN SCHEMA mf_parallel TO regress_parallel_reader;
ALTER TABLE m_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE hidden_tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY hidden ON hidden_tenants USING (unsafe());
CREATE FUNCTION try() RETURNS TABLE (condition text, query text, outcome text) LANGUAGE plpgsql AS $$
DECLARE
	p record;
	q record;
BEGIN
	FOR p IN SELECT * FROM policies ORDER BY n LOOP
		EXECUTE format('CREATE POLICY tried ON m_users USING (%s)', p.condition);
		SET LOCAL ROLE regress_parallel_reader;
		FOR q IN SELECT * FROM queries ORDER BY n LOOP
			condition := p.condition;
			query := q.query;
			outcome := outcome(q.query);
			RETURN NEXT;
		END LOOP;
		RESET ROLE;
		DROP POLICY tried ON m_users;
	END LOOP;
END $$;
BEGIN;
SELECT condition, outcome, count(*) AS queries FROM try() GROUP BY 1, 2 ORDER BY 1, 2;
SET LOCAL max_parallel_workers_per_gather = 0;
SELECT outcome LIKE 'alone: %' AND outcome NOT LIKE '%0A000%' AS answered, count(*) FROM try() GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- The whole message
CREATE POLICY tried ON m_users USING (unsafe());
SET ROLE regress_parallel_reader;
SELECT count(mf_predict(u, i, 'm')) FROM asked WHERE u < 3;
SET max_parallel_workers_per_gather = 0;
SELECT count(mf_predict(u, i, 'm')) FROM asked WHERE u < 3;
RESET ROLE;
DROP SCHEMA mf_parallel CASCADE;
DELETE FROM mf_models WHERE schema = 'mf_parallel';
DROP ROLE regress_parallel_reader;

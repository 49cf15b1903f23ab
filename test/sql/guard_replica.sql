--
-- mf_guard where replication applies rows: it sets the owner right, as a role may
-- have another name there, and neither refuses nor leaves out a row
--
\set VERBOSITY terse
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_replica_here, regress_replica_applies;
CREATE ROLE regress_replica_here;
CREATE ROLE regress_replica_applies;
CREATE SCHEMA guard_replica;
GRANT ALL ON SCHEMA guard_replica TO regress_replica_here;
SET search_path = guard_replica, public;
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, 1 + (u * i) % 5 AS rating
FROM generate_series(1, 20) u, generate_series(1, 15) i WHERE (u + i) % 3 > 0;
GRANT SELECT ON ratings TO regress_replica_here;
SET ROLE regress_replica_here;
SELECT users FROM mf_train('ratings', model => 'films', factors => 3, iterations => 2, verbose => false);
RESET ROLE;
SELECT tgrelid::regclass, tgenabled FROM pg_trigger WHERE tgname = 'mf_guard' ORDER BY 1;
CREATE TEMP TABLE sent AS SELECT * FROM mf_models WHERE schema = 'guard_replica';
UPDATE sent SET owner = 'role_of_the_publisher', created_at = created_at + interval '1 day';
CREATE TEMP TABLE sent_history AS SELECT * FROM mf_history WHERE schema = 'guard_replica';
CREATE VIEW stored AS SELECT model, owner, is_default, iterations,
	(SELECT count(*) FROM mf_history h WHERE h.schema = m.schema AND h.model = m.model) AS history
FROM mf_models m WHERE schema = 'guard_replica' ORDER BY model;

SET session_replication_role = replica;
DELETE FROM mf_history WHERE schema = 'guard_replica';
DELETE FROM mf_models WHERE schema = 'guard_replica';
SELECT * FROM stored;
INSERT INTO mf_models SELECT * FROM sent;
INSERT INTO mf_history SELECT * FROM sent_history;
SELECT * FROM stored;
UPDATE mf_models SET owner = 'role_of_the_publisher', iterations = 7 WHERE schema = 'guard_replica';
UPDATE mf_history SET error = 1 WHERE schema = 'guard_replica';
SELECT * FROM stored;
SELECT count(*) FROM mf_topk(1, 3, 'films');
-- Of tables that are not there the row comes as it was sent, and goes
UPDATE sent SET model = 'elsewhere';
INSERT INTO mf_models SELECT * FROM sent;
UPDATE mf_models SET iterations = 8 WHERE model = 'elsewhere' AND schema = 'guard_replica';
SELECT * FROM stored;
SELECT mf_topk(1, 3, 'elsewhere');
DELETE FROM mf_models WHERE model = 'elsewhere' AND schema = 'guard_replica';
SELECT * FROM stored;
RESET session_replication_role;

-- Elsewhere everything is as ever
SET ROLE regress_replica_applies;
UPDATE mf_models SET iterations = 9 WHERE schema = 'guard_replica';
DELETE FROM mf_models WHERE schema = 'guard_replica';
INSERT INTO mf_history VALUES ('guard_replica', 'films', 10, 1, 1, 1);
RESET ROLE;
UPDATE mf_models SET owner = 'role_of_the_publisher', iterations = 6 WHERE schema = 'guard_replica';
SELECT * FROM stored;

DELETE FROM mf_history WHERE schema = 'guard_replica';
DELETE FROM mf_models WHERE schema = 'guard_replica';
DROP SCHEMA guard_replica CASCADE;
DROP ROLE regress_replica_here, regress_replica_applies;

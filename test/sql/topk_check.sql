-- mf_index_check: which indexes it checks, and for whom.
CREATE SCHEMA topk_check;
SET search_path = topk_check, public;
CREATE FUNCTION vectors(n int) RETURNS TABLE (id int, v real[]) LANGUAGE sql AS
	'SELECT i, ARRAY[i, 1, i % 7]::real[] FROM generate_series(1, n) i';

-- a partitioned index: all its partitions, of any depth, and their rows together
CREATE TABLE parts (id int, v real[]) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (1) TO (1000);
CREATE TABLE part_2 PARTITION OF parts FOR VALUES FROM (1000) TO (3000) PARTITION BY HASH (id);
CREATE TABLE part_2_0 PARTITION OF part_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_2_1 PARTITION OF part_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX parts_v ON parts USING topk (v);
SELECT mf_index_check('parts_v');
INSERT INTO parts SELECT * FROM vectors(2999);
SELECT mf_index_check('parts_v'), mf_index_check('part_2_v_idx') = (SELECT count(*) FROM part_2) AS below,
	mf_index_check('part_1_v_idx');
CREATE TABLE alone (id int, v real[]) PARTITION BY RANGE (id);
CREATE INDEX alone_v ON alone USING topk (v);
SELECT mf_index_check('alone_v');
-- of another kind, or not for all partitions
CREATE INDEX parts_id ON parts (id);
SELECT mf_index_check('parts_id');
CREATE INDEX parts_only ON ONLY parts USING topk (v);
SELECT mf_index_check('parts_only');
-- what it says of a partition, it says to who owns that
CREATE ROLE regress_topk_check;
GRANT USAGE ON SCHEMA topk_check TO regress_topk_check;
ALTER TABLE parts OWNER TO regress_topk_check;
ALTER TABLE part_1 OWNER TO regress_topk_check;
ALTER TABLE part_2 OWNER TO regress_topk_check;
ALTER TABLE part_2_0 OWNER TO regress_topk_check;
SET ROLE regress_topk_check;
SELECT mf_index_check('part_1_v_idx');
SELECT mf_index_check('parts_v');
RESET ROLE;
ALTER TABLE part_2_1 OWNER TO regress_topk_check;
SET ROLE regress_topk_check;
SELECT mf_index_check('parts_v');
RESET ROLE;

-- relations that are gone
SELECT mf_index_check(0::oid::regclass);
\set VERBOSITY sqlstate
SELECT mf_index_check(4294967295::oid::regclass);
SELECT mf_index_check('nowhere');
\set VERBOSITY default

SET client_min_messages = warning;
DROP SCHEMA topk_check CASCADE;
DROP ROLE regress_topk_check;

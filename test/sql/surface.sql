-- What is said of every function of the extension: its kind, how many forms it has,
-- its volatility, its parallel label, and whether it is strict. A function that is
-- new or changed shows up here, so that somebody thinks about it:
--   volatility  immutable: what it returns depends on its arguments alone; stable:
--               it reads tables in the caller's snapshot; volatile: it writes, or
--               looks anew (mf_evaluate draws no conclusions for a snapshot)
--   parallel    unsafe: it writes, or runs SQL that is the user's (the ratings, labels);
--               restricted: once a query is enough; safe: it reads the model alone,
--               and checks the policies of its tables (test/sql/parallel.sql)
--   strict      null in, null out; where null means something, or is an error, not
CREATE TABLE expected (name text, kind text, forms int, volatility text, parallel text, strict bool);
INSERT INTO expected VALUES
	('cosine_distance', 'function', 1, 'immutable', 'safe', true),
	('l2_distance', 'function', 1, 'immutable', 'safe', true),
	('negative_inner_product', 'function', 1, 'immutable', 'safe', true),
	('topk_handler', 'function', 1, 'volatile', 'unsafe', false),
	('mf_index_check', 'function', 1, 'volatile', 'unsafe', true),
	('mf_guard', 'function', 1, 'volatile', 'unsafe', false),
	('mf_default', 'function', 1, 'volatile', 'unsafe', true),
	('mf_default', 'function', 1, 'stable', 'safe', false),
	('mf_drop', 'function', 1, 'volatile', 'unsafe', true),
	('mf_train', 'function', 1, 'volatile', 'unsafe', false),
	('mf_train_sharded', 'function', 1, 'volatile', 'unsafe', false),
	('mf_retrain', 'function', 1, 'volatile', 'unsafe', false),
	('mf_refresh', 'function', 4, 'volatile', 'unsafe', false),
	('mf_solve_options', 'function', 1, 'immutable', 'safe', false),
	('mf_solve', 'aggregate', 2, 'immutable', 'safe', false),
	('mf_solve_error', 'aggregate', 2, 'immutable', 'safe', false),
	('mf_gramian', 'aggregate', 1, 'immutable', 'safe', false),
	('mf_solve_accum', 'function', 2, 'immutable', 'safe', false),
	('mf_solve_combine', 'function', 1, 'immutable', 'safe', false),
	('mf_solve_serialize', 'function', 1, 'immutable', 'safe', true),
	('mf_solve_deserialize', 'function', 1, 'immutable', 'safe', true),
	('mf_solve_final', 'function', 1, 'immutable', 'safe', false),
	('mf_solve_error_final', 'function', 1, 'immutable', 'safe', false),
	('mf_gramian_accum', 'function', 1, 'immutable', 'safe', false),
	('mf_gramian_final', 'function', 1, 'immutable', 'safe', false),
	('mf_digest', 'aggregate', 1, 'immutable', 'safe', false),
	('mf_digest_add', 'function', 1, 'immutable', 'safe', true),
	('mf_digest_combine', 'function', 1, 'immutable', 'safe', true),
	('mf_holdout', 'function', 1, 'immutable', 'safe', true),
	('mf_evaluate', 'function', 1, 'volatile', 'unsafe', false),
	('mf_tune', 'procedure', 1, 'volatile', 'unsafe', false),
	('mf_predict', 'function', 10, 'stable', 'safe', false),
	('mf_topk', 'function', 5, 'stable', 'unsafe', false),
	('mf_topk_for', 'function', 3, 'stable', 'safe', false),
	('mf_explain', 'function', 4, 'stable', 'unsafe', false),
	('mf_similar_items', 'function', 4, 'stable', 'safe', false),
	('mf_similar_users', 'function', 4, 'stable', 'safe', false),
	('mf_fold_in', 'aggregate', 6, 'immutable', 'safe', false),	-- what CREATE AGGREGATE says of any
	('mf_fold_in_add', 'function', 6, 'stable', 'safe', false),
	('mf_fold_in_final', 'function', 1, 'stable', 'safe', false),
	('mf_topk_all', 'function', 5, 'stable', 'unsafe', false),
	('mf_map', 'function', 2, 'stable', 'restricted', false),
	('mf_map_svg', 'function', 1, 'stable', 'unsafe', false),
	('mf_history_svg', 'function', 1, 'stable', 'restricted', false);

CREATE VIEW objects AS
	SELECT d.classid, d.objid, obj_description(d.objid, d.classid::regclass::name) AS comment,
		pg_describe_object(d.classid, d.objid, 0) AS name
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	WHERE e.extname = 'factor' AND d.deptype = 'e';
CREATE VIEW functions AS
	SELECT p.proname::text AS name,
		CASE prokind WHEN 'f' THEN 'function' WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE prokind::text END AS kind,
		count(*)::int AS forms,
		CASE provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
		CASE proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END AS parallel,
		proisstrict AS strict
	FROM pg_proc p JOIN objects o ON o.objid = p.oid AND o.classid = 'pg_proc'::regclass
	GROUP BY proname, prokind, provolatile, proparallel, proisstrict;

-- Only in the table above, and only in the database
(TABLE expected EXCEPT TABLE functions) ORDER BY 1, 2;
(TABLE functions EXCEPT TABLE expected) ORDER BY 1, 2;

-- Whatever has no comment: functions, aggregates, operators, types, tables, the access method and its classes
SELECT name FROM objects
WHERE comment IS NULL
	AND classid <> ALL (ARRAY['pg_amop'::regclass, 'pg_amproc'::regclass, 'pg_trigger'::regclass, 'pg_cast'::regclass])
	AND NOT (classid = 'pg_type'::regclass AND (SELECT typelem <> 0 OR typrelid <> 0 AND EXISTS
		(SELECT FROM pg_class c WHERE c.oid = typrelid AND c.relkind = 'r') FROM pg_type t WHERE t.oid = objid))
	AND NOT (classid = 'pg_class'::regclass AND (SELECT relkind <> 'r' FROM pg_class c WHERE c.oid = objid))
ORDER BY name;
SELECT c.relname, a.attname
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid IN (SELECT objid FROM objects WHERE classid = 'pg_class'::regclass
		UNION ALL SELECT typrelid FROM pg_type t JOIN objects o ON o.objid = t.oid AND o.classid = 'pg_type'::regclass)
	AND c.relkind IN ('r', 'c') AND col_description(c.oid, a.attnum) IS NULL
ORDER BY 1, 2;

-- Nothing is SECURITY DEFINER or leakproof, and what is written in SQL finds its functions whatever the search_path.
SELECT proname FROM pg_proc p JOIN objects o ON o.objid = p.oid AND o.classid = 'pg_proc'::regclass
WHERE prosecdef OR proleakproof OR (prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c') AND prosqlbody IS NULL AND prokind <> 'a')
ORDER BY 1;

DROP VIEW functions, objects;
DROP TABLE expected;

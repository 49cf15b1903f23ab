--
-- Lists with candidates, exclusions and diversity, each against plain SQL. The
-- model is made by hand, from numbers that a formula gives; every fifth item
-- or so has a twin with an equal vector, so that ties occur.
--
\set VERBOSITY default
CREATE SCHEMA mf_lists;
SET search_path = mf_lists, public;
SET jit = off;
CREATE TABLE films_users (u int PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL, ratings int, rating_sum float8, digest bigint);
CREATE TABLE films_items (m int PRIMARY KEY, bias real NOT NULL, factors real[] NOT NULL, ratings int, rating_sum float8, digest bigint);
CREATE TABLE seen (u int, m int);
INSERT INTO films_users SELECT i, cos(i) / 2, ARRAY[sin(i), sin(2 * i), sin(3 * i)], 1, 3 FROM generate_series(1, 20) i;
INSERT INTO films_items SELECT i, sin(i % 320) / 2, ARRAY[cos(i % 320), cos(i % 320 * 2), cos(i % 320 * 3)], 1, 3
	FROM generate_series(1, 400) i;
INSERT INTO films_items VALUES (401, 0.2, '{0,0,0}', 1, 3), (402, 2, '{0,0,0}', 1, 3);
INSERT INTO seen SELECT u, m FROM films_users, films_items WHERE (u * m) % 7 = 0;
INSERT INTO mf_models VALUES ('mf_lists', 'films', 'x', true, now(), 'explicit', true, 3, 3.5, 0.5, 5, 'mf_lists', 'seen',
	'u', 'm', NULL, 20, 402, 100, 0, 1, 0.1, 1, 0.1, 1, 0, 0, NULL, NULL, 0, 0, 0, now(), 'x');

-- The reference: what is eligible, ranked
CREATE FUNCTION plain_ranking(who int, allowed int[], excluded int[], unseen boolean)
RETURNS TABLE (place bigint, m int, raw float8, factors real[]) LANGUAGE sql AS $$
	SELECT row_number() OVER (ORDER BY raw DESC, m), m, raw, factors
	FROM (SELECT i.m, 3.5::float8 + u.bias + i.bias - (u.factors <#> i.factors) raw, i.factors FROM films_users u, films_items i
		WHERE u.u = who AND (allowed IS NULL OR i.m = ANY (allowed)) AND (excluded IS NULL OR i.m <> ALL (array_remove(excluded, NULL)))
			AND NOT (unseen AND i.m IN (SELECT s.m FROM seen s WHERE s.u = who))) s
$$;
-- How many places differ over all users
CREATE FUNCTION differ(k int, allowed int[], excluded int[], unseen boolean DEFAULT true) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM films_users u, LATERAL (SELECT FROM plain_ranking(u.u, allowed, excluded, unseen) p
		FULL JOIN mf_topk(u.u, k, NULL, unseen, allowed, excluded) WITH ORDINALITY t (item, score, place) USING (place)
		WHERE place <= k AND (p.m IS DISTINCT FROM t.item OR t.score IS DISTINCT FROM least(greatest(raw, 0.5), 5))) d
$$;
CREATE FUNCTION ids(first int, last int, step int DEFAULT 1) RETURNS int[] LANGUAGE sql AS
	'SELECT array_agg(i ORDER BY hashint4(i)) FROM generate_series(first, last, step) i';

-- Few candidates, many, all, none; repeated, unknown and NULL ones
SELECT what, differ(10, c, NULL), differ(1000, c, NULL), differ(10, c, NULL, false), differ(1, c, NULL)
FROM (VALUES ('few', ids(3, 90, 7)), ('twins', '{1,321,2,322,3,323}'), ('64', ids(1, 64)), ('65', ids(1, 65)), ('half', ids(1, 400, 2)),
	('all', ids(1, 402)), ('more', ids(-100, 1000)), ('none', '{}'), ('unknown', '{-5,100000}'),
	('again', ids(1, 30) || ids(20, 50) || ids(1, 402, 3) || ids(1, 402, 3)), ('nulls', ARRAY[NULL, 5, NULL, 9, 13])) v (what, c) ORDER BY 1;
-- Exclusions, of the same kinds
SELECT what, differ(10, NULL, c), differ(1000, NULL, c), differ(10, NULL, c, false), differ(10, ids(1, 20), c), differ(10, ids(1, 300), c)
FROM (VALUES ('few', ids(3, 90, 7)), ('most', ids(1, 390)), ('all', ids(1, 402)), ('more', ids(-100, 1000)), ('none', '{}'),
	('again', ids(1, 402, 3) || ids(1, 402, 3)), ('nulls', ARRAY[NULL, 5, NULL, 9, 13])) v (what, c) ORDER BY 1;
-- The best of a user excluded one after another, until there are none
SELECT count(*), count(DISTINCT item) FROM (SELECT item FROM generate_series(0, 40) n,
	LATERAL mf_topk(5, 10, exclude_seen => false, exclude => (SELECT array_agg(m) FROM plain_ranking(5, NULL, NULL, false) WHERE place <= 10 * n))) s;
-- Always min(k, eligible) rows, with many equal scores too
SELECT count(DISTINCT t.item), count(*) FROM mf_topk(3, 402, exclude_seen => false) t;
BEGIN;
UPDATE films_items SET bias = 0, factors = '{1,1,1}' WHERE m <= 300;
SELECT differ(5, NULL, NULL), differ(100, NULL, ids(1, 50)), differ(3, ids(1, 402), ids(1, 290)), differ(20, ids(250, 310), NULL);
SELECT array_agg(item) FROM mf_topk(1, 10, exclude_seen => false, candidates => ids(1, 300));
CREATE INDEX ON films_items USING topk ((bias || factors));
SET LOCAL enable_seqscan = off;
SELECT differ(5, NULL, NULL), differ(100, NULL, ids(1, 50)), differ(3, ids(1, 402), ids(1, 290)), differ(20, ids(250, 310), NULL);
ROLLBACK;
-- The index answers: the statement with it, and not merely a sort
CREATE INDEX ON films_items USING topk ((bias || factors));
SELECT differ(10, NULL, NULL), differ(1000, NULL, NULL), differ(10, ids(1, 402, 2), ids(1, 100));
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_sort = off;
SELECT differ(10, NULL, NULL), differ(10, ids(1, 402, 2), ids(1, 100));
SELECT idx_scan > 0 OR pg_stat_get_xact_numscans(indexrelid) > 0 FROM pg_stat_user_indexes
	WHERE schemaname = 'mf_lists' AND indexrelname LIKE '%expr%';
ROLLBACK;
DROP INDEX films_items_expr_idx;

-- Maximal marginal relevance, step by step
CREATE FUNCTION plain_mmr(who int, k int, diversity float8, allowed int[] DEFAULT NULL) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	chosen int[] := '{}';
	best int;
BEGIN
	CREATE TEMP TABLE pool AS SELECT place, m, factors,
		CASE WHEN max(raw) OVER () > min(raw) OVER () THEN (raw - min(raw) OVER ()) / (max(raw) OVER () - min(raw) OVER ()) ELSE 1 END rel
		FROM (SELECT * FROM plain_ranking(who, allowed, NULL, true) WHERE place <= greatest(5 * k, 100)) p;
	LOOP
		SELECT p.m INTO best FROM pool p WHERE p.m <> ALL (chosen)
		ORDER BY round(((1 - diversity) * rel - diversity * coalesce((SELECT max(CASE WHEN (c.factors <=> p.factors) = 'NaN' THEN 0
			ELSE 1 - (c.factors <=> p.factors) END) FROM pool c WHERE c.m = ANY (chosen)), 0))::numeric, 9) DESC, place LIMIT 1;
		EXIT WHEN NOT FOUND OR cardinality(chosen) = k;
		chosen := chosen || best;
	END LOOP;
	DROP TABLE pool;
	RETURN chosen;
END $$;
SELECT diversity, k, bool_and(plain_mmr(u, k, diversity) = (SELECT array_agg(item::int) FROM mf_topk(u, k, diversity => diversity))),
	bool_or((SELECT array_agg(item) FROM mf_topk(u, k, diversity => diversity)) <> (SELECT array_agg(item) FROM mf_topk(u, k))) AS another
FROM (VALUES (0.1), (0.3), (0.7), (0.95)) d (diversity), (VALUES (7), (21)) v (k), generate_series(2, 3) u GROUP BY 1, 2 ORDER BY 1, 2;
SELECT u, plain_mmr(u, 8, 0.5, ids(1, 402, 31)) = (SELECT array_agg(item::int) FROM mf_topk(u, 8, diversity => 0.5, candidates => ids(1, 402, 31)))
FROM generate_series(1, 3) u;
-- The best comes first; 0 is the plain list; scores are the predictions.
SELECT bool_and((SELECT item FROM mf_topk(u, 5, diversity => 1) LIMIT 1) = (SELECT item FROM mf_topk(u, 1))),
	bool_and((SELECT array_agg(t) FROM mf_topk(u, 20, diversity => 0) t) = (SELECT array_agg(t) FROM mf_topk(u, 20) t)),
	bool_and((SELECT bool_and(score = mf_predict(u, item)) AND count(*) = 20 AND count(DISTINCT item) = 20 FROM mf_topk(u, 20, NULL, false, diversity => 0.6)))
FROM generate_series(1, 20) u;
SELECT count(*), count(DISTINCT item) FROM mf_topk(3, 1000, exclude_seen => false, diversity => 0.5);
SELECT count(*) FROM mf_topk(3, 5, diversity => 0.5, candidates => '{}') UNION ALL SELECT count(*) FROM mf_topk(3, 0, diversity => 0.5)
UNION ALL SELECT count(*) FROM mf_topk(3, 5, diversity => 0.5, candidates => '{9}');
SELECT * FROM mf_topk(3, 5, diversity => 1.5);
SELECT * FROM mf_topk(3, 5, diversity => 'NaN');
SELECT * FROM mf_topk(3, 5, diversity => NULL);

-- Which form a call means
SELECT (SELECT array_agg(item) FROM mf_topk(3, 4, exclude_seen => false, candidates => ids(1, 50), exclude => ids(1, 20))) AS expected \gset
SELECT array_agg(item) = :'expected' FROM mf_topk(3, 4, 'films', false, ids(1, 50), ids(1, 20));
SELECT array_agg(item) = :'expected' FROM mf_topk(3, 4, NULL, false, ids(1, 50)::bigint[], ids(1, 20)::smallint[], NULL, 0);
SELECT array_agg(item::int) = :'expected' FROM mf_topk('3', 4, NULL, false, ids(1, 50)::text[], ids(1, 20)::text[], false);
SELECT array_agg(item::int) = :'expected' FROM mf_topk('3', 4, exclude_seen => false, candidates => ids(1, 50)::text[], exclude => ids(1, 20)::varchar[]);
SELECT array_agg(item) = :'expected' FROM mf_topk(3, 4, NULL::int, ids(1, 50), ids(1, 20), false);
SELECT array_agg(item) = :'expected' FROM mf_topk(3, 4, item_type => NULL::int, candidates => ids(1, 50), exclude => ids(1, 20), exclude_seen => false, model => 'films');
SELECT array_agg(item) = :'expected' FROM mf_topk(3::smallint, 4, item_type => NULL::bigint, candidates => ids(21, 50), exclude => NULL, exclude_seen => false);
PREPARE untyped AS SELECT array_agg(item::int) = :'expected' FROM mf_topk($1, $2, exclude_seen => $3,
	candidates => $4, exclude => $5, live => $6, diversity => $7);
EXECUTE untyped('3', 4, false, ids(1, 50), ids(1, 20), NULL, 0);
DEALLOCATE untyped;
SELECT pg_typeof(item) FROM mf_topk(3, 1, NULL::int, ARRAY[3], NULL) UNION ALL SELECT pg_typeof(item) FROM mf_topk(3, 1, candidates => ARRAY[9]);
SELECT * FROM mf_topk(3, 1, candidates => ARRAY['9']);
SELECT * FROM mf_topk('3', 1, candidates => ARRAY['nine']);
SELECT * FROM mf_topk(3, 1, NULL::date, ARRAY[date '2000-01-01'], NULL);
SELECT item FROM mf_topk(3, 1, candidates => ARRAY[10000000000, 9]);

SET client_min_messages = warning;
DELETE FROM mf_models WHERE schema = 'mf_lists';
DROP SCHEMA mf_lists CASCADE;

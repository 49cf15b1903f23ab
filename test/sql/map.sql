--
-- mf_map against its definition in plain SQL, and the pictures
--
\set VERBOSITY terse
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_mf_map;
CREATE SCHEMA mf_map;
SET search_path = mf_map, public;
CREATE TABLE ratings (user_id int, item_id text, rating real);
INSERT INTO ratings SELECT u, 'item <' || i || '> & "co"', 1 + abs(hashint4(u * 1000 + i)) % 9 / 2.0
FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE abs(hashint4(u * 7919 + i)) % 4 = 0;
SELECT 1 FROM mf_train('ratings', model => 'stars', factors => 3, verbose => false);
SELECT 1 FROM mf_train('ratings', model => 'line', factors => 1, verbose => false);
RESET client_min_messages;

-- With three factors the two components leave one, the least: an axis a is the
-- covariance of the vectors with the places along it, over their variance.
CREATE FUNCTION check_map(side text) RETURNS TABLE (rows bigint, centred boolean, uncorrelated boolean, largest boolean, axes boolean, signs boolean)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
	WITH v AS (SELECT t.%1$I::text id, factors[1]::float8 a, factors[2]::float8 b, factors[3]::float8 c, m.x, m.y
			FROM stars_%2$s t JOIN mf_map(NULL::%3$s, model => 'stars', side => %2$L) m ON m.id = t.%1$I),
		s AS (SELECT avg(a) ma, avg(b) mb, avg(c) mc, var_pop(x) vx, var_pop(y) vy,
			var_pop(a) + var_pop(b) + var_pop(c) total,
			covar_pop(a, x) / var_pop(x) xa, covar_pop(b, x) / var_pop(x) xb, covar_pop(c, x) / var_pop(x) xc,
			covar_pop(a, y) / var_pop(y) ya, covar_pop(b, y) / var_pop(y) yb, covar_pop(c, y) / var_pop(y) yc FROM v)
	SELECT count(*), abs(avg(x)) < 1e-5 AND abs(avg(y)) < 1e-5, abs(corr(x, y)) < 1e-4,
		min(vx) >= min(vy) AND min(vy) >= min(total - vx - vy) - 1e-6,
		bool_and(abs((a - ma) * xa + (b - mb) * xb + (c - mc) * xc - x) < 1e-4 AND
			abs((a - ma) * ya + (b - mb) * yb + (c - mc) * yc - y) < 1e-4),
		bool_and(greatest(xa, xb, xc) > -least(xa, xb, xc) AND greatest(ya, yb, yc) > -least(ya, yb, yc))
	FROM v, s $q$, CASE side WHEN 'users' THEN 'user_id' ELSE 'item_id' END, side,
		CASE side WHEN 'users' THEN 'int' ELSE 'text' END);
END $$;
SELECT * FROM check_map('users');
SELECT * FROM check_map('items');
SELECT count(*), pg_typeof(min(id)) FROM mf_map('stars', 'users') GROUP BY ();
SELECT count(*), bool_and(y = 0), abs(avg(x)) < 1e-6 FROM mf_map('line', 'users');
SELECT bool_and(a.x = b.x AND a.y = b.y) AS same FROM mf_map('stars', 'users') a JOIN mf_map('stars', 'users') b USING (id);

-- Pictures: well-formed, a point for each, labels escaped and in the frame
CREATE TABLE titles (item_id text PRIMARY KEY, title text);
CREATE FUNCTION forbidden() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF getdatabaseencoding() = 'UTF8' THEN
		RETURN convert_from('\xefbfbeefbfbf', 'UTF8');	-- U+FFFE and U+FFFF, which no XML may have
	END IF;
	RETURN E'\x02\x7f';
END $$;
INSERT INTO titles SELECT item_id, CASE WHEN ratings % 5 = 0 THEN NULL ELSE 'T&C <b>' || repeat('long ', 9) || E'\x01' || forbidden() END FROM stars_items;
CREATE FUNCTION check_svg(svg text) RETURNS TABLE (starts boolean, ends boolean, points bigint, escaped boolean, inside boolean)
LANGUAGE sql AS $$
	SELECT $1 LIKE '<svg xmlns=%', $1 LIKE E'%</svg>\n',
		(SELECT count(*) FROM regexp_matches($1, '<circle ', 'g')),
		$1 !~ '&(?!amp;|lt;|gt;|quot;)' AND $1 !~ E'[\x01-\x09]' AND $1 !~ ('[' || forbidden() || ']') AND $1 NOT LIKE '%<b>%',
		(SELECT bool_and(c[1]::float8 BETWEEN 0 AND 1000) FROM regexp_matches($1, '<text x="([-0-9.]+)"', 'g') c)
$$;
SELECT * FROM check_svg(mf_map_svg('stars'));
SELECT * FROM check_svg(mf_map_svg('stars', 'users', n => 10));
SELECT * FROM check_svg(mf_map_svg('stars', labels => 'titles'));
SELECT mf_map_svg('stars', labels => 'titles') LIKE '%>T&amp;C &lt;b&gt;long long long l...</text>%' AS label,
	mf_map_svg('stars', labels => 'titles') LIKE '%>item &lt;%&gt; &amp; &quot;co&quot;</title>%' AS id_where_null;
SELECT * FROM check_svg(mf_map_svg('line'));
SELECT * FROM check_svg(mf_history_svg('stars'));
SELECT * FROM check_svg(mf_history_svg());

-- The numbers along an axis all have as many decimals
BEGIN;
UPDATE mf_history SET error = 0.508 + 0.0001 / iteration, objective = 33782.5 + 3.0 / iteration WHERE model = 'stars' AND schema = 'mf_map';
SELECT array_agg(t[1] ORDER BY n) FROM regexp_matches(mf_history_svg('stars'), '"end" font-size="12" fill="#222">([^<]*)<', 'g') WITH ORDINALITY m (t, n);
UPDATE mf_history SET objective = 1e16 / iteration, error = -1e-9 * iteration WHERE model = 'stars' AND schema = 'mf_map';
SELECT array_agg(t[1] ORDER BY n) FROM regexp_matches(mf_history_svg('stars'), '"end" font-size="12" fill="#222">([^<]*)<', 'g') WITH ORDINALITY m (t, n);
ROLLBACK;

-- Only those that a table has, in the place they have on the map of all
CREATE VIEW some_titles AS SELECT * FROM titles WHERE item_id LIKE 'item <1%' OR item_id = 'unknown';
SELECT * FROM check_svg(mf_map_svg('stars', labels => 'some_titles', only_labelled => true));
SELECT * FROM check_svg(mf_map_svg('stars', labels => 'some_titles', only_labelled => true, n => 3));
SELECT * FROM check_svg(mf_map_svg('stars', labels => 'some_titles', only_labelled => false));
SELECT mf_map_svg('stars', labels => 'some_titles', only_labelled => true) LIKE '%>stars: 11 of 40 items<%' AS title;
SELECT mf_map_svg('stars', only_labelled => true);

-- What was held out has a curve of its own, and a line where it is least
SET client_min_messages = warning;
SELECT 1 FROM mf_train('ratings', model => 'held', factors => 2, regularization => 0.1, holdout => 0.2, verbose => false);
RESET client_min_messages;
SELECT * FROM check_svg(mf_history_svg('held'));
SELECT mf_history_svg('held') LIKE format('%%held out, least after iteration %s<%%', best_iteration) AS least,
	best_iteration < iterations AS before_the_end,
	(SELECT bool_and(mf_history_svg('held') LIKE format('%%<title>held out %s: %s</title>%%', iteration,
			to_char(held_out_loss, 'FM0.99999')))
	FROM mf_history h WHERE h.model = 'held') AS values
FROM mf_models WHERE model = 'held' AND schema = 'mf_map';

-- Nothing to show
BEGIN;
DELETE FROM stars_items;
DELETE FROM mf_history WHERE model = 'stars' AND schema = 'mf_map';
SELECT count(*) FROM mf_map('stars', 'users');
SELECT count(*) FROM mf_map(id_type => NULL::text, side => 'items');
SELECT * FROM check_svg(mf_map_svg('stars'));
SELECT * FROM check_svg(mf_history_svg('stars'));
ROLLBACK;
BEGIN;
UPDATE stars_items SET factors = '{1,2,3}';
SELECT count(DISTINCT (x, y)) FROM mf_map(id_type => NULL::text, model => 'stars');
SELECT starts, ends FROM check_svg(mf_map_svg('stars'));
UPDATE stars_items SET factors = '{1,NaN,3}';
SELECT count(*) FROM mf_map(id_type => NULL::text, model => 'stars');
ROLLBACK;

-- Errors, rights, read-only transactions
SELECT * FROM mf_map('stars', 'films');
SELECT * FROM mf_map('stars', NULL);
SELECT * FROM mf_map('stars');
SELECT * FROM mf_map(1, 'stars');
SELECT * FROM mf_map('no_such_model');
SELECT mf_map_svg('stars', n => 0);
SELECT mf_map_svg('stars', n => NULL);
SELECT mf_map_svg('stars', labels => 'titles', label_col => 'name');
SELECT mf_map_svg('stars', 'users', labels => 'titles');
SELECT mf_map_svg('stars', labels => 'titles', label_col => NULL);
SELECT mf_map_svg('stars', 'users', labels => 'titles', label_key => 'item_id');
BEGIN READ ONLY;
SELECT length(mf_map_svg('stars')) > 1000, length(mf_history_svg('stars')) > 1000, (SELECT count(*) FROM mf_map('stars', 'users'));
COMMIT;
CREATE ROLE regress_mf_map;
GRANT USAGE ON SCHEMA mf_map TO regress_mf_map;
SET ROLE regress_mf_map;
SELECT count(*) FROM mf_map('stars', 'users');
RESET ROLE;
GRANT SELECT ON stars_items TO regress_mf_map;
ALTER TABLE stars_items ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON stars_items USING (item_id LIKE '%1%');
SET ROLE regress_mf_map;
SELECT count(*) = (SELECT count(*) FROM stars_items) AS those_seen FROM mf_map(id_type => NULL::text, model => 'stars');
SELECT length(mf_map_svg('stars', labels => 'titles'));
RESET ROLE;

SET client_min_messages = warning;
DELETE FROM mf_history WHERE schema = 'mf_map';
DELETE FROM mf_models WHERE schema = 'mf_map';
DROP SCHEMA mf_map CASCADE;
DROP ROLE regress_mf_map;

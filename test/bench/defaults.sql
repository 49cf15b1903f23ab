-- Data, splits and measures for test/bench/defaults.sh, which runs this in a
-- database of its own with the variable `data` set to the folder of the data.
--
-- Every data set becomes pairs of integers and a value in bench.pairs. A split
-- puts them into bench.training and bench.testing by a hash of the pair, so
-- that the same salt gives the same split everywhere.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION factor;
CREATE SCHEMA bench;
SET search_path = bench, public;

CREATE TABLE pairs (
	data text NOT NULL,
	user_id int NOT NULL,
	item_id int NOT NULL,
	rating real NOT NULL,
	part text						-- where the data come with a split
);

-- ---------------------------------------------------------------------------
-- Data
-- ---------------------------------------------------------------------------

CREATE TEMP TABLE csv (a text, b text, c text, d text);
CREATE TEMP TABLE lines (line text);

-- MovieLens latest-small: half stars, 0.5 to 5
\set file :data '/ml-latest-small/ratings.csv'
-- (Its lines end in two ways.)
\setenv FACTOR_BENCH_FILE :file
\copy csv FROM PROGRAM 'tr -d "\r" <"$FACTOR_BENCH_FILE"' WITH (FORMAT csv, HEADER)
INSERT INTO pairs SELECT 'movielens', a::int, b::int, c::real FROM csv;
TRUNCATE csv;

-- The same on a scale of hundreds, and as play counts
INSERT INTO pairs SELECT 'movielens-x20', user_id, item_id, rating * 20 FROM pairs WHERE data = 'movielens';
INSERT INTO pairs SELECT 'movielens-counts', user_id, item_id, rating * 2 FROM pairs WHERE data = 'movielens';

-- Its sparse side, 20 ratings a user, and its dense one
INSERT INTO pairs
SELECT 'movielens-sparse', user_id, item_id, rating
FROM (SELECT *, row_number() OVER (PARTITION BY user_id
								   ORDER BY md5(user_id || ':' || item_id), item_id) AS place
	  FROM pairs WHERE data = 'movielens') p
WHERE place <= 20;
INSERT INTO pairs
SELECT 'movielens-dense', user_id, item_id, rating
FROM (SELECT *, count(*) OVER (PARTITION BY user_id) AS of_user, count(*) OVER (PARTITION BY item_id) AS of_item
	  FROM pairs WHERE data = 'movielens') p
WHERE of_user >= 100 AND of_item >= 30;

-- Book-Crossing: 1 to 10, and 0 for "seen, not rated"
\set file :data '/book-crossing/ratings.csv'
\set copy '\\copy csv (a, b, c) FROM ' :'file' ' WITH (FORMAT csv, HEADER)'
:copy
INSERT INTO pairs
SELECT 'books-rated', dense_rank() OVER (ORDER BY a), dense_rank() OVER (ORDER BY b), c::real
FROM csv WHERE c::real > 0;
INSERT INTO pairs
SELECT DISTINCT 'books-seen', dense_rank() OVER (ORDER BY a), dense_rank() OVER (ORDER BY b), 1
FROM csv;
TRUNCATE csv;

-- last.fm: a user a line, then items; comes with train, valid and test
\set file :data '/lastfm/train.txt'
\set copy '\\copy lines FROM ' :'file'
:copy
INSERT INTO pairs
SELECT 'lastfm', w[1]::int, i::int, 1, 'train'
FROM (SELECT string_to_array(trim(line), ' ') AS w FROM lines) l, unnest(w[2:]) i;
TRUNCATE lines;
\set file :data '/lastfm/valid.txt'
\set copy '\\copy lines FROM ' :'file'
:copy
INSERT INTO pairs
SELECT 'lastfm', w[1]::int, i::int, 1, 'valid'
FROM (SELECT string_to_array(trim(line), ' ') AS w FROM lines) l, unnest(w[2:]) i;
TRUNCATE lines;

-- last.fm among strangers: eight copies that share no user and no item, the
-- first of them tested. What to recommend is the same, the density an eighth.
INSERT INTO pairs
SELECT 'lastfm-x8', user_id + c * 100000, item_id + c * 100000, rating, part
FROM pairs, generate_series(0, 7) c
WHERE data = 'lastfm' AND (part = 'train' OR c = 0);

-- Debian's packages and their tags, bundled; and the way round, tags as users
\set copy '\\copy csv (a, b) FROM ' :'tags' ' WITH (FORMAT csv, HEADER)'
:copy
INSERT INTO pairs
SELECT 'tags', dense_rank() OVER (ORDER BY a), dense_rank() OVER (ORDER BY b), 1 FROM csv;
INSERT INTO pairs
SELECT 'packages', item_id, user_id, 1 FROM pairs WHERE data = 'tags';
TRUNCATE csv;

-- ---------------------------------------------------------------------------
-- Splits
-- ---------------------------------------------------------------------------

CREATE TABLE training (user_id int, item_id int, rating real);
CREATE TABLE testing (user_id int, item_id int, rating real);

-- A tenth of the pairs for testing; last.fm keeps its own parts.
CREATE FUNCTION split(data text, salt int) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	TRUNCATE training, testing;
	WITH s AS (
		SELECT user_id, item_id, rating,
			   CASE WHEN part IS NOT NULL THEN part = 'valid'
					ELSE ('x' || left(md5(salt || ':' || user_id || ':' || item_id), 7))::bit(28)::int % 10 = 0
			   END AS tested
		FROM pairs WHERE pairs.data = split.data
	), a AS (
		INSERT INTO training SELECT user_id, item_id, rating FROM s WHERE NOT tested ORDER BY 1, 2
	)
	INSERT INTO testing SELECT user_id, item_id, rating FROM s WHERE tested ORDER BY 1, 2;
	ANALYZE training, testing;
END $$;

-- ---------------------------------------------------------------------------
-- Measures of the model "m" on bench.testing
-- ---------------------------------------------------------------------------

-- Users and items that training did not see are predicted from what is known.
CREATE FUNCTION rmse() RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
	RETURN (
		SELECT sqrt(avg((t.rating - greatest(m.rating_min, least(m.rating_max,
					m.mean + coalesce(u.bias, 0) + coalesce(i.bias, 0)
					- coalesce(u.factors OPERATOR(public.<#>) i.factors, 0)))) ^ 2))
		FROM testing t
			CROSS JOIN public.mf_models m
			LEFT JOIN m_users u USING (user_id)
			LEFT JOIN m_items i USING (item_id)
		WHERE m.model = 'm');
END $$;

/*
 * Recall@20 = hits / min(20, pairs tested), NDCG@20 with gains 0 and 1: over
 * all items but the user's own in training, the mean over users with pairs
 * tested. `sample` of more than 1 takes every so manieth user.
 *
 * A user's list is the first 20 + (pairs in training) of all, less those.
 */
CREATE FUNCTION ranking(sample int, OUT recall float8, OUT ndcg float8) LANGUAGE plpgsql AS $$
BEGIN
	WITH tested AS (
		SELECT user_id, count(*) AS n
		FROM testing WHERE user_id % sample = 0 GROUP BY user_id
	), list AS (
		SELECT u.user_id, l.item_id,
			   row_number() OVER (PARTITION BY u.user_id ORDER BY l.distance, l.item_id) AS place
		FROM tested
			JOIN m_users u USING (user_id)
			CROSS JOIN LATERAL (
				SELECT i.item_id, u.factors OPERATOR(public.<#>) i.factors AS distance
				FROM m_items i ORDER BY 2, 1 LIMIT 20 + u.ratings) l
			LEFT JOIN training s ON s.user_id = u.user_id AND s.item_id = l.item_id
		WHERE s.user_id IS NULL
	), hits AS (
		SELECT user_id, count(*) AS n, sum(ln(2) / ln(1 + place)) AS gain
		FROM list JOIN testing USING (user_id, item_id)
		WHERE place <= 20 GROUP BY user_id
	), ideal AS (
		SELECT k, sum(ln(2) / ln(1 + k)) OVER (ORDER BY k) AS gain
		FROM generate_series(1, 20) k
	)
	SELECT avg(coalesce(h.n, 0) / least(20, t.n)::float8), avg(coalesce(h.gain, 0) / i.gain)
	INTO recall, ndcg
	FROM tested t LEFT JOIN hits h USING (user_id) JOIN ideal i ON i.k = least(20, t.n);
END $$;

-- ---------------------------------------------------------------------------
-- Runs and their table
-- ---------------------------------------------------------------------------

CREATE TABLE runs (
	id serial PRIMARY KEY,
	study text NOT NULL,
	data text NOT NULL,
	salt int NOT NULL,
	feedback text NOT NULL,
	options text NOT NULL,			-- as mf_train takes them; {...}: see run()
	rmse float8,
	recall float8,
	ndcg float8,
	seconds float8					-- of training
);

-- Trains on bench.training and measures; for `data` and `salt` see split().
-- In the options {sd} stands for the standard deviation of the ratings, {density}
-- for ratings / (users * items). What all of a study have in common comes apart.
CREATE FUNCTION run(study text, data text, salt int, feedback text, options text, sample int,
					common text DEFAULT '')
	RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	given text := (
		SELECT replace(replace(options, '{sd}', stddev_pop(rating)::text), '{density}',
					   (count(*)::float8 / count(DISTINCT user_id) / count(DISTINCT item_id))::text)
		FROM bench.training);
	spent float8;
	e float8;
	r float8;
	n float8;
BEGIN
	EXECUTE format('SELECT seconds FROM public.mf_train(''bench.training'', rating_col => %s, model => ''bench.m'',
						feedback => %L, verbose => false, options => jsonb_build_object(%s))',
				   CASE WHEN given ~ 'rating_col => NULL' THEN 'NULL' ELSE '''rating''' END, feedback,
				   (SELECT string_agg(format('%L, %s', split_part(o, ' => ', 1), split_part(o, ' => ', 2)), ', ')
					FROM regexp_split_to_table(concat_ws(', ', NULLIF(common, ''), NULLIF(given, '')), ', ') o
					WHERE o <> '' AND o !~ '^rating_col')) INTO spent;
	ANALYZE m_users, m_items;
	IF feedback = 'explicit' THEN
		e := bench.rmse();
	ELSE
		SELECT * INTO r, n FROM bench.ranking(sample);
	END IF;
	INSERT INTO bench.runs (study, data, salt, feedback, options, rmse, recall, ndcg, seconds)
	VALUES (study, data, salt, feedback, options, e, r, n, spent);
END $$;

-- A study as a table: a line for each set of options, a column for each data
-- set, the mean over the splits.
CREATE FUNCTION report(study text) RETURNS SETOF text LANGUAGE sql AS $$
	WITH cells AS (
		SELECT options, data, min(id) AS first,
			   CASE WHEN bool_and(feedback = 'explicit') THEN round(avg(rmse)::numeric, 4)::text
					ELSE round(avg(recall)::numeric, 3) || ' / ' || round(avg(ndcg)::numeric, 3)
			   END AS measure,
			   avg(seconds) AS seconds
		FROM bench.runs WHERE runs.study = report.study GROUP BY options, data
	), columns AS (
		SELECT data, min(first) AS first FROM cells GROUP BY data
	), lines AS (
		SELECT o.options, o.first, o.seconds,
			   (SELECT string_agg(coalesce(c.measure, ''), ' | ' ORDER BY d.first)
				FROM columns d LEFT JOIN cells c ON c.data = d.data AND c.options = o.options) AS measures
		FROM (SELECT options, min(first) AS first, sum(seconds) AS seconds
			  FROM cells GROUP BY options) o
	)
	SELECT '| options | ' || string_agg(data, ' | ' ORDER BY first) || ' | seconds |' FROM columns
	UNION ALL
	SELECT '|---|' || repeat('---|', count(*)::int) || '---|' FROM columns
	UNION ALL
	(SELECT '| ' || CASE WHEN options = '' THEN 'defaults'
						 ELSE '`' || replace(options, ' => ', ' ') || '`' END
			|| ' | ' || measures || ' | ' || round(seconds::numeric, 1) || ' |'
	 FROM lines ORDER BY first);
$$;

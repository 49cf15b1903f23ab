-- Generates a table of ratings with power-law sides and a planted low rank.
--
--   psql -v ratings=10000000 -v users=100000 -v items=20000 -f test/bench/generate.sql
--
-- Variables, with their defaults:
--
--   table      bench_ratings  made anew; columns user_id, item_id integer, rating real
--   ratings    1000000        rows drawn; a pair drawn again is left out, so the
--                             table has some per cent fewer, unless ...
--   repeated   false          ... it stands in the table again
--   users      20000          ids 1 .. users, id 1 drawn most often
--   items      5000           ids 1 .. items, the same
--   user_skew  0.9            a user's share of the ratings is proportional to
--                             (id + users / 100) ^ -user_skew; 0: all alike; not 1
--   item_skew  1.1            the same for items, with items / 200
--   dims       4              length of the planted vectors, 1 to 8
--   noise      0.5            standard deviation of what no model explains
--   sorted     false          rows by user, as they are in many real tables,
--                             or in random order
--   seed       1
--
-- A rating is 3.5 + b_u + b_i + p_u . q_i + noise, cut to 0.5 .. 5 and rounded to
-- halves; p_u . q_i has standard deviation 0.6. Everything is drawn by
-- hashes of ids and row numbers, so the same variables give the same ratings.

\set ON_ERROR_STOP on
\if :{?table} \else \set table bench_ratings \endif
\if :{?ratings} \else \set ratings 1000000 \endif
\if :{?repeated} \else \set repeated false \endif
\if :{?users} \else \set users 20000 \endif
\if :{?items} \else \set items 5000 \endif
\if :{?user_skew} \else \set user_skew 0.9 \endif
\if :{?item_skew} \else \set item_skew 1.1 \endif
\if :{?dims} \else \set dims 4 \endif
\if :{?noise} \else \set noise 0.5 \endif
\if :{?sorted} \else \set sorted false \endif
\if :{?seed} \else \set seed 1 \endif

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL work_mem = '512MB';

-- A number between 0 and 1, neither of them, from two integers.
CREATE FUNCTION pg_temp.uniform(bigint, bigint) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN ((pg_catalog.hashint8extended($1, $2) & ((1::bigint << 52) - 1)) + 0.5) / (1::bigint << 52);

-- A standard normal number from two integers.
CREATE FUNCTION pg_temp.normal(bigint, bigint) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN sqrt(-2 * ln(pg_temp.uniform($1, $2))) * cos(2 * pi() * pg_temp.uniform($1, $2 + 1));

-- Rank 1 .. n of a share proportional to (rank + shift) ^ -skew, from a
-- uniform number: the inverse of the distribution function.
CREATE FUNCTION pg_temp.drawn(x double precision, n double precision,
							  shift double precision, skew double precision) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN least(n, 1 + floor(
		((shift + 1) ^ (1 - skew) + x * ((n + shift + 1) ^ (1 - skew) - (shift + 1) ^ (1 - skew)))
			^ (1 / (1 - skew)) - shift - 1))::integer;

-- The hidden side of users and items, one column per dimension: faster to
-- multiply in SQL than arrays.
SELECT string_agg(format('(%s > %s)::integer * s.scale * pg_temp.normal(id, s.seed + %s) AS v%s', :dims, d, 10 + 2 * d, d), ', ') AS vectors,
	string_agg(format('u.v%s * i.v%s', d, d), ' + ') AS product
	FROM generate_series(0, 7) d \gset

CREATE TEMP TABLE hidden_users ON COMMIT DROP AS
	SELECT id, 0.3 * pg_temp.normal(id, s.seed) AS bias, :vectors
	FROM generate_series(1, :users) id,
		(VALUES (:seed::bigint * 1000, sqrt(0.6 / sqrt(:dims)))) s(seed, scale);
CREATE TEMP TABLE hidden_items ON COMMIT DROP AS
	SELECT id, 0.4 * pg_temp.normal(id, s.seed) AS bias, :vectors
	FROM generate_series(1, :items) id,
		(VALUES (:seed::bigint * 1000 + 100, sqrt(0.6 / sqrt(:dims)))) s(seed, scale);
ANALYZE hidden_users;
ANALYZE hidden_items;

CREATE TEMP TABLE pairs ON COMMIT DROP AS
	SELECT user_id, item_id, min(n) AS n
	FROM (SELECT pg_temp.drawn(pg_temp.uniform(n, :seed::bigint * 1000 + 200), :users, :users / 100.0, :user_skew) AS user_id,
				pg_temp.drawn(pg_temp.uniform(n, :seed::bigint * 1000 + 201), :items, :items / 200.0, :item_skew) AS item_id,
				n
		FROM generate_series(1, :ratings::bigint) n) drawn
	GROUP BY user_id, item_id, CASE WHEN :repeated THEN n END;
ANALYZE pairs;

DROP TABLE IF EXISTS :"table";
CREATE TABLE :"table" AS
	SELECT user_id, item_id, rating
	FROM (SELECT p.n, p.user_id, p.item_id,
			(round(2 * least(5, greatest(0.5,
				3.5 + u.bias + i.bias + :product + :noise * pg_temp.normal(p.n, :seed::bigint * 1000 + 300)))) / 2)::real AS rating
		FROM pairs p
			JOIN hidden_users u ON u.id = p.user_id
			JOIN hidden_items i ON i.id = p.item_id) r
	ORDER BY CASE WHEN :sorted THEN user_id END, n;
COMMIT;

-- Settles hint bits and statistics, so that measurements do not.
VACUUM ANALYZE :"table";
SELECT count(*) AS ratings, count(DISTINCT user_id) AS users, count(DISTINCT item_id) AS items,
	round(avg(rating)::numeric, 2) AS mean, round(stddev(rating)::numeric, 2) AS stddev
	FROM :"table";

-- Two towers with negatives: a vector for each user and each film, trained to put
-- what a user liked before what is drawn at random; and least squares beside it.
--
--   psql -v data=folder/of/ml-latest-small -v pictures=/tmp -f doc/examples/3_two_towers.sql
--
-- data: the folder of ratings.csv; pictures: where the SVG files go; seed: of the
-- training. Everything is made in a schema of its own, towers.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?data} \else \set data . \endif
\if :{?pictures} \else \set pictures . \endif
\if :{?seed} \else \set seed 1 \endif
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS factor;

-- What an earlier run has made goes: the schema, and its models' rows in the catalogue.
DROP SCHEMA IF EXISTS towers CASCADE;
SELECT count(mf_drop(format('%I.%I', schema, model))) AS models FROM mf_models WHERE schema = 'towers' \gset
CREATE SCHEMA towers;
SET search_path = towers, public;

-- Load the ratings. \copy knows no variables, so the way to the file is \cd, and
-- back again; tr drops the carriage returns that some copies have.
CREATE TABLE ratings (user_id int, movie_id int, rating real, at bigint, PRIMARY KEY (user_id, movie_id));
\set here `pwd`
\cd :data
\copy ratings FROM PROGRAM 'tr -d "\\r" < ratings.csv' WITH (FORMAT csv, HEADER)
\cd :here

-- Split by time: of each user with 20 ratings or more the last fifth is the test.
-- Films that training has not seen are dropped. Liked is what has 4 stars or more.
CREATE TABLE split AS
SELECT user_id, movie_id, rating, (rating >= 4)::int AS liked, at,
       row_number() OVER (PARTITION BY user_id ORDER BY at, movie_id) > n - floor(n * 0.2) AS tested
FROM (SELECT *, count(*) OVER (PARTITION BY user_id) AS n FROM ratings) r WHERE n >= 20;
CREATE TABLE training AS SELECT user_id, movie_id, rating, liked, at FROM split WHERE NOT tested;
CREATE TABLE testing AS
SELECT user_id, movie_id, liked FROM split WHERE tested AND movie_id IN (SELECT movie_id FROM training);

-- Options are chosen without the test: by the last fifth of what each user has in
-- the training part, in the same way.
CREATE TABLE split_again AS
SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY at, movie_id) > n - floor(n * 0.2) AS validated
FROM (SELECT *, count(*) OVER (PARTITION BY user_id) AS n FROM training) t;
CREATE TABLE choosing AS SELECT user_id, movie_id, liked FROM split_again WHERE NOT validated;
CREATE TABLE validation AS
SELECT user_id, movie_id, liked FROM split_again WHERE validated AND movie_id IN (SELECT movie_id FROM choosing);
ANALYZE;

-- Two towers: 16 factors, 10 negatives a positive, logistic loss, 30 epochs. The
-- weight of a pair is alpha times "liked", so a film that was seen and not liked
-- weighs nothing, yet stays in the catalogue and out of the user's list.
\set towers '{"loss": "logistic", "factors": 16, "negatives": 10, "iterations": 30, "alpha": 1, "bias": true, "learning_rate": [0.1, 0.2], "regularization": [0.02, 0.03]}'
CALL mf_tune('choosing', 'user_id', 'movie_id', 'liked', grid => :'towers', metric => 'ndcg',
             results => 'towers_trials', verbose => false, options => '{"test": "validation", "relevant": 1}') \gset towers_
SELECT model, users, items, ratings, iterations
FROM mf_train('training', 'user_id', 'movie_id', 'liked', model => 'two_towers', options => :'towers_best'::jsonb || jsonb_build_object('seed', :seed, 'verbose', false)) \gset

-- The same vectors by the pairwise loss (BPR): a liked film is to be before a drawn
-- one, whatever their scores are.
\set pairwise '{"loss": "bpr", "factors": 32, "negatives": 1, "regularization": 0.02, "iterations": 40, "alpha": 1, "learning_rate": 0.2, "unobserved_weight": [0, 0.02, 0.05]}'
CALL mf_tune('choosing', 'user_id', 'movie_id', 'liked', grid => :'pairwise', metric => 'ndcg',
             results => 'pairwise_trials', verbose => false, options => '{"test": "validation", "relevant": 1}') \gset pairwise_
SELECT model, users, items, ratings, iterations
FROM mf_train('training', 'user_id', 'movie_id', 'liked', model => 'pairwise', options => :'pairwise_best'::jsonb || jsonb_build_object('seed', :seed, 'verbose', false)) \gset

-- Least squares over all pairs, liked or not: every pair is a negative, none is
-- drawn. Twenty option sets at random.
\set squares '{"feedback": "implicit", "factors": [16, 32, 64], "regularization": {"min": 0.05, "max": 2, "log": true}, "unobserved_weight": {"min": 0.05, "max": 1, "log": true}}'
CALL mf_tune('choosing', 'user_id', 'movie_id', 'liked', grid => :'squares', metric => 'ndcg',
             trials => 20, results => 'squares_trials', verbose => false, options => '{"test": "validation", "relevant": 1}') \gset squares_
SELECT model, users, items, ratings, iterations
FROM mf_train('training', 'user_id', 'movie_id', 'liked', model => 'least_squares', options => :'squares_best'::jsonb || jsonb_build_object('seed', :seed, 'verbose', false)) \gset

\echo 'Chosen by the validation part'
SELECT * FROM (VALUES ('two towers', :'towers_best', round(:towers_score, 4)), ('pairwise', :'pairwise_best', round(:pairwise_score, 4)),
                      ('least squares', :'squares_best', round(:squares_score, 4))) best (model, options, "NDCG@10");

-- The loss curve of the two towers: on the pairs as they were drawn, and on a tenth
-- of them that is held out here and was trained on above.
SELECT model FROM mf_train('training', 'user_id', 'movie_id', 'liked', model => 'two_towers_watched', options => :'towers_best'::jsonb || jsonb_build_object('seed', :seed, 'holdout', 0.1, 'verbose', false)) \gset
SELECT mf_history_svg('two_towers_watched') \g (format=unaligned tuples_only=on) :pictures/two_towers_loss.svg

-- Everything in one table: the ten best of the films that the user has not rated,
-- all ranked, against what the user then liked. Two baselines: the films that most
-- have seen, and those that most have liked.
CREATE TABLE figures AS
SELECT 'two towers, logistic' AS method, ndcg, hit_rate, coverage, users, relevant_pairs
FROM mf_evaluate('two_towers', 'testing', relevant => 1)
UNION ALL SELECT 'two towers, BPR', ndcg, hit_rate, coverage, users, relevant_pairs
FROM mf_evaluate('pairwise', 'testing', relevant => 1)
UNION ALL SELECT CASE method WHEN 'model' THEN 'least squares' ELSE 'most seen' END, ndcg, hit_rate, coverage, users, relevant_pairs
FROM mf_evaluate('least_squares', 'testing', relevant => 1, baselines => true);

-- Most liked is no model, so its figures are worked out here: they show what
-- mf_evaluate does, in plain SQL.
CREATE TABLE likes AS SELECT movie_id, sum(liked) AS likes FROM training GROUP BY movie_id;
CREATE INDEX ON likes (likes DESC, movie_id);
CREATE INDEX ON training (user_id, movie_id);
CREATE TABLE most_liked AS
SELECT user_id, movie_id, row_number() OVER (PARTITION BY user_id ORDER BY likes DESC, movie_id) AS place
FROM (SELECT DISTINCT user_id FROM testing WHERE liked = 1) u CROSS JOIN LATERAL (
         SELECT movie_id, likes FROM likes
         WHERE NOT EXISTS (SELECT FROM training t WHERE t.user_id = u.user_id AND t.movie_id = likes.movie_id)
         ORDER BY likes DESC, movie_id LIMIT 10) list;
INSERT INTO figures
SELECT 'most liked', avg(gain / (SELECT sum(1 / log(2.0, 1 + k)) FROM generate_series(1, least(10, wanted)) k)),
       avg((gain > 0)::int),
       (SELECT count(DISTINCT movie_id) FROM most_liked) / (SELECT count(DISTINCT movie_id)::float8 FROM training), count(*), sum(wanted)
FROM (SELECT user_id, count(*) AS wanted, coalesce(sum(1 / log(2.0, 1 + place)), 0) AS gain
      FROM testing LEFT JOIN most_liked USING (user_id, movie_id) WHERE liked = 1 GROUP BY user_id) u;
\echo 'Judged by the last fifth of each user'
SELECT method, round(ndcg::numeric, 4) AS "NDCG@10", round(hit_rate::numeric, 4) AS "HitRate@10",
       round(coverage::numeric, 4) AS "Coverage@10", users, relevant_pairs AS liked
FROM figures ORDER BY ndcg DESC;

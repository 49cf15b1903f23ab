-- A rating model as a neural network would have it: 16 factors with biases through
-- a sigmoid, Adam in batches of 64; beside the biases alone, and least squares.
--
--   psql -v data=folder/of/ml-latest-small -v pictures=/tmp -f doc/examples/4_rating_model.sql
--
-- data: the folder of ratings.csv and movies.csv; pictures: where the SVG files go;
-- seed: of the split. Everything is made in a schema of its own, stars.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?data} \else \set data . \endif
\if :{?pictures} \else \set pictures . \endif
\if :{?seed} \else \set seed 1 \endif
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS factor;

-- What an earlier run has made goes: the schema, and its models' rows in the catalogue.
DROP SCHEMA IF EXISTS stars CASCADE;
SELECT count(mf_drop(format('%I.%I', schema, model))) AS models FROM mf_models WHERE schema = 'stars' \gset
CREATE SCHEMA stars;
SET search_path = stars, public;

-- Load the ratings and the titles. \copy knows no variables, so the way to the
-- files is \cd, and back again; tr drops the carriage returns that some copies have.
CREATE TABLE movies (movie_id int PRIMARY KEY, title text, genres text);
CREATE TABLE ratings (user_id int, movie_id int, rating real, at bigint, PRIMARY KEY (user_id, movie_id));
\set here `pwd`
\cd :data
\copy movies FROM PROGRAM 'tr -d "\\r" < movies.csv' WITH (FORMAT csv, HEADER)
\copy ratings FROM PROGRAM 'tr -d "\\r" < ratings.csv' WITH (FORMAT csv, HEADER)
\cd :here

-- Scale the stars, 0.5 to 5, to 0 to 1, and split 90/10 by a hash of the ids and
-- the seed. Options are chosen by a split of the training part alone.
CREATE VIEW scaled AS
SELECT user_id, movie_id, (rating - 0.5) / 4.5 AS rating, mf_holdout(user_id, movie_id, 0.1, 100 + :seed) AS tested FROM ratings;
CREATE TABLE training AS SELECT user_id, movie_id, rating FROM scaled WHERE NOT tested;
CREATE TABLE testing AS SELECT user_id, movie_id, rating FROM scaled WHERE tested;
ALTER TABLE training ADD PRIMARY KEY (user_id, movie_id);
ANALYZE;

-- Biases alone, to have something to be better than: no taste, only how good a film
-- and how generous a user is. So regularized, vectors are zero.
\set alone '{"factors": 1, "regularization": 1e9, "iterations": 50, "bias_regularization": [2, 2.5, 3, 4]}'
CALL mf_tune('training', 'user_id', 'movie_id', grid => :'alone', results => 'alone_trials', verbose => false) \gset alone_
SELECT model FROM mf_train('training', 'user_id', 'movie_id',
                                model => 'biases_alone', options => :'alone_best'::jsonb || '{"verbose": false}') \gset

-- The network: at most 10 epochs, stopped after 2 without a better loss on a
-- twentieth that is held out, and the best epoch kept.
\set network '{"factors": 16, "optimizer": "adam", "batch_size": 64, "iterations": 10, "holdout": 0.05, "patience": 2, "learning_rate": [0.005, 0.01], "rating_range": ["[0,1]", "[-0.1,1.1]"]}'
CALL mf_tune('training', 'user_id', 'movie_id', grid => :'network', results => 'network_trials', verbose => false) \gset network_
SELECT model FROM mf_train('training', 'user_id', 'movie_id',
                                model => 'network', options => :'network_best'::jsonb || '{"verbose": false}') \gset

-- Alternating least squares, tuned the same way.
\set squares '{"factors": 64, "regularization": [0.25, 0.3, 0.35], "bias_regularization": [2, 3]}'
CALL mf_tune('training', 'user_id', 'movie_id', grid => :'squares', results => 'squares_trials', verbose => false) \gset squares_
SELECT model FROM mf_train('training', 'user_id', 'movie_id',
                                model => 'films', options => :'squares_best'::jsonb || '{"verbose": false}') \gset

\echo 'Chosen within the training part'
SELECT * FROM (VALUES ('biases alone', :'alone_best', round(:alone_score, 4)), ('network', :'network_best', round(:network_score, 4)),
                      ('least squares', :'squares_best', round(:squares_score, 4))) best (model, options, "RMSE");

-- The loss of the network, epoch by epoch.
\echo 'The network''s epochs'
SELECT iteration AS epoch, round(error::numeric, 4) AS loss, round(held_out_loss::numeric, 4) AS held_out
FROM mf_history WHERE schema = 'stars' AND model = 'network' ORDER BY iteration;
SELECT mf_history_svg('network') \g (format=unaligned tuples_only=on) :pictures/stars_network_loss.svg
SELECT mf_history_svg('films') \g (format=unaligned tuples_only=on) :pictures/stars_least_squares_loss.svg

-- The tenth that no choice has seen: errors from 0 to 1, and in stars. What was
-- ranked is judged by ratings of 4 stars and more.
CREATE TABLE figures AS
SELECT model, e.*
FROM (VALUES ('biases_alone'), ('network'), ('films')) models (model),
     mf_evaluate(model, 'testing', relevant => (4 - 0.5) / 4.5) e;
\echo 'Judged by the tenth held out'
SELECT model, round(rmse::numeric, 4) AS "RMSE", round(rmse::numeric * 4.5, 4) AS "in stars", round(mae::numeric * 4.5, 4) AS "MAE in stars",
       pairs, unknown_pairs AS unknown
FROM figures ORDER BY rmse DESC;

-- Ten films for a user, in stars again.
\echo 'Ten for user 42'
SELECT place, title, round((0.5 + 4.5 * score)::numeric, 2) AS stars, i.ratings
FROM mf_topk(42, 10, 'films') WITH ORDINALITY t (movie_id, score, place) JOIN movies USING (movie_id) JOIN films_items i USING (movie_id)
ORDER BY place;

-- Ten for everyone: how unlike each other the films of a list are (1 - cosine), how
-- unexpected (bits), and how much of the catalogue is in any list.
\echo 'Everyone''s ten'
SELECT model, round(diversity::numeric, 3) AS diversity, round(novelty::numeric, 3) AS novelty,
       round(popularity::numeric, 3) AS popularity, round(coverage::numeric, 3) AS coverage, users
FROM figures ORDER BY rmse DESC;
CREATE TABLE everyone AS SELECT * FROM mf_topk_all(10, 'films');
SELECT count(DISTINCT user_id) AS users, count(DISTINCT item) AS films, count(*) AS recommendations FROM everyone;

-- The same two figures in plain SQL, from the lists of the nightly table.
\echo '... in plain SQL'
WITH known AS (
    SELECT movie_id, count(*) / (SELECT count(DISTINCT user_id)::float8 FROM training) AS share FROM training GROUP BY movie_id
), pairs AS (
    SELECT a.user_id, avg(x.factors <=> y.factors) AS diversity
    FROM everyone a JOIN everyone b ON b.user_id = a.user_id AND b.item > a.item
         JOIN films_items x ON x.movie_id = a.item JOIN films_items y ON y.movie_id = b.item
    GROUP BY a.user_id
), surprise AS (
    SELECT user_id, avg(-log(2.0, share::numeric)) AS novelty FROM everyone JOIN known ON movie_id = item GROUP BY user_id
)
SELECT round(avg(diversity)::numeric, 3) AS diversity, round(avg(novelty), 3) AS novelty, count(*) AS users
FROM pairs JOIN surprise USING (user_id)
WHERE user_id IN (SELECT user_id FROM testing WHERE rating >= (4 - 0.5) / 4.5);

-- The map of the thirty best rated films that have fifty ratings or more.
CREATE TABLE thirty AS
SELECT movie_id, title, round((0.5 + 4.5 * rating_sum / ratings)::numeric, 2) AS stars, ratings
FROM films_items JOIN movies USING (movie_id) WHERE ratings >= 50
ORDER BY rating_sum / ratings DESC, movie_id LIMIT 30;
SELECT mf_map_svg('films', labels => 'thirty', only_labelled => true)
\g (format=unaligned tuples_only=on) :pictures/stars_map.svg
\echo 'The best rated, on the map'
SELECT title, stars, thirty.ratings, round(x::numeric, 2) AS x, round(y::numeric, 2) AS y
FROM thirty JOIN mf_map('films') ON id = movie_id ORDER BY stars DESC, movie_id LIMIT 10;

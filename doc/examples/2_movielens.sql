-- MovieLens: five variants of one model, and what its vectors are good for.
--
--   psql -v data=folder/of/ml-latest-small -v pictures=/tmp -f doc/examples/2_movielens.sql
--
-- data: the folder of ratings.csv and movies.csv, from
-- https://grouplens.org/datasets/movielens/latest/; pictures: where the SVG files
-- go; seed: of the split. Everything is made in a schema of its own, movielens.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?data} \else \set data . \endif
\if :{?pictures} \else \set pictures . \endif
\if :{?seed} \else \set seed 1 \endif
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS factor;

-- What an earlier run has made goes: the schema, and its models' rows in the catalogue.
DROP SCHEMA IF EXISTS movielens CASCADE;
SELECT count(mf_drop(format('%I.%I', schema, model))) AS models FROM mf_models WHERE schema = 'movielens' \gset
CREATE SCHEMA movielens;
SET search_path = movielens, public;

-- Load the ratings and the titles. \copy knows no variables, so the way to the
-- files is \cd, and back again; tr drops the carriage returns that some copies have.
CREATE TABLE movies (movie_id int PRIMARY KEY, title text, genres text);
CREATE TABLE ratings (user_id int, movie_id int, rating real, at bigint, PRIMARY KEY (user_id, movie_id));
\set here `pwd`
\cd :data
\copy movies FROM PROGRAM 'tr -d "\\r" < movies.csv' WITH (FORMAT csv, HEADER)
\copy ratings FROM PROGRAM 'tr -d "\\r" < ratings.csv' WITH (FORMAT csv, HEADER)
\cd :here
ANALYZE;

-- A tenth, by a hash of the ids and the seed, is for the judgement, and takes part in
-- nothing before it.
CREATE VIEW training AS SELECT * FROM ratings WHERE NOT mf_holdout(user_id, movie_id, 0.1, 100 + :seed);
CREATE VIEW testing AS SELECT * FROM ratings WHERE mf_holdout(user_id, movie_id, 0.1, 100 + :seed);

-- The first four variants have these in common: 50 factors, Adam in batches of 64,
-- one cycle of the learning rate, and a fifth of the rest held out as validation,
-- which the best epoch is chosen by.
\set common '{"solver": "sgd", "optimizer": "adam", "factors": 50, "batch_size": 64, "iterations": 10, "learning_rate": 0.005, "schedule": "one_cycle", "regularization": 0, "bias_regularization": 0, "holdout": 0.2, "verbose": false}'

-- 1. The dot product alone: no biases, no mean. It has first to learn that ratings
-- are about 3.5.
SELECT mf_train('training', 'user_id', 'movie_id', model => 'dot_product', options => :'common'::jsonb - 'bias_regularization' || '{"bias": false, "center": false}') IS NOT NULL AS trained \gset

-- 2. The same through a sigmoid, scaled to a range a little beyond that of the
-- ratings, since a sigmoid never reaches its ends.
SELECT mf_train('training', 'user_id', 'movie_id', model => 'sigmoid', options => :'common'::jsonb - 'bias_regularization' || '{"bias": false, "rating_range": "[0,5.5]"}') IS NOT NULL AS trained \gset

-- 3. And with biases: some people are generous, and some films are good for
-- everyone.
SELECT mf_train('training', 'user_id', 'movie_id', model => 'biases', options => :'common'::jsonb || '{"rating_range": "[0,5.5]"}') IS NOT NULL AS trained \gset

-- 4. And with weight decay, which draws every vector towards zero in each step, so
-- that it learns less by heart. How strong is tried on the training part.
CALL mf_tune('training', 'user_id', 'movie_id', grid => :'common'::jsonb - 'verbose' || '{"rating_range": "[0,5.5]", "weight_decay": [0.5, 1, 2]}', results => 'decays', verbose => false) \gset
SELECT mf_train('training', 'user_id', 'movie_id', model => 'weight_decay', options => :'best'::jsonb || '{"verbose": false}') IS NOT NULL AS trained \gset

-- 5. The defaults: alternating least squares, which needs neither a learning rate
-- nor a schedule.
SELECT mf_train('training', 'user_id', 'movie_id', model => 'least_squares', options => '{"factors": 50, "holdout": 0.2, "verbose": false}') IS NOT NULL AS trained \gset

-- How they compare, in stars: the RMSE of the best epoch on the pairs trained on, on
-- the validation part, the same for all, and on the tenth that has chosen nothing; and
-- whether the last epoch was worse. Below them the biases alone, on the same tenth.
CREATE TABLE figures AS
SELECT model, e.*
FROM unnest('{dot_product,sigmoid,biases,weight_decay}'::text[]) model, mf_evaluate(model, 'testing') e
UNION ALL
SELECT CASE method WHEN 'model' THEN 'least_squares' ELSE 'biases alone' END, e.*
FROM mf_evaluate('least_squares', 'testing', baselines => true) e WHERE method <> 'popular';
\echo 'Five variants'
SELECT model, solver, best_iteration AS best_epoch, iterations AS epochs, round(h.error::numeric, 4) AS train,
       round(m.held_out_loss::numeric, 4) AS validation, round(last.held_out_loss::numeric, 4) AS at_the_end,
       round(f.rmse::numeric, 4) AS test
FROM figures f
     LEFT JOIN (mf_models m JOIN mf_history h USING (schema, model) JOIN mf_history last USING (schema, model)) USING (model)
WHERE m.model IS NULL OR (schema = 'movielens' AND h.iteration = m.best_iteration AND last.iteration = m.iterations)
ORDER BY m.trained_at, validation DESC;

-- The course of each training, train / validation: a row an epoch. What learns by
-- heart has a training loss that falls on and a validation loss that does not.
\echo 'Their history, train / validation'
SELECT iteration AS epoch,
       max(loss) FILTER (WHERE model = 'dot_product') AS "1 dot product",
       max(loss) FILTER (WHERE model = 'sigmoid') AS "2 sigmoid",
       max(loss) FILTER (WHERE model = 'biases') AS "3 biases",
       max(loss) FILTER (WHERE model = 'weight_decay') AS "4 weight decay",
       max(loss) FILTER (WHERE model = 'least_squares') AS "5 least squares"
FROM (SELECT model, iteration, round(error::numeric, 3) || ' / ' || round(held_out_loss::numeric, 3) AS loss
      FROM mf_history WHERE schema = 'movielens') h
GROUP BY iteration ORDER BY iteration;

-- The same as pictures, one for each variant.
SELECT mf_history_svg('dot_product') \g (format=unaligned tuples_only=on) :pictures/movielens_1_dot_product.svg
SELECT mf_history_svg('sigmoid') \g (format=unaligned tuples_only=on) :pictures/movielens_2_sigmoid.svg
SELECT mf_history_svg('biases') \g (format=unaligned tuples_only=on) :pictures/movielens_3_biases.svg
SELECT mf_history_svg('weight_decay') \g (format=unaligned tuples_only=on) :pictures/movielens_4_weight_decay.svg
SELECT mf_history_svg('least_squares') \g (format=unaligned tuples_only=on) :pictures/movielens_5_least_squares.svg

-- What has been judged best is trained once more, on all ratings, to be used; and the
-- map of the films with the most ratings.
SELECT mf_train('ratings', 'user_id', 'movie_id', model => 'films', options => '{"factors": 50, "verbose": false}') IS NOT NULL AS trained \gset
SELECT mf_map_svg('films', labels => 'movies', n => 150) \g (format=unaligned tuples_only=on) :pictures/movielens_map.svg

-- The best and the worst films by their bias: better or worse than the taste of
-- those who saw them explains. A bias needs many ratings to be large.
\echo 'Best and worst by bias'
SELECT best.title AS best, round(best.bias::numeric, 2) AS bias, worst.title AS worst, round(worst.bias::numeric, 2) AS bias
FROM (SELECT row_number() OVER (ORDER BY bias DESC, movie_id) AS n, title, bias FROM films_items JOIN movies USING (movie_id)) best
JOIN (SELECT row_number() OVER (ORDER BY bias, movie_id) AS n, title, bias FROM films_items JOIN movies USING (movie_id)) worst USING (n)
WHERE n <= 10 ORDER BY n;

-- Films like a film: the nearest by the cosine of their vectors. Few ratings make
-- a short vector of uncertain direction, so ask for some.
\echo 'Like Star Wars'
SELECT title, round((1 - (i.factors <=> film.factors))::numeric, 3) AS cosine, i.ratings
FROM films_items i JOIN movies USING (movie_id),
     (SELECT movie_id, factors FROM films_items JOIN movies USING (movie_id)
      WHERE title = 'Star Wars: Episode IV - A New Hope (1977)') film
WHERE i.movie_id <> film.movie_id AND i.ratings >= 20
ORDER BY i.factors <=> film.factors LIMIT 10;

-- Films near a user: whose vectors point where the user's does, whatever their
-- bias. It says what the taste is, rather than what is good.
\echo 'Near user 1'
SELECT title, round((1 - (i.factors <=> u.factors))::numeric, 3) AS cosine, i.ratings, r.rating AS gave
FROM films_users u, films_items i JOIN movies USING (movie_id)
     LEFT JOIN ratings r ON r.user_id = 1 AND r.movie_id = i.movie_id
WHERE u.user_id = 1 AND i.ratings >= 20
ORDER BY i.factors <=> u.factors LIMIT 10;

-- The ten best that the user has not rated: mean, both biases, and the product. What
-- is shown stays within the range of the ratings; the order, which a join would lose, is
-- kept as a place.
\echo 'The ten best unseen for user 1'
SELECT place, title, round(score::numeric, 2) AS stars, i.ratings
FROM mf_topk(1, 10, 'films') WITH ORDINALITY t (movie_id, score, place) JOIN movies USING (movie_id) JOIN films_items i USING (movie_id)
ORDER BY place;

-- Nearest neighbours through the index, which training made: the plan says so. For a
-- hundred films the ten nearest are as near as those that an exact search finds.
\echo 'Through the index, and by an exact search'
ANALYZE films_items;
EXPLAIN (COSTS OFF)
SELECT movie_id FROM films_items ORDER BY factors <=> (SELECT factors FROM films_items WHERE movie_id = 260) LIMIT 10;

CREATE VIEW nearest AS
SELECT f.movie_id, row_number() OVER (PARTITION BY f.movie_id ORDER BY n.distance) AS place, n.distance
FROM (SELECT movie_id, factors FROM films_items ORDER BY ratings DESC, movie_id LIMIT 100) f,
     LATERAL (SELECT i.factors <=> f.factors AS distance FROM films_items i WHERE i.movie_id <> f.movie_id
              ORDER BY i.factors <=> f.factors LIMIT 10) n;
CREATE TABLE by_index AS SELECT * FROM nearest;
SET enable_indexscan = off;
CREATE TABLE by_search AS SELECT * FROM nearest;
RESET enable_indexscan;
SELECT count(DISTINCT movie_id) AS films, count(*) AS neighbours, count(*) FILTER (WHERE i.distance = s.distance) AS as_near
FROM by_index i JOIN by_search s USING (movie_id, place);

-- The best epoch: squared loss, a weight of the pairs that were not observed, and L2;
-- full batches by AdamW for up to 1,000 epochs, of which the best is kept.
--
--   psql -v data=folder/of/ml-latest-small -v books=folder/of/book-crossing \
--        -v pictures=/tmp -f doc/examples/5_best_epoch.sql
--
-- data: the folder of ratings.csv and movies.csv; books: that of another ratings.csv
-- (user_id,isbn,rating), left out if not given; pictures: where the SVG files go;
-- seed: of the split. Everything is made in a schema of its own, best_epoch.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?data} \else \set data . \endif
\if :{?pictures} \else \set pictures . \endif
\if :{?seed} \else \set seed 1 \endif
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS factor;

-- What an earlier run has made goes: the schema, and its models' rows in the catalogue.
DROP SCHEMA IF EXISTS best_epoch CASCADE;
SELECT count(mf_drop(format('%I.%I', schema, model))) AS models FROM mf_models WHERE schema = 'best_epoch' \gset
CREATE SCHEMA best_epoch;
SET search_path = best_epoch, public;

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

-- A tenth, by a hash of the ids and the seed, is for the judgement at the end. It
-- chooses neither options nor epochs, which a tenth of the rest does.
CREATE VIEW training AS SELECT user_id, movie_id, rating FROM ratings WHERE NOT mf_holdout(user_id, movie_id, 0.1, 100 + :seed);
CREATE VIEW testing AS SELECT user_id, movie_id, rating FROM ratings WHERE mf_holdout(user_id, movie_id, 0.1, 100 + :seed);

-- One set of options for all trainings here. In a full batch the gradient is exact,
-- that of unobserved_weight too, which is over all pairs of a user and a film, rated or not.
\set common '{"solver": "sgd", "optimizer": "adam", "batch_size": 0, "iterations": 1000, "factors": 30, "learning_rate": 0.05, "weight_decay": 0.01, "holdout": 0.1, "patience": 100, "reg_exponent": 0.5}'

-- How much a pair that was not rated is to weigh is tried within the training part.
CALL mf_tune('training', 'user_id', 'movie_id', grid => :'common'::jsonb || '{"unobserved_weight": [0.004, 0.008], "regularization": 1.2, "bias_regularization": 3}', results => 'films_trials', verbose => false) \gset
SELECT :'best'::jsonb - array(SELECT jsonb_object_keys(:'common'::jsonb)) AS best, round(:score, 4) AS "RMSE";

-- With unobserved pairs and L2, with L2 alone, and with neither: how long each learns what
-- holds for the pairs held out, too, before it learns the rest by heart.
SELECT model FROM mf_train('training', 'user_id', 'movie_id', model => 'films', options => :'best'::jsonb || '{"verbose": false}') \gset
SELECT model FROM mf_train('training', 'user_id', 'movie_id', model => 'observed_alone', options => :'best'::jsonb - 'unobserved_weight' || '{"verbose": false}') \gset
SELECT model FROM mf_train('training', 'user_id', 'movie_id', model => 'by_heart', options => :'common'::jsonb || '{"regularization": 0, "bias_regularization": 0, "weight_decay": 0, "verbose": false}') \gset

-- The best epoch is what is stored: the loss of the stored vectors on the pairs held
-- out is the least of the history, and not that of the last epoch.
\echo 'The best epoch'
SELECT model, iterations AS epochs, best_iteration AS best, round(h.error::numeric, 4) AS train,
       round(m.held_out_loss::numeric, 4) AS held_out, round(last.held_out_loss::numeric, 4) AS at_the_end
FROM mf_models m JOIN mf_history h USING (schema, model) JOIN mf_history last USING (schema, model)
WHERE schema = 'best_epoch' AND h.iteration = m.best_iteration AND last.iteration = m.iterations
ORDER BY m.held_out_loss;

-- The same pairs again, outside of training: mf_holdout with seed -1 says which
-- they were, and mf_evaluate finds the same error.
CREATE VIEW trained_on AS SELECT user_id, movie_id, rating FROM training WHERE NOT mf_holdout(user_id, movie_id, 0.1, -1);
CREATE VIEW held_out AS
SELECT user_id, movie_id, rating FROM training
WHERE mf_holdout(user_id, movie_id, 0.1, -1) AND movie_id IN (SELECT movie_id FROM trained_on);
CREATE TABLE again AS SELECT rmse, pairs FROM mf_evaluate('films', 'held_out', train => 'trained_on');
\echo 'Evaluated again'
SELECT round(again.rmse::numeric, 4) AS evaluated, pairs, round(m.held_out_loss::numeric, 4) AS held_out, m.held_out AS pairs
FROM again, mf_models m WHERE schema = 'best_epoch' AND model = 'films';

-- The tenth that has chosen nothing, beside the biases alone: those are fitted to all
-- of the training part, what chose the epoch included.
CREATE TABLE figures AS
SELECT 'films' AS data, model, e.*
FROM unnest('{films,observed_alone,by_heart}'::text[]) model, mf_evaluate(model, 'testing', baselines => true) e
WHERE method <> 'popular' AND (method = 'model' OR model = 'films');
\echo 'Judged by the tenth that has chosen nothing'
SELECT CASE method WHEN 'model' THEN model ELSE 'biases alone' END AS model, round(rmse::numeric, 4) AS "RMSE", pairs FROM figures ORDER BY rmse;

-- The loss curves: where the two lines part, learning by heart begins.
SELECT mf_history_svg('films') \g (format=unaligned tuples_only=on) :pictures/best_epoch_films.svg
SELECT mf_history_svg('by_heart') \g (format=unaligned tuples_only=on) :pictures/best_epoch_by_heart.svg

-- What unobserved_weight does: the products of all pairs, rated or not, are smaller. Their
-- squares add up to the trace of the product of both sides' Gramians.
\echo 'Root mean square of the products, over all pairs'
SELECT model, round(sqrt(sum(u * i) / max(users * items))::numeric, 4) AS product
FROM (SELECT 'films' AS model, g.* FROM unnest((SELECT mf_gramian(factors) FROM films_users),
                                               (SELECT mf_gramian(factors) FROM films_items)) g (u, i)
      UNION ALL
      SELECT 'observed_alone', g.* FROM unnest((SELECT mf_gramian(factors) FROM observed_alone_users),
                                                (SELECT mf_gramian(factors) FROM observed_alone_items)) g (u, i)) g
     JOIN mf_models USING (model)
WHERE schema = 'best_epoch' GROUP BY model ORDER BY model;

-- Cosine neighbours of a film, by its title; of films with enough ratings to have a
-- direction of their own.
\echo 'Like Toy Story'
SELECT title, round(similarity::numeric, 3) AS cosine, ratings
FROM mf_similar_items((SELECT movie_id FROM movies WHERE title = 'Toy Story (1995)'), 1000, 'films') s
     JOIN films_items ON movie_id = item JOIN movies USING (movie_id)
WHERE ratings >= 50 ORDER BY similarity DESC LIMIT 10;

-- Book-Crossing: ids are texts, and a rating of 0 means that somebody has had the
-- book and not rated it.
\if :{?books}
CREATE TABLE books (user_id text, isbn text, rating int, PRIMARY KEY (user_id, isbn));
\cd :books
\copy books FROM PROGRAM 'tr -d "\\r" < ratings.csv' WITH (FORMAT csv, HEADER)
\cd :here
ANALYZE books;

CREATE VIEW books_training AS SELECT * FROM books WHERE NOT mf_holdout(user_id, isbn, 0.1, 100 + :seed);
CREATE VIEW books_testing AS SELECT * FROM books WHERE mf_holdout(user_id, isbn, 0.1, 100 + :seed);

-- The zeros as the ratings they are not, and without them, by one set of options. Few
-- books have been read by two.
CALL mf_tune('books_training', 'user_id', 'isbn', grid => :'common'::jsonb || '{"unobserved_weight": 0.00015, "regularization": [2.5, 5], "bias_regularization": 2}', results => 'books_trials', verbose => false) \gset
SELECT model FROM mf_train('books_training', 'user_id', 'isbn', model => 'zeros', options => :'best'::jsonb || '{"verbose": false}') \gset
SELECT model FROM mf_train('books_training', 'user_id', 'isbn', model => 'rated', options => :'best'::jsonb || '{"min_rating": 1, "verbose": false}') \gset
\echo 'Book-Crossing, with and without the zeros'
SELECT model, users, items, ratings, held_out, iterations AS epochs, best_iteration AS best,
       round(mean::numeric, 3) AS mean, round(held_out_loss::numeric, 4) AS held_out
FROM mf_models WHERE schema = 'best_epoch' AND model IN ('zeros', 'rated') ORDER BY model;
INSERT INTO figures
SELECT 'books', 'zeros', e.* FROM mf_evaluate('zeros', 'books_testing', baselines => true) e WHERE method <> 'popular';
SELECT CASE method WHEN 'model' THEN model ELSE 'biases alone' END AS model, round(rmse::numeric, 4) AS "RMSE", pairs, unknown_pairs
FROM figures WHERE data = 'books' ORDER BY rmse;
SELECT mf_history_svg('zeros') \g (format=unaligned tuples_only=on) :pictures/best_epoch_books.svg

-- Books like a book, and the ten best for a reader: the ids come as texts.
SELECT isbn AS book FROM zeros_items ORDER BY ratings DESC, isbn LIMIT 1 \gset
\echo 'Like book' :book
SELECT item AS isbn, round(similarity::numeric, 3) AS cosine FROM mf_similar_items(:'book', 5, 'zeros') ORDER BY similarity DESC, item;
SELECT user_id AS reader FROM rated_users ORDER BY ratings DESC, user_id LIMIT 1 \gset
\echo 'For reader' :reader
SELECT item AS isbn, round(score::numeric, 2) AS score FROM mf_topk(:'reader', 10, 'rated');
\endif

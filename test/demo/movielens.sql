-- The tour of `make demo RATINGS=...`: films for people who rated films. Needs
-- the tables ratings (userid, movieid, rating) and movies (movieid, title).
\set QUIET on
\pset footer off
\pset border 1
\pset linestyle ascii
\set ECHO queries

\echo
\echo '== The data: who rated which film how'
SELECT count(*) AS ratings, count(DISTINCT userid) AS users, count(DISTINCT movieid) AS films FROM ratings;

\echo '== Set up'
CREATE EXTENSION factor;
CREATE INDEX ON ratings (userid);

\echo
\echo '== Train'
SELECT model, users, items, ratings, iterations, round(error::numeric, 3) AS error, round(seconds::numeric, 1) AS seconds
  FROM mf_train('ratings', 'userid', 'movieid', 'rating', model => 'films', verbose => false);

-- Someone with a good many ratings, and the film that most people rated.
\set ECHO none
SELECT userid AS someone FROM ratings GROUP BY userid ORDER BY abs(count(*) - 200), userid LIMIT 1 \gset
SELECT movieid AS film FROM ratings JOIN movies USING (movieid) GROUP BY movieid ORDER BY count(*) DESC, movieid LIMIT 1 \gset
SELECT title AS film_title FROM movies WHERE movieid = :film \gset
\set ECHO queries

\echo '== Favourites of user' :someone
SELECT m.title, r.rating FROM ratings r JOIN movies m USING (movieid)
 WHERE r.userid = :someone ORDER BY r.rating DESC, m.title LIMIT 10;

\echo '== Recommend: films that user' :someone 'has not rated, best first'
SELECT m.title, round(t.score::numeric, 2) AS score
  FROM mf_topk(:someone, 10) t JOIN movies m ON m.movieid = t.item ORDER BY t.score DESC;

\echo '== Similar items: films like' :film_title
SELECT m.title, round(s.similarity::numeric, 3) AS similarity
  FROM mf_similar_items(:film, 10) s JOIN movies m ON m.movieid = s.item ORDER BY s.similarity DESC;

\echo '== Predict: what would user' :someone 'give' :film_title '?'
SELECT round(mf_predict(:someone, :film)::numeric, 2) AS predicted,
       (SELECT rating FROM ratings WHERE userid = :someone AND movieid = :film) AS given;

\echo '== The model is two tables, so that everything else is plain SQL: the best-liked films'
SELECT m.title, i.ratings, round(i.bias::numeric, 2) AS bias
  FROM films_items i JOIN movies m USING (movieid) ORDER BY i.bias DESC LIMIT 5;

\set ECHO none
\echo '== Three commands to try,' :where
\echo '  SELECT m.title, t.score FROM mf_topk(':someone', 10, diversity => 0.5) t JOIN movies m ON m.movieid = t.item ORDER BY t.score DESC;'
\echo '  SELECT m.title, e.rating, e.contribution FROM mf_explain(':someone', ':film', 5) e JOIN movies m ON m.movieid = e.item ORDER BY e.contribution DESC;'
\echo '  SELECT m.title, t.score FROM mf_topk_for(ARRAY[':film'], k => 10) t JOIN movies m ON m.movieid = t.item ORDER BY t.score DESC;'

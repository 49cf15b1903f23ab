-- The tour of `make demo`: which tags do Debian's packages lack, and which
-- packages and tags resemble each other? Needs the table tags (package, tag).
\set QUIET on
\pset footer off
\pset border 1
\pset linestyle ascii
\set ECHO queries

\echo
\echo '== The data: which package has which tags'
SELECT count(*) AS pairs, count(DISTINCT package) AS packages, count(DISTINCT tag) AS tags FROM tags;

\echo '== Set up'
CREATE EXTENSION factor;
CREATE INDEX ON tags (package);

\echo
\echo '== Train: a package is a user, a tag is an item; a pair that is there counts 1'
SELECT model, users, items, ratings, iterations, round(seconds::numeric, 1) AS seconds
  FROM mf_train('tags', 'package', 'tag', NULL, model => 'debian', feedback => 'implicit', verbose => false);

\echo '== Recommend: the tags that a package has, and those it might get as well'
SELECT p AS package,
       (SELECT string_agg(tag, E'\n' ORDER BY tag) FROM tags WHERE package = p) AS has,
       (SELECT string_agg(format('%s (%s)', item, round(score::numeric, 2)), E'\n' ORDER BY score DESC, item) FROM mf_topk(p, 5)) AS recommended
  FROM unnest(ARRAY['audacity', 'wireshark', 'vim']) AS p;

\echo '== Similar users: packages that are tagged like one another'
SELECT user_id AS like_gimp, round(similarity::numeric, 3) AS similarity FROM mf_similar_users('gimp', 8);

\echo '== Similar items: tags that go with the same packages'
SELECT item AS like_image, round(similarity::numeric, 3) AS similarity FROM mf_similar_items('works-with::image', 8);

\echo '== Predict: how well does a tag suit a package? About 1 is well, about 0 is not'
SELECT round(mf_predict('gimp', 'works-with::image:raster')::numeric, 2) AS raster_images,
       round(mf_predict('gimp', 'works-with::audio')::numeric, 2) AS audio;

\echo '== The model is two tables, so that everything else is plain SQL'
SELECT tag, ratings AS packages, factors[1:3] AS first_factors FROM debian_items ORDER BY ratings DESC LIMIT 3;

\set ECHO none
\echo '== Three commands to try,' :where
\echo '  SELECT * FROM mf_topk(''gimp'', 10) ORDER BY score DESC;'
\echo '  SELECT * FROM mf_explain(''wireshark'', ''interface::commandline'', 5) ORDER BY contribution DESC;'
\echo '  SELECT * FROM mf_topk_for(ARRAY[''game::puzzle'', ''uitoolkit::gtk''], k => 5) ORDER BY score DESC;'

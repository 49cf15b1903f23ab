-- Works and subjects: which subjects has a work, and which subjects are alike?
--
-- The works are Debian's packages, the subjects their tags: pairs without a
-- rating, of which there are only the ones that somebody thought of.
--
--   psql -v data=test/data -v pictures=/tmp -f doc/examples/1_works_and_subjects.sql
--
-- data: the folder of debian-tags.csv; pictures: where the SVG files go; seed: of
-- the split. Everything is made in a schema of its own, works.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?data} \else \set data test/data \endif
\if :{?pictures} \else \set pictures . \endif
\if :{?seed} \else \set seed 1 \endif
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS factor;

-- What an earlier run has made goes: the schema, and its models' rows in the catalogue.
DROP SCHEMA IF EXISTS works CASCADE;
SELECT count(mf_drop(format('%I.%I', schema, model))) AS models FROM mf_models WHERE schema = 'works' \gset
CREATE SCHEMA works;
SET search_path = works, public;

-- Load the pairs. \copy knows no variables, so the way to the data is \cd, and
-- back again.
CREATE TABLE works_subjects (work text, subject text, PRIMARY KEY (work, subject));
\set here `pwd`
\cd :data
\copy works_subjects FROM 'debian-tags.csv' WITH (FORMAT csv, HEADER)
\cd :here

-- Hold a tenth out for the judgement at the end, by a hash of the pair and the seed:
-- no training and no choice of options sees it.
CREATE VIEW training AS SELECT * FROM works_subjects WHERE NOT mf_holdout(work, subject, 0.1, 100 + :seed);
CREATE VIEW testing AS SELECT * FROM works_subjects WHERE mf_holdout(work, subject, 0.1, 100 + :seed);

-- Choose the learning rate and the regularization by another tenth, which
-- mf_tune takes out of the training part. A trial is a row of training_trials.
CALL mf_tune('training', 'work', 'subject', NULL, grid => '{"loss": "logistic", "factors": 10, "negatives": 10, "optimizer": "adam", "batch_size": 256,
                           "iterations": 20, "learning_rate": [0.02, 0.04], "regularization": [0.03, 0.06],
                           "reg_exponent": 0.5, "init_std": 0.02}', metric => 'ndcg', verbose => false) \gset
SELECT :'best' AS best, round(:score, 4) AS "NDCG@10";

-- Train with the best: embeddings of 10, each pair against 10 that are drawn from
-- those not observed, logistic loss, Adam.
SELECT model, users AS works, items AS subjects, ratings AS pairs, iterations
FROM mf_train('training', 'work', 'subject', NULL, model => 'works', options => :'best'::jsonb || '{"verbose": false}');

-- The loss, on the pairs trained on and on a tenth of them that is held out here and
-- was trained on above; as a table, and as a picture.
SELECT model FROM mf_train('training', 'work', 'subject', NULL, model => 'works_watched', options => :'best'::jsonb || '{"holdout": 0.1, "verbose": false}') \gset
SELECT iteration, round(error::numeric, 4) AS loss, round(held_out_loss::numeric, 4) AS held_out
FROM mf_history WHERE schema = 'works' AND model = 'works_watched' AND (iteration <= 3 OR iteration % 5 = 0) ORDER BY iteration;
SELECT mf_history_svg('works_watched') \g (format=unaligned tuples_only=on) :pictures/works_loss.svg

-- The map: what the tags have learned, on two principal components. Labels are
-- drawn where there is room.
SELECT mf_map_svg('works', n => 150) \g (format=unaligned tuples_only=on) :pictures/works_map.svg

-- Ten subjects for a work that it does not have yet: what a maintainer may have
-- forgotten. The score is a probability, with negatives drawn as above.
SELECT string_agg(subject, ', ' ORDER BY subject) AS "0ad has" FROM training WHERE work = '0ad';
SELECT item AS "and might have", round(score::numeric, 3) AS score
FROM mf_topk('0ad', 10, 'works');

-- Subjects like a subject, by the cosine of their embeddings; and works like a
-- work.
SELECT item AS "like protocol::smtp", round(similarity::numeric, 3) AS cosine
FROM mf_similar_items('protocol::smtp', 10, 'works') ORDER BY similarity DESC;
SELECT user_id AS "like audacity", round(similarity::numeric, 3) AS cosine
FROM mf_similar_users('audacity', 5, 'works') ORDER BY similarity DESC, user_id;

-- How good are the tens? Of the tags held out, over all tags that a work does not
-- have, beside the same ten most popular tags for everyone.
CREATE TABLE figures AS SELECT * FROM mf_evaluate('works', 'testing', k => 10, baselines => true);
SELECT method, round(ndcg::numeric, 4) AS "NDCG@10", round(recall::numeric, 4) AS "Recall@10",
       round(coverage::numeric, 3) AS "Coverage@10", users AS works, relevant_pairs AS pairs
FROM figures;

-- mf_train_sharded over tables of one server: ids of several types, rows left
-- out, rights, and what it says. (Over servers: test/t/030_sharded.pl.)
SET client_min_messages = warning;
CREATE SCHEMA sharded;
SET search_path = sharded, public;

CREATE TABLE ratings AS
SELECT ('user ' || u)::text AS reader, ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid AS book,
	(3 + cos(u * 0.7 + i * 0.3) + (hashint4(u * 977 + i) % 100) / 200.0)::numeric(6, 3) AS stars
FROM generate_series(1, 70) u, generate_series(1, 40) i
WHERE (hashint4(u * 1009 + i * 31) & 7) < 3;
CREATE TABLE reader_vectors (reader text PRIMARY KEY, bias real, factors real[]);
CREATE TABLE reader_vectors_2 (LIKE reader_vectors);
CREATE TABLE book_vectors (book uuid PRIMARY KEY, bias real, factors real[]);
CREATE VIEW by_reader AS SELECT reader, book, stars, bias, factors FROM ratings LEFT JOIN book_vectors USING (book);
CREATE VIEW by_book AS SELECT reader, book, stars, bias, factors FROM ratings LEFT JOIN reader_vectors USING (reader);

SELECT model, users, items, t.ratings, iterations FROM mf_train('ratings', 'reader', 'book', 'stars', model => 'alone', factors => 4, verbose => false) t;
SELECT model, users, items, t.ratings, iterations FROM mf_train_sharded('by_reader', 'by_book', '{reader_vectors,reader_vectors_2}', '{book_vectors}',
	'reader', 'book', 'stars', model => 'together', factors => 4, verbose => false) t;
CREATE VIEW same AS
SELECT 'users' AS side, count(*), max(abs(a.bias - b.bias)) < 1e-4 AS bias, max(a.factors <-> b.factors) < 1e-3 AS factors,
	bool_and(a.ratings = b.ratings AND abs(a.rating_sum - b.rating_sum) < 1e-4) AS ratings
FROM alone_users a FULL JOIN together_users b USING (reader)
UNION ALL
SELECT 'items', count(*), max(abs(a.bias - b.bias)) < 1e-4, max(a.factors <-> b.factors) < 1e-3,
	bool_and(a.ratings = b.ratings AND abs(a.rating_sum - b.rating_sum) < 1e-4)
FROM alone_items a FULL JOIN together_items b USING (book);
SELECT * FROM same;
-- every copy got the same vectors
SELECT count(*) AS unlike FROM reader_vectors a FULL JOIN reader_vectors_2 b USING (reader)
WHERE a.bias IS DISTINCT FROM b.bias OR a.factors IS DISTINCT FROM b.factors;
SELECT count(*) AS books FROM book_vectors b JOIN together_items t USING (book) WHERE b.factors = t.factors;
-- indexes as mf_train makes them, and served alike
SELECT indexdef FROM pg_indexes WHERE schemaname = 'sharded' AND tablename = 'together_items' ORDER BY 1;
SELECT count(*) AS items FROM mf_topk('user 7', 5, 'together') t JOIN mf_topk('user 7', 5, 'alone') USING (item);
SELECT source_table, user_col, item_col, rating_col FROM mf_models WHERE model = 'together';

-- Rows with a NULL are left out and counted; progress is told.
INSERT INTO ratings VALUES (NULL, (SELECT min(book::text)::uuid FROM ratings), 3), ('user 1', NULL, 3), ('user 1', NULL, NULL);
SET client_min_messages = notice;
DO $$
BEGIN
	PERFORM mf_train_sharded('by_reader', 'by_book', '{reader_vectors}', '{book_vectors}',
		'reader', 'book', 'stars', model => 'together', factors => 4, verbose => false);
END $$;
SET client_min_messages = warning;
SELECT skipped FROM mf_models WHERE model = 'together';
SELECT * FROM same;
SELECT count(*) FROM mf_history WHERE model = 'together';

-- A retraining within a transaction sees what the transaction wrote, and goes with it.
BEGIN;
INSERT INTO ratings VALUES ('newcomer', (SELECT min(book::text)::uuid FROM ratings), 5);
SELECT users FROM mf_train_sharded('by_reader', 'by_book', '{reader_vectors}', '{book_vectors}',
	'reader', 'book', 'stars', model => 'together', factors => 4, verbose => false);
SELECT count(*) FROM together_users WHERE reader = 'newcomer';
ROLLBACK;
SELECT * FROM same;

-- Errors.
CREATE VIEW other_type AS SELECT reader, book::text AS book, stars, bias, factors FROM by_book;
CREATE VIEW fewer AS SELECT * FROM by_book WHERE reader <> 'user 7';
CREATE VIEW unjoined AS SELECT reader, book, stars, NULL::real AS bias, NULL::real[] AS factors FROM ratings;
CREATE VIEW empty AS SELECT * FROM by_book WHERE false;
CREATE FUNCTION try(by_user regclass, by_item regclass, copies regclass[], feedback text DEFAULT 'explicit') RETURNS void LANGUAGE sql AS
	$$SELECT mf_train_sharded(by_user, by_item, copies, '{book_vectors}', 'reader', 'book', 'stars',
		model => 'together', feedback => feedback, factors => 4, verbose => false)$$;
SELECT try('by_reader', 'other_type', '{reader_vectors}');
SELECT try('by_reader', 'fewer', '{reader_vectors}');
SELECT try('by_reader', 'unjoined', '{reader_vectors}');
SELECT try('by_reader', 'by_book', '{reader_vectors_2}');
SELECT try('empty', 'by_book', '{reader_vectors}');
SELECT try('by_reader', 'by_book', '{}');
SELECT try('by_reader', 'by_book', '{NULL}');
SELECT try('by_reader', 'by_book', NULL);
SELECT try('by_reader', NULL, '{reader_vectors}');
SELECT try(NULL, 'by_book', '{reader_vectors}');
SELECT try('by_reader', 'by_book', '{0}');
SELECT try('by_reader', 'by_book', '{by_book}');
SELECT try('by_reader', 'by_book', '{book_vectors}');
CREATE TABLE strange_vectors (reader text, bias real, factors double precision[]);
SELECT try('by_reader', 'by_book', '{strange_vectors}');
SELECT try('by_reader', 'ratings', '{reader_vectors}');
SELECT try('by_reader', 'by_book', '{reader_vectors}', 'wrong');
CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END $$;
CREATE TRIGGER keep_out BEFORE INSERT ON reader_vectors_2 FOR EACH ROW WHEN (new.reader = 'user 9') EXECUTE FUNCTION keep_out();
SELECT try('by_reader', 'by_book', '{reader_vectors,reader_vectors_2}');
SELECT * FROM same;

-- Rights are the caller's.
CREATE ROLE sharded_reader;
GRANT USAGE, CREATE ON SCHEMA sharded TO sharded_reader;
SET ROLE sharded_reader;
SELECT mf_train_sharded('by_reader', 'by_book', '{reader_vectors}', '{book_vectors}', 'reader', 'book', 'stars', model => 'own');
RESET ROLE;
GRANT SELECT ON by_reader, by_book TO sharded_reader;
GRANT INSERT ON reader_vectors, book_vectors TO sharded_reader;
SET ROLE sharded_reader;
SELECT mf_train_sharded('by_reader', 'by_book', '{reader_vectors}', '{book_vectors}', 'reader', 'book', 'stars', model => 'own', verbose => false);
SELECT mf_train_sharded('by_reader', 'by_book', '{reader_vectors}', '{book_vectors}', 'reader', 'book', 'stars', model => 'together', verbose => false);
RESET ROLE;
GRANT TRUNCATE ON reader_vectors, book_vectors TO sharded_reader;
SET ROLE sharded_reader;
SELECT users FROM mf_train_sharded('by_reader', 'by_book', '{reader_vectors}', '{book_vectors}', 'reader', 'book', 'stars', model => 'own', verbose => false);
RESET ROLE;
SELECT owner FROM mf_models WHERE model = 'own';
DROP OWNED BY sharded_reader;
DROP ROLE sharded_reader;

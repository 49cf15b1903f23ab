-- complain if the script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION factor" to load this file. \quit

-- ---------------------------------------------------------------------------
-- Distances between vectors: real[]
-- ---------------------------------------------------------------------------

CREATE FUNCTION cosine_distance(a real[], b real[]) RETURNS double precision
	AS 'MODULE_PATHNAME', 'factor_cosine_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION cosine_distance(real[], real[]) IS
	'1 - a.b / (|a| |b|), from 0 (same direction) to 2 (opposite); NaN where a vector is zero';

CREATE FUNCTION negative_inner_product(a real[], b real[]) RETURNS double precision
	AS 'MODULE_PATHNAME', 'factor_negative_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION negative_inner_product(real[], real[]) IS
	'- sum of a[k] b[k]: ascending order puts the largest inner product first';

CREATE FUNCTION l2_distance(a real[], b real[]) RETURNS double precision
	AS 'MODULE_PATHNAME', 'factor_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_distance(real[], real[]) IS
	'Euclidean distance: sqrt(sum of (a[k] - b[k])^2)';

CREATE OPERATOR <=> (
	LEFTARG = real[], RIGHTARG = real[], FUNCTION = cosine_distance, COMMUTATOR = '<=>'
);
COMMENT ON OPERATOR <=> (real[], real[]) IS 'cosine distance';

CREATE OPERATOR <#> (
	LEFTARG = real[], RIGHTARG = real[], FUNCTION = negative_inner_product, COMMUTATOR = '<#>'
);
COMMENT ON OPERATOR <#> (real[], real[]) IS 'negative inner product';

CREATE OPERATOR <-> (
	LEFTARG = real[], RIGHTARG = real[], FUNCTION = l2_distance, COMMUTATOR = '<->'
);
COMMENT ON OPERATOR <-> (real[], real[]) IS 'Euclidean distance';

-- ---------------------------------------------------------------------------
-- The index: ORDER BY distance LIMIT k, exactly
-- ---------------------------------------------------------------------------

CREATE FUNCTION topk_handler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME', 'topk_handler' LANGUAGE C;
COMMENT ON FUNCTION topk_handler(internal) IS 'handler of the access method topk';

CREATE ACCESS METHOD topk TYPE INDEX HANDLER topk_handler;
COMMENT ON ACCESS METHOD topk IS
	'ranks vectors of type real[] by <=>, <#> or <->, exactly';

CREATE OPERATOR CLASS real_ops DEFAULT FOR TYPE real[] USING topk AS
	OPERATOR 1 <=> (real[], real[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 2 <#> (real[], real[]) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 3 <-> (real[], real[]) FOR ORDER BY pg_catalog.float_ops;
COMMENT ON OPERATOR CLASS real_ops USING topk IS
	'cosine distance, negative inner product and Euclidean distance of vectors';

CREATE FUNCTION mf_index_check(index regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'mf_index_check' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_index_check(regclass) IS
	'checks a topk index against its table: the number of rows found in it, or an error';

-- ---------------------------------------------------------------------------
-- Models: the catalogue and the history
-- ---------------------------------------------------------------------------

CREATE TABLE mf_models (
	schema name NOT NULL,
	model name NOT NULL,
	owner name NOT NULL,
	is_default boolean NOT NULL DEFAULT false,
	feedback text NOT NULL CHECK (feedback IN ('explicit', 'implicit')),
	biased boolean NOT NULL,
	factors integer NOT NULL,
	mean double precision NOT NULL,
	rating_min double precision NOT NULL,
	rating_max double precision NOT NULL,
	source_schema name NOT NULL,
	source_table name NOT NULL,
	user_col name NOT NULL,
	item_col name NOT NULL,
	rating_col name,
	users bigint NOT NULL,
	items bigint NOT NULL,
	ratings bigint NOT NULL,
	skipped bigint NOT NULL,
	iterations integer NOT NULL,
	regularization double precision NOT NULL,
	reg_exponent double precision NOT NULL,
	bias_regularization double precision NOT NULL,
	alpha double precision NOT NULL,
	unobserved_weight double precision NOT NULL,
	seed bigint NOT NULL,
	gramian_users real[],
	gramian_items real[],
	loss double precision NOT NULL,
	error double precision NOT NULL,
	seconds double precision NOT NULL,
	trained_at timestamp with time zone NOT NULL,
	trained_by name NOT NULL,
	PRIMARY KEY (schema, model)
);
COMMENT ON TABLE mf_models IS 'one row per model: where it came from, every option, counts and losses';
-- A COMMENT ON COLUMN for each column belongs here.

CREATE TABLE mf_history (
	schema name NOT NULL,
	model name NOT NULL,
	iteration integer NOT NULL,
	error double precision NOT NULL,
	loss double precision NOT NULL,
	seconds double precision NOT NULL,
	PRIMARY KEY (schema, model, iteration)
);
COMMENT ON TABLE mf_history IS 'one row per model and iteration of its last training';

CREATE FUNCTION mf_guard() RETURNS trigger
	AS 'MODULE_PATHNAME', 'mf_guard' LANGUAGE C;
COMMENT ON FUNCTION mf_guard() IS
	'trigger: admits only writes by the owner of both tables of the model';

CREATE TRIGGER mf_guard BEFORE INSERT OR UPDATE OR DELETE ON mf_models
	FOR EACH ROW EXECUTE FUNCTION mf_guard();
CREATE TRIGGER mf_guard BEFORE INSERT OR UPDATE OR DELETE ON mf_history
	FOR EACH ROW EXECUTE FUNCTION mf_guard();

GRANT SELECT, INSERT, UPDATE, DELETE ON mf_models, mf_history TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('mf_models', '');
SELECT pg_catalog.pg_extension_config_dump('mf_history', '');

CREATE FUNCTION mf_default(model text) RETURNS void
	AS 'MODULE_PATHNAME', 'mf_set_default' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_default(text) IS
	'makes the model the one that functions use in its schema when none is named';

CREATE FUNCTION mf_default() RETURNS text
	AS 'MODULE_PATHNAME', 'mf_get_default' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_default() IS
	'the model that functions use now when none is named; NULL where there is none';

CREATE FUNCTION mf_drop(model text) RETURNS void
	AS 'MODULE_PATHNAME', 'mf_drop' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_drop(text) IS
	'drops a model: its two tables, its row in mf_models and its history';

-- ---------------------------------------------------------------------------
-- Training
-- ---------------------------------------------------------------------------

CREATE FUNCTION mf_train(
	ratings regclass,
	user_col name DEFAULT 'user_id',
	item_col name DEFAULT 'item_id',
	rating_col name DEFAULT 'rating',
	model text DEFAULT NULL,
	feedback text DEFAULT 'explicit',
	factors integer DEFAULT NULL,
	iterations integer DEFAULT NULL,
	regularization double precision DEFAULT NULL,
	reg_exponent double precision DEFAULT NULL,
	bias_regularization double precision DEFAULT NULL,
	alpha double precision DEFAULT NULL,
	unobserved_weight double precision DEFAULT NULL,
	seed bigint DEFAULT 0,
	verbose boolean DEFAULT true,
	OUT model text,
	OUT users bigint,
	OUT items bigint,
	OUT ratings bigint,
	OUT iterations integer,
	OUT error double precision,
	OUT seconds double precision)
	AS 'MODULE_PATHNAME', 'mf_train' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_train(regclass, name, name, name, text, text, integer, integer,
	double precision, double precision, double precision, double precision, double precision,
	bigint, boolean) IS
	'trains a model from a table of ratings by alternating least squares, and stores it';

-- ---------------------------------------------------------------------------
-- Serving
-- ---------------------------------------------------------------------------

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
COMMENT ON OPERATOR FAMILY real_ops USING topk IS
	'distances of vectors';
COMMENT ON OPERATOR CLASS real_ops USING topk IS
	'cosine distance, negative inner product and Euclidean distance of vectors';

CREATE FUNCTION mf_index_check(index regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'mf_index_check' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_index_check(regclass) IS
	'checks a topk index against its table: the number of rows found in it, or an error';

-- ---------------------------------------------------------------------------
-- Models: the catalogue and the history
-- ---------------------------------------------------------------------------

-- The owner of a model may write its row, so the ranges that the code relies on
-- are said here; it looks at what it reads all the same (src/model/record.c).
CREATE TABLE mf_models (
	schema name NOT NULL,
	model name NOT NULL,
	owner name NOT NULL,
	is_default boolean NOT NULL DEFAULT false,
	created_at timestamp with time zone NOT NULL,
	feedback text NOT NULL CHECK (feedback IN ('explicit', 'implicit')),
	biased boolean NOT NULL,
	factors integer NOT NULL CHECK (factors BETWEEN 1 AND 2000),
	mean double precision NOT NULL CHECK (mean > '-Infinity' AND mean < 'Infinity'),
	rating_min double precision NOT NULL CHECK (rating_min > '-Infinity'),
	rating_max double precision NOT NULL CHECK (rating_max < 'Infinity'),
	source_schema name NOT NULL,
	source_table name NOT NULL,
	user_col name NOT NULL,
	item_col name NOT NULL,
	rating_col name,
	users bigint NOT NULL CHECK (users BETWEEN 0 AND 4294967295),
	items bigint NOT NULL CHECK (items BETWEEN 0 AND 4294967295),
	ratings bigint NOT NULL CHECK (ratings BETWEEN 0 AND 1000000000000000),
	skipped bigint NOT NULL CHECK (skipped BETWEEN 0 AND 1000000000000000),
	iterations integer NOT NULL CHECK (iterations BETWEEN 0 AND 100000),
	regularization double precision NOT NULL CHECK (regularization >= 0 AND regularization < 'Infinity'),
	reg_exponent double precision NOT NULL CHECK (reg_exponent BETWEEN 0 AND 1),
	bias_regularization double precision NOT NULL CHECK (bias_regularization >= 0 AND bias_regularization < 'Infinity'),
	alpha double precision NOT NULL CHECK (alpha >= 0 AND alpha < 'Infinity'),
	unobserved_weight double precision NOT NULL CHECK (unobserved_weight >= 0 AND unobserved_weight < 'Infinity'),
	seed bigint NOT NULL,
	gramian_users real[],
	gramian_items real[],
	objective double precision NOT NULL CHECK (objective > '-Infinity' AND objective < 'Infinity'),
	error double precision NOT NULL CHECK (error > '-Infinity' AND error < 'Infinity'),
	seconds double precision NOT NULL CHECK (seconds >= 0 AND seconds < 'Infinity'),
	trained_at timestamp with time zone NOT NULL,
	trained_by name NOT NULL,
	loss text NOT NULL DEFAULT 'squared' CHECK (loss IN ('squared', 'logistic', 'bpr')),
	solver text NOT NULL DEFAULT 'als' CHECK (solver IN ('als', 'sgd')),
	link_low double precision,
	link_high double precision,
	held_out bigint NOT NULL DEFAULT 0 CHECK (held_out BETWEEN 0 AND 1000000000000000),
	held_out_loss double precision CHECK (held_out_loss > '-Infinity' AND held_out_loss < 'Infinity'),
	best_iteration integer NOT NULL DEFAULT 0 CHECK (best_iteration >= 0),
	options jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
	settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
	PRIMARY KEY (schema, model),
	CONSTRAINT mf_models_rating_range_check CHECK (rating_min <= rating_max),
	CONSTRAINT mf_models_link_check CHECK ((link_low IS NULL) = (link_high IS NULL)
		AND link_low < link_high AND link_low > -8e307 AND link_high < 8e307),
	CONSTRAINT mf_models_best_iteration_iterations_check CHECK (best_iteration <= iterations),
	CONSTRAINT mf_models_solver_loss_check CHECK (solver = 'sgd' OR loss = 'squared'),
	CONSTRAINT mf_models_gramian_users_check CHECK (gramian_users IS NULL OR (array_ndims(gramian_users) = 2
		AND array_length(gramian_users, 1) = factors AND array_length(gramian_users, 2) = factors) IS TRUE),
	CONSTRAINT mf_models_gramian_items_check CHECK (gramian_items IS NULL OR (array_ndims(gramian_items) = 2
		AND array_length(gramian_items, 1) = factors AND array_length(gramian_items, 2) = factors) IS TRUE)
);
COMMENT ON TABLE mf_models IS 'one row per model: where it came from, every option, counts and losses';
COMMENT ON COLUMN mf_models.schema IS
	'schema of the model''s two tables';
COMMENT ON COLUMN mf_models.model IS
	'name of the model; its tables are <model>_users and <model>_items';
COMMENT ON COLUMN mf_models.owner IS
	'owner of both tables; a row with another owner is not served';
COMMENT ON COLUMN mf_models.is_default IS
	'used when no model is named, if the schema is the first on the search_path with a default; set with mf_default()';
COMMENT ON COLUMN mf_models.created_at IS
	'when the model was first trained; of two defaults the older one counts';
COMMENT ON COLUMN mf_models.feedback IS
	'explicit (ratings to be predicted) or implicit (a count or weight of interest)';
COMMENT ON COLUMN mf_models.biased IS
	'whether users and items have a bias';
COMMENT ON COLUMN mf_models.factors IS
	'length of every vector';
COMMENT ON COLUMN mf_models.mean IS
	'mean of the training ratings, where predictions start; 0 for implicit feedback';
COMMENT ON COLUMN mf_models.rating_min IS
	'least training rating, the lower end of predictions';
COMMENT ON COLUMN mf_models.rating_max IS
	'greatest training rating, the upper end of predictions';
COMMENT ON COLUMN mf_models.source_schema IS
	'schema of the table trained from';
COMMENT ON COLUMN mf_models.source_table IS
	'table or view trained from; mf_topk() reads there what a user has rated';
COMMENT ON COLUMN mf_models.user_col IS
	'its column of user ids';
COMMENT ON COLUMN mf_models.item_col IS
	'its column of item ids';
COMMENT ON COLUMN mf_models.rating_col IS
	'its column of ratings; NULL: every row counted 1';
COMMENT ON COLUMN mf_models.users IS
	'how many users';
COMMENT ON COLUMN mf_models.items IS
	'how many items';
COMMENT ON COLUMN mf_models.ratings IS
	'how many distinct pairs of user and item';
COMMENT ON COLUMN mf_models.skipped IS
	'rows left out of training for a NULL';
COMMENT ON COLUMN mf_models.iterations IS
	'iterations run';
COMMENT ON COLUMN mf_models.regularization IS
	'weight of the vectors'' squared lengths in the objective';
COMMENT ON COLUMN mf_models.reg_exponent IS
	'how that weight grows with the number of a row''s ratings';
COMMENT ON COLUMN mf_models.bias_regularization IS
	'weight of the squared biases in the objective';
COMMENT ON COLUMN mf_models.alpha IS
	'weight of an implicit rating';
COMMENT ON COLUMN mf_models.unobserved_weight IS
	'weight of a pair without a rating';
COMMENT ON COLUMN mf_models.seed IS
	'seed of the first vectors';
COMMENT ON COLUMN mf_models.gramian_users IS
	'sum of the outer products of the users'' vectors, factors by factors, row after row; NULL: none kept';
COMMENT ON COLUMN mf_models.gramian_items IS
	'sum of the outer products of the items'' vectors, factors by factors, row after row; NULL: none kept';
COMMENT ON COLUMN mf_models.objective IS
	'its value at the end: the loss of all pairs and the penalties';
COMMENT ON COLUMN mf_models.error IS
	'the training error at the end: the root of the weighted mean squared error, of explicit feedback in units of the ratings; of other losses their mean';
COMMENT ON COLUMN mf_models.seconds IS
	'how long training took, in seconds';
COMMENT ON COLUMN mf_models.trained_at IS
	'when the last training stored the model';
COMMENT ON COLUMN mf_models.trained_by IS
	'who ran it';
COMMENT ON COLUMN mf_models.loss IS
	'the loss that training minimised: squared, logistic or bpr';
COMMENT ON COLUMN mf_models.solver IS
	'how: als or sgd';
COMMENT ON COLUMN mf_models.link_low IS
	'predictions are link_low + (link_high - link_low) / (1 + exp(-score)); NULL: they are the score';
COMMENT ON COLUMN mf_models.link_high IS
	'the other end of that range';
COMMENT ON COLUMN mf_models.held_out IS
	'pairs that were held out, and not trained on';
COMMENT ON COLUMN mf_models.held_out_loss IS
	'their loss by the vectors stored; NULL: none were held out';
COMMENT ON COLUMN mf_models.best_iteration IS
	'the iteration whose vectors are stored: the one with the least held_out_loss, else the last';
COMMENT ON COLUMN mf_models.options IS
	'the options that mf_train was given, by name';
COMMENT ON COLUMN mf_models.settings IS
	'the options in force that have no column of their own';

CREATE TABLE mf_history (
	schema name NOT NULL,
	model name NOT NULL,
	iteration integer NOT NULL CHECK (iteration BETWEEN 1 AND 100000),
	error double precision NOT NULL CHECK (error > '-Infinity' AND error < 'Infinity'),
	objective double precision NOT NULL CHECK (objective > '-Infinity' AND objective < 'Infinity'),
	seconds double precision NOT NULL CHECK (seconds >= 0 AND seconds < 'Infinity'),
	held_out_loss double precision CHECK (held_out_loss > '-Infinity' AND held_out_loss < 'Infinity'),
	PRIMARY KEY (schema, model, iteration)
);
COMMENT ON TABLE mf_history IS 'one row per model and iteration of its last training';

COMMENT ON COLUMN mf_history.schema IS
	'schema of the model';
COMMENT ON COLUMN mf_history.model IS
	'name of the model';
COMMENT ON COLUMN mf_history.iteration IS
	'which iteration, from 1';
COMMENT ON COLUMN mf_history.error IS
	'training error after it, as in mf_models';
COMMENT ON COLUMN mf_history.objective IS
	'value of the objective after it';
COMMENT ON COLUMN mf_history.seconds IS
	'seconds since the training began';
COMMENT ON COLUMN mf_history.held_out_loss IS
	'loss of the pairs held out, after it; NULL: none were';

CREATE FUNCTION mf_guard() RETURNS trigger
	AS 'MODULE_PATHNAME', 'mf_guard' LANGUAGE C;
COMMENT ON FUNCTION mf_guard() IS
	'trigger: admits only writes by the owner of both tables of the model';

CREATE TRIGGER mf_guard BEFORE INSERT OR UPDATE OR DELETE ON mf_models
	FOR EACH ROW EXECUTE FUNCTION mf_guard();
CREATE TRIGGER mf_guard BEFORE INSERT OR UPDATE OR DELETE ON mf_history
	FOR EACH ROW EXECUTE FUNCTION mf_guard();

-- Where rows arrive by logical replication too: roles may have other names there.
ALTER TABLE mf_models ENABLE ALWAYS TRIGGER mf_guard;
ALTER TABLE mf_history ENABLE ALWAYS TRIGGER mf_guard;

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
	feedback text DEFAULT NULL,
	loss text DEFAULT NULL,
	factors integer DEFAULT NULL,
	iterations integer DEFAULT NULL,
	regularization double precision DEFAULT NULL,
	alpha double precision DEFAULT NULL,
	holdout "any" DEFAULT NULL,
	time_col name DEFAULT NULL,
	seed bigint DEFAULT NULL,
	verbose boolean DEFAULT NULL,
	options jsonb DEFAULT NULL,
	OUT model text,
	OUT users bigint,
	OUT items bigint,
	OUT ratings bigint,
	OUT iterations integer,
	OUT error double precision,
	OUT seconds double precision)
	AS 'MODULE_PATHNAME', 'mf_train' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_train(regclass, name, name, name, text, text, text, integer, integer,
	double precision, double precision, "any", name, bigint, boolean, jsonb) IS
	'trains a model from a table of ratings, by alternating least squares (explicit feedback; implicit as Hu, Koren and Volinsky 2008) or stochastic gradient descent, and stores it; an error leaves the old model as it was';

-- ---------------------------------------------------------------------------
-- Training in SQL: half an iteration as an aggregate
-- ---------------------------------------------------------------------------

CREATE TYPE mf_options AS (
	implicit boolean,
	mean double precision,
	regularization double precision,
	reg_exponent double precision,
	bias_regularization double precision,
	alpha double precision,
	unobserved_weight double precision,
	others bigint,
	gramian double precision[]
);
COMMENT ON TYPE mf_options IS
	'what mf_solve() is to minimise; made by mf_solve_options()';
COMMENT ON COLUMN mf_options.implicit IS
	'implicit feedback: the rating is a weight, the target 1';
COMMENT ON COLUMN mf_options.mean IS
	'mean of the ratings, which predictions start from';
COMMENT ON COLUMN mf_options.regularization IS
	'weight of the vectors'' squared lengths';
COMMENT ON COLUMN mf_options.reg_exponent IS
	'how that weight grows with the number of a row''s ratings';
COMMENT ON COLUMN mf_options.bias_regularization IS
	'weight of the squared biases';
COMMENT ON COLUMN mf_options.alpha IS
	'weight of an implicit rating of 1';
COMMENT ON COLUMN mf_options.unobserved_weight IS
	'weight of every pair, rated or not';
COMMENT ON COLUMN mf_options.others IS
	'how many vectors the other side has';
COMMENT ON COLUMN mf_options.gramian IS
	'mf_gramian() of the other side''s vectors';

CREATE FUNCTION mf_solve_options(options jsonb, gramian double precision[] DEFAULT NULL)
	RETURNS mf_options
	AS 'MODULE_PATHNAME', 'mf_solve_options' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_solve_options(jsonb, double precision[]) IS
	'options of mf_solve() from those of mf_train by the same names; gramian is that of the other side''s vectors, where unobserved pairs count';

CREATE FUNCTION mf_solve_accum(internal, real[], double precision, mf_options) RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_solve_accum' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION mf_solve_accum(internal, real[], double precision, mf_options) IS
	'adds a row to the sums of mf_solve()';

CREATE FUNCTION mf_solve_accum(internal, real[], real, double precision, mf_options) RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_solve_biased_accum' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION mf_solve_accum(internal, real[], real, double precision, mf_options) IS
	'adds a row to the sums of mf_solve() with biases';

CREATE FUNCTION mf_solve_combine(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_solve_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION mf_solve_combine(internal, internal) IS
	'adds the sums of two parts of a group';

CREATE FUNCTION mf_solve_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME', 'mf_solve_serialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mf_solve_serialize(internal) IS
	'the sums as bytes, for another process';

CREATE FUNCTION mf_solve_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_solve_deserialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mf_solve_deserialize(bytea, internal) IS
	'the sums from bytes';

-- Costs of the final functions are left at 1, below the truth: where nothing is
-- known of partitions, the planner takes each for as many groups as the whole,
-- and would rather solve them here than once on each server.
CREATE FUNCTION mf_solve_final(internal) RETURNS real[]
	AS 'MODULE_PATHNAME', 'mf_solve_final' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_solve_final(internal) IS
	'the solution of the normal equations';

CREATE FUNCTION mf_solve_error_final(internal) RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_solve_error_final' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_solve_error_final(internal) IS
	'the weighted squared error that the solution leaves';

CREATE FUNCTION mf_gramian_accum(internal, real[]) RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_gramian_accum' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION mf_gramian_accum(internal, real[]) IS
	'adds a vector''s outer product';

CREATE FUNCTION mf_gramian_final(internal) RETURNS double precision[]
	AS 'MODULE_PATHNAME', 'mf_gramian_final' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_gramian_final(internal) IS
	'the sum of outer products, row after row';

CREATE AGGREGATE mf_solve(factors real[], bias real, rating double precision, options mf_options) (
	SFUNC = mf_solve_accum, STYPE = internal, SSPACE = 20000, FINALFUNC = mf_solve_final,
	COMBINEFUNC = mf_solve_combine, SERIALFUNC = mf_solve_serialize,
	DESERIALFUNC = mf_solve_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_solve(factors real[], bias real, rating double precision, options mf_options) IS
	'the bias and, after it, the vector that minimise sum (rating - prediction)^2 plus the penalties, given the other side''s biases and vectors; NULL without rows; options NULL: the defaults';

CREATE AGGREGATE mf_solve(factors real[], rating double precision, options mf_options) (
	SFUNC = mf_solve_accum, STYPE = internal, SSPACE = 20000, FINALFUNC = mf_solve_final,
	COMBINEFUNC = mf_solve_combine, SERIALFUNC = mf_solve_serialize,
	DESERIALFUNC = mf_solve_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_solve(factors real[], rating double precision, options mf_options) IS
	'the vector that minimises the weighted squared error plus the penalty, given the other side''s vectors; NULL without rows; options NULL: the defaults';

CREATE FUNCTION mf_digest_add(state bigint, other "any", rating double precision) RETURNS bigint
	AS 'MODULE_PATHNAME', 'mf_digest_add' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mf_digest_add(bigint, "any", double precision) IS
	'of the aggregate mf_digest: takes a row';

CREATE FUNCTION mf_digest_combine(a bigint, b bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'mf_digest_combine' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mf_digest_combine(bigint, bigint) IS
	'of the aggregate mf_digest: adds, modulo 2^64';

CREATE AGGREGATE mf_digest(other "any", rating double precision) (
	SFUNC = mf_digest_add, STYPE = bigint, INITCOND = '0',
	COMBINEFUNC = mf_digest_combine, PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_digest("any", double precision) IS
	'what column digest of a model''s tables says of the ratings of a user or an item, from the ids at their other ends; rows with a NULL are passed over';

CREATE AGGREGATE mf_solve_error(factors real[], bias real, rating double precision, options mf_options) (
	SFUNC = mf_solve_accum, STYPE = internal, SSPACE = 20000, FINALFUNC = mf_solve_error_final,
	COMBINEFUNC = mf_solve_combine, SERIALFUNC = mf_solve_serialize,
	DESERIALFUNC = mf_solve_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_solve_error(factors real[], bias real, rating double precision, options mf_options) IS
	'the weighted squared error, without penalties, that the solution of mf_solve() leaves';

CREATE AGGREGATE mf_solve_error(factors real[], rating double precision, options mf_options) (
	SFUNC = mf_solve_accum, STYPE = internal, SSPACE = 20000, FINALFUNC = mf_solve_error_final,
	COMBINEFUNC = mf_solve_combine, SERIALFUNC = mf_solve_serialize,
	DESERIALFUNC = mf_solve_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_solve_error(factors real[], rating double precision, options mf_options) IS
	'the weighted squared error, without penalties, that the solution of mf_solve() leaves';

CREATE AGGREGATE mf_gramian(factors real[]) (
	SFUNC = mf_gramian_accum, STYPE = internal, SSPACE = 20000, FINALFUNC = mf_gramian_final,
	COMBINEFUNC = mf_solve_combine, SERIALFUNC = mf_solve_serialize,
	DESERIALFUNC = mf_solve_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_gramian(factors real[]) IS
	'the sum of the vectors'' outer products: d x d elements, row after row';

CREATE FUNCTION mf_train_sharded(
	by_user regclass,
	by_item regclass,
	user_copies regclass[],
	item_copies regclass[],
	user_col name DEFAULT 'user_id',
	item_col name DEFAULT 'item_id',
	rating_col name DEFAULT 'rating',
	model text DEFAULT NULL,
	feedback text DEFAULT NULL,
	factors integer DEFAULT NULL,
	iterations integer DEFAULT NULL,
	regularization double precision DEFAULT NULL,
	alpha double precision DEFAULT NULL,
	seed bigint DEFAULT NULL,
	verbose boolean DEFAULT NULL,
	options jsonb DEFAULT NULL,
	OUT model text,
	OUT users bigint,
	OUT items bigint,
	OUT ratings bigint,
	OUT iterations integer,
	OUT error double precision,
	OUT seconds double precision)
	AS 'MODULE_PATHNAME', 'mf_train_sharded' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET enable_partitionwise_aggregate = on;
COMMENT ON FUNCTION mf_train_sharded(regclass, regclass, regclass[], regclass[], name, name, name,
	text, text, integer, integer, double precision, double precision, bigint, boolean, jsonb) IS
	'trains a model as mf_train() does, each half iteration on the servers that hold the ratings';

-- ---------------------------------------------------------------------------
-- Judging
-- ---------------------------------------------------------------------------

CREATE FUNCTION mf_holdout(user_id "any", item_id "any",
	fraction double precision DEFAULT 0.1, seed bigint DEFAULT 0)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'mf_holdout' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION mf_holdout("any", "any", double precision, bigint) IS
	'whether the pair is of the fraction of all pairs that is held out, by a hash of the ids'' texts and the seed';

CREATE FUNCTION mf_evaluate(
	model text,
	test regclass,
	user_col name DEFAULT NULL,
	item_col name DEFAULT NULL,
	rating_col name DEFAULT NULL,
	k integer DEFAULT 10,
	relevant double precision DEFAULT NULL,
	train regclass DEFAULT NULL,
	exclude_train boolean DEFAULT true,
	baselines boolean DEFAULT false)
	RETURNS TABLE (
		method text,
		rmse double precision,
		mae double precision,
		"precision" double precision,
		recall double precision,
		ndcg double precision,
		map double precision,
		mrr double precision,
		hit_rate double precision,
		auc double precision,
		coverage double precision,
		diversity double precision,
		popularity double precision,
		novelty double precision,
		users bigint,
		pairs bigint,
		relevant_pairs bigint,
		in_training bigint,
		unknown_users bigint,
		unknown_items bigint,
		unknown_pairs bigint)
	AS 'MODULE_PATHNAME', 'mf_evaluate' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1;
COMMENT ON FUNCTION mf_evaluate(text, regclass, name, name, name, integer, double precision,
	regclass, boolean, boolean) IS
	'judges a model by pairs that it was not trained on: errors of ratings, and metrics of everyone''s k best items';

CREATE PROCEDURE mf_tune(
	ratings regclass,
	user_col name DEFAULT 'user_id',
	item_col name DEFAULT 'item_id',
	rating_col name DEFAULT 'rating',
	grid jsonb DEFAULT NULL,
	metric text DEFAULT 'rmse',
	trials integer DEFAULT NULL,
	holdout double precision DEFAULT 0.1,
	results text DEFAULT NULL,
	seed bigint DEFAULT 0,
	verbose boolean DEFAULT true,
	options jsonb DEFAULT NULL,
	INOUT best jsonb DEFAULT NULL,
	INOUT score double precision DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'mf_tune' LANGUAGE C;
COMMENT ON PROCEDURE mf_tune(regclass, name, name, name, jsonb, text, integer,
	double precision, text, bigint, boolean, jsonb, jsonb, double precision) IS
	'searches for good options of mf_train by held-out pairs: one trial after the other, each a row of a table';

-- ---------------------------------------------------------------------------
-- Serving
--
-- What reads the table of ratings runs whatever that is, a view that calls
-- nextval() perhaps, so it is parallel unsafe. What reads the model's own tables
-- is safe, and where their policies are not, says so itself in a parallel query.
-- ---------------------------------------------------------------------------

CREATE FUNCTION mf_predict(user_id bigint, item_id bigint, model text DEFAULT NULL)
	RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_predict' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION mf_predict(bigint, bigint, text) IS
	'the rating that the user would give the item: mean + biases + inner product, within the range of the training ratings; NULL where the model does not know one of them';

CREATE FUNCTION mf_predict(user_id bigint, item_id uuid, model text DEFAULT NULL)
	RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_predict' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION mf_predict(bigint, uuid, text) IS
	'the rating that the user would give the item: mean + biases + inner product, within the range of the training ratings; NULL where the model does not know one of them';

CREATE FUNCTION mf_predict(user_id bigint, item_id text, model text DEFAULT NULL)
	RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_predict' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION mf_predict(bigint, text, text) IS
	'the rating that the user would give the item: mean + biases + inner product, within the range of the training ratings; NULL where the model does not know one of them';

CREATE FUNCTION mf_predict(user_id uuid, item_id bigint, model text DEFAULT NULL)
	RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_predict' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION mf_predict(uuid, bigint, text) IS
	'the rating that the user would give the item: mean + biases + inner product, within the range of the training ratings; NULL where the model does not know one of them';

CREATE FUNCTION mf_predict(user_id uuid, item_id uuid, model text DEFAULT NULL)
	RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_predict' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION mf_predict(uuid, uuid, text) IS
	'the rating that the user would give the item: mean + biases + inner product, within the range of the training ratings; NULL where the model does not know one of them';

CREATE FUNCTION mf_predict(user_id uuid, item_id text, model text DEFAULT NULL)
	RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_predict' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION mf_predict(uuid, text, text) IS
	'the rating that the user would give the item: mean + biases + inner product, within the range of the training ratings; NULL where the model does not know one of them';

CREATE FUNCTION mf_predict(user_id text, item_id bigint, model text DEFAULT NULL)
	RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_predict' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION mf_predict(text, bigint, text) IS
	'the rating that the user would give the item: mean + biases + inner product, within the range of the training ratings; NULL where the model does not know one of them';

CREATE FUNCTION mf_predict(user_id text, item_id uuid, model text DEFAULT NULL)
	RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_predict' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION mf_predict(text, uuid, text) IS
	'the rating that the user would give the item: mean + biases + inner product, within the range of the training ratings; NULL where the model does not know one of them';

CREATE FUNCTION mf_predict(user_id text, item_id text, model text DEFAULT NULL)
	RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_predict' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION mf_predict(text, text, text) IS
	'the rating that the user would give the item: mean + biases + inner product, within the range of the training ratings; NULL where the model does not know one of them';

-- The witness forms take ids of any type. item_type is a NULL of the type wanted.
CREATE FUNCTION mf_predict(user_id anyelement, item_id anycompatible, item_type anycompatible,
	model text DEFAULT NULL)
	RETURNS double precision
	AS 'MODULE_PATHNAME', 'mf_predict_witness' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION mf_predict(anyelement, anycompatible, anycompatible, text) IS
	'mf_predict for ids of other types: item_type is a NULL of the type of the item ids';

CREATE FUNCTION mf_topk(user_id bigint, k integer DEFAULT 10, model text DEFAULT NULL,
	exclude_seen boolean DEFAULT true, candidates bigint[] DEFAULT NULL, exclude bigint[] DEFAULT NULL,
	live boolean DEFAULT NULL, diversity double precision DEFAULT 0)
	RETURNS TABLE (item bigint, score double precision)
	AS 'MODULE_PATHNAME', 'mf_topk' LANGUAGE C STABLE PARALLEL UNSAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_topk(bigint, integer, text, boolean, bigint[], bigint[], boolean, double precision) IS
	'the k items that the user would rate highest, best first, without those rated already; score as mf_predict has it; an error where the ratings may not be read';

CREATE FUNCTION mf_topk(user_id uuid, k integer DEFAULT 10, model text DEFAULT NULL,
	exclude_seen boolean DEFAULT true, candidates uuid[] DEFAULT NULL, exclude uuid[] DEFAULT NULL,
	live boolean DEFAULT NULL, diversity double precision DEFAULT 0)
	RETURNS TABLE (item uuid, score double precision)
	AS 'MODULE_PATHNAME', 'mf_topk' LANGUAGE C STABLE PARALLEL UNSAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_topk(uuid, integer, text, boolean, uuid[], uuid[], boolean, double precision) IS
	'the k items that the user would rate highest, best first, without those rated already; score as mf_predict has it; an error where the ratings may not be read';

CREATE FUNCTION mf_topk(user_id text, k integer DEFAULT 10, model text DEFAULT NULL,
	exclude_seen boolean DEFAULT true, candidates text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
	live boolean DEFAULT NULL, diversity double precision DEFAULT 0)
	RETURNS TABLE (item text, score double precision)
	AS 'MODULE_PATHNAME', 'mf_topk' LANGUAGE C STABLE PARALLEL UNSAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_topk(text, integer, text, boolean, text[], text[], boolean, double precision) IS
	'the k items that the user would rate highest, best first, without those rated already; score as mf_predict has it; an error where the ratings may not be read';

-- An array of a polymorphic type cannot be left out of a call, so that there is
-- one form without arrays and one with both.
CREATE FUNCTION mf_topk(user_id anyelement, k integer, item_type anycompatible,
	exclude_seen boolean DEFAULT true, model text DEFAULT NULL,
	live boolean DEFAULT NULL, diversity double precision DEFAULT 0)
	RETURNS TABLE (item anycompatible, score double precision)
	AS 'MODULE_PATHNAME', 'mf_topk_witness' LANGUAGE C STABLE PARALLEL UNSAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_topk(anyelement, integer, anycompatible, boolean, text, boolean,
	double precision) IS
	'mf_topk for ids of other types: item_type is a NULL of the type that item is to have';

CREATE FUNCTION mf_topk(user_id anyelement, k integer, item_type anycompatible,
	candidates anycompatiblearray, exclude anycompatiblearray,
	exclude_seen boolean DEFAULT true, model text DEFAULT NULL,
	live boolean DEFAULT NULL, diversity double precision DEFAULT 0)
	RETURNS TABLE (item anycompatible, score double precision)
	AS 'MODULE_PATHNAME', 'mf_topk_witness_lists' LANGUAGE C STABLE PARALLEL UNSAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_topk(anyelement, integer, anycompatible, anycompatiblearray,
	anycompatiblearray, boolean, text, boolean, double precision) IS
	'mf_topk for ids of other types, with candidates and items to exclude; NULL for one not wanted';

CREATE FUNCTION mf_topk_for(items bigint[], ratings double precision[] DEFAULT NULL,
	k integer DEFAULT 10, model text DEFAULT NULL, exclude_seen boolean DEFAULT true,
	candidates bigint[] DEFAULT NULL, exclude bigint[] DEFAULT NULL,
	diversity double precision DEFAULT 0)
	RETURNS TABLE (item bigint, score double precision)
	AS 'MODULE_PATHNAME', 'mf_topk_for' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_topk_for(bigint[], double precision[], integer, text, boolean, bigint[], bigint[],
	double precision) IS
	'the k items that someone with these items would rate highest, best first, without these; ratings are as many as items';

CREATE FUNCTION mf_topk_for(items uuid[], ratings double precision[] DEFAULT NULL,
	k integer DEFAULT 10, model text DEFAULT NULL, exclude_seen boolean DEFAULT true,
	candidates uuid[] DEFAULT NULL, exclude uuid[] DEFAULT NULL,
	diversity double precision DEFAULT 0)
	RETURNS TABLE (item uuid, score double precision)
	AS 'MODULE_PATHNAME', 'mf_topk_for' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_topk_for(uuid[], double precision[], integer, text, boolean, uuid[], uuid[],
	double precision) IS
	'the k items that someone with these items would rate highest, best first, without these; ratings are as many as items';

CREATE FUNCTION mf_topk_for(items text[], ratings double precision[] DEFAULT NULL,
	k integer DEFAULT 10, model text DEFAULT NULL, exclude_seen boolean DEFAULT true,
	candidates text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
	diversity double precision DEFAULT 0)
	RETURNS TABLE (item text, score double precision)
	AS 'MODULE_PATHNAME', 'mf_topk_for' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_topk_for(text[], double precision[], integer, text, boolean, text[], text[],
	double precision) IS
	'the k items that someone with these items would rate highest, best first, without these; ratings are as many as items';

CREATE FUNCTION mf_explain(user_id bigint, item_id bigint, n integer DEFAULT 10,
	model text DEFAULT NULL)
	RETURNS TABLE (item bigint, rating double precision, contribution double precision,
		base double precision, score double precision)
	AS 'MODULE_PATHNAME', 'mf_explain' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000 ROWS 10;
COMMENT ON FUNCTION mf_explain(bigint, bigint, integer, text) IS
	'the user''s own items that speak most for the item, most first; all contributions and the base add up to the score';

CREATE FUNCTION mf_explain(user_id uuid, item_id uuid, n integer DEFAULT 10,
	model text DEFAULT NULL)
	RETURNS TABLE (item uuid, rating double precision, contribution double precision,
		base double precision, score double precision)
	AS 'MODULE_PATHNAME', 'mf_explain' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000 ROWS 10;
COMMENT ON FUNCTION mf_explain(uuid, uuid, integer, text) IS
	'the user''s own items that speak most for the item, most first; all contributions and the base add up to the score';

CREATE FUNCTION mf_explain(user_id text, item_id text, n integer DEFAULT 10,
	model text DEFAULT NULL)
	RETURNS TABLE (item text, rating double precision, contribution double precision,
		base double precision, score double precision)
	AS 'MODULE_PATHNAME', 'mf_explain' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000 ROWS 10;
COMMENT ON FUNCTION mf_explain(text, text, integer, text) IS
	'the user''s own items that speak most for the item, most first; all contributions and the base add up to the score';

CREATE FUNCTION mf_explain(user_id anyelement, item_id anycompatible, n integer,
	item_type anycompatible, model text DEFAULT NULL)
	RETURNS TABLE (item anycompatible, rating double precision, contribution double precision,
		base double precision, score double precision)
	AS 'MODULE_PATHNAME', 'mf_explain_witness' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000 ROWS 10;
COMMENT ON FUNCTION mf_explain(anyelement, anycompatible, integer, anycompatible, text) IS
	'mf_explain for ids of other types: item_type is a NULL of the type of the item ids';

CREATE TYPE mf_vector AS (bias real, factors real[]);
COMMENT ON TYPE mf_vector IS 'what the table of a model''s users holds of one: a bias and factors';
COMMENT ON COLUMN mf_vector.bias IS 'how far above the mean the ratings lie; 0 for implicit feedback';
COMMENT ON COLUMN mf_vector.factors IS 'the embedding';

CREATE FUNCTION mf_fold_in_final(state internal) RETURNS mf_vector
	AS 'MODULE_PATHNAME', 'mf_fold_in_final' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_fold_in_final(internal) IS 'of the aggregate mf_fold_in: the vector';

CREATE FUNCTION mf_fold_in_add(state internal, item bigint, rating double precision)
	RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_fold_in_add' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_fold_in_add(internal, bigint, double precision) IS
	'of the aggregate mf_fold_in: takes a row';
CREATE AGGREGATE mf_fold_in(item bigint, rating double precision) (
	SFUNC = mf_fold_in_add, STYPE = internal, SSPACE = 2048, FINALFUNC = mf_fold_in_final,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_fold_in(bigint, double precision) IS
	'the bias and the vector (as many elements as the model has factors) of a user with these ratings, as mf_train would find them; NULL where no item is known';

CREATE FUNCTION mf_fold_in_add(state internal, item bigint, rating double precision, model text)
	RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_fold_in_add' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_fold_in_add(internal, bigint, double precision, text) IS
	'of the aggregate mf_fold_in: takes a row';
CREATE AGGREGATE mf_fold_in(item bigint, rating double precision, model text) (
	SFUNC = mf_fold_in_add, STYPE = internal, SSPACE = 2048, FINALFUNC = mf_fold_in_final,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_fold_in(bigint, double precision, text) IS
	'the bias and the vector (as many elements as the model has factors) of a user with these ratings, as mf_train would find them; NULL where no item is known';

CREATE FUNCTION mf_fold_in_add(state internal, item uuid, rating double precision)
	RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_fold_in_add' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_fold_in_add(internal, uuid, double precision) IS
	'of the aggregate mf_fold_in: takes a row';
CREATE AGGREGATE mf_fold_in(item uuid, rating double precision) (
	SFUNC = mf_fold_in_add, STYPE = internal, SSPACE = 2048, FINALFUNC = mf_fold_in_final,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_fold_in(uuid, double precision) IS
	'the bias and the vector (as many elements as the model has factors) of a user with these ratings, as mf_train would find them; NULL where no item is known';

CREATE FUNCTION mf_fold_in_add(state internal, item uuid, rating double precision, model text)
	RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_fold_in_add' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_fold_in_add(internal, uuid, double precision, text) IS
	'of the aggregate mf_fold_in: takes a row';
CREATE AGGREGATE mf_fold_in(item uuid, rating double precision, model text) (
	SFUNC = mf_fold_in_add, STYPE = internal, SSPACE = 2048, FINALFUNC = mf_fold_in_final,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_fold_in(uuid, double precision, text) IS
	'the bias and the vector (as many elements as the model has factors) of a user with these ratings, as mf_train would find them; NULL where no item is known';

CREATE FUNCTION mf_fold_in_add(state internal, item text, rating double precision)
	RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_fold_in_add' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_fold_in_add(internal, text, double precision) IS
	'of the aggregate mf_fold_in: takes a row';
CREATE AGGREGATE mf_fold_in(item text, rating double precision) (
	SFUNC = mf_fold_in_add, STYPE = internal, SSPACE = 2048, FINALFUNC = mf_fold_in_final,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_fold_in(text, double precision) IS
	'the bias and the vector (as many elements as the model has factors) of a user with these ratings, as mf_train would find them; NULL where no item is known';

CREATE FUNCTION mf_fold_in_add(state internal, item text, rating double precision, model text)
	RETURNS internal
	AS 'MODULE_PATHNAME', 'mf_fold_in_add' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION mf_fold_in_add(internal, text, double precision, text) IS
	'of the aggregate mf_fold_in: takes a row';
CREATE AGGREGATE mf_fold_in(item text, rating double precision, model text) (
	SFUNC = mf_fold_in_add, STYPE = internal, SSPACE = 2048, FINALFUNC = mf_fold_in_final,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE mf_fold_in(text, double precision, text) IS
	'the bias and the vector (as many elements as the model has factors) of a user with these ratings, as mf_train would find them; NULL where no item is known';

CREATE FUNCTION mf_similar_items(item_id bigint, k integer DEFAULT 10, model text DEFAULT NULL)
	RETURNS TABLE (item bigint, similarity double precision)
	AS 'MODULE_PATHNAME', 'mf_similar_items' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_similar_items(bigint, integer, text) IS
	'the k items most similar to the item, nearest first, by the cosine of their factors (-1 to 1), without itself';

CREATE FUNCTION mf_similar_items(item_id uuid, k integer DEFAULT 10, model text DEFAULT NULL)
	RETURNS TABLE (item uuid, similarity double precision)
	AS 'MODULE_PATHNAME', 'mf_similar_items' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_similar_items(uuid, integer, text) IS
	'the k items most similar to the item, nearest first, by the cosine of their factors (-1 to 1), without itself';

CREATE FUNCTION mf_similar_items(item_id text, k integer DEFAULT 10, model text DEFAULT NULL)
	RETURNS TABLE (item text, similarity double precision)
	AS 'MODULE_PATHNAME', 'mf_similar_items' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_similar_items(text, integer, text) IS
	'the k items most similar to the item, nearest first, by the cosine of their factors (-1 to 1), without itself';

CREATE FUNCTION mf_similar_items(item_id anycompatible, k integer, item_type anycompatible,
	model text DEFAULT NULL)
	RETURNS TABLE (item anycompatible, similarity double precision)
	AS 'MODULE_PATHNAME', 'mf_similar_items_witness' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_similar_items(anycompatible, integer, anycompatible, text) IS
	'mf_similar_items for ids of other types: item_type is a NULL of the type of the ids';

CREATE FUNCTION mf_similar_users(to_user bigint, k integer DEFAULT 10, model text DEFAULT NULL)
	RETURNS TABLE (user_id bigint, similarity double precision)
	AS 'MODULE_PATHNAME', 'mf_similar_users' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_similar_users(bigint, integer, text) IS
	'the k users most similar to the user, nearest first, by the cosine of their factors (-1 to 1), without itself';

CREATE FUNCTION mf_similar_users(to_user uuid, k integer DEFAULT 10, model text DEFAULT NULL)
	RETURNS TABLE (user_id uuid, similarity double precision)
	AS 'MODULE_PATHNAME', 'mf_similar_users' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_similar_users(uuid, integer, text) IS
	'the k users most similar to the user, nearest first, by the cosine of their factors (-1 to 1), without itself';

CREATE FUNCTION mf_similar_users(to_user text, k integer DEFAULT 10, model text DEFAULT NULL)
	RETURNS TABLE (user_id text, similarity double precision)
	AS 'MODULE_PATHNAME', 'mf_similar_users' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_similar_users(text, integer, text) IS
	'the k users most similar to the user, nearest first, by the cosine of their factors (-1 to 1), without itself';

CREATE FUNCTION mf_similar_users(to_user anycompatible, k integer, user_type anycompatible,
	model text DEFAULT NULL)
	RETURNS TABLE (user_id anycompatible, similarity double precision)
	AS 'MODULE_PATHNAME', 'mf_similar_users_witness' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION mf_similar_users(anycompatible, integer, anycompatible, text) IS
	'mf_similar_users for ids of other types: user_type is a NULL of the type of the ids';

-- ---------------------------------------------------------------------------
-- Everyone at once
-- ---------------------------------------------------------------------------

CREATE FUNCTION mf_topk_all(k integer DEFAULT 10, model text DEFAULT NULL,
	exclude_seen boolean DEFAULT true)
	RETURNS TABLE (user_id bigint, item bigint, score double precision, rank integer)
	AS 'MODULE_PATHNAME', 'mf_topk_all' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION mf_topk_all(integer, text, boolean) IS
	'what mf_topk gives for every user of the model, ranked from 1; k times users rows at most';

CREATE FUNCTION mf_topk_all(users bigint[], k integer DEFAULT 10, model text DEFAULT NULL,
	exclude_seen boolean DEFAULT true)
	RETURNS TABLE (user_id bigint, item bigint, score double precision, rank integer)
	AS 'MODULE_PATHNAME', 'mf_topk_all_of' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION mf_topk_all(bigint[], integer, text, boolean) IS
	'what mf_topk gives for each of the users, NULL meaning all, ranked from 1';

CREATE FUNCTION mf_topk_all(users uuid[], k integer DEFAULT 10, model text DEFAULT NULL,
	exclude_seen boolean DEFAULT true)
	RETURNS TABLE (user_id uuid, item uuid, score double precision, rank integer)
	AS 'MODULE_PATHNAME', 'mf_topk_all_of' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION mf_topk_all(uuid[], integer, text, boolean) IS
	'what mf_topk gives for each of the users, NULL meaning all, ranked from 1';

CREATE FUNCTION mf_topk_all(users text[], k integer DEFAULT 10, model text DEFAULT NULL,
	exclude_seen boolean DEFAULT true)
	RETURNS TABLE (user_id text, item text, score double precision, rank integer)
	AS 'MODULE_PATHNAME', 'mf_topk_all_of' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION mf_topk_all(text[], integer, text, boolean) IS
	'what mf_topk gives for each of the users, NULL meaning all, ranked from 1';

CREATE FUNCTION mf_topk_all(users anyarray, item_type anycompatible, k integer DEFAULT 10,
	model text DEFAULT NULL, exclude_seen boolean DEFAULT true)
	RETURNS TABLE (user_id anyelement, item anycompatible, score double precision, rank integer)
	AS 'MODULE_PATHNAME', 'mf_topk_all_witness' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION mf_topk_all(anyarray, anycompatible, integer, text, boolean) IS
	'mf_topk_all for ids of other types: item_type is a NULL of the type that item is to have';

-- ---------------------------------------------------------------------------
-- Keeping up between trainings
-- ---------------------------------------------------------------------------

CREATE FUNCTION mf_retrain(
	model text DEFAULT NULL,
	iterations integer DEFAULT 15,
	tolerance double precision DEFAULT 0.001,
	verbose boolean DEFAULT true,
	OUT model text,
	OUT users bigint,
	OUT items bigint,
	OUT ratings bigint,
	OUT iterations integer,
	OUT error double precision,
	OUT seconds double precision)
	AS 'MODULE_PATHNAME', 'mf_retrain' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_retrain(text, integer, double precision, boolean) IS
	'trains a model again with the options it has, from the vectors it has, until the objective hardly falls';

CREATE FUNCTION mf_refresh(model text DEFAULT NULL,
	OUT users bigint, OUT items bigint, OUT new_users bigint, OUT new_items bigint,
	OUT gone_users bigint, OUT gone_items bigint)
	AS 'MODULE_PATHNAME', 'mf_refresh' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_refresh(text) IS
	'solves anew what has other ratings than the model knows, adds what is new and removes what is gone';

CREATE FUNCTION mf_refresh(model text, users bigint[], items bigint[] DEFAULT NULL,
	OUT users bigint, OUT items bigint, OUT new_users bigint, OUT new_items bigint,
	OUT gone_users bigint, OUT gone_items bigint)
	AS 'MODULE_PATHNAME', 'mf_refresh_named' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_refresh(text, bigint[], bigint[]) IS
	'solves the users and items that are named anew from their ratings as they are now, adds or removes them; NULL names none';

CREATE FUNCTION mf_refresh(model text, users uuid[], items uuid[] DEFAULT NULL,
	OUT users bigint, OUT items bigint, OUT new_users bigint, OUT new_items bigint,
	OUT gone_users bigint, OUT gone_items bigint)
	AS 'MODULE_PATHNAME', 'mf_refresh_named' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_refresh(text, uuid[], uuid[]) IS
	'solves the users and items that are named anew from their ratings as they are now, adds or removes them; NULL names none';

CREATE FUNCTION mf_refresh(model text, users text[], items text[] DEFAULT NULL,
	OUT users bigint, OUT items bigint, OUT new_users bigint, OUT new_items bigint,
	OUT gone_users bigint, OUT gone_items bigint)
	AS 'MODULE_PATHNAME', 'mf_refresh_named' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mf_refresh(text, text[], text[]) IS
	'solves the users and items that are named anew from their ratings as they are now, adds or removes them; NULL names none';

-- ---------------------------------------------------------------------------
-- Pictures
-- ---------------------------------------------------------------------------

CREATE FUNCTION mf_map(model text DEFAULT NULL, side text DEFAULT 'items')
	RETURNS TABLE (id bigint, x double precision, y double precision)
	AS 'MODULE_PATHNAME', 'mf_map' LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 1000;
COMMENT ON FUNCTION mf_map(text, text) IS
	'the vectors of a side, items or users, centred, on their first two principal components';

CREATE FUNCTION mf_map(id_type anyelement, model text DEFAULT NULL, side text DEFAULT 'items')
	RETURNS TABLE (id anyelement, x double precision, y double precision)
	AS 'MODULE_PATHNAME', 'mf_map_witness' LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 1000;
COMMENT ON FUNCTION mf_map(anyelement, text, text) IS
	'mf_map for ids of other types: id_type is a NULL of the type that id is to have';

CREATE FUNCTION mf_map_svg(model text DEFAULT NULL, side text DEFAULT 'items', labels regclass DEFAULT NULL,
	label_col name DEFAULT 'title', label_key name DEFAULT NULL, n integer DEFAULT 300,
	only_labelled boolean DEFAULT false)
	RETURNS text
	AS 'MODULE_PATHNAME', 'mf_map_svg' LANGUAGE C STABLE PARALLEL UNSAFE COST 100000;
COMMENT ON FUNCTION mf_map_svg(text, text, regclass, name, name, integer, boolean) IS
	'an SVG picture of mf_map, of the n with the most ratings, labelled from a table where there is room';

CREATE FUNCTION mf_history_svg(model text DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'mf_history_svg' LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION mf_history_svg(text) IS
	'an SVG picture of the error, the loss of what was held out, and the objective after each iteration';

# Random calls of everything that the extension offers to SQL, with random DDL in
# between. Nothing may crash the server, be an internal error (XX000) or corrupt
# data (XX001, XX002), take more than five seconds, or leave memory behind.
#
# Functions, aggregates and operators are taken from the catalogue, so that new
# ones are covered by themselves (parts of aggregates are reached through these); values come from pools by type, with better ones
# for arguments of known names, since a call all of whose arguments are absurd gets
# no further than their checks.
#
# Work is done in batches, each of which makes its tables anew. Half of them call
# with arguments that are absurd to some degree; in the others something is altered
# (a model's table, its row in mf_models, the ratings), sometimes in the middle of
# a call, by a view of the ratings that does it, and good calls follow. A batch
# depends on the seed and its number alone, so what fails can be repeated:
#
#   FACTOR_FUZZ_SECONDS=600   how long to go on; 60 unless set
#   FACTOR_FUZZ_SEED=7        other batches than those of seed 1
#   FACTOR_FUZZ_BATCH=123     that batch alone, and it is shown
#   FACTOR_FUZZ_SHOW='^22'    shows the statements that end with such a SQLSTATE
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib dirname(__FILE__);
use FactorTest;

my $seconds = $ENV{FACTOR_FUZZ_SECONDS} // 60;
my $seed = $ENV{FACTOR_FUZZ_SEED} // 1;
my $only = $ENV{FACTOR_FUZZ_BATCH};
my $statements_a_batch = 40;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
autovacuum = off
fsync = off
restart_after_crash = off
max_parallel_maintenance_workers = 1
log_min_messages = log
log_checkpoints = off
log_min_error_statement = panic
});
$node->start;

# ---- What every batch begins with ----

# Models of all kinds, made once in fz_base and copied to fz by fz_base.reset().
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION factor;
	CREATE ROLE fz_user;
	CREATE SCHEMA fz_base;
	SET search_path = fz_base, public;
	CREATE TABLE ratings AS
		SELECT u AS user_id, i AS item_id, (1 + (u * i) % 5)::real AS rating, date '2024-01-01' + u + i AS at
		FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE (u * 7 + i * 3) % 4 = 0;
	CREATE TABLE named AS
		SELECT 'u' || user_id AS user_id, md5(item_id::text)::uuid AS item_id, rating::numeric AS rating FROM ratings;
	CREATE TABLE titles AS SELECT i AS item_id, 'Title <' || i || '>' AS title FROM generate_series(1, 40) i;
	CREATE TABLE user_copy (user_id int PRIMARY KEY, bias real, factors real[]);
	CREATE TABLE item_copy (item_id int PRIMARY KEY, bias real, factors real[]);
	CREATE TABLE vectors AS
		SELECT i AS id, ARRAY[sin(i), cos(i), i % 3]::real[] AS v FROM generate_series(1, 300) i;
	INSERT INTO vectors VALUES (1001, NULL), (1002, '{}'), (1003, '{NaN,1,2}'), (1004, '{Infinity,1,2}'), (1005, '{1}'),
		(1006, '{1e38,1e38,1e38}'), (1007, '{0,0,0}'), (1008, '{NULL,1,2}'), (1009, '{{1,2},{3,4}}'), (1010, '{1e-40,0,0}');
	CREATE INDEX ON vectors USING topk (v);
	SELECT mf_train('ratings', model => 'e', factors => 4, iterations => 2, verbose => false);
	SELECT mf_train('ratings', model => 'm', feedback => 'implicit', factors => 4, iterations => 2, verbose => false);
	SELECT mf_train('ratings', model => '"Mixed Case"', loss => 'logistic', feedback => 'implicit', factors => 4, iterations => 2, verbose => false);
	SELECT mf_train('ratings', model => 'r', factors => 4, iterations => 2, holdout => 0.2, verbose => false, options => '{"solver": "sgd", "rating_range": "[1,5]"}');
	SELECT mf_train('named', model => 't', factors => 4, iterations => 2, verbose => false);
	SELECT mf_train('ratings', model => 'f', factors => 4, iterations => 2, time_col => 'at', verbose => false, options => '{"min_rating": 2, "since": "2024-01-09"}');
	CREATE TABLE kept_models AS SELECT * FROM mf_models WHERE schema = 'fz_base';
	CREATE TABLE kept_history AS SELECT * FROM mf_history WHERE schema = 'fz_base';

	CREATE FUNCTION reset() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		t text;
	BEGIN
		DROP SCHEMA IF EXISTS fz CASCADE;
		DROP SCHEMA IF EXISTS fz_other CASCADE;
		DELETE FROM public.mf_models WHERE schema NOT IN ('fz_base');
		DELETE FROM public.mf_history WHERE schema NOT IN ('fz_base');
		CREATE SCHEMA fz;
		CREATE SCHEMA fz_other;
		GRANT ALL ON SCHEMA fz, fz_other TO fz_user;
		FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'fz_base'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'kept%' LOOP
			EXECUTE format('CREATE TABLE fz.%1$I (LIKE fz_base.%1$I INCLUDING ALL)', t);
			EXECUTE format('INSERT INTO fz.%1$I TABLE fz_base.%1$I', t);
		END LOOP;
		CREATE INDEX ON fz.ratings (user_id);
		CREATE VIEW fz.by_user AS SELECT r.*, bias, factors FROM fz.ratings r LEFT JOIN fz.item_copy USING (item_id);
		CREATE VIEW fz.by_item AS SELECT r.*, bias, factors FROM fz.ratings r LEFT JOIN fz.user_copy USING (user_id);
		CREATE MATERIALIZED VIEW fz.copied AS TABLE fz.ratings;
		GRANT ALL ON ALL TABLES IN SCHEMA fz TO fz_user;
		INSERT INTO public.mf_models SELECT (jsonb_populate_record(NULL::public.mf_models,
			to_jsonb(k) || '{"schema": "fz", "source_schema": "fz"}')).* FROM fz_base.kept_models k;
		INSERT INTO public.mf_history SELECT (jsonb_populate_record(NULL::public.mf_history,
			to_jsonb(k) || '{"schema": "fz"}')).* FROM fz_base.kept_history k;
	END $$;

	-- States of aggregates from bytes, by declarations that only a superuser may write
	CREATE FUNCTION state_of(bytea) RETURNS bigint AS '$libdir/factor', 'mf_solve_deserialize' LANGUAGE C STRICT;
	CREATE FUNCTION state_combine(internal, bigint) RETURNS internal AS '$libdir/factor', 'mf_solve_combine' LANGUAGE C;
	CREATE AGGREGATE solve_of(bigint) (SFUNC = state_combine, STYPE = internal, FINALFUNC = mf_solve_final);
	CREATE AGGREGATE error_of(bigint) (SFUNC = state_combine, STYPE = internal, FINALFUNC = mf_solve_error_final);
	CREATE AGGREGATE gramian_of(bigint) (SFUNC = state_combine, STYPE = internal, FINALFUNC = mf_gramian_final);
	CREATE AGGREGATE bytes_of(real[], double precision, mf_options) (
		SFUNC = mf_solve_accum, STYPE = internal, FINALFUNC = mf_solve_serialize);
	CREATE AGGREGATE bytes_of(real[], real, double precision, mf_options) (
		SFUNC = mf_solve_accum, STYPE = internal, FINALFUNC = mf_solve_serialize);
	CREATE AGGREGATE bytes_of(real[]) (SFUNC = mf_gramian_accum, STYPE = internal, FINALFUNC = mf_solve_serialize);
});

# ---- The surface ----

my $of_extension = q{
	JOIN pg_depend d ON d.objid = o.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'factor'};
my @functions = map {
	my ($name, $kind, $set, $types, $names, $defaults) = split /\|/, $_, -1;
	{
		name => $name, kind => $kind, set => $set eq 't', defaults => $defaults,
		types => [ split /;/, $types ], names => [ split /;/, $names ]
	}
} grep { !/\binternal\b/ } split /\n/, $node->safe_psql(
	'postgres', qq{
	SELECT o.proname, o.prokind, o.proretset,
		(SELECT string_agg(format_type(t, NULL), ';' ORDER BY k) FROM unnest(o.proargtypes) WITH ORDINALITY a (t, k)),
		(SELECT string_agg(n, ';' ORDER BY k) FROM unnest(o.proargnames) WITH ORDINALITY a (n, k)
			WHERE coalesce(o.proargmodes[k], 'i') IN ('i', 'b', 'v')),
		o.pronargdefaults
	FROM pg_proc o $of_extension WHERE d.classid = 'pg_proc'::regclass ORDER BY o.proname, o.oid});
my @operators = split /\n/, $node->safe_psql(
	'postgres', qq{
	SELECT o.oprname || '|' || format_type(oprleft, NULL) || '|' || format_type(oprright, NULL)
	FROM pg_operator o $of_extension WHERE d.classid = 'pg_operator'::regclass ORDER BY o.oid});
cmp_ok(scalar @functions, '>', 40, 'functions and aggregates found in the catalogue');
cmp_ok(scalar @operators, '>', 2, 'operators found in the catalogue');

# ---- Values ----

sub pick { return $_[ int(rand(@_)) ] }
sub chance { return rand() < $_[0] }

my @texts = ("''", "'\"'", "'x'", "'1'", "'m'", "'a.b.c'", "'\"'';--'", "repeat('x', 70)", "repeat('x', 100000)", "E'\\u00e9\\n'", "'NaN'", "'{}'");
my @reals = qw('NaN' 'Infinity' '-Infinity' 0 -0 1 -1 0.5 1e-40 1e38 -3e38 3 1e-7);
my @doubles = (@reals, qw(1e308 -1e308 1e-320 0.1 2.2 5 10 100));
my @integers = qw(0 1 -1 2 3 5 10 30 31 40 41 100 1000 32767 2147483647 -2147483648);

my %pool = (
	'boolean' => [qw(true false)],
	'smallint' => [qw(0 1 2 3 32767 -32768)],
	'integer' => \@integers,
	'bigint' => [ @integers, qw(9223372036854775807 -9223372036854775808 4294967296) ],
	'real' => \@reals,
	'double precision' => \@doubles,
	'numeric' => [qw('NaN' 0 1 2.00 3.5 1e300 -1e-300 10)],
	'text' => \@texts,
	'name' => [ @texts[0 .. 6], qw('user_id' 'item_id' 'rating' 'ctid' 'xmin' 'tableoid' 'at' 'bias' 'factors' 'USER_ID') ],
	'uuid' => ["md5('1')::uuid", "md5('7')::uuid", "'00000000-0000-0000-0000-000000000000'"],
	'date' => ["'2024-01-01'", "'infinity'", "'-infinity'"],
	'regclass' => [qw('fz.ratings' 'fz.named' 'fz.e_users' 'fz.e_items' 'fz.by_user' 'fz.by_item' 'fz.copied' 'fz.vectors' 'pg_class'
		'pg_statistic' 'fz.vectors_v_idx' 'fz.user_copy' 'mf_models' 'fz.titles' 0 4294967295 'pg_toast.pg_toast_1255')],
	'bytea' => [q('\\x'), q('\\x00'), q('\\xffffffffffffffffffffffffffffffffffffffff')],
	'numrange' => [ "'[1,5]'", "'empty'", "'(,)'", "'[1,)'", "'[5,5]'", "'[-1e308,1e308]'", "'[NaN,NaN]'", "'[0.1,0.3]'" ],
	'jsonb' => [
		q('{}'), q('[]'), q('null'), q('3'), q('"x"'), q('{"factors": 2, "iterations": 1}'), q('{"factors": [1, 2], "iterations": 1}'),
		q('{"factors": "x"}'), q('{"factors": null}'), q('{"factors": {"min": 1, "max": 3}, "iterations": 1}'),
		q('{"regularization": {"min": 0.1, "max": 3, "log": true}, "iterations": 1, "factors": 2}'),
		q('{"regularization": {"min": -1, "max": "y", "log": 3}, "iterations": 1}'), q('{"iterations": [], "factors": 2}'),
		q('{"model": "x", "ratings": 3}'), q('{"": {}}'), q('{"holdout": 0.2, "patience": 1, "iterations": 2, "factors": 2}'),
		q('{"solver": ["als", "sgd"], "iterations": 1, "factors": 2}'), q('{"loss": "bpr", "iterations": 1, "factors": 2, "seed": 1e400}')
	],
	'mf_options' => [
		q{mf_solve_options('{"mean": 3, "regularization": 0.1}')}, q{mf_solve_options('{"feedback": "implicit"}')}, 'mf_solve_options(NULL)', 'NULL',
		q{mf_solve_options('{"feedback": "implicit", "unobserved_weight": 0.1, "others": 30}', array_fill(1::float8, ARRAY[9]))},
		q{mf_solve_options('{"unobserved_weight": 0.1, "others": 30}', '{}')},
		q{mf_solve_options('{"unobserved_weight": 0.1, "others": 1e300}', array_fill('NaN'::float8, ARRAY[3, 3]))},
		q{mf_solve_options('{"unobserved_weight": 0.1, "others": 30}', '{NULL,1,1,1}')}, q{mf_solve_options('{"alpha": -1, "reg_exponent": 7}')},
		"ROW(false,'NaN',1,1,1,1,0,NULL,NULL)", "ROW(false,1,'-Infinity',1e300,-5,1,0,NULL,NULL)", 'ROW(NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL)',
		'ROW(true,1,1,1,1,1,1,NULL,NULL)'
	],
	'mf_vector' => [q{ROW(1, '{1,2,3}')}],
);

# Arrays of odd shapes of whatever has a pool
sub array_of
{
	my ($type, $name, $good) = @_;
	my $one = sub { typed($type, $name, $good) };

	return "'{}'" if chance(0.1) && $good < 1;
	return "array_fill(" . $one->() . ", ARRAY[" . pick('2,2', '1,1,1', '3', '0', '70') . "])" if chance(0.15) && $good < 1;
	return "array_fill(" . $one->() . ", ARRAY[3], ARRAY[-5])" if chance(0.05);
	return 'ARRAY[' . join(', ', map { $one->() } 1 .. ($good < 1 ? pick(1, 1, 2, 3, 3, 3, 4, 5, 8) : 3)) . ']';
}

# Good values for arguments of these names
my @text_models = ("'t'", "'t'", "'fz.t'");
my @models = ("'m'", "'e'", "'e'", "'e'", "'e'", "'e'", "'m'", "'r'", "'f'", "'\"Mixed Case\"'", "'fz.e'", "'fz.m'");
my %good = (
	model => [ @models, "'fz.new'", "'new'", 'NULL' ],
	k => [qw(0 1 3 10 1000)], n => [qw(0 1 3 10)],
	user_col => ["'user_id'"], item_col => ["'item_id'"], rating_col => [ "'rating'", "'rating'", 'NULL' ],
	ratings => ["'fz.ratings'"], test => ["'fz.ratings'"], train => [ "'fz.ratings'", 'NULL' ],
	by_user => ["'fz.by_user'"], by_item => ["'fz.by_item'"],
	user_copies => ["ARRAY['fz.user_copy']"], item_copies => ["ARRAY['fz.item_copy']"],
	labels => ["'fz.titles'"], label_col => ["'title'"], label_key => ["'item_id'", 'NULL'], index => ["'fz.vectors_v_idx'"],
	feedback => [ "'explicit'", "'implicit'", 'NULL' ], loss => [ "'squared'", "'logistic'", "'bpr'", 'NULL' ],
	side => [ "'items'", "'users'" ], metric => [ "'rmse'", "'ndcg'" ], results => [ "'fz.trials'", 'NULL' ],
	holdout => [ '0.2', "'time'", 'NULL' ], time_col => [ "'at'", 'NULL' ], options => [ "'{}'", 'NULL' ],
	grid => [ q('{"factors": [1, 2], "iterations": 1}'), q('{"regularization": {"min": 0.1, "max": 3, "log": true}, "iterations": 1, "factors": 2}') ],
	live => [qw(true false NULL)], diversity => [qw(0 0.5 1)], exclude_seen => [qw(true false)], exclude_train => [qw(true false)],
	item_type => ['NULL'], user_type => ['NULL'], id_type => ['NULL'], relevant => [qw(4 NULL)], alpha => [qw(1 40 NULL)],
	regularization => [qw(0.1 0 NULL)], verbose => ['false'],
	tolerance => [qw(0 0.1)], seed => [qw(0 1)], only_labelled => [qw(true false)],
);

# What these may be where time counts: no more than this is asked of a training.
my %bounded = (
	iterations => [qw(NULL 0 -1 1 1 2 3 100001 2147483647)], factors => [qw(NULL 0 -1 1 2 4 8 2001 2147483647)],
	trials => [qw(NULL 0 -1 1 2)],
	fraction => [ @doubles ], n => [ @integers ],
);
# Options by name, with good values; what bounds the time is an argument.
my %option = (
	solver => [ '"als"', '"sgd"' ], optimizer => [ '"adam"', '"sgd"', '"adagrad"' ], schedule => ['"one_cycle"'], batch_size => [ 0, 1, 8 ],
	learning_rate => [ 0.01, 0.1 ], weight_decay => [ 0, 0.1 ], negatives => [ 0, 1, 3 ], negative_sampling => [ '"uniform"', '"in_batch"', '"popularity"' ],
	observed_negatives => [ 'true', 'false' ], rating_range => [ '"[1,5]"', '"[0,)"', '"[NaN,NaN]"', '"[-1e308,1e308]"' ], bias => [ 'true', 'false' ],
	center => [ 'true', 'false' ], init_std => [ 0, 0.1 ], unobserved_weight => [ 0, 0.1, 1 ], reg_exponent => [ 0, 0.5, 1 ],
	bias_regularization => [ 0, 4 ], index => [ 'true', 'false' ], patience => [ 1, 2 ], min_user_ratings => [ 1, 3 ], min_item_ratings => [ 1, 3 ],
	min_rating => [ 2, 2.5, 99 ], since => [ '"2024-01-03"', '"soon"' ], holdout => [ 0.2, '"time"', '"time 0.3"' ], time_col => [ '"at"', '"rating"' ],
	feedback => ['"implicit"'], loss => [ '"bpr"', '"logistic"' ], seed => [ 0, 9223372036854775807 ], folds => [ 1, 2 ], test => [ '"fz.ratings"', '"fz.e_users"' ],
	k => [ 1, 10 ], relevant => [ 4, -1e300 ], mean => [3], others => [ 1, 30 ], colour => [1]
);
my @of_tune = qw(folds test k relevant colour);
my @of_solve = qw(feedback mean reg_exponent bias_regularization unobserved_weight others colour);
my @of_training = grep { !/^(folds|test|k|relevant|mean|others)$/ } sort keys %option;
my @odd = (qw(null true -1 0 2.0 2.5 1e400 -1e-400 9223372036854775808 [] {}), '"x"', '""', '[1]', '"' . 'x' x 2000 . '"');

sub options_of
{
	my ($good) = @_;
	my @names = @{ pick(\@of_training, \@of_training, \@of_training, \@of_tune, \@of_solve) };
	my %chosen = map { $_ => 1 } map { pick(@names) } 1 .. pick(0, 1, 1, 2, 3, 5);

	return "'{" . join(', ', map { "\"$_\": " . pick(chance($good) ? @{ $option{$_} } : @odd) } sort keys %chosen) . "}'";
}

my %kin = (int => 'integer', integer => 'integer', bigint => 'bigint', text => 'text', uuid => 'uuid');

# A value's text, without its type. `good` is the share of those that mean something.
sub value
{
	my ($type, $name, $good) = @_;

	return 'NULL' if !chance($good) && chance(0.2);
	return pick(1, 2, 3) if $name =~ /^(iterations|factors|trials)$/ && $good == 1;
	return pick(@{ $bounded{$name} }) if $bounded{$name} && $type !~ /\[\]$/ && !($good{$name} && chance($good));
	if ($good{$name} && chance($good))
	{
		my $chosen = pick(@{ $good{$name} });

		# Other functions may have an argument of that name and another type.
		return $chosen if $chosen !~ /fz\.(?!new)/ || $type =~ /^(regclass|text)/;
	}
	return options_of($good) if $name eq 'options' && $type eq 'jsonb' && chance(0.8);
	return array_of($1, $name, $good) if $type =~ /^(.*)\[\]$/;
	if ($name =~ /user|item|^id$|candidates|exclude$/ && chance($good))
	{
		return pick(1 .. 12, 30, 40, 77) if $type =~ /int/;
		return "'u" . pick(1 .. 12) . "'" if $type eq 'text' && $name =~ /user/;
		return "md5('" . pick(1 .. 12) . "')" if $type eq 'uuid' || $type eq 'text';
	}
	return pick(@{ $pool{$type} // $pool{text} });
}

sub typed
{
	my ($type, $name, $good) = @_;
	my $value;

	$type = pick('integer', 'text', 'double precision', 'date', 'boolean') if $type eq '"any"' && $name !~ /^(holdout|since)$/;
	$value = value($type, $name, $good);
	return $type eq '"any"' ? $value : "($value)::$type";
}

# The types that a call has in place of polymorphic ones
sub concrete
{
	my @types = @_;
	my @choices = ('integer', 'bigint', 'text', 'uuid', 'numeric', 'date', 'integer[]', 'mf_vector', 'name', 'boolean');
	my ($element, $compatible) = (pick(@choices[ 0 .. 3 ], @choices), pick(@choices[ 0 .. 3 ], @choices));

	s/\[\]$// for $element, $compatible;
	return map {
		    $_ eq 'anyelement' ? $element
		  : $_ eq 'anyarray' ? "$element\[]"
		  : $_ eq 'anycompatible' ? $compatible
		  : $_ eq 'anycompatiblearray' ? "$compatible\[]"
		  : $_
	} @types;
}

# ---- Statements ----

sub arguments
{
	my ($function, $good) = @_;
	my @types = concrete(@{ $function->{types} });
	my $given = @types - int(rand($function->{defaults} + 1));
	my $named = @{ $function->{names} } == @types && ($good == 1 || chance(0.6));
	my @list;

	# What bounds the time is always given.
	for my $k (0 .. $#types)
	{
		$given = $k + 1 if $k >= $given && ($function->{names}[$k] // '') =~ /^(iterations|factors|trials|verbose|grid)$/;
	}

	# A model whose ids have the types of the call
	local $good{model} = [@text_models] if "@types" =~ /uuid/ && chance(0.8);
	my $skip = @types > 12 ? 0.85 : 0.6;

	for my $k (0 .. $#types)
	{
		my $name = $function->{names}[$k] // '';
		my $must = $good == 1 && $name eq 'model' || $k < @types - $function->{defaults} || ($name =~ /^(iterations|factors|trials|verbose|grid)$/);

		next if $named ? !$must && (chance($skip) || $good == 1 && !$good{$name}) : $k >= $given;
		push @list, ($named ? "\"$name\" => " : '') . typed($types[$k], $name, $good);
	}
	return join ', ', @list;
}

sub aggregate
{
	my ($function, $good) = @_;
	my @types = @{ $function->{types} };
	my $columns = join ', ', map { "c$_" } 0 .. $#types;
	local $good{model} = [@text_models] if $types[0] =~ /uuid|text/ && chance(0.8);
	my @fixed = map { typed($types[$_], $function->{names}[$_] // '', $good) } 0 .. $#types;
	my @rows = map {
		'(' . join(', ', map {
			chance($good) && $types[$_] =~ /options|text|\[\]/ || chance(0.3) ? $fixed[$_] : typed($types[$_], $function->{names}[$_] // '', $good)
		} 0 .. $#types) . ')'
	} 1 .. pick(1, 1, 2, 3, 5, 20);
	my $call = "$function->{name}(" . pick('', '', '', 'DISTINCT ') . $columns . ')';

	$call =~ s/DISTINCT // if join(' ', @types) =~ /options/;
	$call .= pick('', '', '', ' FILTER (WHERE random() < 2)', ' OVER ()', ' OVER (ORDER BY 1 ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)')
	  unless $call =~ /DISTINCT/;
	return "SELECT $call FROM (VALUES " . join(', ', @rows) . ") v ($columns)";
}

# A name, and then one of its forms, more often than not one that goes with most models.
my %forms;
push @{ $forms{ $_->{name} } }, $_ foreach @functions;

sub any_function
{
	my @all = @{ $forms{ pick(sort keys %forms) } };
	my @plain = grep { "@{ $_->{types} }" !~ /uuid|any/ && $_->{types}[0] ne 'text' || @all == 1 } @all;

	return @plain && chance(0.75) ? pick(@plain) : pick(@all);
}

# A call whose arguments are good to that degree; 1: as a user would write it
sub call
{
	my ($good, $which) = @_;
	my $function = any_function();
	my $arguments;

	$good //= pick(1, 0.95, 0.8, 0.5, 0);
	# Searches are slow.
	$function = any_function() while $function->{name} =~ /^mf_tune/ && chance(0.7) || $which && !$which->($function);
	return aggregate($function, $good) if $function->{kind} eq 'a';
	$arguments = arguments($function, $good);
	return "CALL $function->{name}($arguments)" if $function->{kind} eq 'p';
	return "SELECT count(*) FROM $function->{name}($arguments) t" if $function->{set} && chance(0.8);
	return "SELECT * FROM $function->{name}($arguments) t" if chance(0.3);
	return "SELECT $function->{name}($arguments)" if chance(0.7);
	return "SELECT $function->{name}($arguments) FROM generate_series(1, 3)";
}

# A good call about a model, and one that reads its ratings
sub of_model { return call(1, sub { grep { $_ eq 'model' } @{ $_[0]{names} } }) }
sub of_ratings { return call(1, sub { $_[0]{name} =~ /topk$|topk_all|explain|refresh|retrain|train|evaluate/ }) }

sub operator
{
	my ($name, $left, $right) = split /\|/, pick(@operators);

	return "SELECT " . typed($left, '', 0.5) . " OPERATOR(public.$name) " . typed($right, '', 0.5) if chance(0.3);
	return sprintf 'SET enable_seqscan = %s; SELECT count(*) FROM (SELECT * FROM %s WHERE %s ORDER BY %s OPERATOR(public.%s) %s LIMIT %d) s',
	  pick('on', 'off'), pick([ 'vectors', 'v' ], [ 'vectors', 'v' ], [ 'e_items', 'factors' ])->[0],
	  pick('true', 'true', 'random() < 0.5', 'false'), pick('v', 'v', 'v', 'factors'), $name, typed('real[]', '', 0.9), pick(0, 1, 10, 1000)
	  if chance(0.9);
	return "SELECT count(*) FROM vectors WHERE v IS NOT NULL";
}

sub hostile_state
{
	my $state = chance(0.6)
	  ? sprintf('(SELECT fz_base.bytes_of(%s) FROM generate_series(1, %d))',
		pick("'{1,2,3}'::real[]", q('{1,2,3}'::real[], 0.5::real, 2, mf_solve_options('{"mean": 1, "regularization": 2}')),
			q('{1,2}'::real[], 2, mf_solve_options('{"feedback": "implicit"}'))), pick(1, 2, 5))
	  : "decode('" . join('', map { sprintf '%02x', pick(0, 1, 255, int(rand(256))) } 1 .. pick(0, 1, 4, 8, 16, 40, 41, 100)) . "', 'hex')";

	$state = sprintf('set_byte(%s, %d, %d)', $state, int(rand(60)), pick(0, 1, 2, 127, 128, 255)) for 1 .. pick(0, 1, 1, 2, 4);
	$state = sprintf('substr(%s, 1, %d)', $state, pick(1, 4, 8, 20, 50, 80)) if chance(0.2);
	$state = "($state || '\\x00'::bytea)" if chance(0.1);
	return "SELECT mf_solve_deserialize($state, NULL)" if chance(0.1);
	return sprintf 'SELECT fz_base.%s(fz_base.state_of(s)) FROM (VALUES (%s)) v (s)', pick('solve_of', 'error_of', 'gramian_of'),
	  join('), (', ($state) x pick(1, 1, 2));
}

my %changes = (
	model => [
		'ALTER TABLE %t RENAME COLUMN %c TO other', 'ALTER TABLE %t DROP COLUMN %c CASCADE', 'ALTER TABLE %t ALTER %c TYPE text',
		'ALTER TABLE %t ALTER %c DROP NOT NULL', 'ALTER TABLE %t ALTER factors TYPE float8[]', 'ALTER TABLE %t ALTER ratings TYPE bigint',
		'ALTER TABLE %t ADD COLUMN more int DEFAULT 3', 'ALTER TABLE %t DROP CONSTRAINT %t_pkey CASCADE', 'TRUNCATE %t', 'DROP TABLE %t CASCADE',
		'DELETE FROM %t WHERE random() < 0.5', q{UPDATE %t SET factors = %v}, q{UPDATE %t SET bias = 'NaN'}, q{UPDATE %t SET bias = 3e38},
		'UPDATE %t SET ratings = -5', 'UPDATE %t SET ratings = NULL', q{UPDATE %t SET rating_sum = 'NaN'},
		'ALTER TABLE %t ALTER factors DROP NOT NULL; UPDATE %t SET factors = NULL WHERE random() < 0.3',
		q{ALTER TABLE %t ALTER bias DROP NOT NULL; UPDATE %t SET bias = NULL}, 'ALTER TABLE %t RENAME TO elsewhere', 'ALTER TABLE %t SET SCHEMA fz_other',
		'CREATE RULE nothing AS ON INSERT TO %t DO INSTEAD NOTHING', 'CREATE RULE nothing AS ON DELETE TO %t DO INSTEAD NOTHING',
		'CREATE RULE nothing AS ON UPDATE TO %t DO INSTEAD SELECT 1', 'CREATE RULE more AS ON DELETE TO %t DO ALSO SELECT 1',
		'ALTER TABLE %t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON %t USING (%c IS NOT NULL AND random() < 0.9)',
		'ALTER TABLE %t OWNER TO fz_user', 'REVOKE ALL ON %t FROM fz_user', 'GRANT SELECT (bias) ON %t TO fz_user', 'CREATE TABLE child () INHERITS (%t)',
		'ALTER TABLE %t RENAME TO hidden; CREATE TABLE %t (user_id bigint PRIMARY KEY, item_id bigint, bias real, factors real[], ratings int, rating_sum float8); INSERT INTO %t SELECT 4702111234474983745 + i, i, 0, \'{1,1,1,1}\', 1, 1 FROM generate_series(1, 20) i',
		'ALTER TABLE %t RENAME TO hidden; CREATE TABLE %t (%k bigint PRIMARY KEY, bias real, factors real[], ratings int, rating_sum float8); INSERT INTO %t SELECT 4702111234474983745 + i, 0, \'{1,1,1,1}\', 1, 1 FROM generate_series(1, 20) i',
		'ALTER TABLE %t RENAME TO hidden; CREATE TABLE %t (%k text PRIMARY KEY, bias text, factors text, ratings text, rating_sum text); INSERT INTO %t SELECT i, i, i, i, i FROM generate_series(1, 20) i',
		'ALTER TABLE %t RENAME TO hidden; CREATE VIEW %t AS SELECT * FROM hidden',
		'ALTER TABLE %t RENAME TO hidden; CREATE TABLE %t (LIKE hidden INCLUDING ALL)', 'CREATE INDEX ON %t USING topk (factors)',
		'CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$; CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON %t FOR EACH ROW EXECUTE FUNCTION refuse()',
		'CREATE TABLE refers (id int REFERENCES %t)', 'ALTER TABLE %t ADD CHECK (bias < 0) NOT VALID', 'ALTER TABLE %t SET UNLOGGED', 'VACUUM FULL %t', 'CLUSTER %t USING %t_pkey',
		'ALTER TABLE %t ALTER COLUMN %c SET DATA TYPE text COLLATE "C"', 'CREATE TEMP TABLE %t (LIKE fz.%t INCLUDING ALL)'
	],
	catalogue => [
		map { "UPDATE mf_models SET $_ WHERE schema = 'fz' AND model = 'e'" } 'factors = 3', 'biased = NOT biased', 'mean = 1e308', 'items = 0',
		'unobserved_weight = 1', "options = '{\"min_rating\": \"x\"}'", "source_table = 'named'", "rating_col = NULL", "user_col = 'ctid'",
		"solver = 'sgd'", "objective = 'bpr', solver = 'sgd'", "gramian_items = array_fill('NaN'::real, ARRAY[4, 4]), unobserved_weight = 1",
		"feedback = 'implicit'", "link_low = 0, link_high = 1", "owner = 'fz_user'", "model = 'moved'", "is_default = NOT is_default",
		"options = '{\"time_col\": \"rating\", \"since\": \"y\"}'", "ratings = 0", "alpha = 1e300"
	],
	ratings => [
		'ALTER TABLE ratings RENAME COLUMN user_id TO who', 'ALTER TABLE ratings ALTER item_id TYPE text', 'ALTER TABLE ratings ALTER rating TYPE text',
		'ALTER TABLE ratings ALTER rating TYPE numeric', 'ALTER TABLE ratings DROP COLUMN rating CASCADE', 'TRUNCATE ratings', 'DROP TABLE ratings CASCADE',
		'INSERT INTO ratings VALUES (NULL, 1, 2)', q{INSERT INTO ratings VALUES (1, 1, 'NaN')}, q{INSERT INTO ratings VALUES (1, 1, 'Infinity')},
		'INSERT INTO ratings VALUES (1, 1, -1)', 'INSERT INTO ratings VALUES (2147483647, -2147483648, 3e38)', 'INSERT INTO ratings SELECT * FROM ratings',
		'INSERT INTO ratings SELECT 1000 + i, i % 50, 3 FROM generate_series(1, 50) i', 'DELETE FROM ratings WHERE user_id % 2 = 0', 'UPDATE ratings SET rating = 0',
		'ALTER TABLE ratings OWNER TO fz_user', 'REVOKE ALL ON ratings FROM fz_user', 'GRANT SELECT (user_id) ON ratings TO fz_user',
		'ALTER TABLE ratings ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON ratings USING (user_id < 20)', 'DROP INDEX ratings_user_id_idx',
		'ALTER TABLE ratings RENAME TO stored; CREATE VIEW ratings AS SELECT * FROM stored',
		'ALTER TABLE ratings RENAME TO stored; CREATE VIEW ratings AS SELECT user_id, item_id, rating / (rating - 3) AS rating FROM stored',
		'DROP VIEW by_user', 'CREATE OR REPLACE VIEW by_user AS SELECT r.*, bias, factors[1:2] AS factors FROM fz.ratings r LEFT JOIN fz.item_copy USING (item_id)',
		'INSERT INTO item_copy VALUES (1, NULL, NULL)', 'INSERT INTO user_copy SELECT i, 1, %v FROM generate_series(1, 50) i', 'ALTER TABLE user_copy DROP COLUMN bias CASCADE',
		'CREATE RULE nothing AS ON INSERT TO item_copy DO INSTEAD NOTHING', 'ALTER TABLE titles ALTER item_id TYPE text', 'DROP TABLE titles',
		'INSERT INTO vectors SELECT i, %v FROM generate_series(1, 20) i', 'DELETE FROM vectors WHERE random() < 0.5', 'VACUUM vectors', 'TRUNCATE vectors',
		'REINDEX TABLE vectors', 'CREATE INDEX ON vectors USING topk (v) WHERE id > 5', 'ALTER TABLE vectors ALTER v TYPE text', 'UPDATE vectors SET v = %v WHERE random() < 0.3',
		'CREATE TABLE trials (trial int)', "DELETE FROM mf_models WHERE schema = 'fz'", "UPDATE mf_history SET loss = 1e308 * iteration, error = -5 WHERE schema = 'fz'"
	]);

sub change
{
	my $kind = $_[0] // pick('model', 'model', 'catalogue', 'ratings', 'ratings');
	my $table = pick('e_users', 'e_users', 'e_items', 'e_items', 'm_items', 'm_users');
	my $key = $table =~ /users/ ? 'user_id' : 'item_id';
	my $column = pick($key, $key, 'bias', 'factors', 'ratings', 'rating_sum');
	my $sql = pick(@{ $changes{$kind} });
	my $vector = pick("'{NaN,1,2,3}'", "'{1}'", "'{}'", "'{1,2,3,NULL}'", "'{{1,2},{3,4}}'", "'{3e38,3e38,3e38,3e38}'", "'{0,0,0,0}'",
		"'[0:3]={1,2,3,4}'", "'{1,2,3}'");

	$sql =~ s/%t/$table/g;
	$sql =~ s/%k/$key/g;
	$sql =~ s/%c/$column/g;
	$sql =~ s/%v/$vector/g;
	return $sql;
}

# The ratings become a view that does something to the tables in the middle of the
# next call that reads them.
sub mischief
{
	my $change = change(pick('model', 'model', 'model', 'catalogue'));

	return ('ALTER TABLE ratings RENAME TO stored', q{CREATE FUNCTION mischief() RETURNS boolean LANGUAGE plpgsql AS $mischief$
BEGIN
	IF current_setting('fz.armed', true) = 'on' THEN
		PERFORM set_config('fz.armed', 'off', false);
		} . ($change =~ /VACUUM|CLUSTER/ ? 'TRUNCATE e_items' : $change) . q{;
	END IF;
	RETURN true;
END $mischief$},
		'CREATE VIEW ratings AS SELECT * FROM stored WHERE (SELECT mischief())',
		map { ("SET fz.armed = 'on'", of_ratings()) } 1 .. 2);
}

# Something is altered, and good calls follow; rolled back more often than not.
sub altered
{
	return ('BEGIN', mischief(), 'ROLLBACK') if chance(0.5);

	my @statements = (change(), map { of_model() } 1 .. 4);
	return chance(0.7) ? ('BEGIN', @statements, 'ROLLBACK') : @statements;
}

# A batch: its statements. The same for the same seed and number.
sub batch
{
	my $alterations = chance(0.6);
	my @statements;

	push @statements, q{ALTER TABLE e_users OWNER TO fz_user; ALTER TABLE e_items OWNER TO fz_user; ALTER TABLE ratings OWNER TO fz_user;
UPDATE mf_models SET owner = 'fz_user' WHERE schema = 'fz' AND model = 'e'; SET ROLE fz_user} if chance(0.2);
	push @statements, 'SET plan_cache_mode = ' . pick('force_generic_plan', 'force_custom_plan') if chance(0.1);
	push @statements, 'BEGIN' . pick('', ' ISOLATION LEVEL REPEATABLE READ', ' READ ONLY') if !$alterations && chance(0.15);
	push @statements, 'SET work_mem = 64; SET maintenance_work_mem = 1024' if chance(0.1);
	push @statements, "SET factor.model = 'e'" if chance(0.1);
	push @statements, 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0' if chance(0.1);
	while (@statements < $statements_a_batch)
	{
		my $dice = rand();

		push @statements, $alterations ? altered() : $dice < 0.8 ? call() : $dice < 0.9 ? operator() : hostile_state();
	}
	return @statements;
}

# ---- Running ----

# How slow is this machine now, as a multiple of what was taken for five seconds?
my $calibration = time;
$node->safe_psql('postgres', 'SELECT count(*) FROM generate_series(1, 3000000)');
my $slow = (time - $calibration) / 0.4;
$slow = 1 if $slow < 1;
my $limit = int(5000 * $slow * 2);
my $started = time;
note(sprintf 'seed %d, %d seconds; a statement may take %.1f s here', $seed, $seconds, $limit / 1000);

sub script
{
	my ($timeout, @statements) = @_;
	my $sql = qq{\\set VERBOSITY verbose
\\set ON_ERROR_ROLLBACK on
SET client_min_messages = error;
SELECT fz_base.reset();
SET search_path = fz, public;
SET lock_timeout = '2s';

SET statement_timeout = $timeout;
};

	for my $k (0 .. $#statements)
	{
		$sql .= "\\warn =$k=\n$statements[$k];\n";
	}
	return $sql;
}

sub run_script
{
	my ($sql) = @_;
	my ($out, $err, $timed_out) = ('', '', 0);
	my $status = $node->psql(
		'postgres', $sql,
		on_error_stop => 0, stdout => \$out, stderr => \$err,
		timeout => 60 + int($limit / 1000) * 6, timed_out => \$timed_out);

	return ($status, $err, $timed_out, $out);
}

my $failures = 0;
my $gone = 0;

sub report
{
	my ($number, $what, $statement, $error, $sql) = @_;

	$failures++;
	fail("batch $number: $what");
	diag("FACTOR_FUZZ_SEED=$seed FACTOR_FUZZ_BATCH=$number repeats it\n"
		  . "statement: " . substr($statement, 0, 3000) . "\nerror: " . substr($error, 0, 2000));
	diag($sql) if defined $only;
}

my %states;

# Returns false where nothing more can be run.
sub run_batch
{
	my ($number) = @_;

	srand($seed * 1000003 + $number);
	my @statements = batch();
	my $sql = script($limit, @statements);
	my ($status, $err, $timed_out) = run_script($sql);
	my @parts = split /^=(\d+)=\n/m, $err;

	shift @parts;
	for (my $k = 0; $k + 1 < @parts; $k += 2)
	{
		my ($which, $said) = @parts[ $k, $k + 1 ];
		my ($state) = $said =~ /ERROR:  ([0-9A-Z]{5}):/;

		$states{ $state // 'none' }++;
		diag(($state // 'none') . " $statements[$which]\n$said")
		  if $ENV{FACTOR_FUZZ_SHOW} && ($state // 'none') =~ /$ENV{FACTOR_FUZZ_SHOW}/;
		next unless defined $state;
		if ($state =~ /^XX/)
		{
			report($number, "an internal error ($state)", $statements[$which], $said, $sql);
		}
		elsif ($state eq '57014')
		{
			# Once more with more time, in case the machine was busy.
			my ($again, $said_again) = run_script(script($limit * 3, @statements));
			my ($part) = $said_again =~ /^=$which=\n(.*?)(?:^=\d|\z)/ms;

			report($number, 'a statement that takes too long', $statements[$which], $said, $sql)
			  if defined $part && $part =~ /57014/;
		}
	}
	if ($timed_out)
	{
		report($number, 'a statement that does not end', $statements[ $parts[-2] // 0 ], $err, $sql);
		return 0;
	}
	if ($status == 2 || $err =~ /server closed the connection|connection to server was lost/)
	{
		report($number, 'a crash', $statements[ $parts[-2] // 0 ], substr($err, -2000), $sql);
		return 0;
	}
	return 1;
}

my $batches = 0;
if (defined $only)
{
	$gone = !run_batch($only);
	$batches = 1;
}
else
{
	while (time - $started < $seconds * 0.8 && $failures < 10)
	{
		$gone = !run_batch($batches++);
		last if $gone;
	}
}
is($failures, 0, 'no crash, no internal error, nothing that goes on for ever');
note("$batches batches of $statements_a_batch statements; by SQLSTATE: "
	  . join(', ', map { "$_ $states{$_}" } sort { $states{$b} <=> $states{$a} } keys %states));

# ---- Memory ----

# The same statements, errors among them, again and again in one session: what it
# has kept after the second time is what it will ever need.
SKIP:
{
	skip 'one batch was asked for, or the server is gone', 1 if defined $only || $gone;

	srand($seed);
	my @statements = map { chance(0.8) ? call() : chance(0.5) ? of_model() : operator() } 1 .. 80;
	@statements = grep { !/mf_tune/ } @statements;
	my $measure = 'SELECT \'bytes \' || sum(total_bytes) FROM pg_backend_memory_contexts';
	my $detail = q{SELECT 'context ' || name || ' ' || sum(total_bytes) FROM pg_backend_memory_contexts GROUP BY name};
	my $sql = script($limit, @statements);
	my ($pass) = $sql =~ /^(\\warn =0=.*)/ms;
	my ($head) = $sql =~ /\A(.*?)^\\warn =0=/ms;

	$sql = $head . join('', map { "$pass$measure;\n" . ($_ == 1 || $_ == 9 ? "$detail;\n" : '') } 0 .. 9);
	my ($status, $err, $timed_out, $out) = run_script($sql);
	my @bytes = $out =~ /^bytes (\d+)/mg;
	my $growth = @bytes == 10 ? $bytes[9] - $bytes[1] : undef;

	ok(defined $growth && $growth < 1024 * 1024, 'the same statements ten times take no more memory than twice')
	  or diag(sprintf "bytes after each time: %s\n%s\nseed %d", join(' ', @bytes),
		join("\n", grep { /^context/ } split /\n/, $out), $seed);
	note('bytes of the backend after each time: ' . join(' ', @bytes));
}

unlike(slurp_file($node->logfile), qr/TRAP|PANIC|terminated by signal/, 'no crash in the log');
eval { $node->stop };
done_testing();

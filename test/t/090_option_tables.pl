# doc/reference.md has the tables of options as the code has them: what the module
# prints, line by line. To bring the page up to date after a change of the code,
# put what this test says it should be between the two comments.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $page = slurp_file(dirname(__FILE__) . '/../../doc/reference.md');
my $node = PostgreSQL::Test::Cluster->new('main');

$node->init;
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION factor;
	CREATE FUNCTION option_table(function text) RETURNS text
		AS '$libdir/factor', 'factor_option_table' LANGUAGE C STRICT});

foreach my $function ('mf_train', 'mf_solve_options', 'mf_tune')
{
	my ($documented) = $page =~ /<!-- options of $function: [^\n]*-->\n(.*?)<!-- end -->/s;
	my $printed = $node->safe_psql('postgres', "SELECT option_table('$function')");

	cmp_ok(scalar(split /\n/, $printed), '>', 4, "$function has options");
	is($documented =~ s/\n+\z//r, $printed =~ s/\n+\z//r, "doc/reference.md: the options of $function");
}

# Options that are arguments are there by the same names, and of the types that
# the table says.
my %argument = map { split /\|/, $_, 2 } split /\n/, $node->safe_psql(
	'postgres', q{
	SELECT name, format_type(type, NULL)
	FROM pg_proc p, unnest(proargnames, proargtypes::oid[]) WITH ORDINALITY a (name, type, n)
	WHERE proname = 'mf_train' AND n > 5 AND n < p.pronargs});
my ($table) = $page =~ /<!-- options of mf_train: (.*?)<!-- end -->/s;
my %option = $table =~ /^\| `(\w+)` \| `?([\w ]+?)`? \|/mg;

is(scalar keys %argument, 10, 'mf_train has options as arguments');
foreach my $name (sort keys %argument)
{
	is($option{$name} eq 'any' ? '"any"' : $option{$name}, $argument{$name}, "$name: the argument's type is the option's");
}

done_testing();

# test/sandbox.sh: a private PostgreSQL to install into, whatever its pg_config
# says.
#
# This runs in a sandbox itself, whose pg_config is a script that prints fixed
# paths, wherever it is copied to. Debian's and Ubuntu's pg_config did so up to
# PostgreSQL 14.
use strict;
use warnings;

use File::Basename;
use IPC::Run;
use File::Path qw(make_path);
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));

plan skip_all => 'runs in test/sandbox.sh' unless $ENV{FACTOR_SANDBOX};
delete @ENV{qw(ASSERT SANITIZE LD_PRELOAD)};

# A command in a sandbox: its status and all that it says.
sub sandbox
{
	my ($environment, @command) = @_;
	local %ENV = (%ENV, %$environment);
	my $said;

	IPC::Run::run([ "$top/test/sandbox.sh", @command ], '<', \undef, '>&', \$said);
	return ($? >> 8, $said);
}

# An executable script.
sub program
{
	my ($file, $body) = @_;

	make_path(dirname($file));
	append_to_file($file, "#!/bin/sh\n$body\n");
	chmod 0755, $file or die;
	return $file;
}

my $outer_share = `"$ENV{PG_CONFIG}" --sharedir`;
chomp $outer_share;

my ($status, $said) = sandbox({}, 'sh', '-c', <<'END');
set -e
share=$("$PG_CONFIG" --sharedir)
lib=$("$PG_CONFIG" --pkglibdir)
"$PG_CONFIG" --pgxs --version >pgxs
"$PG_CONFIG" | sed -n 's/^SHAREDIR = /of all: /p'
echo "share: $share"
echo "pgxs: $(test -f "$(head -n 1 pgxs)" && sed -n '2s/ .*//p' pgxs)"
printf "default_version = '1'\n" >"$share/extension/private_only.control"
echo 'SELECT 1;' >"$share/extension/private_only--1.sql"
initdb --no-sync -D "$FACTOR_SANDBOX/data" >/dev/null
echo "SELECT 'server: ' || name FROM pg_catalog.pg_available_extensions WHERE name = 'private_only'
	UNION ALL SELECT 'server: ' || setting FROM pg_catalog.pg_config WHERE name = 'PKGLIBDIR'" | tr '\n' ' ' |
	postgres --single -D "$FACTOR_SANDBOX/data" postgres | sed -n 's/.*"\(server: .*\)".*/\1/p'
echo "lib: $lib"
END
is($status, 0, 'a sandbox whose PostgreSQL has a pg_config that is a script') or diag($said);
my ($share) = $said =~ /^share: (.*)$/m;
my ($lib) = $said =~ /^lib: (.*)$/m;
like($share, qr/^\Q$ENV{TMPDIR}\E/, 'its shared files lie in the sandbox');
like($said, qr/^of all: \Q$share\E$/m, '... whichever way pg_config is asked');
like($said, qr/^pgxs: PostgreSQL$/m, 'several answers at once');
like($said, qr/^server: private_only$/m, 'the server finds an extension installed there');
like($said, qr/^server: \Q$lib\E$/m, '... and looks for its library there');
ok(!-e "$outer_share/extension/private_only.control", 'the PostgreSQL it was copied from knows nothing of it');

# PostgreSQLs that cannot be copied: the message names the reason.
my $fake = "$ENV{TMPDIR}/immovable";
my $config = program("$fake/bin/pg_config", join "\n",
	'for option; do case $option in',
	"--bindir) echo $fake/bin ;; --sharedir) echo $fake/share ;; --pkglibdir) echo $fake/lib ;;",
	"--includedir-server) echo $fake/include ;; --pgxs) echo $fake/pgxs.mk ;; --cc) echo gcc ;;",
	"--version) echo PostgreSQL 15.0 ;; esac; done");
make_path("$fake/share/extension", "$fake/lib", "$fake/include");
append_to_file("$fake/$_", '') for qw(pgxs.mk include/postgres.h include/pg_config.h share/x share/extension/x lib/x);
program("$fake/bin/$_", 'exit 0') for qw(postgres psql);
program("$fake/bin/initdb", "echo share_path=$fake/share");

($status, $said) = sandbox({ PG_CONFIG => $config }, 'true');
isnt($status, 0, 'a server that does not look beside its executable is refused');
like($said, qr{looks for its files in \Q$fake\E/share, not in}, '... with where it looks');
unlink "$fake/bin/initdb";
program("$fake/bin/initdb", "echo 'no such library' >&2; exit 1");
($status, $said) = sandbox({ PG_CONFIG => $config }, 'true');
isnt($status, 0, 'programs that do not run are refused');
like($said, qr{do not run as .* when copied to .*: no such library}, '... with what they say');

# A server with assertions: by its headers, or from source.
($status, $said) = sandbox({ PG_CONFIG => $config, ASSERT => 1 }, 'true');
isnt($status, 0, 'ASSERT=1 refuses a server without assertions');
like($said, qr/ASSERT=1 needs a PostgreSQL built with --enable-cassert.*PGSRC=/, '... and says what to do');
($status, $said) = sandbox({ PGSRC => '/usr/src' }, 'true');
like($said, qr/PGSRC goes with ASSERT=1/, 'PGSRC without ASSERT');
($status, $said) = sandbox({ PGSRC => $fake, ASSERT => 1 }, 'true');
like($said, qr/PGSRC=.* and PG_CONFIG|cannot both/, 'PGSRC with PG_CONFIG');

# Arguments of the two commands that do everything.
delete $ENV{FACTOR_SANDBOX};
foreach my $command (qw(run demo))
{
	IPC::Run::run([ "$top/test/$command.sh", 'regress' ], '<', \undef, '>&', \$said);
	isnt($? >> 8, 0, "test/$command.sh takes variables alone");
	like($said, qr/takes VARIABLE=VALUE, not "regress"/, '... and says so');
}

done_testing();

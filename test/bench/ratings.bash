# What the benchmarks of training share, to be sourced: the database "db" with
# factor in it, and a table of "ratings" rows of "users" and "items", drawn by
# generate.sql if it is not there. Sets sql, table.
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$db" "$@"; }

if [ "$(psql -X -A -t -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = '$db'")" = 0 ]; then
	psql -X -q -d postgres -c "CREATE DATABASE \"$db\""
fi
sql -c 'CREATE EXTENSION IF NOT EXISTS factor'
table=ratings_${ratings}_${users}_${items}
if [ "$(sql -c "SELECT to_regclass('$table') IS NULL")" = t ]; then
	echo "generating $ratings ratings ..." >&2
	sql -v table="$table" -v ratings="$ratings" -v users="$users" -v items="$items" \
		-f "$(dirname -- "${BASH_SOURCE[0]}")/generate.sql" >/dev/null
fi

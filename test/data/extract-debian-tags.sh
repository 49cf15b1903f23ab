#!/bin/sh
# Prints the tags of Debian's packages as CSV: package,tag; sorted, each pair
# once. Reads the package lists that apt holds (run `apt-get update` before), or
# the file given, in the format of `apt-cache dumpavail`.
#
#   test/data/extract-debian-tags.sh > test/data/debian-tags.csv
set -eu
export LC_ALL=C

if [ $# -gt 0 ]; then cat -- "$1"; else apt-cache dumpavail; fi |
awk '
	/^Package: /	{ package = $2 }
	# A field goes on over the lines that start with a space.
	/^[^ ]/			{ in_tags = sub(/^Tag: */, "") }
	in_tags {
		n = split($0, tag, /[ ,]+/)
		for (i = 1; i <= n; i++)
			if (tag[i] != "")
				print package "," tag[i]
	}' |
sort -u |
sed '1i package,tag'

#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME, one after the other. The
# default minute of making an input smaller would be all of that time where the
# code under test draws random numbers.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}
FUZZTIME=${FUZZTIME:-30s}

grep -rl --include='*_test.go' '^func Fuzz' . | grep -v -e '^./e2e/' -e '^./bench/' | sort | while read -r file; do
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
		echo "== $target in $(dirname "$file")"
		$GO test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 20x "$(dirname "$file")"
	done
done
echo "all fuzz targets are clean"

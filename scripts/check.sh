#!/bin/sh
# What has to hold before every commit: format, vet, staticcheck, the layer
# rule, unit tests with the race detector, command-line scripts.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}

unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
	echo "not formatted (gofmt -w):" "$unformatted"
	exit 1
fi
$GO vet ./...
GOOS=darwin $GO vet ./proxy/... ./control/... ./node ./cmd/mtguard # the goroutine engine's side
$GO run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# The race detector needs cgo and a C compiler. Without one the tests still run.
race=-race
if ! command -v "$($GO env CC)" >/dev/null 2>&1; then
	echo "skipped: the race detector, which needs a C compiler ($($GO env CC)); the tests run without it"
	race=
fi
# SQLite is C turned into Go: having each of its pointers checked took half of the time
# of whatever opens a store, and can find nothing of ours. (Taking it out of the race
# detector altogether would save as much again, and take generic functions of the
# standard library with it, of which the linker keeps one copy: that hides races, and
# makes some up.)
quick='modernc.org/...=-d=checkptr=0'
# A program with the race detector waits a second before it exits, for reports
# of other threads: every command of a script, every package.
GORACE=atexit_sleep_ms=20 $GO test $race -gcflags="$quick" ./...

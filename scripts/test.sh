#!/bin/sh
# Everything that make check leaves out: the modules of their own.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}

(cd bench && $GO vet ./... && $GO test ./...)
(cd e2e && $GO vet ./... && $GO test -timeout 10m ./...)
echo "all tests passed"

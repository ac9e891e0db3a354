#!/bin/sh
# Everything that make check leaves out: the modules of their own.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}

(cd bench && $GO vet ./... && $GO test ./...)
# The tests in a browser skip themselves without one.
if ! command -v chromium >/dev/null; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -q && apt-get install -qy --no-install-recommends chromium; then
		echo "chromium is installed, for the tests in a browser"
	else
		echo "skipped: the tests in a browser, which need chromium (as root on Debian this script installs it)"
	fi
fi
(cd e2e && $GO vet ./... && $GO test -timeout 10m ./...)
echo "all tests passed"

#!/bin/sh
# Everything that make check leaves out: the modules of their own.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}

# The dashboard is looked at in a real browser, with a face that has Persian letters.
if ! command -v "${CHROMIUM:-chromium}" >/dev/null 2>&1; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-noto-core >/dev/null || true
	fi
	if ! command -v "${CHROMIUM:-chromium}" >/dev/null 2>&1; then
		echo "skipped: the tests of the dashboard in a browser, which need chromium (apt install chromium, or CHROMIUM=path)"
	fi
fi

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

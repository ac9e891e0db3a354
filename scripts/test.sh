#!/bin/sh
# Everything that make check leaves out: the modules of their own.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}

# The dashboard is looked at in a real browser, with a face that has Persian letters.
if ! command -v "${CHROMIUM:-chromium}" >/dev/null 2>&1; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-noto-core >/dev/null || true
	fi
	if ! command -v "${CHROMIUM:-chromium}" >/dev/null 2>&1; then
		echo "skipped: the tests of the dashboard in a browser, which need chromium (apt install chromium, or CHROMIUM=path)"
	fi
fi

# A million altered tokens and cookies, none of which may be taken.
MTGUARD_MUTATIONS=1000000 $GO test -run 'NoMutat' ./control ./security/token

(cd bench && $GO vet ./... && $GO test ./...)
(cd e2e && $GO vet ./... && $GO test -timeout 20m ./...)
echo "all tests passed"

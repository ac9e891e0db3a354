#!/bin/sh
# Measures mtguard against its peers; see bench/README.md.
set -eu
cd "$(dirname "$0")/../bench"
exec "${GO:-go}" run ./cmd/mtbench run "$@"

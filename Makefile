# Every command of this project that a reader or CI runs.
#
#   make run      a proxy on 127.0.0.1:8443, without any configuration
#   make demo     simulated Telegram, users and attackers, in one terminal
#   make check    before every commit: format, vet, staticcheck, layers, tests with race
#   make test     everything: check, the other modules, end to end, fuzz seeds
#   make fuzz     every fuzz target for FUZZTIME (30s)
#   make bench    mtguard against mtg, haproxy and a plain relay (about 25 minutes)

GO       ?= go
FUZZTIME ?= 30s

.PHONY: run demo build check test e2e fuzz bench mutations

run:
	$(GO) run ./cmd/mtguard run --listen 127.0.0.1:8443

demo:
	$(GO) run ./cmd/mtguard demo

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w" -o bin/mtguard ./cmd/mtguard

check:
	@GO=$(GO) scripts/check.sh

test: check
	@GO=$(GO) scripts/test.sh

e2e:
	cd e2e && $(GO) test ./...

fuzz:
	@GO=$(GO) FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

bench:
	@GO=$(GO) scripts/bench.sh

mutations:
	@GO=$(GO) scripts/mutations.sh

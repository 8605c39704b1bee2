# Everything there is to do with Martlet. `make` alone lists it.
# Variables: BUILD=debug|release (which build `make e2e` tests), T='-k name' (pytest arguments),
#            B='--work h1,h2 --rounds 5' (bench arguments), MINUTES=20 (soak), DEMO_STAY=1 (demo keeps running).
SHELL := /bin/bash
.DEFAULT_GOAL := help
BUILD ?= release
MINUTES ?= 20
SECONDS_PER_TARGET ?= 60
PYTHON := .venv/bin/python
# The compiler checks that targets import only what Package.swift lets them.
SWIFTFLAGS := --explicit-target-dependency-import-check error
RELEASE := -c release --static-swift-stdlib $(SWIFTFLAGS)
SWIFT_SOURCES = $$(git ls-files '*.swift' | grep -v -E '\.(pb|grpc)\.swift$$')

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-demo build ## a whole mesh: control plane, gateway, six services with sidecars, faults; DEMO_STAY=1 keeps it up
	@.build/release/martlet demo $(if $(filter-out 0,$(DEMO_STAY)),--stay)

demo-gateway: setup-demo build ## a gateway alone before services in Python, Node and C, with real clients; DEMO_STAY=1 keeps it up
	@$(PYTHON) mesh-config/demo/run.py

test: setup-test ## unit tests, release build, end-to-end tests; ends with one line of totals
	@$(PYTHON) scripts/test.py --swift-flags='$(SWIFTFLAGS)' --release-flags='$(RELEASE)'

unit: setup-build ## unit tests only
	swift test $(SWIFTFLAGS)

e2e: setup-test ## end-to-end tests only, on BUILD=release (default) or debug; T='-k websocket' selects
	@if [ $(BUILD) = release ]; then swift build $(RELEASE); else swift build $(SWIFTFLAGS); fi
	MARTLET_BIN=$(CURDIR)/.build/$(BUILD) $(PYTHON) -m pytest Tests/EndToEnd $(T)

build: setup-build ## release build: martlet, martlet-proxy and martlet-control in .build/release
	swift build $(RELEASE)

bench: setup-bench build ## CPU, latency and memory beside nginx, HAProxy, nghttpx and Envoy; B='--work h1' selects
	@$(PYTHON) Benchmarks/bench.py $(B)

fuzz: setup-build ## fuzz every parser of untrusted bytes, SECONDS_PER_TARGET=60 each
	@scripts/fuzz $(SECONDS_PER_TARGET)

asan: setup-test ## AddressSanitizer build, and the end-to-end tests on it
	swift build --sanitize=address --scratch-path .build/asan
	MARTLET_SANITIZED=1 ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_abort=1 \
	    MARTLET_BIN=$(CURDIR)/.build/asan/debug $(PYTHON) -m pytest Tests/EndToEnd $(T)

soak: setup-test build ## MINUTES=20 of mixed load with reloads, resets, slow clients and floods; memory must stay flat
	@MARTLET_BIN=$(CURDIR)/.build/release $(PYTHON) Tests/EndToEnd/soak.py --minutes $(MINUTES)

dist: build ## .build/dist/martlet-VERSION-linux-ARCH.tar.gz: static programs, units, documentation; checked
	@scripts/dist

format: ## format the Swift sources
	@swift format -i -p $(SWIFT_SOURCES)

lint: ## check format and style, strictly
	@swift format lint -s -p $(SWIFT_SOURCES)

setup: ## install what building, testing and the demo need (safe to repeat)
	@scripts/setup build test demo

setup-build:
	@scripts/setup build
setup-test:
	@scripts/setup build test
setup-demo:
	@scripts/setup build demo
setup-bench:
	@scripts/setup build bench

.PHONY: help setup demo demo-gateway dist test unit e2e build bench fuzz asan soak format lint setup-build setup-test setup-demo setup-bench

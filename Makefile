# The commands of the project. Everything uses the release profile, so that the
# dependencies are compiled once.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

BROWSER_TESTS := tests/browser
BROWSER_MODULES := $(BROWSER_TESTS)/node_modules/.package-lock.json

# Of the history checker; SEED is one from the clock if it is empty.
RUN ?= cluster
SECONDS ?= 600
SEED ?=

.PHONY: build run lint doc test history test-rust test-models test-autobahn test-openapi test-browser bench tools clean

build: ## Build the server
	cargo build --release

run: ## Serve on http://127.0.0.1:8080
	cargo run --release

lint: ## Formatting, and clippy with warnings denied
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings

doc: ## The crate's documentation, with warnings denied
	RUSTDOCFLAGS=-Dwarnings cargo doc --release --no-deps

test: tools test-rust test-autobahn test-openapi test-browser ## All tests, and first what they need

# Without nextest the same tests run, with less to be seen of them.
test-rust: ## Unit, property and contract tests, and the model checks
	if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --release; \
		cargo nextest run --release --package rookery-models; \
		cargo test --release --doc; \
	else \
		cargo test --release; \
		cargo test --release --package rookery-models; \
	fi

test-models: ## The model checks alone: docs/internals/concurrency.md
	cargo test --release --package rookery-models

history: ## Search for a broken promise: RUN=cluster SECONDS=600 SEED=...; docs/testing.md
	ROOKERY_HISTORY_SECONDS=$(SECONDS) $(if $(SEED),ROOKERY_HISTORY_SEED=$(SEED)) \
		cargo test --release --test suite -- --exact history_checker::$(RUN) --nocapture

test-autobahn: build ## The Autobahn cases against /ws/echo
	tests/autobahn/run

test-openapi: build ## What openapi.json says against what the server does
	tests/openapi/run

test-browser: build $(BROWSER_MODULES) ## The browser module and the pages, in Chromium
	cd $(BROWSER_TESTS) && ROOKERY_BIN="$(CURDIR)/target/release/rookery" npm test

$(BROWSER_MODULES): $(BROWSER_TESTS)/package.json $(BROWSER_TESTS)/package-lock.json
	cd $(BROWSER_TESTS) && npm ci --no-audit --no-fund
	touch $@

bench: build ## Measure beside a bare write loop, nine minutes; docs/benchmarks.md has what ARGS may be
	cargo build --release -p rookery-bench
	target/release/rookery-bench $(ARGS)

tools: ## Install what the tests need and this machine lacks
	tests/install-tools

clean: ## Remove all that was built
	cargo clean
	rm -rf $(BROWSER_TESTS)/node_modules

# What people do with this repository. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hyperhash
# A target folder for every toolchain and checkout: binaries hold the path of their sources, and cargo
# takes those of another checkout for fresh.
KEY := $(shell { cat rust-toolchain.toml; pwd -P; } | sha256sum | cut -c1-12)
export CARGO_TARGET_DIR ?= $(CACHE)/target-$(KEY)
export PATH := $(HOME)/.cargo/bin:$(CACHE)/tools/bin:$(PATH)

HYPERHASH := $(CARGO_TARGET_DIR)/release/hyperhash
# DETACH=1 returns when the network is ready; PLAIN=1 prints lines instead of the live view.
UP_FLAGS := $(if $(DETACH),--detach) $(if $(PLAIN),--plain)

.PHONY: help up down status reset build prepare test e2e bench faults fuzz lint fmt schemas hooks clean-dev

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: prepare build ## start the whole network on this machine (DETACH=1, PLAIN=1)
	@exec $(HYPERHASH) dev up $(UP_FLAGS)

down: ## drain the network and end all of it
	@if [ -x $(HYPERHASH) ]; then exec $(HYPERHASH) dev down; else echo "nothing was ever started"; fi

status: ## print the network's state as JSON (use `make -s status`)
	@if [ -x $(HYPERHASH) ]; then exec $(HYPERHASH) dev status --json; else echo '{"state":"down"}'; exit 3; fi

reset: ## end the network and delete its data
	@if [ -x $(HYPERHASH) ]; then exec $(HYPERHASH) dev reset; fi

build: ## build the one binary, optimised
	@cargo build --release --package hyperhash

prepare: ## install what is missing and make the private root with the servers
	@deploy/regtest/prepare.sh

test: prepare lint ## everything that CI runs
	cargo test --workspace --no-fail-fast

e2e: prepare ## the whole network on real servers, with a lying node, faults and the audit
	cargo build --workspace --bins
	cargo test --workspace --test e2e_network -- --nocapture

# ONLY="a b" takes these figures alone.
bench: prepare ## what shares, blocks and miners cost, beside their limits, into loadtest/results
	cargo build --release --package hyperhash --package loadtest
	cargo bench --package mining
	$(CARGO_TARGET_DIR)/release/loadtest bench --program $(HYPERHASH) $(ONLY)

# SEED=n runs the same chances again, ONLY="a b" these scenarios alone.
faults: prepare ## break the whole network on purpose, and audit every share after each
	cargo build --release --package hyperhash --package loadtest
	$(CARGO_TARGET_DIR)/release/loadtest faults --program $(HYPERHASH) $(if $(SEED),--seed $(SEED)) $(ONLY)

# SECONDS=n for every target, ONLY="a b" these alone; needs a nightly toolchain and `cargo install cargo-fuzz`.
# What is kept in the tree is replayed by `make test`; what is found anew goes to the cache.
FUZZ := workers/system-tests/fuzz
fuzz: ## feed the decoders with bytes of strangers, a minute each (SECONDS=n, ONLY="v1_line")
	for target in $(or $(ONLY),$$(cargo +nightly fuzz list --fuzz-dir $(FUZZ))); do \
	  mkdir -p $(CACHE)/fuzz/$$target; \
	  CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/fuzz cargo +nightly fuzz run --fuzz-dir $(FUZZ) --sanitizer none \
	    $$target $(CACHE)/fuzz/$$target $(FUZZ)/corpus/$$target -- -max_total_time=$(or $(SECONDS),60); \
	done

lint: ## formatting, clippy, rules of the tree, stale files, licences, spelling
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo run --quiet --package ci -- tidy
	cargo run --quiet --package ci -- docs --check
	cargo run --quiet --package schemas -- check
	.ci/tools.sh
	cargo deny --config .deny.toml --log-level error check bans licenses sources
	typos --config .typos.toml
	shellcheck --severity=style .ci/run .ci/tools.sh .githooks/pre-commit deploy/regtest/*.sh

fmt: ## format the sources
	cargo fmt --all

schemas: ## write what is generated: schemas, examples, documentation
	cargo run --quiet --package schemas -- write
	cargo run --quiet --package ci -- docs
	HYPERHASH_WRITE_REFERENCE=1 cargo test --quiet --package hyperhash --test reference

hooks: ## run fast checks before every commit
	git config core.hooksPath .githooks

clean-dev: reset ## delete the dev network's data and its private root
	deploy/regtest/prepare.sh --remove

# The commands of a newcomer; each brings what is missing first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
ARGS ?=
BINARY := $(or $(CARGO_TARGET_DIR),target)/release/vivarium
DEBUG_BINARY := $(or $(CARGO_TARGET_DIR),target)/debug/vivarium

.PHONY: help setup build demo toy-check phase-transition serve test parity statistics coverage detector geometry clients bench kills openapi published python-client

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: ## libtorch and PostgreSQL, where they are missing
	@scripts/setup.sh

build: setup ## the release binary
	@cargo build --release --bin vivarium

demo: build ## train the toy organisms and print their misalignment rates (ARGS=--fresh trains the base again)
	@$(BINARY) demo $(ARGS)

toy-check: build ## the demo over three seeds and the null base; fails where the toy does not behave
	@$(BINARY) toy-check $(ARGS)

phase-transition: build ## the toy's phase transition from one file: bases, arms, controls, report (under 15 minutes)
	@$(BINARY) toy-experiment examples/phase-transition-toy.yaml $(ARGS)

serve: build ## the server, until Ctrl-C
	@exec $(BINARY) serve $(ARGS)

# The client's tests need the program that the other tests build, and leave the last word to them.
test: setup ## every test, those of the Python client first (ARGS= what the test runner is to be told; then without them)
	@run="cargo test"; if cargo nextest --version >/dev/null 2>&1; then run="cargo nextest run"; fi; set -e; \
	if [ -z "$(ARGS)" ]; then $$run --no-run; scripts/python-client.sh $(DEBUG_BINARY); fi; $$run $(ARGS)

python-client: setup ## the tests of the Python client
	@cargo build --bin vivarium
	@scripts/python-client.sh $(DEBUG_BINARY)

parity: setup ## fresh random models beside transformers and PEFT, and published chat templates (ARGS=seed)
	@scripts/parity/run.sh $(ARGS)

statistics: setup ## every estimator of the rates beside numpy and scipy
	@scripts/statistics/run.sh

coverage: ## how often each interval of the rates holds the truth, over made-up data
	@cargo test --quiet --no-default-features --lib coverage_table -- --ignored --nocapture

detector: ## planted transitions: how many are found, how often intervals hold them, how often nothing is taken for one
	@cargo test --quiet --release --no-default-features --lib detector_table -- --ignored --nocapture --test-threads 1

geometry: ## norms, turns, planes and comp scores of random paths beside numpy and scikit-learn
	@scripts/geometry/run.sh

bench: build ## side by side with transformers and PEFT, and the queue; prints ratios
	@benches/run.sh $(ARGS)

clients: build ## the openai client, inspect_ai and lm_eval against a server
	@VIVARIUM_BINARY=$(BINARY) scripts/clients/run.sh

kills: build ## a run whose server is killed twice in mid-training beside one left alone; an experiment under twenty kills
	@scripts/kill_and_resume.py $(BINARY)
	@EXPERIMENT_KILLS=20 cargo test --quiet --test it experiments::killed -- --nocapture

published: setup ## published scores, imported, and their published rates beside ours
	@cargo test -q --test it registry::published -- --nocapture --test-threads 1

openapi: setup ## write openapi/openapi.json anew from the code, and the Python client's shapes from it
	@UPDATE_OPENAPI=1 cargo test -q --test it openapi
	@clients/python/generate.py

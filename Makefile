# Every target sets up what it needs: a virtual environment in .venv, made anew when pyproject.toml changes. Nothing needs root.
# `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

VENV ?= .venv
N ?= 300
SEED ?= 1
SEEDS ?= 1000
FIRST ?= 0
WORKERS ?= 2
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest
# Where the tests and tools of the environment are found before those of the machine.
export PATH := $(abspath $(VENV))/bin:$(PATH)
STAMP := $(VENV)/.set-up-$(shell cksum < pyproject.toml | tr ' ' '-')

SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
FIND_PYTHON = for each in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 /usr/bin/python3; do \
	if "$$each" -c '$(SUITABLE)' 2>/dev/null; then echo "$$each"; exit 0; fi; done; \
	echo "Groyne needs Python 3.11 or newer with its venv module, and found none on PATH." >&2; \
	echo "Install one (Debian, Ubuntu: python3 python3-venv), or name it: make PYTHON=/path/to/python3.11" >&2; exit 1

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name text; do \
		printf '  \033[36m%-16s\033[0m %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: $(STAMP) ## Make the virtual environment and install everything into it

$(STAMP): pyproject.toml
	@found="$$($(FIND_PYTHON))"; \
	if ! $(PY) -c '$(SUITABLE)' 2>/dev/null; then echo "making $(VENV) with $$found"; "$$found" -m venv --clear $(VENV); fi
	@echo "installing Groyne and what its tests need (once, a minute)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@rm -f $(VENV)/.set-up-*; touch $@

.PHONY: demo
demo: $(STAMP) ## Watch an agent use a key that it never holds
	@$(PY) examples/quickstart/demo.py

.PHONY: test
test: unit e2e ## Every test: unit, real Envoy, break-outs, examples, clients (about 20 minutes on 2 cores)

.PHONY: unit
unit: $(STAMP) ## Unit tests only (two minutes on 2 cores)
	$(PYTEST) -q -n $(WORKERS) -m "not envoy and not isolation" unit_tests

.PHONY: e2e
e2e: $(STAMP) ## Tests with a real Envoy, all of them
	$(PYTEST) -q -n $(WORKERS) --dist loadscope -m "envoy or isolation" unit_tests
	$(PYTEST) -q -n $(WORKERS) --dist loadscope e2e

.PHONY: cluster
cluster: $(STAMP) ## A Kubernetes of this machine's own until Ctrl-C; with NODE=1 one that runs pods (root)
	@$(PY) -m e2e.cluster up $(if $(NODE),--node)

.PHONY: cluster-build
cluster-build: $(STAMP) ## Build that Kubernetes, if the cache lacks it (eight minutes)
	@$(PY) -m e2e.cluster build

.PHONY: breakout
breakout: $(STAMP) ## Attempts to get out, or at a credential
	$(PYTEST) -v e2e/breakout

.PHONY: differential
differential: $(STAMP) ## N generated policies through a real Envoy: does it do what the evaluator says? (N=300 SEED=1)
	$(PY) -m e2e.differential --programs $(N) --seed $(SEED)

.PHONY: chaos
chaos: $(STAMP) ## SEEDS schedules of edits and faults against a real API server (SEEDS=1000 FIRST=0); one again: SEED_ALONE=17
	$(PY) -m e2e.kubernetes.chaos $(if $(SEED_ALONE),--seed $(SEED_ALONE),--seeds $(SEEDS) --first $(FIRST))

.PHONY: bench
bench: $(STAMP) ## Requests per second with and without a policy; needs wrk
	$(PY) -m e2e.bench

.PHONY: bench-controller
bench-controller: $(STAMP) ## Templates, Secrets and edits a second, on a real API server; needs Go the first time
	$(PY) -m e2e.bench.controller

.PHONY: nightly
nightly: test ## Everything, then many more generated policies and controllers' lives, then the benchmark
	GROYNE_LAW_EXAMPLES=400 $(PYTEST) --timeout 3600 unit_tests/controller/test_law.py
	$(PY) -m e2e.differential --programs 3000 --seed "$$(date +%j)"
	$(MAKE) chaos SEEDS=1000
	E2E_OUTAGE_SECONDS=180 $(PYTEST) e2e/kubernetes/test_ext_proc_certificates.py
	$(MAKE) bench
	$(PY) -m e2e.bench --endure 200000
	$(PY) -m e2e.bench.many
	$(PY) -m e2e.bench.controller --full

.PHONY: clients
clients: $(STAMP) ## Every client through an intercepted host; writes the table in docs/clients.md
	rm -f .client-rows
	GROYNE_CLIENT_ROWS=$(CURDIR)/.client-rows $(PYTEST) -v -p no:xdist e2e/clients
	$(PY) -m e2e.clients.table .client-rows docs/clients.md
	rm -f .client-rows

.PHONY: lint
lint: $(STAMP) ## Style and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

.PHONY: types
types: $(STAMP) ## Types, strictly
	$(VENV)/bin/mypy

.PHONY: contracts
contracts: $(STAMP) ## Imports go one way; CRDs match their models
	$(VENV)/bin/lint-imports
	$(PY) -m crds check

.PHONY: clean
clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

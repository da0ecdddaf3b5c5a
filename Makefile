# Gridwire: `make` prints this list.
SHELL := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CHARGERS ?= 50
BATTERIES ?= 200
METERS ?= 60
FAMILIES := evcms ienerzy lithovolt
JOBS ?= 3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install up test check format lock bench foreign clients postman clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/runtime.stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	@echo "Installing into $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --disable-pip-version-check --progress-bar on --require-hashes -r requirements.lock | sed -u -n 's/^Downloading \([^ ]*\).*/  \1/p'
	@$(BIN)/pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/runtime.stamp
	@$(BIN)/pip install --disable-pip-version-check -q --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/runtime.stamp ## the virtual environment, from the hashed lock file

up: $(VENV)/runtime.stamp ## run everything, with a simulated fleet: make up CHARGERS=50 BATTERIES=200 METERS=60
	@$(BIN)/gridwire up --chargers $(CHARGERS) --batteries $(BATTERIES) --meters $(METERS) $(ARGS)

test: $(VENV)/dev.stamp ## all tests, on real servers: make test JOBS=0 ARGS='-k ledger'
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(VENV)/dev.stamp ## ruff, mypy --strict, import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/dev.stamp ## format and mend what ruff can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(VENV)/dev.stamp ## measure beside the peers; writes benchmarks/results/
	@$(BIN)/python -m benchmarks $(ARGS)

foreign: ## install the foreign clients of npm that the tests drive
	@cd tests/foreign && npm ci --no-audit --no-fund --loglevel=error
	@cd tests/foreign/evcms && npm ci --no-audit --no-fund --loglevel=error

.venv-clients/stamp: tests/foreign/clients/requirements.lock
	@test -x .venv-clients/bin/python || $(PYTHON) -m venv .venv-clients
	@.venv-clients/bin/pip install --disable-pip-version-check -q --require-hashes -r $<
	@touch $@

clients: $(VENV)/runtime.stamp .venv-clients/stamp ## generate clients of three API families into build/clients
	@rm -rf build/clients && mkdir -p build/clients/typescript build/clients/python
	@$(BIN)/python -m api.operations.client_files documents build/clients/documents
	@for family in $(FAMILIES); do .venv-clients/bin/openapi-python-client generate --meta none \
		--path build/clients/documents/$$family.json --config tests/foreign/clients/python.yaml \
		--output-path build/clients/python/gridwire_$$family || exit 1; done
	@if command -v npm >/dev/null; then cd tests/foreign/clients && npm ci --no-audit --no-fund --loglevel=error \
		&& for family in $(FAMILIES); do npx openapi-typescript --default-non-nullable=false \
		../../../build/clients/documents/$$family.json -o ../../../build/clients/typescript/$$family.d.ts || exit 1; done; \
		else echo "no npm: no TypeScript clients"; fi

postman: $(VENV)/runtime.stamp ## write the Postman collections of all API families, docs/postman
	@$(BIN)/python -m api.operations.client_files postman docs/postman

lock: $(VENV)/dev.stamp ## resolve the lock files anew (needs uv)
	@uv pip compile -q pyproject.toml --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements.lock
	@uv pip compile -q pyproject.toml --extra dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements-dev.lock
	@cd tests/foreign/clients && uv pip compile -q requirements.in --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements.lock

clean: ## remove the virtual environment and caches, not the data
	@rm -rf $(VENV) .venv-clients .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

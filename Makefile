# Each target sets up what it needs. On a fresh machine: Python >= 3.11, make, git.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= $(or $(ROTA_PORT),8000)
PROCESSORS := $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count() or 1, 8))')
# One more than there are processors: tests also wait. The long tests measure costs, so they get one each.
WORKERS ?= $(shell expr $(PROCESSORS) + 1)
ARGS ?=
UPGRADE ?=
# The parts of the long tests (tests/support/torture.py), the quickest first.
PARTS := browser tools costs postgresql kills histories contract contract-on-postgresql
PART ?= $(PARTS)

VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start Python many times: to compile everything each time takes longer than to run it.
test torture: export PYTHONDONTWRITEBYTECODE :=

CODE = $(wildcard app tests benchmarks examples)

.PHONY: help run test torture bench docs lint format lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: export ROTA_DATABASE_URL ?= sqlite:///rota.db
run: export ROTA_HANDLERS ?= examples/handlers.py
run: $(VENV)/.installed-run ## Migrate ./rota.db and serve on http://HOST:PORT (default 127.0.0.1:8000)
	$(BIN)/rota db upgrade
	@exec $(BIN)/rota serve --host $(HOST) --port $(PORT) $(ARGS)

test: $(VENV)/.installed-dev ## Run the default test suite (ARGS="tests/store -k claim" for a part)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# A part has a run of its own: what has passed is told when it has, and a failure does not end the others. With ARGS, a
# part may have no tests (5).
torture: $(VENV)/.installed-dev ## Run the long tests, for hours; or one part of them: PART=browser|tools|costs|postgresql|kills|... (CONTRIBUTING.md)
	$(if $(filter-out $(PARTS),$(PART)),$(error unknown: $(filter-out $(PARTS),$(PART)); the parts are: $(PARTS)))
	@failed=; for part in $(PART); do \
		echo "--- $$part"; \
		$(BIN)/python -m pytest -m torture --part $$part --timeout 1800 -n $(PROCESSORS) --dist worksteal $(ARGS) \
			|| case $$? in 1) failed+=" $$part" ;; 5) ;; *) exit 1 ;; esac; \
	done; \
	[ -z "$$failed" ] || { echo "these parts have failed:$$failed" >&2; exit 1; }

bench: $(VENV)/.installed-dev ## Run the benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.installed-dev ## Build the site of the documents in build/guide/site; it needs no internet
	$(BIN)/python -m tests.docs.site

lint: $(VENV)/.installed-dev ## Check style, formatting, types and import boundaries
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev ## Apply the formatter and the safe fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE)

lock: | $(BIN)/python ## Make requirements*.txt again from pyproject.toml (UPGRADE=--upgrade for newer versions)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(COMPILE) pyproject.toml --extra calendars --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra calendars --group dev --group docs --group bench --constraint requirements.txt \
		--output-file requirements-dev.txt

clean: ## Remove the environment, caches and builds (rota.db stays)
	rm -rf $(VENV) build dist .coverage .coverage.* htmlcov .hypothesis .schemathesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Rota needs Python 3.11 or newer; choose one with make PYTHON=python3.x" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-run: requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@ $(VENV)/.installed-run

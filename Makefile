# Nightdrop: `make help` lists what can be made.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
STAMP := .venv/ready
# A network that inspects TLS has put its authority into the system's store: use that one
# where there is one, as pip can be told to; uv brings a store of its own for the rest.
export UV_SYSTEM_CERTS := $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/ssl/cert.pem),true,false)

.PHONY: help setup demo serve test check bench soak imports docs lock clean

help: ## List what can be made
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP) ## Make .venv with everything that is locked

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Nightdrop needs Python 3.11 or newer; say which with make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(UV) pip sync --quiet --python $(BIN)/python requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Show a whole night: upload by sftp, check, load, report
	@$(BIN)/nightdrop demo

serve: setup ## Run everything on this machine until Ctrl-C
	@$(BIN)/nightdrop serve

test: setup ## Run the whole test-suite
	@tools/system-packages
	@$(BIN)/pytest -n 2 --dist loadgroup tests -m 'not soak'

soak: setup ## Run the tests that take minutes
	@tools/system-packages
	@$(BIN)/pytest tests -m soak

check: setup ## Lint, types, layers and generated pages
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m nightdrop.cli.pages --check

imports: setup ## Show the layers and whether they hold
	@$(BIN)/lint-imports --no-cache --verbose

docs: setup ## Write the generated pages of docs/
	@$(BIN)/python -m nightdrop.cli.pages

bench: setup ## Measure speed and memory against baselines of the same run
	@$(BIN)/python bench/run.py

lock: setup ## Lock the newest compatible versions
	@$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-header pyproject.toml --extra build -o requirements/run.txt
	@$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-header pyproject.toml --extra build --extra dev -o requirements/dev.txt

clean: ## Remove .venv and what tools left behind
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

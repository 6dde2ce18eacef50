.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: help run test lint check format bench soak openapi pins clean

help: ## List what there is to run
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

# The tests would build the sidecar unseen, which takes minutes. A part of them may not need it.
before_all_tests = $(if $(ARGS),:,echo "All tests take some 10 minutes on two cores"; \
	$(BIN)/python -m tests.sidecar.binary >/dev/null || true)

run: .venv/run ## Serve everything on 127.0.0.1:8000 (PORT=, DATA_DIR=), until Ctrl-C
	@exec $(BIN)/python -m config.local.run

test: .venv/dev ## Run the tests: some 10 minutes on two cores; ARGS="-n 0 tests/common" runs a part
	@$(before_all_tests)
	@# They start some hundred processes, each of which would compile all sources where none may be written.
	@PYTHONDONTWRITEBYTECODE= exec $(BIN)/python -m pytest $(ARGS)

lint: .venv/dev ## Check style, format, types, import rules and migrations
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tests.manage makemigrations --check --dry-run

check: lint ## lint, and then the tests with their coverage
	@$(before_all_tests)
	@exec $(BIN)/python -m pytest --cov $(ARGS)

format: .venv/dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/dev ## Measure state calls, listings, chats and pages against their floors (needs wrk)
	@$(BIN)/python -m benchmarks.run $(ARGS)
	@$(BIN)/python -m benchmarks.script
	@$(BIN)/python -m benchmarks.listing
	@$(BIN)/python -m benchmarks.chat
	@$(BIN)/python -m benchmarks.pages

soak: .venv/dev ## Run the production layout under load and faults for 10 minutes, and check it (ARGS=)
	@exec $(BIN)/python -m soak $(ARGS)

openapi: .venv/dev ## Write docs/openapi.yaml, the description of the API, from the code
	@$(BIN)/python -m tests.openapi

pins: .venv/dev ## Write requirements*.txt anew from requirements*.in
	$(BIN)/uv pip compile -q --upgrade --no-annotate --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --upgrade --no-annotate --no-header requirements-dev.in -o requirements-dev.txt

clean: ## Remove the virtual environment and caches (not var)
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("statekeep: needs Python 3.11 or newer; name it with PYTHON=") if sys.version_info < (3, 11) else 0'
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "statekeep: $(PYTHON) -m venv failed (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check "$$(grep '^uv==' requirements-dev.txt)"

.venv/run: .venv/bin/python requirements.txt
	@echo "Installing requirements.txt"
	@$(BIN)/uv pip install -q --compile-bytecode -p $(BIN)/python -r requirements.txt
	@touch $@

.venv/dev: .venv/bin/python requirements.txt requirements-dev.txt
	@echo "Installing requirements-dev.txt"
	@$(BIN)/uv pip install -q --compile-bytecode -p $(BIN)/python -r requirements-dev.txt
	@touch $@ .venv/run

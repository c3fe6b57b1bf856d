# One command for each thing a person wants to do with this checkout. `make help` lists them.
#
# Everything is installed into .venv, from locked requirements with hashes; nothing outside this folder
# changes, except the stock Tailscale clients, which are built once into the user's cache
# (tests/support/clients.py says where).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/pytest
# Once, for environments that forbid Python to do it by itself: a command then starts twice as fast.
COMPILE := @$(BIN)/python -m compileall -q -j 0 $(VENV)/lib coordinator acl derp
# Test processes at once. The unit tests are CPU bound, the real-client tests mostly wait.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install dev run demo check lint unit test interop bench requirements clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- installing -------------------------------------------------------------------------------------

install: $(VENV)/.installed ## .venv with the server: .venv/bin/coordinator and .venv/bin/headscale

dev: $(VENV)/.installed-dev ## install, and what the checks and tests need

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is too old: Python 3.11 or newer is needed (make PYTHON=/path/to/python3.11)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Build isolation would fetch an unlocked setuptools; the locked one is in runtime.txt.
$(VENV)/.installed: requirements/runtime.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements/runtime.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	$(COMPILE)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements/dev.txt
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	$(COMPILE)
	@touch $@

requirements: ## lock requirements/*.in again (needs uv)
	@command -v uv >/dev/null || { echo "uv is needed to lock the requirements: pip install uv"; exit 1; }
	for name in runtime dev; do \
		uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --no-header \
			requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

# ---- running ----------------------------------------------------------------------------------------

run: install ## a server on first defaults under var/, in the foreground
	$(BIN)/coordinator serve --quickstart var

demo: install ## two stock clients and a throw-away server, without root
	$(BIN)/python -m tests.support.demo

# ---- checking ---------------------------------------------------------------------------------------

check: lint unit ## format, lint, types, import contracts, unit tests: under a minute

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .import_linter_cache

unit: dev
	$(PYTEST) -n $(JOBS) -q -m "not interop and not postgres"

# Without root, /dev/net/tun or Go the real-client tests are skipped and say so; with CI=true or
# COORDINATOR_REQUIRE_ALL=1 whatever is missing is a failure, KVM alone excepted (docs/gateway.md). The last
# line printed is pytest's.
test: check ## check, and the PostgreSQL and real-client tests
	$(PYTEST) -n $(JOBS) --dist loadfile -m "interop or postgres"

interop: dev ## the real-client tests alone (root)
	$(PYTEST) -n $(JOBS) --dist loadfile -m interop tests/interop

bench: dev ## what the server costs; beside headscale with PEER_HEADSCALE=/path/to/headscale
	$(BIN)/python -m tests.bench.policy
	$(BIN)/python -m tests.bench $(BENCH)

clean: ## remove .venv, caches and build output; keeps var/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

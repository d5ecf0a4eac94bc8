# Cloakroom. `make` alone prints help; `make run` and `make test` need nothing but Python 3.11+, pip,
# venv, make and git: they install the rest into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --quiet --custom-compile-command "make lock"
UV_BUILD := $(BIN)/uv pip compile deploy/requirements-build.in --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --quiet --custom-compile-command "make lock"
UV_MATRIX := $(BIN)/uv pip compile tests/matrix/requirements.in --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --quiet --custom-compile-command "make lock"
KUBERNETES := tests/unit/deploy/kubernetes
RELEASE := tests/release
UV_TOOLS := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --quiet --custom-compile-command "make lock"
UV_WEBSITE := $(BIN)/uv pip compile website/requirements.in --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --quiet --custom-compile-command "make lock"
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup system run test test-matrix test-busy test-faults fuzz audit release-check bench bench-growth bench-workers bench-pool bench-profile bench-report lint format types docs all clean lock

help: ## print this help
	@echo "Cloakroom: ephemeral-key broker and SDP relay for realtime voice"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		awk -F '\t' '{ printf "  make %-13s %s\n", $$1, $$2 }'

setup: $(STAMP) ## install everything into .venv (locked, by hash)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Cloakroom needs Python 3.11 or later; point to one with 'make PYTHON=/path/to/python3'."; exit 1; }
	@echo "--> a virtual environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "--> the locked dependencies (a minute on a new machine)"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

system: ## install what the browser and network tests need from the system (Debian, as root)
	@sh tests/system_packages.sh

run: $(STAMP) ## two replicas, a real store and a provider in a box; Ctrl-C ends all of it
	@$(BIN)/cloakroom dev

test: $(STAMP) system ## run the whole test suite
	@$(BIN)/python -m pytest --numprocesses 4 --dist loadfile

SERVERS ?=
test-matrix: $(STAMP) system ## the tests that need a store, on each Redis and Valkey to be had
	@$(BIN)/python -m tests.matrix $(SERVERS)

WORKERS ?= 2
test-busy: $(STAMP) system ## the suite while every CPU is busy with something else (WORKERS=2, TESTS=tests/web)
	@$(BIN)/python -m tests.support.busy --workers $(WORKERS) $(TESTS)

DRILLS ?=
test-faults: $(STAMP) system ## break things for minutes and count what that did (DRILLS="races leaks")
	@$(BIN)/python -m tests.faults $(DRILLS)

RUNS ?= 10000000
TARGETS ?=
FUZZ ?=
fuzz: $(STAMP) .fuzz-venv/.installed ## inputs found by machine (RUNS=100000, TARGETS="offers urls", FUZZ="--minutes 30 --keep")
	@.fuzz-venv/bin/python -m tests.fuzz --runs $(RUNS) $(FUZZ) $(TARGETS)

.fuzz-venv/.installed: tests/fuzz/environment.sh tests/fuzz/requirements.lock $(STAMP)
	@sh tests/fuzz/environment.sh

audit: $(STAMP) ## known vulnerabilities of every locked package; fails, too, where nobody can be asked
	@$(BIN)/python -m $(subst /,.,$(RELEASE)).audit

TAG ?=
release-check: $(STAMP) ## build wheel, sdist and SBOM into dist, look into them, install the wheel alone and run it
	@$(BIN)/python -m $(subst /,.,$(RELEASE)) $(if $(TAG),--tag $(TAG))

bench: $(STAMP) .bench-venv/.installed ## compare with a bare server and LiteLLM, write docs/performance.md (6 minutes)
	@sh tests/bench/system_packages.sh
	@$(BIN)/python -m tests.bench
	@$(MAKE) --no-print-directory bench-report

bench-growth: $(STAMP) .bench-venv/.installed ## what a million handles, two replicas and a Cluster cost (5 minutes)
	@sh tests/bench/system_packages.sh
	@$(BIN)/python -m tests.bench.growth
	@$(MAKE) --no-print-directory bench-report

bench-workers: $(STAMP) .bench-venv/.installed ## one replica with 1, 2 and 4 workers (2 minutes)
	@sh tests/bench/system_packages.sh
	@$(BIN)/python -m tests.bench.workers
	@$(MAKE) --no-print-directory bench-report

bench-pool: $(STAMP) .bench-venv/.installed ## a mint with the warm pool and without (13 minutes, five of them idle)
	@$(BIN)/python -m tests.bench.pool
	@$(MAKE) --no-print-directory bench-report

bench-profile: $(STAMP) .bench-venv/.installed ## where the time goes: instructions and functions (2 minutes)
	@sh tests/bench/system_packages.sh
	@$(BIN)/python -m tests.bench.profile --json tests/bench/results/profile.json
	@$(MAKE) --no-print-directory bench-report

bench-report: $(STAMP) .bench-venv/.installed ## docs/performance.md, docs/capacity.md and their pictures from the last figures
	@$(BIN)/python -m tests.bench.report
	@.bench-venv/bin/python -m tests.bench.plots

.bench-venv/.installed: tests/bench/environment.sh
	@PYTHON=$(PYTHON) sh tests/bench/environment.sh

lint: $(STAMP) ## ruff, spelling, the compose file, the workflows and the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	git ls-files -z | xargs -0 $(BIN)/codespell
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/hadolint deploy/Dockerfile

format: $(STAMP) ## let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

docs: .docs-venv/.installed website/node_modules/.installed ## build the documents as a site in build/site, links checked
	@$(PYTHON) website/stage.py build
	@rm -rf build/site
	@cp website/node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js build/site-source/assets/mermaid.js
	@.docs-venv/bin/zensical build --strict --clean --config-file build/mkdocs.yml

.docs-venv/.installed: website/requirements.lock
	@test -x .docs-venv/bin/python || $(PYTHON) -m venv .docs-venv
	@.docs-venv/bin/python -m pip install --quiet --require-hashes -r website/requirements.lock
	@touch $@

website/node_modules/.installed: website/package-lock.json
	@cd website && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

all: lint types docs test ## what CI runs

lock: $(STAMP) ## resolve the dependencies anew and write the lock files
	@$(BIN)/python -m pip install --quiet uv
	$(UV_COMPILE) --upgrade --extra dev -o requirements.lock
	$(UV_COMPILE) --constraint requirements.lock --extra entra --extra otel -o requirements-runtime.lock
	$(UV_COMPILE) --constraint requirements.lock --extra sandbox -o requirements-sandbox.lock
	$(UV_BUILD) --upgrade -o deploy/requirements-build.lock
	$(UV_MATRIX) --upgrade -o tests/matrix/requirements.lock
	$(UV_COMPILE) --constraint requirements.lock -o $(RELEASE)/base.lock
	$(UV_WEBSITE) --upgrade -o website/requirements.lock
	$(UV_TOOLS) $(KUBERNETES)/tools.in --no-deps --upgrade -o $(KUBERNETES)/tools.lock
	$(UV_TOOLS) $(KUBERNETES)/policy.in --upgrade -o $(KUBERNETES)/policy.lock
	$(UV_TOOLS) $(RELEASE)/tools.in --upgrade -o $(RELEASE)/tools.lock
	$(UV_TOOLS) tests/fuzz/requirements.in --upgrade -o tests/fuzz/requirements.lock

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) .bench-venv .fuzz-venv .fuzz .release-venv .docs-venv website/node_modules node_modules tests/browser/node_modules $(KUBERNETES)/node_modules artifacts build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Every command of this project. `make` alone lists them.
#
# Only Python >= 3.11 and make are needed beforehand: the first use of a target
# creates .venv; later uses start at once, until pyproject.toml changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench

# What the tests talk to, as BINARY:DEBIAN-PACKAGE.
SERVERS := chromium:chromium etcd:etcd-server pg_ctlcluster:postgresql prometheus:prometheus promtool:prometheus redis-server:redis-server \
    prometheus-alertmanager:prometheus-alertmanager

# `sched` is also a module of the standard library: the current directory must
# never be searched for imports.
export PYTHONSAFEPATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# What one process has compiled, all others read: tests start hundreds of them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check lint types generated wheel fix generate bench bench-quick costs chaos hostile mutants live pictures servers clean

help: ## List these targets
	@echo 'make TARGET [ARGS="..."] [PYTHON=python3.12]'
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

demo: $(RUNTIME) ## See a scheduler at work; needs nothing but Python
	@$(BIN)/tickglass demo $(ARGS)

test: $(DEV) servers ## Run the tests side by side; ARGS go to pytest, -n0 runs one after the other
	$(BIN)/pytest -n auto $(ARGS)

check: lint types generated test ## Everything CI checks: format, lint, types, generated files, tests, wheel

lint: $(DEV) ## Format and lint, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(DEV) ## Check types, strictly
	$(BIN)/mypy -p tickglass
	$(BIN)/mypy tests $(wildcard bench/*.py bench/*/*.py examples/*.py)

generated: $(DEV) ## Check that generated files are up to date
	@mkdir -p build/generated
	$(BIN)/python -m tickglass.telemetry.reference build/generated/metrics.md
	$(BIN)/python tools/state_machines.py build/generated/state-machines.md
	@rm -rf build/generated/dashboards
	$(BIN)/python -m tickglass.dashboards.export build/generated
	@diff -ru dashboards/generated build/generated/dashboards/generated && \
	    diff -u docs/dashboards.md build/generated/docs/dashboards.md || \
	    { echo "the boards or docs/dashboards.md are out of date: run make generate" >&2; exit 1; }
	@rm -rf build/generated/alerts
	$(BIN)/python -m tickglass.alerts build/generated/alerts build/generated/alerts.md
	@diff -ru alerts/generated build/generated/alerts || \
	    { echo "alerts/generated is out of date: run make generate" >&2; exit 1; }
	@for page in alerts metrics state-machines; do \
	    diff -u docs/$$page.md build/generated/$$page.md || \
	    { echo "docs/$$page.md is out of date: run make generate" >&2; exit 1; }; done

wheel: $(DEV) ## Build the wheel and check what is in it (part of test)
	$(BIN)/pytest tests/packaging $(ARGS)

fix: $(DEV) ## Format, and repair what the linter can
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

generate: $(DEV) ## Write generated files again
	$(BIN)/python -m tickglass.telemetry.reference docs/metrics.md
	$(BIN)/python tools/state_machines.py docs/state-machines.md
	$(BIN)/python -m tickglass.alerts alerts/generated docs/alerts.md
	$(BIN)/python -m tickglass.dashboards.export .

bench: $(BENCH) ## Measure every target beside the peers, write docs/benchmarks.md; takes a quarter of an hour
	PYTHONPATH=bench $(BIN)/python bench/run.py $(ARGS)

bench-quick: $(BENCH) ## Measure some targets in one short round, write nothing; takes a minute
	PYTHONPATH=bench $(BIN)/python bench/run.py --quick $(ARGS)

costs: $(DEV) ## Measure what single steps cost: claims, events, scrapes, a sidecar
	PYTHONPATH=bench $(BIN)/python bench/costs.py $(ARGS)

chaos: $(DEV) servers ## Make some thousand faults on every store, look for a broken promise
	PYTHONPATH=tests $(BIN)/python -m chaos.long $(ARGS)

hostile: $(DEV) ## Send a sidecar a million frames that mean it harm, look for one that does some
	TICKGLASS_HOSTILE_FRAMES=1000000 $(BIN)/pytest tests/unit/telemetry/sidecar/schedulers/test_receiver.py \
	    -k 'hostile or without_end' -o faulthandler_timeout=0 $(ARGS)

mutants: $(DEV) servers ## Spoil every alerting rule in every small way, look for one that its cases do not notice
	PYTHONPATH=tests $(BIN)/python tests/alerts/all_mutants.py $(ARGS)

live: $(DEV) servers ## Make nine faults for real, watched by a Prometheus at its usual 15 s; takes eleven minutes
	PYTHONPATH=tests $(BIN)/python tests/alerts/live_faults.py $(ARGS)

pictures: $(DEV) servers ## Draw docs/images/board-*.png with Grafana's own components; needs Node
	cd tools/board_pictures && npm install --legacy-peer-deps --ignore-scripts --no-package-lock --no-audit --no-fund --silent
	PYTHONPATH=tests $(BIN)/python tools/board_pictures/pictures.py $(ARGS)

servers: ## Install the servers that tests talk to, where that is possible
	@tools/install_missing.sh $(SERVERS)

clean: ## Remove .venv and everything else that was made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Debian's python3 makes no virtual environment until python3-venv is installed,
# which has no command of its own to look for.
$(RUNTIME): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or later is needed: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
	    { tools/install_missing.sh --required python3-venv:python3-venv && $(PYTHON) -m venv --clear $(VENV); }
	$(BIN)/python -m pip install --quiet 'pip>=26.2'
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEV): $(RUNTIME)
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(BENCH): $(DEV)
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

# Every target sets up .venv first, once: the stamp is remade only when the lock or pyproject changes.
PYTHON ?= python3
TORCH := 2.13.0

BIN := .venv/bin
READY := .venv/.ready
PIP_FLAGS := --quiet --disable-pip-version-check
# One thread per test worker: more would fight over the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench lock python

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

setup: $(READY) ## Install everything into .venv, once

demo: $(READY) ## Run the whole job on the embedded phantom cohort, offline
	$(BIN)/tassl demo

test: $(READY) ## Run every test, the slow ones too
	$(PYTEST)

check: $(READY) ## Lint, format check, types, then every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(PYTEST)

bench: $(READY) ## Run the benchmarks
	$(BIN)/python -m benchmarks

lock: python ## Make requirements.lock anew from pyproject.toml
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/pip install $(PIP_FLAGS) torch==$(TORCH) '.[dev]'
	echo '# Every package of a CPU environment on Linux, Python 3.11. Made by `make lock`: do not edit.' > .venv-lock/lock
	.venv-lock/bin/pip freeze --all --exclude pip --exclude tassl | sed 's/+cpu$$//' >> .venv-lock/lock
	mv .venv-lock/lock requirements.lock
	rm -r .venv-lock

$(READY): requirements.lock pyproject.toml
	@$(MAKE) --no-print-directory python
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(PIP_FLAGS) -r requirements.lock
	$(BIN)/pip install $(PIP_FLAGS) --no-deps --editable .
	@touch $@

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "tassl needs Python 3.11 or newer, and '$(PYTHON)' is not." \
			"Install one and name it: make PYTHON=python3.11 setup" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments: its venv module is incomplete." \
			"On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }

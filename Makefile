# Everything a newcomer or CI does. Needs python3 (3.11 or newer) and make; installs nothing outside this folder.

PYTHON ?= python3
# make test BACKENDS=jax          only that backend
# make test ARGS="-k heads -x"    handed on to pytest
BACKENDS ?=
ARGS ?=

PIP := -m pip install --disable-pip-version-check -qq --constraint constraints.txt
INPUTS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-jax coverage check docs format bench lock clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## /  make \1	/p' Makefile

demo: .venv-demo/.ready  ## set up .venv-demo (JAX, about 1 GB) and train on real data, in about a minute
	.venv-demo/bin/polycera demo

test: .venv/.ready  ## set up .venv (JAX, TensorFlow and PyTorch, about 4 GB) and run all tests on each
	.venv/bin/python tests/run.py $(addprefix --backend ,$(BACKENDS)) $(ARGS)

test-jax: .venv-jax/.ready  ## set up .venv-jax (JAX alone, about 1.6 GB) and run the tests that need no other backend
	.venv-jax/bin/python tests/run.py --backend jax $(ARGS)

coverage: .venv/.ready  ## run all tests and print which lines and branches they reach; slower
	.venv/bin/python tests/run.py --coverage $(addprefix --backend ,$(BACKENDS)) $(ARGS)

check: .venv/.ready docs  ## lint, format, types, and the documentation site
	.venv/bin/ruff check --output-format concise .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# In a copy, whose .cache is the site's own. A warning is an error.
docs: .venv/.ready  ## build the documentation site, in .cache/docs/site
	@rm -rf .cache/docs && mkdir -p .cache/docs && cp -r docs zensical.toml .cache/docs
	cd .cache/docs && ../../.venv/bin/zensical build --strict

format: .venv/.ready  ## put the code into the one format, mend what can be mended
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: .venv/.ready  ## run every script of benchmarks/
	@set -e; for script in benchmarks/[!_]*.py; do \
	  test -f "$$script" || { echo "benchmarks/ has no script."; exit 1; }; \
	  echo "== $$script"; .venv/bin/python "$$script" $(ARGS); done

lock: .venv/.ready  ## renew constraints.txt
	.venv/bin/python tools/lock.py

clean:  ## remove the environments and caches
	rm -rf .venv .venv-jax .venv-demo .cache
	find src tests examples benchmarks tools -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# An environment is made once, and brought up to date when its inputs change. The stamp is written last,
# so a set-up that was interrupted is taken up again.
.venv/.ready .venv-jax/.ready .venv-demo/.ready: $(INPUTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "polycera needs Python 3.11 or newer, and $(PYTHON) is %d.%d: run make with PYTHON=python3.11, say." % v[:2])'
	@echo "Setting up $(@D), once: this takes a few minutes."
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python $(PIP) $(FIRST)
	@$(@D)/bin/python $(PIP) --editable '.[$(EXTRAS)]'
	@touch $@

# torch comes first and by its exact version: pip then finds the small build where there is one,
# and nothing that follows brings another.
.venv/.ready: FIRST = torch==2.13.0
.venv/.ready: EXTRAS = jax,tensorflow,torch,test,oracle,dev
.venv-jax/.ready: FIRST = jax
.venv-jax/.ready: EXTRAS = jax,test
.venv-demo/.ready: FIRST = jax
.venv-demo/.ready: EXTRAS = jax,demo

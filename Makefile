# make demo   train on the embedded data, compare, and serve on 127.0.0.1:8000
# make test   all tests
# make bench  train and measure neuralbits and its peers; some hours
# make serve  serve the shipped artifact, with the serving dependencies alone

PYTHON ?= python3
BIN := .venv/bin
# A hub that ignores one command in 25 isn't used for long: half the default.
HOME_ASSISTANT := --dataset home-assistant --max-false-rejects 2%
# A marker for each set of packages that .venv holds; a changed pyproject.toml installs anew.
SERVE := .venv/.serve
TRAIN := .venv/.train
TEST := .venv/.test
DEMO := runs/home-assistant-en.safetensors
PEERS := .venv-bench/.installed

.PHONY: demo serve test lint check artifacts bench clean

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

clean:
	rm -rf .venv .venv-bench runs build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("neuralbits needs Python 3.11 or newer; name one by: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

$(SERVE): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[serve]'
	@touch $@

$(TRAIN): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[serve,train]'
	@touch $@

$(TEST): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[serve,train,test]'
	@touch $@

$(PEERS): benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install -q -r benchmarks/requirements.txt
	@touch $@

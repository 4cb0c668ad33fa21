# `make reproduce-cxr` and `make test` need Python 3.10 or newer and make; they set up .venv themselves.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

# The experiment's variables, to be given on the command line: make reproduce-cxr SIZE=256 DEVICE=gpu
DATA ?=
SIZE ?= 128
SEED ?= 0
DEVICE ?= auto
IMAGES ?= 1200
WIDTH ?=
EPOCHS ?=
SOURCE_EPOCHS ?=
CLASSIFIER_EPOCHS ?=
BATCH ?=
PREPARED ?= prepared/cxr-$(if $(DATA),real,synthetic)-$(SIZE)
OUT ?= results/cxr
BENCH ?=

PREPARE_ARGS := --size $(SIZE) --seed $(SEED) $(if $(DATA),--data "$(DATA)",--images $(IMAGES))
RUN_ARGS := --seed $(SEED) --device $(DEVICE) $(if $(WIDTH),--width $(WIDTH)) \
  $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(SOURCE_EPOCHS),--source-epochs $(SOURCE_EPOCHS)) \
  $(if $(CLASSIFIER_EPOCHS),--classifier-epochs $(CLASSIFIER_EPOCHS)) $(if $(BATCH),--batch $(BATCH))

.DEFAULT_GOAL := help
.PHONY: help data reproduce-cxr test bench lint format networks gpu clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

reproduce-cxr: $(VENV)/ready  ## the chest X-ray experiment; DATA=folder for real images, else synthetic ones
	$(PY) -m data_prep cxr "$(PREPARED)" $(PREPARE_ARGS)
	$(PY) -m ums.experiments.cxr --source "$(PREPARED)/source" --target "$(PREPARED)/target" \
	  --test "$(PREPARED)/test" --out "$(OUT)" $(RUN_ARGS)

data: $(VENV)/ready  ## which public sets are in DATA, and download those that need no account
	$(PY) -m data_prep get "$(or $(DATA),raw)"

test: $(VENV)/ready  ## all tests
	$(PY) -m pytest

bench: $(VENV)/ready  ## time the layers against PyTorch (to be installed for it: .venv/bin/python -m pip install torch)
	PYTHONPATH=. $(PY) tests/benchmarks/bench.py $(if $(filter gpu,$(DEVICE)),--device gpu) $(BENCH)

lint: $(VENV)/ready  ## what the linter and the formatter object to
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(VENV)/ready  ## format the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

networks: $(VENV)/ready  ## the paper's networks, layer by layer
	$(PY) -m ums.networks

gpu: $(VENV)/ready  ## install CuPy, for an NVIDIA GPU
	$(PY) -m pip install --disable-pip-version-check -r requirements-gpu.txt
	$(PY) -c "from ums.backend import choose_device; print(choose_device('gpu').name)"

clean:  ## remove .venv; prepared images and results stay
	rm -rf $(VENV)

$(VENV)/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "error: Python 3.10 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check -q -r requirements.txt
	@touch $@

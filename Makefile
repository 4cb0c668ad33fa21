# Needs Python 3.10 or newer and make; every command sets up .venv itself.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

# Variables, given on the command line: make reproduce-cxr SIZE=256 DEVICE=gpu. `make help` prints these lines.
#: DATA                   folder of raw sets, or of one's own Doppler screens; without it, synthetic images
#: TASKS                  diverse or similar, to run one of the two groups of tasks (both)
#: QUESTIONS              what the ablation changes, such as "statistics weights" (all)
#: SIZE                   side of the images in pixels, a multiple of 16 (96)
#: IMAGES                 synthetic images of the source (1200), or Doppler screens (2444)
#: WIDTH                  scales every channel count; 1 is the paper's (0.5; reproduce-echo 1)
#: FOLDS                  folds of the cross-validation (3)
#: SOURCE_EPOCHS          epochs of the source at most (8; echo 16)
#: EPOCHS                 epochs of segmentation at most (12; reproduce-echo 40), or of a trial (20)
#: CLASSIFIER_EPOCHS      epochs of classification at most (30; echo 40)
#: BATCH, SEED            images per batch (16); the seed of every random number (0)
#: DEVICE                 cpu, gpu or auto (auto)
#: TRIALS                 combinations that search-echo tries (16); 162 is all of them
#: PREPARED, OUT          where prepared images and results go
#: LESSON, BENCH          number of one lesson; options of the benchmark, such as "--only networks"
#: COUNT, ONLY            mutants (300), and where: beginnings of paths, such as ums/ops (all)
#: UMS_THREADS            CPU threads (all processors)
#: CUPY_GPU_MEMORY_LIMIT  most GPU memory that CuPy takes (nine tenths)
DATA ?=
SIZE ?= 96
SEED ?= 0
DEVICE ?= auto
IMAGES ?= 1200
WIDTH ?=
EPOCHS ?=
SOURCE_EPOCHS ?=
CLASSIFIER_EPOCHS ?=
BATCH ?=
FOLDS ?=
TASKS ?=
QUESTIONS ?=
PREPARED ?= prepared/cxr-$(if $(DATA),real,synthetic)-$(SIZE)
OUT ?= results/cxr
TRIALS ?=
BENCH ?=
COUNT ?= 300
ONLY ?=
LESSON ?=
JUPYTER ?=

PREPARE_ARGS = --size $(SIZE) --seed $(SEED) $(if $(DATA),--data "$(DATA)",--images $(IMAGES))
PREPARE_ECHO_ARGS = $(if $(DATA),echo-folder "$(DATA)",echo) "$(PREPARED)" --size $(SIZE) --seed $(SEED) \
  $(if $(DATA),,--images $(IMAGES))
RUN_ARGS = --seed $(SEED) --device $(DEVICE) $(if $(WIDTH),--width $(WIDTH)) \
  $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(SOURCE_EPOCHS),--source-epochs $(SOURCE_EPOCHS)) \
  $(if $(CLASSIFIER_EPOCHS),--classifier-epochs $(CLASSIFIER_EPOCHS)) $(if $(BATCH),--batch $(BATCH)) \
  $(if $(FOLDS),--folds $(FOLDS))

.DEFAULT_GOAL := help
.PHONY: help data reproduce-cxr reproduce-cxr-full ablation reproduce-echo search-echo lessons lessons-solved \
  test mutants bench lint typecheck format networks gpu clean

help:  ## commands and variables
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24
	@echo; sed -n 's/^#: //p' $(MAKEFILE_LIST)

reproduce-cxr: $(VENV)/ready  ## the chest X-ray study, small; DATA=folder for real images, else synthetic ones
	$(PY) -m data_prep cxr "$(PREPARED)" $(PREPARE_ARGS)
	$(PY) -m ums.experiments cxr "$(PREPARED)" --out "$(OUT)" $(RUN_ARGS) $(if $(TASKS),--groups $(TASKS))

reproduce-cxr-full: SIZE = 256
reproduce-cxr-full: WIDTH = 1
reproduce-cxr-full: IMAGES = 8000
reproduce-cxr-full: FOLDS = 10
reproduce-cxr-full: SOURCE_EPOCHS = 100
reproduce-cxr-full: EPOCHS = 100
reproduce-cxr-full: CLASSIFIER_EPOCHS = 100
reproduce-cxr-full: OUT = results/cxr-full
reproduce-cxr-full: reproduce-cxr  ## the same with the paper's size, folds and width; for a GPU

ablation: $(VENV)/ready  ## what it takes for sharing to pay: reproduce-cxr again with one thing changed at a time
	$(PY) -m data_prep cxr "$(PREPARED)" $(PREPARE_ARGS)
	$(PY) -m ums.experiments ablation "$(PREPARED)" --out "$(OUT)" $(RUN_ARGS) $(if $(QUESTIONS),--questions $(QUESTIONS))

reproduce-echo search-echo: IMAGES = 2444
reproduce-echo search-echo: PREPARED = prepared/echo-$(if $(DATA),own,synthetic)-$(SIZE)

reproduce-echo: OUT = results/echo
reproduce-echo: $(VENV)/ready  ## the Doppler echo study, small; DATA=folder for one's own screens, else synthetic ones
	$(PY) -m data_prep $(PREPARE_ECHO_ARGS)
	$(PY) -m ums.experiments echo "$(PREPARED)" --out "$(OUT)" $(RUN_ARGS) $(if $(TASKS),--groups $(TASKS))

search-echo: OUT = results/echo-search
search-echo: $(VENV)/ready  ## the echo source's hyperparameters by random search; TRIALS=162 tries all
	$(PY) -m data_prep $(PREPARE_ECHO_ARGS)
	$(PY) -m ums.experiments search "$(PREPARED)" --out "$(OUT)" --seed $(SEED) --device $(DEVICE) \
	  $(if $(TRIALS),--trials $(TRIALS)) $(if $(WIDTH),--width $(WIDTH)) $(if $(EPOCHS),--epochs $(EPOCHS))

data: $(VENV)/ready  ## which public sets are in DATA, and download those that need no account
	$(PY) -m data_prep get "$(or $(DATA),raw)"

lessons: $(VENV)/lessons-ready  ## open the lessons in JupyterLab
	$(PY) -m jupyterlab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/lessons $(JUPYTER)

lessons-solved: $(VENV)/lessons-ready  ## write and run the solved copies of the lessons: lessons/solved/
	$(PY) -m lessons solve $(LESSON)

test: $(VENV)/ready  ## all tests, on all processors
	$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder

mutants: $(VENV)/ready  ## COUNT one-line mutants, drawn by SEED, against the tests that concern them: tests/README.md
	$(PY) tests/mutation/campaign.py --count $(COUNT) --seed $(SEED) $(if $(ONLY),--only $(ONLY))

bench: $(VENV)/ready  ## time the layers against PyTorch (to be installed for it: .venv/bin/python -m pip install torch)
	PYTHONPATH=. $(PY) tests/benchmarks/bench.py $(if $(filter gpu,$(DEVICE)),--device gpu) $(BENCH)

lint: $(VENV)/ready  ## what the linter and the formatter object to
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

typecheck: $(VENV)/ready  ## what the type checker objects to
	$(PY) -m mypy

format: $(VENV)/ready  ## format the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

networks: $(VENV)/ready  ## the paper's networks, layer by layer
	$(PY) -m ums.networks

gpu: $(VENV)/ready  ## install CuPy, for an NVIDIA GPU
	$(PY) -m pip install --disable-pip-version-check -r requirements/gpu.txt
	$(PY) -c "from ums.backend import choose_device; print(choose_device('gpu').name)"

clean:  ## remove .venv; prepared images and results stay
	rm -rf $(VENV)

$(VENV)/ready: requirements.txt $(addprefix requirements/,core.txt study.txt data.txt dev.txt)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "error: Python 3.10 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check -q -r requirements.txt
	@touch $@

# The checkout is put on the environment's path, so that a notebook finds it wherever it is opened.
$(VENV)/lessons-ready: $(VENV)/ready requirements/lessons.txt
	$(PY) -m pip install --disable-pip-version-check -q -r requirements/lessons.txt
	@$(PY) -c "import os, sysconfig as s; open(s.get_path('purelib') + '/ums.pth', 'w').write(os.getcwd())"
	@touch $@

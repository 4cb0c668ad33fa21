# Needs Python 3.10 or newer and GNU make 3.81 or newer; every command sets up .venv itself. README.md has the way without make.

# Variables, given on the command line: make reproduce-cxr SIZE=256 DEVICE=gpu. `make help` prints these lines.
#: DATA                   folder of raw sets, or of your own Doppler screens; without it, synthetic images
#: TASKS                  diverse or similar, to run one of the two groups of tasks (both)
#: ARMS                   ways to train that are compared, such as "scratch single joint" (all)
#: FACTORS                what else is varied: labels, source, hospital, background (nothing)
#: SIZE                   side of the images in pixels, a multiple of 16 (48; echo 96)
#: IMAGES                 images that the source learns from (1000), or Doppler screens of a replicate (2444)
#: LABELS                 labelled images that a group of tasks learns from (150; echo 400)
#: REPLICATES, LEVELS     times that everything is drawn and trained anew (2), and at each level of a factor (2)
#: WIDTH                  scales every channel count; 1 is the paper's (0.5; reproduce-echo 1)
#: SOURCE_STEPS, STEPS    training steps of the source (1500; echo 1000) and of each task (300; echo 600)
#: EVALUATIONS            times in a training that the validation loss is measured (10)
#: PROCESSES              jobs side by side (one for each processor)
#: SCHEDULER, JOB         address of a Dask scheduler that hands out the jobs; or K/N, to run the K-th of N shares of them
#: PILOT                  instead of the study, choose its learning rates with so many replicates, at most 3: rates.csv
#: BATCH, SEED            images per batch (16); the seed of every random number (0)
#: DEVICE                 cpu, gpu or auto (auto)
#: TRIALS, EPOCHS         combinations that search-echo tries (16; 162 is all of them), epochs of each at most (20)
#: PREPARED, OUT          where prepared images and results go
#: LESSON, BENCH          number of one lesson; options of the benchmark, such as "--only networks --sides 64"
#: SOLVED, REPOSITORY     1 for the teacher's book, with solutions; owner/name on GitHub, for the book's badges
#: MINUTES                that check-gpu may take (8)
#: COUNT, ONLY            mutants (300), and where: beginnings of paths, such as ums/ops (all)
#: PYTHON                 the Python that makes .venv (python3)
#: UMS_THREADS            CPU threads (all processors; 1 for each job of a study)
#: CUPY_GPU_MEMORY_LIMIT  most GPU memory that CuPy takes (nine tenths)

# What a user gives is text: make expands no part of it, and `q` quotes it, so that the shell runs no part of it.
literal = $(if $(filter $2,$(firstword $(origin $1))),$(eval override $1 := $$(value $1)))
$(foreach v,$(.VARIABLES),$(call literal,$v,command))
$(foreach v,DATA TASKS ARMS FACTORS SIZE IMAGES LABELS REPLICATES LEVELS WIDTH SOURCE_STEPS STEPS EVALUATIONS EPOCHS PROCESSES SCHEDULER JOB PILOT BATCH SEED \
  DEVICE TRIALS PREPARED OUT COUNT ONLY LESSON SOLVED REPOSITORY BENCH MINUTES JUPYTER PYTHON,$(call literal,$v,environment))
define newline


endef
q = '$(subst ','\'',$(if $(findstring $(newline),$1),$(error there is a line break in "$(subst $(newline), ,$1)"),$1))'
each = $(foreach w,$1,$(call q,$w))
# What was given, or the default, which a command may set for itself.
of = $(or $($1),$(default-$1))
option = $(if $(call of,$1),--$2=$(call q,$(call of,$1)))
prepared = $(call q,$(call of,PREPARED))
out = --out=$(call q,$(call of,OUT))

default-PYTHON = python3
default-SIZE = 48
default-REPLICATES = 2
default-LEVELS = 2
default-SEED = 0
default-DEVICE = auto
default-IMAGES = 1000
default-PREPARED = prepared/cxr-$(if $(DATA),real,synthetic)-$(call of,SIZE)
default-OUT = results/cxr
default-COUNT = 300
VENV = .venv
PY = $(VENV)/bin/python
export PYTHONPATH := $(CURDIR)$(if $(value PYTHONPATH),:$(value PYTHONPATH))

run = $(call q,$(PY)) -m
install = $(run) pip install --disable-pip-version-check -q -r
common = $(call option,SEED,seed) $(call option,DEVICE,device)
prepare = $(call option,SIZE,size) $(call option,SEED,seed)
replicates = $(call option,REPLICATES,replicates)
other = $(if $(filter hospital,$(FACTORS)),$(call option,LEVELS,other))
# One level of the factor has so many; the last of two options counts.
most_labels = $(if $(filter labels,$(FACTORS)),--labels=500)
prepare_cxr = $(run) data_prep cxr $(prepared) $(prepare) $(if $(DATA),$(call option,DATA,data),\
  $(call option,IMAGES,images) $(call option,LABELS,labels) $(most_labels) $(replicates) $(other))
prepare_echo = $(run) data_prep $(if $(DATA),echo-folder $(call q,$(DATA)),echo) $(prepared) $(prepare) \
  $(if $(DATA),,$(call option,IMAGES,images) $(replicates))
several = $(if $($1),--$2 $(call each,$($1)))
study = $(prepared) $(out) $(common) $(replicates) $(call option,WIDTH,width) $(call option,LABELS,labels) \
  $(call option,SOURCE_STEPS,source-steps) $(call option,STEPS,steps) $(call option,EVALUATIONS,evaluations) \
  $(call option,BATCH,batch) $(call option,LEVELS,level-replicates) $(call option,PROCESSES,processes) \
  $(call option,SCHEDULER,scheduler) $(call option,JOB,job) \
  $(call option,PILOT,pilot) $(call several,TASKS,groups) $(call several,ARMS,arms) $(call several,FACTORS,factors)
# Whether the file $1 in .venv is there and newer than the requirements; find objects if it is not there.
fresh = test -z "$$(find requirements.txt requirements -newer $(call q,$(VENV)/$1) 2>&1)"

.DEFAULT_GOAL := help
.PHONY: help data demo reproduce-cxr reproduce-cxr-full reproduce-echo search-echo lessons lessons-solved book \
  test mutants bench check-gpu lint typecheck format networks gpu clean ready lessons-ready

help:  ## commands and variables
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-24s%s\n", $$1, $$2 }' Makefile
	@echo; sed -n 's/^#: //p' Makefile

reproduce-cxr: ready  ## the chest X-ray study, small; DATA=folder for real images, else synthetic ones
	$(prepare_cxr)
	$(run) ums.experiments cxr $(study) $(call option,IMAGES,source-images)

reproduce-cxr-full: default-SIZE = 256
reproduce-cxr-full: default-WIDTH = 1
reproduce-cxr-full: default-IMAGES = 8000
reproduce-cxr-full: default-LABELS = 500
reproduce-cxr-full: default-REPLICATES = 5
reproduce-cxr-full: default-SOURCE_STEPS = 20000
reproduce-cxr-full: default-STEPS = 3000
reproduce-cxr-full: default-OUT = results/cxr-full
reproduce-cxr-full: reproduce-cxr  ## the same with the paper's size and width, and longer; for a GPU

reproduce-echo search-echo: default-SIZE = 96
reproduce-echo search-echo: default-IMAGES = 2444
reproduce-echo search-echo: default-PREPARED = prepared/echo-$(if $(DATA),own,synthetic)-$(call of,SIZE)

reproduce-echo: default-OUT = results/echo
reproduce-echo: ready  ## the Doppler echo study, small; DATA=folder for your own screens, else synthetic ones
	$(prepare_echo)
	$(run) ums.experiments echo $(study)

search-echo: default-OUT = results/echo-search
search-echo: ready  ## the echo source's hyperparameters by random search; TRIALS=162 tries all
	$(prepare_echo)
	$(run) ums.experiments search $(prepared) $(out) $(common) \
	  $(call option,TRIALS,trials) $(call option,WIDTH,width) $(call option,EPOCHS,epochs)

demo: ready  ## a page to try the model of a study, OUT=results/cxr; for this computer alone
	$(install) requirements/demo.txt
	$(run) ums demo --model=$(call q,$(call of,OUT)) $(call option,DEVICE,device)

data: ready  ## which public sets are in DATA, and download those that need no account
	$(run) data_prep get $(call q,$(or $(DATA),raw))

lessons: lessons-ready  ## open copies of the lessons, in work/, in JupyterLab
	$(run) lessons start
	$(run) jupyterlab --ServerApp.root_dir=$(call q,$(CURDIR)) --LabApp.default_url=/lab/tree/work $(call each,$(JUPYTER))

lessons-solved: lessons-ready  ## write and run the solved copies of the lessons: lessons/solved/
	$(run) lessons solve $(call option,PROCESSES,processes) $(call each,$(LESSON))

book: lessons-ready  ## the course as a web site, build/book/html; SOLVED=1 with solutions, build/book-solved/html
	$(install) requirements/book.txt
	$(run) lessons.book $(if $(SOLVED),--solved) $(call option,REPOSITORY,repository)

test: ready  ## all tests, on all processors
	$(run) pytest -n auto --dist loadfile --no-loadscope-reorder

mutants: ready  ## COUNT one-line mutants, drawn by SEED, against the tests that concern them: tests/README.md
	$(call q,$(PY)) tests/mutation/campaign.py $(call option,COUNT,count) $(call option,SEED,seed) \
	  $(if $(ONLY),--only $(call each,$(ONLY)))

bench: ready  ## time networks and layers beside other libraries: .venv/bin/python -m pip install -r requirements/bench.txt
	$(call q,$(PY)) tests/benchmarks/bench.py $(if $(filter gpu,$(DEVICE)),--device gpu) $(call each,$(BENCH))

check-gpu: default-OUT = results/gpu
check-gpu:  ## all that a machine with a GPU should do once, in MINUTES; downloads nothing
	$(call q,$(if $(wildcard $(PY)),$(PY),$(call of,PYTHON))) tests/benchmarks/check_gpu.py $(out) $(call option,MINUTES,minutes)

lint: ready  ## what the linter and the formatter object to
	$(run) ruff check .
	$(run) ruff format --check .

typecheck: ready  ## what the type checker objects to
	$(run) mypy

format: ready  ## format the code
	$(run) ruff check --fix .
	$(run) ruff format .

networks: ready  ## the paper's networks, layer by layer
	$(run) ums.networks

gpu: ready  ## install CuPy, for an NVIDIA GPU
	$(install) requirements/gpu.txt
	$(call q,$(PY)) -c "from ums.backend import choose_device; print(choose_device('gpu').name)"

clean:  ## remove .venv; prepared images and results stay
	rm -rf -- $(call q,$(VENV))

ready:
	@$(call fresh,ready) || { set -ex; \
	  $(call q,$(call of,PYTHON)) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo "error: Python 3.10 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }; \
	  $(call q,$(call of,PYTHON)) -m venv $(call q,$(VENV)); \
	  $(install) requirements.txt; \
	  touch $(call q,$(VENV)/ready); }

lessons-ready: ready
	@$(call fresh,lessons-ready) || { set -ex; \
	  $(install) requirements/lessons.txt; \
	  $(run) lessons.setup; \
	  touch $(call q,$(VENV)/lessons-ready); }

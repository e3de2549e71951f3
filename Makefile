# Needs only make and Python 3.10 to 3.13; everything is installed under this folder.
#
#   make demo     install with the starter models, transcribe samples/ into demo/, show one transcript
#   make test     install what the tests need, run every check and every test
#   make lint     the checks alone: ruff, mypy, import-linter
#   make format   let ruff put the code in shape
#   make docs     write docs/cli.md from the commands' own help
#   make example  write the before/after example of README.md from a fresh run
#   make clean    remove what these made (distclean: the environments too)
#
# Another Python: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JUDGE  := .venv-chat
STAMPS := .stamps
PIP    := -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test gate lint format docs example clean distclean

help:
	@sed -n 's/^#   //p' Makefile

$(STAMPS)/venv:
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON); install Python 3.10 to 3.13 from python.org" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else "make: asrlsa needs Python 3.10 to 3.13, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) can't make an environment; on Debian and Ubuntu install python3-venv first" >&2; rm -rf $(VENV); exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/starter: pyproject.toml $(STAMPS)/venv
	@echo "Installing asrlsa and its starter models into $(VENV) (about 900 MB on disk, once)"
	@$(BIN)/python $(PIP) --editable '.[starter]'
	@touch $@

$(STAMPS)/dev: pyproject.toml $(STAMPS)/venv
	@echo "Installing asrlsa, its starter models, torch and the test tools into $(VENV)"
	@$(BIN)/python $(PIP) torch==2.13.0 # first and alone: an open range may fetch gigabytes of CUDA
	@$(BIN)/python $(PIP) --editable '.[starter,train,dev]'
	@touch $@

# The independent CHAT validator pins old packages, so it lives apart.
$(STAMPS)/judge: $(STAMPS)/venv
	@echo "Installing the independent CHAT validator into $(JUDGE)"
	@test -x $(JUDGE)/bin/python || $(PYTHON) -m venv $(JUDGE)
	@$(JUDGE)/bin/python $(PIP) pydantic
	@$(JUDGE)/bin/python $(PIP) --no-deps batchalign==0.10.7
	@touch $@

demo: $(STAMPS)/starter
	$(BIN)/asrlsa transcribe samples/ -o demo/
	@echo
	@echo "demo/kite_story.cha, without the times of single words:"
	@echo
	@grep -v '^%wor' demo/kite_story.cha
	@echo
	@echo "samples/kite_story.cha is what a careful person writes. Compare all five: $(BIN)/asrlsa evaluate demo samples"

lint: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The samples are transcribed and scored against their gold transcripts; worse than samples/scores.json fails (exit 3).
# The margins are for processors whose int8 arithmetic rounds differently.
gate: $(STAMPS)/dev
	@rm -rf .gate
	$(BIN)/asrlsa transcribe samples/ -o .gate/ --model base --offline --quiet
	$(BIN)/asrlsa evaluate .gate samples --baseline samples/scores.json --max-increase wer=1.5 --max-decrease disfluency_f1=5

test: lint $(STAMPS)/judge gate
	$(BIN)/python -m pytest

format: $(STAMPS)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMPS)/dev
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_finetune.py

example: $(STAMPS)/dev
	$(BIN)/python docs/make_example.py

clean:
	rm -rf demo .gate build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find asrlsa tests docs samples benchmarks recipes -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf $(STAMPS) $(VENV) $(JUDGE)

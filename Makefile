# The commands of the README. All set up what they need, and work again when run a second time.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test lint dist docs notebooks clean

demo: .venv/demo-installed
	$(BIN)/ser-graph demo --out runs/demo

# One thread a test process: two processes of two threads on two cores wait for each other.
test: .venv/test-installed lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal --durations 12

lint: .venv/test-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Both distributions, each as an archive and as a wheel, in build/dist; what an index would refuse is an error.
dist: .venv/test-installed
	rm -rf build/dist
	$(BIN)/python -m build --outdir build/dist runtime
	$(BIN)/python -m build --outdir build/dist .
	$(BIN)/twine check --strict build/dist/*

# The site, in build/docs; a warning is an error.
docs: .venv/docs-installed
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs

# Run the notebooks and store their outputs: five minutes.
notebooks: .venv/test-installed
	$(BIN)/python docs/notebooks.py

clean:
	rm -rf .venv runs build docs/generated *.egg-info runtime/build runtime/*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo-installed: pyproject.toml runtime/pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ./runtime --editable .
	touch $@

.venv/test-installed: pyproject.toml runtime/pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ./runtime --editable ".[test]"
	touch $@ .venv/demo-installed

.venv/docs-installed: pyproject.toml runtime/pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ./runtime --editable ".[docs]"
	touch $@ .venv/demo-installed

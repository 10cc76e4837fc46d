# The two commands of the README. Both set up what they need, and work again when run a second time.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test lint clean

demo: .venv/demo-installed
	$(BIN)/ser-graph demo --out runs/demo

# One thread a test process: two processes of two threads on two cores wait for each other.
test: .venv/test-installed lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal --durations 12

lint: .venv/test-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv runs build *.egg-info runtime/build runtime/*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo-installed: pyproject.toml runtime/pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ./runtime --editable .
	touch $@

.venv/test-installed: pyproject.toml runtime/pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ./runtime --editable ".[test]"
	touch $@ .venv/demo-installed

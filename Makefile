# The few verbs. Each makes .venv first where it is missing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv demo test test-slow lint format bench clean

venv: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]' --constraint constraints.txt
	@touch $@

demo: venv
	$(BIN)/zerosum demo

test: lint
	$(BIN)/python -m pytest

test-slow: venv
	$(BIN)/python -m pytest -m slow

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: venv
	$(BIN)/python -m benchmarks.train_step --json
	$(BIN)/python -m benchmarks.train_step --net resnet --size 32 --json
	$(BIN)/python -m benchmarks.train_step --net resnet --size 32 --penalty wgan-gp --json
	$(BIN)/python -m benchmarks.penalty --json
	$(BIN)/python -m benchmarks.mmd --json
	$(BIN)/python -m benchmarks.measures --json
	$(BIN)/python -m benchmarks.input_pipeline --json

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache

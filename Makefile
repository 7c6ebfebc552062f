# The front door: `make check` is what CI runs and what every commit passes.
PYTHON ?= python

.PHONY: check format lint types imports test peers
check: lint types imports test

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

imports:
	lint-imports --no-logo

test:
	$(PYTHON) -m pytest -n 2 -m "not peers"

peers:
	$(PYTHON) -m pytest -n 2 -m peers

# The front door: `make check` is what CI runs and what every commit passes.
PYTHON ?= python

.PHONY: check format lint types imports test peers faults docs release-check
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

# Two workers with a thread each: with two each, on two cores, OpenMP's threads wait for one another for minutes.
test:
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 -m "not peers and not faults"

peers:
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 -m peers

# All of tests/faults: minutes of killing, filling and freezing; those that need root, Slurm or Ray skip without it.
faults:
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist loadgroup -m faults tests/faults

# The documentation site, in docs/_build/index.html. A warning is an error: a broken link, an unknown name.
docs:
	$(PYTHON) -m sphinx -q -W --keep-going docs docs/_build

# Builds the sdist and the wheel, and runs the wheel outside the clone on each Python that is here (minutes: torch is installed).
release-check:
	.ci/release-check

# Targets for people; see CONTRIBUTING.md and packaging/README.md.
PYTHON ?= python3
VENV_PYTHON ?= .venv/bin/python

.PHONY: binary coverage bench soak
binary: ## dist/falcon-events, the command as one file for Linux on x86-64
	$(PYTHON) packaging/build.py

coverage: ## all tests, with the lines of the package that they do not reach; every server and owner is traced
	$(VENV_PYTHON) -m pytest -n auto --cov --cov-report=term

bench: ## every benchmark in full: more than an hour
	$(VENV_PYTHON) -m benchmarks --out benchmark-results

soak: ## half an hour of load
	$(VENV_PYTHON) -m benchmarks soak --out benchmark-results

# Files built from the sources; see packaging/README.md.
PYTHON ?= python3

.PHONY: binary
binary: ## dist/falcon-events, the command as a single file for Linux on x86-64
	$(PYTHON) packaging/build.py

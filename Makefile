# Two commands do everything: `make run` and `make test`. Each makes .venv when it is missing or out of date.
#   make run SCALE=cpu            the same notebooks on real data       make run ONLY=01,05   some of them
#   make test                     all tests                             make refresh          refresh the curated outputs
#   make hunt ROUNDS=20           properties, each round on other examples than the fixed ones of make test
#   make badges REPO=owner/name   point badges and setup cells to a fork
#   TORCH_INDEX=address           where torch comes from (a CPU wheel index keeps the installation small)
PYTHON ?= python3
VENV ?= .venv
SCALE ?= smoke
ROUNDS ?= 10
export TORCH_INDEX

.PHONY: run test hunt refresh badges install
.DEFAULT_GOAL := run

install:
	@$(PYTHON) scripts/install.py $(VENV)

run: install
	@$(VENV)/bin/python scripts/run_notebooks.py --scale $(SCALE) $(if $(ONLY),--only $(ONLY)) $(if $(FROM),--from $(FROM))

test: install
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal --durations=5

hunt: install
	@for round in $$(seq $(ROUNDS)); do $(VENV)/bin/python -m pytest -m hypothesis --hypothesis-profile=hunt tests || exit 1; done

refresh: install
	@$(VENV)/bin/python scripts/run_notebooks.py --scale smoke
	@$(VENV)/bin/python scripts/notebooks.py refresh

badges: install
	@$(VENV)/bin/python scripts/notebooks.py badges $(if $(REPO),--repo $(REPO)) $(if $(REF),--ref $(REF))

# `make audit` and `make test` do all the set-up: both share .venv, made when missing.
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/ready

.PHONY: audit test lint bench clean

audit: $(READY)  ## Audit the embedded phantom and print where the report is.
	$(BIN)/rolecall run

test: $(READY)  ## Run all tests, a file of them in one of WORKERS processes.
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

lint: $(READY)  ## Style, types and the imports between the packages.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## Speed as ratios, one table.
	$(BIN)/python -m benchmarks $(if $(IMAGES),--images $(IMAGES))

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $(READY)

clean:
	rm -rf .venv

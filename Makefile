# Every target makes what it needs: a virtual environment in .venv with the versions of
# constraints.txt. A second run starts at once.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# What was skipped is always told (-rs). A machine that builds shows what failed and little else.
PYTEST_OPTIONS := -rs $(if $(CI),-q --no-header --tb=short -p no:cacheprovider,)

.DEFAULT_GOAL := help
.PHONY: help demo test check crash bench soak format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## run the clickstream recipe: live tables in a terminal
	@$(BIN)/millstream demo clickstream

test: check ## run every check and every test
	$(BIN)/pytest $(PYTEST_OPTIONS) $(PYTEST_ARGS)

check: $(INSTALLED) ## ruff, formatting, types (mypy --strict) and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src tests benchmarks
	$(BIN)/lint-imports --no-logo

crash: $(INSTALLED) ## kill, damage and starve databases, hundreds of times (half an hour)
	MILLSTREAM_KILLS=$${MILLSTREAM_KILLS:-240} MILLSTREAM_FLIPS=$${MILLSTREAM_FLIPS:-6000} \
		$(BIN)/pytest $(PYTEST_OPTIONS) -s --timeout 3600 tests/crash $(PYTEST_ARGS)

bench: $(INSTALLED) ## measure speed, memory and latency, the recipe beside DuckDB's one-shot batch
	$(BIN)/python -m benchmarks --json build/bench.json $(BENCH_ARGS)

soak: $(INSTALLED) ## run the recipe over 50,000,000 clicks of a week (ten minutes, 15 GB of disk)
	$(BIN)/python -m benchmarks.soak --json build/soak.json $(SOAK_ARGS)

format: $(INSTALLED) ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environment, caches and built files
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf src/*.egg-info

# setuptools comes first and from constraints.txt too, so that nothing here is unpinned.
$(INSTALLED): pyproject.toml constraints.txt .ci/venv
	@test -x $(BIN)/python || .ci/venv $(VENV)
	@echo "Installing Millstream into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		--no-build-isolation --editable '.[dev]'
	@touch $@

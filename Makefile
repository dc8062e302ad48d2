# `make start` and `make test` are all that a newcomer needs; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
STAMP := $(VENV)/.stamp
DEV_STAMP := $(VENV)/.stamp-dev
AGENT := guest/lima-guestagent
AGENT_SOURCES := $(wildcard guest/agent/*.py guest/agent/*/*.py requirements/guest-*.txt) scripts/guest_agent.py

.DEFAULT_GOAL := help
.PHONY: help start test check coverage fmt e2e-all bench dist lock check-earliest clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | column -t -s '|'

start: $(STAMP) $(AGENT) ## install what is missing, boot a Debian guest, show what it says
	@scripts/start.sh $(RUN)

# in CI, what the tests need must be there; elsewhere they are skipped with the reason
comma := ,
test: export LIMA_TESTS_REQUIRE := $(if $(CI),needs_qemu$(comma)needs_ssh$(comma)needs_shells)
test: $(DEV_STAMP) $(AGENT) ## all tests that fit into one CI run, with real guests
	@scripts/test-requirements.sh $(RUN)
	@$(MAKE) --no-print-directory coverage
	@scripts/test-integration.sh $(RUN)
	$(RUN) -m pytest tests/e2e -m "not e2e_all"

check: $(DEV_STAMP) $(AGENT) ## format, lint, types, layers, unit tests: under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict src tests/conformance.py
	$(BIN)/lint-imports
	$(RUN) -m pytest -q tests/unit tests/architecture

coverage: $(DEV_STAMP) ## unit tests; every branch of the domain must be covered by them
	@scripts/domain-coverage.sh $(RUN)

fmt: $(DEV_STAMP) ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

e2e-all: $(DEV_STAMP) $(AGENT) ## every guest there is: other init, boot loaders, upstream's seeds and arguments, mounts (an hour)
	@scripts/test-requirements.sh $(RUN) all
	$(RUN) -m pytest tests/e2e -m "e2e_all" -s

bench: $(DEV_STAMP) $(AGENT) ## the budgets of docs/architecture.md, as ratios
	@scripts/test-requirements.sh $(RUN)
	$(RUN) -m benchmarks

dist: $(DEV_STAMP) $(AGENT) ## wheel, sdist and a one-file executable below dist/
	scripts/dist.sh $(RUN)

lock: $(DEV_STAMP) ## write requirements/*.txt anew from pyproject.toml
	scripts/lock.sh $(RUN)

check-earliest: ## unit tests with the earliest versions that pyproject.toml allows
	scripts/check-earliest.sh $(PYTHON)

clean: ## remove what the targets above made (not your instances)
	rm -rf $(VENV) $(AGENT) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .state

$(STAMP): pyproject.toml requirements/runtime.txt scripts/venv.sh
	@scripts/venv.sh $(PYTHON) $(VENV) requirements/runtime.txt
	@touch $@

$(DEV_STAMP): $(STAMP) requirements/dev.txt
	@scripts/venv.sh $(PYTHON) $(VENV) requirements/dev.txt
	@touch $@

$(AGENT): $(AGENT_SOURCES) | $(STAMP)
	@$(RUN) scripts/guest_agent.py $@

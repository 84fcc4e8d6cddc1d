# Two commands on a fresh machine: `make demo` and `make test`. They need python3.11+, make and a package index.
.DEFAULT_GOAL := help
.PHONY: help demo run test test-soak test-waits test-rest check format lint types bench bench-servers soak truth fuzz dashboards manifests outcomes lock servers clean

# The first Python that is new enough; `make PYTHON=/path/to/python` overrules.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PROBE := $(BIN)/plugin-probe
SOURCES := worker tests deploy
# A lock is whole, so nothing is left to resolve; resolving, pip would want the newest of what is asked for with an extra.
INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort

demo: $(VENV)/demo  ## probe the built-in sandbox's sample plugins, healthy and sick
	$(PROBE) demo

run: $(VENV)/demo  ## the daemon over the sandbox, with its status page
	$(PROBE) demo --serve

test: $(VENV)/dev servers  ## all tests; pytest alone runs them one after the other
	@mkdir -p build
	@$(MAKE) -s -k -j3 test-soak test-waits test-rest; code=$$?; cat build/test-soak.log build/test-waits.log; exit $$code

# The soak takes a minute, the next ones four, and they do little but wait: what they said is shown after the rest.
test-soak:
	$(BIN)/pytest -q -m soak >build/test-soak.log 2>&1

test-waits:
	$(BIN)/pytest -q -m waits >build/test-waits.log 2>&1

test-rest:
	$(BIN)/pytest -q -m "not soak and not waits"

check: $(VENV)/dev format lint types test  ## what CI runs: format, lint, types, tests

format: $(VENV)/dev
	$(BIN)/ruff format --check $(SOURCES)

lint: $(VENV)/dev
	$(BIN)/ruff check $(SOURCES)

types: $(VENV)/dev
	$(BIN)/mypy

bench: $(VENV)/dev bench-servers  ## benchmarks: ratios within one run, in a table and in build/bench.json
	$(BIN)/python -m tests.benchmarks

soak: $(VENV)/dev  ## 10 minutes over 5,000 targets with every fault: does it stay as it is? in build/soak.json as well
	$(BIN)/python -m tests.soak soak

truth: $(VENV)/dev  ## 1,000,000 healthy probes in trying circumstances: is any down? in build/truth.json as well
	$(BIN)/python -m tests.soak truth

fuzz: $(VENV)/dev  ## 100,000 random examples of what the tests try 2,000 of; FUZZ_EXAMPLES= for more
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100000} nice $(BIN)/pytest -q tests/fuzz --timeout=0

dashboards: $(VENV)/dev  ## renew the JSON of the dashboards
	$(BIN)/python -m deploy.grafana

manifests: $(VENV)/dev  ## renew what is in the manifests and comes from elsewhere
	$(BIN)/python -m deploy.kubernetes

outcomes: $(VENV)/dev  ## renew docs/outcomes.md, the table of faults
	$(BIN)/python -m tests.faults

lock: $(VENV)/dev  ## renew the hashed locks, which name no registry
	$(BIN)/uv pip compile $(LOCKED) pyproject.toml --extra remote-write -o requirements.lock
	$(BIN)/uv pip compile $(LOCKED) pyproject.toml --extra remote-write --extra sandbox -c requirements.lock -o requirements-demo.lock
	$(BIN)/uv pip compile $(LOCKED) --group build -c requirements-demo.lock -o requirements-build.lock
	$(BIN)/uv pip compile $(LOCKED) pyproject.toml --all-extras --group dev -c requirements-demo.lock -c requirements-build.lock -o requirements-dev.lock
LOCKED := -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

# Real servers for the tests, where that can be done; a test that misses one says so (and fails where CI=true).
servers:
	@{ command -v promtool && command -v amtool && command -v prometheus-pushgateway && command -v curl; } >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
	-o DPkg::Lock::Timeout=300 prometheus prometheus-alertmanager prometheus-pushgateway curl >/dev/null; } || \
	echo "no Prometheus, Alertmanager, Pushgateway or curl here: their tests are skipped"; }

# The rival that `make bench` measures beside us; where it is missing the rows say so.
bench-servers:
	@command -v prometheus-blackbox-exporter >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
	-o DPkg::Lock::Timeout=300 prometheus-blackbox-exporter >/dev/null; } || echo "no blackbox_exporter here: not compared"; }

# Each stamp stands for an environment that holds what its lock says. The larger one serves for the smaller.
$(VENV)/demo: requirements-demo.lock requirements-build.lock pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "no python3.11 or newer found: install one, or name it: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements-demo.lock -r requirements-build.lock
	$(INSTALL) --no-build-isolation -e .
	@touch $@

$(VENV)/dev: requirements-dev.lock $(VENV)/demo
	$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

clean:  ## remove what was made
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

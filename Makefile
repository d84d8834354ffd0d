# SPDX-License-Identifier: BSD-2-Clause
# "make help" lists what there is. Logic longer than a line lives in tools/.

VENV ?= .venv
BUILD := build

python := $(VENV)/bin/python
csrc := $(wildcard csrc/*.[ch])
bootstrap = PYTHON='$(PYTHON)' VENV='$(VENV)' sh tools/bootstrap.sh

# Variants of a build: SAN=address,undefined or SAN=thread; SG_POLLER=poll.
SAN ?=
SG_POLLER ?=
SSHGATEWAY_LIBSSH2 ?= auto
VALGRIND ?=
export SG_POLLER SSHGATEWAY_LIBSSH2

.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@printf '\n%s\n' \
	  'Variables: PYTHON=python3.12, VENV=.venv-312, TESTS="tests/unit -k word"'

# ---- for everybody -------------------------------------------------------

.PHONY: demo test test-system test-fast test-engine test-asan test-portable test-leaks \
  bench bench-curves bench-docs docs libssh2 test-libssh2 test-upstream

demo: ready-demo ## log in behind a gateway, on this machine, in a few ways
	@$(python) examples/demo.py

test: ready-test ## everything: engine tests, both pollers, then pytest
	@$(MAKE) --no-print-directory test-engine SG_POLLER=
	@$(MAKE) --no-print-directory test-engine SG_POLLER=poll
	@[ "$$(cat $(BUILD)/libssh2-chosen)" != pinned ] || sh deps/libssh2/test
	$(python) -m pytest $(TESTS)

# A build of its own, so that the one in place stays what it is.
test-system: ready-test ## the same with the system's libssh2 instead of ours
	@$(MAKE) --no-print-directory test-engine SSHGATEWAY_LIBSSH2=system SG_POLLER=
	@$(MAKE) --no-print-directory test-engine SSHGATEWAY_LIBSSH2=system SG_POLLER=poll
	PYTHON=$(python) sh tools/test_variant.sh system $(TESTS)

test-fast: ready-test ## the tests that take no time (under 15 s)
	@sh tools/test_fast.sh $(python) $(TESTS)

test-engine: ## C tests, no Python: SAN=address,undefined|thread VALGRIND=1 SG_POLLER=poll
	@$(MAKE) --no-print-directory -f tools/engine.mk SAN=$(SAN) VALGRIND=$(VALGRIND)

test-asan: ready-test ## pytest on a build with the address and undefined sanitizers
	PYTHON=$(python) sh tools/test_variant.sh asan $(TESTS)

test-portable: ready-test ## pytest on the portable twin (poll instead of epoll and so on)
	PYTHON=$(python) sh tools/test_variant.sh poll $(TESTS)

test-leaks: ready-test ## descriptors, threads, zombies, memory: fresh interpreters
	$(python) -m pytest tests/isolated

bench: ready-bench ## side by side with Paramiko, ssh -W and asyncssh, in tables
	$(python) tests/bench

bench-curves: ready-bench ## the same as channels, messages and distances grow
	$(python) tests/bench --curves

bench-docs: ready-bench ## both, for the manual: docs/performance, in a quarter of an hour
	$(python) tests/bench --all --pages docs/performance

libssh2: ## the pinned, patched libssh2, which builds then use (deps/libssh2)
	@sh deps/libssh2/build

test-libssh2: ## its patches' tests: SAN=address,undefined|thread
	@SAN=$(SAN) sh deps/libssh2/test

test-upstream: ready-test ## libssh2's own, as released and with our patches
	@$(python) deps/libssh2/test-upstream

docs: ready-docs ## the manual, in build/docs
	$(python) -m sphinx -W -n -q -b html docs $(BUILD)/docs

# ---- for who changes it --------------------------------------------------

.PHONY: build check check-layers check-symbols check-style format compdb dist clean
.PHONY: test-faults test-fuzz fuzz

build: ready-test ## the extension, in place

test-faults: ready-test ## system calls that fail, hostile servers, both with sanitizers
	@$(MAKE) --no-print-directory -f tools/engine.mk faults SAN=
	@$(MAKE) --no-print-directory -f tools/engine.mk faults SAN=address,undefined

# One after the other, so that each has a core.
test-fuzz: ready-fuzz ## a minute of fuzzing: a session's server, buffers, known_hosts
	@$(MAKE) --no-print-directory -f tools/fuzz.mk PYTHON=$(python) SECONDS=20

fuzz: ready-fuzz ## the same for long: SECONDS=3600 for each
	@$(MAKE) --no-print-directory -f tools/fuzz.mk PYTHON=$(python) SECONDS=$(or $(SECONDS),3600)

check: ready-check ## format, lint, layers, symbols, types, the manual
	@$(MAKE) --no-print-directory -k check-layers check-symbols check-style docs

check-style: ready-check ## format, lint, types, and the stub against the module
	@sh tools/check_style.sh $(python)

check-layers: ## who may include what and call what
	@sh tools/check_layers.sh csrc

check-symbols: ready-test ## the extension exports PyInit__core alone
	@sh tools/check_symbols.sh $(python)

format: ready-check ## rewrite C and Python sources in the house style
	@sh tools/format.sh $(python)

compdb: ready-test ## compile_commands.json for editors
	$(python) tools/compdb.py > compile_commands.json

dist: ready-test ## sdist and wheel, in dist/
	$(python) -c 'import setuptools.build_meta as b; b.build_sdist("dist"); b.build_wheel("dist")'

clean: ## remove what was built, .venv apart
	rm -rf $(BUILD) dist compile_commands.json python/*.egg-info
	rm -f python/sshgateway/_core.*.so $(VENV)/sshgateway-built
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# ---- what the targets stand on -------------------------------------------

# The programs and the virtual environment (quick when there is nothing to do),
# then the extension, rebuilt when a source is newer.
.PHONY: ready-demo ready-test ready-check ready-docs ready-fuzz
ready-demo ready-test ready-check ready-docs ready-fuzz: ready-%:
	@$(bootstrap) $*
	@$(MAKE) -s --no-print-directory $(VENV)/sshgateway-built $(VENV)/bin/sshgateway

# And what it is on the system's libssh2, when it is not on that itself.
.PHONY: ready-bench
ready-bench: ready-test
	@[ "$$(cat $(BUILD)/libssh2-chosen)" != pinned ] || SSHGATEWAY_LIBSSH2=system \
	  $(python) setup.py -q build --build-base $(BUILD)/system --build-lib $(BUILD)/system/lib

# egg_info is for importlib.metadata; what it says is of use only if it fails.
$(VENV)/sshgateway-built: $(csrc) setup.py pyproject.toml $(VENV)/pyvenv.cfg
	echo 'building the extension'
	mkdir -p $(BUILD)
	$(python) setup.py -q egg_info > $(BUILD)/egg_info.log 2>&1 || { cat $(BUILD)/egg_info.log; false; }
	SSHGATEWAY_WERROR=1 SG_POLLER= $(python) setup.py -q build_ext --inplace
	touch $@

$(VENV)/bin/sshgateway: tools/console_scripts.py pyproject.toml $(VENV)/pyvenv.cfg
	$(python) tools/console_scripts.py

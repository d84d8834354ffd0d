# SPDX-License-Identifier: BSD-2-Clause
# "make help" lists the targets. Logic longer than a line is in tools/.

VENV ?= .venv
BUILD := build

python := $(VENV)/bin/python
csrc := $(wildcard csrc/*/*.[ch])
bootstrap = PYTHON='$(PYTHON)' VENV='$(VENV)' sh tools/bootstrap.sh

# Variants of a build: SAN=address,undefined or SAN=thread; SG_POLLER=poll.
# SSHGATEWAY_LIBSSH2=auto: the pinned libssh2, or the system's if the pinned one
# cannot be built here. Only make has this fallback; elsewhere "pinned" is the default.
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

# ---- for users -----------------------------------------------------------

.PHONY: demo test test-system test-fast test-engine test-asan test-portable test-leaks \
  bench bench-curves bench-docs docs libssh2 test-libssh2 test-upstream

demo: ready-demo ## log in to a host behind a gateway, all on this machine
	@$(python) -m sshgateway demo

test: ready-test ## all tests: the engine with both pollers, then pytest
	@$(MAKE) --no-print-directory test-engine SG_POLLER=
	@$(MAKE) --no-print-directory test-engine SG_POLLER=poll
	@[ "$$(cat $(BUILD)/libssh2-chosen)" != pinned ] || sh deps/libssh2/test
	$(python) -m pytest $(TESTS)

# Uses a build of its own, so that the one in the source tree stays as it is.
test-system: ready-test ## all tests with the system's libssh2, not the pinned one
	@$(MAKE) --no-print-directory test-engine SSHGATEWAY_LIBSSH2=system SG_POLLER=
	@$(MAKE) --no-print-directory test-engine SSHGATEWAY_LIBSSH2=system SG_POLLER=poll
	PYTHON=$(python) sh tools/test_variant.sh system $(TESTS)

test-fast: ready-test ## the quick tests (under 15 s)
	@sh tools/test_fast.sh $(python) $(TESTS)

test-engine: ## the C tests: SAN=address,undefined|thread VALGRIND=1 SG_POLLER=poll
	@$(MAKE) --no-print-directory -f tools/engine.mk SAN=$(SAN) VALGRIND=$(VALGRIND)

test-asan: ready-test ## pytest with the address and undefined behaviour sanitizers
	PYTHON=$(python) sh tools/test_variant.sh asan $(TESTS)

test-portable: ready-test ## pytest with the portable system calls (poll, not epoll)
	PYTHON=$(python) sh tools/test_variant.sh poll $(TESTS)

test-leaks: ready-test ## tests for leaks, in fresh interpreters
	$(python) -m pytest tests/isolated

bench: ready-bench ## measure sshgateway beside Paramiko, ssh -W and asyncssh
	$(python) tests/bench

bench-curves: ready-bench ## measure over growing channels, messages and distances
	$(python) tests/bench --curves

bench-docs: ready-bench ## measure both for docs/performance, in a quarter of an hour
	$(python) tests/bench --all --pages docs/performance

libssh2: ## build the pinned, patched libssh2, which later builds use
	@sh deps/libssh2/build

test-libssh2: ## the tests of our libssh2 patches: SAN=address,undefined|thread
	@SAN=$(SAN) sh deps/libssh2/test

test-upstream: ready-test ## libssh2's own tests, with and without our patches
	@$(python) deps/libssh2/test-upstream

docs: ready-docs ## build the manual in build/docs
	$(python) -m sphinx -W -n -q -b html docs $(BUILD)/docs

# ---- for developers ------------------------------------------------------

.PHONY: build check check-layers check-prose check-symbols check-style format compdb
.PHONY: dist wheel clean
.PHONY: test-faults test-fuzz fuzz

build: ready-test ## build the extension in the source tree

test-faults: ready-test ## failing system calls and hostile servers, with sanitizers
	@$(MAKE) --no-print-directory -f tools/engine.mk faults SAN=
	@$(MAKE) --no-print-directory -f tools/engine.mk faults SAN=address,undefined

# The targets run one after the other, so that each has a core.
test-fuzz: ready-fuzz ## fuzz sessions, logins, certificates and files of trust, 20 s each
	@$(MAKE) --no-print-directory -f tools/fuzz.mk PYTHON=$(python) SECONDS=20

fuzz: ready-fuzz ## fuzz for SECONDS=3600 each
	@$(MAKE) --no-print-directory -f tools/fuzz.mk PYTHON=$(python) SECONDS=$(or $(SECONDS),3600)

check: ready-check ## check format, lint, layers, prose, symbols, types and the manual
	@$(MAKE) --no-print-directory -k check-layers check-prose check-symbols check-style docs

check-style: ready-check ## check format, lint, types, and the stub
	@sh tools/check_style.sh $(python)

check-layers: ## check which layer includes and calls what
	@sh tools/check_layers.sh csrc

check-prose: ready-check ## check the comments and the manual for riddles, and C for columns
	@$(python) tools/check_prose.py

check-symbols: ready-test ## check that the extension exports only PyInit__core
	@sh tools/check_symbols.sh $(python)

format: ready-check ## format the C and Python sources
	@sh tools/format.sh $(python)

compdb: ready-test ## write compile_commands.json for editors
	$(python) tools/compdb.py > compile_commands.json

dist: ready-test ## build an sdist in dist/, and a wheel from it
	$(python) -c 'import setuptools.build_meta as b; print(b.build_sdist("dist"))' >$(BUILD)/sdist
	SSHGATEWAY_LIBSSH2=pinned $(python) -m pip wheel -q --no-index --no-build-isolation --no-deps \
	  -w dist "dist/$$(tail -n 1 $(BUILD)/sdist)"

wheel: ready-test ## build the wheel for users in dist/: static OpenSSL, manylinux
	@sh tools/wheel.sh $(python)

clean: ## remove everything that was built, except .venv
	rm -rf $(BUILD) dist compile_commands.json python/*.egg-info
	rm -f python/sshgateway/_core.*.so $(VENV)/sshgateway-built
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# ---- prerequisites -------------------------------------------------------

# Install the programs and the virtual environment (quick when there is nothing to
# do), then build the extension if a source is newer.
.PHONY: ready-demo ready-test ready-check ready-docs ready-fuzz
ready-demo ready-test ready-check ready-docs ready-fuzz: ready-%:
	@$(bootstrap) $*
	@$(MAKE) -s --no-print-directory $(VENV)/sshgateway-built $(VENV)/bin/sshgateway

# Also build the extension on the system's libssh2, if the normal build has the
# pinned one, and install the wheel that "make wheel" has made.
.PHONY: ready-bench
ready-bench: ready-test
	@[ "$$(cat $(BUILD)/libssh2-chosen)" != pinned ] || SSHGATEWAY_LIBSSH2=system \
	  $(python) setup.py -q build --build-base $(BUILD)/system --build-lib $(BUILD)/system/lib
	@for wheel in dist/sshgateway-*-abi3-manylinux*.whl; do [ ! -e "$$wheel" ] || \
	  $(python) -m pip install -qq --no-deps --upgrade --target $(BUILD)/wheel-installed \
	  "$$wheel"; done

# egg_info is for importlib.metadata; its output is shown only if it fails.
$(VENV)/sshgateway-built: $(csrc) setup.py tools/libssh2_for_setup.py pyproject.toml $(VENV)/pyvenv.cfg
	echo 'building the extension'
	mkdir -p $(BUILD)
	$(python) setup.py -q egg_info > $(BUILD)/egg_info.log 2>&1 || { cat $(BUILD)/egg_info.log; false; }
	rm -f python/sshgateway/_core.cpython-*.so # Python prefers them to _core.abi3.so
	SSHGATEWAY_WERROR=1 SG_POLLER= $(python) setup.py -q build_ext --inplace
	touch $@

$(VENV)/bin/sshgateway: tools/console_scripts.py pyproject.toml $(VENV)/pyvenv.cfg
	$(python) tools/console_scripts.py

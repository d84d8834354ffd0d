# SPDX-License-Identifier: BSD-2-Clause
# Build and run the fuzz targets. Each tests/fuzz/fuzz_*.c is one libFuzzer program,
# linked with csrc without csrc/python. See "make test-fuzz" and "make fuzz".
#
#   CLANG    the compiler, which must come with libFuzzer
#   SECONDS  how long each target runs
#   PYTHON   the interpreter for the targets in Python
#
# The pinned libssh2 is built with the same compiler and sanitizers, so that its
# branches guide the fuzzer and its memory errors are found. The system's libssh2
# (SSHGATEWAY_LIBSSH2=system, or if no pinned one is built) has neither advantage.

CLANG ?= clang-14
SECONDS ?= 20
PYTHON ?= python3

sanitizers := address,undefined,fuzzer-no-link

# The same choice as in tools/engine.mk.
libssh2 := $(or $(filter system pinned,$(SSHGATEWAY_LIBSSH2)),$(if \
  $(wildcard build/libssh2-pinned/made-of),pinned,system))
pkg_config := $(or $(PKG_CONFIG),pkg-config)
ifeq ($(libssh2),pinned)
ours := build/libssh2-pinned-fuzz
ifneq ($(shell SAN=$(sanitizers) CC=$(CLANG) OUT=$(ours) sh deps/libssh2/build && echo done),done)
$(error no pinned libssh2)
endif
made_of := $(ours)/made-of
pkg_config := PKG_CONFIG_PATH='$(CURDIR)/$(ours)/lib/pkgconfig' $(pkg_config)
endif

dir := build/fuzz-$(libssh2)
corpus := $(dir)/corpus
flags = -std=c11 -D_GNU_SOURCE -DSG_FAULTS -pthread -g -O1 -fno-omit-frame-pointer \
  -Wall -Wextra -Wno-unused-parameter -Werror -iquote csrc -iquote tests/engine $(shell $(pkg_config) --cflags libssh2) \
  -fsanitize=$(sanitizers) -fno-sanitize-recover=all
libs = -pthread $(shell $(pkg_config) --libs libssh2 libcrypto)

engine := $(patsubst %.c,$(dir)/%.o,$(filter-out csrc/python/%,$(wildcard csrc/*/*.c)))
targets := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
insiders := fuzz_ext_info fuzz_host_certificate # they look inside of ours
ifneq ($(libssh2),pinned)
targets := $(filter-out $(insiders),$(targets))
endif

.DELETE_ON_ERROR:
.SECONDARY:

# Leaks inside libssh2 are no findings, so leak detection is off.
export ASAN_OPTIONS := detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1

scripts := $(patsubst tests/fuzz/%.py,%,$(wildcard tests/fuzz/fuzz_*.py))

.PHONY: run $(addprefix run-,$(scripts) $(targets))
run: $(addprefix run-,$(targets) $(scripts))

$(addprefix run-,$(scripts)): run-%:
	@PYTHONPATH=python sh tools/run_fuzz.sh '$(PYTHON) tests/fuzz/$*.py' $(corpus)/$* $(SECONDS)

$(addprefix run-,$(targets)): run-%: $(dir)/% | $(corpus)/%
	@sh tools/run_fuzz.sh $(dir)/$* $(corpus)/$* $(SECONDS)

$(corpus)/%: $(dir)/%
	@mkdir -p $@
	@if grep -q -- --seeds tests/fuzz/$*.c; then $(dir)/$* --seeds $@; fi

# An archive, so that a target gets only the parts of the engine that it uses.
$(dir)/engine.a: $(engine) $(dir)/tests/engine/lib/packets.o
	@rm -f $@
	@ar rc $@ $^

$(dir)/fuzz_session: $(addprefix $(dir)/tests/,engine/lib/nullcrypt.o \
  fuzz/session_seeds.o fuzz/session_mutator.o)
$(dir)/fuzz_%: $(dir)/tests/fuzz/fuzz_%.o $(dir)/engine.a
	@$(CLANG) -fsanitize=address,undefined,fuzzer -o $@ $(filter %.o,$^) $(dir)/engine.a $(libs)

# fuzz_session.c runs the loop on its own thread and splits what is received.
$(dir)/csrc/engine/loop.o: flags += -Dpthread_create=fuzz_thread
$(dir)/csrc/sys/sys.o: flags += -Drecv=fuzz_recv

$(insiders:%=$(dir)/tests/fuzz/%.o): flags += -isystem $(ours)/src/src -DHAVE_CONFIG_H

$(dir)/%.o: %.c tools/fuzz.mk $(made_of)
	@mkdir -p $(@D)
	@$(CLANG) $(flags) -MMD -MP -c -o $@ $<

-include $(shell find $(dir) -name '*.d' 2>/dev/null)

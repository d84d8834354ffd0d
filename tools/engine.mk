# SPDX-License-Identifier: BSD-2-Clause
# Build and run the engine's tests, without Python. Each tests/engine/test_*.c is
# one program. It is linked with two archives: tests/engine/lib, the helpers, and
# csrc without csrc/python. Every file is compiled once. See "make test-engine".
#
#   SAN        sanitizers, as for -fsanitize; with a comma between two
#   SG_POLLER  "poll" builds the portable twins instead of the Linux code
#   VALGRIND   run the programs under valgrind if this is not empty
#   LEAVE_OUT  programs that are not built and not run, such as test_spawn
#   JOBS       number of programs that run at a time

CC ?= cc
CFLAGS = -g -O1 -fno-omit-frame-pointer
SAN ?=
VALGRIND ?=
LEAVE_OUT ?=
JOBS ?= $(if $(SAN)$(VALGRIND),1,4)
comma := ,

warnings := -Wall -Wextra -Wstrict-prototypes -Wpointer-arith -Wwrite-strings \
  -Wvla -Wshadow -Wformat=2 -Wundef -Werror
sanitizers := $(subst $(comma),-,$(SAN))

# The same choice of libssh2 as in setup.py. The pinned one is built with the same
# sanitizers, except the thread sanitizer: each libssh2 session is used by one
# thread at a time.
libssh2 := $(or $(filter system pinned,$(SSHGATEWAY_LIBSSH2)),$(if \
  $(wildcard build/libssh2-pinned/made-of),pinned,system))
pkg_config := $(or $(PKG_CONFIG),pkg-config)
ifeq ($(libssh2),pinned)
libssh2_san := $(filter-out thread,$(SAN))
made_of := build/libssh2-pinned$(if $(libssh2_san),-$(sanitizers))/made-of
ifneq ($(shell SAN='$(libssh2_san)' sh deps/libssh2/build && echo done),done)
$(error no pinned libssh2)
endif
pkg_config := PKG_CONFIG_PATH='$(CURDIR)/$(dir $(made_of))lib/pkgconfig' $(pkg_config)
endif

variant := $(or $(sanitizers),plain)-$(or $(SG_POLLER),default)-$(libssh2)
dir := build/engine-$(variant)

sanitize := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
flags = -std=c11 -D_GNU_SOURCE -DSG_FAULTS -pthread $(warnings) $(CFLAGS) $(sanitize) \
  $(if $(filter poll,$(SG_POLLER)),-DSG_PORTABLE=1) -iquote csrc -iquote tests/engine \
  $(shell $(pkg_config) --cflags libssh2)
libs = -pthread -Wl,--as-needed $(shell $(pkg_config) --libs libssh2 libcrypto)

engine := $(patsubst %.c,$(dir)/%.o,$(filter-out csrc/python/%,$(wildcard csrc/*/*.c)))
# Null cryptography replaces functions of libcrypto, so only the programs that ask
# for it below may have it.
nullcrypt := $(dir)/tests/engine/lib/nullcrypt.o
harness := $(dir)/tests/engine/lib/harness.o
lib := $(filter-out $(nullcrypt) $(harness),$(patsubst %.c,$(dir)/%.o,$(wildcard tests/engine/lib/*.c)))
tests := $(patsubst tests/engine/%.c,$(dir)/%,$(wildcard tests/engine/test_*.c))
tests := $(filter-out $(LEAVE_OUT:%=$(dir)/%),$(tests))

.DELETE_ON_ERROR:
.SECONDARY:

.PHONY: run
run: $(tests)
	@VALGRIND=$(VALGRIND) SAN=$(SAN) JOBS=$(JOBS) sh tools/run_engine.sh '$(variant)' $(tests)

# The tests of failing system calls and of hostile servers.
faults := $(addprefix $(dir)/,test_faults test_faults_session test_hostile \
  test_hostile_end test_hostile_keys test_hostile_login)

.PHONY: faults
faults: $(faults)
	@SAN=$(SAN) sh tools/run_engine.sh '$(variant)' $^

$(dir)/%.o: %.c tools/engine.mk $(made_of)
	@mkdir -p $(@D)
	@$(CC) $(flags) -MMD -MP -c -o $@ $<

$(dir)/engine.a: $(engine)
$(dir)/lib.a: $(lib)
$(dir)/%.a:
	@rm -f $@
	@ar rc $@ $^

# harness.o is linked as an object: from an archive, the linker does not export its
# __tsan_default_options() to the runtime of ThreadSanitizer.
$(dir)/test_%: $(dir)/tests/engine/test_%.o $(harness) $(dir)/lib.a $(dir)/engine.a
	@$(CC) $(flags) $(wrapped:%=-Wl,--wrap=%) -o $@ $(filter %.o,$^) $(dir)/lib.a $(dir)/engine.a $(libs)

# These play a server, which takes null cryptography.
scripted := $(addprefix $(dir)/,test_hostile test_hostile_end test_hostile_keys \
  test_hostile_time test_hostile_login test_faults_session)
$(scripted): $(nullcrypt)

# In these an allocation can fail: they define __wrap_malloc() and so on.
$(dir)/test_buffer: wrapped := malloc free
$(dir)/test_faults_session: wrapped := malloc calloc realloc strdup

-include $(shell find $(dir) -name '*.d' 2>/dev/null)

# SPDX-License-Identifier: BSD-2-Clause
# Builds and runs the engine's tests, without Python. Each tests/engine/test_*.c
# is one program, linked with all of csrc except csrc/python. See "make
# test-engine".

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

# Use the same libssh2 as setup.py. The pinned libssh2 is built with the same
# sanitizers, except the thread sanitizer, because only one thread uses the
# libssh2 of a session.
libssh2 := $(or $(filter system pinned,$(SSHGATEWAY_LIBSSH2)),$(if \
  $(wildcard build/libssh2-pinned/made-of),pinned,system))
pkg_config := $(or $(PKG_CONFIG),pkg-config)
ifeq ($(libssh2),pinned)
its_san := $(filter-out thread,$(SAN))
made_of := build/libssh2-pinned$(if $(its_san),-$(sanitizers))/made-of
ifneq ($(shell SAN='$(its_san)' sh deps/libssh2/build && echo done),done)
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
tests := $(patsubst tests/engine/%.c,$(dir)/%,$(wildcard tests/engine/test_*.c))
tests := $(filter-out $(LEAVE_OUT:%=$(dir)/%),$(tests))

.DELETE_ON_ERROR:
.SECONDARY:

.PHONY: run
run: $(tests)
	@VALGRIND=$(VALGRIND) SAN=$(SAN) JOBS=$(JOBS) sh tools/run_engine.sh '$(variant)' $(tests)

# System calls that fail, and hostile servers.
faults := $(addprefix $(dir)/,test_faults test_faults_session test_hostile \
  test_hostile_end test_hostile_keys)

.PHONY: faults
faults: $(faults)
	@SAN=$(SAN) sh tools/run_engine.sh '$(variant)' $^

$(dir)/%.o: %.c tools/engine.mk $(made_of)
	@mkdir -p $(@D)
	@$(CC) $(flags) -MMD -MP -c -o $@ $<

$(dir)/test_%: $(dir)/tests/engine/test_%.o $(engine)
	@$(CC) $(flags) $(wrapped:%=-Wl,--wrap=%) -o $@ $^ $(libs)

# Tests with a scripted server and null cryptography, and with allocations that
# fail.
scripted := $(addprefix $(dir)/,test_hostile test_hostile_end test_hostile_keys \
  test_hostile_time test_faults_session)
$(scripted): $(dir)/tests/engine/nullcrypt.o
$(dir)/test_buffer: wrapped := malloc free
$(dir)/test_faults_session: wrapped := malloc calloc realloc strdup

-include $(shell find $(dir) -name '*.d' 2>/dev/null)

# SPDX-License-Identifier: BSD-2-Clause
# The engine without Python, and its tests: each tests/engine/test_*.c is one
# program, linked with all of csrc that is not py_*. See "make test-engine".

CC ?= cc
CFLAGS = -g -O1 -fno-omit-frame-pointer
SAN ?=
VALGRIND ?=
comma := ,

warnings := -Wall -Wextra -Wstrict-prototypes -Wpointer-arith -Wwrite-strings \
  -Wvla -Wshadow -Wformat=2 -Wundef -Werror
variant := $(subst $(comma),-,$(or $(SAN),plain))-$(or $(SG_POLLER),default)
dir := build/engine-$(variant)

sanitize := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
flags = -std=c11 -D_GNU_SOURCE -DSG_FAULTS -pthread $(warnings) $(CFLAGS) $(sanitize) \
  $(if $(filter poll,$(SG_POLLER)),-DSG_PORTABLE=1) -Icsrc -Itests/engine \
  $(shell pkg-config --cflags libssh2)
libs = -pthread -Wl,--as-needed $(shell pkg-config --libs libssh2 libcrypto)

engine := $(patsubst %.c,$(dir)/%.o,$(filter-out csrc/py_%,$(wildcard csrc/*.c)))
tests := $(patsubst tests/engine/%.c,$(dir)/%,$(wildcard tests/engine/test_*.c))

.DELETE_ON_ERROR:
.SECONDARY:

.PHONY: run
run: $(tests)
	@VALGRIND=$(VALGRIND) SAN=$(SAN) sh tools/run_engine.sh '$(variant)' $(tests)

$(dir)/%.o: %.c tools/engine.mk
	@mkdir -p $(@D)
	@$(CC) $(flags) -MMD -MP -c -o $@ $<

$(dir)/test_%: $(dir)/tests/engine/test_%.o $(engine)
	@$(CC) $(flags) -o $@ $^ $(libs)

-include $(shell find $(dir) -name '*.d' 2>/dev/null)

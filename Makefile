# SPDX-License-Identifier: MIT
# weir: one non-recursive Makefile. `make help` lists the targets.
#
#   V=1                        print the commands
#   CC=clang                   another compiler
#   SAN=address,undefined      sanitizers (objects go to build/san/)
#   WERROR=1                   warnings are errors
#   NO_ASSERT=1                leave the assertions out (to measure what they cost)

PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
AR ?= ar

ifneq ($(SAN),)
VARIANT := /san
SAN_FLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all -DWEIR_DEBUG
OPT := -O1
else ifneq ($(NO_ASSERT),)
VARIANT := /noassert
SAN_FLAGS := -DWEIR_NO_ASSERT
OPT := -O2
else
VARIANT :=
SAN_FLAGS :=
OPT := -O2
endif

B := build$(VARIANT)
Q := $(if $(V),,@)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wno-sign-conversion \
	-Wvla -Wimplicit-fallthrough -Wpointer-arith -Wwrite-strings $(if $(WERROR),-Werror)
# Frame pointers and symbols always: the profiles need them, and they cost nothing that could be measured.
ALL_CFLAGS := -std=gnu11 $(OPT) -g -fno-omit-frame-pointer -fno-strict-aliasing -fvisibility=hidden -fPIC -pthread \
	-D_GNU_SOURCE -Iinclude -I. $(WARN) $(SAN_FLAGS) $(CFLAGS)
ALL_LDFLAGS := -pthread $(SAN_FLAGS) $(LDFLAGS)

LIB_SRC := $(sort $(wildcard core/*.c io/*.c proto/codec/*.c proto/http/*.c))
MOCK_SRC := $(sort $(wildcard mock/*.c))
BENCH_SRC := $(sort $(wildcard perf/*.c))
FLOOR_SRC := $(sort $(wildcard perf/floor/*.c))
UNIT_SRC := $(sort $(wildcard tests/unit/*.c tests/unit/*/*.c tests/unit/*/*/*.c))
E2E_SRC := $(sort $(wildcard tests/e2e/*.c))
EXAMPLE_SRC := $(sort $(wildcard examples/*.c))

LIB_OBJ := $(LIB_SRC:%.c=$(B)/obj/%.o)
MOCK_OBJ := $(MOCK_SRC:%.c=$(B)/obj/%.o)
BENCH_OBJ := $(BENCH_SRC:%.c=$(B)/obj/%.o)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(B)/tests/unit/%)
E2E_BIN := $(E2E_SRC:tests/e2e/%.c=$(B)/tests/e2e/%)
FLOOR_BIN := $(FLOOR_SRC:perf/floor/%.c=$(B)/floor-%)
EXAMPLE_BIN := $(EXAMPLE_SRC:examples/%.c=$(B)/examples/%)

LIB_LIBS := -luring

.PHONY: all lib test check tidy format clean help install examples unit-bins
all: lib $(B)/weir-mock $(B)/weir-bench $(FLOOR_BIN)
lib: $(B)/libweir.a $(B)/libweir.so.0
examples: $(EXAMPLE_BIN)
unit-bins: $(UNIT_BIN) $(E2E_BIN)

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC $<")
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libweir.a: $(LIB_OBJ)
	$(if $(V),,@echo "  AR $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/libweir.so.0: $(LIB_OBJ)
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,libweir.so.0 $(if $(SAN),,-Wl,-z,defs) -o $@ $^ $(LIB_LIBS)

$(B)/weir-mock: $(MOCK_OBJ) $(B)/libweir.a
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIB_LIBS) -ljansson -lm

$(B)/weir-bench: $(BENCH_OBJ) $(B)/libweir.a
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIB_LIBS) -lm

$(B)/floor-%: perf/floor/%.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -o $@ $< -luring

# A unit test may include the .c file it tests, to reach its statics: then the archive's copy is not pulled in.
$(B)/tests/%: tests/%.c $(B)/libweir.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP $(ALL_LDFLAGS) -o $@ $< $(B)/libweir.a $(LIB_LIBS) -lcmocka -ljansson -lm

$(B)/examples/%: examples/%.c $(B)/libweir.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -o $@ $< $(B)/libweir.a $(LIB_LIBS)

clean:
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)

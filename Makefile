# SPDX-License-Identifier: MIT
# weir: one non-recursive Makefile. `make help` lists the targets.
#
#   V=1                        print the commands
#   CC=clang                   another compiler
#   SAN=address,undefined      sanitizers (objects go to build/san/)
#   WERROR=1                   warnings are errors
#   NO_ASSERT=1                leave the assertions out (to measure what they cost)
#   B=build/other              another build directory

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
MANDIR ?= $(PREFIX)/share/man
DESTDIR ?=
ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
FUZZ_SECONDS ?= 20

# One job per CPU unless the caller says -j himself.
ifeq ($(filter -j% --jobserver%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif
.DELETE_ON_ERROR:
.SUFFIXES:

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
# What every tool that reads C must know, clang-tidy and cppcheck too.
CPP_FLAGS := -D_GNU_SOURCE -Iinclude -I.
# gcc clears structures of more than 128 bytes with `rep stos`, which costs 20 ns to start and defeats the forwarding of
# the stores to the loads behind it. Vector stores instead: 4 to 6 % of the CPU time of a pipelined request.
STORES := -mmemset-strategy=vector_loop:512:noalign,libcall:-1:noalign
STORES := $(shell $(CC) $(STORES) -fsyntax-only -x c /dev/null 2>/dev/null && echo '$(STORES)')
# Frame pointers and symbols always: the profiles need them, and they cost nothing that could be measured.
ALL_CFLAGS := -std=gnu11 $(OPT) -g -fno-omit-frame-pointer -fno-strict-aliasing -fvisibility=hidden -fPIC -pthread $(STORES) \
	$(CPP_FLAGS) $(WARN) $(SAN_FLAGS) $(CFLAGS)
ALL_LDFLAGS := -pthread $(SAN_FLAGS) $(LDFLAGS)

LIB_SRC := $(sort $(wildcard core/*.c io/*.c proto/codec/*.c proto/http/*.c))
MOCK_SRC := $(sort $(wildcard mock/*.c mock/*/*.c))
BENCH_SRC := $(sort $(wildcard perf/*.c))
# The peer of perf/client.sh only where libcurl is (package libcurl4-openssl-dev).
CURL := $(shell printf '\043include <curl/curl.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
PEER_SRC := $(if $(CURL),perf/peer/curl_multi.c)
GET_SRC := $(sort $(wildcard perf/get/*.c))
FLOOR_SRC := $(sort $(wildcard perf/floor/*.c))
# The codec benchmark has libhttp-parser as a column only where it is (package libhttp-parser-dev).
HTTP_PARSER := $(shell printf '\043include <http_parser.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
CODEC_SRC := $(sort $(filter-out $(if $(HTTP_PARSER),,perf/codec/peer_http_parser.c),$(wildcard perf/codec/*.c)))
UNIT_SRC := $(sort $(wildcard tests/unit/*.c tests/unit/*/*.c tests/unit/*/*/*.c))
E2E_SRC := $(sort $(wildcard tests/e2e/*.c))
FAULT_SRC := $(sort $(wildcard tests/fault/*.c))
CONTRACT_SRC := $(sort $(wildcard tests/contract/*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/*.c))
# The one in a libuv loop only where there is libuv (package libuv1-dev).
UV_LIBS := $(shell pkg-config --libs libuv 2>/dev/null)
EXAMPLE_SRC := $(sort $(filter-out $(if $(UV_LIBS),,examples/libuv.c),$(wildcard examples/*.c)))
SIM_SRC := $(sort $(wildcard tests/sim/*.c))
ALL_SRC := $(LIB_SRC) $(MOCK_SRC) $(BENCH_SRC) $(GET_SRC) $(FLOOR_SRC) $(PEER_SRC) $(CODEC_SRC) $(UNIT_SRC) $(E2E_SRC) $(FAULT_SRC) $(CONTRACT_SRC) $(SIM_SRC) $(FUZZ_SRC) $(EXAMPLE_SRC)
ALL_HDR := $(sort $(shell find include core io proto mock perf tests -name '*.h'))

LIB_OBJ := $(LIB_SRC:%.c=$(B)/obj/%.o)
MOCK_OBJ := $(MOCK_SRC:%.c=$(B)/obj/%.o)
BENCH_OBJ := $(BENCH_SRC:%.c=$(B)/obj/%.o)
GET_OBJ := $(GET_SRC:%.c=$(B)/obj/%.o) $(if $(GET_SRC),$(B)/obj/perf/words.o)
CODEC_OBJ := $(CODEC_SRC:%.c=$(B)/obj/%.o)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(B)/tests/unit/%)
E2E_BIN := $(E2E_SRC:tests/e2e/%.c=$(B)/tests/e2e/%)
FAULT_BIN := $(FAULT_SRC:tests/fault/%.c=$(B)/tests/fault/%)
CONTRACT_BIN := $(CONTRACT_SRC:tests/contract/%.c=$(B)/tests/contract/%)
SIM_MAIN := tests/sim/sim.c tests/sim/forced.c tests/sim/canary.c
SIM_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(filter-out $(SIM_MAIN),$(SIM_SRC)))
SIM_BIN := $(SIM_MAIN:tests/sim/%.c=$(B)/tests/sim/%)
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(B)/fuzz/%)
PEER_BIN := $(if $(CURL),$(B)/peer-curl)
FLOOR_BIN := $(FLOOR_SRC:perf/floor/%.c=$(B)/floor-%)
EXAMPLE_BIN := $(EXAMPLE_SRC:examples/%.c=$(B)/examples/%)
MOCK_BIN := $(if $(MOCK_SRC),$(B)/weir-mock)
BENCH_BIN := $(if $(BENCH_SRC),$(B)/weir-bench)
GET_BIN := $(if $(GET_SRC),$(B)/weir-get)
CODEC_BIN := $(if $(CODEC_SRC),$(B)/codec-bench)
# What is installed, with a manual page made of what it prints for --help.
PROGRAMS = $(MOCK_BIN) $(BENCH_BIN) $(GET_BIN)

LIB_LIBS := -luring -lssl -lcrypto -lcares -lz -lm
MOCK_LIBS := -ljansson -lyaml -lm
BENCH_LIBS := -lm
GET_LIBS := -lm
CODEC_LIBS := -ldl $(if $(HTTP_PARSER),-lhttp_parser)
TEST_LIBS := -lcmocka -ljansson -lyaml -lm

.PHONY: all lib bins examples test-bins sim-bins fuzz-bins test test-arm64 sim check tidy lint cppcheck format fuzz fuzz-afl install uninstall man clean help FORCE
all: lib bins examples
lib: $(B)/libweir.a $(B)/libweir.so.0
bins: $(MOCK_BIN) $(BENCH_BIN) $(GET_BIN) $(CODEC_BIN) $(FLOOR_BIN) $(PEER_BIN)
examples: $(EXAMPLE_BIN)
test-bins: $(UNIT_BIN) $(E2E_BIN) $(FAULT_BIN) $(CONTRACT_BIN) $(SIM_BIN)
fuzz-bins: $(FUZZ_BIN)

# Once per checkout and change of the script: is what the build needs there?
build/.bootstrap: bootstrap
	@./bootstrap build
	@mkdir -p $(@D) && touch $@

# The compiler and its flags, and which files there are: rewritten only when they change, so that what depends on
# them is rebuilt exactly then.
$(B)/.flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $@ || printf '%s\n' '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' >$@
$(B)/.sources: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(LIB_SRC) $(MOCK_SRC) $(BENCH_SRC) $(GET_SRC) $(CODEC_SRC)' | cmp -s - $@ || printf '%s\n' '$(LIB_SRC) $(MOCK_SRC) $(BENCH_SRC) $(GET_SRC) $(CODEC_SRC)' >$@

$(B)/obj/%.o: %.c $(B)/.flags | build/.bootstrap
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC $<")
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The assembler reads the page: no dependency file tells of it.
$(B)/obj/mock/control/page.o: mock/control/page.html

# Code for CPUs that have more than every one of their kind; it runs only where they do (proto/codec/simd.c).
ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine)),)
$(B)/obj/proto/codec/http1_read_sse42.o: ALL_CFLAGS += -msse4.2
$(B)/obj/proto/codec/http1_read_avx2.o: ALL_CFLAGS += -mavx2 -mbmi -mbmi2 -mtune=haswell
endif

$(B)/libweir.a: $(LIB_OBJ) $(B)/.sources
	$(if $(V),,@echo "  AR $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJ)

$(B)/libweir.so.0: $(LIB_OBJ) include/weir.map $(B)/.sources
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,libweir.so.0 -Wl,--version-script=include/weir.map \
		$(if $(SAN),,-Wl,-z,defs) -o $@ $(LIB_OBJ) $(LIB_LIBS)

# The objects of a program as an archive too: its unit tests take from it what they do not include themselves.
$(B)/obj/mock.a: $(MOCK_OBJ) $(B)/.sources
	$(Q)rm -f $@ && $(AR) rcs $@ $(MOCK_OBJ)
$(B)/obj/perf.a: $(BENCH_OBJ) $(B)/.sources
	$(Q)rm -f $@ && $(AR) rcs $@ $(BENCH_OBJ)
$(B)/obj/get.a: $(GET_OBJ) $(B)/.sources
	$(Q)rm -f $@ && $(AR) rcs $@ $(GET_OBJ)

$(B)/weir-mock: $(MOCK_OBJ) $(B)/libweir.a $(B)/.sources
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(MOCK_OBJ) $(B)/libweir.a $(LIB_LIBS) $(MOCK_LIBS)

$(B)/weir-bench: $(BENCH_OBJ) $(B)/libweir.a $(B)/.sources
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(BENCH_OBJ) $(B)/libweir.a $(LIB_LIBS) $(BENCH_LIBS)

$(B)/weir-get: $(GET_OBJ) $(B)/libweir.a $(B)/.sources
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(GET_OBJ) $(B)/libweir.a $(LIB_LIBS) $(GET_LIBS)

$(B)/codec-bench: $(CODEC_OBJ) $(B)/libweir.a $(B)/.sources
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(CODEC_OBJ) $(B)/libweir.a $(LIB_LIBS) $(CODEC_LIBS)

$(B)/floor-%: perf/floor/%.c $(B)/.flags | build/.bootstrap
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -MT $@ $(ALL_LDFLAGS) -o $@ $< -luring

$(B)/peer-curl: perf/peer/curl_multi.c $(B)/.flags | build/.bootstrap
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -MT $@ $(ALL_LDFLAGS) -o $@ $< -lcurl

# A unit test may include the .c file it tests, to reach its statics: then the archive's copy is not pulled in.
define LINK_TEST
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -MF $@.d -MT $@ $(ALL_LDFLAGS) -o $@ $< $(filter %.a,$^) $(LIB_LIBS) $(TEST_LIBS)
endef
# The simulator lies below the real engine, server, client and mock.
$(B)/obj/sim.a: $(SIM_OBJ) $(B)/.sources
	$(Q)rm -f $@ && $(AR) rcs $@ $(SIM_OBJ)
$(B)/tests/sim/%: tests/sim/%.c $(B)/obj/sim.a $(B)/obj/mock.a $(B)/libweir.a $(B)/.flags
	$(LINK_TEST)
$(B)/tests/contract/%: tests/contract/%.c $(B)/obj/sim.a $(B)/obj/mock.a $(B)/libweir.a $(B)/.flags
	$(LINK_TEST)
$(B)/tests/unit/mock/%: tests/unit/mock/%.c $(B)/obj/mock.a $(B)/libweir.a $(B)/.flags
	$(LINK_TEST)
$(B)/tests/unit/perf/get/%: tests/unit/perf/get/%.c $(B)/obj/get.a $(B)/libweir.a $(B)/.flags
	$(LINK_TEST)
$(B)/tests/unit/perf/%: tests/unit/perf/%.c $(B)/obj/perf.a $(B)/libweir.a $(B)/.flags
	$(LINK_TEST)
$(B)/tests/%: tests/%.c $(B)/libweir.a $(B)/.flags
	$(LINK_TEST)

# The simulator is where some targets run, not what is looked for in them: it counts for no coverage, and costs less so.
ifneq ($(filter -fsanitize=fuzzer-no-link,$(CFLAGS)),)
$(SIM_OBJ): ALL_CFLAGS := $(filter-out -fsanitize=fuzzer-no-link,$(ALL_CFLAGS))
endif
$(B)/fuzz/%: tests/fuzz/%.c $(B)/obj/sim.a $(B)/obj/mock.a $(B)/libweir.a $(B)/.flags
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -MT $@ $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $< $(filter %.a,$^) $(LIB_LIBS) $(MOCK_LIBS)

$(B)/examples/libuv: EXAMPLE_LIBS := $(UV_LIBS)
# The codec needs nothing else.
$(B)/examples/parse: LIB_LIBS :=
$(B)/examples/%: examples/%.c $(B)/libweir.a $(B)/.flags
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD $@")
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -MT $@ $(ALL_LDFLAGS) -o $@ $< $(B)/libweir.a $(LIB_LIBS) $(EXAMPLE_LIBS)

# Everything that belongs in CI, with the sanitizers when SAN is given. The last line is the count.
test:
	@./bootstrap build test
	@$(MAKE) --no-print-directory all test-bins
	@WEIR_TIMEOUT_FACTOR=$(if $(SAN),3,1) $(if $(SAN),WEIR_SIM_COUNT=3000) $(if $(RINGS),RINGS="$(RINGS)") tests/run.sh $(B) $(ONLY)

# The codecs as arm64 code, in an emulator of that CPU; skipped where the tools for it are missing. About a minute.
test-arm64:
	@tests/arm64.sh build/arm64

# Seeds through the simulator: N of them from SEED on; SIM_FLAGS='--scene mock --verbose'.
sim-bins: $(SIM_BIN)
sim: $(B)/tests/sim/sim
	$(B)/tests/sim/sim $(if $(SEED),--seed $(SEED)) $(if $(N),--count $(N)) $(SIM_FLAGS)

# What can be found without running anything.
check: tidy lint cppcheck
tidy:
	@tests/tidy.sh
lint: $(patsubst %.c,build/lint/%.ok,$(LIB_SRC) $(MOCK_SRC) $(BENCH_SRC) $(GET_SRC) $(FLOOR_SRC) $(PEER_SRC) $(CODEC_SRC) $(EXAMPLE_SRC))
build/lint/%.ok: %.c .clang-tidy $(ALL_HDR)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  TIDY $<")
	$(Q)clang-tidy --quiet --warnings-as-errors='*' $< -- -std=gnu11 $(CPP_FLAGS) -Itests -DWEIR_DEBUG 2>$@.log || \
		{ cat $@.log; exit 1; }
	@touch $@
cppcheck:
	$(if $(V),,@echo "  CPPCHECK")
	@mkdir -p build/cppcheck
	$(Q)cppcheck --quiet --error-exitcode=1 --enable=warning,portability,performance --inline-suppr --std=c11 \
		--language=c --library=posix --suppress=missingIncludeSystem --suppress=readdirCalled --suppress=invalidFunctionArg \
		--cppcheck-build-dir=build/cppcheck \
		-j $(shell nproc 2>/dev/null || echo 1) $(CPP_FLAGS) -Itests \
		$(LIB_SRC) $(MOCK_SRC) $(BENCH_SRC) $(GET_SRC) $(FLOOR_SRC) $(PEER_SRC) $(CODEC_SRC) $(EXAMPLE_SRC)
format:
	clang-format -i $(ALL_SRC) $(ALL_HDR)

# Each target of tests/fuzz for FUZZ_SECONDS, or only T, from the inputs in tests/fuzz/corpus/NAME; finds stay in build/fuzz.
FUZZ_NAMES := $(if $(T),$(T),$(basename $(notdir $(FUZZ_SRC))))
fuzz:
	@./bootstrap build check
	@$(MAKE) --no-print-directory $(FUZZ_NAMES:%=build/fuzz/fuzz/%) CC=clang B=build/fuzz SAN=address,undefined \
		CFLAGS=-fsanitize=fuzzer-no-link
	@$(MAKE) --no-print-directory $(FUZZ_NAMES:%=fuzz-run-%)
fuzz-run-%: FORCE
	@mkdir -p build/fuzz/corpus/$* && echo "  FUZZ $* $(FUZZ_SECONDS) s"
	@build/fuzz/fuzz/$* -max_total_time=$(FUZZ_SECONDS) -timeout=10 -verbosity=0 -print_final_stats=1 \
		-artifact_prefix=build/fuzz/$*- $$(ls tests/fuzz/$*.dict 2>/dev/null | sed s/^/-dict=/) \
		build/fuzz/corpus/$* $$(ls -d tests/fuzz/corpus/$* 2>/dev/null)

# The same under AFL++ (package afl++).
fuzz-afl:
	@./bootstrap build check
	@for name in $(FUZZ_NAMES); do \
		echo "  AFL $$name $(FUZZ_SECONDS) s" && MAKE='$(MAKE)' tests/fuzz/afl.sh $$name $(FUZZ_SECONDS) || exit 1; \
	done

VERSION = $(shell awk '/define WEIR_VERSION_(MAJOR|MINOR|PATCH)/ { printf "%s%s", dot, $$3; dot = "." }' include/weir/base.h)
# What to link besides libweir.a follows from LIB_LIBS: as a package of pkg-config where one is known, else as it is.
PC.uring := liburing
PC.ssl := libssl
PC.crypto := libcrypto
PC.cares := libcares
PC.z := zlib
define WEIR_PC
prefix=$(PREFIX)
libdir=$(LIBDIR:$(PREFIX)/%=$${prefix}/%)
includedir=$${prefix}/include

Name: weir
Description: io_uring-native HTTP transport
Version: $(VERSION)
Cflags: -I$${includedir}
Libs: -L$${libdir} -lweir
Requires.private: $(foreach lib,$(LIB_LIBS:-l%=%),$(PC.$(lib)))
Libs.private: -pthread $(foreach lib,$(LIB_LIBS),$(if $(PC.$(lib:-l%=%)),,$(lib)))
endef
export WEIR_PC
# The manual first: when something public is not documented, nothing is installed.
install: $(if $(AS_BUILT),,all)
	$(if $(filter no,$(MAN)),,python3 docs/man/man.py --gzip $(DESTDIR)$(MANDIR) include/weir $(PROGRAMS))
	install -d $(addprefix $(DESTDIR),$(PREFIX)/bin $(PREFIX)/include/weir $(LIBDIR)/pkgconfig)
	install -m 644 include/weir/*.h $(DESTDIR)$(PREFIX)/include/weir
	install -m 644 $(B)/libweir.a $(DESTDIR)$(LIBDIR)
	install -m 755 $(B)/libweir.so.0 $(DESTDIR)$(LIBDIR)
	ln -sf libweir.so.0 $(DESTDIR)$(LIBDIR)/libweir.so
	printf '%s\n' "$$WEIR_PC" >$(DESTDIR)$(LIBDIR)/pkgconfig/weir.pc
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
uninstall:
	rm -rf $(DESTDIR)$(PREFIX)/include/weir
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libweir.a libweir.so libweir.so.0 pkgconfig/weir.pc)
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(notdir $(PROGRAMS)))
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/,$(PROGRAMS:$(B)/%=man1/%.1.gz) man3/weir_*.3.gz man7/weir.7.gz man7/weir[-_]*.7.gz)
# To read them from the tree: man -M build/man weir_client_send
man: $(PROGRAMS)
	$(Q)rm -rf $(B)/man && python3 docs/man/man.py $(B)/man include/weir $(PROGRAMS)

clean:
	rm -rf build

help:
	@echo 'make              everything: libweir, weir-mock, weir-bench, weir-get, codec-bench, the floor programs, the examples'
	@echo 'make test         all tests; the last line is the count. ONLY=unit/core,e2e/tls runs a part, SAN=address,undefined sanitizes'
	@echo 'make test-arm64   the tests of the codecs as code for arm64, in an emulator: tests/arm64.sh'
	@echo 'make check        what can be found without running: tidy, lint (clang-tidy), cppcheck'
	@echo 'make tidy         the rules of the house: layers, banned functions, sizes, documentation'
	@echo 'make fuzz         each fuzz target for FUZZ_SECONDS=20; T=http1_head only that one'
	@echo 'make fuzz-afl     the same under AFL++'
	@echo 'make sim          the simulator: N=10000 seeds from SEED=1 on'
	@echo 'make format       clang-format over all C files'
	@echo 'make install      into PREFIX=/usr/local, LIBDIR, MANDIR, below DESTDIR; MAN=no: without manual, which needs python3;'
	@echo '                  AS_BUILT=1: builds nothing before. make uninstall takes it away'
	@echo 'make man          the manual pages into build/man, to be read with man -M build/man weir'
	@echo 'make clean        removes build/'
	@echo
	@sed -n '4,/^$$/s/^#   //p' Makefile

-include $(patsubst %.o,%.d,$(filter %.o,$(LIB_OBJ) $(MOCK_OBJ) $(BENCH_OBJ) $(GET_OBJ) $(CODEC_OBJ) $(SIM_OBJ)))
-include $(addsuffix .d,$(UNIT_BIN) $(E2E_BIN) $(FAULT_BIN) $(CONTRACT_BIN) $(SIM_BIN) $(FUZZ_BIN) $(FLOOR_BIN) $(PEER_BIN) $(EXAMPLE_BIN))

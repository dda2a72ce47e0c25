/* SPDX-License-Identifier: MIT */
/*
 * Static probes (USDT) for bpftrace, perf and SystemTap: provider `weir`. Without <sys/sdt.h> they
 * are nothing; with it one no-operation instruction each while nobody looks. docs/observe.md lists
 * them with their arguments.
 */
#ifndef WEIR_CORE_PROBE_H
#define WEIR_CORE_PROBE_H

#if defined(__has_include) && !defined(WEIR_NO_PROBES)
#if __has_include(<sys/sdt.h>)
#define WEIR_HAVE_PROBES 1
#endif
#endif

#ifdef WEIR_HAVE_PROBES
#include <sys/sdt.h>
#define WEIR_PROBE2(name, a, b)       DTRACE_PROBE2(weir, name, a, b)
#define WEIR_PROBE3(name, a, b, c)    DTRACE_PROBE3(weir, name, a, b, c)
#define WEIR_PROBE4(name, a, b, c, d) DTRACE_PROBE4(weir, name, a, b, c, d)
#else
#define WEIR_PROBE2(name, a, b)       ((void)0)
#define WEIR_PROBE3(name, a, b, c)    ((void)0)
#define WEIR_PROBE4(name, a, b, c, d) ((void)0)
#endif

#endif

/* SPDX-License-Identifier: MIT */
#include "mock/control/page.h"

/*
 * The assembler reads the file, its path seen from the root of the project, where the compiler is
 * run: no generated source and no limit on the length of a literal. Both gcc and clang do it. The
 * symbols are hidden, so that position-independent code reaches them without a table of addresses.
 */
__asm__(".pushsection .rodata\n"
        ".globl page_html_begin\n"
        ".hidden page_html_begin\n"
        "page_html_begin:\n"
        ".incbin \"mock/control/page.html\"\n"
        "page_html_end:\n"
        ".balign 8\n"
        ".globl page_html_bytes\n"
        ".hidden page_html_bytes\n"
        "page_html_bytes:\n"
        ".quad page_html_end - page_html_begin\n"
        ".popsection\n");

extern const uint8_t page_html_begin[] __attribute__((visibility("hidden")));
extern const uint64_t page_html_bytes __attribute__((visibility("hidden")));

struct weir_slice page_html(void)
{
    return (struct weir_slice){ page_html_begin, page_html_bytes };
}

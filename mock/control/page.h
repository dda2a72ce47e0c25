/* SPDX-License-Identifier: MIT */
/*
 * GET /admin/: the status page, one HTML file that loads nothing else. It lies in the program as it
 * lies in the tree, mock/control/page.html; what it shows comes from "events" beside it.
 */
#ifndef MOCK_PAGE_H
#define MOCK_PAGE_H

#include <weir/base.h>

#define PAGE_CONTENT_TYPE "text/html; charset=utf-8"

/*
 * Content-Security-Policy of the answer: nothing comes from elsewhere and nothing goes there. No
 * other site may frame the page, or a visitor could be led to click its switches unknowingly.
 */
#define PAGE_POLICY                                                                                \
    "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "   \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* The whole page. Valid for ever. Any thread. */
struct weir_slice page_html(void);

#endif

/* SPDX-License-Identifier: MIT */
#include "core/assert.h"

#include <stdio.h>
#include <stdlib.h>

static _Thread_local void (*context_print)(void *arg);
static _Thread_local void *context_arg;

void weir_assert_set_context(void (*print)(void *arg), void *arg)
{
    context_print = print;
    context_arg = arg;
}

void weir_assert_clear_context(const void *arg)
{
    if (context_arg != arg)
        return;
    context_print = NULL;
    context_arg = NULL;
}

_Noreturn void weir_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "weir: assertion failed: %s at %s:%d\n", expression, file, line);
    void (*print)(void *) = context_print;
    context_print = NULL; /* an assertion that fails while the context is printed must not loop */
    if (print != NULL)
        print(context_arg);
    fflush(stderr);
    abort();
}

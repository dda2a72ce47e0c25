/* SPDX-License-Identifier: MIT */
/* The configuration that the mock starts with: the file's, and the command line's on top. */
#ifndef MOCK_START_H
#define MOCK_START_H

#include "mock/config/config.h"
#include "mock/options.h"

/* @return 0, or a negative result with `err`, which names the file or the option */
int start_config(struct config **out, const struct options *options, struct options_error *err);

#endif

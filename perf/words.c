/* SPDX-License-Identifier: MIT */
#include "perf/words.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct weir_slice words_slice(const char *text)
{
    return (struct weir_slice){ (const uint8_t *)text, strlen(text) };
}

bool words_is(struct weir_slice slice, const char *name)
{
    return slice.len == strlen(name) && strncasecmp((const char *)slice.ptr, name, slice.len) == 0;
}

int words_printable(const char *text)
{
    int len = 0;
    while (len < WORDS_ERROR_BYTES && (unsigned char)text[len] >= ' ' && text[len] != 0x7f)
        len++;
    return len;
}

static struct weir_slice trimmed(const char *begin, const char *end)
{
    while (begin < end && (*begin == ' ' || *begin == '\t'))
        begin++;
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct weir_slice){ (const uint8_t *)begin, (size_t)(end - begin) };
}

/* Would the codec send it? Nothing is written: there is no room. */
static bool is_host(struct weir_slice host)
{
    uint8_t none;
    const struct weir_http1_request_spec spec = { .method = WEIR_TEXT("GET"),
                                                  .target = WEIR_TEXT("/"),
                                                  .host = host };
    return host.len > 0 && weir_http1_write_request(&none, 0, &spec) != -EINVAL;
}

static int refused(char error[WORDS_ERROR_BYTES], const char *text, const char *expected)
{
    snprintf(error, WORDS_ERROR_BYTES, "--header '%.*s': %s", words_printable(text), text,
             expected);
    return -EINVAL;
}

int words_header(struct weir_header *out, const char *program, const char *text,
                 char error[WORDS_ERROR_BYTES])
{
    /* These frame the message (RFC 9112 section 6): two owners would contradict each other. */
    static const char *const reserved[] = { "Content-Length", "Transfer-Encoding", "Connection" };
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon == text)
        return refused(error, text, "expected 'Name: value'");
    out->name = (struct weir_slice){ (const uint8_t *)text, (size_t)(colon - text) };
    out->value = trimmed(colon + 1, text + strlen(text));
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (!words_is(out->name, reserved[i]))
            continue;
        snprintf(error, WORDS_ERROR_BYTES, "--header '%.*s': %s sets %s itself",
                 words_printable(text), text, program, reserved[i]);
        return -EINVAL;
    }
    if (!weir_http1_is_token(out->name) || !weir_http1_is_field_value(out->value))
        return refused(error, text, "expected a name without blanks, and no control characters");
    if (words_is(out->name, "Host") && !is_host(out->value))
        return refused(error, text, "expected a host");
    return 0;
}

int words_read(uint8_t **out, size_t *len, FILE *file)
{
    size_t capacity = 4096, used = 0;
    uint8_t *bytes = NULL;
    *out = NULL;
    *len = 0;
    for (;;) {
        uint8_t *grown = realloc(bytes, capacity);
        if (grown == NULL) {
            free(bytes);
            return -ENOMEM;
        }
        bytes = grown;
        used += fread(bytes + used, 1, capacity - used, file);
        if (used < capacity || capacity > WORDS_FILE_BYTES_MAX)
            break;
        capacity *= 2;
    }
    int err = ferror(file) ? -errno : used > WORDS_FILE_BYTES_MAX ? -EFBIG : 0;
    if (err < 0) {
        free(bytes);
        return err;
    }
    *out = bytes;
    *len = used;
    return 0;
}

void words_unknown(int opt, char **argv, char error[WORDS_ERROR_BYTES])
{
    /* getopt names a short option by optopt; for a long one the argument itself is all there is. */
    const char *word = argv[optind - 1];
    bool is_short = optopt > 0 && optopt < 256;
    if (opt == ':' && !is_short)
        snprintf(error, WORDS_ERROR_BYTES, "%s: a value is missing", word);
    else if (opt == ':')
        snprintf(error, WORDS_ERROR_BYTES, "-%c: a value is missing", optopt);
    else if (is_short && strncmp(word, "--", 2) != 0)
        snprintf(error, WORDS_ERROR_BYTES, "-%c: no such option (see --help)", optopt);
    else
        snprintf(error, WORDS_ERROR_BYTES,
                 "%s: no such option, or one that takes no value (see --help)", word);
}

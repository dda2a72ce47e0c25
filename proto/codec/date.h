/* SPDX-License-Identifier: MIT */
/* Reader of HTTP dates (RFC 9110 section 5.6.7); weir_http1_date() writes them. */
#ifndef WEIR_PROTO_CODEC_DATE_H
#define WEIR_PROTO_CODEC_DATE_H

#include <weir/base.h>

/*
 * The seconds since 1970 that an HTTP date means. All three forms are read, as recipients must:
 *
 *   Sun, 06 Nov 1994 08:49:37 GMT     IMF-fixdate, the one in use
 *   Sunday, 06-Nov-94 08:49:37 GMT    RFC 850
 *   Sun Nov  6 08:49:37 1994          asctime()
 *
 * The century of the second is the latest that puts it no more than 50 years after `now_s`, which
 * matters to no other form. Case counts, since the grammar says so. A date that does not exist
 * (29 Feb 1900, 24:00:00) is refused; the name of the weekday has to be one, but not the right one:
 * nothing is computed from it. 23:59:60 is the second that follows, as POSIX counts.
 *
 * True and *out; or false, and *out as it was.
 */
bool weir_date_read(int64_t *out, struct weir_slice text, int64_t now_s);

#endif

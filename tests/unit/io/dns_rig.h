/* SPDX-License-Identifier: MIT */
/*
 * A name server on loopback for tests, on the thread of the test: sockets that do not block, and a
 * pump that answers what is there, by a table that the test may change at any time. It answers over
 * TCP on the same port, too.
 */
#ifndef WEIR_TESTS_UNIT_IO_DNS_RIG_H
#define WEIR_TESTS_UNIT_IO_DNS_RIG_H

#include "rig.h"

#include <arpa/inet.h>

#define DNS_TYPE_A     1
#define DNS_TYPE_CNAME 5
#define DNS_TYPE_AAAA  28

#define DNS_PACKET_MAX 4096u
#define DNS_STREAMS    16u

enum dns_manner {
    DNS_ANSWERS,
    DNS_SILENT,
    DNS_TRUNCATES,    /* over UDP: an empty answer with TC; over TCP the whole */
    DNS_OTHER_ID,     /* an answer to another question, which must be ignored; then none */
    DNS_HALF,         /* the packet ends in the middle */
    DNS_WRONG_COUNT,  /* more records are promised than there are */
    DNS_WRONG_LENGTH, /* an address of three bytes */
    DNS_LOOP,         /* a name that points at itself */
    DNS_NOISE,        /* the question's identity, then noise */
    DNS_MANNER_COUNT
};

struct dns_entry {
    const char *name; /* lower case */
    const char *a;    /* addresses, separated by blanks; NULL: none */
    const char *aaaa;
    const char *alias; /* a CNAME in front of them */
    uint32_t ttl, alias_ttl;
    uint8_t rcode;
    enum dns_manner manner;
};

struct dns_server {
    int udp, tcp;
    char text[32]; /* "127.0.0.1:PORT" */
    const struct dns_entry *entries;
    uint32_t entries_count;
    uint32_t questions, questions_tcp;
    int streams[DNS_STREAMS];
    uint32_t streams_count;
    bool resets;    /* TCP connections, as soon as they are made */
    uint64_t noise; /* counter of DNS_NOISE */
};

/* What a packet is written into. */
struct dns_out {
    uint8_t bytes[DNS_PACKET_MAX];
    size_t len;
};

static inline void dns_put16(struct dns_out *out, unsigned value)
{
    assert_true(out->len + 2 <= sizeof out->bytes);
    out->bytes[out->len++] = (uint8_t)(value >> 8);
    out->bytes[out->len++] = (uint8_t)value;
}

static inline void dns_put(struct dns_out *out, const void *data, size_t len)
{
    assert_true(out->len + len <= sizeof out->bytes);
    memcpy(out->bytes + out->len, data, len);
    out->len += len;
}

/* The same port for both protocols, chosen by the kernel for the one and hoped for with the other.
 */
static inline void dns_open(struct dns_server *dns)
{
    *dns = (struct dns_server){ .udp = -1 };
    for (unsigned i = 0; i < 100; i++) {
        struct sockaddr_in in = { .sin_family = AF_INET };
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t bytes = sizeof in;
        dns->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(dns->udp >= 0);
        assert_int_equal(bind(dns->udp, (const void *)&in, sizeof in), 0);
        assert_int_equal(getsockname(dns->udp, (void *)&in, &bytes), 0);
        snprintf(dns->text, sizeof dns->text, "127.0.0.1:%u", ntohs(in.sin_port));
        dns->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(dns->tcp >= 0);
        if (bind(dns->tcp, (const void *)&in, sizeof in) == 0 && listen(dns->tcp, 64) == 0)
            return;
        close(dns->udp);
        close(dns->tcp);
    }
    fail_msg("no port that is free for UDP and TCP");
}

static inline void dns_close(struct dns_server *dns)
{
    close(dns->udp);
    close(dns->tcp);
    while (dns->streams_count > 0)
        close(dns->streams[--dns->streams_count]);
}

static inline void dns_table(struct dns_server *dns, const struct dns_entry *entries, size_t count)
{
    dns->entries = entries;
    dns->entries_count = (uint32_t)count;
}

/* The name of the question as text, in lower case. @return the offset behind it; 0: not understood
 */
static inline size_t dns_name(const uint8_t *packet, size_t len, char *out, size_t room)
{
    size_t at = 12, used = 0;
    while (at < len && packet[at] != 0) {
        size_t label = packet[at++];
        if (label > 63 || at + label > len || used + label + 2 > room)
            return 0;
        for (size_t i = 0; i < label; i++) {
            uint8_t c = packet[at + i];
            out[used++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        out[used++] = '.';
        at += label;
    }
    out[used > 0 ? used - 1 : 0] = '\0';
    return at + 5 <= len ? at + 1 : 0;
}

/* Records of one type, each with the name `owner` (a pointer to it). @return how many */
static inline unsigned dns_put_addrs(struct dns_out *out, const struct dns_entry *e, unsigned owner,
                                     unsigned type)
{
    const char *list = type == DNS_TYPE_A ? e->a : type == DNS_TYPE_AAAA ? e->aaaa : NULL;
    unsigned count = 0;
    while (list != NULL && *list != '\0') {
        char text[64] = { 0 };
        uint8_t addr[16];
        size_t len = strcspn(list, " ");
        assert_true(len < sizeof text);
        memcpy(text, list, len);
        list += len + (list[len] == ' ');
        bool v4 = type == DNS_TYPE_A;
        assert_int_equal(inet_pton(v4 ? AF_INET : AF_INET6, text, addr), 1);
        dns_put16(out, 0xc000 | owner);
        dns_put16(out, type);
        dns_put16(out, 1);
        dns_put16(out, e->ttl >> 16);
        dns_put16(out, e->ttl & 0xffff);
        unsigned bytes = e->manner == DNS_WRONG_LENGTH ? 3 : v4 ? 4 : 16;
        dns_put16(out, bytes);
        dns_put(out, addr, bytes);
        count++;
    }
    return count;
}

/* A CNAME for the question's name. @return where the name that it points to lies */
static inline unsigned dns_put_alias(struct dns_out *out, const struct dns_entry *e)
{
    dns_put16(out, 0xc00c);
    dns_put16(out, DNS_TYPE_CNAME);
    dns_put16(out, 1);
    dns_put16(out, e->alias_ttl >> 16);
    dns_put16(out, e->alias_ttl & 0xffff);
    size_t length_at = out->len;
    dns_put16(out, 0);
    unsigned at = (unsigned)out->len;
    if (e->manner == DNS_LOOP) {
        dns_put16(out, 0xc000 | at);
    } else {
        for (const char *label = e->alias; *label != '\0';) {
            size_t len = strcspn(label, ".");
            uint8_t byte = (uint8_t)len;
            dns_put(out, &byte, 1);
            dns_put(out, label, len);
            label += len + (label[len] == '.');
        }
        dns_put(out, "", 1);
    }
    out->bytes[length_at + 1] = (uint8_t)(out->len - length_at - 2);
    return at;
}

/* The answer to a packet. @return is there to be one? */
static inline bool dns_answer(struct dns_server *dns, const uint8_t *q, size_t len, bool tcp,
                              struct dns_out *out)
{
    static const struct dns_entry unknown = { .rcode = 3 };
    char name[256];
    *out = (struct dns_out){ .len = 0 };
    size_t end = len > 12 ? dns_name(q, len, name, sizeof name) : 0;
    assert_true(end > 0);
    unsigned type = (unsigned)q[end] << 8 | q[end + 1];
    const struct dns_entry *e = &unknown;
    for (uint32_t i = 0; i < dns->entries_count; i++)
        if (strcmp(dns->entries[i].name, name) == 0)
            e = &dns->entries[i];
    if (tcp)
        dns->questions_tcp++;
    dns->questions++;
    if (e->manner == DNS_SILENT)
        return false;
    bool cut = e->manner == DNS_TRUNCATES && !tcp;
    unsigned id = (unsigned)q[0] << 8 | q[1];
    dns_put16(out, e->manner == DNS_OTHER_ID ? id ^ 0x5555 : id);
    dns_put16(out, 0x8180 | (cut ? 0x0200 : 0) | e->rcode);
    dns_put16(out, 1);
    dns_put16(out, 0);
    dns_put16(out, 0);
    dns_put16(out, 0);
    dns_put(out, q + 12, end + 4 - 12);
    if (e->manner == DNS_NOISE)
        for (unsigned i = 0; i < 100; i++)
            dns_put16(out, (unsigned)weir_random_u64(RIG_SEED, dns->noise++, 1) & 0xffff);
    unsigned count = 0, owner = 12;
    if (!cut && e->rcode == 0) {
        if (e->alias != NULL) {
            owner = dns_put_alias(out, e);
            count++;
        }
        count += dns_put_addrs(out, e, owner, type);
    }
    out->bytes[7] = (uint8_t)(count + (e->manner == DNS_WRONG_COUNT ? 3 : 0) +
                              (e->manner == DNS_NOISE ? 5 : 0));
    if (e->manner == DNS_HALF)
        out->len = out->len > end + 10 ? out->len - 7 : end - 2;
    return true;
}

static inline void dns_pump_udp(struct dns_server *dns)
{
    for (;;) {
        static struct dns_out out;
        uint8_t q[DNS_PACKET_MAX];
        struct sockaddr_storage from;
        socklen_t bytes = sizeof from;
        ssize_t n = recvfrom(dns->udp, q, sizeof q, 0, (void *)&from, &bytes);
        if (n < 0)
            return;
        if (dns_answer(dns, q, (size_t)n, false, &out))
            (void)sendto(dns->udp, out.bytes, out.len, 0, (const void *)&from, bytes);
    }
}

/* A message has its length in front (RFC 1035 section 4.2.2); on loopback it comes in one piece. */
static inline void dns_pump_tcp(struct dns_server *dns)
{
    int fd;
    while (dns->streams_count < DNS_STREAMS &&
           (fd = accept4(dns->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        if (dns->resets)
            rig_reset(fd);
        else
            dns->streams[dns->streams_count++] = fd;
    for (uint32_t i = 0; i < dns->streams_count;) {
        static struct dns_out out, framed;
        uint8_t q[DNS_PACKET_MAX];
        ssize_t n = recv(dns->streams[i], q, sizeof q, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            close(dns->streams[i]);
            dns->streams[i] = dns->streams[--dns->streams_count];
            continue;
        }
        for (ssize_t at = 0; at + 2 < n;) {
            size_t len = (size_t)q[at] << 8 | q[at + 1];
            assert_true(at + 2 + (ssize_t)len <= n);
            if (dns_answer(dns, q + at + 2, len, true, &out)) {
                framed = (struct dns_out){ .len = 0 };
                dns_put16(&framed, (unsigned)out.len);
                dns_put(&framed, out.bytes, out.len);
                assert_int_equal(send(dns->streams[i], framed.bytes, framed.len, MSG_NOSIGNAL),
                                 framed.len);
            }
            at += 2 + (ssize_t)len;
        }
        i++;
    }
}

/* Answer everything that is there. */
static inline void dns_pump(struct dns_server *dns)
{
    dns_pump_udp(dns);
    dns_pump_tcp(dns);
}

#endif

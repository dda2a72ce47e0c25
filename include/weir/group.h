/* SPDX-License-Identifier: MIT */
/**
 * A group of servers that share a port and level their connections.
 *
 * The kernel spreads the connections of a port with SO_REUSEPORT by a hash: of 4 connections to 2 servers all may come to
 * one. The servers of a group keep their numbers of connections in a table that all of them see. One that accepts a
 * connection while another has at least two fewer (this one counted) hands it to the one with the fewest; when several
 * have as few, to each in turn. So while connections only come, the servers' numbers differ by one at most; connections
 * that end are not made up for by moving others, only by where the next ones go.
 *
 * Each server of a group has an engine of its own, usually on a thread of its own. Set `group` in its configuration, and
 * reuse_port; all of them listen on one address and port. A server of a unix socket is refused: there is no reuse_port for
 * those.
 *
 * A server's conns_max holds for what is handed to it too. At its limit it still accepts, one connection at a time, while
 * another server of the group has room. An engine of a group should have room (its conns_max) for its server's conns_max
 * and for whatever else it runs: a connection that arrives where there is no room after all is handed on, or waits,
 * or, when one waits already, is reset.
 *
 * A server that drains or closes is handed nothing more. What is on its way to it then is handed on to another; when there
 * is none that could take it, it is reset, which is what the kernel does to those that wait in the backlog of a listener
 * that closes. Neither weir_server_drain() nor weir_server_close() is done before everything that was on its way has
 * arrived.
 */
#ifndef WEIR_GROUP_H
#define WEIR_GROUP_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_server_group;

/**
 * Open a group for at most `members_max` servers at a time, 1 ... 1024: as many as there are threads. Nothing is allocated
 * later. Any thread.
 *
 * Ownership: *out belongs to the caller, released by weir_server_group_close().
 * Errors (weir_error_text() names the cause; *out is NULL): -EINVAL members_max, -ENOMEM
 */
WEIR_API WEIR_MUST_USE int weir_server_group_open(struct weir_server_group **out, uint32_t members_max);

/**
 * Release the group. Any thread, once no other thread opens a server in it any more.
 * @return 0, or -EBUSY: a server of it is still open (nothing was done)
 */
WEIR_API WEIR_MUST_USE int weir_server_group_close(struct weir_server_group *group);

#ifdef __cplusplus
}
#endif

#endif

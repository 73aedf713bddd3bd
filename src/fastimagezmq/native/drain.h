/* The drain: takes whatever arrives at a socket at once, and keeps the newest frames of it.
 *
 * One thread runs it, and nobody else touches the socket meanwhile. It stops when it is told
 * to through a file descriptor, so that its thread can see to the socket itself, and is run
 * again. Replies reach it by a list. It knows nothing of Python and needs no GIL.
 *
 * With `routed` the socket is a ROUTER that speaks to REQ sockets: what stands before a
 * message, up to the empty part, is kept to send the reply to. Frames that lose their place
 * are answered there and then, so that no sender waits for ever.
 */
#ifndef FIZ_DRAIN_H
#define FIZ_DRAIN_H

#include <stddef.h>

#include "header.h"
#include "libzmq.h"
#include "messages.h"
#include "mutex.h"
#include "newest.h"

/* Parts before a message: the sender's, what REQ_CORRELATE adds, one hop more, and the
 * empty one. A message with more is dropped. */
#define FIZ_ENVELOPE_MAX 4

#define FIZ_STOP 's' /* a byte that stops the drain; any other only wakes it */

/* A message that came. `parts` of `count` are its owner's to take or close. */
typedef struct fiz_arrival {
    struct fiz_arrival *next;
    fiz_zmq_msg envelope[FIZ_ENVELOPE_MAX];
    unsigned envelope_count;
    fiz_zmq_msg parts[FIZ_PARTS_KEPT];
    unsigned count;
    int malformed;
} fiz_arrival;

/* NULL: no memory. */
fiz_arrival *fiz_arrival_new(void);

/* Closes what it holds, and frees it. */
void fiz_arrival_free(void *arrival);

/* What tells a camera: the message, a member of it (its name as JSON spells it, without
 * quotes), or the address of the peer. */
typedef enum { FIZ_BY_MESSAGE, FIZ_BY_MEMBER, FIZ_BY_PEER } fiz_camera_kind;

typedef struct {
    fiz_newest *newest;
    int routed;
    fiz_camera_kind kind;
    fiz_text member;
    fiz_mutex mutex;
    fiz_arrival *first_reply, **last_reply; /* guarded by it */
} fiz_drain;

/* Room for the key of a peer, in fiz_ticket_of. */
#define FIZ_PEER_MAX 128

/* Says whose frame a message is. The key points into `header`, `peer` or `room`. `peer` NULL:
 * not known. */
fiz_ticket fiz_ticket_of(const char *header, size_t size, const char *peer, fiz_camera_kind kind,
                         fiz_text member, char room[FIZ_PEER_MAX]);

/* `newest` and the bytes of `member` stay as long as the drain. 0, or an errno. */
int fiz_drain_init(fiz_drain *drain, fiz_newest *newest, int routed, fiz_camera_kind kind,
                   fiz_text member);

/* The drain runs no more, and is not replied to. */
void fiz_drain_end(fiz_drain *drain);

/* Takes what comes until FIZ_STOP is read from `fd`, which does not block, until there is
 * something to read at `other_fd` (-1: none), or for `limit_ms` (below 0: without end): 0, or
 * libzmq's errno. Replies that were given before the byte was written have been sent. It can be
 * run again after either. */
int fiz_drain_run(fiz_drain *drain, void *socket, int fd, int other_fd, int limit_ms);

/* Sends a reply to where the arrival came from, when the drain is woken, and owns the
 * arrival from now on. 0, or an errno. */
int fiz_drain_reply(fiz_drain *drain, fiz_arrival *arrival, const void *data, size_t size);

#endif

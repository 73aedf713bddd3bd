/* Whole messages through libzmq: every part of one in one call.
 *
 * These functions know nothing of Python and are called without the GIL. A socket
 * is used by one thread at a time; the caller sees to that. They return 0 or
 * libzmq's errno; EINTR is returned only while nothing of a message has been sent
 * or received, so that a signal never leaves half of one behind.
 */
#ifndef FIZ_MESSAGES_H
#define FIZ_MESSAGES_H

#include <stddef.h>

#include "libzmq.h"
#include "spin.h"

#define FIZ_PARTS_KEPT 3 /* one more than a frame has: enough to tell that it is none */

/* So many interrupts within one message, and it is given up with ENOTSOCK. */
#define FIZ_INTERRUPTS_MAX 10000

/* Returned by fiz_messages_receive: `slice_ms` is over, and RCVTIMEO is not. No errno. */
#define FIZ_SLICE_OVER (-1)

/* Memory that libzmq reads and someone else owns. It begins the owner's own record,
 * which must stay as it is from fiz_messages_send until fiz_messages_done gives it
 * back. libzmq's I/O thread gives it up by putting it on a list, nothing more. */
typedef struct fiz_hold {
    struct fiz_hold *next;
} fiz_hold;

/* Makes the list of holds safe across fork(). Once, at import; 0 or -1. */
int fiz_messages_init(void);

/* Sends a message of one or two parts: all of it or nothing. The first part, and
 * the second if `hold` is NULL, are copied; else the second is read in place, and
 * `hold` comes back by fiz_messages_done whatever is returned. `body` NULL: one
 * part, and no `hold`. `delimited`: an empty part goes before them, as a REQ socket
 * sends by itself and a DEALER must to a REP. `flags`: FIZ_ZMQ_DONTWAIT or 0, and
 * then SNDTIMEO holds. */
int fiz_messages_send(void *socket, int delimited, const void *header, size_t header_size,
                      const void *body, size_t body_size, fiz_hold *hold, int flags);

/* Waits for a message and takes all of it: its first FIZ_PARTS_KEPT parts are put
 * into `parts`, which become the caller's to close, `*count` tells how many; more
 * are dropped. Waits as RCVTIMEO says (`flags` FIZ_ZMQ_DONTWAIT: not at all), but
 * for `slice_ms` at most unless that is negative. With a slice above 0 it may look for
 * a while before it sleeps, as `spin` says, which learns from it; NULL: it sleeps at once.
 * On an error `*count` is 0. */
int fiz_messages_receive(void *socket, fiz_zmq_msg parts[FIZ_PARTS_KEPT], unsigned *count,
                         int slice_ms, int flags, fiz_spin *spin);

/* Waits for the first part of a message, as fiz_messages_receive does, and puts it into `part`,
 * which is initialised. */
int fiz_messages_first(void *socket, fiz_zmq_msg *part, int slice_ms, int flags, fiz_spin *spin);

/* Gives up a hold that was not sent: it comes back by fiz_messages_done. */
void fiz_messages_give_up(fiz_hold *hold);

/* The holds that libzmq has given up since the last call, as a chain; or NULL. */
fiz_hold *fiz_messages_done(void);

#endif

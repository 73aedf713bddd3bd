/* What a REP socket does, on a ROUTER: requests and replies in turn, envelopes kept here.
 *
 * A request begins with its envelope: where it came from, what each hop on its way has put
 * before it, and an empty part. The envelope is kept, and goes before the reply. libzmq's own
 * REP writes it into the reply's pipe as it reads it, and when that cannot be undone (4.3.5: the
 * peer has gone, or reads nothing, and no empty part follows) drops the reply to someone else.
 *
 * For callers that want whole messages, and for those that read and write part after part: what
 * either has begun the other can go on with. A socket and its request are used by one thread at
 * a time. Functions return 0 or libzmq's errno, as those of messages.h do; EFSM out of turn.
 */
#ifndef FIZ_REQUEST_H
#define FIZ_REQUEST_H

#include <stddef.h>

#include "libzmq.h"
#include "messages.h"
#include "spin.h"

/* Parts of an envelope: the sender's, one for each hop, what REQ_CORRELATE adds, the empty one.
 * A message with more is passed over. */
#define FIZ_HOPS_MAX 32

/* Returned in place of an errno: a message without an envelope was taken, and is gone. */
#define FIZ_PASSED_OVER (-2)

typedef enum {
    FIZ_TO_RECEIVE,
    FIZ_RECEIVING, /* the envelope has been taken; the socket tells whether a part follows */
    FIZ_TO_REPLY,
    FIZ_REPLYING, /* the envelope has been sent; parts follow */
} fiz_turn;

/* All zero to begin with. */
typedef struct {
    fiz_turn turn;
    unsigned count; /* of the envelope's parts */
    fiz_zmq_msg envelope[FIZ_HOPS_MAX];
    char passed_over[64]; /* the address of the peer whose message was, or "" */
} fiz_request;

/* Drops the envelope, and the request with it. */
void fiz_request_end(fiz_request *request);

/* Says whose turn it is, in `turn`. */
int fiz_request_look(void *socket, fiz_request *request);

/* Takes the envelope of the next request, unless one has been taken; its parts are received
 * from the socket. Waits as fiz_messages_receive does. */
int fiz_request_open(void *socket, fiz_request *request, int slice_ms, int flags, fiz_spin *spin);

/* Takes the next request, or the rest of one, as fiz_messages_receive does. */
int fiz_request_receive(void *socket, fiz_request *request, fiz_zmq_msg parts[FIZ_PARTS_KEPT],
                        unsigned *count, int slice_ms, int flags, fiz_spin *spin);

/* Sends the envelope, unless it has been sent; the reply's parts are sent through the socket,
 * and whoever sends the last one sets `turn`. A reply to a peer that has gone, or that reads
 * nothing, is dropped by the socket. */
int fiz_request_answer(void *socket, fiz_request *request);

/* Sends a reply, or the rest of one, as fiz_messages_send does. */
int fiz_request_reply(void *socket, fiz_request *request, const void *header, size_t header_size,
                      const void *body, size_t body_size, fiz_hold *hold, int flags);

#endif

#include "request.h"

#include <errno.h>
#include <stdio.h>

void fiz_request_end(fiz_request *request)
{
    while (request->count > 0)
        (void)fiz_zmq.msg_close(&request->envelope[--request->count]);
    request->turn = FIZ_TO_RECEIVE;
}

static int out_of_turn(void *socket)
{
    int type;
    size_t size = sizeof type;

    /* A context that is being terminated is told of first. */
    return fiz_zmq.getsockopt(socket, FIZ_ZMQ_TYPE, &type, &size) != 0 ? fiz_zmq.error()
                                                                       : FIZ_EFSM;
}

int fiz_request_look(void *socket, fiz_request *request)
{
    int more;
    size_t size = sizeof more;

    if (request->turn != FIZ_RECEIVING)
        return 0;
    if (fiz_zmq.getsockopt(socket, FIZ_ZMQ_RCVMORE, &more, &size) != 0)
        return fiz_zmq.error();
    if (!more)
        request->turn = FIZ_TO_REPLY;
    return 0;
}

static int next_part(void *socket, fiz_zmq_msg *part)
{
    unsigned interrupts = 0;

    /* The rest of a message is there when its first part is. An interrupt is no reason to leave
     * it, except in a forked child: there every call is interrupted, for ever. */
    while (fiz_zmq.msg_recv(part, socket, 0) < 0) {
        int error = fiz_zmq.error();
        if (error != EINTR)
            return error;
        if (++interrupts == FIZ_INTERRUPTS_MAX)
            return ENOTSOCK;
    }
    return 0;
}

static void note_sender(fiz_request *request)
{
    const char *peer = fiz_zmq.msg_gets(&request->envelope[0], "Peer-Address");

    (void)snprintf(request->passed_over, sizeof request->passed_over, "%s",
                   peer != NULL ? peer : "");
}

static int take_envelope(void *socket, fiz_request *request, int slice_ms, int flags,
                         fiz_spin *spin)
{
    fiz_zmq_msg part;
    int more, bottom = 0;
    int error;

    (void)fiz_zmq.msg_init(&part); /* never fails */
    error = fiz_messages_first(socket, &part, slice_ms, flags, spin);
    while (!error) {
        more = fiz_zmq.msg_more(&part);
        if (request->count < FIZ_HOPS_MAX) {
            bottom = fiz_zmq.msg_size(&part) == 0;
            (void)fiz_zmq.msg_init(&request->envelope[request->count]);
            (void)fiz_zmq.msg_move(&request->envelope[request->count++], &part);
        }
        if (more && bottom)
            break;
        if (more) {
            error = next_part(socket, &part);
        } else {
            note_sender(request);
            error = FIZ_PASSED_OVER;
        }
    }
    (void)fiz_zmq.msg_close(&part);
    if (error)
        fiz_request_end(request);
    else
        request->turn = FIZ_RECEIVING;
    return error;
}

int fiz_request_open(void *socket, fiz_request *request, int slice_ms, int flags, fiz_spin *spin)
{
    int error = fiz_request_look(socket, request);

    if (error || request->turn == FIZ_RECEIVING)
        return error;
    if (request->turn != FIZ_TO_RECEIVE)
        return out_of_turn(socket);
    return take_envelope(socket, request, slice_ms, flags, spin);
}

int fiz_request_receive(void *socket, fiz_request *request, fiz_zmq_msg parts[FIZ_PARTS_KEPT],
                        unsigned *count, int slice_ms, int flags, fiz_spin *spin)
{
    int error = fiz_request_open(socket, request, slice_ms, flags, spin);

    *count = 0;
    if (!error)
        error = fiz_messages_receive(socket, parts, count, -1, 0, NULL);
    if (!error)
        request->turn = FIZ_TO_REPLY;
    return error;
}

int fiz_request_answer(void *socket, fiz_request *request)
{
    unsigned sent = 0, interrupts = 0;
    int error = fiz_request_look(socket, request);

    if (error || request->turn == FIZ_REPLYING)
        return error;
    if (request->turn != FIZ_TO_REPLY)
        return out_of_turn(socket);
    while (sent < request->count) {
        fiz_zmq_msg *part = &request->envelope[sent];

        if (fiz_zmq.msg_send(part, socket, FIZ_ZMQ_DONTWAIT | FIZ_ZMQ_SNDMORE) >= 0) {
            (void)fiz_zmq.msg_init(part); /* it is closed with the others */
            sent++;
            continue;
        }
        error = fiz_zmq.error();
        if (error == EINTR && sent > 0)
            error = ++interrupts < FIZ_INTERRUPTS_MAX ? 0 : ENOTSOCK;
        if (!error)
            continue;
        /* With ROUTER_MANDATORY, which no REP survives, there is nobody to reply to. */
        if (sent > 0 || error == EHOSTUNREACH || error == EAGAIN)
            fiz_request_end(request);
        return error;
    }
    fiz_request_end(request);
    request->turn = FIZ_REPLYING;
    return 0;
}

int fiz_request_reply(void *socket, fiz_request *request, const void *header, size_t header_size,
                      const void *body, size_t body_size, fiz_hold *hold, int flags)
{
    int error = fiz_request_answer(socket, request);

    if (error) {
        if (hold != NULL)
            fiz_messages_give_up(hold);
        return error;
    }
    error = fiz_messages_send(socket, 0, header, header_size, body, body_size, hold, flags);
    if (!error)
        request->turn = FIZ_TO_RECEIVE;
    return error;
}

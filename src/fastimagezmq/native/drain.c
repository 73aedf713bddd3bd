#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "drain.h"
#include "spin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What lost its place is answered like any frame, what is none as a hub answers it. */
#define STALE_REPLY "OK"
#define MALFORMED_REPLY "ERROR: the message is no frame"

/* So many messages, and it looks whether it has been woken. */
#define AT_A_TIME 64

/* --- arrivals ---------------------------------------------------------------------- */

fiz_arrival *fiz_arrival_new(void)
{
    return calloc(1, sizeof(fiz_arrival));
}

static void close_all(fiz_zmq_msg *parts, unsigned *count)
{
    while (*count > 0)
        (void)fiz_zmq.msg_close(&parts[--*count]);
}

static void empty(fiz_arrival *arrival)
{
    close_all(arrival->parts, &arrival->count);
    close_all(arrival->envelope, &arrival->envelope_count);
}

void fiz_arrival_free(void *arrival)
{
    empty(arrival);
    free(arrival);
}

static void keep(fiz_zmq_msg *parts, unsigned *count, fiz_zmq_msg *part)
{
    (void)fiz_zmq.msg_init(&parts[*count]); /* never fails */
    (void)fiz_zmq.msg_move(&parts[(*count)++], part);
}

fiz_ticket fiz_ticket_of(const char *data, size_t size, const char *peer, fiz_camera_kind kind,
                         fiz_text member, char room[FIZ_PEER_MAX])
{
    fiz_ticket ticket = { "", 0, -1, 0 };
    fiz_header header;
    fiz_text key;

    if (fiz_header_read(data, size, &header) != 0)
        return ticket;
    ticket.sequence = header.sequence;
    ticket.checksum = header.checksum;
    key = header.message;
    if (kind == FIZ_BY_MEMBER)
        key = fiz_header_member(header.message, member);
    if (kind == FIZ_BY_PEER) {
        key.size = 0;
        if (peer != NULL) {
            /* An address has neither quotes nor backslashes. */
            int length = snprintf(room, FIZ_PEER_MAX, "\"%.100s\"", peer);
            key = (fiz_text){ room, length > 0 ? (size_t)length : 0 };
        }
    }
    /* Frames that lack what tells their camera are one camera together. */
    ticket.key = key.size > 0 ? key.start : "null";
    ticket.key_size = key.size > 0 ? key.size : strlen("null");
    return ticket;
}

/* --- replies ----------------------------------------------------------------------- */

int fiz_drain_init(fiz_drain *drain, fiz_newest *newest, int routed, fiz_camera_kind kind,
                   fiz_text member)
{
    *drain = (fiz_drain){ .newest = newest, .routed = routed, .kind = kind, .member = member };
    drain->last_reply = &drain->first_reply;
    return fiz_mutex_init(&drain->mutex);
}

static fiz_arrival *take_replies(fiz_drain *drain)
{
    fiz_arrival *chain;

    fiz_mutex_lock(&drain->mutex);
    chain = drain->first_reply;
    drain->first_reply = NULL;
    drain->last_reply = &drain->first_reply;
    fiz_mutex_unlock(&drain->mutex);
    return chain;
}

void fiz_drain_end(fiz_drain *drain)
{
    for (fiz_arrival *a = take_replies(drain), *next; a != NULL; a = next) {
        next = a->next;
        fiz_arrival_free(a);
    }
    fiz_mutex_destroy(&drain->mutex);
}

/* Makes `data` the only part. */
static int set_reply(fiz_arrival *arrival, const void *data, size_t size)
{
    close_all(arrival->parts, &arrival->count);
    if (fiz_zmq.msg_init_size(&arrival->parts[0], size) != 0)
        return fiz_zmq.error();
    if (size > 0)
        memcpy(fiz_zmq.msg_data(&arrival->parts[0]), data, size);
    arrival->count = 1;
    return 0;
}

int fiz_drain_reply(fiz_drain *drain, fiz_arrival *arrival, const void *data, size_t size)
{
    int error = set_reply(arrival, data, size);

    if (error) {
        fiz_arrival_free(arrival);
        return error;
    }
    fiz_mutex_lock(&drain->mutex);
    arrival->next = NULL;
    *drain->last_reply = arrival;
    drain->last_reply = &arrival->next;
    fiz_mutex_unlock(&drain->mutex);
    return 0;
}

/* Sends the parts after the envelope, and frees it all. A ROUTER takes what is for a peer
 * that has gone, or that reads nothing, and drops it. */
static void send_reply(fiz_arrival *arrival, void *socket)
{
    unsigned sent = 0, all = arrival->envelope_count + arrival->count;
    unsigned interrupts = 0;

    while (sent < all) {
        fiz_zmq_msg *part = sent < arrival->envelope_count
                                ? &arrival->envelope[sent]
                                : &arrival->parts[sent - arrival->envelope_count];
        int more = sent + 1 < all ? FIZ_ZMQ_SNDMORE : 0;

        if (fiz_zmq.msg_send(part, socket, FIZ_ZMQ_DONTWAIT | more) >= 0)
            (void)fiz_zmq.msg_init(part); /* it is closed with the others */
        else if (fiz_zmq.error() == EINTR && ++interrupts < FIZ_INTERRUPTS_MAX)
            continue;
        else if (sent == 0)
            break;
        sent++;
    }
    fiz_arrival_free(arrival);
}

static void discard(const fiz_drain *drain, fiz_arrival *arrival, void *socket)
{
    int error = -1;

    if (drain->routed && arrival->malformed)
        error = set_reply(arrival, MALFORMED_REPLY, strlen(MALFORMED_REPLY));
    else if (drain->routed)
        error = set_reply(arrival, STALE_REPLY, strlen(STALE_REPLY));
    if (error)
        fiz_arrival_free(arrival);
    else
        send_reply(arrival, socket);
}

/* --- receiving --------------------------------------------------------------------- */

/* Takes one message, if one is there: 0, or libzmq's errno, EAGAIN where none is. What is no
 * message of a REQ socket's leaves the arrival empty. */
static int receive(const fiz_drain *drain, void *socket, fiz_arrival *arrival)
{
    int enveloped = drain->routed, complete = !drain->routed;
    int flags = FIZ_ZMQ_DONTWAIT, more = 1, error = 0;
    unsigned interrupts = 0;
    fiz_zmq_msg part;

    (void)fiz_zmq.msg_init(&part); /* never fails */
    while (more) {
        if (fiz_zmq.msg_recv(&part, socket, flags) < 0) {
            error = fiz_zmq.error();
            if (error == EINTR && ++interrupts < FIZ_INTERRUPTS_MAX)
                continue;
            break;
        }
        error = 0;
        flags = 0; /* the rest of a message is there when its first part is */
        more = fiz_zmq.msg_more(&part);
        if (enveloped) {
            enveloped = arrival->envelope_count == 0 || fiz_zmq.msg_size(&part) > 0;
            if (arrival->envelope_count < FIZ_ENVELOPE_MAX) {
                keep(arrival->envelope, &arrival->envelope_count, &part);
                complete = !enveloped;
            }
        } else if (arrival->count < FIZ_PARTS_KEPT) {
            keep(arrival->parts, &arrival->count, &part);
        }
    }
    (void)fiz_zmq.msg_close(&part);
    if (error || !complete)
        empty(arrival);
    return error;
}

static void store(const fiz_drain *drain, fiz_arrival *arrival, void *socket)
{
    fiz_ticket ticket = { "", 0, -1, 0 };
    char room[FIZ_PEER_MAX];
    fiz_arrival *homeless;

    if (arrival->count == 2) {
        fiz_zmq_msg *header = &arrival->parts[0];
        const char *peer
            = drain->kind == FIZ_BY_PEER ? fiz_zmq.msg_gets(header, "Peer-Address") : NULL;
        ticket = fiz_ticket_of(fiz_zmq.msg_data(header), fiz_zmq.msg_size(header), peer,
                               drain->kind, drain->member, room);
    }
    arrival->malformed = ticket.key_size == 0;
    homeless = fiz_newest_put(drain->newest, &ticket, arrival);
    if (homeless != NULL)
        discard(drain, homeless, socket);
}

static int take_some(const fiz_drain *drain, void *socket)
{
    for (unsigned i = 0; i < AT_A_TIME; i++) {
        fiz_arrival *arrival = fiz_arrival_new(); /* before anything is taken */
        int error = arrival == NULL ? ENOMEM : receive(drain, socket, arrival);

        if (arrival != NULL && arrival->count == 0)
            fiz_arrival_free(arrival);
        else if (!error)
            store(drain, arrival, socket);
        if (error)
            return error == EAGAIN ? 0 : error;
    }
    return 0;
}

/* --- the thread -------------------------------------------------------------------- */

#ifdef _WIN32

/* Messages go through pyzmq's calls there, and so does the drain. */
int fiz_drain_run(fiz_drain *drain, void *socket, int fd, int other_fd, int limit_ms)
{
    (void)fd;
    (void)other_fd;
    (void)limit_ms;
    (void)take_some(drain, socket);
    return ENOTSOCK;
}

#else

#include <signal.h>
#include <unistd.h>

/* Reads what woke the drain; tells whether to stop. */
static int stopped(int fd)
{
    char bytes[64];
    ssize_t count;
    int stop = 0;

    while ((count = read(fd, bytes, sizeof bytes)) > 0)
        stop |= memchr(bytes, FIZ_STOP, (size_t)count) != NULL;
    return stop || count == 0; /* or the other end is closed */
}

/* Milliseconds from now until then, rounded up. */
static long until(uint64_t end_ns)
{
    uint64_t now = fiz_spin_clock();

    return now < end_ns ? (long)((end_ns - now + 999999u) / 1000000u) : 0;
}

static int run(fiz_drain *drain, void *socket, int fd, int other_fd, int limit_ms)
{
    fiz_zmq_pollitem items[3] = { { socket, 0, FIZ_ZMQ_POLLIN, 0 },
                                  { NULL, fd, FIZ_ZMQ_POLLIN, 0 },
                                  { NULL, other_fd, FIZ_ZMQ_POLLIN, 0 } };
    int count = other_fd < 0 ? 2 : 3;
    uint64_t end = limit_ms < 0 ? 0 : fiz_spin_clock() + (uint64_t)limit_ms * 1000000u;

    for (;;) {
        long left = limit_ms < 0 ? -1 : until(end);
        int stop = left == 0, error = 0;

        if (fiz_zmq.poll(items, count, left) < 0) {
            error = fiz_zmq.error();
            if (error != EINTR)
                return error;
            continue;
        }
        if (items[1].revents) {
            stop |= stopped(fd); /* before the replies: those given until now are seen */
            for (fiz_arrival *a = take_replies(drain), *next; a != NULL; a = next) {
                next = a->next;
                send_reply(a, socket);
            }
        }
        if (items[0].revents)
            error = take_some(drain, socket);
        stop |= items[2].revents != 0;
        if (stop || error)
            return error;
    }
}

int fiz_drain_run(fiz_drain *drain, void *socket, int fd, int other_fd, int limit_ms)
{
    sigset_t all, before;
    int error;

    /* Signals are for the threads that wait for frames. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    error = run(drain, socket, fd, other_fd, limit_ms);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

#endif

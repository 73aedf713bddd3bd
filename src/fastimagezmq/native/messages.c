#include "messages.h"

#include <errno.h>
#include <string.h>

#include "fork.h"
#include "mutex.h"

/* libzmq is not instrumented: ThreadSanitizer does not see that its pipes order what
 * was written before a send before what is read in the free callback. */
#if defined(__SANITIZE_THREAD__)
#define FIZ_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FIZ_TSAN 1
#endif
#endif
#ifdef FIZ_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define HAND_OVER(hold) __tsan_release(hold)
#define TAKE_OVER(hold) __tsan_acquire(hold)
#else
#define HAND_OVER(hold) ((void)(hold))
#define TAKE_OVER(hold) ((void)(hold))
#endif

static fiz_mutex mutex = FIZ_MUTEX_INIT;
static fiz_hold *done; /* guarded by mutex */

int fiz_messages_init(void)
{
    return fiz_fork_guard(&mutex, NULL);
}

/* libzmq calls this where it drops its last reference: on its I/O thread, or within
 * one of the calls below. */
static void give_up(void *data, void *hint)
{
    fiz_hold *hold = hint;

    (void)data;
    TAKE_OVER(hold);
    fiz_mutex_lock(&mutex);
    hold->next = done;
    done = hold;
    fiz_mutex_unlock(&mutex);
}

void fiz_messages_give_up(fiz_hold *hold)
{
    HAND_OVER(hold);
    give_up(NULL, hold);
}

fiz_hold *fiz_messages_done(void)
{
    fiz_hold *chain;

    fiz_mutex_lock(&mutex);
    chain = done;
    done = NULL;
    fiz_mutex_unlock(&mutex);
    return chain;
}

static int copied(fiz_zmq_msg *msg, const void *data, size_t size)
{
    if (fiz_zmq.msg_init_size(msg, size) != 0)
        return fiz_zmq.error();
    if (size > 0)
        memcpy(fiz_zmq.msg_data(msg), data, size);
    return 0;
}

static int held(fiz_zmq_msg *msg, const void *data, size_t size, fiz_hold *hold)
{
    int error;

    /* libzmq only reads what it sends. */
    if (fiz_zmq.msg_init_data(msg, (void *)(size_t)data, size, give_up, hold) == 0)
        return 0;
    error = fiz_zmq.error();
    give_up(NULL, hold);
    return error;
}

/* An interrupt between the parts of a message is no reason to leave the rest, except
 * in a forked child: there every call on the parent's sockets is interrupted, for ever. */
static int go_on(unsigned *interrupts)
{
    return ++*interrupts < FIZ_INTERRUPTS_MAX ? 0 : ENOTSOCK;
}

int fiz_messages_send(void *socket, int delimited, const void *header, size_t header_size,
                      const void *body, size_t body_size, fiz_hold *hold, int flags)
{
    fiz_zmq_msg parts[3];
    unsigned count = 0, sent = 0, interrupts = 0;
    int error = 0, dropped = 0;

    if (hold != NULL)
        HAND_OVER(hold);
    if (delimited)
        (void)fiz_zmq.msg_init(&parts[count++]); /* never fails */
    error = copied(&parts[count], header, header_size);
    if (!error) {
        count++;
        if (body != NULL) {
            error = hold != NULL ? held(&parts[count], body, body_size, hold)
                                 : copied(&parts[count], body, body_size);
            if (!error)
                count++;
        }
    } else if (hold != NULL) {
        give_up(NULL, hold);
    }
    /* libzmq counts messages, not parts, against the high-water mark, so it takes the
     * rest of what it has begun. */
    while (!error && sent < count) {
        int more = sent + 1 < count ? FIZ_ZMQ_SNDMORE : 0;
        if (fiz_zmq.msg_send(&parts[sent], socket, flags | more) >= 0) {
            sent++;
            continue;
        }
        error = fiz_zmq.error();
        if (error == EINTR && sent > 0) {
            error = go_on(&interrupts);
        } else if (error == EAGAIN && sent > 0 && more) {
            /* The connection has ended within the message. libzmq has taken back what it
             * had, and drops what it is given up to a message's end: not the next one's. */
            (void)fiz_zmq.msg_close(&parts[sent++]);
            dropped = 1;
            error = 0;
        }
    }
    while (sent < count)
        (void)fiz_zmq.msg_close(&parts[sent++]);
    return error == 0 && dropped ? EAGAIN : error;
}

static int timeout_set(void *socket, int milliseconds)
{
    return fiz_zmq.setsockopt(socket, FIZ_ZMQ_RCVTIMEO, &milliseconds, sizeof milliseconds);
}

/* Looks for the first part, for as long as `spin` says, while others may have this CPU:
 * 0, or libzmq's errno; EAGAIN: it is time to sleep. */
static int look_for_first(void *socket, fiz_zmq_msg *part, const fiz_spin *spin, uint64_t began)
{
    do {
        if (fiz_zmq.msg_recv(part, socket, FIZ_ZMQ_DONTWAIT) >= 0)
            return 0;
        if (fiz_zmq.error() != EAGAIN)
            return fiz_zmq.error();
        fiz_yield();
    } while (fiz_spin_clock() - began < spin->span_ns);
    return EAGAIN;
}

/* Sleeps until the first part is there. RCVTIMEO is borrowed and restored within this
 * call: a poll beforehand would cost several times as much. */
static int sleep_for_first(void *socket, fiz_zmq_msg *part, int slice_ms, int limit_ms)
{
    int borrowed = limit_ms < 0 || limit_ms > slice_ms, error = 0;

    if (borrowed && timeout_set(socket, slice_ms) != 0)
        return fiz_zmq.error();
    if (fiz_zmq.msg_recv(part, socket, 0) < 0)
        error = fiz_zmq.error();
    if (borrowed) {
        (void)timeout_set(socket, limit_ms); /* fails where the context ends: no matter */
        if (error == EAGAIN)
            error = FIZ_SLICE_OVER;
    }
    return error;
}

int fiz_messages_first(void *socket, fiz_zmq_msg *part, int slice_ms, int flags, fiz_spin *spin)
{
    int limit_ms = 0, error = EAGAIN;
    size_t size = sizeof limit_ms;
    uint64_t began = 0;

    if (slice_ms < 0 || flags & FIZ_ZMQ_DONTWAIT)
        return fiz_zmq.msg_recv(part, socket, flags) < 0 ? fiz_zmq.error() : 0;
    if (fiz_zmq.getsockopt(socket, FIZ_ZMQ_RCVTIMEO, &limit_ms, &size) != 0)
        return fiz_zmq.error();
    if (slice_ms == 0 || limit_ms == 0)
        spin = NULL;
    if (spin != NULL) {
        began = fiz_spin_clock();
        if (spin->span_ns > 0)
            error = look_for_first(socket, part, spin, began);
    }
    if (error == EAGAIN)
        error = sleep_for_first(socket, part, slice_ms, limit_ms);
    if (spin != NULL && error != EINTR)
        fiz_spin_learn(spin, fiz_spin_clock() - began);
    return error;
}

int fiz_messages_receive(void *socket, fiz_zmq_msg parts[FIZ_PARTS_KEPT], unsigned *count,
                         int slice_ms, int flags, fiz_spin *spin)
{
    fiz_zmq_msg next;
    unsigned kept = 0, interrupts = 0;
    int error, more;

    *count = 0;
    (void)fiz_zmq.msg_init(&next); /* never fails */
    error = fiz_messages_first(socket, &next, slice_ms, flags, spin);
    if (error) {
        (void)fiz_zmq.msg_close(&next);
        return error;
    }
    do {
        more = fiz_zmq.msg_more(&next);
        if (kept < FIZ_PARTS_KEPT) {
            (void)fiz_zmq.msg_init(&parts[kept]);
            (void)fiz_zmq.msg_move(&parts[kept++], &next);
        }
        /* The rest of a message is there when its first part is. */
        while (more && fiz_zmq.msg_recv(&next, socket, 0) < 0) {
            error = fiz_zmq.error();
            if (error == EINTR)
                error = go_on(&interrupts);
            if (error)
                goto failed;
        }
    } while (more);
    (void)fiz_zmq.msg_close(&next);
    *count = kept;
    return 0;

failed:
    (void)fiz_zmq.msg_close(&next);
    while (kept > 0)
        (void)fiz_zmq.msg_close(&parts[--kept]);
    return error;
}

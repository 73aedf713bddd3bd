/* Whole messages over a libzmq that fails on demand: each of its calls in turn. */
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "native/libzmq.h"
#include "native/messages.h"

enum { ETERM_ = 156384765, PARTS_MAX = 8, UNASKED = -99 };

/* --- a libzmq of one socket ------------------------------------------------------ */

typedef struct {
    uint8_t *data;
    size_t size;
    fiz_zmq_free free;
    void *hint;
} content;

/* What stands within a fiz_zmq_msg. Each one that is made is sent or closed, once. */
typedef struct {
    enum { ALIVE = 0x600D, SPENT = 0xDEAD } state;
    int more;
    content *content; /* NULL: empty */
} message;

static struct {
    int calls, failing, always; /* the failing one of the calls that may fail; and all after it */
    int error;
    int failed_restoring;
    int alive, contents;
    int rcvtimeo, rcvtimeo_while_receiving;
    content *sent[PARTS_MAX];
    int sent_more[PARTS_MAX], sent_flags[PARTS_MAX];
    int sent_count, dropping;
    int incoming, received; /* parts of one message */
    int late;               /* so many looks find nothing yet; who sleeps gets it */
    int slept;
} zmq;

static int fails(void)
{
    int call = zmq.calls++;

    if (call == zmq.failing || (zmq.always && zmq.failing >= 0 && call > zmq.failing)) {
        errno = zmq.error;
        return 1;
    }
    return 0;
}

static message *alive(fiz_zmq_msg *msg)
{
    message *m = (message *)(void *)msg;

    CHECK(m->state == ALIVE);
    return m;
}

static content *content_new(const void *data, size_t size, fiz_zmq_free release, void *hint)
{
    content *c = malloc(sizeof *c);

    CHECK(c != NULL);
    c->data = release != NULL ? (uint8_t *)(size_t)data : malloc(size + 1);
    c->size = size;
    c->free = release;
    c->hint = hint;
    zmq.contents++;
    return c;
}

static void content_drop(content *c)
{
    if (c == NULL)
        return;
    if (c->free != NULL)
        c->free(c->data, c->hint);
    else
        free(c->data);
    free(c);
    zmq.contents--;
}

static int fake_error(void) { return errno; }

static int fake_init(fiz_zmq_msg *msg)
{
    message *m = (message *)(void *)msg;

    memset(m, 0, sizeof *m);
    m->state = ALIVE;
    zmq.alive++;
    return 0;
}

static int fake_init_size(fiz_zmq_msg *msg, size_t size)
{
    if (fails())
        return -1;
    (void)fake_init(msg);
    alive(msg)->content = content_new(NULL, size, NULL, NULL);
    return 0;
}

static int fake_init_data(fiz_zmq_msg *msg, void *data, size_t size, fiz_zmq_free release,
                          void *hint)
{
    if (fails())
        return -1;
    (void)fake_init(msg);
    alive(msg)->content = content_new(data, size, release, hint);
    return 0;
}

static void spend(message *m)
{
    m->state = SPENT;
    zmq.alive--;
}

static int fake_close(fiz_zmq_msg *msg)
{
    message *m = alive(msg);

    content_drop(m->content);
    spend(m);
    return 0;
}

static int fake_send(fiz_zmq_msg *msg, void *socket, int flags)
{
    message *m = alive(msg);

    CHECK(socket == &zmq);
    if (zmq.dropping) {
        zmq.dropping = (flags & FIZ_ZMQ_SNDMORE) != 0;
        content_drop(m->content);
        spend(m);
        return 0;
    }
    if (fails()) {
        if (errno == EAGAIN && zmq.sent_count > 0) { /* as libzmq, when the connection ends */
            zmq.dropping = (flags & FIZ_ZMQ_SNDMORE) != 0;
            while (zmq.sent_count > 0)
                content_drop(zmq.sent[--zmq.sent_count]);
        }
        return -1;
    }
    CHECK(zmq.sent_count < PARTS_MAX);
    zmq.sent[zmq.sent_count] = m->content;
    zmq.sent_more[zmq.sent_count] = flags & FIZ_ZMQ_SNDMORE;
    zmq.sent_flags[zmq.sent_count++] = flags & ~FIZ_ZMQ_SNDMORE;
    spend(m);
    return 0;
}

static int fake_receive(fiz_zmq_msg *msg, void *socket, int flags)
{
    message *m = alive(msg);

    CHECK(socket == &zmq);
    if (zmq.received == 0)
        zmq.rcvtimeo_while_receiving = flags & FIZ_ZMQ_DONTWAIT ? 0 : zmq.rcvtimeo;
    if (fails())
        return -1;
    if (zmq.received == 0 && !(flags & FIZ_ZMQ_DONTWAIT))
        zmq.slept++;
    if (zmq.received == zmq.incoming
        || (zmq.received == 0 && flags & FIZ_ZMQ_DONTWAIT && zmq.late-- > 0)) {
        errno = EAGAIN;
        return -1;
    }
    content_drop(m->content);
    m->content = content_new(NULL, 1, NULL, NULL);
    m->content->data[0] = (uint8_t)zmq.received++;
    m->more = zmq.received < zmq.incoming;
    return 1;
}

static int fake_move(fiz_zmq_msg *to, fiz_zmq_msg *from)
{
    content_drop(alive(to)->content);
    *alive(to) = *alive(from);
    alive(from)->content = NULL;
    alive(from)->more = 0;
    return 0;
}

static void *fake_data(fiz_zmq_msg *msg) { return alive(msg)->content->data; }

static int fake_more(const fiz_zmq_msg *msg) { return ((const message *)(const void *)msg)->more; }

static int fake_getsockopt(void *socket, int option, void *value, size_t *size)
{
    CHECK(socket == &zmq && option == FIZ_ZMQ_RCVTIMEO && *size == sizeof zmq.rcvtimeo);
    if (fails())
        return -1;
    memcpy(value, &zmq.rcvtimeo, *size);
    return 0;
}

static int fake_setsockopt(void *socket, int option, const void *value, size_t size)
{
    CHECK(socket == &zmq && option == FIZ_ZMQ_RCVTIMEO && size == sizeof zmq.rcvtimeo);
    if (fails()) {
        zmq.failed_restoring = zmq.received > 0 || zmq.rcvtimeo_while_receiving != UNASKED;
        return -1;
    }
    memcpy(&zmq.rcvtimeo, value, size);
    return 0;
}

static const fiz_libzmq fake = {
    .error = fake_error,
    .getsockopt = fake_getsockopt,
    .setsockopt = fake_setsockopt,
    .msg_init = fake_init,
    .msg_init_size = fake_init_size,
    .msg_init_data = fake_init_data,
    .msg_send = fake_send,
    .msg_recv = fake_receive,
    .msg_move = fake_move,
    .msg_close = fake_close,
    .msg_data = fake_data,
    .msg_more = fake_more,
};

static void start_anew(int failing, int error, int always)
{
    memset(&zmq, 0, sizeof zmq);
    zmq.failing = failing;
    zmq.error = error;
    zmq.always = always;
    zmq.rcvtimeo = -1;
}

/* The peer has read everything. */
static void empty_the_wire(void)
{
    for (int i = 0; i < zmq.sent_count; i++)
        content_drop(zmq.sent[i]);
    zmq.sent_count = 0;
    CHECK(zmq.alive == 0 && zmq.contents == 0);
}

/* --- sending --------------------------------------------------------------------- */

typedef struct {
    fiz_hold link;
    int backs;
} owner;

static void count_back(owner *expected)
{
    for (fiz_hold *hold = fiz_messages_done(); hold != NULL; hold = hold->next) {
        CHECK(hold == &expected->link);
        expected->backs++;
    }
}

static const char header[] = "header", body[] = "body";

/* One message with one failure; gives how many calls that may fail were made. */
static int send_once(int delimited, const char *second, size_t size, int in_place, int flags)
{
    owner mine = { { NULL }, 0 };
    const char *expected[3] = { "", header, second };
    const size_t sizes[3] = { 0, sizeof header, size };
    int first = delimited ? 0 : 1, count = second != NULL ? 3 - first : 2 - first, calls;
    int error = fiz_messages_send(&zmq, delimited, header, sizeof header, second, size,
                                  in_place ? &mine.link : NULL, flags);

    calls = zmq.calls;
    CHECK(!zmq.dropping); /* or it would drop the next message */
    CHECK(zmq.sent_count <= count);
    CHECK((error == 0) == (zmq.sent_count == count));
    CHECK(error == 0 || error == zmq.error || error == ENOTSOCK);
    if (error == EINTR)
        CHECK(zmq.sent_count == 0);
    if (zmq.error == EINTR && !zmq.always && zmq.sent_count > 0)
        CHECK(error == 0);
    for (int i = 0; i < zmq.sent_count; i++) {
        content *c = zmq.sent[i];
        CHECK((c == NULL ? 0 : c->size) == sizes[first + i]);
        CHECK(c == NULL || memcmp(c->data, expected[first + i], c->size) == 0);
        CHECK(!zmq.sent_more[i] == (i + 1 == count));
        CHECK(zmq.sent_flags[i] == flags);
    }
    if (in_place && error == 0) {
        count_back(&mine);
        CHECK(mine.backs == 0); /* it is on the wire */
        CHECK(zmq.sent[count - 1]->data == (const uint8_t *)second);
    }
    empty_the_wire();
    count_back(&mine);
    CHECK(mine.backs == (in_place ? 1 : 0));
    return calls;
}

static void send_with_every_call_failing(void)
{
    static const int errors[] = { EINTR, EAGAIN, ENOMEM, ETERM_ };
    int sends = 0;

    for (unsigned kind = 0; kind < 32; kind++)
        for (unsigned e = 0; e < 2 * (sizeof errors / sizeof *errors); e++) {
            int delimited = kind & 1, in_place = (kind & 6) == 6, calls;
            const char *second = kind & 2 ? body : NULL;
            size_t size = kind & 8 ? sizeof body : 0;
            int flags = kind & 16 ? FIZ_ZMQ_DONTWAIT : 0;

            start_anew(-1, 0, 0);
            calls = send_once(delimited, second, size, in_place, flags);
            for (int failing = 0; failing < calls; failing++, sends++) {
                start_anew(failing, errors[e / 2], e % 2);
                (void)send_once(delimited, second, size, in_place, flags);
            }
        }
    CHECK(sends >= 32 * 8 * 2);
}

/* In a forked child every call is interrupted. */
static void interrupts_without_end_are_given_up(void)
{
    start_anew(2, EINTR, 1); /* after header and body were made: the first send */
    CHECK(fiz_messages_send(&zmq, 0, header, sizeof header, body, sizeof body, NULL, 0) == EINTR);
    CHECK(zmq.sent_count == 0);
    empty_the_wire();
    start_anew(3, EINTR, 1);
    CHECK(fiz_messages_send(&zmq, 0, header, sizeof header, body, sizeof body, NULL, 0)
          == ENOTSOCK);
    CHECK(zmq.sent_count == 1 && zmq.calls == 3 + FIZ_INTERRUPTS_MAX);
    empty_the_wire();
}

/* --- receiving ------------------------------------------------------------------- */

static int receive_once(int slice_ms, int flags, int rcvtimeo, int incoming)
{
    fiz_zmq_msg parts[FIZ_PARTS_KEPT];
    unsigned count = 99;
    int error, calls, borrows = slice_ms >= 0 && !(flags & FIZ_ZMQ_DONTWAIT)
                                && (rcvtimeo < 0 || rcvtimeo > slice_ms);

    zmq.rcvtimeo = rcvtimeo;
    zmq.rcvtimeo_while_receiving = UNASKED;
    zmq.incoming = incoming;
    error = fiz_messages_receive(&zmq, parts, &count, slice_ms, flags, NULL);
    calls = zmq.calls;
    if (!zmq.failed_restoring)
        CHECK(zmq.rcvtimeo == rcvtimeo);
    if (zmq.rcvtimeo_while_receiving != UNASKED)
        CHECK(zmq.rcvtimeo_while_receiving
              == (flags & FIZ_ZMQ_DONTWAIT ? 0 : borrows ? slice_ms : rcvtimeo));
    if (error) {
        CHECK(count == 0);
        CHECK(error == zmq.error || error == ENOTSOCK || error == EAGAIN
              || (error == FIZ_SLICE_OVER && borrows));
        if (error == EINTR || error == FIZ_SLICE_OVER)
            CHECK(zmq.received == 0);
        if (incoming == 0 && zmq.failing < 0)
            CHECK(error == (borrows ? FIZ_SLICE_OVER : EAGAIN));
    } else {
        CHECK(zmq.received == incoming);
        CHECK(count == (incoming < FIZ_PARTS_KEPT ? (unsigned)incoming : FIZ_PARTS_KEPT));
    }
    CHECK(zmq.alive == (int)count);
    for (unsigned i = 0; i < count; i++) {
        CHECK(*(uint8_t *)fake_data(&parts[i]) == i);
        CHECK(!fake_more(&parts[i]) == ((int)i + 1 == incoming));
        (void)fake_close(&parts[i]);
    }
    CHECK(zmq.alive == 0 && zmq.contents == 0);
    return calls;
}

static void receive_with_every_call_failing(void)
{
    static const int errors[] = { EINTR, EAGAIN, ENOMEM, ETERM_ };
    static const int slices[] = { -1, 0, 50 }, timeouts[] = { -1, 0, 50, 1000 };

    for (unsigned kind = 0; kind < 6 * 2 * 3 * 4; kind++)
        for (unsigned e = 0; e < 2 * (sizeof errors / sizeof *errors); e++) {
            int incoming = (int)kind % 6, flags = kind / 6 % 2 ? FIZ_ZMQ_DONTWAIT : 0;
            int slice_ms = slices[kind / 12 % 3], rcvtimeo = timeouts[kind / 36];
            int calls;

            start_anew(-1, 0, 0);
            calls = receive_once(slice_ms, flags, rcvtimeo, incoming);
            for (int failing = 0; failing < calls; failing++) {
                start_anew(failing, errors[e / 2], e % 2);
                (void)receive_once(slice_ms, flags, rcvtimeo, incoming);
            }
        }
}

static int look_once(fiz_spin *spin, int slice_ms, int rcvtimeo, int late)
{
    fiz_zmq_msg parts[FIZ_PARTS_KEPT];
    unsigned count = 99;
    int error;

    zmq.rcvtimeo = rcvtimeo;
    zmq.incoming = late < 0 ? 0 : 2;
    zmq.late = late;
    zmq.received = zmq.slept = 0;
    error = fiz_messages_receive(&zmq, parts, &count, slice_ms, 0, spin);
    CHECK(count == (error ? 0u : 2u) && zmq.rcvtimeo == rcvtimeo);
    for (unsigned i = 0; i < count; i++)
        (void)fake_close(&parts[i]);
    CHECK(zmq.alive == 0 && zmq.contents == 0);
    return error;
}

static void who_waits_looks_before_it_sleeps(void)
{
    fiz_spin spin = { 0 };

    start_anew(-1, 0, 0);
    CHECK(look_once(&spin, 50, -1, 1) == 0 && zmq.slept == 1); /* it has learned nothing yet */
    spin.span_ns = FIZ_SPIN_MAX_NS;
    CHECK(look_once(&spin, 50, -1, 1) == 0 && zmq.slept == 0);
    CHECK(look_once(&spin, 50, 1000, 0) == 0 && zmq.slept == 0);
    CHECK(look_once(&spin, 50, 0, 1) == 0 && zmq.slept == 1); /* RCVTIMEO 0: no waiting at all */
    CHECK(look_once(&spin, 0, -1, 1) == 0 && zmq.slept == 1);
    CHECK(look_once(&spin, -1, -1, 1) == 0 && zmq.slept == 1);
    CHECK(look_once(NULL, 50, -1, 1) == 0 && zmq.slept == 1);
    CHECK(spin.span_ns == FIZ_SPIN_MAX_NS);
    /* looking ends, and what does not come is told as ever */
    CHECK(look_once(&spin, 50, -1, -1) == FIZ_SLICE_OVER && zmq.slept == 1);
    spin.span_ns = FIZ_SPIN_MAX_NS;
    CHECK(look_once(&spin, 50, 10, -1) == EAGAIN && zmq.slept == 1);
}

static void errors_end_the_looking(void)
{
    static const int errors[] = { EINTR, ENOMEM, ETERM_ };

    for (unsigned e = 0; e < sizeof errors / sizeof *errors; e++) {
        fiz_spin spin = { FIZ_SPIN_MAX_NS };
        start_anew(2, errors[e], 0); /* after RCVTIMEO was asked for and one look */
        CHECK(look_once(&spin, 50, -1, 9) == errors[e] && zmq.slept == 0);
        CHECK(zmq.calls == 3);
    }
}

static void looking_follows_the_waits(void)
{
    fiz_spin spin = { 0 };

    for (unsigned i = 0; i < 5; i++)
        fiz_spin_learn(&spin, FIZ_SPIN_MAX_NS);
    CHECK(spin.span_ns == 16 * FIZ_SPIN_START_NS);
    fiz_spin_learn(&spin, FIZ_SPIN_START_NS); /* it came while it looked */
    CHECK(spin.span_ns == 16 * FIZ_SPIN_START_NS);
    fiz_spin_learn(&spin, FIZ_SPIN_MAX_NS);
    CHECK(spin.span_ns == FIZ_SPIN_MAX_NS);
    fiz_spin_learn(&spin, FIZ_SPIN_MAX_NS);
    CHECK(spin.span_ns == FIZ_SPIN_MAX_NS);
    fiz_spin_learn(&spin, FIZ_SPIN_MAX_NS + 1); /* a camera's pace: no more of it */
    CHECK(spin.span_ns == 0);
    fiz_spin_learn(&spin, 33 * 1000 * 1000);
    CHECK(spin.span_ns == 0);
}

static void a_file_without_libzmq_leaves_the_table_alone(void)
{
    fiz_error error;

    CHECK(fiz_libzmq_attach("/no/such/file.so", &error) == FIZ_REFUSED);
    CHECK(strstr(error.text, "/no/such/file.so") != NULL);
    CHECK(fiz_zmq.msg_send == fake_send);
}

/* --- bodies given back by another thread, as libzmq's I/O thread does ------------- */

enum { HOLDS = 20000, ROOM = 16 };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t change;
    content *queue[ROOM];
    int count, over;
    unsigned long sum; /* of what was read; the reader's own until it is joined */
} io = { .mutex = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER };

static int queue_send(fiz_zmq_msg *msg, void *socket, int flags)
{
    message *m = alive(msg);

    (void)socket;
    pthread_mutex_lock(&io.mutex);
    while (io.count == ROOM)
        pthread_cond_wait(&io.change, &io.mutex);
    if (flags & FIZ_ZMQ_SNDMORE) { /* the header */
        content_drop(m->content);
    } else {
        io.queue[io.count++] = m->content;
        zmq.contents--;
        pthread_cond_broadcast(&io.change);
    }
    pthread_mutex_unlock(&io.mutex);
    spend(m);
    return 0;
}

static void *read_and_give_up(void *unused)
{
    for (;;) {
        content *c;
        pthread_mutex_lock(&io.mutex);
        while (io.count == 0 && !io.over)
            pthread_cond_wait(&io.change, &io.mutex);
        if (io.count == 0) {
            pthread_mutex_unlock(&io.mutex);
            return unused;
        }
        c = io.queue[--io.count];
        pthread_cond_broadcast(&io.change);
        pthread_mutex_unlock(&io.mutex);
        io.sum += c->data[0];
        c->free(c->data, c->hint);
        free(c);
    }
}

typedef struct {
    fiz_hold link;
    uint8_t body[8];
} parcel;

static int unwrap_done(void)
{
    int count = 0;

    for (fiz_hold *hold = fiz_messages_done(), *next; hold != NULL; hold = next) {
        next = hold->next;
        memset(hold, 0, sizeof(parcel)); /* nobody reads it any more */
        free(hold);
        count++;
    }
    return count;
}

static void another_thread_gives_bodies_back(void)
{
    pthread_t reader;
    unsigned long expected = 0;
    int back = 0;

    start_anew(-1, 0, 0);
    fiz_zmq.msg_send = queue_send;
    CHECK(pthread_create(&reader, NULL, read_and_give_up, NULL) == 0);
    for (int i = 0; i < HOLDS; i++) {
        parcel *p = malloc(sizeof *p);
        CHECK(p != NULL);
        memset(p->body, i & 0x7F, sizeof p->body);
        expected += p->body[0];
        CHECK(fiz_messages_send(&zmq, 0, header, sizeof header, p->body, sizeof p->body, &p->link,
                                0)
              == 0);
        back += unwrap_done();
    }
    pthread_mutex_lock(&io.mutex);
    io.over = 1;
    pthread_cond_broadcast(&io.change);
    pthread_mutex_unlock(&io.mutex);
    CHECK(pthread_join(reader, NULL) == 0);
    back += unwrap_done();
    CHECK(back == HOLDS && io.sum == expected);
    CHECK(zmq.alive == 0 && zmq.contents == 0);
    fiz_zmq = fake;
}

void run_message_tests(void)
{
    fiz_zmq = fake;
    RUN(send_with_every_call_failing);
    RUN(interrupts_without_end_are_given_up);
    RUN(receive_with_every_call_failing);
    RUN(who_waits_looks_before_it_sleeps);
    RUN(errors_end_the_looking);
    RUN(looking_follows_the_waits);
    RUN(a_file_without_libzmq_leaves_the_table_alone);
}

void run_message_thread_tests(void)
{
    fiz_zmq = fake;
    RUN(another_thread_gives_bodies_back);
}

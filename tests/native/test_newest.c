/* The newest frames: the scanner of headers, the table, and the drain over a libzmq of its own. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "native/drain.h"
#include "native/header.h"
#include "native/libzmq.h"
#include "native/newest.h"

/* --- the scanner ------------------------------------------------------------------ */

/* Bytes whose end is the end of a page. */
static fence fenced(const char *text, size_t size)
{
    fence f = fence_new(size);

    memcpy(f.data, text, size);
    return f;
}

static int is(fiz_text text, const char *expected)
{
    return text.size == strlen(expected)
           && (text.size == 0 || memcmp(text.start, expected, text.size) == 0);
}

static void a_header_tells_its_message(void)
{
    static const struct {
        const char *header, *message;
        int64_t sequence;
    } cases[] = {
        { "{\"msg\": \"a\"}", "\"a\"", -1 },
        { " {\"msg\":1 , \"seq\" : 12}\n", "1", 12 },
        { "{\"seq\": 1, \"msg\": {\"a\": [\"}\", 2]}, \"x\": []}", "{\"a\": [\"}\", 2]}", 1 },
        { "{\"msg\": 1, \"msg\": \"\\\"\\\\\"}", "\"\\\"\\\\\"", -1 },
        { "{\"\\u006d\\u0073g\": null}", "null", -1 },
        { "{\"msg\": 1, \"seq\": 1.0}", "1", -1 },
        { "{\"msg\": 1, \"seq\": -1}", "1", -1 },
        { "{\"msg\": 1, \"seq\": 999999999999999999}", "1", 999999999999999999 },
        { "{\"msg\": 1, \"seq\": 1000000000000000000}", "1", -1 },
        { "{\"msg\": 1} {", "", -1 },
        { "{\"msg\": }", "", -1 },
        { "{\"msg\": [}", "", -1 },
        { "{\"msg\": \"", "", -1 },
        { "{\"msg\": \"\\", "", -1 },
        { "{\"msg\"", "", -1 },
        { "{\"ms\\u006", "", -1 },
        { "{\"ms\\", "", -1 },
        { "{", "", -1 },
        { "[]", "", -1 },
        { "", "", -1 },
    };

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        fence f = fenced(cases[i].header, strlen(cases[i].header));
        fiz_header header;
        int error = fiz_header_read((char *)f.data, strlen(cases[i].header), &header);

        CHECK((error == 0) == (cases[i].message[0] != 0));
        if (error == 0) {
            CHECK(is(header.message, cases[i].message));
            CHECK(header.sequence == cases[i].sequence);
            CHECK((header.checksum != 0) == (header.sequence >= 0));
        }
        fence_free(&f);
    }
}

static void a_member_is_found(void)
{
    static const char object[] = "{\"a\": {\"b\": 1}, \"b\": [2], \"k\\u00fc\": 3, \"b\": 4}";
    fiz_text text = { object, sizeof object - 1 };

    CHECK(is(fiz_header_member(text, (fiz_text){ "a", 1 }), "{\"b\": 1}"));
    CHECK(is(fiz_header_member(text, (fiz_text){ "b", 1 }), "4"));
    CHECK(is(fiz_header_member(text, (fiz_text){ "k\\u00FC", 7 }), "3"));
    CHECK(fiz_header_member(text, (fiz_text){ "c", 1 }).size == 0);
    CHECK(fiz_header_member((fiz_text){ "[1]", 3 }, (fiz_text){ "c", 1 }).size == 0);
}

/* Whatever stands there, what is found lies within. */
static void any_bytes_are_scanned(void)
{
    static const char *const pieces[] = { "{",      "}",  "[",    "]",      "\"",   ":",   ",",
                                          "\"msg\"", " ",  "\\",   "\\u00",  "\\\"", "1",   "seq",
                                          "null",   "\n", "\"m\"", "{\"msg\": ", "\xff", "\"seq\": 7" };
    uint64_t state = 7;

    for (int round = 0; round < 100000; round++) {
        char text[256];
        size_t size = 0;
        fence f;
        fiz_header header;

        for (int piece = 0; piece < 12; piece++) {
            const char *p;
            state = state * 6364136223846793005u + 1442695040888963407u;
            p = pieces[(state >> 33) % (sizeof pieces / sizeof *pieces)];
            if (piece == 0 && state >> 63)
                p = "{\"msg\": ";
            memcpy(text + size, p, strlen(p));
            size += strlen(p);
        }
        if (round % 50 == 0) { /* a page each takes its time */
            f = fenced(text, size);
        } else {
            f.data = malloc(size);
            CHECK(f.data != NULL);
            memcpy(f.data, text, size);
        }
        if (fiz_header_read((char *)f.data, size, &header) == 0) {
            fiz_text member = fiz_header_member(header.message, (fiz_text){ "m", 1 });
            CHECK(header.message.start >= (char *)f.data);
            CHECK(header.message.start + header.message.size <= (char *)f.data + size);
            CHECK(member.size == 0
                  || (member.start > header.message.start
                      && member.start + member.size
                             < header.message.start + header.message.size));
        }
        if (round % 50 == 0)
            fence_free(&f);
        else
            free(f.data);
    }
}

/* --- the table --------------------------------------------------------------------- */

static int frames[100];

static void *put(fiz_newest *t, const char *key, int64_t sequence, int frame)
{
    fiz_ticket ticket = { key, strlen(key), sequence, 77 };

    return fiz_newest_put(t, &ticket, &frames[frame]);
}

static int take(fiz_newest *t)
{
    fiz_camera taken;

    return fiz_newest_take(t, 0, &taken) == 1 ? (int)((int *)taken.frame - frames) : -1;
}

static int dropped_count;

static void count_dropped(void *frame)
{
    CHECK(frame != NULL);
    dropped_count++;
}

static void cameras_take_turns(void)
{
    fiz_newest *t = fiz_newest_new(3);
    fiz_camera rows[5];

    CHECK(t != NULL && take(t) == -1);
    CHECK(put(t, "a", -1, 1) == NULL && put(t, "b", -1, 2) == NULL && put(t, "c", -1, 3) == NULL);
    CHECK(put(t, "a", -1, 4) == &frames[1]);
    CHECK(take(t) == 4);
    CHECK(put(t, "a", -1, 5) == NULL);
    CHECK(take(t) == 2 && take(t) == 3 && take(t) == 5 && take(t) == -1);
    CHECK(put(t, "", -1, 6) == NULL); /* what is no frame takes no camera's place */
    CHECK(put(t, "", -1, 7) == &frames[6]);
    CHECK(fiz_newest_count(t).cameras == 3 && fiz_newest_count(t).malformed == 1);
    CHECK(put(t, "b", -1, 8) == NULL);
    CHECK(put(t, "d", -1, 9) == NULL); /* c is forgotten, and had nothing new */
    CHECK(put(t, "e", -1, 10) == NULL && fiz_newest_count(t).forgotten == 2); /* a */
    CHECK(put(t, "f", -1, 11) == &frames[8]); /* b */
    CHECK(fiz_newest_list(t, rows, 2) == 2 && fiz_newest_list(t, rows, 5) == 3);
    CHECK(rows[0].key[0] == 'f' && rows[1].key[0] == 'e' && rows[2].key[0] == 'd');
    CHECK(fiz_newest_take(t, 0, NULL) == 1); /* it only looks */
    CHECK(take(t) == 7 && take(t) == 9);
    fiz_newest_close(t);
    CHECK(put(t, "f", -1, 12) == &frames[12] && put(t, "g", -1, 13) == &frames[13]);
    CHECK(fiz_newest_take(t, 1000, NULL) == -1);
    dropped_count = 0;
    fiz_newest_free(t, count_dropped);
    CHECK(dropped_count == 2);
}

static void gaps_are_counted_and_doubles_given_back(void)
{
    fiz_newest *t = fiz_newest_new(3);
    fiz_camera row;

    CHECK(put(t, "a", 5, 1) == NULL && take(t) == 1);
    CHECK(put(t, "a", 5, 2) == &frames[2]); /* the same frame again, and it was taken */
    CHECK(put(t, "a", 8, 3) == NULL);
    CHECK(put(t, "a", 8, 4) == &frames[3]); /* it waits: the later one can be replied to */
    CHECK(take(t) == 4);
    CHECK(put(t, "a", 0, 5) == NULL); /* a sender that was restarted */
    CHECK(put(t, "a", 1, 6) == &frames[5]);
    CHECK(fiz_newest_list(t, &row, 1) == 1 && row.numbered && row.gaps == 2);
    CHECK(row.received == 6 && row.delivered == 2 && row.dropped == 3);
    CHECK(put(t, "b", -1, 7) == NULL);
    CHECK(fiz_newest_list(t, &row, 1) == 1 && !row.numbered);
    fiz_newest_free(t, count_dropped);
}

static void long_keys_are_told_apart(void)
{
    static char a[5000], b[5000];
    fiz_newest *t = fiz_newest_new(10);

    memset(a, 'x', sizeof a - 1);
    memset(b, 'x', sizeof b - 1);
    b[4000] = 'y';
    CHECK(put(t, a, -1, 1) == NULL && put(t, b, -1, 2) == NULL);
    CHECK(put(t, a, -1, 3) == &frames[1]);
    fiz_newest_free(t, count_dropped);
}

static void a_table_without_memory(void)
{
    fiz_newest *t;

    allocations_left = 0;
    CHECK(fiz_newest_new(3) == NULL);
    allocations_left = -1;
    t = fiz_newest_new(3);
    allocations_left = 0;
    CHECK(put(t, "a", -1, 1) == &frames[1]);
    allocations_left = -1;
    CHECK(put(t, "a", -1, 1) == NULL);
    fiz_newest_free(t, count_dropped);
}

/* Several threads put and take; each frame comes out once, in order. */

enum { CAMERAS = 5, EACH = 20000, TAKERS = 3 };

typedef struct {
    int camera, number;
} numbered;

static struct {
    fiz_newest *table;
    atomic_int taken, homeless;
} shared;

static void *put_many(void *camera)
{
    char key[2] = { (char)('a' + (int)(uintptr_t)camera), 0 };

    for (int i = 0; i < EACH; i++) {
        numbered *frame = malloc(sizeof *frame);
        fiz_ticket ticket = { key, 1, i, 0 };
        void *older;

        CHECK(frame != NULL);
        *frame = (numbered){ (int)(uintptr_t)camera, i };
        older = fiz_newest_put(shared.table, &ticket, frame);
        if (older != NULL) {
            CHECK(((numbered *)older)->number < i);
            free(older);
            atomic_fetch_add(&shared.homeless, 1);
        }
    }
    return NULL;
}

static void *take_many(void *unused)
{
    int last[CAMERAS] = { -1, -1, -1, -1, -1 }, result;
    fiz_camera taken;

    while ((result = fiz_newest_take(shared.table, 5, &taken)) >= 0)
        if (result > 0) {
            numbered *frame = taken.frame;
            CHECK(frame->number > last[frame->camera]);
            last[frame->camera] = frame->number;
            CHECK(taken.key[0] == 'a' + frame->camera);
            free(frame);
            atomic_fetch_add(&shared.taken, 1);
        }
    return unused;
}

static void many_put_and_take(void)
{
    pthread_t putters[CAMERAS], takers[TAKERS];
    fiz_camera rows[CAMERAS];
    uint64_t dropped = 0;

    shared.table = fiz_newest_new(CAMERAS);
    for (uintptr_t i = 0; i < CAMERAS; i++)
        CHECK(pthread_create(&putters[i], NULL, put_many, (void *)i) == 0);
    for (int i = 0; i < TAKERS; i++)
        CHECK(pthread_create(&takers[i], NULL, take_many, NULL) == 0);
    for (int i = 0; i < CAMERAS; i++)
        CHECK(pthread_join(putters[i], NULL) == 0);
    while (fiz_newest_take(shared.table, 0, NULL) == 1)
        usleep(1000);
    CHECK(fiz_newest_list(shared.table, rows, CAMERAS) == CAMERAS);
    for (int i = 0; i < CAMERAS; i++) {
        CHECK(rows[i].received == EACH && rows[i].gaps == 0);
        dropped += rows[i].dropped;
    }
    fiz_newest_close(shared.table);
    for (int i = 0; i < TAKERS; i++)
        CHECK(pthread_join(takers[i], NULL) == 0);
    CHECK(dropped == (uint64_t)atomic_load(&shared.homeless));
    CHECK(atomic_load(&shared.taken) + atomic_load(&shared.homeless) == CAMERAS * EACH);
    fiz_newest_free(shared.table, count_dropped);
}

/* --- the drain, over a libzmq that is a queue of parts ------------------------------- */

typedef struct {
    char *data;
    size_t size;
    int more;
} part;

enum { ROOM = 64, ROOM_OUT = 1024 };

static struct {
    pthread_mutex_t mutex;
    part incoming[ROOM], outgoing[ROOM_OUT];
    int in_first, in_last, out_count;
    int alive;   /* parts with data */
    int failing; /* an errno that the next receive fails with */
    int wakes[2];
} net = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static part *part_of(const fiz_zmq_msg *msg) { return (part *)(size_t)msg; }

static int net_error(void) { return errno; }

static int net_init(fiz_zmq_msg *msg)
{
    memset(msg, 0, sizeof *msg);
    return 0;
}

static int net_init_size(fiz_zmq_msg *msg, size_t size)
{
    part *p = part_of(msg);

    net_init(msg);
    p->data = malloc(size + 1);
    p->size = size;
    pthread_mutex_lock(&net.mutex);
    net.alive++;
    pthread_mutex_unlock(&net.mutex);
    return 0;
}

static int net_close(fiz_zmq_msg *msg)
{
    part *p = part_of(msg);

    if (p->data != NULL) {
        free(p->data);
        pthread_mutex_lock(&net.mutex);
        net.alive--;
        pthread_mutex_unlock(&net.mutex);
    }
    return net_init(msg);
}

static int net_move(fiz_zmq_msg *to, fiz_zmq_msg *from)
{
    net_close(to);
    *to = *from;
    return net_init(from);
}

static void *net_data(fiz_zmq_msg *msg) { return part_of(msg)->data; }
static size_t net_size(const fiz_zmq_msg *msg) { return part_of(msg)->size; }
static int net_more(const fiz_zmq_msg *msg) { return part_of(msg)->more; }

static const char *net_gets(const fiz_zmq_msg *msg, const char *property)
{
    CHECK(part_of(msg)->data != NULL && strcmp(property, "Peer-Address") == 0);
    return "10.0.0.7";
}

static int net_recv(fiz_zmq_msg *msg, void *socket, int flags)
{
    int error = 0;

    (void)flags;
    CHECK(socket == &net);
    pthread_mutex_lock(&net.mutex);
    if (net.failing || net.in_first == net.in_last) {
        error = net.failing ? net.failing : EAGAIN;
        net.failing = 0;
    } else {
        part *p = &net.incoming[net.in_first++ % ROOM];
        pthread_mutex_unlock(&net.mutex);
        net_close(msg);
        pthread_mutex_lock(&net.mutex);
        *part_of(msg) = *p;
    }
    pthread_mutex_unlock(&net.mutex);
    errno = error;
    return error ? -1 : 0;
}

static int net_send(fiz_zmq_msg *msg, void *socket, int flags)
{
    CHECK(socket == &net && flags & FIZ_ZMQ_DONTWAIT);
    pthread_mutex_lock(&net.mutex);
    CHECK(net.out_count < ROOM_OUT);
    net.outgoing[net.out_count] = *part_of(msg);
    net.outgoing[net.out_count++].more = flags & FIZ_ZMQ_SNDMORE;
    pthread_mutex_unlock(&net.mutex);
    return net_init(msg);
}

static int net_poll(fiz_zmq_pollitem *items, int count, long timeout_ms)
{
    uint64_t end = fiz_spin_clock() + (uint64_t)timeout_ms * 1000000u;

    CHECK(items[0].socket == &net && count <= 3);
    for (;;) {
        fd_set set;
        struct timeval soon = { 0, 1000 };
        FD_ZERO(&set);
        FD_SET(items[1].fd, &set);
        if (count == 3)
            FD_SET(items[2].fd, &set);
        (void)select(FD_SETSIZE, &set, NULL, NULL, &soon);
        items[1].revents = FD_ISSET(items[1].fd, &set) != 0;
        items[2].revents = count == 3 && FD_ISSET(items[2].fd, &set);
        pthread_mutex_lock(&net.mutex);
        items[0].revents = net.failing || net.in_first != net.in_last;
        pthread_mutex_unlock(&net.mutex);
        if (items[0].revents || items[1].revents || items[2].revents)
            return 1;
        if (timeout_ms >= 0 && fiz_spin_clock() >= end)
            return 0;
    }
}

static const fiz_libzmq over_net = {
    .error = net_error,
    .msg_init = net_init,
    .msg_init_size = net_init_size,
    .msg_send = net_send,
    .msg_recv = net_recv,
    .msg_move = net_move,
    .msg_close = net_close,
    .msg_data = net_data,
    .msg_size = net_size,
    .msg_more = net_more,
    .msg_gets = net_gets,
    .poll = net_poll,
};

/* Puts a message of these parts, up to NULL, on the way. */
static void arrive(const char *first, ...)
{
    va_list more;
    const char *text = first;

    va_start(more, first);
    pthread_mutex_lock(&net.mutex);
    while (text != NULL) {
        const char *next = va_arg(more, const char *);
        CHECK(net.in_last - net.in_first < ROOM);
        net.incoming[net.in_last++ % ROOM] = (part){ strdup(text), strlen(text), next != NULL };
        net.alive++;
        text = next;
    }
    pthread_mutex_unlock(&net.mutex);
    va_end(more);
}

/* The reply that was sent first must be of these parts, up to NULL. */
static void replied(const char *first, ...)
{
    va_list more;
    int count = 0;

    va_start(more, first);
    pthread_mutex_lock(&net.mutex);
    for (const char *text = first; text != NULL; text = va_arg(more, const char *), count++) {
        part *p = &net.outgoing[count];
        CHECK(count < net.out_count && p->size == strlen(text));
        CHECK(memcmp(p->data, text, p->size) == 0);
    }
    CHECK(count == 0 ? net.out_count == 0 : !net.outgoing[count - 1].more);
    for (int i = 0; i < count; i++) {
        free(net.outgoing[i].data);
        net.alive--;
    }
    net.out_count -= count;
    memmove(net.outgoing, net.outgoing + count, (size_t)net.out_count * sizeof *net.outgoing);
    pthread_mutex_unlock(&net.mutex);
    va_end(more);
}

static void wake(char byte) { CHECK(write(net.wakes[1], &byte, 1) == 1); }

/* Runs until all that is on its way has been taken. */
static int run_through(fiz_drain *drain)
{
    wake(FIZ_STOP);
    return fiz_drain_run(drain, &net, net.wakes[0], -1, -1);
}

static fiz_arrival *taken_from(fiz_newest *table)
{
    fiz_camera taken;

    CHECK(fiz_newest_take(table, 0, &taken) == 1);
    return taken.frame;
}

static void set_up(fiz_drain *drain, int routed, fiz_camera_kind kind)
{
    fiz_zmq = over_net;
    CHECK(pipe(net.wakes) == 0 && fcntl(net.wakes[0], F_SETFL, O_NONBLOCK) == 0);
    CHECK(fiz_drain_init(drain, fiz_newest_new(8), routed, kind, (fiz_text){ "n", 1 }) == 0);
}

static void take_down(fiz_drain *drain)
{
    fiz_drain_end(drain);
    fiz_newest_free(drain->newest, fiz_arrival_free);
    CHECK(net.alive == 0 && net.out_count == 0);
    close(net.wakes[0]);
    close(net.wakes[1]);
}

static void the_drain_keeps_the_newest(void)
{
    fiz_drain drain;
    fiz_arrival *arrival;

    set_up(&drain, 0, FIZ_BY_MESSAGE);
    arrive("{\"msg\": 1}", "first", NULL);
    arrive("{\"msg\": 1}", "second", NULL);
    arrive("alone", NULL);
    arrive("{\"msg\": 1}", "2", "3", "4", "5", NULL);
    CHECK(run_through(&drain) == 0);
    arrival = taken_from(drain.newest);
    CHECK(arrival->count == 2 && !arrival->malformed && arrival->envelope_count == 0);
    CHECK(strcmp(net_data(&arrival->parts[1]), "second") == 0 || net_size(&arrival->parts[1]) == 6);
    fiz_arrival_free(arrival);
    arrival = taken_from(drain.newest);
    CHECK(arrival->malformed && arrival->count == 3);
    fiz_arrival_free(arrival);
    CHECK(fiz_newest_take(drain.newest, 0, NULL) == 0);
    net.failing = EINTR;
    arrive("{\"msg\": 2}", "interrupted", NULL);
    CHECK(run_through(&drain) == 0 && fiz_newest_take(drain.newest, 0, NULL) == 1);
    net.failing = ENOTSOCK;
    CHECK(run_through(&drain) == ENOTSOCK);
    allocations_left = 0;
    arrive("{\"msg\": 3}", "no memory", NULL);
    CHECK(run_through(&drain) == ENOMEM);
    allocations_left = -1;
    CHECK(run_through(&drain) == 0 && fiz_newest_count(drain.newest).cameras == 3);
    take_down(&drain);
}

static void the_drain_answers(void)
{
    fiz_drain drain;
    fiz_arrival *arrival;

    set_up(&drain, 1, FIZ_BY_MEMBER);
    arrive("peer", "", "{\"msg\": {\"n\": 1, \"t\": 1}}", "old", NULL);
    arrive("other", "id", "", "{\"msg\": {\"n\": 1, \"t\": 2}}", "new", NULL);
    arrive("silent", "no delimiter", NULL);
    arrive("deep", "1", "2", "3", "", "{\"msg\": {\"n\": 1}}", "", NULL);
    arrive("short", "", NULL);
    CHECK(run_through(&drain) == 0);
    replied("peer", "", "OK", NULL);
    replied(NULL);
    arrive("peer", "", "one", NULL);
    arrive("peer", "", "two", NULL);
    CHECK(run_through(&drain) == 0);
    replied("peer", "", "ERROR: the message is no frame", NULL);
    arrival = taken_from(drain.newest);
    CHECK(arrival->count == 2);
    CHECK(fiz_drain_reply(&drain, arrival, "mine", 4) == 0);
    CHECK(fiz_drain_reply(&drain, taken_from(drain.newest), "", 0) == 0);
    replied(NULL); /* it is not awake */
    CHECK(run_through(&drain) == 0);
    replied("other", "id", "", "mine", NULL);
    replied("peer", "", "", NULL);
    arrive("peer", "", "{\"msg\": 1}", "", NULL);
    CHECK(run_through(&drain) == 0);
    CHECK(fiz_drain_reply(&drain, taken_from(drain.newest), "too late", 8) == 0);
    take_down(&drain);
}

static void a_peer_is_a_camera(void)
{
    fiz_drain drain;
    fiz_camera row;

    set_up(&drain, 0, FIZ_BY_PEER);
    arrive("{\"msg\": 1}", "", NULL);
    arrive("{\"msg\": 2}", "", NULL);
    CHECK(run_through(&drain) == 0);
    CHECK(fiz_newest_list(drain.newest, &row, 1) == 1 && row.received == 2);
    CHECK(row.key_size == 10 && memcmp(row.key, "\"10.0.0.7\"", 10) == 0);
    take_down(&drain);
}

static void it_stops_for_another_descriptor_and_after_a_time(void)
{
    fiz_drain drain;
    uint64_t began = fiz_spin_clock();
    int other[2];

    set_up(&drain, 0, FIZ_BY_MESSAGE);
    CHECK(pipe(other) == 0);
    arrive("{\"msg\": 1}", "first", NULL);
    CHECK(fiz_drain_run(&drain, &net, net.wakes[0], other[0], 30) == 0);
    CHECK(fiz_spin_clock() - began >= 30000000u);
    fiz_arrival_free(taken_from(drain.newest));
    arrive("{\"msg\": 1}", "second", NULL); /* no time is enough for what is there */
    CHECK(fiz_drain_run(&drain, &net, net.wakes[0], -1, 0) == 0);
    fiz_arrival_free(taken_from(drain.newest));
    arrive("{\"msg\": 1}", "third", NULL);
    CHECK(write(other[1], "x", 1) == 1);
    CHECK(fiz_drain_run(&drain, &net, net.wakes[0], other[0], -1) == 0);
    fiz_arrival_free(taken_from(drain.newest));
    close(other[0]);
    close(other[1]);
    take_down(&drain);
}

static void *run_drain(void *drain)
{
    while (fiz_drain_run(drain, &net, net.wakes[0], -1, -1) == EAGAIN)
        ;
    return NULL;
}

static void it_runs_beside_who_takes_and_replies(void)
{
    enum { FRAMES = 3000 };
    fiz_drain drain;
    pthread_t thread;
    int taken = 0;

    set_up(&drain, 1, FIZ_BY_MESSAGE);
    CHECK(pthread_create(&thread, NULL, run_drain, &drain) == 0);
    for (int i = 0; i < FRAMES; i++) {
        fiz_camera camera;
        int full;
        arrive("peer", "", i % 2 ? "{\"msg\": 1}" : "{\"msg\": 2}", "body", NULL);
        if (fiz_newest_take(drain.newest, 1, &camera) == 1) {
            CHECK(fiz_drain_reply(&drain, camera.frame, "yes", 3) == 0);
            wake('r');
            taken++;
        }
        do { /* what was answered is read, and there is room */
            pthread_mutex_lock(&net.mutex);
            while (net.out_count >= 3) {
                for (int p = 0; p < 3; p++) {
                    free(net.outgoing[net.out_count - 1 - p].data);
                    net.alive -= net.outgoing[net.out_count - 1 - p].data != NULL;
                }
                net.out_count -= 3;
            }
            full = net.in_last - net.in_first > ROOM / 2;
            pthread_mutex_unlock(&net.mutex);
        } while (full);
    }
    wake(FIZ_STOP);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(taken > 0);
    while (net.out_count > 0) {
        free(net.outgoing[--net.out_count].data);
        net.alive--;
    }
    while (net.in_first < net.in_last) {
        free(net.incoming[net.in_first++ % ROOM].data);
        net.alive--;
    }
    take_down(&drain);
}

void run_newest_tests(void)
{
    RUN(a_header_tells_its_message);
    RUN(a_member_is_found);
    RUN(any_bytes_are_scanned);
    RUN(cameras_take_turns);
    RUN(gaps_are_counted_and_doubles_given_back);
    RUN(long_keys_are_told_apart);
    RUN(a_table_without_memory);
    RUN(the_drain_keeps_the_newest);
    RUN(the_drain_answers);
    RUN(a_peer_is_a_camera);
    RUN(it_stops_for_another_descriptor_and_after_a_time);
}

void run_newest_thread_tests(void)
{
    RUN(many_put_and_take);
    RUN(it_runs_beside_who_takes_and_replies);
}

/* Requests and replies over a libzmq that fails on demand: each of its calls in turn. */
#include "check.h"

#include <errno.h>
#include <string.h>

#include "native/libzmq.h"
#include "native/request.h"

enum { ETERM_ = 156384765, ALIVE = 0x600D, PARTS_MAX = 80 };

/* --- a ROUTER to which one message comes after the other --------------------------- */

/* What stands within a fiz_zmq_msg: its memory is a leak where it is not closed or sent. */
typedef struct {
    int state, more;
    char *text;
} message;

static struct {
    int calls, failing, always; /* the failing one of the calls that may fail; and all after it */
    int error;
    int alive;
    const char *const *incoming; /* parts; NULL ends a message, and two of them the last one */
    int more;                    /* RCVMORE */
    char sent[2000];             /* parts, each with a '|', or, if it is a message's last, a '.' */
    int open;                    /* a message was begun, and has not ended */
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

static int fake_error(void) { return errno; }

static int fake_init(fiz_zmq_msg *msg)
{
    message *m = (message *)(void *)msg;

    *m = (message){ ALIVE, 0, calloc(1, 300) };
    CHECK(m->text != NULL);
    zmq.alive++;
    return 0;
}

static int fake_close(fiz_zmq_msg *msg)
{
    message *m = alive(msg);

    free(m->text);
    m->state = 0;
    zmq.alive--;
    return 0;
}

static int fake_init_size(fiz_zmq_msg *msg, size_t size)
{
    CHECK(size < 300);
    return fails() ? -1 : fake_init(msg);
}

static int fake_init_data(fiz_zmq_msg *msg, void *data, size_t size, fiz_zmq_free release,
                          void *hint)
{
    if (fake_init_size(msg, size) != 0)
        return -1;
    memcpy(alive(msg)->text, data, size);
    release(data, hint); /* it has been read at once */
    return 0;
}

static int fake_send(fiz_zmq_msg *msg, void *socket, int flags)
{
    size_t length = strlen(zmq.sent);

    CHECK(socket == &zmq);
    if (fails())
        return -1;
    zmq.open = (flags & FIZ_ZMQ_SNDMORE) != 0;
    (void)snprintf(zmq.sent + length, sizeof zmq.sent - length, "%s%c", alive(msg)->text,
                   zmq.open ? '|' : '.');
    return fake_close(msg);
}

static int fake_receive(fiz_zmq_msg *msg, void *socket, int flags)
{
    message *m = alive(msg);

    (void)flags;
    CHECK(socket == &zmq);
    if (fails())
        return -1;
    if (*zmq.incoming == NULL) {
        errno = EAGAIN;
        return -1;
    }
    (void)snprintf(m->text, 300, "%s", *zmq.incoming++);
    m->more = zmq.more = *zmq.incoming != NULL;
    if (!m->more)
        zmq.incoming++;
    return 1;
}

static int fake_move(fiz_zmq_msg *to, fiz_zmq_msg *from)
{
    (void)fake_close(to);
    memcpy(to, from, sizeof *to);
    return fake_init(from); /* both live on */
}

static void *fake_data(fiz_zmq_msg *msg) { return alive(msg)->text; }
static size_t fake_size(const fiz_zmq_msg *msg)
{
    return strlen(((const message *)(const void *)msg)->text);
}
static int fake_more(const fiz_zmq_msg *msg) { return ((const message *)(const void *)msg)->more; }

static const char *fake_gets(const fiz_zmq_msg *msg, const char *property)
{
    CHECK(strcmp(property, "Peer-Address") == 0);
    return fake_size(msg) % 2 ? "an address that is much longer than any peer's has ever been, or can be"
                              : NULL;
}

static int fake_getsockopt(void *socket, int option, void *value, size_t *size)
{
    CHECK(socket == &zmq && *size == sizeof(int));
    CHECK(option == FIZ_ZMQ_RCVMORE || option == FIZ_ZMQ_TYPE);
    if (fails())
        return -1;
    memcpy(value, &zmq.more, *size);
    return 0;
}

static const fiz_libzmq fake = {
    .error = fake_error,
    .getsockopt = fake_getsockopt,
    .msg_init = fake_init,
    .msg_init_size = fake_init_size,
    .msg_init_data = fake_init_data,
    .msg_send = fake_send,
    .msg_recv = fake_receive,
    .msg_move = fake_move,
    .msg_close = fake_close,
    .msg_data = fake_data,
    .msg_size = fake_size,
    .msg_more = fake_more,
    .msg_gets = fake_gets,
};

static void start_anew(const char *const *incoming, int failing, int error, int always)
{
    memset(&zmq, 0, sizeof zmq);
    zmq.incoming = incoming;
    zmq.failing = failing;
    zmq.error = error;
    zmq.always = always;
}

/* --- whole messages ---------------------------------------------------------------- */

static int receive_whole(fiz_request *request, unsigned *count)
{
    fiz_zmq_msg parts[FIZ_PARTS_KEPT];
    int error, tries = 0;

    do
        error = fiz_request_receive(&zmq, request, parts, count, -1, 0, NULL);
    while ((error == EINTR && ++tries < 3) || error == FIZ_PASSED_OVER);
    for (unsigned i = 0; i < *count; i++)
        (void)fake_close(&parts[i]);
    return error;
}

static int reply_whole(fiz_request *request, const char *reply, int held)
{
    fiz_hold hold = { NULL };
    int error, tries = 0, given_back = 0;

    do {
        tries++;
        error = fiz_request_reply(&zmq, request, reply, strlen(reply), held ? "body" : NULL,
                                  held ? 5 : 0, held ? &hold : NULL, 0);
        for (fiz_hold *back = fiz_messages_done(); back != NULL; back = back->next) {
            CHECK(held && back == &hold);
            given_back++;
        }
    } while (error == EINTR && tries < 3);
    CHECK(given_back == held * tries);
    return error;
}

static const char *const two_requests[] = {
    "id", "junk", NULL,
    "odd", "", NULL,
    "id1", "hop", "", "header", "", "body", "dropped", NULL,
    "id2", "", "second", NULL,
    NULL,
};

static void exchange(int failing, int error, int always, int held)
{
    fiz_request request = { 0 };
    unsigned count = 0;
    int first, second, failed = 0;

    start_anew(two_requests, failing, error, always);
    first = receive_whole(&request, &count);
    CHECK((count == FIZ_PARTS_KEPT) == (first == 0) && (first == 0 || count == 0));
    if (!first) {
        CHECK(request.turn == FIZ_TO_REPLY);
        first = reply_whole(&request, "reply", held);
    }
    failed = first != 0;
    if (request.turn == FIZ_TO_REPLY || request.turn == FIZ_REPLYING) {
        CHECK(failed);
        first = reply_whole(&request, "reply", held); /* it goes on where it was */
    }
    second = receive_whole(&request, &count);
    if (!second)
        second = reply_whole(&request, "reply", held);
    if (error == EINTR && !always)
        CHECK(!failed);
    if (!always && error == ENOMEM)
        CHECK(first == 0 || second == 0);
    if (!failed && !second)
        CHECK(strcmp(zmq.sent, held ? "id1|hop||reply|body.id2||reply|body."
                                    : "id1|hop||reply.id2||reply.") == 0);
    fiz_request_end(&request);
    CHECK(request.count == 0 && request.turn == FIZ_TO_RECEIVE);
    CHECK(zmq.alive == 0);
}

static void requests_with_every_call_failing(void)
{
    static const int errors[] = { EINTR, ENOMEM, ETERM_, EHOSTUNREACH };
    int exchanges = 0;

    for (int held = 0; held < 2; held++) {
        int calls;

        exchange(-1, 0, 0, held);
        calls = zmq.calls;
        CHECK(calls > 20);
        for (unsigned e = 0; e < 2 * sizeof errors / sizeof *errors; e++)
            for (int failing = 0; failing < calls; failing++, exchanges++)
                exchange(failing, errors[e / 2], e % 2, held);
    }
    CHECK(exchanges > 2 * 8 * 20);
}

static void only_in_turn(void)
{
    fiz_request request = { 0 };
    unsigned count = 0;

    start_anew(two_requests, -1, 0, 0);
    CHECK(reply_whole(&request, "early", 0) == FIZ_EFSM);
    CHECK(reply_whole(&request, "early", 1) == FIZ_EFSM);
    CHECK(receive_whole(&request, &count) == 0 && count == FIZ_PARTS_KEPT);
    CHECK(strlen(request.passed_over) == 63); /* what fits */
    CHECK(receive_whole(&request, &count) == FIZ_EFSM && count == 0);
    zmq.failing = zmq.calls;
    zmq.error = ETERM_; /* that is told of first */
    CHECK(receive_whole(&request, &count) == ETERM_);
    CHECK(reply_whole(&request, "reply", 0) == 0);
    CHECK(reply_whole(&request, "late", 0) == FIZ_EFSM);
    CHECK(receive_whole(&request, &count) == 0 && count == 1);
    fiz_request_end(&request); /* with an envelope in hand */
    CHECK(zmq.alive == 0);
}

/* --- part after part --------------------------------------------------------------- */

static void parts_and_wholes_mix(void)
{
    fiz_request request = { 0 };
    fiz_zmq_msg part;
    unsigned count = 0;

    start_anew(two_requests, -1, 0, 0);
    (void)fake_init(&part);
    CHECK(fiz_request_open(&zmq, &request, -1, 0, NULL) == FIZ_PASSED_OVER);
    CHECK(request.passed_over[0] == '\0');
    CHECK(fiz_request_open(&zmq, &request, -1, 0, NULL) == FIZ_PASSED_OVER);
    CHECK(fiz_request_open(&zmq, &request, -1, 0, NULL) == 0);
    CHECK(fake_receive(&part, &zmq, 0) == 1 && strcmp(alive(&part)->text, "header") == 0);
    CHECK(fiz_request_open(&zmq, &request, -1, 0, NULL) == 0); /* it has been */
    CHECK(fiz_request_answer(&zmq, &request) == FIZ_EFSM);
    CHECK(receive_whole(&request, &count) == 0 && count == 3);
    CHECK(fiz_request_answer(&zmq, &request) == 0 && request.turn == FIZ_REPLYING);
    CHECK(fiz_request_answer(&zmq, &request) == 0);
    CHECK(reply_whole(&request, "reply", 0) == 0);
    CHECK(strcmp(zmq.sent, "id1|hop||reply.") == 0);
    CHECK(fiz_request_open(&zmq, &request, -1, 0, NULL) == 0);
    CHECK(fake_receive(&part, &zmq, 0) == 1 && strcmp(alive(&part)->text, "second") == 0);
    CHECK(fiz_request_open(&zmq, &request, -1, 0, NULL) == FIZ_EFSM); /* that was its last */
    CHECK(fiz_request_look(&zmq, &request) == 0 && request.turn == FIZ_TO_REPLY);
    (void)fake_close(&part);
    fiz_request_end(&request);
    CHECK(zmq.alive == 0);
}

static void envelopes_have_an_end(void)
{
    for (int hops = FIZ_HOPS_MAX - 3; hops < FIZ_HOPS_MAX + 3; hops++) {
        const char *incoming[FIZ_HOPS_MAX + 10] = { "id" };
        fiz_request request = { 0 };
        unsigned count;
        int last = hops + 1, fits = last < FIZ_HOPS_MAX;

        for (int i = 1; i < last; i++)
            incoming[i] = "hop";
        incoming[last] = "";
        incoming[last + 1] = "request";
        start_anew(incoming, -1, 0, 0);
        CHECK(receive_whole(&request, &count) == (fits ? 0 : EAGAIN));
        CHECK(request.count == (fits ? (unsigned)last + 1 : 0));
        fiz_request_end(&request);
        CHECK(zmq.alive == 0);
    }
}

void run_request_tests(void)
{
    fiz_libzmq before = fiz_zmq;

    fiz_zmq = fake;
    RUN(requests_with_every_call_failing);
    RUN(only_in_turn);
    RUN(parts_and_wholes_mix);
    RUN(envelopes_have_an_end);
    fiz_zmq = before;
}

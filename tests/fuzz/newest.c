/* libFuzzer: a table of the newest frames beside a model of it that is too simple to be wrong.
 * The first byte says how many cameras there may be; each three that follow are one call: what,
 * of which camera, with which sequence number. */
#include <string.h>

#include "check.h"
#include "native/newest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEYS 16u      /* of key 0, which is empty: what is no frame */
#define CAMERAS_MAX 6 /* fewer than keys */

/* A camera of the model; numbers count calls from 1, 0 is none. */
typedef struct {
    uint64_t seen;  /* its last frame; 0: it is not in the table */
    uint64_t since; /* it has something that waits */
    uint64_t frame;
    int64_t sequence;
    uint64_t checksum, received, delivered, dropped, gaps;
    int numbered;
} row;

typedef struct {
    row rows[KEYS];
    size_t max_cameras, cameras;
    uint64_t now, dropped, forgotten, malformed;
    int closed;
} model;

static uint64_t waiting_left; /* counted by drop() */

static void drop(void *frame)
{
    CHECK(frame != NULL);
    waiting_left++;
}

/* Key i: some share their first 256 bytes and their length, some the hash's bucket. */
static size_t key_of(unsigned i, char *bytes)
{
    static const size_t sizes[KEYS] = { 0, 1, 1, 2, 2, 3, 8, 255, 256, 256, 257, 257, 300, 300, 300, 301 };

    memset(bytes, 'k', sizes[i]);
    if (sizes[i] > 0)
        bytes[sizes[i] - 1] = (char)('a' + i);
    return sizes[i];
}

static row *longest_ago(model *m)
{
    row *oldest = NULL;

    for (unsigned i = 1; i < KEYS; i++)
        if (m->rows[i].seen && (oldest == NULL || m->rows[i].seen < oldest->seen))
            oldest = &m->rows[i];
    return oldest;
}

/* What fiz_newest_put gives back; `frame` is the number of this call. */
static uint64_t put(model *m, unsigned key, int64_t sequence, uint64_t checksum, uint64_t frame)
{
    row *r = &m->rows[key];
    uint64_t homeless = 0;
    int again;

    if (m->closed)
        return frame;
    if (r->seen == 0 && key != 0) {
        *r = (row){ .sequence = -1, .seen = m->now };
        if (++m->cameras > m->max_cameras) {
            row *gone = longest_ago(m);
            homeless = gone->frame;
            m->dropped += gone->frame != 0;
            m->forgotten++;
            m->cameras--;
            *gone = (row){ 0 };
        }
    }
    again = sequence >= 0 && sequence == r->sequence && checksum == r->checksum;
    r->seen = m->now;
    r->received++;
    if (again && r->frame == 0) {
        homeless = frame;
    } else {
        if (r->frame != 0)
            homeless = r->frame;
        else
            r->since = m->now;
        r->frame = frame;
    }
    if (r->received > 1 && homeless != 0) {
        r->dropped++;
        *(key == 0 ? &m->malformed : &m->dropped) += 1;
    }
    r->numbered |= sequence >= 0;
    if (r->sequence >= 0 && sequence > r->sequence)
        r->gaps += (uint64_t)(sequence - r->sequence - 1);
    r->sequence = sequence;
    r->checksum = checksum;
    return homeless;
}

static row *next_turn(model *m)
{
    row *first = NULL;

    for (unsigned i = 0; i < KEYS; i++)
        if (m->rows[i].frame && (first == NULL || m->rows[i].since < first->since))
            first = &m->rows[i];
    return first;
}

static void check_same(const fiz_camera *told, const row *r)
{
    CHECK((uint64_t)(uintptr_t)told->frame == r->frame && told->received == r->received);
    CHECK(told->delivered == r->delivered && told->dropped == r->dropped);
    CHECK(told->gaps == r->gaps && told->numbered == r->numbered);
}

static void take(model *m, fiz_newest *table, int only_look)
{
    row *expected = m->closed ? NULL : next_turn(m);
    fiz_camera taken;
    int result = fiz_newest_take(table, 0, only_look ? NULL : &taken);

    CHECK(result == (m->closed ? -1 : expected != NULL));
    if (result == 1 && !only_look) {
        expected->delivered++;
        check_same(&taken, expected);
        expected->frame = 0;
    }
}

static void check_lists(model *m, fiz_newest *table)
{
    fiz_camera cameras[CAMERAS_MAX + 1];
    fiz_newest_counts counts = fiz_newest_count(table);
    uint64_t before = UINT64_MAX;

    CHECK(counts.cameras == m->cameras && counts.dropped == m->dropped);
    CHECK(counts.forgotten == m->forgotten && counts.malformed == m->malformed);
    CHECK(fiz_newest_list(table, cameras, CAMERAS_MAX + 1) == m->cameras);
    for (size_t n = 0; n < m->cameras; n++) {
        row *next = NULL;
        for (unsigned i = 1; i < KEYS; i++)
            if (m->rows[i].seen < before && (next == NULL || m->rows[i].seen > next->seen))
                next = &m->rows[i];
        CHECK(next != NULL && next->seen != 0);
        check_same(&cameras[n], next);
        before = next->seen;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    model m = { .max_cameras = size > 0 ? 1u + data[0] % CAMERAS_MAX : 1u };
    fiz_newest *table = fiz_newest_new(m.max_cameras);
    uint64_t waiting = 0;

    CHECK(table != NULL);
    m.rows[0].sequence = -1;
    for (size_t at = 1; at + 3 <= size; at += 3) {
        char key[512];
        unsigned of = data[at + 1] % KEYS;
        fiz_ticket ticket = { key, key_of(of, key), (int64_t)data[at + 2] / 2 - 1, data[at + 2] % 2 };
        m.now++;
        switch (data[at] % 8) {
        case 0:
            take(&m, table, 1);
            break;
        case 1:
        case 2:
            take(&m, table, 0);
            break;
        case 3:
            check_lists(&m, table);
            break;
        case 4:
            if (data[at] == 0xFC) { /* now and then */
                fiz_newest_close(table);
                m.closed = 1;
            }
            break;
        default: {
            void *back = fiz_newest_put(table, &ticket, (void *)(uintptr_t)m.now);
            CHECK((uint64_t)(uintptr_t)back
                  == put(&m, of, ticket.sequence, ticket.checksum, m.now));
        }
        }
    }
    check_lists(&m, table);
    for (unsigned i = 0; i < KEYS; i++)
        waiting += m.rows[i].frame != 0;
    waiting_left = 0;
    fiz_newest_free(table, drop);
    CHECK(waiting_left == waiting);
    return 0;
}

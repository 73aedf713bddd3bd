#include "newest.h"

#include <stdlib.h>
#include <string.h>

#include "header.h"
#include "mutex.h"

typedef struct camera {
    struct camera *next;           /* in its bucket */
    struct camera *older, *newer;  /* by when a frame of it came last */
    struct camera *before, *after; /* in the queue; both NULL also for the only one in it */
    uint64_t hash;                 /* of the whole key */
    int64_t sequence;              /* of the frame that came last */
    uint64_t checksum;
    fiz_camera told; /* told.frame: the one that waits, or NULL */
} camera;

struct fiz_newest {
    fiz_mutex mutex;
    fiz_condition change; /* a camera came into the queue, or the end */
    size_t max_cameras;
    /* All that follows is guarded by the mutex, after fiz_newest_new. */
    camera *oldest, *newest;
    camera *first, *last; /* the queue: cameras with a frame that waits */
    camera not_frames;    /* of what is no frame; in no bucket */
    fiz_newest_counts counts;
    uint64_t number;
    int closed;
    size_t mask;
    camera *buckets[];
};

fiz_newest *fiz_newest_new(size_t max_cameras)
{
    size_t buckets = 8;
    fiz_newest *t;

    while (buckets < max_cameras && buckets < (size_t)1 << 20)
        buckets *= 2;
    t = calloc(1, sizeof *t + buckets * sizeof t->buckets[0]);
    if (t == NULL)
        return NULL;
    t->max_cameras = max_cameras;
    t->mask = buckets - 1;
    t->not_frames.sequence = -1;
    if (fiz_mutex_init(&t->mutex) != 0) {
        free(t);
        return NULL;
    }
    if (fiz_condition_init(&t->change) != 0) {
        fiz_mutex_destroy(&t->mutex);
        free(t);
        return NULL;
    }
    return t;
}

void fiz_newest_free(fiz_newest *t, void (*drop)(void *frame))
{
    camera *next;

    if (t->not_frames.told.frame != NULL)
        drop(t->not_frames.told.frame);
    for (camera *c = t->oldest; c != NULL; c = next) {
        next = c->newer;
        if (c->told.frame != NULL)
            drop(c->told.frame);
        free(c);
    }
    fiz_condition_destroy(&t->change);
    fiz_mutex_destroy(&t->mutex);
    free(t);
}

/* What follows, up to fiz_newest_put, is called with the mutex held. */

static size_t kept(size_t key_size)
{
    return key_size < FIZ_KEY_KEPT ? key_size : FIZ_KEY_KEPT;
}

static camera *find(const fiz_newest *t, const fiz_ticket *ticket, uint64_t hash)
{
    camera *c = t->buckets[hash & t->mask];

    while (c != NULL
           && !(c->hash == hash && c->told.key_size == ticket->key_size
                && memcmp(c->told.key, ticket->key, kept(ticket->key_size)) == 0))
        c = c->next;
    return c;
}

static void seen_now(fiz_newest *t, camera *c)
{
    c->older = t->newest;
    c->newer = NULL;
    *(t->newest != NULL ? &t->newest->newer : &t->oldest) = c;
    t->newest = c;
}

static void leave_order(fiz_newest *t, camera *c)
{
    *(c->older != NULL ? &c->older->newer : &t->oldest) = c->newer;
    *(c->newer != NULL ? &c->newer->older : &t->newest) = c->older;
}

static void enqueue(fiz_newest *t, camera *c)
{
    c->before = t->last;
    c->after = NULL;
    *(t->last != NULL ? &t->last->after : &t->first) = c;
    t->last = c;
    fiz_condition_signal(&t->change);
}

static void leave_queue(fiz_newest *t, camera *c)
{
    *(c->before != NULL ? &c->before->after : &t->first) = c->after;
    *(c->after != NULL ? &c->after->before : &t->last) = c->before;
    c->before = c->after = NULL;
}

static void add(fiz_newest *t, camera *c)
{
    c->next = t->buckets[c->hash & t->mask];
    t->buckets[c->hash & t->mask] = c;
    seen_now(t, c);
    t->counts.cameras++;
}

/* Takes the camera last seen longest ago out of everything. */
static camera *forget_oldest(fiz_newest *t)
{
    camera *c = t->oldest, **link = &t->buckets[c->hash & t->mask];

    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    leave_order(t, c);
    if (c->told.frame != NULL) {
        leave_queue(t, c);
        t->counts.dropped++;
    }
    t->counts.cameras--;
    t->counts.forgotten++;
    return c;
}

/* Gives the frame that has lost its place to this one, or this one, or NULL. */
static void *replace(fiz_newest *t, camera *c, const fiz_ticket *ticket, void *frame)
{
    int again = ticket->sequence >= 0 && ticket->sequence == c->sequence
                && ticket->checksum == c->checksum;
    void *older = c->told.frame;

    c->told.received++;
    if (again && older == NULL) {
        older = frame;
    } else {
        if (older == NULL)
            enqueue(t, c);
        c->told.frame = frame;
        c->told.number = t->number++;
    }
    if (older != NULL) {
        c->told.dropped++;
        *(c == &t->not_frames ? &t->counts.malformed : &t->counts.dropped) += 1;
    }
    if (ticket->sequence >= 0) {
        c->told.numbered = 1;
        if (c->sequence >= 0 && ticket->sequence > c->sequence)
            c->told.gaps += (uint64_t)(ticket->sequence - c->sequence - 1);
    }
    c->sequence = ticket->sequence;
    c->checksum = ticket->checksum;
    return older;
}

static camera *camera_new(const fiz_ticket *ticket, uint64_t hash)
{
    camera *c = calloc(1, sizeof *c);

    if (c != NULL) {
        c->hash = hash;
        c->sequence = -1;
        c->told.key_size = ticket->key_size;
        memcpy(c->told.key, ticket->key, kept(ticket->key_size));
    }
    return c;
}

void *fiz_newest_put(fiz_newest *t, const fiz_ticket *ticket, void *frame)
{
    uint64_t hash = fiz_header_hash(ticket->key, ticket->key_size);
    camera *c, *fresh = NULL, *gone = NULL;
    void *homeless = frame;

    fiz_mutex_lock(&t->mutex);
    c = ticket->key_size > 0 ? find(t, ticket, hash) : &t->not_frames;
    if (c == NULL) { /* memory is not asked for under the mutex */
        fiz_mutex_unlock(&t->mutex);
        fresh = camera_new(ticket, hash);
        if (fresh == NULL)
            return frame;
        fiz_mutex_lock(&t->mutex);
        c = find(t, ticket, hash);
    }
    if (!t->closed) {
        if (c == NULL) {
            c = fresh;
            fresh = NULL;
            add(t, c);
            if (t->counts.cameras > t->max_cameras)
                gone = forget_oldest(t);
        } else if (c != &t->not_frames) {
            leave_order(t, c);
            seen_now(t, c);
        }
        homeless = replace(t, c, ticket, frame);
    }
    fiz_mutex_unlock(&t->mutex);
    free(fresh);
    if (gone != NULL) { /* then this frame's camera is new, and had none that waited */
        homeless = gone->told.frame;
        free(gone);
    }
    return homeless;
}

int fiz_newest_take(fiz_newest *t, unsigned ms, fiz_camera *taken)
{
    camera *c;
    int result = 0;

    fiz_mutex_lock(&t->mutex);
    if (t->first == NULL && !t->closed && ms > 0)
        fiz_condition_wait_for(&t->change, &t->mutex, ms);
    c = t->first;
    if (t->closed) {
        result = -1;
    } else if (c != NULL) {
        result = 1;
        if (taken != NULL) {
            leave_queue(t, c);
            c->told.delivered++;
            *taken = c->told;
            c->told.frame = NULL;
        }
        if (t->first != NULL) /* somebody else may have been told of this one */
            fiz_condition_signal(&t->change);
    }
    fiz_mutex_unlock(&t->mutex);
    return result;
}

void fiz_newest_close(fiz_newest *t)
{
    fiz_mutex_lock(&t->mutex);
    t->closed = 1;
    fiz_condition_broadcast(&t->change);
    fiz_mutex_unlock(&t->mutex);
}

fiz_newest_counts fiz_newest_count(fiz_newest *t)
{
    fiz_newest_counts counts;

    fiz_mutex_lock(&t->mutex);
    counts = t->counts;
    fiz_mutex_unlock(&t->mutex);
    return counts;
}

size_t fiz_newest_list(fiz_newest *t, fiz_camera *cameras, size_t room)
{
    size_t count = 0;

    fiz_mutex_lock(&t->mutex);
    for (camera *c = t->newest; c != NULL && count < room; c = c->older)
        cameras[count++] = c->told;
    fiz_mutex_unlock(&t->mutex);
    return count;
}

/* The newest frame of each camera, and nothing older.
 *
 * A table of cameras, each with at most one frame that waits. Who puts a newer one in gets
 * the older one back; who takes gets the frame of the camera whose turn it is: cameras come
 * in the order in which they got something new, so each of them once before any of them
 * again. Frames are pointers, of which this knows nothing. Every function may be called by
 * any thread.
 */
#ifndef FIZ_NEWEST_H
#define FIZ_NEWEST_H

#include <stddef.h>
#include <stdint.h>

#define FIZ_KEY_KEPT 256 /* of a longer key so many bytes, its length and a hash are kept */

typedef struct fiz_newest fiz_newest;

/* Whose frame it is, and which one. */
typedef struct {
    const char *key; /* what tells the camera; empty: what is no frame, a camera of its own */
    size_t key_size;
    int64_t sequence;  /* -1: none */
    uint64_t checksum; /* tells a frame that was sent twice from two with one sequence number */
} fiz_ticket;

/* A camera, or a camera's frame that was taken. */
typedef struct {
    void *frame;
    uint64_t number; /* of the frame, among all that were put here */
    char key[FIZ_KEY_KEPT];
    size_t key_size; /* of the whole key */
    int numbered;    /* whether any frame had a sequence number; without, no gap is seen */
    uint64_t received, delivered, dropped, gaps;
} fiz_camera;

typedef struct {
    size_t cameras;
    uint64_t dropped;   /* frames of all cameras, also of those forgotten */
    uint64_t forgotten; /* cameras */
    uint64_t malformed; /* of what is no frame: dropped */
} fiz_newest_counts;

/* NULL: no memory. */
fiz_newest *fiz_newest_new(size_t max_cameras);

/* Nobody else uses it any more. `drop` is called with each frame that waits. */
void fiz_newest_free(fiz_newest *newest, void (*drop)(void *frame));

/* Puts a frame in. The frame that has no place any more is returned, for the caller to
 * answer and release: the camera's older one; `frame` itself if it is one that came before
 * (the same sequence number and checksum) and was taken, if the table is closed, or if there
 * is no memory; that of the camera last seen longest ago, where there is one too many. */
void *fiz_newest_put(fiz_newest *newest, const fiz_ticket *ticket, void *frame);

/* Waits for a frame and takes it: 1; 0 when there is none after `ms`, or earlier; -1 when
 * the table is closed. `taken` NULL: it only waits. */
int fiz_newest_take(fiz_newest *newest, unsigned ms, fiz_camera *taken);

/* Wakes who waits; nothing is put in or taken any more. */
void fiz_newest_close(fiz_newest *newest);

fiz_newest_counts fiz_newest_count(fiz_newest *newest);

/* Copies what is counted of up to `room` cameras, those seen last first; gives how many. */
size_t fiz_newest_list(fiz_newest *newest, fiz_camera *cameras, size_t room);

#endif

/* The few things that the C tests share. */
#ifndef FIZ_CHECK_H
#define FIZ_CHECK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "native/picture.h"

#define CHECK(condition)                                                                \
    do {                                                                                \
        if (!(condition)) {                                                             \
            fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__,    \
                    #condition);                                                        \
            abort();                                                                    \
        }                                                                               \
    } while (0)

/* ThreadSanitizer does not follow a fork of a process with threads, and the locks
 * of AddressSanitizer's own malloc may stay shut in the child. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define NO_FORK 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define NO_FORK 1
#endif
#endif

#define RUN(test)                                                                       \
    do {                                                                                \
        test();                                                                         \
        printf("ok %s\n", #test);                                                       \
        fflush(stdout);                                                                 \
    } while (0)

/* Pages of which the bytes asked for are the last: what reads or writes one byte
 * beyond them, also within libjpeg's assembler, dies at once. */
typedef struct {
    uint8_t *data;
    void *pages;
    size_t mapped;
} fence;

fence fence_new(size_t nbytes);
void fence_free(fence *f);

/* A picture with edges, slopes and noise, the same for the same sides. Its memory
 * ends at a fence; rows are `gap` bytes longer than their samples, except the last. */
typedef struct {
    fiz_picture picture;
    fence memory[3];
} test_picture;

test_picture picture_new(fiz_layout layout, uint32_t width, uint32_t height, size_t gap);
void picture_free(test_picture *p);
/* The samples in a row of a plane, and its rows. */
uint32_t plane_width(const fiz_picture *p, int plane);
uint32_t plane_height(const fiz_picture *p, int plane);
/* The largest difference of two samples of two pictures of the same kind. */
int picture_distance(const fiz_picture *a, const fiz_picture *b);

/* Counts down to an allocation of ours that fails; below 0: none does. */
extern int allocations_left;

/* Counts down to a thread of ours that cannot be started, nor those after it;
 * below 0: all can. */
extern int thread_starts_left;

/* How often a picture or a strip of one was encoded and decoded, from any thread;
 * those for which a bit is set in `failing`, by that count, find no memory. */
typedef struct {
    atomic_uint count;
    uint64_t failing;
} alone_calls;

extern alone_calls encoded_alone, decoded_alone;

void run_pool_tests(void);
void run_header_tests(void);
void run_jpeg_tests(void);
void run_cpu_tests(void);
void run_message_tests(void);
void run_message_thread_tests(void);
void run_request_tests(void);
void run_newest_tests(void);
void run_newest_thread_tests(void);
void run_thread_tests(void);
void run_parallel_tests(void);
void run_strip_tests(void);
/* Stops the pool of threads for good. */
void run_stop_tests(void);

#endif

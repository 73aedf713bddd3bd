#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "native/fork.h"
#include "native/jpeg_decode.h"
#include "native/jpeg_encode.h"
#include "native/pool.h"

#define THREADS 6
#define FORK_THREADS 3

/* Encodes and decodes a picture of its own and compares with its first result. */
static void work(uint32_t side, int rounds)
{
    fiz_encode_options options = { 80, FIZ_SAMPLING_420, side % 2 };
    test_picture in = picture_new(FIZ_BGR, side, side + 3, 0);
    test_picture first = picture_new(FIZ_BGR, side, side + 3, 0);
    test_picture out = picture_new(FIZ_BGR, side, side + 3, 0);

    for (int round = 0; round < rounds; round++) {
        const fiz_picture *into = round ? &out.picture : &first.picture;
        fiz_jpeg_header header;
        fiz_block *block;
        fiz_error error;
        size_t size;
        CHECK(fiz_jpeg_encode(&in.picture, &options, 1, &block, &size, &error) == FIZ_OK);
        CHECK(fiz_jpeg_header_read(fiz_block_data(block), size, &header, &error) == FIZ_OK);
        CHECK(fiz_jpeg_decode(fiz_block_data(block), size - 5, &header, 1, 1, into, &error)
              == FIZ_REFUSED);
        CHECK(fiz_jpeg_decode(fiz_block_data(block), size, &header, 1, 1, into, &error) == FIZ_OK);
        fiz_pool_release(block);
        if (round)
            CHECK(picture_distance(&first.picture, &out.picture) == 0);
    }
    picture_free(&in);
    picture_free(&first);
    picture_free(&out);
}

static void *worker(void *number)
{
    work(40 + (uint32_t)(uintptr_t)number * 8, 60);
    return NULL;
}

static void *trimmer(void *unused)
{
    for (int i = 0; i < 2000; i++) {
        if (i % 50 == 0)
            fiz_pool_trim();
        (void)fiz_pool_count();
    }
    return unused;
}

static void many_at_once(void)
{
    pthread_t threads[THREADS + 1];

    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, worker, (void *)i) == 0);
    CHECK(pthread_create(&threads[THREADS], NULL, trimmer, NULL) == 0);
    for (int i = 0; i <= THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(fiz_pool_count().leases == 0);
}

#ifndef NO_FORK

/* One pixel again and again: as much of the time as can be is spent under locks. */
static void one_pixel(void)
{
    static uint8_t sample = 77;
    uint8_t decoded = 0;
    fiz_picture in = { FIZ_GRAY, 1, 1, { { &sample, 0, 0 } } };
    fiz_picture out = { FIZ_GRAY, 1, 1, { { &decoded, 0, 0 } } };
    fiz_encode_options options = { 100, FIZ_SAMPLING_GRAY, 0 };
    fiz_jpeg_header header;
    fiz_block *block;
    fiz_error error;
    size_t size;

    CHECK(fiz_jpeg_encode(&in, &options, 1, &block, &size, &error) == FIZ_OK);
    CHECK(fiz_jpeg_header_read(fiz_block_data(block), size, &header, &error) == FIZ_OK);
    CHECK(fiz_jpeg_decode(fiz_block_data(block), size, &header, 1, 1, &out, &error) == FIZ_OK);
    CHECK(decoded == sample);
    fiz_pool_release(block);
}

static atomic_int stop;

static void *pixels(void *unused)
{
    while (!atomic_load(&stop))
        one_pixel();
    return unused;
}

static void a_child_can_encode(void)
{
    pthread_t threads[FORK_THREADS];

    atomic_store(&stop, 0);
    for (uintptr_t i = 0; i < FORK_THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, pixels, NULL) == 0);
    for (int i = 0; i < 300; i++) {
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(10); /* a lock that stayed shut ends the child */
            one_pixel();
            fiz_pool_trim();
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < FORK_THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(fiz_pool_count().leases == 0);
}

static fiz_mutex held = FIZ_MUTEX_INIT;

static void *holder(void *locked)
{
    fiz_mutex_lock(&held);
    atomic_store((atomic_int *)locked, 1);
    usleep(50000);
    fiz_mutex_unlock(&held);
    return NULL;
}

static void a_guarded_mutex_is_free_in_the_child(void)
{
    atomic_int locked = 0;
    pthread_t thread;
    pid_t child;
    int status;

    CHECK(fiz_fork_guard(&held, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, holder, &locked) == 0);
    while (!atomic_load(&locked))
        usleep(100);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(10);
        fiz_mutex_lock(&held);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fiz_mutex_lock(&held); /* and in the parent */
    fiz_mutex_unlock(&held);
    CHECK(pthread_join(thread, NULL) == 0);
}

#endif

void run_thread_tests(void)
{
    RUN(many_at_once);
#ifndef NO_FORK
    RUN(a_guarded_mutex_is_free_in_the_child);
    RUN(a_child_can_encode);
#endif
}
